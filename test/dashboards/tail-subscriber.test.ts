import { afterEach, expect, test, vi } from 'vitest'
import { TailSubscriber } from '../../dashboards/tail-subscriber.ts'
import type { Endpoint } from '../../wire/endpoint.ts'
import { logTopic } from '../../wire/topic.ts'
import { until } from '../support/until.ts'
import { HandMadeCollector } from './hand-made-collector.ts'

const topic = logTopic('info', 'hand')

afterEach(() => vi.restoreAllMocks())

test('records missed are told in time, also when the wall clock is set back an hour meanwhile', async () => {
  await using collector = await HandMadeCollector.open()
  let [shown, missed] = [0, 0]
  const subscriber = new TailSubscriber(['log.>'], {
    lines: (_parts, _frame, _lines, count) => {
      shown += count
      if (shown === 2) vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3_600_000)
    },
    missed: (count) => {
      missed += count
    },
    points: () => undefined,
    connection: () => undefined,
  })
  await subscriber.open(collector.tail as Endpoint)
  await collector.subscribed()
  await collector.lines(topic, 0, ['first'])
  await collector.lines(topic, 5, ['behind a hole'])
  await until(() => missed > 0, { what: 'the hole is told', timeoutMs: 5_000 })
  expect([shown, missed]).toEqual([2, 4])
  await subscriber.close()
})

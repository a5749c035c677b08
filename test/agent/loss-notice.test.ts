import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createAgent } from '../../agent/shared.ts'
import { cli, freePorts, startCollector, startNode } from '../support/processes.ts'
import { until } from '../support/until.ts'

test('what an application lost is told to a live tail as soon as there is one, and the telling is in no book', async () => {
  const port = await freePorts()
  const agent = createAgent({ service: 'loser', collector: `tcp://127.0.0.1:${port}`, ringBytes: 131_072 })
  const log = pino(agent.destination())
  const logMoreThanTheRingHolds = () => {
    for (let n = 0; n < 5_000; n += 1) log.info({ n }, 'more than the ring holds, in one turn')
  }
  logMoreThanTheRingHolds()
  await until(() => agent.stats().shed['ring_full'], { what: 'the ring overflows' })
  await using collector = await startCollector({ port })
  await using tail = startNode([cli, 'tail', 'sys.loser.loss.', '--json', '--connect', collector.tail])
  await tail.says(/connected to/)
  const lostBefore = agent.stats().shed['ring_full'] ?? 0
  collector.process.kill('SIGSTOP')
  await until(
    () => {
      logMoreThanTheRingHolds()
      return (agent.stats().shed['ring_full'] ?? 0) > lostBefore
    },
    { what: 'the ring overflows again, with a tail watching' },
  )
  collector.process.kill('SIGCONT')
  await tail.says(/"shed"/)
  const line = JSON.parse(tail.stdout.split('\n')[0] ?? '') as Record<string, unknown>
  expect(line).toMatchObject({ level: 40, service: 'loser', origin: agent.origin, shed: { ring_full: expect.any(Number) as number } })
  expect(line['msg']).toMatch(/^spillway: [\d,]+ records lost since \S+ \(ring_full [\d,]+\): /)
  await agent.close()
  const accepted = agent.stats().accepted
  const { totals, origins } = await until(
    async () => {
      const status = await collector.status()
      return status.totals.inFlight === 0 && status
    },
    { what: 'the books are settled' },
  )
  expect(totals.accepted).toBe(accepted)
  expect(totals.delivered + Object.values(totals.lost).reduce((sum, records) => sum + records, 0)).toBe(accepted)
  expect(Object.keys(origins[0]?.topics ?? {})).toEqual(['log.info.loser.'])
})

import { expect, test } from 'vitest'
import { runApp, startCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'

const numbers = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { n: number }).n)
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

test.each([
  ['falls off its end', 'fall-off', 0],
  ['calls process.exit right after the log call', 'exit', 0],
  ['throws', 'throw', 1],
  ['rejects without a handler', 'reject', 1],
])('a process that %s delivers every line, in order', async (_name, how, code) => {
  await using collector = await startCollector()
  await using app = await runApp('count.mjs', { args: ['2000', how], env: collector.env })
  expect(app.code).toBe(code)
  await until(() => collector.lines('counted').length === 2_000, { what: 'all lines are kept' })
  expect(numbers(collector.lines('counted'))).toEqual(upTo(2_000))
  const { totals, origins } = await collector.status()
  expect(totals).toMatchObject({ accepted: 2_000, delivered: 2_000, lost: {}, inFlight: 0 })
  expect(origins.map((origin) => origin.state)).toEqual(['finished'])
})

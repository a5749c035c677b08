import { type StdioOptions, spawn } from 'node:child_process'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { batchRecordsMax, exitWaitMs } from '../../wire/limits.ts'
import { appsDir, freePorts, RunningProcess, runApp, startApp, startCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { unreadPipe, unreadSocket } from './unread-output.ts'

const numbers = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { n: number }).n)
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)
const heldUpMs = (app: RunningProcess) => Number(/held up ([\d.]+) ms/.exec(app.stdout)?.[1])
/** The promise is 150 ms; the steps of the wait and a busy machine take the rest. */
const exitHeldUpMsMax = exitWaitMs + 150

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

test('a script of one line that connects and ends in the same turn delivers it, every time', async () => {
  await using collector = await startCollector()
  for (const how of ['fall-off', 'exit', 'fall-off', 'exit', 'exit']) {
    await using app = await runApp('count.mjs', { args: ['1', how], env: collector.env })
    expect([app.code, app.stderr]).toEqual([0, ''])
  }
  expect(numbers(await collector.kept('counted', 5))).toEqual([0, 0, 0, 0, 0])
  const { origins } = await collector.status()
  expect(new Set(origins.map((origin) => origin.origin)).size).toBe(5)
  expect(origins.map((origin) => origin.state)).toEqual(Array(5).fill('finished'))
})

test('a process that logs a fatal line from its last handler and exits delivers that line too', async () => {
  await using collector = await startCollector()
  await using app = await runApp('count.mjs', { args: ['100', 'fatal'], env: collector.env })
  expect(app.code).toBe(1)
  expect(numbers(await collector.kept('counted', 101)).sort((a, b) => a - b)).toEqual(upTo(101))
})

test('a process that logs errors and full batches whenever it has nothing more to do still ends, and all of it is delivered', async () => {
  await using collector = await startCollector()
  await using app = await runApp('logs-before-exit.mjs', { env: collector.env })
  const times = Number(/times (\d+)/.exec(app.stdout)?.[1])
  expect([app.code, app.stderr, times >= 1, times <= 2]).toEqual([0, '', true, true])
  await until(() => collector.lines('before-exit').length === 1 + times * 601, { what: 'all lines are kept' })
  expect((await collector.status()).totals).toMatchObject({ accepted: 1 + times * 601, delivered: 1 + times * 601, lost: {}, inFlight: 0 })
})

test('SIGTERM with a handler that logs and calls process.exit delivers every line', async () => {
  await using collector = await startCollector()
  await using app = startApp('count.mjs', { args: ['100', 'sigterm-handler'], env: collector.env })
  await app.says(/ready/)
  app.kill('SIGTERM')
  expect(await app.ended).toEqual({ code: 0, signal: null })
  expect(numbers(await collector.kept('counted', 101))).toEqual(upTo(101))
})

test('SIGTERM without a handler loses at most what was logged since a batch was last sent, and the origin is not taken for a clean end', async () => {
  await using collector = await startCollector()
  const records = batchRecordsMax + 100
  await using app = startApp('count.mjs', { args: [String(records), 'sigterm'], env: collector.env })
  expect(await app.ended).toEqual({ code: null, signal: 'SIGTERM' })
  const { totals, origins } = await until(
    async () => {
      const status = await collector.status()
      return status.totals.delivered >= 2 * records && status
    },
    { what: 'what was sent is kept' },
  )
  expect(totals.delivered).toBeLessThanOrEqual(3 * records)
  expect(totals.accepted).toBe(totals.delivered + totals.inFlight)
  expect(numbers(await collector.kept('counted', 2 * records)).slice(0, 2 * records)).toEqual([...upTo(records), ...upTo(records)])
  expect(origins.map((origin) => origin.state)).not.toContain('finished')
})

test.each([
  ['ends by itself', 'fall-off'],
  ['calls process.exit', 'exit'],
  ['throws', 'throw'],
  ['is terminated', 'terminate'],
])('a worker thread with a logger of its own that %s delivers its lines, and the process lives on', async (_name, how) => {
  await using collector = await startCollector()
  await using app = await runApp('worker-thread.mjs', { args: ['700', how], env: collector.env })
  expect([app.code, app.signal, app.stdout.endsWith('main ended well\n')]).toEqual([0, null, true])
  const kept = numbers(await collector.kept('in-worker', 700))
  if (how === 'terminate') expect(kept.slice(0, 700)).toEqual(upTo(700))
  else expect(kept).toEqual(upTo(700))
  expect(await collector.kept('main', 1)).toHaveLength(1)
})

test('workers that end themselves amid a storm of lines leave the process alone', async () => {
  await using collector = await startCollector()
  await using app = await runApp('worker-storm.mjs', { env: collector.env })
  expect(app).toMatchObject({ code: 0, signal: null })
  expect(app.stdout).toBe('main ended well\n')
})

test("terminating pino's worker loses nothing that was sent and does not abort the process", async () => {
  await using collector = await startCollector()
  await using app = await runApp('worker-terminated.mjs', { env: collector.env })
  expect([app.code, app.signal, app.stdout]).toEqual([0, null, 'main ended well\n'])
  expect(numbers(await collector.kept('worker', 1_000))).toEqual(upTo(1_000))
})

test.each(['fork', 'cluster'])('%s: parent and children are origins of their own, and each delivers all', async (how) => {
  await using collector = await startCollector()
  await using app = await runApp('children.mjs', { args: [how, '50'], env: collector.env })
  expect([app.code, app.stdout]).toEqual([0, '[0,0,0]'])
  const kept = await collector.kept('family', 200)
  const { origins, totals } = await collector.status()
  expect(totals).toMatchObject({ accepted: 200, delivered: 200, lost: {}, inFlight: 0 })
  expect(new Set(origins.map((origin) => origin.origin)).size).toBe(4)
  expect(new Set(origins.map((origin) => origin.pid)).size).toBe(4)
  const counts = new Map<number, number>()
  for (const line of kept) {
    const { pid } = JSON.parse(line) as { pid: number }
    counts.set(pid, (counts.get(pid) ?? 0) + 1)
  }
  expect([...counts.values()]).toEqual([50, 50, 50, 50])
})

test.each(['fall-off', 'exit-timed'])(
  'with no collector, %s: the exit is held up for a moment only, and what was left is told',
  async (how) => {
    const startedAtMs = performance.now()
    await using app = await runApp('count.mjs', {
      args: ['2000', how],
      env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${await freePorts()}` },
    })
    expect(app.code).toBe(0)
    expect(heldUpMs(app)).toBeLessThan(exitHeldUpMsMax)
    expect(performance.now() - startedAtMs).toBeLessThan(2_000)
    expect(app.stderr).toMatch(/^spillway: at exit: 2,000 records accepted, 2,000 .* tcp:\/\/127\.0\.0\.1:\d+.*\n$/)
  },
)

test('with a collector that was stopped after the connection, the exit is held up for a moment only', async () => {
  await using collector = await startCollector()
  await using app = startApp('count.mjs', { args: ['2000', 'after-signal'], env: collector.env })
  await app.says(/ready/)
  collector.process.kill('SIGSTOP')
  app.kill('SIGUSR2')
  const startedAtMs = performance.now()
  expect(await app.ended).toEqual({ code: 0, signal: null })
  expect(performance.now() - startedAtMs).toBeLessThan(1_500)
  // The fault bites: nobody answered.
  expect(heldUpMs(app)).toBeGreaterThan(exitWaitMs - 20)
  expect(heldUpMs(app)).toBeLessThan(exitHeldUpMsMax)
  expect(app.stderr).toMatch(/2,000 without an answer/)
  collector.process.kill('SIGCONT')
  // What was handed to the system is not lost by the exit.
  await until(() => collector.lines('counted').length === 2_001, { what: 'the lines the system held are kept' })
})

test('with a collector that was stopped before, and with a server that accepts and never speaks, the exit is held up for a moment only', async () => {
  await using collector = await startCollector()
  collector.process.kill('SIGSTOP')
  const sockets = new Set<{ destroy(): void }>()
  const mute = createServer((socket) => sockets.add(socket.on('error', () => undefined)))
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  for (const port of [collector.port, (mute.address() as AddressInfo).port]) {
    await using app = await runApp('count.mjs', { args: ['500', 'fall-off'], env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${port}` } })
    expect(app.code).toBe(0)
    expect(heldUpMs(app)).toBeLessThan(exitHeldUpMsMax)
    expect(app.stderr).toMatch(/at exit: 500 records accepted/)
  }
  expect(sockets.size).toBeGreaterThan(0)
  for (const socket of sockets) socket.destroy()
  mute.close()
})

describe('a full pipe or socket that nobody reads', () => {
  const outputs = { pipe: unreadPipe, socket: unreadSocket }
  const cases = (['pipe', 'socket'] as const).flatMap((kind) => (['stderr', 'stdout'] as const).map((output) => ({ kind, output })))

  test.each(cases)('as $output ($kind) does not hold up an end, natural or not', async ({ kind, output }) => {
    await using unread = await outputs[kind]()
    for (const how of ['fall-off', 'exit']) {
      const startedAtMs = performance.now()
      const args = [join(appsDir, 'notice.mjs'), how, ...(output === 'stdout' ? ['stdout'] : [])]
      const stdio: StdioOptions = output === 'stdout' ? ['ignore', unread.stdio, 'pipe'] : ['ignore', 'pipe', unread.stdio]
      const env = { ...process.env, SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${await freePorts()}` }
      await using app = new RunningProcess(spawn(process.execPath, args, { stdio, env }))
      expect(await Promise.race([app.ended, until(() => performance.now() - startedAtMs > 5_000, { what: '5 s have passed' })])).toEqual({
        code: 0,
        signal: null,
      })
      // There was something to say.
      if (output === 'stdout') expect(app.stderr).toMatch(/at exit: 20,000 records accepted/)
    }
  })

  test('loses only what is said there: one that is read gets it', async () => {
    await using app = await runApp('notice.mjs', { env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${await freePorts()}` } })
    expect(app.stdout).toBe('')
    expect(app.stderr).toMatch(/^spillway: [\d,]+ records lost since .*\nspillway: at exit: 20,000 records accepted.*\n$/)
  })
})

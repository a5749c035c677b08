import { createServer, type Socket } from 'node:net'
import { type Logger, pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import type { Agent } from '../../agent/agent.ts'
import { createAgent } from '../../agent/shared.ts'
import type { CollectorStatus } from '../../collector/status.ts'
import { batchRecordsMax, frameOverheadBytes, fullBatchesMax, noticeEveryMs } from '../../wire/limits.ts'
import { startChaosProxy } from '../support/chaos-proxy.ts'
import { freePorts, runApp, startApp, startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** One ring size for the whole process of this file: the largest wish wins. */
const ringBytes = 1_048_576
const agents: Agent[] = []

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.close(0)
})

function open(service: string, collector: string | readonly string[], control?: string | readonly string[]): { agent: Agent; log: Logger } {
  const agent = createAgent({ service, collector, control, ringBytes })
  agents.push(agent)
  return { agent, log: pino({ base: null, timestamp: false, level: 'trace' }, agent.destination()) }
}

const numbers = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { n: number }).n)
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const sum = (counts: Partial<Record<string, number>>) => Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0)

function logNumbers(log: Logger, from: number, to: number): void {
  for (let n = from; n < to; n += 1) log.info({ n })
}

/** The books once nothing is on its way any more; they add up at every look. */
async function settledBooks(collector: TestCollector): Promise<CollectorStatus> {
  return until(
    async () => {
      const status = await collector.status()
      for (const books of [status.totals, ...status.origins.flatMap((origin) => Object.values(origin.topics))]) {
        expect(books.accepted).toBe(books.delivered + sum(books.lost) + books.inFlight)
      }
      return status.totals.inFlight === 0 && status
    },
    { what: 'nothing is in flight' },
  )
}

test('a collector that starts later gets everything the ring holds, in order, once', async () => {
  const port = await freePorts()
  const { agent, log } = open('late', `tcp://127.0.0.1:${port}`)
  logNumbers(log, 0, 5_000)
  expect(await agent.flush(100)).toEqual({ left: 5_000 })
  await using collector = await startCollector({ port })
  logNumbers(log, 5_000, 6_000)
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(numbers(await collector.kept('late', 6_000))).toEqual(range(0, 6_000))
  expect((await settledBooks(collector)).totals).toMatchObject({ accepted: 6_000, delivered: 6_000, lost: {}, duplicates: 0 })
})

test('a collector that starts after the ring overflowed gets the rest, and the books say how many it missed', async () => {
  const port = await freePorts()
  const { agent, log } = open('too-late', `tcp://127.0.0.1:${port}`)
  const logged = 40_000
  for (let n = 0; n < logged; n += 1) log.info({ n, filler: 'x'.repeat(50) })
  await agent.flush(0)
  const shed = agent.stats().shed['ring_full'] ?? 0
  expect(shed).toBeGreaterThan(logged / 2)
  await using collector = await startCollector({ port })
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect((await settledBooks(collector)).totals).toMatchObject({ accepted: logged, delivered: logged - shed, lost: { ring_evicted: shed } })
  expect(numbers(collector.lines('too-late'))).toEqual(range(shed, logged))
})

test('a collector that is stopped and goes on loses nothing that the ring holds', async () => {
  await using collector = await startCollector()
  const { agent, log } = open('stopped', collector.data)
  logNumbers(log, 0, 100)
  expect(await agent.flush()).toEqual({ left: 0 })
  collector.process.kill('SIGSTOP')
  logNumbers(log, 100, 10_000)
  // The fault bites.
  expect(await agent.flush(200)).toEqual({ left: 9_900 })
  collector.process.kill('SIGCONT')
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(numbers(await collector.kept('stopped', 10_000))).toEqual(range(0, 10_000))
  expect((await settledBooks(collector)).totals).toMatchObject({ accepted: 10_000, delivered: 10_000, lost: {} })
})

test('when the ring overflows, trace and debug go before info, info before warn; error and fatal all arrive; every loss is counted exactly', async () => {
  await using collector = await startCollector()
  const { agent, log } = open('overflow', collector.data)
  type Name = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'
  const filler = 'x'.repeat(200)
  let logged = 0
  const important: number[] = []
  /** Fills about so many KiB of the ring with lines of one level. */
  const fill = (level: Name, kib: number) => {
    for (let bytes = 0; bytes < kib * 1_024; bytes += Buffer.byteLength(`{"level":10,"n":${logged},"filler":"${filler}"}\n`)) {
      if (level === 'error' || level === 'fatal') important.push(logged)
      log[level]({ n: logged, filler })
      logged += 1
    }
    agent.closeBatches()
  }
  const shedOf = (level: Name) => sum(agent.stats().topics[`log.${level}.overflow.`]?.shed ?? {})
  log.info({ n: logged++ })
  expect(await agent.flush()).toEqual({ left: 0 })
  collector.process.kill('SIGSTOP')
  // First what ZeroMQ and the system take, several MiB, until what is refused stays refused.
  const looks: number[] = []
  await until(
    () => {
      expect(logged).toBeLessThan(200_000)
      const { sent, links } = agent.stats()
      looks.push(sent)
      if ((links[0]?.waitingFrames ?? 0) < 5) fill('trace', 300)
      else if (looks.at(-4) === sent) return true
      return false
    },
    { what: 'nothing more is taken', everyMs: 40 },
  )
  const ringKib = ringBytes / 1_024
  fill('debug', 200)
  for (const level of ['info', 'warn', 'error'] as const) fill(level, 50)
  // Each fatal line is a frame of its own.
  fill('fatal', 10)
  expect([shedOf('debug'), shedOf('info'), shedOf('warn'), shedOf('error'), shedOf('fatal')]).toEqual([0, 0, 0, 0, 0])
  fill('info', ringKib * 0.75)
  expect(shedOf('trace')).toBeGreaterThan(0)
  expect(shedOf('debug')).toBeGreaterThan(0)
  expect([shedOf('info'), shedOf('warn'), shedOf('error'), shedOf('fatal')]).toEqual([0, 0, 0, 0])
  fill('info', ringKib * 0.5)
  expect(shedOf('info')).toBeGreaterThan(0)
  expect([shedOf('warn'), shedOf('error'), shedOf('fatal')]).toEqual([0, 0, 0])
  fill('warn', ringKib)
  expect(shedOf('warn')).toBeGreaterThan(0)
  fill('error', ringKib * 0.2)
  expect([shedOf('error'), shedOf('fatal')]).toEqual([0, 0])
  expect(agent.stats().ringBytes).toBeLessThan(ringBytes + 65_536 + 2 * frameOverheadBytes)

  collector.process.kill('SIGCONT')
  fill('fatal', 10)
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  const { accepted, shed, evictedSent } = agent.stats()
  const lost = shed['ring_full'] ?? 0
  expect(accepted).toBe(logged)
  expect(Object.keys(shed)).toEqual(['ring_full'])
  // What the system took was sent, and left the ring before its answer came: received all the same.
  expect(evictedSent).toBeGreaterThan(0)
  const { totals } = await settledBooks(collector)
  expect(totals).toMatchObject({ accepted: logged, delivered: logged - lost, lost: { ring_evicted: lost } })
  const kept = numbers(collector.lines('overflow'))
  expect(new Set(kept).size).toBe(kept.length)
  expect(kept).toHaveLength(logged - lost)
  const keptNumbers = new Set(kept)
  expect(important.filter((n) => !keptNumbers.has(n))).toEqual([])
})

test('a collector that is killed and started anew gets what was logged meanwhile, once, and what is logged after', async () => {
  await using dir = await tempDir()
  const first = await startCollector({ dir: dir.path })
  const { agent, log } = open('killed', first.data)
  logNumbers(log, 0, 1_000)
  expect(await agent.flush()).toEqual({ left: 0 })
  first.process.kill('SIGKILL')
  await first.process.ended
  logNumbers(log, 1_000, 2_000)
  expect(await agent.flush(150)).toEqual({ left: 1_000 })
  expect(agent.stats().links[0]?.state).toBe('lost')
  await using second = await startCollector({ dir: dir.path, port: first.port })
  logNumbers(log, 2_000, 3_000)
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(numbers(await second.kept('killed', 3_000))).toEqual(range(0, 3_000))
  expect((await settledBooks(second)).totals).toMatchObject({ accepted: 3_000, delivered: 3_000, lost: {} })
})

test('a collector that is killed in the middle of the stream, three times, misses nothing that the ring holds', async () => {
  await using dir = await tempDir()
  let collector = await startCollector({ dir: dir.path })
  const { agent, log } = open('killed-often', collector.data)
  let logged = 0
  const logSome = () => {
    logNumbers(log, logged, logged + 50)
    logged += 50
  }
  const timer = setInterval(logSome, 5)
  for (let kills = 0; kills < 3; kills += 1) {
    const enough = collector.lines('killed-often').length + 500
    await until(() => collector.lines('killed-often').length >= enough, { what: 'lines arrive' })
    await collector[Symbol.asyncDispose]()
    collector = await startCollector({ dir: dir.path, port: collector.port })
  }
  clearInterval(timer)
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(agent.stats().shed).toEqual({})
  await using last = collector
  const kept = numbers(await last.kept('killed-often', logged))
  expect(kept.toSorted((a, b) => a - b)).toEqual(range(0, logged))
})

test('a server that accepts and never speaks costs the application nothing, and a collector in its place gets everything', async () => {
  const port = await freePorts()
  const sockets = new Set<Socket>()
  const mute = [port, port + 1].map((each) =>
    createServer((socket) => sockets.add(socket.on('error', () => undefined))).listen(each, '127.0.0.1'),
  )
  const { agent, log } = open('mute', `tcp://127.0.0.1:${port}`)
  await until(() => sockets.size >= 2, { what: 'both sockets are connected' })
  logNumbers(log, 0, 2_000)
  expect(await agent.flush(100)).toEqual({ left: 2_000 })
  expect(agent.stats().links[0]).toMatchObject({ state: 'connecting' })
  for (const server of mute) server.close()
  for (const socket of sockets) socket.destroy()
  await using collector = await startCollector({ port })
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(numbers(await collector.kept('mute', 2_000))).toEqual(range(0, 2_000))
})

test('an endpoint that moves to another machine is followed, and nothing the first one missed is missing on the second', async () => {
  await using here = await startCollector()
  await using there = await startCollector()
  await using data = await startChaosProxy({ target: here.port })
  await using control = await startChaosProxy({ target: here.port + 1 })
  const { agent, log } = open('moved', `tcp://127.0.0.1:${data.port}`, `tcp://127.0.0.1:${control.port}`)
  logNumbers(log, 0, 1_000)
  expect(await agent.flush()).toEqual({ left: 0 })
  here.process.kill('SIGSTOP')
  logNumbers(log, 1_000, 2_000)
  agent.closeBatches()
  data.moveTo(there.port)
  control.moveTo(there.port + 1)
  logNumbers(log, 2_000, 3_000)
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(data.counters.connections).toBeGreaterThan(1)
  expect(numbers(await there.kept('moved', 2_000))).toEqual(range(1_000, 3_000))
  expect((await settledBooks(there)).totals).toMatchObject({ accepted: 2_000, delivered: 2_000, lost: {} })
})

test('what no collector subscribed to is counted, not kept and not sent', async () => {
  await using collector = await startCollector({ args: ['--subscribe', 'log.error.>'] })
  const { agent, log } = open('filtered', collector.data)
  // Before the first contact nobody knows what will be wanted.
  logNumbers(log, 0, 100)
  agent.closeBatches()
  expect(agent.stats()).toMatchObject({ filtered: 0, ringRecords: 100 })
  log.error({ n: 0 })
  expect(await agent.flush()).toEqual({ left: 0 })
  await until(() => agent.stats().filtered === 100, { what: 'what had been kept is let go' })
  logNumbers(log, 100, 50_000)
  agent.closeBatches()
  expect(agent.stats()).toMatchObject({ filtered: 50_000, ringRecords: 0, ringBytes: 0 })
  log.error({ n: 1 })
  expect(await agent.close()).toEqual({ left: 0 })
  const { totals } = await settledBooks(collector)
  expect(totals).toMatchObject({ accepted: 2, delivered: 2, lost: {}, filtered: 50_000 })
  expect(numbers(collector.lines('filtered'))).toEqual([0, 1])
})

test('two collectors each get everything; one that is stopped does not keep anything from the other', async () => {
  await using first = await startCollector()
  await using second = await startCollector()
  const { agent, log } = open('both', [first.data, second.data])
  logNumbers(log, 0, 1_000)
  await until(() => first.lines('both').length === 1_000 && second.lines('both').length === 1_000, { what: 'both have the first lines' })
  first.process.kill('SIGSTOP')
  const filler = 'x'.repeat(400)
  for (let n = 1_000; n < 6_000; n += 1) {
    log.info({ n, filler })
    if (n % 500 === 0) await new Promise(setImmediate)
  }
  await until(() => second.lines('both').length === 6_000, { what: 'the second has them all' })
  first.process.kill('SIGCONT')
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  for (const collector of [first, second]) {
    expect(numbers(await collector.kept('both', 6_000))).toEqual(range(0, 6_000))
    expect((await settledBooks(collector)).totals).toMatchObject({ accepted: 6_000, delivered: 6_000, lost: {} })
  }
})

test('of two collectors one may be absent: it gets what the ring still holds when it comes', async () => {
  await using first = await startCollector()
  const port = await freePorts()
  const { agent, log } = open('one-absent', [first.data, `tcp://127.0.0.1:${port}`])
  logNumbers(log, 0, 1_000)
  expect(await agent.flush()).toEqual({ left: 0 })
  await using second = await startCollector({ port })
  logNumbers(log, 1_000, 2_000)
  await until(() => second.lines('one-absent').length === 2_000, { what: 'the second has them all' })
  expect(await agent.close()).toEqual({ left: 0 })
  for (const collector of [first, second]) expect(numbers(await collector.kept('one-absent', 2_000))).toEqual(range(0, 2_000))
})

describe('what is said', () => {
  test("with fallback: 'stdout', lines that would be lost are printed, whole, and counted as printed", async () => {
    await using app = startApp('fallback.mjs', { env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${await freePorts()}` } })
    const books = await app.says(/^books (\{.*\})$/m)
    const { accepted, shed, ringRecords } = JSON.parse(books[1] ?? '') as {
      accepted: number
      shed: Record<string, number>
      ringRecords: number
    }
    const printed = shed['printed'] ?? 0
    expect(printed).toBeGreaterThan(10_000)
    // The open batch, and the full ones that wait for the end of the turn, are in no book but `accepted`.
    expect(Object.keys(shed)).toEqual(['printed'])
    expect(accepted - printed - ringRecords).toBeLessThan((1 + fullBatchesMax) * batchRecordsMax)
    await until(() => app.stdout.split('\n').length - 1 >= printed, { what: 'they are printed' })
    const lines = app.stdout.split('\n').slice(0, printed)
    expect(lines).toEqual(range(0, printed).map((n) => `{"level":30,"n":${n},"msg":"falls back"}`))
  })

  test('of loss is one line on stderr at once and then one in 30 s at most, a total at the end, and nothing on stdout', async () => {
    await using app = await runApp('notices.mjs', { env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${await freePorts()}` } })
    expect([app.code, app.stdout]).toEqual([0, ''])
    const lines = app.stderr.split('\n').slice(0, -1)
    expect(lines.every((line) => line.startsWith('spillway: '))).toBe(true)
    const total = lines.pop()
    expect(total).toMatch(/^spillway: at exit: 40,000 records accepted, /)
    expect(lines).toHaveLength(1 + Math.floor(95_000 / noticeEveryMs))
    const counts = lines.map((line) => Number(/^spillway: ([\d,]+) records lost since /.exec(line)?.[1]?.replaceAll(',', '')))
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(counts[0]).toBeGreaterThan(0)
    expect(lines[0]).toMatch(/no collector at tcp:\/\/127\.0\.0\.1:\d+; .*spillway collector/)
  })
})

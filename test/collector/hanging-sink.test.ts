/** A sink whose writes hang for as long as the test likes: it costs nobody else anything, and what it misses is counted. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { drainMaxMs } from '../../wire/limits.ts'
import { logTopic } from '../../wire/topic.ts'
import { faultyDisk } from '../support/faulty-disk.ts'
import { keptLines, startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'
import { configFor, expectBooksAddUp, missingAndTwice, numbersOf, settled, startSteady, stopSteady } from './spooling.ts'

const mebibyte = 1_048_576

/** A file sink with a path of its own, for some services. */
function sinkOf(dir: string, name: string, services: readonly string[]): string {
  const topics = services.map((service) => `'log.*.${service}.>'`).join(', ')
  return `${name}: { type: file, topics: [${topics}], path: '${dir}/${name}/{service}/{date}.ndjson', rotate: { size: 256KiB } }`
}

function twoSinks(dir: string): string {
  return `${sinkOf(dir, 'good', ['good'])}, ${sinkOf(dir, 'hung', ['a', 'b', 'c', 'd', 'e', 'f'])}`
}

test('its neighbour stays current; its oldest records expire when the spool is full, and the books add up', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { sinks: twoSinks(dir.path) })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  await using good = await startSteady(collector, { service: 'good', perTick: 2, padBytes: 100 })
  await using bad = await startSteady(collector, { service: 'a', perTick: 10, padBytes: 2_000 })
  const status = () => collector.status()
  const kept = (sink: string, service: string) => keptLines(join(dir.path, sink, service))
  await until(() => kept('good', 'good').length > 100 && kept('hung', 'a').length > 100, { what: 'both are written' })
  disk.set(['write', '/hung/', 'hang'], ['sync', '/hung/', 'hang'])
  const before = kept('good', 'good').length
  // More than the sink and its queue hold in memory, and more than the spool holds.
  const expired = await until(
    async () => {
      const now = await status()
      expectBooksAddUp(now)
      // Its neighbour has what was logged a moment ago, all the while.
      expect(now.sinks['good']?.pendingRecords).toBeLessThan(1_000)
      return now.totals.expired > 0 && now
    },
    { what: 'the oldest records of the hanging sink expire', timeoutMs: 45_000, everyMs: 100 },
  )
  expect(expired.sinks['hung']?.expired).toBe(expired.totals.expired)
  expect(expired.sinks['good']).toMatchObject({ expired: 0 })
  expect(expired.spool.bytes).toBeLessThan(12 * mebibyte)
  // Its neighbour has what was logged a moment ago.
  const [now] = [kept('good', 'good').length]
  expect(now).toBeGreaterThan(before + 500)
  await until(() => kept('good', 'good').length > now + 100, { what: 'the neighbour goes on' })
  expect((await status()).sinks['good']?.pendingRecords).toBeLessThan(500)
  disk.set()
  const logged = { good: await stopSteady(good), bad: await stopSteady(bad) }
  const { totals } = await settled(collector, logged.good + logged.bad)
  expect(missingAndTwice(kept('good', 'good'), logged.good)).toEqual({ missing: '', twice: '' })
  const late = numbersOf(kept('hung', 'a'))
  expect(new Set(late).size).toBe(late.length)
  expect(late.length).toBe(logged.bad - totals.expired)
  expect(totals).toMatchObject({ accepted: logged.good + logged.bad, delivered: logged.good + late.length, pending: 0, notDurable: 0 })
  expect(totals.lost).toEqual({})
})

test('with more files hanging than Node has threads for files, its neighbour stays current and the spool is written', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { sinks: twoSinks(dir.path) })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  await using good = await startSteady(collector, { service: 'good', perTick: 2, padBytes: 100 })
  const kept = (sink: string, service: string) => keptLines(join(dir.path, sink, service))
  disk.set(['write', '/hung/', 'hang'], ['sync', '/hung/', 'hang'])
  const services = ['a', 'b', 'c', 'd', 'e', 'f']
  const apps = await Promise.all(services.map((service) => startSteady(collector, { service, perTick: 1, padBytes: 100 })))
  await using _apps = { [Symbol.asyncDispose]: async () => void (await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()))) }
  const spooled = async () => (await collector.status()).totals.spooled
  const [lines, records] = [kept('good', 'good').length, await spooled()]
  await until(async () => (await spooled()) > records + 2_000, { what: 'the spool is written' })
  await until(() => kept('good', 'good').length > lines + 1_000, { what: 'the neighbour stays current' })
  expect((await collector.status()).sinks['hung']?.pendingRecords).toBeGreaterThan(1_000)
  disk.set()
  const logged = [await stopSteady(good), ...(await Promise.all(apps.map((app) => stopSteady(app))))]
  const all = logged.reduce((sum, count) => sum + count, 0)
  expect((await settled(collector, all)).totals).toMatchObject({ accepted: all, delivered: all, expired: 0 })
  for (const [i, service] of services.entries()) {
    expect(missingAndTwice(kept('hung', service), logged[i + 1] ?? 0)).toEqual({ missing: '', twice: '' })
  }
})

test('with five sinks hanging at once, each in all it does, the sixth stays current and the spool is written', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const hung = ['hung-1', 'hung-2', 'hung-3', 'hung-4', 'hung-5']
  const sinks = [sinkOf(dir.path, 'good', ['good']), ...hung.map((name) => sinkOf(dir.path, name, [`a-${name}`, `b-${name}`, `c-${name}`]))]
  const args = configFor(dir.path, { sinks: sinks.join(', ') })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  expect(collector.process.stderr).not.toContain('UV_THREADPOOL_SIZE')
  await using agent = await HandMadeAgent.connect(collector)
  await using good = await startSteady(collector, { service: 'good', perTick: 2, padBytes: 100 })
  const kept = (sink: string, service: string) => keptLines(join(dir.path, sink, service))
  const counts = new Map<string, number>(hung.flatMap((name) => ['a', 'b', 'c'].map((file) => [`${file}-${name}`, 0])))
  const round = async () => {
    for (const [service, count] of counts) {
      await agent.lines(logTopic('info', service), count, [JSON.stringify({ n: count }), JSON.stringify({ n: count + 1 })])
      counts.set(service, count + 2)
    }
  }
  await round()
  await until(() => hung.every((name) => kept(name, `c-${name}`).length === 2), { what: 'all are written' })
  disk.set(['write', '/hung-', 'hang'], ['sync', '/hung-', 'hang'], ['open', '/hung-', 'hang'])
  await round()
  const status = () => collector.status()
  const waiting = async () => Object.entries((await status()).sinks).filter(([, sink]) => (sink.pendingRecords ?? 0) > 0)
  await until(async () => (await waiting()).filter(([name]) => hung.includes(name)).length === hung.length, { what: 'all five hang' })
  const [lines, { totals }] = [kept('good', 'good').length, await status()]
  await until(async () => (await status()).totals.spooled > totals.spooled + 2_000, { what: 'the spool is written' })
  await until(() => kept('good', 'good').length > lines + 1_000, { what: 'the sixth stays current' })
  expect((await status()).sinks['good']?.pendingRecords).toBeLessThan(1_000)
  for (const name of hung) expect((await status()).sinks[name]?.pendingRecords).toBe(2 * 3)
  disk.set()
  const all = (await stopSteady(good)) + [...counts.values()].reduce((sum, count) => sum + count, 0)
  await agent.manifest({ final: true })
  expect((await settled(collector, all)).totals).toMatchObject({ accepted: all, delivered: all, expired: 0, notDurable: 0 })
  for (const [service, count] of counts) expect(missingAndTwice(kept(service.slice(2), service), count)).toEqual({ missing: '', twice: '' })
})

test('it does not hold up the end of the collector, and the next start writes what it owes', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { sinks: twoSinks(dir.path) })
  const first = await startCollector({ dir: dir.path, args, env: disk.env })
  await using app = await startSteady(first, { service: 'a', padBytes: 100 })
  const kept = () => keptLines(join(dir.path, 'hung', 'a'))
  await until(() => kept().length > 100, { what: 'lines are written' })
  disk.set(['write', '/hung/', 'hang'], ['sync', '/hung/', 'hang'])
  await until(async () => ((await first.status()).sinks['hung']?.pendingRecords ?? 0) > 500, { what: 'records wait' })
  const logged = await stopSteady(app)
  const startedAtMs = performance.now()
  first.process.kill('SIGTERM')
  // No process can leave a call behind that hangs; it ends itself in the one way there is, and says so.
  expect(await first.process.ended).toEqual({ code: null, signal: 'SIGKILL' })
  expect(performance.now() - startedAtMs).toBeLessThan(drainMaxMs + 4_000)
  expect(first.process.stderr).toContain('a disk does not answer; ending without it')
  expect(first.process.stdout).toMatch(/stopped: .* waiting in the spool/)
  disk.set()
  await using second = await startCollector({ dir: dir.path, args, port: first.port })
  expect((await settled(second, logged)).totals).toMatchObject({ delivered: logged, expired: 0 })
  expect(missingAndTwice(kept(), logged)).toEqual({ missing: '', twice: '' })
})

test('a sink whose disk fails every sync: it is said once, nothing leaves the spool as done, and all of it is written again when it can', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { maxBytes: '64MiB', rotate: '64MiB' })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  disk.set(['sync', '/logs/', 'EIO'])
  await using app = await startSteady(collector, { perTick: 10, padBytes: 2_000 })
  await until(async () => /EIO/.test((await collector.status()).sinks['files']?.error ?? ''), { what: 'it is shown', timeoutMs: 30_000 })
  const { bytes } = (await collector.status()).spool
  await until(async () => (await collector.status()).spool.bytes > bytes + 8 * mebibyte, { what: 'the spool keeps it', timeoutMs: 30_000 })
  disk.set()
  await until(async () => (await collector.status()).spool.bytes < bytes, { what: 'it leaves the spool', timeoutMs: 30_000 })
  expect((await collector.status()).sinks['files']?.error).toBeUndefined()
  expect(collector.process.stderr.match(/sink files: EIO/g)).toHaveLength(1)
  const logged = await stopSteady(app)
  const { totals } = await settled(collector, logged)
  expect(totals).toMatchObject({ accepted: logged, delivered: logged, expired: 0, rejected: 0, lost: {} })
  expect(missingAndTwice(collector.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'and its collector ends with %s: the next one has as expired what the spool had given up, and what only memory held of that',
  async (signal) => {
    await using dir = await tempDir()
    await using disk = await faultyDisk()
    const args = configFor(dir.path, { sinks: twoSinks(dir.path) })
    const first = await startCollector({ dir: dir.path, args, env: disk.env })
    await using good = await startSteady(first, { service: 'good', perTick: 2, padBytes: 100 })
    await using bad = await startSteady(first, { service: 'a', perTick: 10, padBytes: 2_000 })
    const kept = (sink: string, service: string) => keptLines(join(dir.path, sink, service))
    await until(() => kept('good', 'good').length > 100 && kept('hung', 'a').length > 100, { what: 'both are written' })
    disk.set(['write', '/hung/', 'hang'], ['sync', '/hung/', 'hang'])
    const before = await until(
      async () => {
        const now = await first.status()
        return now.totals.expired > 2_000 && now
      },
      { what: 'records expire', timeoutMs: 45_000, everyMs: 100 },
    )
    // The sink and its queue hold more than the spool has.
    expect(before.totals.pending).toBeGreaterThan((1.5 * before.spool.bytesMax) / 2_000)
    first.process.kill(signal)
    expect(await first.process.ended).toEqual({ code: null, signal: 'SIGKILL' })
    disk.set()
    await using second = await startCollector({ dir: dir.path, args, port: first.port })
    const logged = { good: await stopSteady(good), bad: await stopSteady(bad) }
    const { totals } = await settled(second, logged.good + logged.bad)
    expect(missingAndTwice(kept('good', 'good'), logged.good)).toEqual({ missing: '', twice: '' })
    const late = numbersOf(kept('hung', 'a'))
    expect(new Set(late).size).toBe(late.length)
    const lost = Object.values(totals.lost).reduce((sum, records) => sum + records, 0)
    expect(late.length).toBe(logged.bad - totals.expired - lost)
    expect(totals.expired).toBeGreaterThan(before.totals.expired)
    expect(totals).toMatchObject({ accepted: logged.good + logged.bad, delivered: logged.good + late.length, pending: 0 })
  },
)

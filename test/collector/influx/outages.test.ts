/** A database that hangs, and what it costs: no memory, no other sink, and not the end of the collector. */
import { expect, test } from 'vitest'
import { drainMaxMs } from '../../../wire/limits.ts'
import { startCollector, tempDir } from '../../support/processes.ts'
import { ScriptedInflux } from '../../support/scripted-influx.ts'
import { until } from '../../support/until.ts'
import { configFor, settled, startSteady, stopSteady } from '../spooling.ts'
import { influxSink, isLong, longMs, residentBytes } from './influx-run.ts'

const mebibyte = 1_048_576

function bothSinks(dir: string, url: string, more = ''): string {
  return `${influxSink(url, more)}, files: { type: file, path: '${dir}/logs/{service}.ndjson', rotate: { size: 1GiB } }`
}

test(
  'a server that hangs costs neither memory nor the other sink; back, it gets everything',
  async () => {
    await using server = await ScriptedInflux.start()
    await using dir = await tempDir()
    const sinks = bothSinks(dir.path, server.url, ', version: 1, timeout: 1s, queue: { lines: 2000, bytes: 1MiB }')
    await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { maxBytes: '2GiB', sinks }) })
    await using app = await startSteady(collector, { service: 'shop', perTick: 10, padBytes: 200 })
    await until(() => server.stored.size > 1_000, { what: 'it writes' })
    server.answer = () => ({ kind: 'hang' })
    await until(async () => (await collector.status()).sinks['influx']?.error !== undefined, { what: 'a request has hung' })
    const pending = async () => (await collector.status()).sinks['influx']?.pendingRecords ?? 0
    // The queue is full and more comes: from here on nothing of it is in memory.
    await until(async () => (await pending()) > 10_000, { what: 'it is behind' })
    const before = residentBytes(collector.process.pid)
    let most = 0
    const endsAtMs = performance.now() + (isLong ? 120_000 : 4_000)
    await until(
      async () => {
        const { sinks: now } = await collector.status()
        expect(now['files']?.pendingRecords).toBeLessThan(2_000)
        most = Math.max(most, residentBytes(collector.process.pid))
        return performance.now() > endsAtMs
      },
      { what: 'it has hung for long', timeoutMs: 200_000, everyMs: 100 },
    )
    expect(most - before).toBeLessThan(48 * mebibyte)
    // One request at a time, and none left behind.
    expect(server.sockets.size).toBeLessThanOrEqual(1)
    server.answer = () => ({ kind: 'status', status: 204 })
    const logged = await stopSteady(app)
    const { totals } = await settled(collector, logged)
    expect(totals).toMatchObject({ delivered: logged, expired: 0, rejected: 0 })
    expect(server.stored.size).toBe(logged)
    expect([...server.stored.values()].every((times) => times === 1)).toBe(true)
    expect(collector.process.stderr).toMatch(/no whole answer within 1000 ms; it keeps trying/)
    expect(collector.process.stderr).toMatch(/again after .*, in which \d+ requests failed; [\d,]+ records waited/)
  },
  longMs,
)

test.each(['hang', 'refuse'] as const)(
  'a server that %ss does not hold up the end of the collector, and the next one writes what is owed',
  async (how) => {
    await using server = await ScriptedInflux.start()
    await using dir = await tempDir()
    const args = configFor(dir.path, { maxBytes: '1GiB', sinks: bothSinks(dir.path, server.url, ', version: 1, timeout: 60s') })
    const first = await startCollector({ dir: dir.path, args })
    await using app = await startSteady(first, { service: 'shop', perTick: 5, padBytes: 20 })
    await until(() => server.stored.size > 100, { what: 'it writes' })
    server.answer = () => (how === 'hang' ? { kind: 'hang' } : { kind: 'status', status: 503, headers: { 'retry-after': '300' } })
    await until(async () => ((await first.status()).sinks['influx']?.pendingRecords ?? 0) > 3_000, { what: 'records wait' })
    const logged = await stopSteady(app)
    const atMs = performance.now()
    first.process.kill('SIGTERM')
    expect(await first.process.ended).toEqual({ code: 0, signal: null })
    expect(performance.now() - atMs).toBeLessThan(drainMaxMs + 3_000)
    await first[Symbol.asyncDispose]()
    server.answer = () => ({ kind: 'status', status: 204 })
    await using second = await startCollector({ dir: dir.path, args, port: first.port })
    expect((await settled(second, logged)).totals).toMatchObject({ delivered: logged, expired: 0 })
    expect(server.stored.size).toBe(logged)
  },
)

test('wrong credentials raise an alarm, the spool holds what comes, and once they are right it goes on by itself', async () => {
  await using server = await ScriptedInflux.start()
  await using dir = await tempDir()
  const sink = influxSink(server.url, ', version: 3, token: my-secret-token')
  await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { sinks: sink }) })
  server.answer = () => ({ kind: 'status', status: 401, body: 'bad token my-secret-token' })
  await using app = await startSteady(collector, { service: 'shop', perTick: 2 })
  const status = async () => (await collector.status()).sinks['influx']
  await until(async () => ((await status())?.retries ?? 0) > 2, { what: 'it has been refused' })
  expect((await status())?.error).toBe('401 bad token ***')
  expect((await status())?.lastError).toBe('401 bad token ***')
  server.answer = () => ({ kind: 'status', status: 204 })
  const logged = await stopSteady(app)
  expect((await settled(collector, logged)).totals).toMatchObject({ delivered: logged, rejected: 0 })
  const said = collector.process.stderr
  expect(said).toContain('refuses what it is sent: 401 bad token ***. Somebody has to look at it')
  expect(said + collector.process.stdout + JSON.stringify(await collector.status())).not.toContain('my-secret-token')
})

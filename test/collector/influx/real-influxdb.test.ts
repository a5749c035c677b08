/** The real InfluxDB 1.6: everything once, whatever is killed meanwhile. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { encodeAttributes, type InstrumentPoints } from '../../../wire/points.ts'
import { metricTopic } from '../../../wire/topic.ts'
import { runCli } from '../../cli/run-cli.ts'
import { findInfluxd, startInfluxOne } from '../../support/influx-servers.ts'
import { startCollector, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { HandMadeAgent } from '../hand-made-agent.ts'
import { configFor, settled, startSteady, stopSteady } from '../spooling.ts'
import { influxSink, isLong, longMs, startCounted, sumBelow } from './influx-run.ts'

const influxd = await findInfluxd()

test(
  'log lines of two processes of one service and host are all there, each once',
  async () => {
    const lines = isLong ? 1_000_000 : 60_000
    await using server = await startInfluxOne(influxd)
    await using dir = await tempDir()
    await using collector = await startCollector({
      dir: dir.path,
      args: configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url) }),
    })
    const apps = [startCounted(collector, lines / 2), startCounted(collector, lines / 2)]
    for (const app of apps) expect(await app.ended).toEqual({ code: 0, signal: null })
    const { totals, sinks } = await settled(collector, lines)
    expect(totals).toMatchObject({ delivered: lines, rejected: 0, expired: 0 })
    expect(sinks['influx']).toMatchObject({ written: lines, rejected: 0, retries: 0 })
    const [row] = await server.query('select count(message), count(n), sum(n), min(n), max(n) from logs')
    expect(row?.slice(1)).toEqual([lines, lines, 2 * sumBelow(lines / 2), 0, lines / 2 - 1])
    expect(await server.query('select count(n) from logs group by level')).toHaveLength(6)
  },
  longMs,
)

test(
  'points of metrics are all there, each once',
  async () => {
    const frames = isLong ? 2_000 : 60
    const perFrame = 500
    await using server = await startInfluxOne(influxd)
    await using dir = await tempDir()
    await using collector = await startCollector({
      dir: dir.path,
      args: configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url) }),
    })
    await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
    const topic = metricTopic('shop', 'http')
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    for (let frame = 0; frame < frames; frame += 1) {
      const points = Array.from({ length: perFrame }, (_, i) => ({
        attributes: encodeAttributes({ route: `/${i % 50}` }),
        value: frame * perFrame + i,
      }))
      const instruments: InstrumentPoints[] = [{ name: 'http.requests', type: 'counter', unit: '1', description: '', points }]
      // All of one moment: only their numbers keep them apart.
      await agent.points(topic, frame * perFrame, { startMs: 1_700_000_000_000, endMs: 1_700_000_010_000, instruments })
    }
    const count = frames * perFrame
    await agent.manifest({ topics: { [topic]: { lead: count } }, final: true })
    await settled(collector, count)
    const [row] = await server.query('select count(value), sum(value), max(value) from "http.requests"')
    expect(row?.slice(1)).toEqual([count, sumBelow(count), count - 1])
    const hosts = await server.query('show tag values from "http.requests" with key = "host"')
    expect(hosts).toEqual([['host', 'test-host']])
  },
  longMs,
)

test(
  'killed and started anew ten times while lines come, it has each of them once',
  async () => {
    await using server = await startInfluxOne(influxd)
    await using dir = await tempDir()
    await using collector = await startCollector({
      dir: dir.path,
      args: configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url) }),
    })
    await using app = await startSteady(collector, { service: 'shop', perTick: isLong ? 50 : 10, padBytes: 10 })
    for (let kill = 0; kill < 10; kill += 1) {
      const written = async () => (await collector.status()).sinks['influx']?.written ?? 0
      const before = await written()
      await until(async () => (await written()) > before + 200, { what: 'it writes' })
      await server.kill('SIGKILL')
      const retries = async () => (await collector.status()).sinks['influx']?.retries ?? 0
      const failed = await retries()
      await until(async () => (await retries()) > failed, { what: 'a write fails' })
      await server.start()
    }
    const logged = await stopSteady(app)
    const { totals, sinks } = await settled(collector, logged)
    expect(totals).toMatchObject({ delivered: logged, rejected: 0, expired: 0, lost: {} })
    expect(sinks['influx']?.retries).toBeGreaterThanOrEqual(10)
    const [row] = await server.query('select count(message), count(n), sum(n), max(n) from logs')
    expect(row?.slice(1)).toEqual([logged, logged, sumBelow(logged), logged - 1])
    expect(collector.process.stderr.match(/it keeps trying/g)?.length).toBeGreaterThanOrEqual(10)
    expect(collector.process.stderr).toMatch(
      /sink influx: writing to http\S+ telemetry again after .*, in which .* failed; [\d,]+ records waited/,
    )
  },
  longMs,
)

test(
  'a collector killed and started anew while it is away and while it is back leaves each line there once',
  async () => {
    await using server = await startInfluxOne(influxd)
    await using dir = await tempDir()
    const args = configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url) })
    let collector = await startCollector({ dir: dir.path, args })
    await using _last = { [Symbol.asyncDispose]: () => collector[Symbol.asyncDispose]() }
    await using app = await startSteady(collector, { service: 'shop', perTick: isLong ? 50 : 10, padBytes: 10 })
    for (let round = 0; round < (isLong ? 10 : 4); round += 1) {
      const count = async () => (await server.query('select count(n) from logs'))[0]?.[1] as number | undefined
      const before = (await count()) ?? 0
      await until(async () => ((await count()) ?? 0) > before + 200, { what: 'lines arrive' })
      if (round % 2 === 1) await server.kill('SIGKILL')
      collector.process.kill('SIGKILL')
      await collector.process.ended
      const { port } = collector
      await collector[Symbol.asyncDispose]()
      collector = await startCollector({ dir: dir.path, args, port })
      if (round % 2 === 1) await server.start()
    }
    const logged = await stopSteady(app)
    expect((await settled(collector, logged)).totals).toMatchObject({ delivered: logged, rejected: 0, expired: 0, lost: {} })
    const [row] = await server.query('select count(message), count(n), sum(n), max(n) from logs')
    expect(row?.slice(1)).toEqual([logged, logged, sumBelow(logged), logged - 1])
  },
  longMs,
)

test('lines it refuses are rejected in the books, also after the collector was killed, and kept in a file', async () => {
  await using server = await startInfluxOne(influxd)
  await using dir = await tempDir()
  // `n` is text there already.
  await fetch(`${server.url}/write?db=telemetry`, { method: 'POST', body: 'logs,service=shop n="text"' })
  const args = configFor(dir.path, {
    sinks: `${influxSink(server.url, ', topics: [log.error.>]')}, all: { type: file, path: '${dir.path}/all/{service}.ndjson' }`,
  })
  const collector = await startCollector({ dir: dir.path, args })
  await using app = startCounted(collector, 600)
  expect(await app.ended).toEqual({ code: 0, signal: null })
  const { totals, sinks } = await settled(collector, 600)
  expect(totals).toMatchObject({ delivered: 500, rejected: 100 })
  expect(sinks['influx']).toMatchObject({ rejected: 100, written: 0 })
  // The books are on the disk with the next checkpoint.
  await until(async () => (await collector.status()).spool.segments > 1, { what: 'the books are written down' })
  collector.process.kill('SIGKILL')
  await collector.process.ended
  await using again = await startCollector({ dir: dir.path, args, port: collector.port })
  expect((await settled(again)).totals).toMatchObject({ delivered: 500, rejected: 100 })
  const kept = readFileSync(join(dir.path, 'rejected/influx.ndjson'), 'utf8').trim().split('\n')
  expect(new Set(kept.map((line) => (JSON.parse(line) as { line: string }).line)).size).toBe(100)
  expect(kept[0]).toContain('field type conflict')
})

test('validate --connect tells of a server that is away, of wrong credentials, and of a database that is not there', async () => {
  await using server = await startInfluxOne(influxd, { user: 'writer', password: 'sesame-sesame' })
  await using dir = await tempDir()
  const check = async (sink: string) => {
    const args = configFor(dir.path, { sinks: `influx: { type: influxdb, ${sink} }` })
    const run = await runCli(['validate', '--connect', args[1] ?? ''])
    return { code: run.code, out: run.stdout.split('\n')[1], err: run.stderr.trim() }
  }
  const good = `url: '${server.url}', database: telemetry, user: writer, password: sesame-sesame`
  expect(await check(good)).toEqual({ code: 0, out: `sinks.influx: ${server.url} telemetry can be written to`, err: '' })
  expect(await check(`${good}, retentionPolicy: autogen`)).toMatchObject({ code: 0 })
  expect(await check(`${good}, retentionPolicy: weekly`)).toMatchObject({
    code: 1,
    err: expect.stringContaining('retention policy not found: weekly'),
  })
  expect(await check(good.replace('telemetry', 'nowhere'))).toMatchObject({
    code: 1,
    err: expect.stringContaining('404 database not found: "nowhere"'),
  })
  const wrong = await check(good.replace('sesame-sesame', 'wrong-secret'))
  expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('401 authorization failed') })
  expect(JSON.stringify(wrong)).not.toContain('wrong-secret')
  await server.kill('SIGTERM')
  expect(await check(good)).toMatchObject({ code: 1, err: expect.stringContaining('ECONNREFUSED') })
})

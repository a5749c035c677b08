/** Points of several processes, over real sockets, through a real collector to its files and to `/metrics`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ExponentialHistogram } from '../../../wire/exponential-histogram.ts'
import { encodeAttributes, type InstrumentPoints, type PointsBody } from '../../../wire/points.ts'
import { logTopic, metricTopic } from '../../../wire/topic.ts'
import { freePorts, startCollector, type TestCollector, tempDir } from '../../support/processes.ts'
import { checkMetrics, findPromtool } from '../../support/promtool.ts'
import { until } from '../../support/until.ts'
import { HandMadeAgent } from '../hand-made-agent.ts'

let promtool = ''
// Downloading it takes a while where it is not installed.
beforeAll(async () => {
  promtool = await findPromtool()
}, 300_000)

const topic = metricTopic('shop', 'http')
const intervalMs = 10_000

function bodyOf(...instruments: readonly InstrumentPoints[]): PointsBody {
  const startMs = Math.floor(Date.now() / intervalMs) * intervalMs
  return { startMs, endMs: startMs + intervalMs, instruments }
}

const counter = (name: string, value: number, attributes = {}): InstrumentPoints => ({
  ...{ name, type: 'counter', unit: '{request}', description: 'Requests answered.' },
  points: [{ attributes: encodeAttributes(attributes), value }],
})
const upDown = (name: string, value: number): InstrumentPoints => ({
  ...{ name, type: 'upDownCounter', unit: '{connection}', description: '' },
  points: [{ attributes: '{}', value }],
})
const gauge = (name: string, last: number, min: number, max: number): InstrumentPoints => ({
  ...{ name, type: 'gauge', unit: 'By', description: 'Heap in use.' },
  points: [{ attributes: '{}', last, min, max }],
})
function histogram(name: string, values: readonly number[]): InstrumentPoints {
  const recorded = new ExponentialHistogram()
  for (const value of values) recorded.record(value)
  return { ...{ name, type: 'histogram', unit: 's', description: 'Time to answer.' }, points: [{ attributes: '{}', ...recorded.value() }] }
}

async function scraped(collector: TestCollector, accept?: string): Promise<string> {
  const response = await fetch(`http://${collector.http}/metrics`, accept === undefined ? {} : { headers: { accept } })
  return response.text()
}

/** Lines of a scrape that begin with a name. */
async function linesOf(collector: TestCollector, name: string): Promise<string[]> {
  return (await scraped(collector)).split('\n').filter((line) => line.startsWith(name))
}

describe('metrics of several processes', () => {
  test('are one series each under /metrics, by the rules of their type, and Prometheus has nothing to say about them', async () => {
    await using collector = await startCollector()
    await using first = await HandMadeAgent.connect(collector, { service: 'shop' })
    await using second = await HandMadeAgent.connect(collector, { service: 'shop' })
    for (const [agent, n] of [
      [first, 1],
      [second, 10],
    ] as const) {
      await agent.points(
        topic,
        0,
        bodyOf(
          counter('http.requests', 3 * n, { route: '/pay "now"\n' }),
          upDown('http.connections', 4 * n),
          gauge('http.heap', 5 * n, 4 * n, 6 * n),
          histogram('http.request.duration', [0.1 * n, 0.2 * n]),
        ),
      )
      await agent.manifest({ topics: { [topic]: { lead: 4 } } })
    }
    await until(async () => (await linesOf(collector, 'http_request_duration_seconds_count'))[0]?.endsWith(' 4'), { what: 'all is there' })
    expect(await linesOf(collector, 'http_requests_total')).toEqual(['http_requests_total{service="shop",route="/pay \\"now\\"\\n"} 33'])
    expect(await linesOf(collector, 'http_connections')).toEqual(['http_connections{service="shop"} 44'])
    expect(await linesOf(collector, 'http_heap_bytes')).toEqual([
      'http_heap_bytes{service="shop",agg="sum"} 55',
      'http_heap_bytes{service="shop",agg="min"} 4',
      'http_heap_bytes{service="shop",agg="max"} 60',
      'http_heap_bytes{service="shop",agg="last"} 50',
    ])
    expect(await linesOf(collector, 'http_request_duration_seconds_bucket{service="shop",le="0.25"}')).toEqual([
      'http_request_duration_seconds_bucket{service="shop",le="0.25"} 2',
    ])
    const text = await scraped(collector)
    expect(await checkMetrics(promtool, text)).toBe('')

    // Said goodbye: what it had open is closed, what it counted stays counted.
    await second.manifest({ topics: { [topic]: { lead: 4 } }, final: true })
    await until(async () => (await linesOf(collector, 'http_connections'))[0] === 'http_connections{service="shop"} 4', {
      what: 'one is left',
    })
    expect(await linesOf(collector, 'http_requests_total')).toEqual(['http_requests_total{service="shop",route="/pay \\"now\\"\\n"} 33'])
  })

  test('count once, however often they come, and only the new part of what comes again', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
    const one = bodyOf(counter('http.a', 1), counter('http.b', 10))
    const longer = bodyOf(counter('http.a', 1), counter('http.b', 10), counter('http.c', 100))
    for (const body of [one, one, longer, longer]) await agent.points(topic, 0, body)
    await agent.manifest({ topics: { [topic]: { lead: 3 } } })
    await until(async () => (await linesOf(collector, 'http_c_total')).length === 1, { what: 'the new point is there' })
    expect(await linesOf(collector, 'http_')).toEqual([
      'http_a_total{service="shop"} 1',
      'http_b_total{service="shop"} 10',
      'http_c_total{service="shop"} 100',
    ])
    expect((await collector.status()).totals).toMatchObject({ accepted: 3, delivered: 3, duplicates: 7, inFlight: 0 })
  })

  test('that cannot be read are refused, counted by fault, and harm no other', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
    const bad = bodyOf({ ...counter('http.a', 1), points: [{ attributes: '{"a":\n1}', value: 1 }] } as InstrumentPoints)
    await agent.points(topic, 0, bad)
    await agent.points(logTopic('info', 'shop'), 0, bodyOf(counter('http.a', 1)))
    await agent.points(topic, 0, bodyOf(counter('http.a', 2)))
    await until(async () => (await linesOf(collector, 'http_a_total'))[0] === 'http_a_total{service="shop"} 2', {
      what: 'the good one is there',
    })
    expect((await collector.status()).ingest.refused).toMatchObject({ points: 1, topic: 1 })
  })
})

test('windows of a service can be asked for once they are closed', async () => {
  await using dir = await tempDir()
  const config = join(dir.path, 'spillway.yaml')
  writeFileSync(config, 'rollup: { interval: 1s, late: 0s, keep: [service] }')
  await using collector = await startCollector({ args: ['-c', config] })
  await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
  const endMs = Math.ceil(Date.now() / 1_000) * 1_000
  const instruments = [
    counter('http.requests', 3, { route: '/a' }),
    counter('http.requests', 4, { route: '/b' }),
    histogram('http.time', [1, 1, 8]),
  ]
  await agent.points(topic, 0, { startMs: endMs - 1_000, endMs, instruments })
  const windows = async (query: string) => {
    const response = await fetch(`http://${collector.http}/windows.json${query}`)
    return (await response.json()) as { readonly windows: readonly { readonly startMs: number; readonly series: readonly object[] }[] }
  }
  await until(async () => (await windows('?service=shop')).windows.length > 0, { what: 'the window is closed' })
  const told = await windows('?service=shop')
  const own = { service: 'shop', attributes: '{}' }
  expect(told).toMatchObject({ intervalMs: 1_000, lateMs: 0, seriesNotShown: 0 })
  expect(told.windows.at(-1)?.series).toMatchObject([
    { ...own, name: 'http.requests', type: 'counter', unit: '{request}', delta: 7 },
    { ...own, name: 'http.time', type: 'histogram', unit: 's', count: 3, sum: 10, min: 1, max: 8, p50: 1 },
  ])
  expect((await windows('?service=another')).windows.flatMap(({ series }) => series)).toEqual([])
})

test('points outlive a collector that is killed: its file has each once, and what it had not written comes from the spool', async () => {
  await using dir = await tempDir()
  const kept = join(dir.path, 'points.ndjson')
  const config = join(dir.path, 'spillway.yaml')
  writeFileSync(config, `sinks: { points: { type: file, topics: ['metric.>'], path: ${kept} } }`)
  const options = { dir: join(dir.path, 'data'), port: await freePorts(), args: ['-c', config] }
  const sent = Array.from({ length: 40 }, (_, n) => bodyOf(counter('http.a', n), upDown('http.b', n)))
  const origin = 'killed-collector'
  {
    await using collector = await startCollector(options)
    await using agent = await HandMadeAgent.connect(collector, { service: 'shop', origin })
    for (const [n, body] of sent.slice(0, 25).entries()) await agent.points(topic, 2 * n, body)
    await until(async () => (await collector.status()).totals.received >= 20, { what: 'some have come' })
    collector.process.kill('SIGKILL')
    await collector.process.ended
  }
  await using collector = await startCollector(options)
  await using agent = await HandMadeAgent.connect(collector, { service: 'shop', origin })
  // As an agent does: everything that is not acknowledged, and what followed.
  for (const [n, body] of sent.entries()) await agent.points(topic, 2 * n, body)
  await agent.manifest({ topics: { [topic]: { lead: 80 } }, final: true })
  await until(async () => (await collector.status()).totals.delivered === 80, { what: 'all points are delivered' })
  const values = readFileSync(kept, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line)) as { readonly name: string; readonly delta?: number }[]
  expect(values).toHaveLength(80)
  expect(
    values
      .filter(({ name }) => name === 'http.a')
      .map(({ delta }) => delta)
      .sort((a = 0, b = 0) => a - b),
  ).toEqual(sent.map((_, n) => n))
  expect((await collector.status()).totals).toMatchObject({ accepted: 80, delivered: 80, lost: {}, inFlight: 0 })
})

test('a file sink keeps a line of JSON for each point', async () => {
  await using dir = await tempDir()
  const kept = join(dir.path, 'points.ndjson')
  const config = join(dir.path, 'spillway.yaml')
  writeFileSync(config, `sinks: { points: { type: file, topics: ['metric.>'], path: ${kept} } }`)
  await using collector = await startCollector({ args: ['-c', config] })
  await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
  const body = bodyOf(
    counter('http.requests', 3, { route: '/pay' }),
    upDown('http.connections', 4),
    gauge('http.heap', 5, 4, 6),
    histogram('http.request.duration', [0, 0.5]),
    {
      name: 'http.size',
      type: 'buckets',
      unit: 'By',
      description: '',
      points: [{ attributes: '{}', sum: 7, bounds: [1, 5], counts: [1, 0, 2] }],
    },
  )
  await agent.points(topic, 0, body)
  await agent.manifest({ topics: { [topic]: { lead: 5 } }, final: true })
  await until(async () => (await collector.status()).totals.delivered === 5, { what: 'all points are delivered' })
  const lines = readFileSync(kept, 'utf8').trimEnd().split('\n')
  const head = { time: body.endMs, interval: intervalMs, service: 'shop', origin: agent.origin, attributes: {} }
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { ...head, name: 'http.requests', type: 'counter', unit: '{request}', attributes: { route: '/pay' }, delta: 3 },
    { ...head, name: 'http.connections', type: 'upDownCounter', unit: '{connection}', value: 4 },
    { ...head, name: 'http.heap', type: 'gauge', unit: 'By', last: 5, min: 4, max: 6 },
    {
      ...{ ...head, name: 'http.request.duration', type: 'histogram', unit: 's', count: 2, sum: 0.5, min: 0, max: 0.5, scale: 8 },
      ...{ zeroCount: 1, positive: { offset: -257, counts: [1] }, negative: { offset: 0, counts: [] } },
    },
    { ...head, name: 'http.size', type: 'buckets', unit: 'By', count: 3, sum: 7, bounds: [1, 5], counts: [1, 0, 2] },
  ])
})

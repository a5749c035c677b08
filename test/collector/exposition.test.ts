/** Names, conflicts, bounds and formats of what `/metrics` tells of the applications. */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { negotiated } from '../../collector/exposition/negotiate.ts'
import { protobufType } from '../../collector/exposition/protobuf-format.ts'
import { openMetricsType, prometheusText, prometheusTextType } from '../../collector/exposition/text-format.ts'
import { ApplicationFamilies } from '../../collector/rollup/application-families.ts'
import { labelPairs, metricName } from '../../collector/rollup/prometheus-names.ts'
import { RollUp } from '../../collector/rollup/roll-up.ts'
import { ExponentialHistogram } from '../../wire/exponential-histogram.ts'
import { exposedBucketsMax } from '../../wire/limits.ts'
import { encodeAttributes, type InstrumentPoints, type PointType } from '../../wire/points.ts'
import { metricTopic } from '../../wire/topic.ts'
import { checkMetrics, findPromtool } from '../support/promtool.ts'
import { pointsBody } from '../wire/points-in-test.ts'

let promtool = ''
// Downloading it takes a while where it is not installed.
beforeAll(async () => {
  promtool = await findPromtool()
}, 300_000)

const nowMs = 1_780_000_000_000

function exposing(samplesMax?: number) {
  const families = new ApplicationFamilies(samplesMax)
  const rollUp = new RollUp(
    { intervalMs: 10_000, lateMs: 30_000, keep: undefined, drop: [], seriesMax: 10_000 },
    {
      endedAtMs: () => Number.POSITIVE_INFINITY,
      added: (series) => families.add(series),
      removed: (series) => families.remove(series),
    },
  )
  let seq = 0
  const send = (...instruments: readonly InstrumentPoints[]) => {
    rollUp.merge({ startMs: nowMs - 10_000, endMs: nowMs, instruments }, { topic: metricTopic('shop', 'x'), origin: 'a', seq }, nowMs)
    seq += 1_000
  }
  const expose = () => families.expose((contributor) => rollUp.isCurrent(contributor, nowMs))
  const samples = () =>
    prometheusText(expose().families)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
  return { rollUp, families, send, expose, samples }
}

const counter = (name: string, value: number, attributes: Record<string, string | number | boolean> = {}): InstrumentPoints => ({
  ...{ name, type: 'counter', unit: '', description: 'Counted.' },
  points: [{ attributes: encodeAttributes(attributes), value }],
})
function histogram(values: readonly number[], attributes = {}): InstrumentPoints {
  const recorded = new ExponentialHistogram()
  for (const value of values) recorded.record(value)
  const points = [{ attributes: encodeAttributes(attributes), ...recorded.value() }]
  return { name: 'took', type: 'histogram', unit: 's', description: 'Time.', points }
}

test.each<[name: string, type: PointType, unit: string, becomes: string]>([
  ['http.server.request.duration', 'histogram', 's', 'http_server_request_duration_seconds'],
  ['payments', 'counter', '1', 'payments_total'],
  ['payments.total', 'counter', '{payment}', 'payments_total'],
  ['cpu.time', 'counter', 's', 'cpu_time_seconds_total'],
  ['cpu.time.seconds.total', 'counter', 's', 'cpu_time_seconds_total'],
  ['cpu.utilization', 'gauge', '1', 'cpu_utilization_ratio'],
  ['pool.share', 'upDownCounter', '1', 'pool_share'],
  ['heap', 'upDownCounter', 'By', 'heap_bytes'],
  ['disk.speed', 'gauge', 'MiBy/s', 'disk_speed_mebibytes_per_second'],
  ['rate', 'gauge', '{request}/s', 'rate_per_second'],
  ['odd', 'gauge', 'bananas', 'odd_bananas'],
  ['odd', 'gauge', 'constructor', 'odd_constructor'],
  ['2xx..responses--', 'counter', '', '_2xx_responses_total'],
  ['日本', 'gauge', '', '_'],
])('%s (%s, %j) is called %4$s', (name, type, unit, becomes) => expect(metricName({ name, type, unit }).name).toBe(becomes))

test('labels keep out of the way of those that mean something, and of each other', () => {
  const attributes = { '9a': 1, __name__: 'x', 'a.b': 'y', a_b: 'z', le: true, service: 'mine', '': '' }
  expect(labelPairs('shop', attributes)).toEqual([
    ['service', 'shop'],
    ['key_9a', '1'],
    ['key__name__', 'x'],
    ['a_b', 'y;z'],
    ['exported_le', 'true'],
    ['exported_service', 'mine'],
    ['key_', ''],
  ])
})

test('whatever applications send, Prometheus can read it', async () => {
  for (const body of fc.sample(pointsBody, 40)) {
    const { send, expose } = exposing()
    send(...body.instruments)
    // Names are the applications' own, and it may find fault with them; it must be able to read them.
    await checkMetrics(promtool, prometheusText(expose().families))
  }
}, 60_000)

describe('names that become the same', () => {
  test('of one kind are one series where their labels are the same, too', () => {
    const { send, samples } = exposing()
    send(counter('a.b', 1, { x: 1 }), counter('a_b', 10, { x: '1' }), counter('a.b', 100, { x: 2 }))
    expect(samples()).toEqual(['a_b_total{service="shop",x="1"} 11', 'a_b_total{service="shop",x="2"} 100'])
  })

  test('of two kinds belong to the first, the other is counted as hidden; and the collector keeps its own', () => {
    const { families, rollUp, send, samples } = exposing()
    send(histogram([1]), { ...counter('took.seconds.count', 1), type: 'upDownCounter' } as InstrumentPoints)
    send(counter('spillway.collector.records.lost', 7))
    expect(families.conflicting).toBe(2)
    expect(samples().filter((line) => /^(?:took_seconds_count|spillway)/.test(line))).toEqual(['took_seconds_count{service="shop"} 1'])
    // Once it is gone its name is free.
    rollUp.tick(nowMs + 4 * 3_600_000)
    expect(families.conflicting).toBe(0)
  })
})

describe('classic buckets', () => {
  test('hold exactly what was at most so large, of any values, the same bounds for all series of a name, at most so many', () => {
    const values = fc.array(
      fc.oneof(fc.double({ min: 1e-9, max: 1e9, noNaN: true }), fc.double({ min: 0.1, max: 10, noNaN: true }), fc.constant(0)),
      { minLength: 1, maxLength: 30 },
    )
    fc.assert(
      fc.property(fc.array(values, { minLength: 1, maxLength: 4 }), (all) => {
        const { send, expose } = exposing()
        for (const [i, each] of all.entries()) send(histogram(each, { i }))
        const [family] = expose().families
        if (family?.kind !== 'histogram') throw new Error('expected a histogram')
        const bounds = family.samples[0]?.buckets.map(([bound]) => bound) ?? []
        expect(bounds.length).toBeLessThanOrEqual(exposedBucketsMax + 1)
        for (const [i, { buckets, count }] of family.samples.entries()) {
          expect(buckets.map(([bound]) => bound)).toEqual(bounds)
          for (const [bound, below] of buckets) expect(below).toBe(all[i]?.filter((value) => value <= bound).length)
          expect(buckets.at(-1)?.[1] ?? count).toBe(count)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('only ever get a wider range, and never a count that goes down', () => {
    const { send, expose } = exposing()
    let before = new Map<number, number>()
    for (const value of [1, 1.5, 100, 0.001, 1e6, 1e-6, 1e12, 1e-12, 1e100]) {
      send(histogram([value]))
      const [family] = expose().families
      if (family?.kind !== 'histogram') throw new Error('expected a histogram')
      const now = new Map(family.samples[0]?.buckets)
      for (const [bound, below] of now) expect(below).toBeGreaterThanOrEqual(before.get(bound) ?? 0)
      before = now
    }
  })
})

test('no answer has more lines than it may; the series it has no room for are counted', () => {
  const { send, expose } = exposing(100)
  for (let i = 0; i < 150; i += 1) send(counter('a', 1, { i }))
  send(histogram([1]))
  const { families, hidden } = expose()
  expect(hidden).toBe(51)
  expect(
    prometheusText(families)
      .split('\n')
      .filter((line) => line.startsWith('a_total')),
  ).toHaveLength(100)
})

test.each([
  [undefined, prometheusTextType],
  ['*/*', prometheusTextType],
  ['text/html, text/plain;q=0.5', prometheusTextType],
  ['application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', openMetricsType],
  ['application/openmetrics-text;version=2.0.0,text/plain;q=0.1', prometheusTextType],
  [
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8',
    protobufType,
  ],
  ['application/vnd.google.protobuf;encoding=text', prometheusTextType],
  ['application/openmetrics-text;q=0', prometheusTextType],
  ['application/openmetrics-text;q=banana', prometheusTextType],
  [','.repeat(10_000), prometheusTextType],
])('%j gets %s', (accept, type) => expect(negotiated(accept).type).toBe(type))

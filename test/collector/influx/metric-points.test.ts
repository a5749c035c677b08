/** What points of metrics become; read back by the tests' own parser. */
import { expect, test } from 'vitest'
import { MetricPoints } from '../../../collector/sinks/influx/metric-points.ts'
import { TagGuard } from '../../../collector/sinks/influx/tag-guard.ts'
import type { Entry } from '../../../collector/sinks/sink.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { type Attributes, encodeAttributes, encodePoints, type InstrumentPoints } from '../../../wire/points.ts'
import { metricTopic } from '../../../wire/topic.ts'
import { parseLines } from './parse-line-protocol.ts'

const origin = 'origin-000000001'
const endMs = 1_700_000_010_000
const unit = { unit: '1', description: '' }
const named = (attributes: Attributes = {}) => ({ attributes: encodeAttributes(attributes) })

function entryOf(instruments: readonly InstrumentPoints[], more: Partial<Entry> = {}): Entry {
  const lines = encodePoints({ startMs: endMs - 10_000, endMs, instruments })
  const count = instruments.reduce((sum, { points }) => sum + points.length, 0)
  return {
    ...{ position: 0, end: 1, topic: metricTopic('shop', 'http'), kind: frameKinds.points, origin, seq: 0, timeMs: endMs },
    ...{ lines, count, receivedAtMs: 0, isSpooled: true, ...more },
  }
}

function made(instruments: readonly InstrumentPoints[], { buckets = false } = {}) {
  const metrics = new MetricPoints({ buckets, origin: true, constant: { region: 'eu' } }, new TagGuard(3, () => undefined))
  return (metrics.lines(entryOf(instruments), 'web1') ?? [])
    .flatMap((line) => parseLines(line, 'pairs'))
    .map(({ measurement, tags, fields, time }) => ({
      measurement,
      tags: Object.fromEntries(tags),
      tagCount: tags.length,
      fields: Object.fromEntries(fields),
      time,
    }))
}

test('a point is one under the name of its metric, with its attributes as tags', () => {
  const [point] = made([
    { name: 'http.requests', type: 'counter', ...unit, points: [{ ...named({ route: '/a b', ok: true, n: 5 }), value: 3 }] },
  ])
  expect(point).toMatchObject({
    measurement: 'http.requests',
    tags: { service: 'shop', host: 'web1', origin, region: 'eu', route: '/a b', ok: 'true', n: '5' },
    fields: { value: 3 },
  })
  expect(String(point?.time)).toMatch(new RegExp(`^${endMs}\\d{6}$`))
})

test('each kind has its fields', () => {
  const histogram = {
    sum: 7,
    min: 1,
    max: 4,
    scale: 0,
    zeroCount: 1,
    positive: { offset: -1, counts: [1, 1, 1] },
    negative: { offset: 0, counts: [] },
  }
  const instruments: InstrumentPoints[] = [
    { name: 'up', type: 'upDownCounter', ...unit, points: [{ ...named(), value: -2.5 }] },
    { name: 'gauge', type: 'gauge', ...unit, points: [{ ...named(), last: 2, min: 1, max: 3 }] },
    { name: 'time', type: 'histogram', ...unit, points: [{ ...named(), ...histogram }] },
    { name: 'old', type: 'buckets', ...unit, points: [{ ...named(), sum: 20, bounds: [1, 2], counts: [2, 2, 0] }] },
  ]
  const [up, gauge, time, old] = made(instruments).map(({ fields }) => fields)
  expect(up).toEqual({ value: -2.5 })
  expect(gauge).toEqual({ value: 2, min: 1, max: 3 })
  expect(time).toMatchObject({ count: 4n, sum: 7, min: 1, max: 4 })
  expect(Object.keys(time ?? {})).toEqual(['count', 'sum', 'min', 'max', 'p50', 'p90', 'p99'])
  expect(old).toMatchObject({ count: 4n, sum: 20, p50: 1, p90: 1.8 })
  const [, , withBuckets, oldBuckets] = made(instruments, { buckets: true }).map(({ fields }) => fields)
  expect(withBuckets).toMatchObject({
    scale: 0n,
    zero_count: 1n,
    positive_offset: -1n,
    positive: '1 1 1',
    negative_offset: 0n,
    negative: '',
  })
  expect(oldBuckets).toMatchObject({ bounds: '1 2', counts: '2 2 0' })
})

test('points of one frame have times of their own, the same each time they are made', () => {
  const points = Array.from({ length: 500 }, (_, n) => ({ ...named({ n: n % 3 }), value: n }))
  const instruments: InstrumentPoints[] = [{ name: 'm', type: 'counter', ...unit, points }]
  const once = made(instruments)
  expect(new Set(once.map(({ time }) => time)).size).toBe(500)
  expect(made(instruments)).toEqual(once)
})

test('an attribute cannot take the place of a tag that is there, nor make one twice', () => {
  const attributes = { service: 'evil', host: 'evil', region: 'evil', time: 'x', 'a\\b': 1, 'a/b': 2, 'x,service=y': 'z' }
  const [point] = made([{ name: 'm', type: 'counter', ...unit, points: [{ ...named(attributes), value: 1 }] }])
  expect(point?.tags).toMatchObject({
    service: 'shop',
    host: 'web1',
    region: 'eu',
    service_: 'evil',
    host_: 'evil',
    region_: 'evil',
    time_: 'x',
  })
  expect(point?.tagCount).toBe(Object.keys(point?.tags ?? {}).length)
})

test('values of an attribute without end are folded', () => {
  const points = Array.from({ length: 5 }, (_, n) => ({ ...named({ user: `u${n}` }), value: n }))
  expect(made([{ name: 'm', type: 'counter', ...unit, points }]).map(({ tags }) => tags['user'])).toEqual([
    'u0',
    'u1',
    'u2',
    '~other',
    '~other',
  ])
})

test('a body that cannot be read is none', () => {
  const metrics = new MetricPoints({ buckets: false, origin: true, constant: {} }, new TagGuard(3, () => undefined))
  const entry = entryOf([{ name: 'm', type: 'counter', ...unit, points: [{ ...named(), value: 1 }] }], { lines: Buffer.from([0xc0]) })
  expect(metrics.lines(entry, 'web1')).toBeUndefined()
})

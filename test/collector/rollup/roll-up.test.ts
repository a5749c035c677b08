/** The roll-up against exact arithmetic: however points are spread over processes, frames and windows, they merge to the whole. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Ledger } from '../../../collector/ledger.ts'
import { overflowAttributes, RollUp, type RollUpConfig } from '../../../collector/rollup/roll-up.ts'
import type { Series } from '../../../collector/rollup/series.ts'
import { slicePoints } from '../../../collector/slice-points.ts'
import { ExponentialHistogram, relativeErrorMax } from '../../../wire/exponential-histogram.ts'
import { rollupSeriesIdleMs, rollupValueAgeMs, rollupWindowsKept } from '../../../wire/limits.ts'
import { compilePatterns } from '../../../wire/pattern.ts'
import { encodeAttributes, type InstrumentPoints, type PointsBody } from '../../../wire/points.ts'
import { metricTopic } from '../../../wire/topic.ts'
import { nearestSum } from '../../wire/exact-sum.ts'
import { pointCount } from '../../wire/points-in-test.ts'

const intervalMs = 10_000
const lateMs = 30_000
const topic = metricTopic('shop', 'http')
/** A whole multiple of the interval. */
const base = 1_780_000_000_000
const runs = { numRuns: 200 }

function rolling(more: Partial<RollUpConfig> = {}) {
  const ended = new Map<string, number>()
  const present = new Set<Series>()
  const rollUp = new RollUp(
    { intervalMs, lateMs, keep: undefined, drop: [], seriesMax: 1_000, ...more },
    {
      endedAtMs: (origin) => ended.get(origin) ?? Number.POSITIVE_INFINITY,
      added: (series) => present.add(series),
      removed: (series) => present.delete(series),
    },
  )
  const numbers = new Map<string, number>()
  /** Points of an interval, numbered behind what the origin has sent. */
  const send = (origin: string, interval: number, instruments: readonly InstrumentPoints[], nowMs: number) => {
    const startMs = base + interval * intervalMs
    const body = { startMs, endMs: startMs + intervalMs, instruments }
    const seq = numbers.get(origin) ?? 0
    numbers.set(origin, seq + pointCount(body))
    rollUp.merge(body, { topic, origin, seq }, nowMs)
  }
  const only = () => {
    const [series, ...others] = present
    if (series === undefined || others.length > 0) throw new Error(`expected one series, got ${present.size}`)
    return series
  }
  const reading = (nowMs: number) => {
    const { total } = only()
    if (total.type !== 'gauge' && total.type !== 'upDownCounter') throw new Error('expected a gauge')
    return total.value.reading((contributor) => rollUp.isCurrent(contributor, nowMs))
  }
  return { rollUp, ended, present, send, only, reading }
}

const described = { name: 'http.requests', unit: '1', description: '' }
const counter = (value: number, attributes = {}): InstrumentPoints => ({
  ...described,
  type: 'counter',
  points: [{ attributes: encodeAttributes(attributes), value }],
})
const upDown = (value: number, attributes = {}): InstrumentPoints => ({
  ...described,
  type: 'upDownCounter',
  points: [{ attributes: encodeAttributes(attributes), value }],
})
const gauge = (last: number, min: number, max: number): InstrumentPoints => ({
  ...described,
  type: 'gauge',
  points: [{ attributes: '{}', last, min, max }],
})
function histogram(values: readonly number[], scale = 8): InstrumentPoints {
  const recorded = new ExponentialHistogram()
  for (const value of values) recorded.record(value)
  recorded.coarsenTo(scale)
  return { ...described, type: 'histogram', points: [{ attributes: '{}', ...recorded.value() }] }
}

/** Measurements, and where and when each was taken. */
const places = { origin: fc.nat(3).map((n) => `origin-${n}`), interval: fc.nat(2) }
const positive = fc.double({ min: 0, max: 1e12, noNaN: true })
const measured = fc.array(fc.record({ ...places, value: positive }), { minLength: 1, maxLength: 60 })

/** What two doubles next to each other differ by, at most. */
function isNearest(got: number, expected: number): boolean {
  return Math.abs(got - expected) <= Math.abs(expected) * Number.EPSILON
}

describe('any partition of what was measured merges to the whole', () => {
  test('counters: the sum since the start and that of every window are exact to the double', () => {
    fc.assert(
      fc.property(measured, (points) => {
        const { rollUp, send, only } = rolling()
        for (const { origin, interval, value } of points) send(origin, interval, [counter(value)], base + 3 * intervalMs)
        const { total } = only()
        expect(total.type === 'counter' && isNearest(total.value.value, nearestSum(points.map(({ value }) => value)))).toBe(true)
        rollUp.tick(base + 3 * intervalMs + lateMs)
        const intervals = [...new Set(points.map(({ interval }) => interval))].sort()
        expect(rollUp.windows.map(({ startMs }) => startMs)).toEqual(intervals.map((interval) => base + interval * intervalMs))
        for (const { startMs, series } of rollUp.windows) {
          const within = points.filter(({ interval }) => base + interval * intervalMs === startMs).map(({ value }) => value)
          const [summary] = series
          expect(summary !== undefined && 'delta' in summary && isNearest(summary.delta, nearestSum(within))).toBe(true)
        }
      }),
      runs,
    )
  })

  test('histograms, of different scales as well: buckets are those of one histogram, and quantiles within its error', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            ...places,
            scale: fc.integer({ min: 0, max: 8 }),
            values: fc.array(fc.double({ min: 1e-6, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 40 }),
          }),
          { minLength: 1, maxLength: 12 },
        ),
        (points) => {
          const { rollUp, send, only } = rolling()
          const whole = new ExponentialHistogram()
          for (const { origin, interval, values, scale } of points) {
            send(origin, interval, [histogram(values, scale)], base + 3 * intervalMs)
            whole.coarsenTo(scale)
            for (const value of values) whole.record(value)
          }
          const { total } = only()
          if (total.type !== 'histogram') throw new Error('expected a histogram')
          const { sum, ...buckets } = total.value.histogram.value()
          const { sum: expectedSum, ...expected } = whole.value()
          expect(buckets).toEqual(expected)
          expect(isNearest(sum, expectedSum)).toBe(true)
          rollUp.tick(base + 3 * intervalMs + lateMs)
          for (const { startMs, series } of rollUp.windows) {
            const within = points.filter(({ interval }) => base + interval * intervalMs === startMs)
            const values = within.flatMap((point) => point.values).sort((a, b) => a - b)
            // The window's own scale is no coarser than the whole's.
            const error = relativeErrorMax(whole.scale) * (1 + 1e-9)
            const [summary] = series
            if (summary === undefined || !('p50' in summary)) throw new Error('expected quantiles')
            expect(summary).toMatchObject({ count: values.length, min: values[0], max: values.at(-1) })
            for (const [share, told] of [
              [0.5, summary.p50],
              [0.9, summary.p90],
              [0.99, summary.p99],
            ] as const) {
              const exact = values[Math.ceil(share * values.length) - 1] ?? Number.NaN
              expect(Math.abs(told - exact)).toBeLessThanOrEqual(error * exact)
            }
          }
        },
      ),
      runs,
    )
  })

  test('histograms with bounds of their own: what lies below a common bound is exact', () => {
    const layouts = [[1, 2, 5, 10], [2, 5], [1, 3, 5, 20], [5]]
    fc.assert(
      fc.property(
        fc.array(fc.record({ ...places, layout: fc.nat(3), values: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1 }) }), {
          minLength: 1,
          maxLength: 8,
        }),
        (points) => {
          const { send, only } = rolling()
          for (const { origin, interval, layout, values } of points) {
            const bounds = layouts[layout] ?? []
            const counts = [...bounds, Number.POSITIVE_INFINITY].map(
              (bound, i) => values.filter((value) => value <= bound && value > (bounds[i - 1] ?? -1)).length,
            )
            const sum = values.reduce((all, value) => all + value, 0)
            send(
              origin,
              interval,
              [{ ...described, type: 'buckets', points: [{ attributes: '{}', sum, bounds, counts }] }],
              base + 3 * intervalMs,
            )
          }
          const { total } = only()
          if (total.type !== 'buckets') throw new Error('expected buckets')
          const values = points.flatMap((point) => point.values)
          const common = layouts[points[0]?.layout ?? 0]?.filter((bound) => points.every(({ layout }) => layouts[layout]?.includes(bound)))
          expect(total.value.below()).toEqual(common?.map((bound) => [bound, values.filter((value) => value <= bound).length]))
          expect(total.value.count).toBe(values.length)
          expect(total.value.sum).toBe(values.reduce((all, value) => all + value, 0))
        },
      ),
      runs,
    )
  })

  test('up-down counters and gauges: the newest value of every living origin, in whatever order they come', () => {
    const said = fc.array(fc.record({ origin: fc.nat(3), value: fc.integer() }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(said, fc.array(fc.nat(3)), fc.infiniteStream(fc.nat()), (points, gone, order) => {
        const { rollUp, ended, reading } = rolling()
        const numbered = points.map(({ origin, value }, seq) => ({
          origin: `origin-${origin}`,
          value,
          seq,
          place: Number(order.next().value),
        }))
        for (const { origin, value, seq } of numbered.toSorted((a, b) => a.place - b.place)) {
          rollUp.merge({ startMs: base, endMs: base + intervalMs, instruments: [upDown(value)] }, { topic, origin, seq }, base)
        }
        for (const origin of gone) ended.set(`origin-${origin}`, base)
        const latest = new Map(numbered.map(({ origin, value }) => [origin, value]))
        const living = [...latest].filter(([origin]) => !ended.has(origin)).map(([, value]) => value)
        const sum = living.reduce((all, value) => all + value, 0)
        expect(reading(base)?.sum).toBe(living.length === 0 ? undefined : sum)
        rollUp.tick(base + 1)
        expect(reading(base)?.sum).toBe(living.length === 0 ? undefined : sum)
      }),
      runs,
    )
  })

  test('frames that come twice, overlap and come out of order count once, as the ledger says', () => {
    const sendings = fc.array(fc.record({ from: fc.nat(19), count: fc.integer({ min: 1, max: 20 }) }), { maxLength: 20 })
    fc.assert(
      fc.property(fc.array(positive, { minLength: 20, maxLength: 20 }), sendings, (values, sent) => {
        const { rollUp, only } = rolling()
        const ledger = new Ledger(compilePatterns(['metric.>']), 0)
        const whole: PointsBody = { startMs: base, endMs: base + intervalMs, instruments: values.map((value) => counter(value)) }
        for (const { from, count } of [...sent, { from: 0, count: 20 }]) {
          const take = Math.min(count, values.length - from)
          const body = slicePoints(whole, from, take)
          const receipt = ledger.receive('origin-0', topic, { seq: from, count: take }, 0)
          for (const range of receipt?.fresh ?? []) {
            const fresh = slicePoints(body, range.from - from, range.to - range.from)
            expect(pointCount(fresh)).toBe(range.to - range.from)
            rollUp.merge(fresh, { topic, origin: 'origin-0', seq: range.from }, base)
          }
        }
        const { total } = only()
        // What lies before the first frame that came is joined by a manifest only.
        const first = Math.min(...[...sent, { from: 0 }].slice(0, 1).map(({ from }) => from))
        expect(total.type === 'counter' && isNearest(total.value.value, nearestSum(values.slice(first)))).toBe(true)
      }),
      runs,
    )
  })
})

describe('windows', () => {
  test('take what is late for a while; then it counts since the start only', () => {
    const { rollUp, send, only } = rolling()
    const end = base + intervalMs
    send('a', 0, [counter(1)], end)
    send('b', 0, [counter(2)], end + lateMs - 1)
    send('c', 0, [counter(4)], end + lateMs)
    expect(rollUp.counts).toMatchObject({ points: 3, late: 1 })
    rollUp.tick(end + lateMs - 1)
    expect(rollUp.windows).toEqual([])
    rollUp.tick(end + lateMs)
    expect(rollUp.windows).toMatchObject([{ startMs: base, endMs: end, series: [{ service: 'shop', name: 'http.requests', delta: 3 }] }])
    const { total } = only()
    expect(total.type === 'counter' && total.value.value).toBe(7)
    send('d', 0, [counter(8)], base)
    expect(rollUp.counts).toMatchObject({ points: 4, late: 2 })
  })

  test('of a clock that is far ahead are the one of now; of one that is a little ahead, its own', () => {
    const { rollUp, send } = rolling()
    send('a', 1_000_000, [counter(1)], base)
    send('b', 2, [counter(2)], base)
    expect(rollUp.counts).toMatchObject({ points: 2, ahead: 1, late: 0 })
    rollUp.tick(base + 10 * intervalMs)
    expect(rollUp.windows.map(({ startMs, series }) => [startMs, series])).toMatchObject([
      [base, [{ delta: 1 }]],
      [base + 2 * intervalMs, [{ delta: 2 }]],
    ])
  })

  test('go on when the clock was set back', () => {
    const { rollUp, send } = rolling()
    send('a', 1_000, [counter(1)], base + 1_000 * intervalMs)
    rollUp.tick(base + 2_000 * intervalMs)
    rollUp.tick(base)
    send('a', 0, [counter(2)], base)
    expect(rollUp.counts).toMatchObject({ points: 2, late: 0, ahead: 0 })
    rollUp.tick(base + 10 * intervalMs)
    expect(rollUp.windows).toHaveLength(2)
  })

  test('do not count an origin that ended before their end, and are kept for a while only', () => {
    const { rollUp, ended, send } = rolling()
    for (const origin of ['a', 'b']) send(origin, 0, [upDown(origin === 'a' ? 1 : 10)], base + intervalMs)
    for (const origin of ['a', 'b']) send(origin, 1, [upDown(origin === 'a' ? 2 : 20)], base + 2 * intervalMs)
    ended.set('b', base + 2 * intervalMs - 1)
    rollUp.tick(base + 2 * intervalMs + lateMs)
    expect(rollUp.windows.map(({ series }) => series)).toMatchObject([[{ sum: 11 }], [{ sum: 2 }]])
    for (let interval = 2; interval < 100; interval += 1) {
      send('a', interval, [upDown(1)], base + interval * intervalMs)
      rollUp.tick(base + interval * intervalMs)
    }
    expect(rollUp.windows).toHaveLength(rollupWindowsKept)
  })
})

describe('values', () => {
  test('of a gauge: sum, least, greatest and last of all origins', () => {
    const { send, reading } = rolling()
    send('a', 0, [gauge(5, 1, 9)], base)
    send('b', 0, [gauge(6, 4, 7)], base + 1)
    expect(reading(base + 2)).toEqual({ sum: 11, min: 1, max: 9, last: 6, atMs: base + 1 })
    // It is told when it is set, and stands while its process lives.
    expect(reading(base + 2 * rollupSeriesIdleMs)?.sum).toBe(11)
  })

  test('of an up-down counter do not outlive its being said', () => {
    const { send, reading } = rolling()
    send('a', 0, [upDown(5)], base)
    expect(reading(base + rollupValueAgeMs - 1)?.sum).toBe(5)
    expect(reading(base + rollupValueAgeMs)).toBeUndefined()
  })

  test('that are too many give way to newer ones, counted', () => {
    const { rollUp, present, send } = rolling({ seriesMax: 2, drop: ['id'] })
    for (let id = 0; id < 10_000; id += 1) send('a', 0, [upDown(1, { id })], base)
    expect(present.size).toBe(1)
    const [series] = present
    const kept = series?.total.type === 'upDownCounter' ? series.total.value.size : 0
    expect(kept).toBeLessThanOrEqual(100)
    expect(rollUp.counts.displaced).toBeGreaterThan(9_000)
  })
})

describe('attributes', () => {
  const keys = (present: ReadonlySet<Series>) => [...present].map(({ instrument, attributes }) => [instrument.service, attributes])

  test('that are dropped, or not kept, tell series apart no more', () => {
    const dropping = rolling({ drop: ['pid'] })
    const keeping = rolling({ keep: ['service', 'route'] })
    const serviceless = rolling({ keep: ['route'] })
    for (const { send } of [dropping, keeping, serviceless])
      for (const pid of [1, 2]) send('a', 0, [counter(pid, { method: 'GET', pid, route: '/' })], base)
    expect(keys(dropping.present)).toEqual([['shop', '{"method":"GET","route":"/"}']])
    expect(keys(keeping.present)).toEqual([['shop', '{"route":"/"}']])
    expect(keys(serviceless.present)).toEqual([[undefined, '{"route":"/"}']])
    for (const { only } of [dropping, keeping, serviceless]) expect(only().total).toMatchObject({ type: 'counter', value: { value: 3 } })
  })

  test('of one origin that become one series: its up-down counters add up', () => {
    const { send, reading } = rolling({ drop: ['pool'] })
    for (const [pool, value] of [
      ['a', 1],
      ['b', 10],
      ['a', 2],
    ] as const)
      send('o', 0, [upDown(value, { pool })], base)
    expect(reading(base)?.sum).toBe(12)
  })

  test('with too many values end in one overflow series of their instrument, and nothing of the sum is lost', () => {
    const { rollUp, present, send } = rolling({ seriesMax: 10 })
    for (let route = 0; route < 1_000; route += 1) send('a', 0, [counter(1, { route })], base)
    expect(present.size).toBe(11)
    expect(rollUp.series).toBe(10)
    expect(rollUp.counts).toMatchObject({ points: 1_000, overflow: 990 })
    const overflow = [...present].find(({ attributes }) => attributes === overflowAttributes)
    expect(overflow?.total).toMatchObject({ type: 'counter', value: { value: 990 } })
    // What nothing came for is forgotten, and there is room again.
    rollUp.tick(base + rollupSeriesIdleMs)
    expect([present.size, rollUp.series]).toEqual([0, 0])
    send('a', 0, [counter(1, { route: 5_000 })], base + rollupSeriesIdleMs)
    expect(rollUp.series).toBe(1)
  })
})

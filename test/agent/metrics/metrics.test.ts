import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ExponentialHistogram } from '../../../wire/exponential-histogram.ts'
import { batchBytesMax, idleIntervalsMax, instrumentsMax, prepareMaxMs, recordWeightMax } from '../../../wire/limits.ts'
import { SpillwayError } from '../../../wire/spillway-error.ts'
import { nearestSum } from '../../wire/exact-sum.ts'
import { ClockedMetrics } from './clocked-metrics.ts'

const everyMs = 10_000

describe('a definition', () => {
  const { metrics } = new ClockedMetrics()
  const codeOf = (work: () => unknown): [string, string] => {
    try {
      work()
    } catch (error) {
      if (error instanceof SpillwayError) return [error.code, error.message]
      throw error
    }
    throw new Error('nothing was thrown')
  }

  test.each<[string, unknown, object]>([
    ['an empty name', '', {}],
    ['a name that begins with a digit', '2xx', {}],
    ['a name with a space', 'http requests', {}],
    ['a name that is too long', 'n'.repeat(256), {}],
    ['a name that is none', 7, {}],
    ['a unit with a space', 'n', { unit: 'm / s' }],
    ['a unit that is not ASCII', 'n', { unit: 'µs' }],
    ['a unit that is too long', 'n', { unit: 's'.repeat(64) }],
    ['a unit with half an annotation', 'n', { unit: '{request' }],
    ['a unit that is none', 'n', { unit: 1 }],
    ['a description that is too long', 'n', { description: 'd'.repeat(1_025) }],
  ])('with %s is refused in words that help', (_, name, options) => {
    for (const create of ['createCounter', 'createHistogram', 'createObservableGauge'] as const) {
      const [code, message] = codeOf(() => metrics[create](name as string, options))
      expect(code).toBe('SPW_METRIC_INVALID')
      expect(message).toMatch(/^create\w+.*expected .*, got /)
    }
  })

  test.each(['s', 'By', '1', '%', '{request}', 'By/s', 'm/s2', 'kg.m2', '{fault}/{machine}', ''])('may have the unit %j', (unit) => {
    new ClockedMetrics().metrics.createGauge('g', { unit })
  })

  test('made again gives the same instrument, and whatever it leaves open is as it was', () => {
    const first = metrics.createCounter('payments', { unit: '1', description: 'payments taken' })
    expect(metrics.createCounter('payments', { unit: '1', description: 'payments taken' })).toBe(first)
    expect(metrics.createCounter('payments')).toBe(first)
  })

  test.each<[string, () => unknown]>([
    ['another type', () => metrics.createHistogram('payments', { unit: '1' })],
    ['another unit', () => metrics.createCounter('payments', { unit: 's' })],
    ['another description', () => metrics.createCounter('payments', { description: 'money' })],
    ['another case', () => metrics.createCounter('Payments', { unit: '1' })],
  ])('that conflicts by %s names both', (_, create) => {
    metrics.createCounter('payments', { unit: '1', description: 'payments taken' })
    const [code, message] = codeOf(create)
    expect(code).toBe('SPW_METRIC_CONFLICT')
    expect(message).toContain('Counter "payments" { unit: "1", description: "payments taken" }')
    expect(message).toMatch(/^\w+ "[pP]ayments" \{ unit: .*\} is defined already, as /)
  })

  test('too many are refused', () => {
    const crowd = new ClockedMetrics().metrics
    for (let i = 0; i < instrumentsMax; i += 1) crowd.createCounter(`c${i}`)
    expect(codeOf(() => crowd.createCounter('one-more'))[0]).toBe('SPW_METRIC_INVALID')
  })
})

describe('an interval', () => {
  test('ends at a whole multiple of itself and begins where the last one ended', async () => {
    const clocked = new ClockedMetrics()
    const counter = clocked.metrics.createCounter('c')
    await clocked.runFor(3_333)
    for (let i = 0; i < 5; i += 1) {
      counter.add(1)
      await clocked.runFor(everyMs)
    }
    const points = clocked.points('c', 'counter')
    expect(points).toHaveLength(5)
    for (const [i, { startMs, endMs }] of points.entries()) {
      expect(endMs % everyMs).toBe(0)
      if (i > 0) expect(startMs).toBe(points[i - 1]?.endMs)
    }
  })

  test('in which nothing came sends nothing but up-down counters, whose value is whole each time', async () => {
    const clocked = new ClockedMetrics()
    clocked.metrics.createCounter('x.counter').add(1)
    clocked.metrics.createGauge('x.gauge').record(7)
    clocked.metrics.createHistogram('x.histogram').record(7)
    const upDown = clocked.metrics.createUpDownCounter('x.updown')
    upDown.add(5, { pool: 'a' })
    upDown.add(-7, { pool: 'a' })
    await clocked.runFor(3 * everyMs)
    expect(clocked.points('x.counter', 'counter')).toHaveLength(1)
    expect(clocked.points('x.gauge', 'gauge')).toHaveLength(1)
    expect(clocked.points('x.histogram', 'histogram')).toHaveLength(1)
    expect(clocked.points('x.updown', 'upDownCounter').map(({ value }) => value)).toEqual([-2, -2, -2])
  })

  test('of a gauge keeps the last value, the least and the greatest', async () => {
    const clocked = new ClockedMetrics()
    const gauge = clocked.metrics.createGauge('g', { unit: 'Cel' })
    for (const value of [20, -3, 41, 30]) gauge.record(value)
    await clocked.runFor(everyMs)
    gauge.with({}).record(1)
    await clocked.runFor(everyMs)
    expect(clocked.points('g', 'gauge')).toMatchObject([
      { last: 30, min: -3, max: 41 },
      { last: 1, min: 1, max: 1 },
    ])
  })

  test('whatever the clock does and whoever listens, deltas are neither lost nor doubled', async () => {
    const attributes = [{}, { route: '/pay' }, { route: '/pay', ok: true }, { ok: true, route: '/pay' }, { n: 1 }, { n: '1' }] as const
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ add: fc.nat(2 ** 32), at: fc.nat(attributes.length - 1) }) },
      { weight: 3, arbitrary: fc.record({ runForMs: fc.nat(25_000) }) },
      { weight: 1, arbitrary: fc.record({ clockSetByMs: fc.integer({ min: -10 * 86_400_000, max: 10 * 86_400_000 }) }) },
      { weight: 1, arbitrary: fc.record({ isWanted: fc.boolean() }) },
      { weight: 1, arbitrary: fc.constant({ isFlushed: true }) },
      { weight: 1, arbitrary: fc.constant({ isStopped: true }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const clocked = new ClockedMetrics()
        const counter = clocked.metrics.createCounter('c')
        const histogram = clocked.metrics.createHistogram('c.h')
        const kept = new ExponentialHistogram()
        let totalKept = 0
        const exact: Record<string, bigint> = {}
        const names = ['{}', '{"route":"/pay"}', '{"ok":true,"route":"/pay"}', '{"ok":true,"route":"/pay"}', '{"n":1}', '{"n":"1"}']
        for (const step of steps) {
          if ('add' in step) {
            if (step.at % 2 === 0) counter.add(step.add, attributes[step.at])
            else counter.with(attributes[step.at] ?? {}).add(step.add)
            const name = names[step.at] ?? ''
            exact[name] = (exact[name] ?? 0n) + BigInt(step.add)
            histogram.record(step.add)
            kept.record(step.add)
            totalKept += 1
          } else if ('runForMs' in step) await clocked.runFor(step.runForMs)
          else if ('clockSetByMs' in step) clocked.process.clockSetByMs += step.clockSetByMs
          else if ('isWanted' in step) clocked.isWanted = step.isWanted
          else if ('isStopped' in step) clocked.process.stopFor(30_000)
          else clocked.metrics.collectNow({ isLast: false })
        }
        clocked.isWanted = true
        clocked.collectNow()
        expect(clocked.totals('c')).toEqual(Object.fromEntries(Object.entries(exact).map(([name, sum]) => [name, Number(sum)])))
        const merged = new ExponentialHistogram()
        for (const point of clocked.points('c.h', 'histogram')) merged.merge(point)
        expect(merged.count).toBe(totalKept)
        expect(merged.value()).toEqual(kept.value())
        for (const { body } of clocked.sent) expect(body.startMs).toBeLessThanOrEqual(body.endMs)
      }),
      { numRuns: 200 },
    )
  })

  test('after interval of fractions sends what adds up to the sum of what was added', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 20 }), { minLength: 1 }),
        async (intervals) => {
          const clocked = new ClockedMetrics()
          const bound = clocked.metrics.createCounter('c').with({})
          for (const values of intervals) {
            for (const value of values) bound.add(value)
            await clocked.runFor(everyMs)
          }
          const sent = clocked.points('c', 'counter').map(({ value }) => value)
          const exact = nearestSum(intervals.flat())
          // What is rounded away in one interval goes with the next; only the last one's is missing.
          expect(Math.abs(nearestSum(sent) - exact)).toBeLessThanOrEqual(exact * 2 ** -52 + 2 ** -33)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('nobody wants is not encoded, and comes whole to whoever subscribes later', async () => {
    const clocked = new ClockedMetrics()
    clocked.isWanted = false
    const counter = clocked.metrics.createCounter('c')
    for (let i = 0; i < 100; i += 1) {
      counter.add(1)
      await clocked.runFor(everyMs)
    }
    expect(clocked.sent).toEqual([])
    clocked.isWanted = true
    await clocked.runFor(everyMs)
    expect(clocked.points('c', 'counter')).toHaveLength(1)
    const [point] = clocked.points('c', 'counter')
    expect(point?.value).toBe(100)
    expect((point?.endMs ?? 0) - (point?.startMs ?? 0)).toBeGreaterThan(99 * everyMs)
  })

  test('of many series is encoded a few milliseconds at a time, in frames that are full but not too full', async () => {
    const clocked = new ClockedMetrics({ seriesMax: 10_000 })
    const histogram = clocked.metrics.createHistogram('h')
    for (let i = 0; i < 10_000; i += 1) for (let k = 1; k < 20; k += 1) histogram.record(k * 0.001, { route: `/route/${i}` })
    await clocked.runFor(everyMs)
    expect(clocked.points('h', 'histogram')).toHaveLength(10_000)
    expect(new Set(clocked.points('h', 'histogram').map(({ attributes }) => attributes)).size).toBe(10_000)
    expect(clocked.sent.length).toBeGreaterThan(5)
    for (const { count } of clocked.sent.slice(0, -1)) expect(count).toBeGreaterThan(100)
    expect(batchBytesMax).toBe(65_536)
  })
})

describe('series', () => {
  test('beyond the cap go to one, counted, and the warning names the attribute with the most values', async () => {
    const clocked = new ClockedMetrics({ seriesMax: 100 })
    const counter = clocked.metrics.createCounter('http.requests')
    for (let user = 0; user < 250; user += 1) counter.add(1, { route: user % 2 === 0 ? '/' : '/pay', user })
    counter.with({ user: 'another' }).add(7)
    counter.add(1, { user: 3, route: '/pay' })
    await clocked.runFor(everyMs)
    const totals = clocked.totals('http.requests')
    expect(Object.keys(totals)).toHaveLength(101)
    expect(totals['{"otel.metric.overflow":true}']).toBe(150 + 7)
    expect(totals['{"route":"/pay","user":3}']).toBe(2)
    expect(clocked.metrics.stats()).toEqual({ instruments: 1, series: 101, overflowed: 151, refused: 0 })
    expect(clocked.process.words).toEqual([expect.stringContaining('Counter "http.requests" has its 100 series')])
    expect(clocked.process.words[0]).toContain('the attribute with the most values is "user" (100)')
  })

  test('of ever new attributes take a bounded place', () => {
    const { metrics } = new ClockedMetrics({ seriesMax: 10 })
    const counter = metrics.createCounter('c')
    for (let i = 0; i < 100_000; i += 1) counter.add(1, { user: `u${i}`, [`key${i % 50}`]: true })
    expect(metrics.stats()).toMatchObject({ series: 11, overflowed: 100_000 - 10 })
  })

  test('nothing comes for and nobody holds are given up, and make room', async () => {
    const clocked = new ClockedMetrics({ seriesMax: 2 })
    const counter = clocked.metrics.createCounter('c')
    counter.add(1, { pod: 'old' })
    const held = counter.with({ pod: 'held' })
    held.add(1)
    await clocked.runFor((idleIntervalsMax + 2) * everyMs)
    counter.add(1, { pod: 'new' })
    held.add(1)
    await clocked.runFor(everyMs)
    expect(clocked.totals('c')).toEqual({ '{"pod":"old"}': 1, '{"pod":"held"}': 2, '{"pod":"new"}': 1 })
  })

  test('are the same for the same attributes, however they are given', () => {
    const { metrics } = new ClockedMetrics()
    const counter = metrics.createCounter('c')
    const bound = counter.with({ a: 1, b: 'x' })
    expect(counter.with({ b: 'x', a: 1 })).toBe(bound)
    expect(counter.with({ b: 'x', a: 1, c: undefined, d: null })).toBe(bound)
    expect(counter.with({ a: '1', b: 'x' })).not.toBe(bound)
    expect(counter.with({})).not.toBe(bound)
    expect(metrics.stats().refused).toBe(0)
  })
})

describe('what cannot be meant', () => {
  test('never throws, is left out, counted, and told once for each instrument', async () => {
    const clocked = new ClockedMetrics()
    const { metrics } = clocked
    const bad: readonly unknown[] = [Number.NaN, Number.POSITIVE_INFINITY, '5', undefined, null, 5n, {}, Symbol('s'), true, [5]]
    const counter = metrics.createCounter('x.counter')
    const upDown = metrics.createUpDownCounter('x.updown')
    const gauge = metrics.createGauge('x.gauge')
    const histogram = metrics.createHistogram('x.histogram')
    for (const value of bad as readonly number[]) {
      counter.add(value)
      counter.with({}).add(value)
      upDown.add(value)
      gauge.record(value)
      histogram.record(value)
    }
    counter.add(-1)
    expect(metrics.stats().refused).toBe(5 * bad.length + 1)
    await clocked.runFor(everyMs)
    expect(clocked.process.words).toHaveLength(4)
    expect(clocked.process.words[0]).toContain('Counter "x.counter": the value NaN cannot be kept')
    expect(clocked.sent.flatMap(({ body }) => body.instruments.map(({ name }) => name))).toEqual(['x.updown'])
  })

  test('is a weight that is no count of values', async () => {
    const clocked = new ClockedMetrics()
    const histogram = clocked.metrics.createHistogram('h')
    const bound = histogram.with({ route: '/pay' })
    const bad: readonly unknown[] = [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, recordWeightMax + 1, '2', null, 2n, {}]
    for (const weight of bad as readonly number[]) {
      histogram.record(1, { route: '/pay' }, weight)
      bound.record(1, weight)
    }
    histogram.record(1, { route: '/pay' }, recordWeightMax)
    bound.record(2, 10)
    bound.record(0)
    await clocked.runFor(everyMs)
    expect(clocked.metrics.stats().refused).toBe(2 * bad.length)
    expect(clocked.process.words).toEqual([expect.stringContaining('Histogram "h": the weight 0 cannot be kept')])
    const [point] = clocked.points('h', 'histogram')
    expect(point).toMatchObject({ sum: recordWeightMax + 20, min: 0, max: 2, zeroCount: 1 })
    expect(point?.positive.counts.filter((count) => count > 0)).toEqual([recordWeightMax, 10])
  })

  test('among attributes is left out or cut', async () => {
    const clocked = new ClockedMetrics()
    const counter = clocked.metrics.createCounter('c')
    counter.add(1, { route: '/pay', user: { id: 1 }, list: [1], at: Number.NaN, f: () => 1 } as never)
    counter.add(1, { long: 'x'.repeat(300) })
    counter.add(1, Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i])))
    counter.add(1, Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, 'ü'.repeat(256)])))
    counter.add(1, 'text' as never)
    await clocked.runFor(everyMs)
    const names = clocked.points('c', 'counter').map(({ attributes }) => attributes)
    expect(names[0]).toBe('{"route":"/pay"}')
    expect(names[1]).toBe(`{"long":"${'x'.repeat(256)}"}`)
    expect(Object.keys(JSON.parse(names[2] ?? ''))).toHaveLength(32)
    expect(Buffer.byteLength(names[3] ?? '')).toBeLessThanOrEqual(4_096)
    expect(clocked.metrics.stats().refused).toBeGreaterThan(5)
  })
})

describe('observable instruments', () => {
  test('are asked at the end of each interval; totals become increases, also when counting began anew', async () => {
    const clocked = new ClockedMetrics()
    let total = 0
    const counter = clocked.metrics.createObservableCounter('o.counter')
    const callback = (result: { observe(value: number): void }) => result.observe(total)
    counter.addCallback(callback)
    clocked.metrics.createObservableGauge('o.gauge').addCallback((result) => result.observe(total / 2, { of: 'total' }))
    clocked.metrics.createObservableUpDownCounter('o.updown').addCallback((result) => result.observe(-total))
    for (total of [5, 12, 3, 3, 10]) await clocked.runFor(everyMs)
    expect(clocked.points('o.counter', 'counter').map(({ value }) => value)).toEqual([5, 7, 3, 0, 7])
    expect(clocked.points('o.gauge', 'gauge').map(({ last }) => last)).toEqual([2.5, 6, 1.5, 1.5, 5])
    expect(clocked.points('o.updown', 'upDownCounter').map(({ value }) => value)).toEqual([-5, -12, -3, -3, -10])
    counter.removeCallback(callback)
    await clocked.runFor(everyMs)
    expect(clocked.points('o.counter', 'counter')).toHaveLength(5)
  })

  test('whose callback throws, or promises, hurt nobody', async () => {
    const clocked = new ClockedMetrics()
    const gauge = clocked.metrics.createObservableGauge('o.gauge')
    gauge.addCallback(() => {
      throw new Error('no')
    })
    gauge.addCallback(() => Promise.reject(new Error('no')))
    gauge.addCallback(async (result) => {
      await Promise.resolve()
      result.observe(1)
    })
    await clocked.runFor(everyMs)
    await clocked.runFor(everyMs)
    expect(clocked.points('o.gauge', 'gauge')).toHaveLength(1)
    expect(clocked.metrics.stats().refused).toBe(4)
  })
})

describe('what was aggregated elsewhere', () => {
  test('totals of a histogram with bounds of its own become increases, in every order of restarts and sendings', async () => {
    const bounds = [0.1, 1]
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)), fc.constant('restart'), fc.constant('send'))),
        async (steps) => {
          const clocked = new ClockedMetrics()
          const histogram = clocked.metrics.createBucketsHistogram('b')
          let [totals, sum] = [[0, 0, 0], 0]
          const exact = [0, 0, 0]
          for (const step of steps) {
            if (step === 'send') await clocked.runFor(everyMs)
            else if (step === 'restart') [totals, sum] = [[0, 0, 0], 0]
            else {
              totals = totals.map((total, i) => total + (step[i as 0] ?? 0))
              step.forEach((count, i) => {
                exact[i] = (exact[i] ?? 0) + count
              })
              sum += step[0]
            }
            // After a restart there is something before it is told: none of it may look like a total that went on.
            if (step !== 'restart') histogram.observe({ sum, bounds, counts: totals }, { le: 'own' })
            else histogram.observe({ sum: 0, bounds, counts: totals }, { le: 'own' })
          }
          clocked.collectNow()
          const counts = clocked
            .points('b', 'buckets')
            .reduce((all, point) => all.map((count, i) => count + (point.counts[i] ?? 0)), [0, 0, 0])
          expect(counts).toEqual(exact)
        },
      ),
    )
  })

  test('increases of a histogram with bounds of its own add up; where bounds differ, common ones are kept', async () => {
    const bounds = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }).map((all) => all.sort((a, b) => a - b))
    const step = fc.oneof(
      fc.record({ bounds, values: fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 1, maxLength: 5 }) }),
      fc.constant('send' as const),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step), async (steps) => {
        const clocked = new ClockedMetrics()
        const histogram = clocked.metrics.createBucketsHistogram('b')
        const upTo = (bound: number, values: readonly number[]): number => values.filter((value) => value <= bound).length
        let [sum, pending]: [number, number[]] = [0, []]
        for (const step of [...steps, 'send' as const]) {
          if (step !== 'send') {
            const totals = [...step.bounds.map((bound) => upTo(bound, step.values)), step.values.length]
            const counts = totals.map((total, i) => total - (totals[i - 1] ?? 0))
            const stepSum = step.values.reduce((all, value) => all + value, 0)
            histogram.merge({ sum: stepSum, bounds: step.bounds, counts })
            sum += stepSum
            pending.push(...step.values)
            continue
          }
          await clocked.runFor(everyMs)
          const sent = clocked.points('b', 'buckets').at(-1)
          if (pending.length > 0) {
            let counted = 0
            for (const [i, bound] of sent?.bounds.entries() ?? []) {
              counted += sent?.counts[i] ?? 0
              expect(counted).toBe(upTo(bound, pending))
            }
            expect(counted + (sent?.counts.at(-1) ?? 0)).toBe(pending.length)
          }
          pending = []
        }
        expect(clocked.points('b', 'buckets').reduce((all, point) => all + point.sum, 0)).toBe(sum)
      }),
    )
  })

  test('is given up like any other series once nothing comes for it', async () => {
    const clocked = new ClockedMetrics()
    clocked.metrics.createBucketsHistogram('b').merge({ sum: 1, bounds: [1], counts: [1, 0] }, { user: 1 })
    await clocked.runFor((idleIntervalsMax + 2) * everyMs)
    expect(clocked.metrics.stats().series).toBe(0)
  })

  test('may take time: the interval ends when it should, and waits for it, not for ever', async () => {
    const clocked = new ClockedMetrics()
    const gauge = clocked.metrics.createGauge('g')
    const told: string[] = []
    let value = 1
    let takesMs = prepareMaxMs / 2
    const asked = clocked.metrics.beforeCollect({
      prepare: () => {
        told.push('prepare')
        return new Promise<void>((resolve) => {
          clocked.process.after(takesMs, () => {
            value += 1
            resolve()
          })
        })
      },
      tell: () => {
        told.push('tell')
        gauge.record(value)
      },
    })
    await clocked.runFor(1.5 * everyMs)
    expect(clocked.points('g', 'gauge')).toMatchObject([{ last: 2, endMs: expect.any(Number) }])
    expect((clocked.points('g', 'gauge')[0]?.endMs ?? 1) % everyMs).toBe(0)
    takesMs = 3 * everyMs
    await clocked.runFor(everyMs)
    expect(clocked.points('g', 'gauge').map(({ last }) => last)).toEqual([2, 2])
    // At the end of the process there is no time.
    clocked.collectNow()
    expect(told).toEqual(['prepare', 'tell', 'prepare', 'tell', 'tell'])
    asked.cancel()
    await clocked.runFor(5 * everyMs)
    expect(told).toHaveLength(5)
  })

  test('is not asked for while nobody wants it, but may make itself known', async () => {
    const clocked = new ClockedMetrics()
    clocked.isWanted = false
    const told: string[] = []
    clocked.metrics.beforeCollect({
      discover: () => {
        told.push('discover')
        throw new Error('its own fault')
      },
      prepare: () => {
        told.push('prepare')
        return Promise.reject(new Error('its own fault'))
      },
      tell: () => void told.push('tell'),
    })
    clocked.metrics.createCounter('c')
    await clocked.runFor(1.5 * everyMs)
    expect(told).toEqual(['discover'])
    clocked.isWanted = true
    await clocked.runFor(everyMs)
    expect(told).toEqual(['discover', 'discover', 'prepare', 'tell'])
  })

  test('is asked for before each interval is read', async () => {
    const clocked = new ClockedMetrics()
    const merged = clocked.metrics.createHistogram('m')
    const other = new ExponentialHistogram()
    const asked = clocked.metrics.beforeCollect(() => {
      other.record(5)
      merged.merge(other.value(), { from: 'elsewhere' })
      other.clear()
      throw new Error('its own fault')
    })
    await clocked.runFor(2 * everyMs)
    asked.cancel()
    await clocked.runFor(2 * everyMs)
    expect(clocked.points('m', 'histogram').map(({ sum, attributes }) => [sum, attributes])).toEqual([
      [5, '{"from":"elsewhere"}'],
      [5, '{"from":"elsewhere"}'],
    ])
  })
})

describe('timers', () => {
  test.each([
    ['s', 1.5],
    ['ms', 1_500],
    ['us', 1_500_000],
    ['', 1.5],
    ['min', 0.025],
  ])('of a histogram in %j measure in it', async (unit, expected) => {
    const clocked = new ClockedMetrics()
    const histogram = clocked.metrics.createHistogram('t', { unit })
    const timer = histogram.startTimer({ route: '/pay', ok: false })
    const bound = histogram.with({ bound: true }).startTimer()
    await clocked.runFor(1_500)
    expect(timer.stop({ ok: true })).toBeCloseTo(expected, 9)
    expect(bound.stop()).toBeCloseTo(expected, 9)
    clocked.collectNow()
    const points = clocked.points('t', 'histogram')
    expect(points.map(({ attributes }) => attributes)).toEqual(['{"bound":true}', '{"ok":true,"route":"/pay"}'])
    for (const { sum } of points) expect(sum).toBeCloseTo(expected, 9)
  })
})

describe('at rest', () => {
  test('without an instrument and without measuring itself, nothing ever runs', async () => {
    const clocked = new ClockedMetrics()
    await clocked.runFor(100 * everyMs)
    expect(clocked.asked).toBe(0)
  })

  test('switched off, every call is taken and nothing is kept or sent', async () => {
    const clocked = new ClockedMetrics({ isDisabled: true, runtime: true })
    const counter = clocked.metrics.createCounter('c')
    for (let i = 0; i < 10_000; i += 1) counter.add(1, { user: i })
    counter.with({ user: 1 }).add(Number.NaN)
    await clocked.runFor(10 * everyMs)
    clocked.collectNow()
    expect([clocked.sent, clocked.asked, clocked.process.words]).toEqual([[], 0, []])
    expect(clocked.metrics.stats()).toMatchObject({ series: 1, overflowed: 0 })
  })

  test('the process is measured from the first interval on, and a shorter one sends nothing of it', async () => {
    const clocked = new ClockedMetrics({ runtime: true })
    const measure = clocked.process.measureItself.bind(clocked.process)
    clocked.process.measureItself = (metrics) => {
      metrics.createCounter('own.c').add(1)
      return measure(metrics)
    }
    clocked.metrics.createCounter('own.mine').add(1)
    await clocked.runFor(everyMs)
    expect(clocked.process.measuredInto).toBe(clocked.metrics)
    clocked.collectNow()
    expect(clocked.sent.flatMap(({ body }) => body.instruments.map(({ name }) => name))).toEqual(['own.mine'])
    await clocked.runFor(everyMs)
    expect(clocked.sent.flatMap(({ body }) => body.instruments.map(({ name }) => name))).toEqual(['own.mine', 'own.c'])
  })

  test('settings made later count: another interval, and not to measure itself after all', async () => {
    const clocked = new ClockedMetrics({ runtime: true })
    clocked.metrics.configure({ intervalMs: 1_000, runtime: false })
    const counter = clocked.metrics.createCounter('c')
    for (let i = 0; i < 5; i += 1) {
      counter.add(1)
      await clocked.runFor(1_000)
    }
    expect(clocked.points('c', 'counter')).toHaveLength(5)
    expect(clocked.process.measuredInto).toBeUndefined()
  })
})

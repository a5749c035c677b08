/** Histograms held against what they say they are: boundaries by exact integers, sums by exact fractions, ranks by sorting. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bucketIndex,
  bucketUpperBound,
  ExponentialHistogram,
  type HistogramValue,
  relativeErrorMax,
} from '../../wire/exponential-histogram.ts'
import { histogramBucketsMax, histogramScale } from '../../wire/limits.ts'
import { nearestSum } from './exact-sum.ts'

const finest = histogramScale.max
const perOctave = 2 ** finest
const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
const positive = fc.double({ min: Number.MIN_VALUE, noNaN: true, noDefaultInfinity: true })
/** What people measure, in seconds or bytes, and what they should not. */
const measured = fc.oneof(fc.double({ min: 1e-6, max: 1e3, noNaN: true }), fc.nat(1_000_000), fc.constant(0), finite)

function histogramOf(values: readonly number[]): ExponentialHistogram {
  const histogram = new ExponentialHistogram()
  for (const value of values) histogram.record(value)
  return histogram
}

function countOf({ zeroCount, positive, negative }: HistogramValue): number {
  return [zeroCount, ...positive.counts, ...negative.counts].reduce((sum, count) => sum + count, 0)
}

describe('buckets', () => {
  /** floor(2^52 * 2^(i/256)), by integer roots alone. */
  function exactMantissa(i: number): bigint {
    let root = 1n << BigInt(52 * perOctave + i)
    for (let halvings = 0; halvings < finest; halvings += 1) root = integerRoot(root)
    return root
  }

  function integerRoot(value: bigint): bigint {
    let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2))
    for (;;) {
      const next = (root + value / root) >> 1n
      if (next >= root) return root
      root = next
    }
  }

  test('end at the powers of 2^(1/256), to one unit in the last place', () => {
    for (let i = 0; i < perOctave; i += 1) {
      const boundary = BigInt(bucketUpperBound(i - 1, finest) * 2 ** 52)
      const distance = boundary - exactMantissa(i)
      expect(distance >= -1n && distance <= 2n).toBe(true)
    }
  })

  test('hold their upper end and nothing below or at their lower one', () => {
    fc.assert(
      fc.property(positive, fc.integer(histogramScale), (value, scale) => {
        const index = bucketIndex(value) >> (finest - scale)
        expect(value).toBeLessThanOrEqual(bucketUpperBound(index, scale) * (1 + 2 ** -51))
        if (value > 1e-300) expect(value).toBeGreaterThan(bucketUpperBound(index - 1, scale) * (1 - 2 ** -51))
      }),
      { numRuns: 10_000 },
    )
  })

  test('change exactly at their boundaries in every octave', () => {
    for (const exponent of [-1_022, -1, 0, 1, 52, 1_023]) {
      for (let i = 0; i < perOctave; i += 1) {
        const boundary = bucketUpperBound(i - 1, finest) * 2 ** exponent
        const index = exponent * perOctave + i
        expect(bucketIndex(boundary)).toBe(index - 1)
        expect(bucketIndex(boundary * (1 + 2 ** -52))).toBe(index)
      }
    }
  })

  test('are there for the smallest and the largest double', () => {
    expect(bucketIndex(Number.MIN_VALUE)).toBe(-1_074 * perOctave - 1)
    expect(bucketIndex(3 * Number.MIN_VALUE)).toBe(Math.ceil((Math.log2(3) - 1_074) * perOctave) - 1)
    expect(bucketIndex(2 ** -1_022)).toBe(-1_022 * perOctave - 1)
    expect(bucketIndex(Number.MAX_VALUE)).toBe(1_024 * perOctave - 1)
    const histogram = histogramOf([Number.MIN_VALUE, Number.MAX_VALUE, -Number.MIN_VALUE, -Number.MAX_VALUE, 0])
    expect(histogram.scale).toBe(histogramScale.min)
    expect(histogram.count).toBe(5)
    expect(countOf(histogram.value())).toBe(5)
  })

  test('are never more than 160, and as fine as that allows', () => {
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1, maxLength: 50 }), (values) => {
        const histogram = histogramOf(values)
        const { positive, scale } = histogram.value()
        expect(positive.counts.length).toBeLessThanOrEqual(histogramBucketsMax)
        const indexes = values.map(bucketIndex)
        const spanAt = (by: number): number => (Math.max(...indexes) >> by) - (Math.min(...indexes) >> by)
        expect(spanAt(finest - scale)).toBeLessThan(histogramBucketsMax)
        if (scale < finest) expect(spanAt(finest - scale - 1)).toBeGreaterThanOrEqual(histogramBucketsMax)
      }),
    )
  })
})

describe('merging', () => {
  test('any partition gives the whole, in any order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(measured, fc.nat(4)), { minLength: 1, maxLength: 200 }), fc.array(fc.nat(100)), (values, order) => {
        const parts = [0, 1, 2, 3, 4]
          .map((part) => histogramOf(values.filter(([, place]) => place === part).map(([value]) => value)))
          .filter(({ count }) => count > 0)
        for (const at of order) parts.push(...parts.splice(at % parts.length, 1))
        const merged = new ExponentialHistogram()
        for (const part of parts) merged.merge(part.value())
        const whole = histogramOf(values.map(([value]) => value))
        const { sum, ...rest } = merged.value()
        const { sum: wholeSum, ...wholeRest } = whole.value()
        expect(rest).toEqual(wholeRest)
        expect(merged.count).toBe(values.length)
        // Each part's sum was rounded once on its way; near the end of the doubles they are cut off as well.
        const magnitude = values.reduce((total, [value]) => total + Math.abs(value / 16), 0)
        if (magnitude < Number.MAX_VALUE / 64) expect(Math.abs(sum / 16 - wholeSum / 16)).toBeLessThanOrEqual(magnitude * 2 ** -50)
      }),
      { numRuns: 500 },
    )
  })

  test('sums of whole numbers are exact, in any partition', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), { minLength: 1 }), { minLength: 1 }), (parts) => {
        const merged = new ExponentialHistogram()
        for (const part of parts) merged.merge(histogramOf(part).value())
        expect(merged.sum).toBe(Number(parts.flat().reduce((sum, value) => sum + BigInt(value), 0n)))
      }),
    )
  })

  test('histograms of other scales, finer than ours too, become as coarse as the coarsest', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 50 }),
        fc.array(fc.tuple(fc.double({ min: 1, max: 1.0001, noNaN: true }), fc.integer({ min: 9, max: 20 })), { minLength: 1 }),
        fc.integer({ min: -4, max: 8 }),
        (ours, fine, coarse) => {
          const merged = histogramOf(ours)
          merged.coarsenTo(coarse)
          const expected = histogramOf([...ours, ...fine.map(([value]) => upperEnd(value, 20))])
          expected.coarsenTo(coarse)
          for (const [value, scale] of fine) merged.merge(oneValue(upperEnd(value, 20), scale))
          expect(merged.scale).toBe(expected.scale)
          expect(merged.value().positive).toEqual(expected.value().positive)
        },
      ),
    )
  })

  /** A value well inside a bucket of the finest scale there is, where no rounding moves it to another. */
  function upperEnd(value: number, scale: number): number {
    return 2 ** ((Math.floor(Math.log2(value) * 2 ** scale) + 0.5) / 2 ** scale)
  }

  function oneValue(value: number, scale: number): HistogramValue {
    const positive = { offset: Math.ceil(Math.log2(value) * 2 ** scale) - 1, counts: [1] }
    return { sum: value, min: value, max: value, scale, zeroCount: 0, positive, negative: { offset: 0, counts: [] } }
  }
})

describe('quantiles', () => {
  test('are no further from the value of that rank than the scale allows', () => {
    fc.assert(
      fc.property(fc.array(measured, { minLength: 1, maxLength: 300 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, quantile) => {
        const histogram = histogramOf(values)
        const sorted = values.toSorted((a, b) => a - b)
        const exact = sorted[Math.max(0, Math.ceil(quantile * values.length) - 1)] as number
        const estimate = histogram.quantile(quantile) as number
        // Below the normal doubles there are fewer than buckets.
        const error = relativeErrorMax(histogram.scale) * (1 + 2 ** -40)
        expect(Math.abs(estimate / 4 - exact / 4)).toBeLessThanOrEqual((Math.abs(exact) / 4) * error + Number.MIN_VALUE)
      }),
      { numRuns: 2_000 },
    )
  })

  test('the ends are the smallest and the largest value themselves, and of nothing there is none', () => {
    const histogram = histogramOf([3, -1.5, 0, 12])
    expect([histogram.quantile(0), histogram.quantile(1)]).toEqual([-1.5, 12])
    expect(new ExponentialHistogram().quantile(0.5)).toBeUndefined()
  })

  test('an error is told per scale', () => {
    expect(relativeErrorMax(8)).toBeCloseTo(0.00135, 5)
    expect(relativeErrorMax(0)).toBeCloseTo(1 / 3)
    expect(relativeErrorMax(-10)).toBe(1)
  })
})

describe('sums', () => {
  test('are the double nearest to the exact sum', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e100, max: 1e100, noNaN: true }), { maxLength: 100 }), (values) => {
        const exact = nearestSum(values)
        const magnitude = values.reduce((total, value) => total + Math.abs(value), 0)
        // What two doubles keep: one rounding of the total, and 2^-104 of all that was added.
        expect(Math.abs(histogramOf(values).sum - exact)).toBeLessThanOrEqual(
          Math.abs(exact) * 2 ** -52 + magnitude * values.length * 2 ** -104,
        )
      }),
    )
  })

  test('one that no double can hold is the largest there is', () => {
    expect(histogramOf([Number.MAX_VALUE, Number.MAX_VALUE]).sum).toBe(Number.MAX_VALUE)
    expect(histogramOf([-Number.MAX_VALUE, -Number.MAX_VALUE]).sum).toBe(-Number.MAX_VALUE)
  })

  test('interval by interval, with what was rounded off carried over, do not drift', () => {
    const histogram = new ExponentialHistogram()
    const values = Array.from({ length: 10_000 }, (_, i) => 0.1 * ((i % 7) + 1))
    const deltas: number[] = []
    values.forEach((value, i) => {
      histogram.record(value)
      if (i % 10 !== 9) return
      deltas.push(histogram.sum)
      histogram.clear(histogram.sumRest)
    })
    expect(nearestSum(deltas)).toBeCloseTo(nearestSum(values), 12)
  })
})

test('a value with a weight counts as that many of it', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(measured, fc.integer({ min: 1, max: 20 })), { minLength: 1, maxLength: 50 }), (values) => {
      const weighted = new ExponentialHistogram()
      for (const [value, weight] of values) weighted.record(value, weight)
      const { sum, ...rest } = weighted.value()
      const { sum: allSum, ...all } = histogramOf(values.flatMap(([value, weight]) => Array<number>(weight).fill(value))).value()
      expect(rest).toEqual(all)
      expect(weighted.count).toBe(values.reduce((count, [, weight]) => count + weight, 0))
      const magnitude = values.reduce((total, [value, weight]) => total + Math.abs(value / 1_024) * weight, 0)
      // Each product is rounded once, and so is either sum; near the end of the doubles they are cut off on the way as well.
      if (magnitude < Number.MAX_VALUE / 4_096)
        expect(Math.abs(sum / 1_024 - allSum / 1_024)).toBeLessThanOrEqual(magnitude * 2 ** -51 + Number.MIN_VALUE)
    }),
  )
  const beyond = new ExponentialHistogram()
  beyond.record(-Number.MAX_VALUE, 2)
  beyond.record(3, 1)
  expect(beyond.value()).toMatchObject({ sum: -Number.MAX_VALUE, max: 3 })
})

test('a cleared histogram is as a new one', () => {
  fc.assert(
    fc.property(fc.array(measured, { maxLength: 50 }), fc.array(measured, { minLength: 1, maxLength: 50 }), (before, after) => {
      const histogram = histogramOf(before)
      histogram.clear()
      expect(histogram.value()).toEqual(new ExponentialHistogram().value())
      for (const value of after) histogram.record(value)
      expect(histogram.value()).toEqual(histogramOf(after).value())
    }),
  )
})

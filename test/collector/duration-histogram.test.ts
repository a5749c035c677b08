import { expect, test } from 'vitest'
import { DurationHistogram } from '../../collector/duration-histogram.ts'

test('counts each duration in its bucket and every larger one', () => {
  const histogram = new DurationHistogram()
  for (const ms of [0, 1, 1.1, 99, 10_000, 10_001]) histogram.observe(ms)
  const { buckets, count, sumSeconds, maxSeconds } = histogram.counts()
  const below = new Map(buckets)
  expect([below.get(0.001), below.get(0.0025), below.get(0.05), below.get(0.1), below.get(5), below.get(10)]).toEqual([2, 3, 3, 4, 4, 5])
  expect(count).toBe(6)
  expect(sumSeconds).toBeCloseTo((0 + 1 + 1.1 + 99 + 10_000 + 10_001) / 1_000)
  expect(maxSeconds).toBe(10.001)
})

test('of nothing is nought', () => {
  const { buckets, ...rest } = new DurationHistogram().counts()
  expect(buckets.every(([, count]) => count === 0)).toBe(true)
  expect(rest).toEqual({ count: 0, sumSeconds: 0, maxSeconds: 0 })
})

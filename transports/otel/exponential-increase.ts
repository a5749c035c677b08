/** What came to an exponential histogram between two of its totals. */
import { type BucketCounts, bucketUpperBound, ExponentialHistogram, type HistogramValue } from '../../wire/exponential-histogram.ts'

/**
 * Undefined when nothing came; `now` when it began anew. Both are taken at the coarser of their scales. The least and the
 * greatest value are those of the whole where the increase can hold them, else the ends of its buckets.
 */
export function exponentialIncrease(now: HistogramValue, before: HistogramValue): HistogramValue | undefined {
  const after = atScale(now, before.scale)
  const from = atScale(before, after.scale)
  const positive = difference(after.positive, from.positive)
  const negative = difference(after.negative, from.negative)
  const zeroCount = after.zeroCount - from.zeroCount
  if (positive === undefined || negative === undefined || zeroCount < 0) return now
  if (zeroCount === 0 && positive.counts.length === 0 && negative.counts.length === 0) return undefined
  const increase = withEnds({ sum: now.sum - before.sum, scale: after.scale, zeroCount, positive, negative })
  return { ...increase, min: clamp(increase.min, now), max: clamp(increase.max, now) }
}

/** With the ends of its outermost buckets for the least and the greatest value. */
export function withEnds(value: Omit<HistogramValue, 'min' | 'max'>): HistogramValue {
  const { scale, zeroCount, positive, negative } = value
  const lower = (index: number): number => bucketUpperBound(index - 1, scale)
  const upper = (index: number): number => bucketUpperBound(index, scale)
  const last = ({ offset, counts }: BucketCounts): number => offset + counts.length - 1
  const hasPositive = positive.counts.some((count) => count > 0)
  const hasNegative = negative.counts.some((count) => count > 0)
  const min = hasNegative ? -upper(last(negative)) : zeroCount > 0 ? 0 : lower(positive.offset)
  const max = hasPositive ? upper(last(positive)) : zeroCount > 0 ? 0 : -lower(negative.offset)
  return { ...value, min, max }
}

function clamp(value: number, { min, max }: HistogramValue): number {
  return Math.min(max, Math.max(min, value))
}

function atScale(value: HistogramValue, scale: number): HistogramValue {
  const histogram = new ExponentialHistogram()
  histogram.merge(value)
  histogram.coarsenTo(scale)
  return histogram.value()
}

/** From the first to the last bucket with something in it; undefined when one has less than before. */
function difference(now: BucketCounts, before: BucketCounts): BucketCounts | undefined {
  const isAnyGone = before.counts.some((count, i) => count > 0 && (now.counts[before.offset + i - now.offset] ?? 0) < count)
  if (isAnyGone) return undefined
  const counts = now.counts.map((count, i) => count - (before.counts[now.offset + i - before.offset] ?? 0))
  const first = counts.findIndex((count) => count > 0)
  if (first === -1) return { offset: 0, counts: [] }
  return { offset: now.offset + first, counts: counts.slice(first, counts.findLastIndex((count) => count > 0) + 1) }
}

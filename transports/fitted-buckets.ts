/** Histograms with bounds of their own, as other libraries keep them, fitted to what travels. */
import { histogramBucketsMax } from '../wire/limits.ts'

export interface OwnBuckets {
  readonly sum: number
  /** Ascending and finite. */
  readonly bounds: readonly number[]
  /** Each of its bucket alone, one more than bounds. */
  readonly counts: readonly number[]
}

/**
 * With at most so many buckets as travel: of more, every other bound is left out, as often as needed. For the bounds that
 * stay, counts are exact. An infinite last bound is none.
 */
export function fittedBuckets({ sum, bounds, counts }: OwnBuckets): OwnBuckets {
  let fitted = { sum, bounds, counts }
  while (fitted.bounds.at(-1) === Number.POSITIVE_INFINITY) fitted = withoutBounds(fitted, (i) => i === fitted.bounds.length - 1)
  while (fitted.counts.length > histogramBucketsMax) fitted = withoutBounds(fitted, (i) => i % 2 === 0)
  return fitted
}

/** What is counted up to a bound that is left out belongs to the next one. */
function withoutBounds({ sum, bounds, counts }: OwnBuckets, isLeftOut: (index: number) => boolean): OwnBuckets {
  const kept: { bounds: number[]; counts: number[] } = { bounds: [], counts: [] }
  let carried = 0
  for (const [i, count] of counts.entries()) {
    const bound = bounds[i]
    if (bound !== undefined && isLeftOut(i)) {
      carried += count
      continue
    }
    if (bound !== undefined) kept.bounds.push(bound)
    kept.counts.push(count + carried)
    carried = 0
  }
  return { sum, ...kept }
}

/** What is left of a window once it is closed: a few numbers per series. */

import type { Contributor } from './aggregates.ts'
import type { Aggregate, Instrument } from './series.ts'

/** The numbers of one series, by its type. */
type Numbers =
  | { readonly delta: number }
  | { readonly sum: number }
  | { readonly sum: number; readonly min: number; readonly max: number; readonly last: number }
  | {
      readonly count: number
      readonly sum: number
      readonly min: number
      readonly max: number
      readonly p50: number
      readonly p90: number
      readonly p99: number
    }
  | { readonly count: number; readonly sum: number; readonly buckets: readonly (readonly [bound: number, below: number])[] }

type SeriesSummary = Instrument & { readonly attributes: string } & Numbers

export interface ClosedWindow {
  /** Unix ms. */
  readonly startMs: number
  readonly endMs: number
  readonly series: SeriesSummary[]
}

/** What `GET /windows.json` answers. */
export interface WindowsStatus {
  readonly intervalMs: number
  readonly lateMs: number
  /** Closed ones, oldest first. */
  readonly windows: readonly ClosedWindow[]
  /** Series of older windows that are not shown because there are too many. */
  readonly seriesNotShown: number
}

/**
 * @param counts - Whether a contributor's value is part of the window: its origin lived to the end of it.
 * @returns Undefined when there is nothing to say.
 */
export function summaryOf(aggregate: Aggregate, counts: (contributor: Contributor) => boolean): Numbers | undefined {
  switch (aggregate.type) {
    case 'counter':
      return { delta: aggregate.value.value }
    case 'upDownCounter': {
      const reading = aggregate.value.reading(counts)
      return reading && { sum: reading.sum }
    }
    case 'gauge': {
      const reading = aggregate.value.reading(counts)
      return reading && { sum: reading.sum, min: reading.min, max: reading.max, last: reading.last }
    }
    case 'histogram': {
      const { histogram } = aggregate.value
      const { count, sum, min, max } = histogram
      const quantile = (share: number) => histogram.quantile(share) ?? 0
      return { count, sum, min, max, p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) }
    }
    case 'buckets':
      return { count: aggregate.value.count, sum: aggregate.value.sum, buckets: aggregate.value.below() }
  }
}

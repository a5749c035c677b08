/** What is kept of one series over one stretch of time, and how several stretches become one. */
import { ExponentialHistogram, type HistogramValue } from '../../wire/exponential-histogram.ts'
import type { PointType } from '../../wire/points.ts'
import { BoundedBuckets, type Contributor } from '../rollup/aggregates.ts'
import { ExactSum } from '../rollup/exact-sum.ts'
import type { Aggregate } from '../rollup/series.ts'

interface CounterValue {
  readonly kind: 'counter'
  /** The increase. */
  readonly delta: number
}

/** A gauge or an up-down counter. */
interface LevelValue {
  readonly kind: 'level'
  /** Of the last values of all processes; over several stretches their mean. */
  readonly sum: number
  /** How many processes it is the sum of. */
  readonly processes: number
  readonly min: number
  readonly max: number
  readonly last: number
}

interface DistributionValue {
  readonly kind: 'histogram'
  readonly histogram: HistogramValue
}

interface BucketsValue {
  readonly kind: 'buckets'
  readonly sum: number
  readonly bounds: readonly number[]
  /** One more than bounds. */
  readonly counts: readonly number[]
}

export type KeptValue = CounterValue | LevelValue | DistributionValue | BucketsValue
export type KeptKind = KeptValue['kind']

/** What series of one name have in common. */
export interface KeptInstrument {
  readonly service: string | undefined
  readonly name: string
  readonly type: PointType
  readonly unit: string
  readonly description: string
}

export function kindOf(type: PointType): KeptKind {
  return type === 'upDownCounter' || type === 'gauge' ? 'level' : type
}

/** @param counts - Whether a process's value is part of it. @returns Undefined when there is nothing to keep. */
export function keptValueOf(aggregate: Aggregate, counts: (contributor: Contributor) => boolean): KeptValue | undefined {
  switch (aggregate.type) {
    case 'counter':
      return { kind: 'counter', delta: aggregate.value.value }
    case 'upDownCounter':
    case 'gauge': {
      const reading = aggregate.value.reading(counts)
      if (reading === undefined) return undefined
      const { sum, min, max, last } = reading
      return { kind: 'level', sum, processes: aggregate.value.counted(counts), min, max, last }
    }
    case 'histogram':
      return { kind: 'histogram', histogram: aggregate.value.histogram.value() }
    case 'buckets': {
      const { sum, bounds, count } = aggregate.value
      const below = aggregate.value.below()
      const counts = below.map(([, upTo], i) => upTo - (below[i - 1]?.[1] ?? 0))
      return { kind: 'buckets', sum, bounds, counts: [...counts, count - (below.at(-1)?.[1] ?? 0)] }
    }
  }
}

/** One stretch made of several. Exact for counters and histograms, in any order; of levels, the last one added is the last. */
export class KeptSum {
  readonly kind: KeptKind
  /** Stretches added. */
  stretches = 0
  readonly histogram: ExponentialHistogram | undefined
  readonly buckets: BoundedBuckets | undefined
  readonly #sum = new ExactSum()
  readonly #processes = new ExactSum()
  #min: number = Number.POSITIVE_INFINITY
  #max: number = Number.NEGATIVE_INFINITY
  #last = 0

  constructor(kind: KeptKind) {
    this.kind = kind
    this.histogram = kind === 'histogram' ? new ExponentialHistogram() : undefined
    this.buckets = kind === 'buckets' ? new BoundedBuckets() : undefined
  }

  /** @param value - Of the kind it was made for; another one is passed over. */
  add(value: KeptValue): void {
    if (value.kind !== this.kind) return
    this.stretches += 1
    switch (value.kind) {
      case 'counter':
        return this.#sum.add(value.delta)
      case 'level':
        this.#sum.add(value.sum)
        this.#processes.add(value.processes)
        this.#min = Math.min(this.#min, value.min)
        this.#max = Math.max(this.#max, value.max)
        this.#last = value.last
        return
      case 'histogram':
        return this.histogram?.merge(value.histogram)
      case 'buckets':
        return this.buckets?.add(value)
    }
  }

  value(): KeptValue {
    const { kind, stretches } = this
    const each = Math.max(1, stretches)
    switch (kind) {
      case 'counter':
        return { kind, delta: this.#sum.value }
      case 'level':
        return {
          kind,
          sum: this.#sum.value / each,
          processes: this.#processes.value / each,
          min: this.#min,
          max: this.#max,
          last: this.#last,
        }
      case 'histogram':
        return { kind, histogram: (this.histogram ?? new ExponentialHistogram()).value() }
      case 'buckets': {
        const { sum, bounds, count, below } = bucketsOf(this.buckets ?? new BoundedBuckets())
        const counts = below.map((upTo, i) => upTo - (below[i - 1] ?? 0))
        return { kind, sum, bounds, counts: [...counts, count - (below.at(-1) ?? 0)] }
      }
    }
  }
}

function bucketsOf(buckets: BoundedBuckets): { sum: number; bounds: readonly number[]; count: number; below: readonly number[] } {
  return { sum: buckets.sum, bounds: buckets.bounds, count: buckets.count, below: buckets.below().map(([, upTo]) => upTo) }
}

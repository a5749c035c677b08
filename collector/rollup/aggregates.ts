/**
 * What is kept of one series over one stretch of time: one window, or since the start. One class per type of metric;
 * all of them merge points of any number of origins, in any order, to what one application alone would have counted.
 */
import { ExponentialHistogram } from '../../wire/exponential-histogram.ts'
import type { BucketsPoint, GaugePoint, HistogramPoint, NumberPoint } from '../../wire/points.ts'
import { ExactSum } from './exact-sum.ts'

/** Whose value it is: one series of one origin. What is given to an aggregate is used again for the next point. */
export interface Contributor {
  readonly origin: string
  /** What tells several series of an origin apart that have been made one; empty where there is one. */
  attributes: string
  /** Place of the point among those of its origin and topic. */
  seq: number
  /** When it came, Unix ms. */
  atMs: number
  /** Until when it counts, Unix ms, unless it is said again. */
  untilMs: number
}

interface Contribution extends Contributor {
  last: number
  min: number
  max: number
}

/** How many latest values there are in all, and may be. */
export interface ValueRoom {
  values: number
  readonly valuesMax: number
  /** Given up because there were too many. */
  displaced: number
}

/** A gauge or an up-down counter: the newest value of each contributor. */
export class LatestValues {
  readonly #latest = new Map<string, Contribution>()
  readonly #room: ValueRoom

  constructor(room: ValueRoom) {
    this.#room = room
  }

  get size(): number {
    return this.#latest.size
  }

  /** Takes a point unless a newer one of the same contributor has come before it. */
  add(contributor: Contributor, { last, min, max }: Pick<GaugePoint, 'last' | 'min' | 'max'>): void {
    const { origin, attributes, seq, atMs, untilMs } = contributor
    const key = attributes === '' ? origin : origin + attributes
    const known = this.#latest.get(key)
    if (known === undefined) {
      this.#makeRoom()
      this.#latest.set(key, { origin, attributes, seq, atMs, untilMs, last, min, max })
    } else if (known.seq <= seq) {
      known.seq = seq
      known.atMs = atMs
      known.untilMs = untilMs
      known.last = last
      known.min = min
      known.max = max
    }
  }

  /** The first one goes: processes come and go, and attributes that are dropped may have values without end. */
  #makeRoom(): void {
    const room = this.#room
    if (room.values < room.valuesMax) room.values += 1
    else {
      const { value: first } = this.#latest.keys().next()
      if (first === undefined) return
      this.#latest.delete(first)
      room.displaced += 1
    }
  }

  /** Forgets all of them. */
  clear(): void {
    this.#room.values = Math.max(0, this.#room.values - this.#latest.size)
    this.#latest.clear()
  }

  /** Forgets those whose origin is no more. */
  prune(isGone: (contribution: Contribution) => boolean): void {
    for (const [key, contribution] of this.#latest) {
      if (!isGone(contribution)) continue
      this.#latest.delete(key)
      this.#room.values = Math.max(0, this.#room.values - 1)
    }
  }

  /** How many of the contributors count. */
  counted(counts: (contribution: Contribution) => boolean): number {
    let counted = 0
    for (const contribution of this.#latest.values()) if (counts(contribution)) counted += 1
    return counted
  }

  /** Undefined when none of the contributors counts. */
  reading(counts: (contribution: Contribution) => boolean): GaugeReading | undefined {
    const sum = new ExactSum()
    let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    let newest: Contribution | undefined
    for (const contribution of this.#latest.values()) {
      if (!counts(contribution)) continue
      sum.add(contribution.last)
      min = Math.min(min, contribution.min)
      max = Math.max(max, contribution.max)
      if (newest === undefined || contribution.atMs >= newest.atMs) newest = contribution
    }
    return newest && { sum: sum.value, min, max, last: newest.last, atMs: newest.atMs }
  }
}

export interface GaugeReading {
  /** Of the last value of each contributor. */
  readonly sum: number
  readonly min: number
  readonly max: number
  /** The value that came last. */
  readonly last: number
  readonly atMs: number
}

export class Counter {
  readonly #sum = new ExactSum()

  add({ value }: Pick<NumberPoint, 'value'>): void {
    this.#sum.add(value)
  }

  get value(): number {
    return this.#sum.value
  }
}

export class Distribution {
  readonly histogram: ExponentialHistogram = new ExponentialHistogram()

  add(point: HistogramPoint): void {
    this.histogram.merge(point)
  }
}

/**
 * Counts in buckets whose bounds the application chose. Of two layouts the common bounds are kept: what lies below one
 * of those is known exactly.
 */
export class BoundedBuckets {
  count = 0
  bounds: readonly number[] = []
  readonly #sum = new ExactSum()
  #counts: number[] = []

  get sum(): number {
    return this.#sum.value
  }

  add({ sum, bounds, counts }: Pick<BucketsPoint, 'sum' | 'bounds' | 'counts'>): void {
    if (this.count === 0) {
      this.bounds = bounds
      this.#counts = bounds.map(() => 0).concat(0)
    } else if (!isSame(this.bounds, bounds)) this.#keepCommon(bounds)
    let bucket = 0
    for (const [i, count] of counts.entries()) {
      const bound = bounds[i] ?? Number.POSITIVE_INFINITY
      while (bucket < this.bounds.length && (this.bounds[bucket] as number) < bound) bucket += 1
      this.#counts[bucket] = (this.#counts[bucket] as number) + count
      this.count += count
    }
    this.#sum.add(sum)
  }

  merge(other: BoundedBuckets): void {
    this.add({ sum: other.sum, bounds: other.bounds, counts: other.#counts })
  }

  #keepCommon(bounds: readonly number[]): void {
    const others = new Set(bounds)
    const counts: number[] = [0]
    const common: number[] = []
    for (const [i, count] of this.#counts.entries()) {
      counts[common.length] = (counts[common.length] ?? 0) + count
      const bound = this.bounds[i]
      if (bound !== undefined && others.has(bound)) common.push(bound)
    }
    this.bounds = common
    this.#counts = counts
  }

  /** Each bound, and how many values were at most so high. */
  below(): (readonly [bound: number, below: number])[] {
    let below = 0
    return this.bounds.map((bound, i) => {
      below += this.#counts[i] ?? 0
      return [bound, below]
    })
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((bound, i) => bound === b[i])
}

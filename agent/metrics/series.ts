/**
 * One series: an instrument with one set of attributes, and what was measured of it since it was last sent. These are
 * the bound handles people call in their hot paths, so a call is an addition; everything else waits for the interval.
 *
 * Values that cannot be meant (NaN, infinite, no number, a counter's below zero) are left out and counted.
 */
import { ExponentialHistogram, finiteSum, type HistogramValue } from '../../wire/exponential-histogram.ts'
import { histogramBucketsMax, recordWeightMax } from '../../wire/limits.ts'
import type { BucketsPoint, PointsWriter } from '../../wire/points.ts'

/** What a series needs from its instrument. */
export interface SeriesOwner {
  /** Counts a value that was left out, for what it is or for the weight it came with. */
  refuse(value: unknown, what?: 'value' | 'weight'): void
}

/** What the collection of an interval needs from a series. */
export interface Series {
  /** As it travels: JSON with sorted keys. */
  readonly attributes: string
  /** Whether somebody holds it: then it stays, however long nothing comes. */
  isBound: boolean
  /** Intervals without anything to send. */
  idleIntervals: number
  /** Whether there is something to send. */
  readonly isDue: boolean
  /** Writes its point and begins anew. */
  write(writer: PointsWriter): void
}

/** A measurement that has begun. */
export interface BoundTimer {
  /** Records how long it took since `startTimer`, in the histogram's unit, and returns that. Each call records. */
  stop(): number
}

abstract class OwnedSeries {
  readonly attributes: string
  isBound = false
  idleIntervals = 0
  protected readonly owner: SeriesOwner

  constructor(attributes: string, owner: SeriesOwner) {
    this.attributes = attributes
    this.owner = owner
  }
}

export class CounterSeries extends OwnedSeries implements Series {
  isDue = false
  /** What was added, as two doubles, so that nothing is rounded away. */
  #sum = 0
  #rest = 0

  /** Adds; never throws, never waits. `value` is finite and not below zero. */
  add(value: number): void {
    if (typeof value !== 'number' || !(value >= 0 && value < Number.POSITIVE_INFINITY)) return this.owner.refuse(value)
    // Knuth's two-sum.
    const sum = this.#sum + value
    const taken = sum - this.#sum
    this.#rest += this.#sum - (sum - taken) + (value - taken)
    this.#sum = sum
    this.isDue = true
  }

  write(writer: PointsWriter): void {
    // What was rounded away last time may be a little below zero. It stays until there is more.
    const delta = Math.max(0, finiteSum(this.#sum, this.#rest))
    writer.number(this.attributes, delta)
    const rest = this.#sum - delta + this.#rest
    this.#sum = 0
    this.#rest = Number.isFinite(rest) ? rest : 0
    this.isDue = false
  }
}

export class UpDownCounterSeries extends OwnedSeries implements Series {
  /** It is sent every interval, so that a lost point heals with the next. */
  readonly isDue = true
  #sum = 0
  #rest = 0

  /** Adds, below zero too; never throws, never waits. `value` is finite. */
  add(value: number): void {
    if (typeof value !== 'number' || !(value - value === 0)) return this.owner.refuse(value)
    const sum = this.#sum + value
    const taken = sum - this.#sum
    this.#rest += this.#sum - (sum - taken) + (value - taken)
    this.#sum = sum
  }

  write(writer: PointsWriter): void {
    writer.number(this.attributes, finiteSum(this.#sum, this.#rest))
  }
}

export class GaugeSeries extends OwnedSeries implements Series {
  isDue = false
  #last = 0
  #min = 0
  #max = 0

  /** Takes the value as it is now; never throws, never waits. `value` is finite. */
  record(value: number): void {
    if (typeof value !== 'number' || !(value - value === 0)) return this.owner.refuse(value)
    this.#last = value
    if (!this.isDue) {
      this.#min = value
      this.#max = value
      this.isDue = true
    } else if (value < this.#min) this.#min = value
    else if (value > this.#max) this.#max = value
  }

  write(writer: PointsWriter): void {
    writer.gauge(this.attributes, { last: this.#last, min: this.#min, max: this.#max })
    this.isDue = false
  }
}

export class HistogramSeries extends OwnedSeries implements Series {
  readonly #histogram = new ExponentialHistogram()
  readonly #measure: () => () => number

  /** @param measure - Begins to measure a duration; what it returns says how long it has been. */
  constructor(attributes: string, owner: SeriesOwner, measure: () => () => number) {
    super(attributes, owner)
    this.#measure = measure
  }

  get isDue(): boolean {
    return this.#histogram.count > 0
  }

  /** Takes one value `weight` times; never throws, never waits. `value` is finite, `weight` whole and from 1 to a million. */
  record(value: number, weight = 1): void {
    if (typeof value !== 'number' || !(value - value === 0)) return this.owner.refuse(value)
    if (weight !== 1 && !(Number.isInteger(weight) && weight >= 1 && weight <= recordWeightMax)) return this.owner.refuse(weight, 'weight')
    this.#histogram.record(value, weight)
  }

  /** Takes values that somebody else has put into buckets. */
  merge(value: HistogramValue): void {
    this.#histogram.merge(value)
  }

  /** Begins to measure; `stop` records how long it took. */
  startTimer(): BoundTimer {
    const measured = this.#measure()
    return {
      stop: () => {
        const took = measured()
        this.record(took)
        return took
      },
    }
  }

  write(writer: PointsWriter): void {
    writer.histogram(this.attributes, this.#histogram.value())
    this.#histogram.clear(this.#histogram.sumRest)
  }
}

/** A counter somebody else keeps: what is told is its total. */
export class ObservedCounterSeries extends OwnedSeries implements Series {
  /** Given up and met again, its whole total would be counted twice. */
  override isBound = true
  isDue = false
  #told = 0
  #sent = 0
  /** What was counted before the total went back to zero, and is not sent yet. */
  #before = 0

  /** Tells the total so far. One below the last means that counting began anew. */
  observe(total: number): void {
    if (typeof total !== 'number' || !(total >= 0 && total < Number.POSITIVE_INFINITY)) return this.owner.refuse(total)
    if (total < this.#told) {
      this.#before += this.#told - this.#sent
      this.#sent = 0
    }
    this.#told = total
    this.isDue = true
  }

  write(writer: PointsWriter): void {
    writer.number(this.attributes, this.#before + (this.#told - this.#sent))
    this.#before = 0
    this.#sent = this.#told
    this.isDue = false
  }
}

/** An up-down counter somebody else keeps. */
export class ObservedUpDownCounterSeries extends OwnedSeries implements Series {
  isDue = false
  #value = 0

  /** Tells the value as it is now; finite. */
  observe(value: number): void {
    if (typeof value !== 'number' || !(value - value === 0)) return this.owner.refuse(value)
    this.#value = value
    this.isDue = true
  }

  write(writer: PointsWriter): void {
    writer.number(this.attributes, this.#value)
    this.isDue = false
  }
}

export class ObservedGaugeSeries extends GaugeSeries {
  /** Tells the value as it is now; finite. */
  observe(value: number): void {
    this.record(value)
  }
}

/** A histogram with bounds of its own, which somebody else keeps: what is told are its totals, or its increases. */
export class BucketsSeries extends OwnedSeries implements Series {
  isDue = false
  #bounds: readonly number[] = []
  /** Totals told last, totals sent, and what stood between them when counting began anew. */
  #told: Totals = nothing
  #sent: Totals = nothing
  #before: Totals = nothing

  /**
   * Tells the totals so far. Other bounds than before, or a total below the last, mean that counting began anew.
   *
   * @param totals - Counts as on the wire: each of its bucket alone, one more than bounds. Not kept: copied.
   */
  observe({ sum, bounds, counts }: Omit<BucketsPoint, 'attributes'>): void {
    if (!isBuckets(sum, bounds, counts)) return this.owner.refuse(sum)
    // Given up and met again, its whole total would be counted twice.
    this.isBound = true
    if (bounds.length !== this.#bounds.length || bounds.some((bound, i) => bound !== this.#bounds[i])) {
      this.#bounds = [...bounds]
      this.#told = nothing
      this.#sent = nothing
      this.#before = nothing
    }
    if (counts.some((count, i) => count < (this.#told.counts[i] ?? 0))) {
      this.#before = plus(this.#before, minus(this.#told, this.#sent))
      this.#sent = nothing
    }
    this.#told = { sum, counts: [...counts] }
    this.#look()
  }

  /**
   * Adds what was counted since the last time; of a series that is not told totals. Where bounds differ within an
   * interval, those they have in common are kept, for which the counts are exact.
   *
   * @param increase - Counts as on the wire. Not kept: copied.
   */
  merge({ sum, bounds, counts }: Omit<BucketsPoint, 'attributes'>): void {
    if (!isBuckets(sum, bounds, counts)) return this.owner.refuse(sum)
    const common = this.isDue ? this.#bounds.filter((bound) => bounds.includes(bound)) : bounds
    this.#before = plus(
      { sum: this.#before.sum, counts: folded(this.#before.counts, this.#bounds, common) },
      { sum, counts: folded(counts, bounds, common) },
    )
    if (common.length !== this.#bounds.length || !this.isDue) this.#bounds = [...common]
    this.#look()
  }

  #look(): void {
    const pending = plus(this.#before, minus(this.#told, this.#sent))
    this.isDue = pending.counts.some((count) => count > 0)
  }

  write(writer: PointsWriter): void {
    const { sum, counts } = plus(this.#before, minus(this.#told, this.#sent))
    writer.buckets(this.attributes, { sum, bounds: this.#bounds, counts })
    this.#before = nothing
    this.#sent = this.#told
    this.isDue = false
  }
}

/** Whether totals can be told on the wire. */
function isBuckets(sum: number, bounds: readonly number[], counts: readonly number[]): boolean {
  const isAscending = bounds.every((bound, i) => Number.isFinite(bound) && bound > (bounds[i - 1] ?? Number.NEGATIVE_INFINITY))
  const areCounts = counts.every((count) => Number.isSafeInteger(count) && count >= 0)
  return Number.isFinite(sum) && isAscending && areCounts && counts.length === bounds.length + 1 && counts.length <= histogramBucketsMax
}

/** Counts with bounds of which only some are kept. */
function folded(counts: readonly number[], bounds: readonly number[], kept: readonly number[]): readonly number[] {
  if (kept.length === bounds.length || counts.length === 0) return counts
  const sums: number[] = [...kept, 0].fill(0)
  let at = 0
  for (const [i, count] of counts.entries()) {
    while (at < kept.length && (bounds[i] ?? Number.POSITIVE_INFINITY) > (kept[at] ?? Number.POSITIVE_INFINITY)) at += 1
    sums[at] = (sums[at] ?? 0) + count
  }
  return sums
}

interface Totals {
  readonly sum: number
  readonly counts: readonly number[]
}

const nothing: Totals = { sum: 0, counts: [] }

function minus(a: Totals, b: Totals): Totals {
  return { sum: a.sum - b.sum, counts: a.counts.map((count, i) => count - (b.counts[i] ?? 0)) }
}

function plus(a: Totals, b: Totals): Totals {
  const longer = a.counts.length > b.counts.length ? a.counts : b.counts
  return { sum: a.sum + b.sum, counts: longer.map((_, i) => (a.counts[i] ?? 0) + (b.counts[i] ?? 0)) }
}

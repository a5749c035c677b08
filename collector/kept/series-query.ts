/**
 * What a chart shows of a metric: values of many series and slots, put together by label and by step of time. Pure.
 *
 * Values come in the order of their slots, so that only one step is ever open: of a histogram, a thousand steps of a
 * hundred series would be 150 MB.
 */
import { ExponentialHistogram } from '../../wire/exponential-histogram.ts'
import { heatmapRowsMax, seriesAnsweredMax } from '../../wire/limits.ts'
import { type Attributes, decodeAttributes } from '../../wire/points.ts'
import type { BoundedBuckets } from '../rollup/aggregates.ts'
import type { VisitValue } from './kept-tier.ts'
import { type KeptInstrument, type KeptKind, KeptSum, type KeptValue, kindOf } from './kept-value.ts'

export const shows = ['rate', 'sum', 'last', 'min', 'max', 'mean', 'p50', 'p90', 'p99'] as const
export type Show = (typeof shows)[number]

/** What can be shown of a kind; the first unless told otherwise. */
export const showsOf: Readonly<Record<KeptKind, readonly [Show, ...Show[]]>> = {
  counter: ['rate', 'sum'],
  level: ['sum', 'last', 'min', 'max', 'mean'],
  histogram: ['p99', 'p90', 'p50', 'mean', 'min', 'max', 'rate', 'sum'],
  buckets: ['p99', 'p90', 'p50', 'mean', 'rate', 'sum'],
}

export interface Steps {
  /** Beginning of the first, Unix ms, and length of each. */
  readonly fromMs: number
  readonly stepMs: number
  readonly count: number
}

export interface SeriesSelection {
  /** Attributes whose values tell series apart; `service` too. */
  readonly by: readonly string[]
  /** Attributes, and the values they must have, as text. */
  readonly where: readonly (readonly [name: string, value: string])[]
}

export interface AnsweredSeries {
  readonly labels: Readonly<Record<string, string>>
  readonly values: readonly (number | null)[]
}

/** Sums of the step that is open, of everything with the same labels. */
interface Group {
  readonly labels: Readonly<Record<string, string>>
  readonly values: (number | null)[]
  /** One for counters and histograms; of levels one for each series: over time their mean counts, beside each other their sum. */
  readonly open: Map<string, KeptSum>
}

/** Attributes read once for each text. */
class Labels {
  readonly #selection: SeriesSelection
  readonly #known = new Map<string, { readonly key: string; readonly labels: Readonly<Record<string, string>> } | undefined>()

  constructor(selection: SeriesSelection) {
    this.#selection = selection
  }

  /** Undefined when it is not selected. */
  of(
    { service }: KeptInstrument,
    attributes: string,
  ): { readonly key: string; readonly labels: Readonly<Record<string, string>> } | undefined {
    const text = `${service?.length} ${service}${attributes}`
    if (!this.#known.has(text)) this.#known.set(text, this.#read(service, attributes))
    return this.#known.get(text)
  }

  #read(service: string | undefined, attributes: string) {
    const read: Attributes = decodeAttributes(attributes) ?? {}
    const textOf = (name: string): string | undefined =>
      Object.hasOwn(read, name) ? String(read[name]) : name === 'service' ? service : undefined
    if (this.#selection.where.some(([name, value]) => textOf(name) !== value)) return undefined
    const labels: Record<string, string> = Object.create(null)
    for (const name of this.#selection.by) {
      const value = textOf(name)
      if (value !== undefined) labels[name] = value
    }
    return { key: JSON.stringify(Object.entries(labels)), labels }
  }
}

export class SeriesQuery {
  readonly #steps: Steps
  readonly #show: Show
  readonly #labels: Labels
  readonly #groups = new Map<string, Group>()
  #step = 0
  /** There were more series than are answered. */
  isTruncated = false

  constructor(steps: Steps, show: Show, selection: SeriesSelection) {
    this.#steps = steps
    this.#show = show
    this.#labels = new Labels(selection)
  }

  readonly visit: VisitValue = ({ startMs }, instrument, attributes, value) => {
    const step = Math.floor((startMs - this.#steps.fromMs) / this.#steps.stepMs)
    if (step < 0 || step >= this.#steps.count || step < this.#step) return
    if (step > this.#step) this.#close(step)
    const found = this.#labels.of(instrument, attributes)
    if (found === undefined) return
    const group = this.#groups.get(found.key) ?? this.#newGroup(found)
    if (group === undefined) return
    const kind = kindOf(instrument.type)
    // Also series that differ in type or unit.
    const of = kind === 'level' ? `${instrument.service} ${attributes}` : kind
    let sum = group.open.get(of)
    if (sum === undefined) {
      sum = new KeptSum(kind)
      group.open.set(of, sum)
    }
    sum.add(value)
  }

  #newGroup({ key, labels }: { readonly key: string; readonly labels: Readonly<Record<string, string>> }): Group | undefined {
    if (this.#groups.size >= seriesAnsweredMax) {
      this.isTruncated = true
      return undefined
    }
    const group = { labels, values: Array<number | null>(this.#steps.count).fill(null), open: new Map() }
    this.#groups.set(key, group)
    return group
  }

  #close(next: number): void {
    for (const group of this.#groups.values()) {
      if (group.open.size === 0) continue
      group.values[this.#step] = shownOf([...group.open.values()], this.#show, this.#steps.stepMs / 1_000)
      group.open.clear()
    }
    this.#step = next
  }

  finish(): readonly AnsweredSeries[] {
    this.#close(this.#steps.count)
    return [...this.#groups.values()].map(({ labels, values }) => ({ labels, values }))
  }
}

function shownOf(sums: readonly KeptSum[], show: Show, seconds: number): number | null {
  const [first] = sums
  if (first === undefined) return null
  const value = first.value()
  switch (value.kind) {
    case 'counter':
      return show === 'rate' ? value.delta / seconds : value.delta
    case 'level':
      return shownLevel(sums, show)
    case 'histogram':
      return shownHistogram(first.histogram ?? new ExponentialHistogram(), show, seconds)
    case 'buckets':
      return first.buckets === undefined ? null : shownBuckets(first.buckets, show, seconds)
  }
}

function shownLevel(sums: readonly KeptSum[], show: Show): number | null {
  let [sum, processes, min, max, last] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]
  for (const each of sums) {
    const value = each.value()
    if (value.kind !== 'level') continue
    sum += value.sum
    processes += value.processes
    min = Math.min(min, value.min)
    max = Math.max(max, value.max)
    last = value.last
  }
  switch (show) {
    case 'min':
      return min
    case 'max':
      return max
    case 'last':
      return last
    case 'mean':
      return processes > 0 ? sum / processes : null
    default:
      return sum
  }
}

const quantiles: Partial<Record<Show, number>> = { p50: 0.5, p90: 0.9, p99: 0.99 }

function shownHistogram(histogram: ExponentialHistogram, show: Show, seconds: number): number | null {
  if (histogram.count === 0) return null
  const quantile = quantiles[show]
  if (quantile !== undefined) return histogram.quantile(quantile) ?? null
  if (show === 'min') return histogram.min
  if (show === 'max') return histogram.max
  if (show === 'mean') return histogram.sum / histogram.count
  return show === 'rate' ? histogram.count / seconds : histogram.sum
}

function shownBuckets(buckets: BoundedBuckets, show: Show, seconds: number): number | null {
  if (buckets.count === 0) return null
  const quantile = quantiles[show]
  if (quantile !== undefined) return bucketsQuantile(buckets, quantile)
  if (show === 'mean') return buckets.sum / buckets.count
  return show === 'rate' ? buckets.count / seconds : buckets.sum
}

/** As Prometheus has it: evenly spread within a bucket, and above the last bound no more is known than that bound. */
function bucketsQuantile(buckets: BoundedBuckets, quantile: number): number | null {
  const rank = quantile * buckets.count
  const below = buckets.below()
  for (const [i, [bound, upTo]] of below.entries()) {
    if (upTo < rank) continue
    const [lower, before] = below[i - 1] ?? [Math.min(0, bound), 0]
    return upTo === before ? bound : lower + ((bound - lower) * (rank - before)) / (upTo - before)
  }
  return below.at(-1)?.[0] ?? null
}

/** Of one column: counts by the upper end of their bucket. */
interface Column {
  readonly step: number
  readonly value: ReturnType<ExponentialHistogram['value']>
}

/** A histogram over time: how many values lay between which bounds. Merged without error; bounds are those of all columns. */
export class HeatmapQuery {
  readonly #steps: Steps
  readonly #labels: Labels
  readonly #columns: Column[] = []
  #open: ExponentialHistogram | undefined
  #step = 0

  constructor(steps: Steps, selection: SeriesSelection) {
    this.#steps = steps
    this.#labels = new Labels(selection)
  }

  readonly visit = ({ startMs }: { readonly startMs: number }, instrument: KeptInstrument, attributes: string, value: KeptValue): void => {
    const step = Math.floor((startMs - this.#steps.fromMs) / this.#steps.stepMs)
    if (value.kind !== 'histogram' || step < this.#step || step >= this.#steps.count) return
    if (this.#labels.of(instrument, attributes) === undefined) return
    if (step > this.#step) this.#close(step)
    this.#open ??= new ExponentialHistogram()
    this.#open.merge(value.histogram)
  }

  #close(next: number): void {
    if (this.#open !== undefined) this.#columns.push({ step: this.#step, value: this.#open.value() })
    this.#open = undefined
    this.#step = next
  }

  /**
   * @returns `bounds`: ends of the rows, lowest first, one more than rows. `counts`: of each step, from the lowest row.
   * Values below zero are in the lowest row; a row from 0 is for zeros.
   */
  finish(): { readonly bounds: readonly number[]; readonly counts: readonly (readonly number[])[] } {
    this.#close(this.#steps.count)
    const [low, high, scale] = this.#extent()
    const counts: number[][] = Array.from({ length: this.#steps.count }, () => [])
    if (this.#columns.length === 0) return { bounds: [], counts }
    const rows = Math.max(0, high - low + 1)
    const hasRest = this.#columns.some(({ value }) => value.zeroCount > 0 || value.negative.counts.length > 0)
    const offset = hasRest ? 1 : 0
    for (const { step, value } of this.#columns) {
      const row = Array<number>(rows + offset).fill(0)
      const by = value.scale - scale
      for (const [i, count] of value.positive.counts.entries()) {
        const at = Math.floor((value.positive.offset + i) / 2 ** by) - low + offset
        row[at] = (row[at] ?? 0) + count
      }
      if (hasRest) row[0] = value.zeroCount + value.negative.counts.reduce((sum, count) => sum + count, 0)
      counts[step] = row
    }
    const bound = (index: number) => Math.min(2 ** (index / 2 ** scale), Number.MAX_VALUE)
    const bounds = Array.from({ length: rows + 1 }, (_, i) => bound(low + i))
    if (rows === 0) return { bounds: [0, 0], counts }
    return { bounds: hasRest ? [0, ...bounds] : bounds, counts }
  }

  /** The range of buckets in use, at the finest scale all columns have at which there are few enough. */
  #extent(): readonly [low: number, high: number, scale: number] {
    const columns = this.#columns.filter(({ value }) => value.positive.counts.length > 0)
    let scale = Math.min(...this.#columns.map((column) => column.value.scale))
    for (;;) {
      let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
      for (const { value } of columns) {
        const { offset, counts } = value.positive
        const width = 2 ** (value.scale - scale)
        low = Math.min(low, Math.floor(offset / width))
        high = Math.max(high, Math.floor((offset + counts.length - 1) / width))
      }
      if (columns.length === 0) return [0, -1, scale]
      if (high - low < heatmapRowsMax) return [low, high, scale]
      scale -= 1
    }
  }
}

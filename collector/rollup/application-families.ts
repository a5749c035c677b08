/**
 * The rolled-up series as `/metrics` tells them, as counters since the start.
 *
 * - A gauge is four series, with the label `agg`: the sum over all processes, the smallest, the largest, the last value.
 * - An exponential histogram is told with classic buckets, and with native ones to whoever can read those. The bounds
 *   of the classic ones are ends of exponential buckets, so their counts are exact. All series of one name have the same
 *   bounds, else their sums would mean nothing; the range only grows, and where it outgrows `exposedBucketsMax` bounds
 *   every other one is left out.
 * - Names that become the same in Prometheus are one family. Where they are not of one kind the first one has it.
 * - At most `exposedSamplesMax` lines: the series that came last are left out then, and counted.
 */
import { bucketUpperBound, ExponentialHistogram, type HistogramValue } from '../../wire/exponential-histogram.ts'
import { exposedBucketsMax, exposedSamplesMax } from '../../wire/limits.ts'
import { decodeAttributes, type PointType } from '../../wire/points.ts'
import { type HistogramSample, LabelSet, type MetricFamily, type ValueSample } from '../exposition/metric-family.ts'
import { BoundedBuckets, type Contributor } from './aggregates.ts'
import { ExactSum } from './exact-sum.ts'
import { labelPairs, metricName } from './prometheus-names.ts'
import type { Instrument, Series } from './series.ts'

/** Series whose labels are the same once they are Prometheus': nearly always one. */
interface Group {
  readonly labels: LabelSet
  readonly series: Series[]
}

interface Family {
  readonly name: string
  readonly unit: string
  readonly type: PointType
  /** The first one's; its description may still come. */
  readonly instrument: Instrument
  readonly groups: Map<string, Group>
  /** Bounds of an exponential histogram. */
  readonly bounds: ClassicBounds
}

type Counts = (contributor: Contributor) => boolean

export interface Exposed {
  readonly families: MetricFamily[]
  /** Series left out because there were too many lines. */
  readonly hidden: number
}

export class ApplicationFamilies {
  /** Series that are not told because another kind of metric has their name. */
  conflicting = 0
  readonly #samplesMax: number
  readonly #families = new Map<string, Family>()
  /** Families by every name that their lines have. */
  readonly #owners = new Map<string, Family>()
  readonly #placeOf = new Map<Series, { readonly family: Family; readonly key: string } | undefined>()

  constructor(samplesMax: number = exposedSamplesMax) {
    this.#samplesMax = samplesMax
  }

  add(series: Series): void {
    const { instrument } = series
    const family = this.#familyOf(instrument)
    if (family === undefined) {
      this.conflicting += 1
      this.#placeOf.set(series, undefined)
      return
    }
    const labels = new LabelSet(labelPairs(instrument.service, decodeAttributes(series.attributes) ?? {}))
    const key = labels.text
    const group = family.groups.get(key)
    if (group === undefined) family.groups.set(key, { labels, series: [series] })
    else group.series.push(series)
    this.#placeOf.set(series, { family, key })
  }

  remove(series: Series): void {
    const place = this.#placeOf.get(series)
    if (place === undefined && this.#placeOf.has(series)) this.conflicting -= 1
    this.#placeOf.delete(series)
    if (place === undefined) return
    const { family, key } = place
    const group = family.groups.get(key)
    group?.series.splice(group.series.indexOf(series), 1)
    if (group?.series.length === 0) family.groups.delete(key)
    if (family.groups.size > 0) return
    this.#families.delete(family.name)
    for (const name of lineNames(family)) this.#owners.delete(name)
  }

  #familyOf(instrument: Instrument): Family | undefined {
    const { name, unit } = metricName(instrument)
    const { type } = instrument
    const known = this.#families.get(name)
    if (known !== undefined) return known.type === type ? known : undefined
    const names = lineNames({ name, type })
    if (names.some((line) => this.#owners.has(line) || isOwnName(line))) return undefined
    const family = { name, unit, type, instrument, groups: new Map(), bounds: new ClassicBounds() }
    this.#families.set(name, family)
    for (const line of names) this.#owners.set(line, family)
    return family
  }

  /** @param counts - Whether the value a contributor said last still counts. */
  expose(counts: Counts): Exposed {
    const families: MetricFamily[] = []
    let left = this.#samplesMax
    let hidden = 0
    for (const family of this.#families.values()) {
      const { told, lines, notTold } = tell(family, counts, left)
      left -= lines
      hidden += notTold
      families.push(told)
    }
    return { families, hidden }
  }
}

/** The collector's own names stay its own. */
function isOwnName(name: string): boolean {
  return name.startsWith('spillway_collector_') || ownProcessNames.has(name)
}

const ownProcessNames: ReadonlySet<string> = new Set([
  'process_resident_memory_bytes',
  'process_cpu_seconds_total',
  'process_start_time_seconds',
])

function lineNames({ name, type }: { readonly name: string; readonly type: PointType }): string[] {
  return type === 'histogram' || type === 'buckets' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name]
}

interface Told {
  readonly told: MetricFamily
  readonly lines: number
  /** Series there was no room for. */
  readonly notTold: number
}

function tell(family: Family, counts: Counts, linesMax: number): Told {
  const { name, unit, type, instrument, groups } = family
  const help = instrument.description === '' ? `${instrument.name}, a ${kindWords[type]}.` : instrument.description
  const head = { name, unit, help }
  let [lines, notTold] = [0, 0]
  const within = <S>(samples: S[], more: readonly S[], linesEach: number) => {
    if (lines + more.length * linesEach > linesMax) notTold += 1
    else {
      lines += more.length * linesEach
      samples.push(...more)
    }
  }
  if (type === 'histogram' || type === 'buckets') {
    const samples: HistogramSample[] = []
    const values = type === 'histogram' ? [...groups.values()].map(histogramOf) : []
    for (const value of values) family.bounds.widen(value)
    for (const [i, group] of [...groups.values()].entries()) {
      const value = values[i]
      const sample = value === undefined ? bucketsSample(group) : histogramSample(group.labels, value, family.bounds)
      within(samples, [sample], sample.buckets.length + 3)
    }
    return { told: { ...head, kind: 'histogram', samples }, lines, notTold }
  }
  const samples: ValueSample[] = []
  for (const group of groups.values()) within(samples, valueSamples(group, type, counts), 1)
  return { told: { ...head, kind: type === 'counter' ? 'counter' : 'gauge', samples }, lines, notTold }
}

const kindWords: Readonly<Record<PointType, string>> = {
  ...{ counter: 'counter', upDownCounter: 'counter that goes up and down', gauge: 'gauge', histogram: 'histogram', buckets: 'histogram' },
}

function valueSamples({ labels, series }: Group, type: 'counter' | 'upDownCounter' | 'gauge', counts: Counts): ValueSample[] {
  const sum = new ExactSum()
  let [min, max, last, lastAtMs] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY]
  for (const { total } of series) {
    if (total.type === 'counter') {
      sum.add(total.value.value)
      lastAtMs = 0
    } else if (total.type === 'gauge' || total.type === 'upDownCounter') {
      const reading = total.value.reading(counts)
      if (reading === undefined) continue
      sum.add(reading.sum)
      min = Math.min(min, reading.min)
      max = Math.max(max, reading.max)
      if (reading.atMs >= lastAtMs) last = reading.last
      lastAtMs = Math.max(lastAtMs, reading.atMs)
    }
  }
  if (lastAtMs === Number.NEGATIVE_INFINITY) return []
  if (type !== 'gauge') return [{ labels, value: sum.value }]
  return [
    { labels, extra: ['agg', 'sum'], value: sum.value },
    { labels, extra: ['agg', 'min'], value: min },
    { labels, extra: ['agg', 'max'], value: max },
    { labels, extra: ['agg', 'last'], value: last },
  ]
}

function bucketsSample({ labels, series }: Group): HistogramSample {
  let buckets = new BoundedBuckets()
  for (const { total } of series) {
    if (total.type !== 'buckets') continue
    if (series.length === 1) buckets = total.value
    else buckets.merge(total.value)
  }
  return { labels, count: buckets.count, sum: buckets.sum, buckets: buckets.below() }
}

function histogramOf({ series }: Group): HistogramValue & { readonly count: number } {
  let histogram = new ExponentialHistogram()
  for (const { total } of series) {
    if (total.type !== 'histogram') continue
    if (series.length === 1) histogram = total.value.histogram
    else histogram.merge(total.value.histogram.value())
  }
  return { ...histogram.value(), count: histogram.count }
}

function histogramSample(labels: LabelSet, value: HistogramValue & { readonly count: number }, bounds: ClassicBounds): HistogramSample {
  return { labels, count: value.count, sum: value.sum, buckets: bounds.below(value), native: value }
}

/** Which ends of exponential buckets are told as bounds of classic ones. */
class ClassicBounds {
  /** Four bounds to a power of two at the finest: a value is known to 19 %, a quantile to 9 %. */
  #scale = 2
  /** Buckets of that scale whose upper ends are told. */
  #low = 0
  #high = -1
  #hasZero = false

  widen({ scale, zeroCount, positive, negative }: HistogramValue): void {
    // What is not above 0 is below the bound 0.
    if (zeroCount > 0 || negative.counts.length > 0) this.#hasZero = true
    this.#coarsenTo(scale)
    if (positive.counts.length === 0) return
    const by = scale - this.#scale
    const [low, high] = [positive.offset >> by, (positive.offset + positive.counts.length - 1) >> by]
    // A whole power of two at a time: a bound that comes later counts from then on only.
    const step = 2 ** Math.max(0, this.#scale)
    const [from, to] = [Math.floor(low / step) * step - 1, Math.ceil((high + 1) / step) * step - 1]
    const isFirst = this.#low > this.#high
    this.#low = isFirst ? from : Math.min(this.#low, from)
    this.#high = isFirst ? to : Math.max(this.#high, to)
    while (this.#high - this.#low >= exposedBucketsMax) this.#coarsenTo(this.#scale - 1)
  }

  #coarsenTo(scale: number): void {
    const by = this.#scale - scale
    if (by <= 0) return
    this.#scale -= by
    // The upper ends that stay are those of both buckets that become one.
    this.#low = ((this.#low + 1) >> by) - 1
    this.#high = ((this.#high + (1 << by)) >> by) - 1
  }

  /** How many values are at most as high as each bound. */
  below({ scale, zeroCount, positive, negative }: HistogramValue): (readonly [bound: number, below: number])[] {
    let below = zeroCount
    for (const count of negative.counts) below += count
    const buckets: (readonly [number, number])[] = this.#hasZero ? [[0, below]] : []
    const by = scale - this.#scale
    let at = 0
    for (let i = this.#low; i <= this.#high; i += 1) {
      while (at < positive.counts.length && (positive.offset + at) >> by <= i) {
        below += positive.counts[at] as number
        at += 1
      }
      const bound = bucketUpperBound(i, this.#scale)
      // Below the smallest double.
      if (bound > 0) buckets.push([bound, below])
    }
    return buckets
  }
}

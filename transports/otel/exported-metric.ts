/** One metric of OpenTelemetry's SDK and the instrument it is told through. */
import type { ExponentialHistogram, Histogram, MetricData } from '@opentelemetry/sdk-metrics'
import type { InstrumentMaker } from '../../agent/metrics/instrument-maker.ts'
import type {
  BucketsInstrument,
  CounterInstrument,
  GaugeInstrument,
  HistogramInstrument,
  ObservableUpDownCounterInstrument,
  UpDownCounterInstrument,
} from '../../agent/metrics/instruments.ts'
import type { MetricAttributes } from '../../agent/metrics/series-table.ts'
import type { HistogramValue } from '../../wire/exponential-histogram.ts'
import { histogramWireScale, instrumentDescriptionCharsMax } from '../../wire/limits.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { fittedBuckets, type OwnBuckets } from '../fitted-buckets.ts'
import { ToldTotals } from '../told-totals.ts'
import { exponentialIncrease, withEnds } from './exponential-increase.ts'

export type ExportedKind = 'counter' | 'upDown' | 'upDownDelta' | 'gauge' | 'buckets' | 'exponential'

type Told =
  | { readonly kind: 'counter'; readonly instrument: CounterInstrument }
  | { readonly kind: 'upDown'; readonly instrument: ObservableUpDownCounterInstrument }
  | { readonly kind: 'upDownDelta'; readonly instrument: UpDownCounterInstrument }
  | { readonly kind: 'gauge'; readonly instrument: GaugeInstrument }
  | { readonly kind: 'buckets'; readonly instrument: BucketsInstrument }
  | { readonly kind: 'exponential'; readonly instrument: HistogramInstrument }

/** The SDK's enums as they are. */
const cumulative = 1
const dataPointTypes = { histogram: 0, exponentialHistogram: 1, gauge: 2, sum: 3 }

export class ExportedMetric {
  readonly #told: Told
  readonly #sums = new ToldTotals<number>()
  readonly #buckets = new ToldTotals<OwnBuckets>()
  readonly #exponentials = new ToldTotals<HistogramValue>()

  /** @throws {@link SpillwayError} `SPW_METRIC_INVALID` or `SPW_METRIC_CONFLICT`. */
  constructor(data: MetricData, metrics: InstrumentMaker) {
    this.#told = makeTold(data, metrics)
  }

  static kindOf(data: MetricData): ExportedKind {
    switch (Number(data.dataPointType)) {
      case dataPointTypes.histogram:
        return 'buckets'
      case dataPointTypes.exponentialHistogram:
        return 'exponential'
      case dataPointTypes.gauge:
        return 'gauge'
      default:
        if ('isMonotonic' in data && data.isMonotonic) return 'counter'
        return Number(data.aggregationTemporality) === cumulative ? 'upDown' : 'upDownDelta'
    }
  }

  /** Tells the points; returns how many of them could be told. */
  take(data: MetricData, more: MetricAttributes): number {
    const isTotal = Number(data.aggregationTemporality) === cumulative
    let taken = 0
    for (const { attributes, value, startTime } of data.dataPoints) {
      const own = attributesOf(attributes, more)
      const series = isTotal ? { key: keyOf(own), startedAt: startTime[0] * 1_000 + startTime[1] / 1e6 } : undefined
      if (this.#takePoint(value, own, series)) taken += 1
    }
    for (const totals of [this.#sums, this.#buckets, this.#exponentials]) totals.endLook()
    return taken
  }

  /** @param series - Of a total; undefined for an increase. */
  #takePoint(value: unknown, attributes: MetricAttributes, series: TotalSeries | undefined): boolean {
    switch (this.#told.kind) {
      case 'counter':
        if (!isNumber(value) || value < 0) return false
        this.#told.instrument.add(series === undefined ? value : this.#sumIncrease(value, series), attributes)
        return true
      case 'upDown':
        if (!isNumber(value)) return false
        this.#told.instrument.observe(value, attributes)
        return true
      case 'upDownDelta':
        if (!isNumber(value)) return false
        this.#told.instrument.add(value, attributes)
        return true
      case 'gauge':
        if (!isNumber(value)) return false
        this.#told.instrument.record(value, attributes)
        return true
      case 'buckets': {
        const buckets = bucketsOf(value as Histogram)
        if (buckets === undefined) return false
        const increase = series === undefined ? buckets : this.#bucketsIncrease(buckets, series)
        if (increase.counts.some((count) => count > 0)) this.#told.instrument.merge(fittedBuckets(increase), attributes)
        return true
      }
      case 'exponential': {
        const histogram = exponentialOf(value as ExponentialHistogram)
        if (histogram === undefined) return false
        const increase = series === undefined ? histogram : this.#exponentialIncrease(histogram, series)
        if (increase !== undefined) this.#told.instrument.merge(increase, attributes)
        return true
      }
    }
  }

  #sumIncrease(value: number, { key, startedAt }: TotalSeries): number {
    const told = this.#sums.find(key, startedAt)
    const { total = 0 } = told
    told.total = value
    return value < total ? value : value - total
  }

  #bucketsIncrease(now: OwnBuckets, { key, startedAt }: TotalSeries): OwnBuckets {
    const told = this.#buckets.find(key, startedAt)
    const { total } = told
    told.total = now
    const isSame = total?.counts.length === now.counts.length && now.counts.every((count, i) => count >= (total.counts[i] ?? 0))
    if (total === undefined || !isSame) return now
    return { sum: now.sum - total.sum, bounds: now.bounds, counts: now.counts.map((count, i) => count - (total.counts[i] ?? 0)) }
  }

  #exponentialIncrease(now: HistogramValue, { key, startedAt }: TotalSeries): HistogramValue | undefined {
    const told = this.#exponentials.find(key, startedAt)
    const { total } = told
    told.total = now
    return total === undefined ? now : exponentialIncrease(now, total)
  }
}

interface TotalSeries {
  readonly key: string
  readonly startedAt: number
}

function isNumber(value: unknown): value is number {
  return Number.isFinite(value)
}

/** Undefined when the SDK keeps no sum: it does not for what may be negative. */
function bucketsOf({ buckets, sum }: Histogram): OwnBuckets | undefined {
  return isNumber(sum) ? { sum, bounds: buckets.boundaries, counts: buckets.counts } : undefined
}

function exponentialOf(histogram: ExponentialHistogram): HistogramValue | undefined {
  const { sum, min, max, scale, zeroCount, positive, negative, count } = histogram
  const isScale = Number.isInteger(scale) && scale >= histogramWireScale.min && scale <= histogramWireScale.max
  if (!isNumber(sum) || !isScale || count === 0) return undefined
  const value = {
    ...{ sum, scale, zeroCount },
    positive: { offset: positive.offset, counts: positive.bucketCounts },
    negative: { offset: negative.offset, counts: negative.bucketCounts },
  }
  return isNumber(min) && isNumber(max) ? { ...value, min, max } : withEnds(value)
}

/** Lists become JSON, as OpenTelemetry has it for Prometheus. */
function attributesOf(attributes: Readonly<Record<string, unknown>>, more: MetricAttributes): MetricAttributes {
  const own: Record<string, MetricAttributes[string]> = { ...more }
  for (const [key, value] of Object.entries(attributes))
    own[key] = Array.isArray(value) ? JSON.stringify(value) : (value as MetricAttributes[string])
  return own
}

function keyOf(attributes: MetricAttributes): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function makeTold(data: MetricData, metrics: InstrumentMaker): Told {
  const { name, unit, description } = data.descriptor
  const options = { unit, description: description.slice(0, instrumentDescriptionCharsMax) }
  const kind = ExportedMetric.kindOf(data)
  switch (kind) {
    case 'counter':
      return { kind, instrument: made((given) => metrics.createCounter(name, given), options) }
    case 'upDown':
      return { kind, instrument: made((given) => metrics.createObservableUpDownCounter(name, given), options) }
    case 'upDownDelta':
      return { kind, instrument: made((given) => metrics.createUpDownCounter(name, given), options) }
    case 'gauge':
      return { kind, instrument: made((given) => metrics.createGauge(name, given), options) }
    case 'buckets':
      return { kind, instrument: made((given) => metrics.createBucketsHistogram(name, given), options) }
    case 'exponential':
      return { kind, instrument: made((given) => metrics.createHistogram(name, given), options) }
  }
}

interface Options {
  readonly unit?: string
  readonly description?: string
}

/** Two scopes may describe one metric in two ways: then the first one's stays. A unit that is none in UCUM is left out. */
function made<I>(make: (options: Options) => I, { unit, description }: Required<Options>): I {
  try {
    return make({ unit, description })
  } catch (error) {
    if (!(error instanceof SpillwayError)) throw error
    return make(error.code === 'SPW_METRIC_CONFLICT' ? { unit } : { description })
  }
}

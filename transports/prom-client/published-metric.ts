/**
 * One metric of prom-client and the instruments it is published through. prom-client counts since the process began; what
 * is told is the increase since the last time, first of all everything since zero.
 */
import assert from 'node:assert/strict'
import type { InstrumentMaker } from '../../agent/metrics/instrument-maker.ts'
import type { BucketsInstrument, CounterInstrument, GaugeInstrument } from '../../agent/metrics/instruments.ts'
import { instrumentDescriptionCharsMax, instrumentNameCharsMax } from '../../wire/limits.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { fittedBuckets, type OwnBuckets } from '../fitted-buckets.ts'
import { ToldTotals } from '../told-totals.ts'
import { hasValues, type PromMetric, type PromSample, readAnswer, readValues, typeOf } from './prom-metric.ts'

/** What becomes of asking. */
export interface AskEvents {
  threw(metric: PublishedMetric, error: unknown): void
}

type Instruments =
  | { readonly type: 'counter'; readonly counter: CounterInstrument }
  | { readonly type: 'gauge'; readonly gauge: GaugeInstrument }
  | { readonly type: 'histogram'; readonly buckets: BucketsInstrument }
  | { readonly type: 'summary'; readonly buckets: BucketsInstrument; readonly quantiles: GaugeInstrument }

type Labels = Readonly<Record<string, string>>

/** Asked twice at once, prom-client's own metrics measure nothing in between. */
const askedEveryMs = 50

export class PublishedMetric {
  readonly source: PromMetric
  /** What it is asked for has not come yet. */
  pending: Promise<void> | undefined
  readonly #instruments: Instruments
  readonly #told = new ToldTotals<OwnBuckets>()
  #answered: readonly PromSample[] = []
  #askedAtMs = Number.NEGATIVE_INFINITY

  /** @throws {@link SpillwayError} `SPW_METRIC_INVALID` or `SPW_METRIC_CONFLICT`. */
  constructor(source: PromMetric, metrics: InstrumentMaker) {
    this.source = source
    this.#instruments = makeInstruments(source, metrics)
  }

  /** Has the metric look at what it measures, unless it still does or has just done so. Never throws, never waits. */
  ask(events: AskEvents): void {
    const nowMs = performance.now()
    if (this.pending !== undefined || nowMs - this.#askedAtMs < askedEveryMs) return
    this.#askedAtMs = nowMs
    try {
      this.#begin(events)
    } catch (error) {
      events.threw(this, error)
    }
  }

  #begin(events: AskEvents): void {
    const { source } = this
    const isRead = hasValues(source)
    const asked = isRead ? source.collect?.() : source.get?.()
    const answered = (answer: unknown): void => {
      if (!isRead) this.#answered = readAnswer(source, answer)
    }
    if (!isThenable(asked)) return answered(asked)
    this.pending = Promise.resolve(asked).then(
      (answer) => {
        this.pending = undefined
        answered(answer)
      },
      (error) => {
        this.pending = undefined
        events.threw(this, error)
      },
    )
  }

  /** Tells what there is now. */
  tell(defaultLabels: Labels): void {
    const { source } = this
    const samples = hasValues(source) ? readValues(source) : this.#answered
    for (const sample of samples) this.#tellSample(sample, defaultLabels)
    this.#told.endLook()
  }

  #tellSample(sample: PromSample, defaultLabels: Labels): void {
    const instruments = this.#instruments
    // What waits for its value has the one of last time.
    if (instruments.type === 'gauge' && this.pending !== undefined) return
    const attributes = attributesOf(sample.labels, defaultLabels)
    switch (instruments.type) {
      case 'counter': {
        const isNew = !this.#told.has(sample.key)
        const { sum } = this.#increase(sample)
        // One at zero is told once, so that it is there.
        if (isNew || sum > 0) instruments.counter.add(sum, attributes)
        return
      }
      case 'gauge':
        // prom-client's way to say that there is no value.
        if (!Number.isNaN(sample.value)) instruments.gauge.record(sample.value, attributes)
        return
      case 'histogram':
        return addBuckets(instruments.buckets, this.#increase(sample), attributes)
      case 'summary':
        addBuckets(instruments.buckets, this.#increase(sample), attributes)
        for (const { quantile, value } of sample.quantiles)
          if (Number.isFinite(value)) instruments.quantiles.record(value, { ...attributes, quantile: String(quantile) })
    }
  }

  #increase({ key, value, bounds, counts }: PromSample): OwnBuckets {
    const told = this.#told.find(key)
    const { total } = told
    const now = { sum: value, bounds, counts }
    told.total = now
    const isNew = total === undefined || (counts.length === 0 ? value < total.sum : !isPast(counts, total.counts))
    if (isNew) return now
    return { sum: value - total.sum, bounds, counts: counts.map((count, i) => count - (total.counts[i] ?? 0)) }
  }
}

/** Whether no count is below the one before. */
function isPast(counts: readonly number[], before: readonly number[]): boolean {
  return counts.length === before.length && counts.every((count, i) => count >= (before[i] ?? 0))
}

function addBuckets(instrument: BucketsInstrument, increase: OwnBuckets, attributes: Labels): void {
  if (increase.counts.some((count) => count > 0)) instrument.merge(fittedBuckets(increase), attributes)
}

function attributesOf(labels: PromSample['labels'], defaultLabels: Labels): Labels {
  const attributes: Record<string, string> = { ...defaultLabels }
  for (const [name, value] of Object.entries(labels)) attributes[name] = String(value)
  return attributes
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === 'object' && 'then' in value && typeof value.then === 'function'
}

function makeInstruments(source: PromMetric, metrics: InstrumentMaker): Instruments {
  const { name, help = '' } = source
  const type = typeOf(source)
  const given = instrumentName(name)
  const group = /^[A-Za-z0-9]*/.exec(given)?.[0] ?? ''
  const options = { description: String(help).slice(0, instrumentDescriptionCharsMax), group }
  switch (type) {
    case undefined:
      return assert.fail('what is no metric was to be published')
    case 'counter':
      return { type, counter: made((with_) => metrics.createCounter(given, with_), options) }
    case 'gauge':
      return { type, gauge: made((with_) => metrics.createGauge(given, with_), options) }
    case 'histogram':
      return { type, buckets: made((with_) => metrics.createBucketsHistogram(given, with_), options) }
    case 'summary':
      return {
        type,
        buckets: made((with_) => metrics.createBucketsHistogram(given, with_), options),
        quantiles: made((with_) => metrics.createGauge(`${given}_quantile`, with_), options),
      }
  }
}

/** prom-client's names may begin with `_` and have colons in them. */
function instrumentName(name: string): string {
  const clean = name.replaceAll(/[^A-Za-z0-9_]/g, '_')
  return (/^[A-Za-z]/.test(clean) ? clean : `prom_${clean}`).slice(0, instrumentNameCharsMax)
}

interface Options {
  readonly description?: string
  readonly group: string
}

/** Two registries may describe one metric in two ways: then the first one's stays. */
function made<I>(make: (options: Options) => I, { description, group }: { readonly description: string; readonly group: string }): I {
  try {
    return make({ description, group })
  } catch (error) {
    if (error instanceof SpillwayError && error.code === 'SPW_METRIC_CONFLICT') return make({ group })
    throw error
  }
}

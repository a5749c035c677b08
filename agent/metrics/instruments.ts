/**
 * Instruments, with OpenTelemetry's names and meanings. None of their calls throws, waits, or does unbounded work:
 * what cannot be meant is left out and counted.
 */
import type { HistogramValue } from '../../wire/exponential-histogram.ts'
import type { BucketsPoint } from '../../wire/points.ts'
import type { InstrumentDefinition } from './instrument-definition.ts'
import {
  type BoundTimer,
  BucketsSeries,
  CounterSeries,
  GaugeSeries,
  HistogramSeries,
  ObservedCounterSeries,
  ObservedGaugeSeries,
  ObservedUpDownCounterSeries,
  type Series,
  type SeriesOwner,
  UpDownCounterSeries,
} from './series.ts'
import { type MetricAttributes, SeriesTable, type TableOwner } from './series-table.ts'

/** Adds to one series; keep it, and a call is an addition. */
export interface BoundCounter {
  /** @param value - Finite; for a counter not below zero. */
  add(value: number): void
}

/** A counter or an up-down counter. */
export interface Counter {
  /** @param value - Finite; for a counter not below zero. */
  add(value: number, attributes?: MetricAttributes): void
  /** The handle of one series, which stays the same for the same attributes. */
  with(attributes: MetricAttributes): BoundCounter
}

export interface BoundGauge {
  /** @param value - What it is now; finite. */
  record(value: number): void
}

/** Keeps last, least and greatest of each interval. */
export interface Gauge {
  /** @param value - What it is now; finite. */
  record(value: number, attributes?: MetricAttributes): void
  /** The handle of one series, which stays the same for the same attributes. */
  with(attributes: MetricAttributes): BoundGauge
}

export interface BoundHistogram {
  /**
   * @param value - Finite.
   * @param weight - How many values this one stands for, when only some are measured: a whole number from 1 to a million.
   * @defaultValue `weight` 1
   */
  record(value: number, weight?: number): void
  startTimer(): BoundTimer
}

/** Counts values in exponential buckets: any quantile of all processes together, to 0.14 % at best and 2.2 % over three decimal orders. */
export interface Histogram {
  /**
   * @param value - Finite.
   * @param weight - How many values this one stands for, when only some are measured: a whole number from 1 to a million.
   * @defaultValue `weight` 1
   */
  record(value: number, attributes?: MetricAttributes, weight?: number): void
  /** The handle of one series, which stays the same for the same attributes. */
  with(attributes: MetricAttributes): BoundHistogram
  /** Begins to measure a duration in the histogram's unit, if that is one of time, else in seconds. */
  startTimer(attributes?: MetricAttributes): Timer
}

/** A measurement that has begun. */
export interface Timer {
  /**
   * Records how long it took since `startTimer`, and returns that. Each call records.
   *
   * @param attributes - Added to those the timer was started with; the later ones win.
   */
  stop(attributes?: MetricAttributes): number
}

export interface ObservableResult {
  /** @param value - Finite; for a counter the total so far, for the others what it is now. */
  observe(value: number, attributes?: MetricAttributes): void
}

export type ObservableCallback = (result: ObservableResult) => unknown

/** Asks at the end of each interval. What a callback throws is counted; if it returns a promise, what it observes later goes with the next interval. */
export interface Observable {
  addCallback(callback: ObservableCallback): void
  removeCallback(callback: ObservableCallback): void
}

/** What instruments tell the one who made them. */
export interface InstrumentEvents {
  /** A value or an attribute was left out, or a callback threw: the first time of the instrument. */
  refusedFirst(definition: InstrumentDefinition, what: string): void
  overflowedFirst(definition: InstrumentDefinition, table: SeriesTable<Series>): void
}

export interface InstrumentSetting {
  readonly seriesMax: number
  /** Never goes back; for timers. */
  readonly nowMs: () => number
}

export abstract class Instrument<S extends Series = Series> implements SeriesOwner, TableOwner<S> {
  readonly definition: InstrumentDefinition
  readonly table: SeriesTable<S>
  /** Values and attributes left out, and callbacks that threw. */
  refused = 0
  /** Calls, and handles given out, that went to the series of the surplus. */
  overflows = 0
  protected readonly nowMs: () => number
  readonly #events: InstrumentEvents

  constructor(definition: InstrumentDefinition, events: InstrumentEvents, { seriesMax, nowMs }: InstrumentSetting) {
    this.definition = definition
    this.nowMs = nowMs
    this.#events = events
    this.table = new SeriesTable<S>(this, seriesMax)
  }

  abstract newSeries(attributes: string): S

  /** Asks whoever is to be asked at the end of an interval; only observable instruments have anybody. */
  ask(): void {}

  refuse(value: unknown, what = 'value'): void {
    this.#refused(`the ${what} ${typeof value === 'number' ? value : `of type ${typeof value}`}`)
  }

  refuseAttribute(key: string): void {
    this.#refused(`attribute ${JSON.stringify(key.slice(0, 80))} (or a part of it)`)
  }

  callbackThrew(error: unknown): void {
    this.#refused(`what a callback threw, ${error instanceof Error ? error.name : typeof error},`)
  }

  #refused(what: string): void {
    this.refused += 1
    if (this.refused === 1) this.#events.refusedFirst(this.definition, what)
  }

  overflowed(): void {
    this.overflows += 1
    if (this.overflows === 1) this.#events.overflowedFirst(this.definition, this.table)
  }
}

export class CounterInstrument extends Instrument<CounterSeries> implements Counter {
  newSeries(attributes: string): CounterSeries {
    return new CounterSeries(attributes, this)
  }

  add(value: number, attributes?: MetricAttributes): void {
    this.table.find(attributes).add(value)
  }

  with(attributes: MetricAttributes): BoundCounter {
    return this.table.bind(attributes)
  }
}

export class UpDownCounterInstrument extends Instrument<UpDownCounterSeries> implements Counter {
  newSeries(attributes: string): UpDownCounterSeries {
    return new UpDownCounterSeries(attributes, this)
  }

  add(value: number, attributes?: MetricAttributes): void {
    this.table.find(attributes).add(value)
  }

  with(attributes: MetricAttributes): BoundCounter {
    return this.table.bind(attributes)
  }
}

export class GaugeInstrument extends Instrument<GaugeSeries> implements Gauge {
  newSeries(attributes: string): GaugeSeries {
    return new GaugeSeries(attributes, this)
  }

  record(value: number, attributes?: MetricAttributes): void {
    this.table.find(attributes).record(value)
  }

  with(attributes: MetricAttributes): BoundGauge {
    return this.table.bind(attributes)
  }
}

/** Units of time in UCUM, per second. */
const unitsPerSecond: ReadonlyMap<string, number> = new Map([
  ['s', 1],
  ['ms', 1e3],
  ['us', 1e6],
  ['ns', 1e9],
  ['min', 1 / 60],
  ['h', 1 / 3_600],
])

export class HistogramInstrument extends Instrument<HistogramSeries> implements Histogram {
  /** Begins to measure; what it returns says how long it has been, in the unit of this histogram. */
  #measure(): () => number {
    const { nowMs } = this
    const perMs = (unitsPerSecond.get(this.definition.unit) ?? 1) / 1_000
    const startedAtMs = nowMs()
    return () => (nowMs() - startedAtMs) * perMs
  }

  newSeries(attributes: string): HistogramSeries {
    return new HistogramSeries(attributes, this, () => this.#measure())
  }

  record(value: number, attributes?: MetricAttributes, weight?: number): void {
    this.table.find(attributes).record(value, weight)
  }

  /** Takes values that somebody else has put into exponential buckets since the last time. */
  merge(value: HistogramValue, attributes?: MetricAttributes): void {
    this.table.find(attributes).merge(value)
  }

  with(attributes: MetricAttributes): BoundHistogram {
    return this.table.bind(attributes)
  }

  startTimer(attributes?: MetricAttributes): Timer {
    const measured = this.#measure()
    return {
      stop: (more) => {
        const took = measured()
        this.record(took, more === undefined ? attributes : { ...attributes, ...more })
        return took
      },
    }
  }
}

interface ObservedSeries extends Series {
  observe(value: number): void
}

abstract class ObservableInstrument<S extends ObservedSeries> extends Instrument<S> implements Observable, ObservableResult {
  readonly #callbacks = new Set<ObservableCallback>()

  addCallback(callback: ObservableCallback): void {
    this.#callbacks.add(callback)
  }

  removeCallback(callback: ObservableCallback): void {
    this.#callbacks.delete(callback)
  }

  observe(value: number, attributes?: MetricAttributes): void {
    this.table.find(attributes).observe(value)
  }

  /** Asks everybody. Never throws. */
  override ask(): void {
    const result: ObservableResult = { observe: (value, attributes) => this.observe(value, attributes) }
    for (const callback of this.#callbacks) {
      try {
        const promised = callback(result)
        if (promised instanceof Promise) promised.catch((error) => this.callbackThrew(error))
      } catch (error) {
        this.callbackThrew(error)
      }
    }
  }
}

export class ObservableCounterInstrument extends ObservableInstrument<ObservedCounterSeries> {
  newSeries(attributes: string): ObservedCounterSeries {
    return new ObservedCounterSeries(attributes, this)
  }
}

export class ObservableUpDownCounterInstrument extends ObservableInstrument<ObservedUpDownCounterSeries> {
  newSeries(attributes: string): ObservedUpDownCounterSeries {
    return new ObservedUpDownCounterSeries(attributes, this)
  }
}

export class ObservableGaugeInstrument extends ObservableInstrument<ObservedGaugeSeries> {
  newSeries(attributes: string): ObservedGaugeSeries {
    return new ObservedGaugeSeries(attributes, this)
  }
}

/** A histogram with bounds of its own, kept by somebody else. */
export class BucketsInstrument extends Instrument<BucketsSeries> {
  newSeries(attributes: string): BucketsSeries {
    return new BucketsSeries(attributes, this)
  }

  /** Tells the totals so far; see {@link BucketsSeries.observe}. */
  observe(totals: Omit<BucketsPoint, 'attributes'>, attributes?: MetricAttributes): void {
    this.table.find(attributes).observe(totals)
  }

  /** Adds what was counted since the last time; see {@link BucketsSeries.merge}. */
  merge(increase: Omit<BucketsPoint, 'attributes'>, attributes?: MetricAttributes): void {
    this.table.find(attributes).merge(increase)
  }
}

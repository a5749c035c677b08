/** What somebody needs who measures, or feeds what was measured elsewhere. */
import type { FedInstrumentOptions } from './instrument-definition.ts'
import type {
  BucketsInstrument,
  CounterInstrument,
  GaugeInstrument,
  HistogramInstrument,
  ObservableCounterInstrument,
  ObservableGaugeInstrument,
  ObservableUpDownCounterInstrument,
  UpDownCounterInstrument,
} from './instruments.ts'

export interface InstrumentMaker {
  createCounter(name: string, options?: FedInstrumentOptions): CounterInstrument
  createUpDownCounter(name: string, options?: FedInstrumentOptions): UpDownCounterInstrument
  createGauge(name: string, options?: FedInstrumentOptions): GaugeInstrument
  createHistogram(name: string, options?: FedInstrumentOptions): HistogramInstrument
  createObservableCounter(name: string, options?: FedInstrumentOptions): ObservableCounterInstrument
  createObservableUpDownCounter(name: string, options?: FedInstrumentOptions): ObservableUpDownCounterInstrument
  createObservableGauge(name: string, options?: FedInstrumentOptions): ObservableGaugeInstrument
  /** A histogram that somebody else keeps, with bounds of its own. */
  createBucketsHistogram(name: string, options?: FedInstrumentOptions): BucketsInstrument
  /** Has somebody asked before the points of an interval are read. What it throws is its own fault and is ignored. */
  beforeCollect(asked: (() => void) | Feeder): { cancel(): void }
}

/** Somebody who feeds what was measured elsewhere. */
export interface Feeder {
  /** Makes what is new to be measured known; at the end of every interval, even if nobody wants it, so it costs little. */
  discover?(): void
  /**
   * Begins what takes time. {@link tell} waits until it is settled, at most `prepareMaxMs` and half an interval, and not at
   * the end of the process.
   */
  prepare?(): Promise<unknown> | undefined
  /** Tells the instruments what there is now. */
  tell(): void
}

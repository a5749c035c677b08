/** What somebody needs who measures, or feeds what was measured elsewhere. */
import type { InstrumentOptions } from './instrument-definition.ts'
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
  createCounter(name: string, options?: InstrumentOptions): CounterInstrument
  createUpDownCounter(name: string, options?: InstrumentOptions): UpDownCounterInstrument
  createGauge(name: string, options?: InstrumentOptions): GaugeInstrument
  createHistogram(name: string, options?: InstrumentOptions): HistogramInstrument
  createObservableCounter(name: string, options?: InstrumentOptions): ObservableCounterInstrument
  createObservableUpDownCounter(name: string, options?: InstrumentOptions): ObservableUpDownCounterInstrument
  createObservableGauge(name: string, options?: InstrumentOptions): ObservableGaugeInstrument
  /** A histogram that somebody else keeps, with bounds of its own. */
  createBucketsHistogram(name: string, options?: InstrumentOptions): BucketsInstrument
  /** Has `callback` called before the points of an interval are read. */
  beforeCollect(callback: () => void): { cancel(): void }
}

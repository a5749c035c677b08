export { SpillwayError, type SpillwayErrorCode } from '../wire/spillway-error.ts'
export type { Agent, LoggerLike } from './agent.ts'
export type { AgentStats, FlushResult, TopicStats } from './books.ts'
export type { FingersCrossed, FingersCrossedOptions, FingersCrossedStats } from './fingers-crossed.ts'
export type { LogDestination } from './log-destination.ts'
export type { InstrumentOptions } from './metrics/instrument-definition.ts'
export type {
  BoundCounter,
  BoundGauge,
  BoundHistogram,
  Counter,
  Gauge,
  Histogram,
  Observable,
  ObservableCallback,
  ObservableResult,
  Timer,
} from './metrics/instruments.ts'
export type { MetricsStats } from './metrics/metrics.ts'
export type { BoundTimer } from './metrics/series.ts'
export type { MetricAttributes } from './metrics/series-table.ts'
export type { OnDemandStats } from './on-demand.ts'
export type { AgentOptions, MetricsSettings, OnDemandOptions } from './options.ts'
export { createAgent } from './shared.ts'

export { SpillwayError, type SpillwayErrorCode } from '../wire/spillway-error.ts'
export { Collector, type CollectorAddresses, startCollector } from './collector.ts'
export {
  type CollectorConfig,
  type ConfigIssue,
  type ConfigOverrides,
  type ConfigResult,
  type FileSinkConfig,
  type Keep,
  readConfig,
  requireConfig,
  type SinkConfig,
  type SpoolConfig,
  type StdoutSinkConfig,
} from './config.ts'
export type { GivenUpReason, LossEntry } from './loss-report.ts'
export type { LogMetricConfig } from './rollup/log-metrics.ts'
export type { RollUpConfig, RollUpCounts } from './rollup/roll-up.ts'
export type { ClosedWindow, WindowsStatus } from './rollup/window-summary.ts'
export type { InfluxSinkConfig, InfluxTargetConfig } from './sinks/influx/influx-config.ts'
export type { FilesStatus, RemovalReason, SinkStatus } from './sinks/sink.ts'
export type { SpoolStatus } from './spool/spool.ts'
export type {
  BooksStatus,
  CollectorStatus,
  OriginStatus,
  RepairsStatus,
  RollUpStatus,
  SinkBooksStatus,
  TopicStatus,
} from './status.ts'
export type { UnknownTailBound } from './unknown-tail.ts'

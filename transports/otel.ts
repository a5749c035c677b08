/**
 * OpenTelemetry's way into Spillway: exporters for its JavaScript SDK.
 *
 *   new PeriodicExportingMetricReader({ exporter: new SpillwayMetricExporter() })       metrics ─► instruments ─► points
 *   new BatchLogRecordProcessor({ exporter: new SpillwayLogRecordExporter() })          log records ─► lines as pino's
 *
 * Exporting is handing over to the agent: it takes no time to speak of and cannot fail for want of a collector. What becomes
 * of it then is in the agent's books.
 */

export type { ExportStats, SpillwayExporterOptions } from './otel/exporter-agent.ts'
export { SpillwayLogRecordExporter } from './otel/log-record-exporter.ts'
export { SpillwayMetricExporter, type SpillwayMetricExporterOptions } from './otel/metric-exporter.ts'

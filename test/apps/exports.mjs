// Counts and logs with OpenTelemetry's SDK as an application does, and shuts it down.
import { logs, SeverityNumber } from '@opentelemetry/api-logs'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { SpillwayLogRecordExporter, SpillwayMetricExporter } from 'spillway/otel'

const resource = resourceFromAttributes({ 'service.name': 'exports', 'deployment.environment.name': 'test' })
const exporter = new SpillwayMetricExporter({ resourceAttributes: ['deployment.environment.name'] })
const meters = new MeterProvider({ resource, readers: [new PeriodicExportingMetricReader({ exporter })] })
const loggers = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new SpillwayLogRecordExporter() })] })
logs.setGlobalLoggerProvider(loggers)

const paid = meters.getMeter('shop', '1.2.3').createCounter('payments', { unit: '1' })
const log = logs.getLogger('payments')
for (let i = 0; i < 1_000; i += 1) {
  paid.add(1, { route: '/pay' })
  log.emit({ severityNumber: SeverityNumber.INFO, body: 'payment taken', attributes: { order: i } })
}
await meters.shutdown()
await loggers.shutdown()

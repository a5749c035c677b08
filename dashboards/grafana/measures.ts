/**
 * What panels show, said once: each source of data has its own words for it (promql.ts, influxql.ts, flux.ts).
 *
 * In InfluxDB a metric is a measurement of its own name, and its points are the increases or values of every process, each with
 * the tag `origin` (docs/INFLUXDB.md). In Prometheus it has a name made of words, unit and kind, and the collector has summed
 * the processes up already (docs/METRICS.md).
 */
export type MetricKind = 'counter' | 'upDownCounter' | 'gauge' | 'histogram'

export interface Metric {
  readonly name: string
  readonly kind: MetricKind
  /** Without `_total`, `_bucket` and the like. */
  readonly prometheus: string
}

/** Of a metric's series, those in which an attribute matches. */
export interface Condition {
  readonly attribute: string
  /** Regular expression, of the whole value. */
  readonly matches: string
}

interface OfMetric {
  readonly metric: Metric
  /** Attributes, or `service`, by which lines are told apart; one line of all when empty. */
  readonly by?: readonly string[]
  readonly where?: Condition
}

/** All lines, those of errors, or those of the levels chosen in the dashboard's variable `level`. */
export type Levels = 'all' | 'errors' | 'chosen'

export type Measure =
  /** Of a counter: its increase per second. Of a histogram: how many were recorded per second. */
  | ({ readonly show: 'rate' } & OfMetric)
  /** Of a histogram: the sum of what was recorded, per second. */
  | ({ readonly show: 'sumRate' } & OfMetric)
  /** Of a histogram. InfluxDB has the quantiles of each process: the highest of them. */
  | ({ readonly show: 'quantile'; readonly quantile: 0.5 | 0.9 | 0.99 } & OfMetric)
  /** Of an up-down counter or a gauge: the sum of all processes. */
  | ({ readonly show: 'sum' } & OfMetric)
  /** Of a gauge: the process in which it is highest. */
  | ({ readonly show: 'highest' } & OfMetric)
  /** Log lines per second. */
  | { readonly show: 'logRate'; readonly by: readonly ('service' | 'level' | 'logger')[]; readonly levels: Levels }
  /** Log lines in the time shown, as a table. */
  | { readonly show: 'logTable'; readonly by: readonly ('service' | 'level' | 'logger')[]; readonly levels: Levels }
  /** The lines themselves. */
  | { readonly show: 'logLines'; readonly levels: Levels }

const metric = (name: string, kind: MetricKind, prometheus: string): Metric => ({ name, kind, prometheus })

/** Names of OpenTelemetry's semantic conventions; those of the runtime are there in every process. */
export const metrics = {
  requests: metric('http.server.request.duration', 'histogram', 'http_server_request_duration_seconds'),
  requestsOpen: metric('http.server.active_requests', 'upDownCounter', 'http_server_active_requests'),
  loopDelayP50: metric('nodejs.eventloop.delay.p50', 'gauge', 'nodejs_eventloop_delay_p50_seconds'),
  loopDelayP90: metric('nodejs.eventloop.delay.p90', 'gauge', 'nodejs_eventloop_delay_p90_seconds'),
  loopDelayP99: metric('nodejs.eventloop.delay.p99', 'gauge', 'nodejs_eventloop_delay_p99_seconds'),
  loopDelayMax: metric('nodejs.eventloop.delay.max', 'gauge', 'nodejs_eventloop_delay_max_seconds'),
  loopUtilization: metric('nodejs.eventloop.utilization', 'gauge', 'nodejs_eventloop_utilization_ratio'),
  gcDuration: metric('v8js.gc.duration', 'histogram', 'v8js_gc_duration_seconds'),
  heapUsed: metric('v8js.memory.heap.used', 'upDownCounter', 'v8js_memory_heap_used_bytes'),
  heapSize: metric('v8js.memory.heap.space.size', 'upDownCounter', 'v8js_memory_heap_space_size_bytes'),
  resources: metric('v8js.resource.active', 'gauge', 'v8js_resource_active'),
  cpuTime: metric('process.cpu.time', 'counter', 'process_cpu_time_seconds'),
  memory: metric('process.memory.usage', 'upDownCounter', 'process_memory_usage_bytes'),
  descriptors: metric('process.unix.file_descriptor.count', 'upDownCounter', 'process_unix_file_descriptor_count'),
} as const satisfies Readonly<Record<string, Metric>>

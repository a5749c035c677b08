/**
 * OpenTelemetry's metrics, as increases: counters and histograms are asked for as deltas, up-down counters as values. What
 * comes as a total all the same (from another producer behind the same reader) is made an increase here.
 */
import type {
  AggregationOption,
  AggregationTemporality,
  InstrumentType,
  MetricData,
  PushMetricExporter,
  ResourceMetrics,
  ScopeMetrics,
} from '@opentelemetry/sdk-metrics'
import type { Agent } from '../../agent/agent.ts'
import type { MetricAttributes } from '../../agent/metrics/series-table.ts'
import { ExportedMetric } from './exported-metric.ts'
import { ExporterAgent, type ExportStats, invalid, type ResourceLike, type SpillwayExporterOptions } from './exporter-agent.ts'

export interface SpillwayMetricExporterOptions extends SpillwayExporterOptions {
  /** Whether every series gets `otel.scope.name` and `otel.scope.version`, which tells libraries' metrics of one name apart. @defaultValue true */
  readonly scopeAttributes?: boolean | undefined
  /** How histograms are aggregated where no view says it: `'explicit'` with the SDK's own bounds. @defaultValue 'exponential' */
  readonly histograms?: 'exponential' | 'explicit' | undefined
}

/** The SDK's enums as they are: it is not imported, so that this module loads without it. */
const delta = 0 as AggregationTemporality.DELTA
const cumulative = 1 as AggregationTemporality.CUMULATIVE
const defaultAggregation = { type: 0 } as AggregationOption
const exponentialAggregation = { type: 5, options: { maxSize: 160, recordMinMax: true } } as AggregationOption

const metricsMax = 4_000

export class SpillwayMetricExporter implements PushMetricExporter {
  readonly #agent: ExporterAgent
  readonly #isExponential: boolean
  readonly #withScope: boolean
  /** By scope, name and kind. */
  readonly #metrics = new Map<string, ExportedMetric | undefined>()

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an option that cannot be meant. */
  constructor(options: SpillwayMetricExporterOptions = {}) {
    const { scopeAttributes = true, histograms = 'exponential' } = options
    this.#agent = new ExporterAgent(options, { name: 'SpillwayMetricExporter', knownOptions: ['scopeAttributes', 'histograms'] })
    if (typeof scopeAttributes !== 'boolean') throw invalid('scopeAttributes', 'true or false', scopeAttributes)
    if (histograms !== 'exponential' && histograms !== 'explicit') throw invalid('histograms', "'exponential' or 'explicit'", histograms)
    this.#isExponential = histograms === 'exponential'
    this.#withScope = scopeAttributes
  }

  selectAggregationTemporality(instrumentType: InstrumentType): AggregationTemporality {
    return instrumentType === 'UP_DOWN_COUNTER' || instrumentType === 'OBSERVABLE_UP_DOWN_COUNTER' ? cumulative : delta
  }

  selectAggregation(instrumentType: InstrumentType): AggregationOption {
    return instrumentType === 'HISTOGRAM' && this.#isExponential ? exponentialAggregation : defaultAggregation
  }

  /** Hands the points to the agent, which adds them to its next interval, and calls back at once. */
  export(metrics: ResourceMetrics, resultCallback: Parameters<PushMetricExporter['export']>[1]): void {
    this.#agent.export(metrics.resource, (agent) => this.#take(agent, metrics), resultCallback)
  }

  #take(agent: Agent, { resource, scopeMetrics }: ResourceMetrics): void {
    const ofResource = this.#chosenOf(resource)
    for (const { scope, metrics } of scopeMetrics) {
      const ofScope = this.#withScope
        ? { 'otel.scope.name': scope.name || undefined, 'otel.scope.version': scope.version || undefined }
        : {}
      for (const metric of metrics) this.#takeMetric(agent, scope, metric, { ...ofResource, ...ofScope })
    }
  }

  #takeMetric(agent: Agent, scope: ScopeMetrics['scope'], data: MetricData, more: MetricAttributes): void {
    const metric = this.#find(agent, scope, data)
    const points = data.dataPoints.length
    const taken = metric?.take(data, more) ?? 0
    this.#agent.exported += taken
    this.#agent.leftOut += points - taken
    if (taken < points && metric !== undefined)
      this.#agent.warnings.say(data.descriptor.name, 'has points without a sum, or that are no numbers; they are left out')
  }

  #find(agent: Agent, { name, version }: ScopeMetrics['scope'], data: MetricData): ExportedMetric | undefined {
    const key = JSON.stringify([name, version, data.descriptor.name, ExportedMetric.kindOf(data)])
    if (this.#metrics.has(key)) return this.#metrics.get(key)
    if (this.#metrics.size >= metricsMax) return undefined
    let metric: ExportedMetric | undefined
    try {
      metric = new ExportedMetric(data, agent.metrics)
    } catch (error) {
      this.#agent.warnings.say(
        data.descriptor.name,
        `cannot be told, and is left out: ${error instanceof Error ? error.message : typeof error}`,
      )
    }
    this.#metrics.set(key, metric)
    return metric
  }

  #chosenOf({ attributes }: ResourceLike): MetricAttributes {
    return Object.fromEntries(this.#agent.resourceAttributes.map((name) => [name, attributes[name] as MetricAttributes[string]]))
  }

  /** Waits until everything is acknowledged: two seconds at most, a tenth of one where no collector is. Never rejects. */
  forceFlush(): Promise<void> {
    return this.#agent.flush()
  }

  /** Flushes; later exports fail. The agent stays open: others may share it. */
  shutdown(): Promise<void> {
    return this.#agent.shutdown()
  }

  stats(): ExportStats {
    return this.#agent.stats()
  }
}

/**
 * prom-client's way into Spillway: what a registry holds is published with the agent's own metrics, every interval and at the
 * end of the process, without a scrape endpoint.
 *
 *   publishRegistry(register)     counters, histograms ─► their increases     gauges ─► what they are now
 *
 * Names, help texts and labels stay as they are. `collect` functions are asked as a scrape would ask them, all at once; one
 * that throws or takes too long holds up nobody, and is counted.
 */
import type { Agent } from '../agent/agent.ts'
import type { Feeder } from '../agent/metrics/instrument-maker.ts'
import { createAgent } from '../agent/shared.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { isPromMetric } from './prom-client/prom-metric.ts'
import { type AskEvents, PublishedMetric } from './prom-client/published-metric.ts'
import { Warnings } from './warnings.ts'

/** A registry of prom-client, from 14.2. */
export interface PromRegistry {
  getMetricsAsArray(): readonly unknown[]
}

export interface PublishOptions {
  /** Whose metrics they become. @defaultValue the shared agent of this process, `createAgent()` */
  readonly agent?: Agent | undefined
}

/** What has become of publishing. */
export interface PublishStats {
  /** Metrics of the registry that are published. */
  readonly metrics: number
  /** Metrics of the registry that cannot be, because their name is another instrument's or nothing can be read of them. */
  readonly skipped: number
  /** `collect` functions that threw, and those that were not done in time: each time. */
  readonly threw: number
  readonly late: number
}

export interface PublishedRegistry {
  /** Nothing more is read. What was told is not taken back; published again, only what is new is told. */
  stop(): void
  stats(): PublishStats
}

const knownOptions = new Set(['agent'])
/** By agent and registry, and by agent and metric: what was told of a metric is told, whoever published it. */
const publications = new WeakMap<Agent, WeakMap<object, Publication>>()
const published = new WeakMap<Agent, WeakMap<object, PublishedMetric>>()

/**
 * Publishes what a registry holds now and later, default metrics included. The first time everything since zero is told.
 * Publishing a registry that is published already changes nothing.
 *
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID` for what is no registry, and an option that cannot be meant.
 */
export function publishRegistry(registry: PromRegistry, options: PublishOptions = {}): PublishedRegistry {
  if (registry === null || typeof registry !== 'object' || typeof registry.getMetricsAsArray !== 'function')
    throw new SpillwayError(
      'SPW_OPTION_INVALID',
      `publishRegistry: expected a registry of prom-client, such as its register, got ${typeof registry}`,
    )
  for (const key of Object.keys(options)) {
    if (!knownOptions.has(key)) throw new SpillwayError('SPW_OPTION_INVALID', `${key}: expected agent, got an option of that name`)
  }
  const agent = options.agent ?? createAgent()
  const ofAgent = publications.get(agent) ?? new WeakMap<object, Publication>()
  publications.set(agent, ofAgent)
  let publication = ofAgent.get(registry)
  if (publication === undefined || publication.isStopped) {
    publication = new Publication(agent, registry)
    ofAgent.set(registry, publication)
  }
  return publication
}

class Publication implements PublishedRegistry, Feeder, AskEvents {
  isStopped = false
  readonly #agent: Agent
  #registry: PromRegistry | undefined
  readonly #byMetric: WeakMap<object, PublishedMetric>
  /** Those of the registry now. */
  #metrics: readonly PublishedMetric[] = []
  /** Metrics that cannot be published. */
  #unfit = new WeakSet<object>()
  readonly #feeding: { cancel(): void }
  /** Everybody has been asked and waited for. */
  #isPrepared = false
  readonly #warnings = new Warnings('prom-client')
  #skipped = 0
  #threw = 0
  #late = 0

  constructor(agent: Agent, registry: PromRegistry) {
    this.#agent = agent
    this.#registry = registry
    this.#byMetric = published.get(agent) ?? new WeakMap()
    published.set(agent, this.#byMetric)
    this.#feeding = agent.metrics.beforeCollect(this)
    if (!agent.isDisabled) this.discover()
  }

  /** Looks at what is in the registry now. */
  discover(): void {
    const metrics: PublishedMetric[] = []
    let skipped = 0
    for (const source of this.#registry?.getMetricsAsArray() ?? []) {
      const metric = this.#find(source)
      if (metric === undefined) skipped += 1
      else metrics.push(metric)
    }
    this.#metrics = metrics
    this.#skipped = skipped
  }

  #find(source: unknown): PublishedMetric | undefined {
    if (!isPromMetric(source)) {
      this.#warnings.say('what is no metric', 'cannot be read')
      return undefined
    }
    const known = this.#byMetric.get(source)
    if (known !== undefined || this.#unfit.has(source)) return known
    try {
      const metric = new PublishedMetric(source, this.#agent.metrics)
      this.#byMetric.set(source, metric)
      return metric
    } catch (error) {
      this.#unfit.add(source)
      this.#warnings.say(source.name, `cannot be published: ${error instanceof SpillwayError ? error.message : typeof error}`)
      return undefined
    }
  }

  prepare(): Promise<unknown> | undefined {
    for (const metric of this.#metrics) metric.ask(this)
    this.#isPrepared = true
    const pending = this.#metrics.map((metric) => metric.pending).filter((promise) => promise !== undefined)
    return pending.length === 0 ? undefined : Promise.all(pending)
  }

  tell(): void {
    if (this.#isPrepared) this.#countLate()
    // There was no time to wait for anybody: at the end of the process.
    else for (const metric of this.#metrics) metric.ask(this)
    this.#isPrepared = false
    const defaultLabels = defaultLabelsOf(this.#registry)
    for (const metric of this.#metrics) metric.tell(defaultLabels)
  }

  #countLate(): void {
    for (const { pending, source } of this.#metrics) {
      if (pending === undefined) continue
      this.#late += 1
      this.#warnings.say(source.name, 'was not done in time; what it finds later goes with the next interval')
    }
  }

  threw(metric: PublishedMetric, error: unknown): void {
    this.#threw += 1
    this.#warnings.say(
      metric.source.name,
      `threw ${error instanceof Error ? error.name : typeof error} when asked; what it had before is told`,
    )
  }

  stop(): void {
    this.isStopped = true
    this.#feeding.cancel()
    this.#registry = undefined
    this.#metrics = []
  }

  stats(): PublishStats {
    return { metrics: this.#metrics.length, skipped: this.#skipped, threw: this.#threw, late: this.#late }
  }
}

/** prom-client has no other way to ask for them. */
function defaultLabelsOf(registry: PromRegistry | undefined): Readonly<Record<string, string>> {
  const { _defaultLabels: labels } = (registry ?? {}) as { readonly _defaultLabels?: unknown }
  if (labels === null || typeof labels !== 'object') return {}
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]))
}

/** Options of an agent: code wins over the environment, the environment over defaults. */
import { isMainThread } from 'node:worker_threads'
import { checkBindEndpoint, checkIpcPath } from '../wire/bind.ts'
import { defaultDataEndpoint, type Endpoint, isIpc, parseEndpoint, siblingEndpoint } from '../wire/endpoint.ts'
import { type Level, levels } from '../wire/level.ts'
import { metricIntervalMs, ringBytesMax, seriesMaxDefault, seriesMaxMax } from '../wire/limits.ts'
import { parseDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { MetricsOptions } from './metrics/metrics-options.ts'
import { defaultServiceName } from './service-name.ts'

export interface AgentOptions {
  /**
   * Name of the service; the collector keeps its lines under it.
   * @defaultValue `SPILLWAY_SERVICE`, else the nearest package.json's name, else `app`
   */
  service?: string | undefined
  /**
   * Data endpoint of the collector, or several that each get every record.
   * @defaultValue `SPILLWAY_COLLECTOR` (comma list), else `tcp://127.0.0.1:7701`
   */
  collector?: string | readonly string[] | undefined
  /**
   * Control endpoints, one for each of `collector`.
   * @defaultValue `SPILLWAY_CONTROL`, else the port behind the data port, or `PATH.control` for ipc
   */
  control?: string | readonly string[] | undefined
  /**
   * Bytes kept in this process for records that are not known to be kept elsewhere; shared by all agents of the
   * process, the largest wish wins. From 65,536.
   * @defaultValue 8 MiB
   */
  ringBytes?: number | undefined
  /**
   * Endpoint this process binds for live tails that connect to it directly, such as `ipc:///run/shop/tail.sock`. Without
   * `collector` there is then none. A folder that is made for a path is for its owner only.
   */
  bind?: string | undefined
  /** Lets `bind` be an address other machines can reach: anybody there can read along. */
  insecure?: boolean | undefined
  /**
   * What live tails may switch on in this process; `false` for nothing at all. Several calls for one agent narrow it.
   * @defaultValue every level, 10,000 records a second, 60 minutes at one go
   */
  onDemand?: false | OnDemandOptions | undefined
  /** `'stdout'` prints lines that would otherwise be shed. Off by default. */
  fallback?: 'stdout' | undefined
  /** How metrics are aggregated and sent. The last word of a process counts for all who share the agent. */
  metrics?: MetricsSettings | undefined
}

export interface MetricsSettings {
  /**
   * Between two sendings, aligned to the wall clock: milliseconds, or a text such as `'10s'`; from 100 ms to an hour.
   * @defaultValue 10 s
   */
  interval?: number | string | undefined
  /**
   * Series of one instrument; the surplus goes to one of its own. From 1 to 100,000; for instruments made afterwards.
   * @defaultValue 1,000
   */
  seriesMax?: number | undefined
  /**
   * Whether the process measures itself: event loop, garbage collection, heap, CPU, memory, file descriptors.
   * @defaultValue true; false in worker threads, where most of that is the whole process's
   */
  runtime?: boolean | undefined
}

/** What live tails may do to this application. */
export interface OnDemandOptions {
  /** Levels that may be switched on. @defaultValue all */
  readonly levels?: readonly Level[] | undefined
  /** Records a second made on demand; what is over it is counted and not sent. @defaultValue 10,000 */
  readonly maxRate?: number | undefined
  /** Minutes a level stays on at one go; it can be asked for again once nobody does. @defaultValue 60 */
  readonly maxMinutes?: number | undefined
}

export interface LinkEndpoints {
  readonly data: Endpoint
  readonly control: Endpoint
}

export interface ResolvedOptions {
  readonly service: string
  readonly links: readonly LinkEndpoints[]
  readonly bind?: Endpoint | undefined
  readonly ringBytes: number
  readonly fallback: 'stdout' | undefined
  readonly onDemand?: false | OnDemandOptions | undefined
  readonly isDisabled: boolean
  readonly metrics: MetricsOptions
  /** What of it was asked for in so many words. */
  readonly askedMetrics: Partial<MetricsOptions>
}

const linksMax = 8
const ringBytesMin = 65_536
const knownOptions = new Set(['service', 'collector', 'control', 'ringBytes', 'fallback', 'metrics', 'onDemand', 'bind', 'insecure'])

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` naming the option or the environment variable, and what was expected. */
export function resolveOptions(options: AgentOptions, env: NodeJS.ProcessEnv): ResolvedOptions {
  for (const key of Object.keys(options)) {
    if (!knownOptions.has(key)) throw invalid(key, `one of ${[...knownOptions].join(', ')}`, 'an option of that name')
  }
  const isDisabled = env['SPILLWAY_DISABLED'] === '1'
  const service = options.service ?? (env['SPILLWAY_SERVICE'] || defaultServiceName())
  if (typeof service !== 'string' || service === '') throw invalid('service', 'a non-empty string', service)
  const ringBytes = options.ringBytes ?? ringBytesMax
  if (!Number.isSafeInteger(ringBytes) || ringBytes < ringBytesMin)
    throw invalid('ringBytes', `a whole number of bytes from ${ringBytesMin}`, ringBytes)
  if (options.fallback !== undefined && options.fallback !== 'stdout') throw invalid('fallback', `'stdout' or nothing`, options.fallback)
  const askedMetrics = askMetrics(options.metrics)
  const metrics = { intervalMs: metricIntervalMs.default, seriesMax: seriesMaxDefault, runtime: isMainThread, ...askedMetrics }
  return {
    service,
    // What is switched off is not looked at: a wrong address must not stop anybody then.
    links: isDisabled ? [] : resolveLinks(options, env),
    bind: isDisabled ? undefined : resolveBind(options),
    ringBytes,
    fallback: options.fallback,
    onDemand: checkedDemand(options.onDemand),
    isDisabled,
    metrics,
    askedMetrics,
  }
}

const knownSettings = new Set(['interval', 'seriesMax', 'runtime'])

function askMetrics(settings: MetricsSettings | undefined): Partial<MetricsOptions> {
  if (settings === undefined) return {}
  if (settings === null || typeof settings !== 'object')
    throw invalid('metrics', `an object with ${[...knownSettings].join(', ')}`, settings)
  for (const key of Object.keys(settings)) {
    if (!knownSettings.has(key)) throw invalid(`metrics.${key}`, `one of ${[...knownSettings].join(', ')}`, 'an option of that name')
  }
  const { interval, seriesMax, runtime } = settings
  const { min, max } = metricIntervalMs
  const intervalMs = typeof interval === 'string' ? parseDuration(interval) : interval
  if (interval !== undefined && !(Number.isInteger(intervalMs) && Number(intervalMs) >= min && Number(intervalMs) <= max))
    throw invalid('metrics.interval', `${min} ms to an hour, as milliseconds or a text such as "10s"`, interval)
  if (seriesMax !== undefined && !(Number.isInteger(seriesMax) && seriesMax >= 1 && seriesMax <= seriesMaxMax))
    throw invalid('metrics.seriesMax', `a whole number from 1 to ${seriesMaxMax}`, seriesMax)
  if (runtime !== undefined && typeof runtime !== 'boolean') throw invalid('metrics.runtime', 'true or false', runtime)
  return {
    ...(intervalMs === undefined ? undefined : { intervalMs }),
    ...(seriesMax === undefined ? undefined : { seriesMax }),
    ...(runtime === undefined ? undefined : { runtime }),
  }
}

function checkedDemand(option: unknown): false | OnDemandOptions | undefined {
  if (option === undefined || option === false) return option
  if (option === null || typeof option !== 'object') throw invalid('onDemand', 'false or limits such as { maxRate: 1000 }', option)
  for (const [name, value] of Object.entries(option)) {
    if (value === undefined) continue
    if (name === 'levels') {
      const isLevels = Array.isArray(value) && value.every((level) => (levels as readonly unknown[]).includes(level))
      if (!isLevels) throw invalid('onDemand.levels', `a list of ${levels.join(', ')}`, JSON.stringify(value))
    } else if (name !== 'maxRate' && name !== 'maxMinutes')
      throw invalid(`onDemand.${name}`, 'one of levels, maxRate, maxMinutes', 'an option of that name')
    else if (typeof value !== 'number' || !(value > 0)) {
      throw invalid(`onDemand.${name}`, name === 'maxRate' ? 'records a second, above 0' : 'minutes, above 0', value)
    }
  }
  return option
}

function resolveBind({ bind, insecure }: AgentOptions): Endpoint | undefined {
  if (insecure !== undefined && typeof insecure !== 'boolean') throw invalid('insecure', 'true or false', insecure)
  if (bind === undefined) return undefined
  if (typeof bind !== 'string') throw invalid('bind', 'an endpoint', bind)
  const endpoint = parseEndpoint(bind.trim(), 'bind')
  checkBindEndpoint(endpoint, 'bind', insecure === true, 'pass insecure: true')
  if (isIpc(endpoint)) checkIpcPath(endpoint, 'bind')
  return endpoint
}

function resolveLinks(options: AgentOptions, env: NodeJS.ProcessEnv): LinkEndpoints[] {
  const collectors = listOf(options.collector, env['SPILLWAY_COLLECTOR'], 'collector', 'SPILLWAY_COLLECTOR')
  const controls = listOf(options.control, env['SPILLWAY_CONTROL'], 'control', 'SPILLWAY_CONTROL')
  if (controls !== undefined && controls.length !== (collectors ?? [1]).length) {
    throw invalid('control', `as many endpoints as collectors (${collectors?.length ?? 1})`, controls.length)
  }
  // Whoever binds and names no collector has none.
  if (collectors === undefined && options.bind !== undefined) return []
  const data = collectors ?? [defaultDataEndpoint]
  if (data.length === 0 || data.length > linksMax) throw invalid('collector', `1 to ${linksMax} endpoints`, data.length)
  const links = data.map((endpoint, i) => ({ data: endpoint, control: controls?.[i] ?? siblingEndpoint(endpoint, 1, 'control') }))
  // ZeroMQ would open two pipes to one address and deliver everything twice.
  return links.filter((link, i) => links.findIndex((other) => other.data === link.data) === i)
}

function listOf(
  option: string | readonly string[] | undefined,
  env: string | undefined,
  name: string,
  envName: string,
): Endpoint[] | undefined {
  if (option !== undefined) {
    const list = typeof option === 'string' ? option.split(',') : option
    if (!Array.isArray(list) || !list.every((item) => typeof item === 'string'))
      throw invalid(name, 'an endpoint or a list of endpoints', option)
    return list.map((text) => parseEndpoint(text.trim(), name))
  }
  return env ? env.split(',').map((text) => parseEndpoint(text.trim(), envName)) : undefined
}

function invalid(name: string, expected: string, got: unknown): SpillwayError {
  const shown = typeof got === 'string' ? JSON.stringify(got.slice(0, 80)) : String(got)
  return new SpillwayError('SPW_OPTION_INVALID', `${name}: expected ${expected}, got ${shown}`)
}

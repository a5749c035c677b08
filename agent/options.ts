/** Options of an agent: code wins over the environment, the environment over defaults. */
import { defaultDataEndpoint, type Endpoint, parseEndpoint, siblingEndpoint } from '../wire/endpoint.ts'
import { ringBytesMax } from '../wire/limits.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
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
  /** `'stdout'` prints lines that would otherwise be shed. Off by default. */
  fallback?: 'stdout' | undefined
}

export interface LinkEndpoints {
  readonly data: Endpoint
  readonly control: Endpoint
}

export interface ResolvedOptions {
  readonly service: string
  readonly links: readonly LinkEndpoints[]
  readonly ringBytes: number
  readonly fallback: 'stdout' | undefined
  readonly isDisabled: boolean
}

const linksMax = 8
const ringBytesMin = 65_536
const knownOptions = new Set(['service', 'collector', 'control', 'ringBytes', 'fallback'])

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
  return {
    service,
    // What is switched off is not looked at: a wrong address must not stop anybody then.
    links: isDisabled ? [] : resolveLinks(options, env),
    ringBytes,
    fallback: options.fallback,
    isDisabled,
  }
}

function resolveLinks(options: AgentOptions, env: NodeJS.ProcessEnv): LinkEndpoints[] {
  const collectors = listOf(options.collector, env['SPILLWAY_COLLECTOR'], 'collector', 'SPILLWAY_COLLECTOR')
  const controls = listOf(options.control, env['SPILLWAY_CONTROL'], 'control', 'SPILLWAY_CONTROL')
  if (controls !== undefined && controls.length !== (collectors ?? [1]).length) {
    throw invalid('control', `as many endpoints as collectors (${collectors?.length ?? 1})`, controls.length)
  }
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

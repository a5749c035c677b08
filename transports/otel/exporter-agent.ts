/** What both exporters have in common: their agent, their end, and what the SDK is told. */
import type { Agent } from '../../agent/agent.ts'
import { createAgent } from '../../agent/shared.ts'
import { closeDeadlineMs, exitWaitMs } from '../../wire/limits.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { Warnings } from '../warnings.ts'

export interface SpillwayExporterOptions {
  /**
   * Whose metrics and lines they become; its service is theirs.
   * @defaultValue the shared agent of this process for the resource's `service.name`, or for what the environment says if the
   *   resource has none
   */
  readonly agent?: Agent | undefined
  /** Names of resource attributes that every series and every line gets. @defaultValue none */
  readonly resourceAttributes?: readonly string[] | undefined
}

/** What has become of exporting. */
export interface ExportStats {
  /** Points, or log records, handed to the agent. */
  readonly exported: number
  /** Those that cannot be told; the first of each instrument is told on stderr. */
  readonly leftOut: number
}

/** The parts of a resource that are looked at. */
export interface ResourceLike {
  readonly attributes: Readonly<Record<string, unknown>>
}

/** As the SDK has it; its enum is 0 for success, 1 for failure. */
export interface Result {
  code: number
  error?: Error
}

const success = 0
const failed = 1

export class ExporterAgent {
  readonly warnings: Warnings
  readonly resourceAttributes: readonly string[]
  exported = 0
  leftOut = 0
  #agent: Agent | undefined
  #isShutDown = false

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an option that cannot be meant. */
  constructor(
    options: SpillwayExporterOptions,
    { name, knownOptions }: { readonly name: string; readonly knownOptions: readonly string[] },
  ) {
    const known = ['agent', 'resourceAttributes', ...knownOptions]
    for (const key of Object.keys(options))
      if (!known.includes(key)) throw invalid(key, `one of ${known.join(', ')}`, 'an option of that name')
    const { agent, resourceAttributes = [] } = options
    if (!Array.isArray(resourceAttributes) || !resourceAttributes.every((item) => typeof item === 'string'))
      throw invalid('resourceAttributes', 'a list of names', String(resourceAttributes))
    this.#agent = agent
    this.resourceAttributes = resourceAttributes
    this.warnings = new Warnings(name)
  }

  /** Hands over what `take` takes; the result is told once, whatever happens. */
  export(resource: ResourceLike | undefined, take: (agent: Agent) => void, tell: (result: Result) => void): void {
    tell(this.#result(resource, take))
  }

  #result(resource: ResourceLike | undefined, take: (agent: Agent) => void): Result {
    try {
      if (this.#isShutDown) return { code: failed, error: new SpillwayError('SPW_CLOSED', 'export after shutdown()') }
      this.#agent ??= createAgent(serviceOf(resource))
      if (this.#agent.isClosed) return { code: failed, error: new SpillwayError('SPW_CLOSED', 'the agent is closed') }
      if (!this.#agent.isDisabled) take(this.#agent)
      return { code: success }
    } catch (error) {
      return { code: failed, error: error instanceof Error ? error : new Error(String(error)) }
    }
  }

  /** Waits until everything is acknowledged, for two seconds at most; where no collector is, a tenth of one. Never rejects. */
  async flush(): Promise<void> {
    const agent = this.#agent
    if (agent === undefined || agent.isClosed) return
    const isAnyConnected = agent.stats().links.some((link) => link.state === 'connected')
    await agent.flush(isAnyConnected ? closeDeadlineMs : exitWaitMs)
  }

  /** Flushes; nothing is taken afterwards. The agent stays open: others may share it. */
  async shutdown(): Promise<void> {
    this.#isShutDown = true
    await this.flush()
  }

  stats(): ExportStats {
    return { exported: this.exported, leftOut: this.leftOut }
  }
}

function serviceOf(resource: ResourceLike | undefined): { service?: string } {
  const service = resource?.attributes['service.name']
  return typeof service === 'string' && service !== '' && !service.startsWith('unknown_service') ? { service } : {}
}

export function invalid(name: string, expected: string, got: unknown): SpillwayError {
  const shown = typeof got === 'string' ? JSON.stringify(got.slice(0, 80)) : String(got)
  return new SpillwayError('SPW_OPTION_INVALID', `${name}: expected ${expected}, got ${shown}`)
}

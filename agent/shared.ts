import { Agent } from './agent.ts'
import { type AgentOptions, resolveOptions } from './options.ts'
import { processRuntime } from './process-runtime.ts'
import { processRing } from './ring.ts'

const agents = new Map<string, Agent>()

/**
 * The agent of this process for a service and its collectors: made once, shared by every logger and metric that names
 * the same. A closed one is replaced.
 *
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an option or environment variable that cannot be meant.
 */
export function createAgent(options: AgentOptions = {}): Agent {
  const resolved = resolveOptions(options, process.env)
  const key = JSON.stringify([resolved.service, resolved.links, resolved.fallback, resolved.bind])
  const known = agents.get(key)
  if (known !== undefined && !known.isClosed) {
    known.extra.demand.limit(resolved.onDemand)
    processRing.bytesMax = Math.max(processRing.bytesMax, resolved.ringBytes)
    known.metrics.configure(resolved.askedMetrics)
    return known
  }
  const agent = new Agent(resolved, processRuntime)
  agents.set(key, agent)
  return agent
}

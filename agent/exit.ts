/**
 * The process's end. One `exit` listener for all agents: it hands over what is still open and waits, in steps of a few
 * milliseconds, until every collector that is there has answered; never longer than `exitWaitMs` in all. Promises and
 * timers no longer run here, so everything is done by looking.
 *
 * A process that ends without `exit` (SIGKILL, SIGTERM without a handler, a terminated worker) gives no such chance.
 */
import { exitWaitMs } from '../wire/limits.ts'

export interface Leaving {
  /** Closes batches; nothing is taken after this. */
  beginExit(): void
  /** Sends what it can at once. True when there is nothing left to wait for. */
  exitStep(): boolean
  /** Says what is left. */
  endExit(): void
}

const stepMs = 5
const agents = new Set<Leaving>()

export function stayUntilExit(agent: Leaving): void {
  if (agents.size === 0) process.on('exit', leave)
  agents.add(agent)
}

export function leaveAtExit(agent: Leaving): void {
  agents.delete(agent)
  if (agents.size === 0) process.off('exit', leave)
}

function leave(): void {
  const startedAtMs = performance.now()
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  const waiting = new Set(agents)
  for (const agent of waiting) agent.beginExit()
  for (;;) {
    for (const agent of waiting) if (agent.exitStep()) waiting.delete(agent)
    if (waiting.size === 0 || performance.now() - startedAtMs >= exitWaitMs) break
    Atomics.wait(sleeper, 0, 0, stepMs)
  }
  for (const agent of agents) agent.endExit()
}

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
/** What is left for late lines of the 150 ms an exit may be delayed. */
const lateWaitMs = 40
const agents = new Set<Leaving>()

export function stayUntilExit(agent: Leaving): void {
  if (agents.size === 0) {
    process.on('exit', leave)
    // Before the application's own, which may log.
    process.prependListener('beforeExit', beEnding)
  }
  agents.add(agent)
}

export function leaveAtExit(agent: Leaving): void {
  agents.delete(agent)
  if (agents.size > 0) return
  process.off('exit', leave)
  process.off('beforeExit', beEnding)
}

/** An application that finds more to do after all is believed to be alive again after this. */
const endingForMs = 1_000
let isEndingNow = false

/**
 * Whether nothing else keeps the process alive. The end of a turn must not keep it either then: a record logged by a
 * `beforeExit` handler would bring the next `beforeExit`, and that the next record.
 */
export function isEnding(): boolean {
  return isEndingNow
}

function beEnding(): void {
  isEndingNow = true
  setTimeout(beAlive, endingForMs).unref()
}

function beAlive(): void {
  isEndingNow = false
}

function leave(): void {
  stepUntil(new Set(agents), exitWaitMs)
}

/** For what an application's own `exit` handlers log after ours: handed over at once, with what is left of the time. */
export function leaveLate(agent: Leaving): void {
  stepUntil(new Set([agent]), lateWaitMs)
}

let waitedMs = 0

function stepUntil(waiting: Set<Leaving>, waitMs: number): void {
  const leaving = [...waiting]
  const startedAtMs = performance.now()
  const deadlineMs = Math.min(waitMs, exitWaitMs + lateWaitMs - waitedMs)
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  for (const agent of waiting) agent.beginExit()
  for (;;) {
    for (const agent of waiting) if (agent.exitStep()) waiting.delete(agent)
    if (waiting.size === 0 || performance.now() - startedAtMs >= deadlineMs) break
    Atomics.wait(sleeper, 0, 0, stepMs)
  }
  waitedMs += performance.now() - startedAtMs
  for (const agent of leaving) agent.endExit()
}

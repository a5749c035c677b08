/**
 * What an agent needs of the world around it: time, timers, its process and the network. Passed in, so that the same
 * agent runs in a simulation of all of it, in virtual time.
 */
import type { Endpoint } from '../wire/endpoint.ts'
import type { ManifestWho } from '../wire/manifest.ts'
import type { Leaving } from './exit.ts'
import type { LinkNetwork } from './link-network.ts'
import type { InstrumentMaker } from './metrics/instrument-maker.ts'
import type { Ring } from './ring.ts'
import type { TailSocket } from './tail-socket.ts'

/** Something that is still to come. */
export interface Pending {
  /** Afterwards it will not come. Safe to call at any time. */
  cancel(): void
}

export interface AgentRuntime {
  /** Frames of all agents of this process. */
  readonly ring: Ring
  /** Never goes back; the beginning is anywhere. */
  nowMs(): number
  /** Whole Unix milliseconds from 0, whatever the application has made of its clock. */
  wallClockMs(): number
  /** A new origin: 16 characters, never given twice. */
  newOrigin(): string
  /** What manifests say of this process. */
  who(service: string): ManifestWho
  /** The network of one agent. */
  network(): LinkNetwork
  /** A socket for live tails to connect to; not open yet. */
  tailSocket(endpoint: Endpoint): TailSocket

  /** Once; does not keep the process alive. */
  after(ms: number, callback: () => void): Pending
  /** Again and again; does not keep the process alive. */
  every(ms: number, callback: () => void): Pending
  /** When the code that runs now has ended. */
  atTurnEnd(callback: () => void): Pending
  /** Like {@link atTurnEnd}, but only if there is another turn: does not keep the process alive. */
  afterThisTurn(callback: () => void): Pending
  /** Resolves after so long, and keeps the process alive for it. */
  pause(ms: number): Promise<void>

  /** Begins to measure the process itself, into these metrics. */
  measureItself(metrics: InstrumentMaker): Pending

  /** Says a line to whoever runs the application: written at once or not at all. */
  say(line: string): void
  stayUntilExit(agent: Leaving): void
  leaveAtExit(agent: Leaving): void
  /** Something was logged after the agent's own end. */
  leaveLate(agent: Leaving): void
}

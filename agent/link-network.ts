/**
 * What a link needs of the network: a pair of sockets, one that sends data and hears what is wanted, one that hears
 * what the collector says. Nothing here waits.
 */
import type { LinkEndpoints } from './options.ts'

export interface LinkNetwork {
  /** The sockets of one link; not open yet. */
  sockets(origin: string, endpoints: LinkEndpoints, hears: LinkHears): LinkSockets
}

export interface LinkSockets {
  readonly isOpen: boolean
  /** Opens both. Throws what ZeroMQ throws for an address it cannot take, or when there are no more file descriptors. */
  open(): void
  /** Closes both; they may be opened anew. Safe to call twice. */
  close(): void
  /** Hands a message over: true when it was taken, false when it was refused. Its memory is not to be written to again. */
  send(topic: Buffer, frame: Buffer): boolean
  /**
   * Reads a bounded number of what has arrived. Link hears of it when the code that runs now has ended.
   *
   * @returns Whether there was anything.
   */
  read(): boolean
  /** For the process's end, where nothing comes later: the beginnings of what has arrived, at once. */
  readHeads(): Heads
}

/** Whom sockets tell what they have read. */
export interface LinkHears {
  /** A message that came up the data socket. */
  subscription(parts: readonly Buffer[]): void
  /** A message on the control socket. */
  controlled(parts: readonly Buffer[]): void
  /** What was read together has been told. */
  allRead(): void
}

/** The first 50 bytes of each part. */
export interface Heads {
  readonly subscriptions: readonly (readonly Buffer[])[]
  readonly controls: readonly (readonly Buffer[])[]
}

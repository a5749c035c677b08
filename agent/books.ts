/** What an agent tells about itself. */
import type { LinkState } from './link-state.ts'

/** The agent's own books. Counts of records unless the name says otherwise. */
export interface AgentStats {
  readonly origin: string
  readonly service: string
  /** Taken and numbered. */
  readonly accepted: number
  /** Handed to a socket at least once. */
  readonly sent: number
  /** Acknowledged by a collector. */
  readonly acknowledged: number
  /** Given up before they were sent, by reason. */
  readonly shed: Readonly<Record<string, number>>
  /** Not taken because nobody had subscribed to them. */
  readonly filtered: number
  /** Longer than 64 KiB: kept as their first 4 KiB. */
  readonly cut: number
  /** Gone from the ring after they were sent and before they were acknowledged: received, unless the link broke. */
  readonly evictedSent: number
  /** Records that went under `~other` because the origin had its 256 topics. */
  readonly folded: number
  /** Topics whose logger name had to be cut. */
  readonly cutTopics: number
  /** Bytes and records in the ring of this process, all agents together. */
  readonly ringBytes: number
  readonly ringRecords: number
  readonly topics: Readonly<Record<string, TopicStats>>
  readonly links: readonly { readonly collector: string; readonly state: LinkState; readonly waitingFrames: number }[]
}

export interface TopicStats {
  readonly accepted: number
  readonly shed: Readonly<Record<string, number>>
  readonly filtered: number
}

/** What `flush` and `close` leave behind. */
export interface FlushResult {
  /** Records no collector has acknowledged. */
  readonly left: number
}

/** What an agent tells about itself. */
import { isOtherTopic } from '../wire/topic.ts'
import type { Batcher } from './batcher.ts'
import type { BindStats, BoundPublisher } from './bound-publisher.ts'
import type { ExtraLines } from './extra-lines.ts'
import type { FingersCrossedStats } from './fingers-crossed.ts'
import type { Link } from './link.ts'
import type { LinkState } from './link-state.ts'
import type { MetricsStats } from './metrics/metrics.ts'
import type { OnDemandStats } from './on-demand.ts'
import type { Ring } from './ring.ts'
import type { Streams } from './streams.ts'

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
  /** What live tails have this process log, beyond what its own levels say. */
  readonly onDemand: OnDemandStats
  /** What is kept of requests until it is known how they end; undefined without `fingersCrossed`. */
  readonly fingersCrossed: FingersCrossedStats | undefined
  /** Bytes and records in the ring of this process, all agents together. */
  readonly ringBytes: number
  readonly ringRecords: number
  readonly metrics: MetricsStats
  readonly topics: Readonly<Record<string, TopicStats>>
  /** Where live tails may connect directly; undefined without `bind`. */
  readonly bind: BindStats | undefined
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

export interface Accounted {
  readonly origin: string
  readonly service: string
  readonly streams: Streams
  readonly batcher: Batcher
  readonly links: readonly Link[]
  readonly acknowledged: number
  readonly ring: Ring
  readonly metrics: MetricsStats
  readonly extra: ExtraLines
  readonly publisher: BoundPublisher | undefined
}

/** The books as they are now. Costs a walk over the topics. */
export function agentStats({
  origin,
  service,
  streams,
  batcher,
  links,
  acknowledged,
  ring,
  metrics,
  extra,
  publisher,
}: Accounted): AgentStats {
  const shed: Record<string, number> = {}
  const topics: Record<string, TopicStats> = Object.create(null)
  let [accepted, sent, filtered, evictedSent, folded] = [0, 0, 0, 0, 0]
  for (const stream of streams) {
    const acceptedHere = stream.next + stream.count
    accepted += acceptedHere
    for (const [reason, records] of stream.shed) shed[reason] = (shed[reason] ?? 0) + records
    filtered += stream.filtered
    evictedSent += stream.evictedSent
    topics[stream.topic] = { accepted: acceptedHere, shed: Object.fromEntries(stream.shed), filtered: stream.filtered }
    if (isOtherTopic(stream.topic)) folded += acceptedHere
    let unsent = stream.count + batcher.fullRecords(stream)
    for (const entry of stream.entries) if (entry.frame !== undefined && entry.sent === 0) unsent += entry.count
    sent += acceptedHere - unsent - stream.shedRecords
  }
  return {
    origin,
    service,
    accepted,
    sent,
    acknowledged,
    shed,
    filtered,
    cut: batcher.cut,
    evictedSent,
    folded,
    cutTopics: streams.cutTopics,
    onDemand: extra.demand.stats(),
    fingersCrossed: extra.crossed?.stats(),
    ringBytes: ring.bytes,
    ringRecords: ring.records,
    metrics,
    topics,
    bind: publisher?.stats(),
    links: links.map((link) => ({ collector: link.endpoints.data, state: link.state, waitingFrames: link.waitingFrames })),
  }
}

/** Records no collector has acknowledged. */
export function leftRecords(streams: Streams, links: readonly Link[]): number {
  // Whoever answered the last manifest keeps everything it was sent.
  let answered = 0
  for (const link of links) if (link.isByeAnswered) answered |= link.bit
  let records = 0
  for (const stream of streams) {
    for (const { frame, acknowledged, sent, count } of stream.entries) {
      if (frame !== undefined && (acknowledged | (sent & answered)) === 0) records += count
    }
  }
  return records
}

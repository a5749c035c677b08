/** What `GET /status.json` answers: the books, per origin and topic, as docs/WIRE.md names the reasons. */
import { statusTopicsMax } from '../wire/limits.ts'
import type { LossReason } from '../wire/stream-ledger.ts'
import { version } from '../wire/version.ts'
import type { Ingest } from './ingest.ts'
import { type Ledger, type OriginBook, type TopicBook, type Totals, topicAsides, topicTotals } from './ledger.ts'
import type { Sink, SinkStatus } from './sinks/sink.ts'

export interface BooksStatus {
  readonly accepted: number
  readonly delivered: number
  readonly lost: Partial<Record<LossReason, number>>
  readonly inFlight: number
}

export interface TopicStatus extends BooksStatus {
  /** Records nobody had subscribed to, as the origin counts them, and those made for a live tail only; not part of `accepted`. */
  readonly filtered: number
  /** Records that came more than once; kept once. */
  readonly duplicates: number
  /** Records that came after they had been booked as lost; not kept. */
  readonly late: number
  /** Records the origin gave up before sending. They are in `lost` once their numbers are known to be missing. */
  readonly shedAtOrigin: number
}

export interface OriginStatus {
  readonly origin: string
  readonly service: string | null
  readonly host: string | null
  readonly pid: number | null
  readonly state: OriginBook['state']
  readonly topics: Record<string, TopicStatus>
}

export interface CollectorStatus {
  readonly version: string
  readonly uptimeMs: number
  readonly totals: BooksStatus & { readonly filtered: number; readonly duplicates: number }
  readonly origins: readonly OriginStatus[]
  /** Topics that are not listed because there are too many; absent when all are. They are in `totals`. */
  readonly topicsNotShown: number | undefined
  readonly sinks: Record<string, SinkStatus>
  readonly ingest: {
    readonly frames: number
    readonly bytes: number
    /** Frames that could not be read, by fault. */
    readonly refused: Record<string, number>
    /** Frames not taken because the sinks were full or a bound was reached; their origins keep them. */
    readonly turnedAway: number
  }
}

export function collectorStatus(
  parts: { readonly ledger: Ledger; readonly ingest: Ingest; readonly sinks: readonly Sink[]; readonly turnedAway: number },
  uptimeMs: number,
): CollectorStatus {
  const room = { left: statusTopicsMax, notShown: 0 }
  const origins = [...parts.ledger.origins.values()].map((origin) => originStatus(origin, room))
  const sinks: Record<string, SinkStatus> = Object.create(null)
  for (const sink of parts.sinks) sinks[sink.name] = sink.status()
  return {
    version,
    uptimeMs,
    totals: { ...books(parts.ledger.totals()), ...parts.ledger.asides() },
    origins,
    topicsNotShown: room.notShown === 0 ? undefined : room.notShown,
    sinks,
    ingest: {
      frames: parts.ingest.frames,
      bytes: parts.ingest.bytes,
      refused: Object.fromEntries(parts.ingest.faults),
      turnedAway: parts.turnedAway + parts.ledger.refusedFrames,
    },
  }
}

function originStatus(book: OriginBook, room: { left: number; notShown: number }): OriginStatus {
  const topics: Record<string, TopicStatus> = Object.create(null)
  for (const topic of book.topics.values()) {
    if (room.left > 0) topics[topic.topic] = topicStatus(topic)
    else room.notShown += 1
    room.left -= 1
  }
  return {
    origin: book.origin,
    service: book.who?.service ?? null,
    host: book.who?.host ?? null,
    pid: book.who?.pid ?? null,
    state: book.state,
    topics,
  }
}

function topicStatus(book: TopicBook): TopicStatus {
  return {
    ...books(topicTotals(book)),
    ...topicAsides(book),
    late: book.ledger.late,
    shedAtOrigin: book.shedAtOrigin,
  }
}

function books(totals: Totals): BooksStatus {
  return { accepted: totals.accepted, delivered: totals.delivered, lost: totals.lost, inFlight: totals.inFlight }
}

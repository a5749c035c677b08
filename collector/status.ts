/** What `GET /status.json` answers: the books, per origin and topic, as docs/WIRE.md names the reasons. */
import { statusTopicsMax } from '../wire/limits.ts'
import type { LossReason } from '../wire/stream-ledger.ts'
import { version } from '../wire/version.ts'
import type { Ingest } from './ingest.ts'
import { type Ledger, type OriginBook, type TopicBook, topicAsides, topicTotals } from './ledger.ts'
import type { SinkRunner } from './sink-runner.ts'
import type { Sink, SinkStatus } from './sinks/sink.ts'
import type { Spool, SpoolStatus } from './spool/spool.ts'

/**
 * Three books that add up:
 *
 *   accepted = delivered + Σ lost + expired + rejected + inFlight
 *   received = spooled + notDurable
 *   received = delivered + expired + rejected + pending
 */
export interface BooksStatus {
  /** Records the applications numbered, as far as is known. */
  readonly accepted: number
  /** Records every keeping sink has written. */
  readonly delivered: number
  readonly lost: Partial<Record<LossReason, number>>
  /** Neither delivered nor given up yet, wherever it is. */
  readonly inFlight: number
  readonly received: number
  readonly spooled: number
  /** Received while the spool could not be written; kept by the sinks alone. */
  readonly notDurable: number
  /** Given up by a full spool before some sink had taken them. */
  readonly expired: number
  /** Refused by a sink for good. */
  readonly rejected: number
  /** Received, and still on its way to some sink. */
  readonly pending: number
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

/** A sink's own numbers; those of a sink that does not keep are 0. */
export interface SinkBooksStatus {
  readonly pendingRecords: number
  readonly expired: number
  readonly rejected: number
  /** Bytes of the spool that are not done. */
  readonly lagBytes: number
}

export interface CollectorStatus {
  readonly version: string
  readonly uptimeMs: number
  readonly totals: BooksStatus & { readonly filtered: number; readonly duplicates: number }
  readonly origins: readonly OriginStatus[]
  /** Topics that are not listed because there are too many; absent when all are. They are in `totals`. */
  readonly topicsNotShown: number | undefined
  readonly sinks: Record<string, SinkStatus & SinkBooksStatus>
  readonly spool: SpoolStatus
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
  parts: {
    readonly ledger: Ledger
    readonly ingest: Ingest
    readonly spool: Spool
    readonly runners: readonly SinkRunner[]
    readonly passing: readonly Sink[]
    readonly turnedAway: number
  },
  uptimeMs: number,
): CollectorStatus {
  const room = { left: statusTopicsMax, notShown: 0 }
  const origins = [...parts.ledger.origins.values()].map((origin) => originStatus(origin, room))
  const sinks: CollectorStatus['sinks'] = Object.create(null)
  for (const [i, runner] of parts.runners.entries()) {
    const lagBytes = Math.max(0, parts.spool.end - runner.lowest)
    sinks[runner.sink.name] = { ...runner.sink.status(), ...sinkBooks(parts.ledger, i), lagBytes }
  }
  for (const sink of parts.passing) sinks[sink.name] = { ...sink.status(), pendingRecords: 0, expired: 0, rejected: 0, lagBytes: 0 }
  return {
    version,
    uptimeMs,
    totals: { ...parts.ledger.totals(), ...parts.ledger.asides() },
    origins,
    topicsNotShown: room.notShown === 0 ? undefined : room.notShown,
    sinks,
    spool: parts.spool.status(),
    ingest: {
      frames: parts.ingest.frames,
      bytes: parts.ingest.bytes,
      refused: Object.fromEntries(parts.ingest.faults),
      turnedAway: parts.turnedAway + parts.ledger.refusedFrames,
    },
  }
}

function sinkBooks(ledger: Ledger, index: number): Omit<SinkBooksStatus, 'lagBytes'> {
  const sum = { pendingRecords: 0, expired: 0, rejected: 0 }
  for (const origin of ledger.origins.values()) {
    for (const { sinks } of origin.topics.values()) {
      sum.pendingRecords += sinks[index]?.pending ?? 0
      sum.expired += sinks[index]?.expired ?? 0
      sum.rejected += sinks[index]?.rejected ?? 0
    }
  }
  return sum
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
    ...topicTotals(book),
    ...topicAsides(book),
    late: book.ledger.late,
    shedAtOrigin: book.shedAtOrigin,
  }
}

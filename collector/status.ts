/** What `GET /status.json` answers: the books, per origin and topic. Every field is explained in docs/STATUS.md. */
import { readableTail } from '../wire/demand.ts'
import type { Level } from '../wire/level.ts'
import { statusAsksMax, statusTopicsMax } from '../wire/limits.ts'
import type { LossReason } from '../wire/stream-ledger.ts'
import { decodeToken } from '../wire/topic.ts'
import { version } from '../wire/version.ts'
import type { Ingest } from './ingest.ts'
import { type Ledger, type OriginBook, type Repairs, type TopicBook, topicAsides, topicTotals } from './ledger.ts'
import type { LossEntry, LossReport } from './loss-report.ts'
import type { RollUpCounts } from './rollup/roll-up.ts'
import type { SinkRunner } from './sink-runner.ts'
import type { Sink, SinkStatus } from './sinks/sink.ts'
import type { Spool, SpoolStatus } from './spool/spool.ts'
import type { TailSubscriptions } from './tail-subscriptions.ts'
import type { UnknownTailBound } from './unknown-tail.ts'

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
  /** What it may have accepted after the last word heard of it; of an unclean one only. */
  readonly unknownTail: UnknownTailBound | null
  readonly topics: Record<string, TopicStatus>
}

/** A sink's own numbers; those of a sink that does not keep are 0. */
export interface SinkBooksStatus {
  readonly pendingRecords: number
  /** Given up by a full spool, since the start of this run. */
  readonly expired: number
  readonly rejected: number
  /** Age of the oldest record it has yet to write, ms; 0 when there is none. */
  readonly lagMs: number
}

export interface RepairsStatus extends Repairs {
  /** Some origin answered too little to be asked for more. */
  readonly isBreakerOpen: boolean
}

export interface RollUpStatus extends Readonly<RollUpCounts> {
  readonly series: number
  readonly seriesMax: number
  /** Series that `/metrics` does not show because another kind of metric has their name. */
  readonly conflicting: number
  /** Series the last scrape had no room for. */
  readonly hidden: number
}

interface DemandStatus {
  readonly level: Level
  /** Null for every service. */
  readonly service: string | null
  /** Who asks, by the names they gave. */
  readonly by: readonly string[]
  /** Unix ms. */
  readonly sinceMs: number
}

export interface CollectorStatus {
  readonly version: string
  readonly uptimeMs: number
  /** When this was said, Unix ms by the collector's clock, which is also the clock of {@link losses}. */
  readonly timeMs: number
  readonly totals: BooksStatus & { readonly filtered: number; readonly duplicates: number }
  readonly origins: readonly OriginStatus[]
  /** Topics that are not listed because there are too many; absent when all are. They are in `totals`. */
  readonly topicsNotShown: number | undefined
  /** When records were given up, first and last, per origin, topic and reason. */
  readonly losses: readonly LossEntry[]
  readonly sinks: Record<string, SinkStatus & SinkBooksStatus>
  readonly spool: SpoolStatus & {
    /** Bytes some sink has yet to take. */
    readonly pendingBytes: number
    /** Records received that could not be kept in it. */
    readonly notDurable: number
  }
  readonly repairs: RepairsStatus
  /** What live tails ask applications to make now. */
  readonly demand: readonly DemandStatus[]
  readonly ingest: {
    readonly frames: number
    readonly bytes: number
    /** Frames that could not be read, by fault. */
    readonly refused: Record<string, number>
    /** Frames not taken because the sinks were full or a bound was reached; their origins keep them. */
    readonly turnedAway: number
  }
  readonly rollup: RollUpStatus
}

export function collectorStatus(
  parts: {
    readonly ledger: Ledger
    readonly ingest: Ingest
    readonly losses: LossReport
    readonly spool: Spool
    readonly runners: readonly SinkRunner[]
    readonly passing: readonly Sink[]
    readonly turnedAway: number
    readonly rollup: RollUpStatus
    readonly tails: Pick<TailSubscriptions, 'asks'>
  },
  { uptimeMs, nowMs, timeMs }: { readonly uptimeMs: number; readonly nowMs: number; readonly timeMs: number },
): CollectorStatus {
  const room = { left: statusTopicsMax, notShown: 0 }
  const origins = [...parts.ledger.origins.values()].map((origin) => originStatus(origin, room))
  const sinks = sinksStatus(parts, timeMs)
  const totals = parts.ledger.totals()
  const lowest = Math.min(parts.spool.end, ...parts.runners.map((runner) => runner.lowest))
  return {
    version,
    uptimeMs,
    timeMs,
    totals: { ...totals, ...parts.ledger.asides() },
    origins,
    topicsNotShown: room.notShown === 0 ? undefined : room.notShown,
    losses: parts.losses.entries(),
    sinks,
    spool: { ...parts.spool.status(), pendingBytes: parts.spool.end - lowest, notDurable: totals.notDurable },
    repairs: parts.ledger.repairs(nowMs),
    demand: parts.tails.asks.slice(0, statusAsksMax).map(({ level, service, by, sinceMs }) => ({
      level,
      service: service === undefined ? null : decodeToken(service),
      by: by.slice(0, statusAsksMax).map(readableTail),
      sinceMs: Math.round(timeMs - (nowMs - sinceMs)),
    })),
    ingest: {
      frames: parts.ingest.frames,
      bytes: parts.ingest.bytes,
      refused: Object.fromEntries(parts.ingest.faults),
      turnedAway: parts.turnedAway + parts.ledger.refusedFrames,
    },
    rollup: parts.rollup,
  }
}

/** Of every sink, by name. */
export function sinksStatus(
  parts: { readonly ledger: Ledger; readonly runners: readonly SinkRunner[]; readonly passing: readonly Sink[] },
  timeMs: number,
): CollectorStatus['sinks'] {
  const sinks: CollectorStatus['sinks'] = Object.create(null)
  for (const [i, { sink, expired, rejected, oldestAtMs }] of parts.runners.entries()) {
    const pendingRecords = pendingOf(parts.ledger, i)
    const lagMs = pendingRecords === 0 ? 0 : Math.max(0, timeMs - (oldestAtMs ?? timeMs))
    sinks[sink.name] = { ...sink.status(), pendingRecords, expired, rejected, lagMs }
  }
  for (const sink of parts.passing) sinks[sink.name] = { ...sink.status(), pendingRecords: 0, expired: 0, rejected: 0, lagMs: 0 }
  return sinks
}

function pendingOf(ledger: Ledger, sinkIndex: number): number {
  let records = 0
  for (const { topics } of ledger.origins.values()) for (const { sinks } of topics.values()) records += sinks[sinkIndex]?.pending ?? 0
  return records
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
    unknownTail: book.state === 'unclean' ? book.tail.bound(book.topics.size) : null,
    topics,
  }
}

export function topicStatus(book: TopicBook): TopicStatus {
  return {
    ...topicTotals(book),
    ...topicAsides(book),
    late: book.ledger.late,
    shedAtOrigin: book.shedAtOrigin,
  }
}

/**
 * The way of a frame through the books: booked, spooled, offered to the sinks, and acknowledged once it is kept.
 *
 *   frame ─► ledger ─► spool ─► sinks            acknowledged when durable,
 *              │         └─ fsync ─► cursor ─►   or without a disk when every sink has it
 *              └─ holes ─► requests
 *
 * Knows no socket, no file and no clock; they are handed in.
 */
import { type DecodedFrame, encodeFrame, sliceLines } from '../wire/frame.ts'
import { spoolPendingBytesMax, topicBooksMax } from '../wire/limits.ts'
import type { Manifest } from '../wire/manifest.ts'
import type { Range } from '../wire/range-set.ts'
import type { Topic } from '../wire/topic.ts'
import { type Ask, type BookedLoss, type Ledger, type OriginBook, settledRecords, type TopicBook } from './ledger.ts'
import type { QueuedEntry, SinkRunner } from './sink-runner.ts'
import { crashPoints } from './spool/crash-points.ts'
import type { Spool } from './spool/spool.ts'
import { encodeKeptHead, encodeLoss, encodeManifestHead, encodeNumbers } from './spool/spool-bodies.ts'
import { recordTypes } from './spool/spool-record.ts'

export type IntakeSpool = Pick<Spool, 'end' | 'written' | 'pendingBytes' | 'isFailing' | 'needsRoll' | 'roll' | 'append' | 'sync'>
export type IntakeRunner = Pick<SinkRunner, 'offer' | 'canTakeUnspooled'> & {
  readonly sink: { readonly patterns: { matches(topic: string): boolean } }
}

export interface IntakePorts {
  readonly ledger: Ledger
  readonly spool: IntakeSpool
  /** One per keeping sink, in the order the books have them. */
  readonly runners: readonly IntakeRunner[]
  readonly control: {
    acknowledge(books: readonly TopicBook[]): void
    ask(asks: readonly Ask[]): void
    answerBye(origin: OriginBook): void
  }
  /** The books as they are now, for the head of a segment. */
  state(): Buffer
  /** Told of everything that is booked as lost. */
  lost(loss: BookedLoss): void
  nowMs(): number
  /** Unix ms. */
  wallClockMs(): number
}

export interface Parts {
  readonly topic: Buffer
  readonly frame: Buffer
}

/** A part of a frame that is new. */
export interface FreshPart {
  readonly range: Range
  readonly lines: Buffer
  /** The frame it came in, or one made of what was new of it; undefined when that would be too long. */
  readonly frame: Buffer | undefined
  /** Unix ms. */
  readonly receivedAtMs: number
}

export class Intake {
  /** Frames not taken because nothing could keep them; their origins do. */
  turnedAway = 0
  /** Received since the last commit began. */
  uncommittedBytes = 0
  readonly #ports: IntakePorts
  readonly #takers = new Map<Topic, readonly number[]>()
  /** Entries that are not written yet, in case they never are. */
  #unwritten: QueuedEntry[] = []

  constructor(ports: IntakePorts) {
    this.#ports = ports
  }

  /**
   * Books and keeps a frame of lines.
   *
   * @returns What of it is new and wanted, for those who watch.
   */
  take(topic: Topic, frame: DecodedFrame, parts: Parts): readonly FreshPart[] {
    if (this.isRefused(topic)) {
      this.turnedAway += 1
      return []
    }
    this.#rollIfDue()
    const receipt = this.#ports.ledger.receive(frame.origin, topic, frame, this.#ports.nowMs())
    this.uncommittedBytes += parts.frame.length
    const fresh = receipt?.book.isWanted ? receipt.fresh.map((range) => this.#keep(receipt.book, frame, range, parts)) : []
    this.#tellLosses()
    return fresh
  }

  #keep(book: TopicBook, frame: DecodedFrame, range: Range, parts: Parts): FreshPart {
    const { spool, runners } = this.#ports
    const count = range.to - range.from
    const isWhole = count === frame.count
    const lines = isWhole ? frame.body : sliceLines(frame.body, range.from - frame.seq, count)
    const receivedAtMs = this.#ports.wallClockMs()
    const part = { range, lines, frame: isWhole ? parts.frame : encodedPart(frame, range, lines), receivedAtMs }
    // What only a live tail made the application log is not kept; see TopicBook.onDemand for how it is booked.
    const taking = frame.onDemand ? [] : this.#takersOf(book.topic)
    if (taking.length === 0 || part.frame === undefined) {
      const { origin, onDemand } = frame
      spool.append(recordTypes.numbers, encodeNumbers({ origin, topic: book.topic, from: range.from, count, onDemand }))
      if (taking.length === 0) return part
    }
    const place = part.frame && spool.append(recordTypes.frame, encodeKeptHead(receivedAtMs, parts.topic), part.frame)
    place?.block.hold()
    const entry: QueuedEntry = {
      position: place?.position ?? spool.end,
      end: place?.end ?? spool.end,
      isSpooled: place !== undefined,
      topic: book.topic,
      origin: frame.origin,
      lines: place === undefined ? lines : copied(place.rest, lines, isWhole ? parts.frame : undefined),
      count,
      receivedAtMs,
      holders: taking.length,
      block: place?.block,
    }
    if (entry.isSpooled) this.#unwritten.push(entry)
    for (const i of taking) {
      const sink = book.sinks[i]
      if (sink !== undefined) sink.pending += count
      runners[i]?.offer(entry)
    }
    return part
  }

  /** Places of the sinks that want a topic. */
  #takersOf(topic: Topic): readonly number[] {
    let takers = this.#takers.get(topic)
    if (takers !== undefined) return takers
    takers = [...this.#ports.runners.entries()].flatMap(([i, { sink }]) => (sink.patterns.matches(topic) ? [i] : []))
    // Hostile names come without end; the cache starts over.
    if (this.#takers.size >= topicBooksMax) this.#takers.clear()
    this.#takers.set(topic, takers)
    return takers
  }

  /** Takes what an origin says about itself. Returns whether it is to be answered at once. */
  announce({ origin, time, body }: DecodedFrame, manifest: Manifest): boolean {
    const { ledger, spool } = this.#ports
    this.#rollIfDue()
    const isNews = ledger.announce(origin, manifest, this.#ports.nowMs(), time)
    if (isNews) spool.append(recordTypes.manifest, encodeManifestHead(origin), body)
    this.#tellLosses()
    return manifest.urgent || manifest.final
  }

  /** Whether records of a topic cannot be kept now: neither on disk nor with every sink. */
  isRefused(topic: Topic): boolean {
    const { spool, runners } = this.#ports
    if (!spool.isFailing) return spool.pendingBytes >= spoolPendingBytesMax
    return runners.some((runner) => runner.sink.patterns.matches(topic) && !runner.canTakeUnspooled(topic))
  }

  #rollIfDue(): void {
    const { spool } = this.#ports
    if (spool.needsRoll(this.#ports.nowMs())) spool.roll(this.#ports.state())
  }

  #tellLosses(): void {
    for (const loss of this.#ports.ledger.takeLosses()) {
      const { topic, from, to, reason } = loss
      this.#ports.spool.append(recordTypes.loss, encodeLoss({ origin: loss.origin.origin, topic, from, to, reason }))
      this.#ports.lost(loss)
    }
  }

  /** The spool has written more. */
  spoolWritten(): void {
    if (this.#unwritten.length === 0) return
    const { written } = this.#ports.spool
    const first = this.#unwritten.findIndex(({ end }) => end > written)
    this.#unwritten = first === -1 ? [] : this.#unwritten.slice(first)
  }

  /** What was to stand at `position` and behind never reached the disk. Returns it. */
  spoolAbandoned(position: number): readonly QueuedEntry[] {
    const abandoned = this.#unwritten.filter(({ end }) => end > position)
    this.#unwritten = []
    for (const entry of abandoned) entry.isSpooled = false
    return abandoned
  }

  /**
   * Makes durable what has come, and tells its origins. What cannot be made durable counts as kept once every sink has
   * it; until then it comes again with the next call.
   *
   * @returns Whether everything is kept.
   */
  async commit(): Promise<boolean> {
    const { ledger, spool, control } = this.#ports
    const commits = ledger.takeCommits()
    const byes = ledger.takeByes()
    this.uncommittedBytes = 0
    const isSpooled = await spool.sync()
    const kept = isSpooled ? commits : commits.filter(({ book, received }) => settledRecords(book) >= received)
    const left = isSpooled ? [] : commits.filter((commit) => !kept.includes(commit))
    ledger.committed(kept, isSpooled)
    const leftBooks = new Set(left.map(({ book }) => book))
    const isLeft = (origin: OriginBook) => [...origin.topics.values()].some((book) => leftBooks.has(book))
    ledger.postpone(left, byes.filter(isLeft))
    crashPoints.reached('before-cursor')
    control.acknowledge(ledger.takeAcknowledgements())
    for (const origin of byes) if (!isLeft(origin)) control.answerBye(origin)
    return left.length === 0
  }

  /** Looks at holes that are due and at origins that have gone quiet. */
  tick(): void {
    this.#rollIfDue()
    const asks = this.#ports.ledger.tick(this.#ports.nowMs(), (topic) => this.isRefused(topic))
    this.#tellLosses()
    if (asks.length > 0) this.#ports.control.ask(asks)
  }
}

/** The same lines in the spool's copy of their frame: where they stand in the original, or at its end. */
function copied(copy: Buffer, lines: Buffer, original: Buffer | undefined): Buffer {
  const from = original === undefined ? copy.length - lines.length : lines.byteOffset - original.byteOffset
  return copy.subarray(from, from + lines.length)
}

/** Undefined when it does not fit: a higher first number takes more bytes, and may take more than the known lines leave. */
function encodedPart(frame: DecodedFrame, { from, to }: Range, lines: Buffer): Buffer | undefined {
  try {
    return encodeFrame({ ...frame, seq: from, count: to - from }, lines)
  } catch {
    return undefined
  }
}

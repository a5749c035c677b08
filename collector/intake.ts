/**
 * The way of a frame through the books: booked, spooled, offered to the sinks, and acknowledged once it is kept.
 *
 *   frame ─► ledger ─► spool ─► sinks            acknowledged when durable,
 *              │         └─ fsync ─► cursor ─►   or without a disk when every sink has it
 *              └─ holes ─► requests
 *
 * Knows no socket, no file and no clock; they are handed in.
 */
import assert from 'node:assert/strict'
import { type DecodedFrame, encodeFrame, frameKinds, sliceLines } from '../wire/frame.ts'
import { spoolPendingBytesMax, topicBooksMax } from '../wire/limits.ts'
import type { Manifest } from '../wire/manifest.ts'
import { decodePoints, encodePoints } from '../wire/points.ts'
import type { Range } from '../wire/range-set.ts'
import type { Topic } from '../wire/topic.ts'
import type { Ask, BookedLoss, Commit, Ledger, OriginBook, TopicBook } from './ledger.ts'
import type { QueuedEntry, SinkRunner } from './sink-runner.ts'
import { slicePoints } from './slice-points.ts'
import { crashPoints } from './spool/crash-points.ts'
import type { Spool } from './spool/spool.ts'
import { encodeKeptHead, encodeLoss, encodeManifestHead, encodeNumbers, keptHost } from './spool/spool-bodies.ts'
import { recordTypes } from './spool/spool-record.ts'
import { UnwrittenBooks } from './unwritten-books.ts'

export type IntakeSpool = Pick<Spool, 'end' | 'durable' | 'pendingBytes' | 'isFailing' | 'needsRoll' | 'roll' | 'append' | 'sync'>
export type IntakeRunner = Pick<SinkRunner, 'offer' | 'canTakeUnspooled'> & {
  readonly sink: { readonly patterns: { matches(topic: string): boolean }; readonly takesOnDemand?: boolean | undefined }
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
  /** The books as they are now, for the head of a segment, without what is kept nowhere. */
  state(unkept: ReadonlyMap<TopicBook, readonly Range[]>): Buffer
  /** Has the sinks write what they were given; resolves when they have, or after a few moments. Never rejects. */
  hurrySinks(): Promise<void>
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
  /** As in {@link Entry}. */
  readonly lines: Buffer
  /** The frame it came in, or one made of what was new of it; undefined when that would be too long. */
  readonly frame: Buffer | undefined
  /** Unix ms. */
  readonly receivedAtMs: number
  /** False for what only a live tail asked the applications to send. */
  readonly isForSinks: boolean
}

/** Records that came, and what becomes of them. */
interface Arrival {
  readonly book: TopicBook
  readonly range: Range
  readonly entry: QueuedEntry
}

export class Intake {
  /** Frames not taken because nothing could keep them; their origins do. */
  turnedAway = 0
  /** Received since the last commit began. */
  uncommittedBytes = 0
  readonly #ports: IntakePorts
  readonly #takers = new Map<Topic, readonly number[]>()
  /** Appended to the spool and not known to be on the disk, in order. */
  #undurable: Arrival[] = []
  /** Will never be on the disk, and not every sink has them yet. */
  #unspooled: Arrival[] = []
  readonly #unwritten = new UnwrittenBooks()

  constructor(ports: IntakePorts) {
    this.#ports = ports
  }

  /**
   * Books and keeps a frame of lines or points.
   *
   * @returns What of it is new and wanted, for those who watch.
   */
  take(topic: Topic, frame: DecodedFrame, parts: Parts): readonly FreshPart[] {
    if (this.isRefused(topic)) {
      this.turnedAway += 1
      return []
    }
    this.#rollIfDue()
    const isKept = !frame.onDemand || this.#takersOf(topic, frame.onDemand).length > 0
    const receipt = this.#ports.ledger.receive(frame.origin, topic, { ...frame, onDemand: !isKept }, this.#ports.nowMs())
    this.uncommittedBytes += parts.frame.length
    const fresh = receipt?.fresh.map((range) => this.#takePart(receipt.book, frame, range, parts)) ?? []
    this.#tellLosses()
    return fresh
  }

  #takePart(book: TopicBook, frame: DecodedFrame, range: Range, parts: Parts): FreshPart {
    const count = range.to - range.from
    const isWhole = count === frame.count
    const lines = isWhole ? frame.body : slicedBody(frame, range.from - frame.seq, count)
    const part = {
      range,
      lines,
      frame: isWhole ? parts.frame : encodedPart(frame, range, lines),
      receivedAtMs: this.#ports.wallClockMs(),
      isForSinks: book.isWanted,
    }
    if (book.isWanted) this.#keep(book, frame, part, parts)
    return part
  }

  #keep(book: TopicBook, frame: DecodedFrame, part: FreshPart, parts: Parts): void {
    const { spool, runners } = this.#ports
    const { range, lines, receivedAtMs } = part
    const count = range.to - range.from
    const isWhole = part.frame === parts.frame
    const taking = this.#takersOf(book.topic, frame.onDemand)
    if (taking.length === 0) {
      const { origin, onDemand } = frame
      const numbers = { origin, topic: book.topic, from: range.from, count, onDemand, notDurable: false }
      if (spool.append(recordTypes.numbers, encodeNumbers(numbers)) === undefined) this.#unwritten.missed()
      return
    }
    const host = keptHost(book.origin.who?.host)
    const place = part.frame && spool.append(recordTypes.frame, encodeKeptHead(receivedAtMs, parts.topic, host), part.frame)
    if (place === undefined) this.#unwritten.missed()
    // One quiet file that cannot be written would hold a block for every line that waits for it.
    const block = place?.block.isScarce ? undefined : place?.block
    block?.hold()
    const kept = place === undefined ? lines : copied(place.rest, lines, isWhole ? parts.frame : undefined)
    const entry: QueuedEntry = {
      position: place?.position ?? spool.end,
      end: place?.end ?? spool.end,
      isSpooled: place !== undefined,
      topic: book.topic,
      kind: frame.kind,
      origin: frame.origin,
      seq: range.from,
      timeMs: frame.time,
      lines: place !== undefined && block === undefined ? Buffer.from(kept) : kept,
      count,
      receivedAtMs,
      host,
      holders: taking.length,
      block,
    }
    if (entry.isSpooled) this.#undurable.push({ book, range, entry })
    else this.#isUnspooled({ book, range, entry })
    for (const i of taking) {
      const sink = book.sinks[i]
      if (sink !== undefined) sink.pending += count
      runners[i]?.offer(entry)
    }
  }

  /** Places of the sinks that want a topic. What only a live tail made the application log, few want. */
  #takersOf(topic: Topic, isOnDemand: boolean): readonly number[] {
    const takers = this.#allTakersOf(topic)
    return isOnDemand ? takers.filter((i) => this.#ports.runners[i]?.sink.takesOnDemand) : takers
  }

  #allTakersOf(topic: Topic): readonly number[] {
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
    if (this.#ports.spool.needsRoll(this.#ports.nowMs())) this.#roll()
  }

  #roll(): void {
    const { spool } = this.#ports
    // Of a disk that may not take them, the books at the head are old when it does.
    const isTrial = spool.isFailing
    spool.roll(this.#ports.state(this.#unkept()))
    if (!isTrial) this.#unwritten.stated(spool.end)
  }

  /** Writes the books down as they are now. False when they are not on the disk. */
  async writeBooks(): Promise<boolean> {
    const { spool } = this.#ports
    if (spool.isFailing) return false
    this.#roll()
    return spool.sync()
  }

  #tellLosses(): void {
    for (const loss of this.#ports.ledger.takeLosses()) {
      const { topic, from, to, reason } = loss
      const place = this.#ports.spool.append(recordTypes.loss, encodeLoss({ origin: loss.origin.origin, topic, from, to, reason }))
      this.#unwritten.booked(loss, place?.end)
      this.#ports.lost(loss)
    }
  }

  #isUnspooled(arrival: Arrival): void {
    arrival.book.unspooled += arrival.entry.count
    this.#unspooled.push(arrival)
  }

  /**
   * Tells the spool of what every sink has by now and it never had. To be done before a sink's place is written down:
   * a place behind records that no books know would have them written again.
   */
  settle(): void {
    this.#settle(false)
  }

  /** Forgets what every sink has by now. Unless the books are about to be written down, the spool is told. */
  #settle(areBooksWritten: boolean): void {
    if (this.#unspooled.length === 0) return
    for (const { range, entry } of this.#unspooled) {
      if (entry.holders > 0 || entry.isSpooled || areBooksWritten) continue
      const { origin, topic, count } = entry
      const numbers = { origin, topic, from: range.from, count, onDemand: false, notDurable: true }
      // While nothing can be kept this is not either, and the books that are written down then say it.
      this.#ports.spool.append(recordTypes.numbers, encodeNumbers(numbers))
    }
    this.#unspooled = this.#unspooled.filter(({ entry }) => entry.holders > 0)
  }

  /** What came and is neither in the spool nor with every sink: were this process killed, it would have to come again. */
  #unkept(): Map<TopicBook, Range[]> {
    this.#settle(true)
    const unkept = new Map<TopicBook, Range[]>()
    for (const { book, range, entry } of this.#unspooled) {
      if (entry.isSpooled) continue
      const ranges = unkept.get(book)
      if (ranges === undefined) unkept.set(book, [range])
      else ranges.push(range)
    }
    return unkept
  }

  /**
   * The spool has failed: what was to stand at `position` and behind is not there, and what stands at `durable` and
   * behind may be gone when the machine stops. Returns what is not there.
   */
  spoolAbandoned(position: number, durable: number): readonly QueuedEntry[] {
    this.#unwritten.abandoned(durable)
    const abandoned: QueuedEntry[] = []
    for (const arrival of this.#undurable) {
      const { entry } = arrival
      if (entry.end <= durable) continue
      this.#isUnspooled(arrival)
      if (entry.end <= position) continue
      entry.isSpooled = false
      abandoned.push(entry)
    }
    this.#undurable = []
    return abandoned
  }

  /**
   * Makes durable what has come, and tells its origins. What cannot be made durable counts as kept once every sink has
   * it; until then nothing behind it is acknowledged.
   *
   * @param isAwaited - Somebody waits for the answer, and may then look for the lines: the sinks get a moment to write them.
   * @returns Whether everything is kept.
   */
  async commit(isAwaited = false): Promise<boolean> {
    const { ledger, spool, control } = this.#ports
    const commits = ledger.takeCommits()
    const byes = ledger.takeByes()
    this.uncommittedBytes = 0
    this.#settle(false)
    await spool.sync()
    if (isAwaited || byes.length > 0) await this.#ports.hurrySinks()
    const undurable = this.#undurable.findIndex(({ entry }) => entry.end > spool.durable)
    this.#undurable = undurable === -1 ? [] : this.#undurable.slice(undurable)
    const held = new Map<TopicBook, { from: number; records: number }>()
    for (const { book, range } of this.#unspooled) {
      const { from, records } = held.get(book) ?? { from: range.from, records: 0 }
      held.set(book, { from: Math.min(from, range.from), records: records + range.to - range.from })
    }
    const isHeld = (origin: OriginBook) => [...origin.topics.values()].some((book) => held.has(book))
    if (this.#unwritten.settle(spool.durable)) ledger.takeNotesBack()
    const isCut = ({ book, frontier }: Commit) => this.#unwritten.upTo(book) < frontier
    ledger.committed(commits.map((commit) => withoutHeld(commit, held.get(commit.book), this.#unwritten.upTo(commit.book))))
    const postponed = commits.filter((commit) => held.has(commit.book) || isCut(commit))
    ledger.postpone(postponed, byes.filter(isHeld))
    crashPoints.reached('before-cursor')
    const acknowledged = ledger.takeAcknowledgements()
    for (const book of [...acknowledged, ...byes.flatMap(({ topics }) => [...topics.values()])]) book.note = this.#unwritten.note(book)
    control.acknowledge(acknowledged)
    for (const origin of byes) if (!isHeld(origin)) control.answerBye(origin)
    return held.size === 0 && postponed.length === 0
  }

  /** Looks at holes that are due and at origins that have gone quiet. */
  tick(): void {
    this.#rollIfDue()
    const asks = this.#ports.ledger.tick(this.#ports.nowMs(), (topic) => this.isRefused(topic))
    this.#tellLosses()
    if (asks.length > 0) this.#ports.control.ask(asks)
  }
}

/** What of a commit is kept while some records of its topic are not. */
function withoutHeld(
  { book, frontier, received }: Commit,
  held: { readonly from: number; readonly records: number } | undefined,
  upTo: number,
): Commit {
  return { book, frontier: Math.min(frontier, upTo, held?.from ?? upTo), received: received - (held?.records ?? 0) }
}

/** The body of a frame with `count` of its records only. */
function slicedBody(frame: DecodedFrame, skip: number, count: number): Buffer {
  if (frame.kind === frameKinds.lines) return sliceLines(frame.body, skip, count)
  const points = decodePoints(frame.body, frame.count)
  assert(points !== undefined, 'points are read before they are booked')
  return encodePoints(slicePoints(points, skip, count))
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

/**
 * Brings spooled records to one sink, in order: from memory while the sink keeps up, from the spool when it does not.
 * A sink that hangs for an hour costs the others nothing; when it comes back, what it missed is read again.
 *
 *     spool   ──┬──────────────┬───────────────────┬────────────────┬──►
 *            lowest         readAt               joinAt            end
 *               │ with the sink│ read from disk    │ waits in memory │
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Fifo } from '../wire/fifo.ts'
import { sinkQueueBytesMax, sinkStalledMs, sinkSyncMaxMs } from '../wire/limits.ts'
import type { Topic } from '../wire/topic.ts'
import { Depth } from './depth.ts'
import type { SinkBook } from './ledger.ts'
import { type Entry, isFor, type KeepingSink } from './sinks/sink.ts'
import type { Block } from './spool/block.ts'
import type { Spool } from './spool/spool.ts'
import { type KeptFrame, readKept, type SinkPlace } from './spool/spool-bodies.ts'
import { recordTypes, type SpoolRecord } from './spool/spool-record.ts'

export interface SinkRunnerOptions {
  readonly sink: KeepingSink
  readonly spool: Spool
  /** The sink's numbers for a topic of an origin; undefined when nobody keeps books of it any more. */
  bookOf(origin: string, topic: Topic): SinkBook | undefined
  /** Writes down how far the sink is; resolves when that is in the kernel, or false when it is not. */
  note(place: SinkPlace): Promise<boolean>
  /** Something has been done. */
  moved(): void
  /** Records it will never get, or had and has no more. */
  gaveUp(origin: string, topic: Topic, reason: 'expired' | 'rejected', records: number): void
  hostOf(origin: string): string | undefined
  /** All its numbers. */
  books(): Iterable<{ readonly origin: string; readonly topic: Topic; readonly book: SinkBook }>
  /** What an earlier run has given up: nothing before this position is read. */
  readonly gaveUpTo: number
}

export interface QueuedEntry extends Entry {
  /** Runners that are not done with its lines. The last one gives back the memory they stand in. */
  holders: number
  readonly block: Block | undefined
}

function sumOf(counts: ReadonlyMap<SinkBook, number>): number {
  let sum = 0
  for (const count of counts.values()) sum += count
  return sum
}

function letGo(entry: QueuedEntry): void {
  entry.holders -= 1
  if (entry.holders === 0) entry.block?.release()
}

export class SinkRunner {
  readonly sink: KeepingSink
  readonly #options: SinkRunnerOptions
  readonly #spool: Spool
  /** Records this sink will never get, since the start. */
  expired = 0
  /** Records it had and lost, or refused for good, since the start. */
  rejected = 0
  readonly #queue = new Fifo<QueuedEntry>()
  #queueBytes = 0
  /** Everything before has been given to the sink. */
  #readAt = 0
  /** When the last entry read from the spool was received: what comes next is not older. */
  #readAtMs: number | undefined
  /** Bytes in memory, the sink's included. */
  readonly depth: Depth = new Depth()
  /** While it reads from the spool: where the queue goes on; undefined while the queue holds nothing either. */
  #joinAt: number | undefined
  #isBehind = false
  /** What is before it is done, has expired, or is held in memory alone: the spool need not have it any more. */
  #gaveUpTo: number
  /** How far it was before it gave up something that no books say that were written down. */
  #unstatedFrom: number | undefined
  /** More has expired, or is lost, than the books that were written down say. */
  #isUnstated = false
  /** Some of it was refused by the sink, and not expired. */
  #isRejectUnstated = false
  /** Records that they call expired and that are held in memory still. */
  #statedUnreadable = 0
  #reading: Promise<void> | undefined
  #syncing: Promise<boolean> | undefined
  #checkpointedAt = -1
  /** Behind everything an earlier run left; infinite before the start. */
  #startEnd = Number.POSITIVE_INFINITY
  /** When the sink was last done with something, or took something with nothing to do. */
  #movedAtMs = 0
  /** Some of what it had to read was damaged or gone. */
  #hasMissedRecords = false
  #isClosed = false

  constructor(options: SinkRunnerOptions) {
    this.#options = options
    this.#spool = options.spool
    this.sink = options.sink
    this.#gaveUpTo = options.gaveUpTo
    options.sink.events = {
      done: (entry) => this.#done(entry as QueuedEntry),
      lost: ({ origin, topic, records }) => this.#reject(origin, topic, records),
      rejected: (entry, records) => this.#rejected(entry, records),
      hostOf: (origin) => options.hostOf(origin),
      pendingRecords: () => this.#pendingRecords(),
      moved: () => this.#moved(),
      note: (files) => options.note({ sink: this.sink.name, position: this.#place, files }),
      oldest: () => Math.max(this.#spool.oldest, this.#spool.trustedFrom),
      newest: () => this.#spool.end,
      keep: () => this.#spool.sync(),
      isAllBack: () => this.lowest >= this.#startEnd,
    }
  }

  /**
   * Goes on where an earlier run was.
   *
   * @param isDamaged - Not everything that its books say is pending can be read.
   */
  start(position: number, isDamaged: boolean): void {
    this.#readAt = position
    this.#startEnd = this.#spool.end
    this.#hasMissedRecords = isDamaged
    this.#isBehind = position < this.#spool.end
    this.pump()
  }

  get isBehind(): boolean {
    return this.#isBehind
  }

  /** Everything before is done. */
  get lowest(): number {
    return Math.min(this.#readAt, this.sink.lowest)
  }

  /** Where the next run is to go on. What was given up is not passed over before the books say so. */
  get #place(): number {
    return Math.min(this.lowest, this.#unstatedFrom ?? Number.POSITIVE_INFINITY)
  }

  /** Whether it got further since the last checkpoint. */
  get hasMoved(): boolean {
    return this.#place !== this.#checkpointedAt
  }

  get gaveUpTo(): number {
    return this.#gaveUpTo
  }

  /** Whether what the books that were written down say of what has expired is no longer true. */
  get areBooksBehind(): boolean {
    return this.#isUnstated || (this.#statedUnreadable > 0 && sumOf(this.#unreadable()) !== this.#statedUnreadable)
  }

  /** The books are written down as they are now. Returns what of the pending records only memory holds. */
  statedNow(): ReadonlyMap<SinkBook, number> {
    // A sink's refusals come in order: what they count must not be refused once more.
    if (this.#isRejectUnstated) this.#gaveUpTo = Math.max(this.#gaveUpTo, this.lowest)
    this.#isRejectUnstated = false
    const unreadable = this.#unreadable()
    this.#statedUnreadable = sumOf(unreadable)
    this.#isUnstated = false
    this.#unstatedFrom = undefined
    return unreadable
  }

  #unreadable(): Map<SinkBook, number> {
    const unreadable = new Map<SinkBook, number>()
    if (this.lowest >= this.#gaveUpTo) return unreadable
    const count = ({ position, isSpooled, origin, topic }: QueuedEntry, records: number) => {
      const book = isSpooled && position < this.#gaveUpTo ? this.#options.bookOf(origin, topic) : undefined
      if (book !== undefined) unreadable.set(book, (unreadable.get(book) ?? 0) + records)
    }
    for (const { entry, records } of this.sink.unwritten()) count(entry as QueuedEntry, records)
    for (const entry of this.#queue) count(entry, entry.count)
    return unreadable
  }

  /** Whether there is something it could be doing. */
  get hasWork(): boolean {
    return this.#isBehind || this.#queue.length > 0 || this.sink.movingBytes > 0
  }

  /** When the oldest entry it has yet to do was received, Unix ms; undefined when there is none. */
  get oldestAtMs(): number | undefined {
    const waiting = this.#isBehind ? this.#readAtMs : this.#queue.peek()?.receivedAtMs
    const oldest = Math.min(this.sink.oldestAtMs, waiting ?? Number.POSITIVE_INFINITY)
    return Number.isFinite(oldest) ? oldest : undefined
  }

  /** What waits in memory and moves; zero for a sink that is behind or hangs, which nothing is to wait for. */
  get crowdingBytes(): number {
    return this.#isBehind || this.#isStalled || this.sink.isNeverWaitedFor === true ? 0 : this.#queueBytes + this.sink.movingBytes
  }

  get #isStalled(): boolean {
    return performance.now() - this.#movedAtMs > sinkStalledMs
  }

  /** Whether an entry that is not spooled could be kept for this sink. */
  canTakeUnspooled(topic: Topic): boolean {
    return !this.#isBehind && !this.sink.isFullFor(topic)
  }

  /** Takes what has just been received, in the order of the spool. Never waits. */
  offer(entry: QueuedEntry): void {
    if (this.#isBehind) {
      if (this.#joinAt === undefined) {
        // What is not in the spool will not be read from there.
        if (!entry.isSpooled) this.#expire(entry.origin, entry.topic, entry.count)
        return letGo(entry)
      }
    } else if (this.#queue.length === 0 && entry.end <= this.#spool.written && !this.sink.isFull) {
      this.#give(entry)
      return
    }
    this.#queue.push(entry)
    this.#setQueueBytes(this.#queueBytes + entry.lines.length)
    if (this.#queueBytes > sinkQueueBytesMax) this.#fallBehind()
  }

  /** What waits in memory is in the spool too, or will be; the sink takes it from there when it gets to it. */
  #fallBehind(): void {
    for (const entry of this.#queue) {
      if (!entry.isSpooled || entry.position < this.#gaveUpTo) this.#expire(entry.origin, entry.topic, entry.count)
      letGo(entry)
    }
    this.#readAt = Math.max(this.#readAt, this.#gaveUpTo)
    this.#isBehind = true
    this.#joinAt = undefined
    this.#queue.clear()
    this.#setQueueBytes(0)
  }

  #setQueueBytes(bytes: number): void {
    this.#queueBytes = bytes
    this.depth.set(bytes + this.sink.pendingBytes)
  }

  #give(entry: QueuedEntry): void {
    this.#readAt = entry.end
    if (this.sink.pendingBytes === 0) this.#movedAtMs = performance.now()
    if (!this.sink.write(entry)) letGo(entry)
  }

  /** Moves what can be moved. Called whenever something was written to the spool or by the sink. */
  pump(): void {
    if (this.#isBehind || this.sink.missedFrom !== undefined) this.#reading ??= this.#readSpool()
    if (this.#isBehind) return
    for (let entry = this.#queue.peek(); entry !== undefined && !this.sink.isFull; entry = this.#queue.peek()) {
      if (entry.end > this.#spool.written) return
      this.#queue.shift()
      this.#setQueueBytes(this.#queueBytes - entry.lines.length)
      this.#give(entry)
    }
    // What else is in the spool is not for this sink.
    if (this.#queue.length === 0) this.#readAt = Math.max(this.#readAt, this.#spool.written)
    if (this.#hasMissedRecords) this.#giveUpMissed()
  }

  /** With everything done that there is, what is pending all the same was in what could not be read. */
  #giveUpMissed(): void {
    if (this.#queue.length > 0 || Number.isFinite(this.sink.lowest)) return
    this.#hasMissedRecords = false
    // Whoever finds the damage after a restart is to see that it has been counted.
    this.#giveUpTo(this.lowest)
    for (const { origin, topic, book } of this.#options.books()) if (book.pending > 0) this.#expire(origin, topic, book.pending)
  }

  async #readSpool(): Promise<void> {
    // So that the caller has put this where `finally` takes it away.
    await undefined
    try {
      while (!this.#isClosed) {
        const missedFrom = this.sink.missedFrom
        if (missedFrom !== undefined) {
          if (!(await this.#readMissed(missedFrom))) return
        } else if (!this.#isBehind || this.sink.isFull || !(await this.#readOn())) return
      }
    } finally {
      this.#reading = undefined
      // What came while the last step ended.
      if (!this.#isBehind && this.#queue.length > 0 && !this.#isClosed) queueMicrotask(() => this.pump())
    }
  }

  /** One piece of the spool. False when it has to wait for more. */
  async #readOn(): Promise<boolean> {
    if (this.#joinAt === undefined && this.#readAt >= this.#spool.written) this.#joinAt = this.#spool.end
    if (this.#joinAt !== undefined && this.#readAt >= this.#joinAt) {
      this.#isBehind = false
      this.#joinAt = undefined
      this.pump()
      return false
    }
    if (this.#readAt >= this.#spool.written) return false
    const { records, next, damagedBytes } = await this.#spool.read(this.#readAt)
    if (damagedBytes > 0) this.#hasMissedRecords = true
    for (const record of records) {
      // What follows waits in memory. It may have been written, and so read, meanwhile.
      if (record.position >= (this.#joinAt ?? Number.POSITIVE_INFINITY)) break
      if (record.position < this.#readAt) continue
      const entry = this.#entryOf(record)
      if (entry !== undefined) {
        this.#readAtMs = entry.receivedAtMs
        this.sink.write(entry)
      }
      this.#readAt = record.end
    }
    this.#readAt = Math.max(this.#readAt, Math.min(next, this.#joinAt ?? next))
    return true
  }

  /** Gives files that were stuck what they missed. False when the sink holds as much as it may. */
  async #readMissed(from: number): Promise<boolean> {
    this.sink.beginMissed()
    for (let at = from; at < this.#readAt && !this.#isClosed; ) {
      const { records, next, damagedBytes } = await this.#spool.read(at)
      if (damagedBytes > 0) this.#hasMissedRecords = true
      for (const record of records) {
        if (record.position >= this.#readAt) break
        const entry = this.#entryOf(record)
        if (entry !== undefined) this.sink.writeMissed(entry)
      }
      at = Math.max(at, next)
      if (this.sink.isFull) return false
    }
    this.sink.caughtUp(this.#readAt)
    return true
  }

  #entryOf(record: SpoolRecord): QueuedEntry | undefined {
    const kept = this.#keptOf(record)
    if (kept === undefined) return undefined
    const { topic, frame, receivedAtMs, host } = kept
    return {
      position: record.position,
      end: record.end,
      topic,
      kind: frame.kind,
      origin: frame.origin,
      seq: frame.seq,
      timeMs: frame.time,
      lines: frame.body,
      count: frame.count,
      receivedAtMs,
      host,
      isSpooled: true,
      holders: 1,
      block: undefined,
    }
  }

  #keptOf(record: SpoolRecord): KeptFrame | undefined {
    const kept = record.type === recordTypes.frame ? readKept(record.body) : undefined
    return kept !== undefined && isFor(this.sink, kept) ? kept : undefined
  }

  #done(entry: QueuedEntry): void {
    letGo(entry)
    this.#movedAtMs = performance.now()
    this.depth.set(this.#queueBytes + this.sink.pendingBytes)
    const book = this.#options.bookOf(entry.origin, entry.topic)
    if (book !== undefined) book.pending = Math.max(0, book.pending - entry.count)
  }

  #rejected({ position, origin, topic }: Entry, records: number): void {
    // A place behind it must not be written down before books that say it is.
    this.#unstatedFrom ??= Math.min(position, this.lowest)
    this.#isRejectUnstated = true
    this.#reject(origin, topic, records)
  }

  #pendingRecords(): number {
    let records = 0
    for (const { book } of this.#options.books()) records += book.pending
    return records
  }

  #moved(): void {
    this.pump()
    this.#options.moved()
  }

  /** These never reached the disk. What does not wait in memory either is gone for this sink. */
  abandoned(entries: readonly QueuedEntry[]): void {
    const queuedFrom = this.#queue.peek()?.position ?? Number.POSITIVE_INFINITY
    for (const entry of entries) {
      const { position, origin, topic, count } = entry
      if (!this.sink.patterns.matches(topic)) continue
      const isUnread = this.#isBehind && position >= this.#readAt && position < queuedFrom
      if (isUnread || this.sink.hasMissed(entry)) this.#expire(origin, topic, count)
    }
  }

  /** A segment has to go although this sink is not done with it: counts what it will never get. */
  async expire(segment: { readonly position: number; readonly end: number }): Promise<void> {
    for (let at = Math.max(segment.position, Math.min(this.lowest, segment.end)); at < segment.end; ) {
      const { records, next, damagedBytes } = await this.#spool.read(at)
      if (damagedBytes > 0) this.#hasMissedRecords = true
      // It may have read on meanwhile, and goes on reading behind what is given up here.
      const readFrom = this.#isBehind ? this.#readAt : Number.POSITIVE_INFINITY
      // What waits in memory behind it is given all the same.
      const readTo = this.#joinAt ?? Number.POSITIVE_INFINITY
      for (const record of records) {
        const kept = record.position < segment.end ? this.#keptOf(record) : undefined
        if (kept === undefined) continue
        const { topic, frame, receivedAtMs, host } = kept
        if (
          (record.position >= readFrom && record.position < readTo) ||
          this.sink.hasMissed({ position: record.position, topic, receivedAtMs, host })
        ) {
          this.#expire(frame.origin, topic, frame.count)
        }
      }
      at = Math.min(Math.max(at + 1, next), segment.end)
      this.#giveUpTo(at)
      if (this.#isBehind) this.#readAt = Math.max(this.#readAt, Math.min(at, readTo))
      this.sink.forgetBefore(at)
    }
  }

  #giveUpTo(position: number): void {
    this.#unstatedFrom ??= this.lowest
    this.#isUnstated = true
    this.#gaveUpTo = Math.max(this.#gaveUpTo, position)
  }

  #expire(origin: string, topic: Topic, count: number): void {
    this.expired += count
    this.#isUnstated = true
    this.#options.gaveUp(origin, topic, 'expired', count)
    const book = this.#options.bookOf(origin, topic)
    if (book === undefined) return
    book.pending = Math.max(0, book.pending - count)
    book.expired += count
  }

  /** What was delivered is not there any more, or was refused: then it is pending until its whole entry is done. */
  #reject(origin: string, topic: Topic, records: number): void {
    this.rejected += records
    this.#isUnstated = true
    this.#options.gaveUp(origin, topic, 'rejected', records)
    const book = this.#options.bookOf(origin, topic)
    if (book !== undefined) book.rejected += records
  }

  /** Has the sink write what it holds, as far as it can now. */
  async hurry(): Promise<void> {
    this.pump()
    await this.sink.flush()
  }

  /** Writes down how far the sink is. */
  async checkpoint(): Promise<void> {
    // Its files would not say again how far they are.
    if (this.#spool.isFailing) return
    const position = this.#place
    const files = this.sink.takeMoved()
    if (await this.#options.note({ sink: this.sink.name, position, files })) this.#checkpointedAt = position
  }

  /** Makes durable what the sink has written. False when that fails or hangs; then it is not waited for. */
  async sync(): Promise<boolean> {
    const isHanging = this.#syncing !== undefined || (this.sink.movingBytes > 0 && this.#isStalled)
    if (isHanging) return false
    this.#syncing = this.sink
      .sync()
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        this.#syncing = undefined
      })
    return Promise.race([this.#syncing, sleep(sinkSyncMaxMs, false, { ref: false })])
  }

  /** Takes no more from the spool; what was given to the sink is the sink's. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#reading
  }
}

/** One topic of one agent: its open batch, its numbers, and what it has in the ring. */

import { Fifo } from '../wire/fifo.ts'
import type { Rank } from '../wire/level.ts'
import type { Topic } from '../wire/topic.ts'
import { EncodedLines } from './encoded-lines.ts'
import type { RingEntry, RingOwner } from './ring.ts'

/** Why a record was given up before it was sent; `printed` ones went to stdout instead. */
export type ShedReason = 'ring_full' | 'closed' | 'failed' | 'printed'

/**
 * Text of an open batch that is worth encoding: about seventeen lines. Longer pieces outlive more collections of young
 * garbage: at 16 Ki V8 of Node 24 gave an application that floods 30 MiB more heap, for the same time per line.
 */
const textPieceChars = 4_096
const tidyFromEntries = 32

export interface StreamEvents {
  isFlowing(): boolean
  /** A frame of `stream` left the ring to make room. */
  evicted(stream: AgentStream, entry: RingEntry, frame: Buffer): void
}

export class AgentStream implements RingOwner {
  readonly topic: Topic
  readonly topicBytes: Buffer
  readonly rank: Rank
  /** False once every collector has said what it wants and this is not in it. */
  wanted = true

  /** The open batch: `count` lines, the first accepted at `firstAtMs`; encoded up to some line, the rest as text. */
  readonly encoded: EncodedLines = new EncodedLines()
  text = ''
  /** Longer than this the text does not get: it is due to be encoded at the end of the turn, or is encoded at once. */
  textCharsMax: number = textPieceChars
  isTextDue = false
  count = 0
  /** The open batch holds lines made only because a live tail asked for them. */
  isOnDemand = false
  firstAtMs = 0

  /** Number of the open batch's first record. */
  next = 0
  /** Records nobody had subscribed to. */
  filtered = 0
  readonly shed: Map<ShedReason, number> = new Map()
  /** Records evicted after they were sent: most likely received, not known to be. */
  evictedSent = 0
  readonly entries: Fifo<RingEntry> = new Fifo<RingEntry>()
  /** Per link: everything below is acknowledged. */
  readonly acknowledged: number[] = []
  /** Per link: what its collector said beside that, to be said back. */
  readonly notes: (Uint8Array | undefined)[] = []
  /** When its numbers last moved, ms: recent movers are in every manifest. */
  movedAtMs = 0
  readonly #events: StreamEvents
  /** Entries that left the ring and still stand here. */
  #leftCount = 0

  constructor(topic: Topic, rank: Rank, events: StreamEvents) {
    this.topic = topic
    // Up to 128 bytes ZeroMQ copies; a buffer of its own never pins a pool.
    this.topicBytes = Buffer.from(Uint8Array.from(Buffer.from(topic, 'latin1')))
    this.rank = rank
    this.#events = events
  }

  get shedRecords(): number {
    let records = 0
    for (const count of this.shed.values()) records += count
    return records
  }

  /** Oldest record still in the ring. */
  get trail(): number {
    this.#forgetLeft()
    return this.entries.peek()?.seq ?? this.next
  }

  isFlowing(): boolean {
    return this.#events.isFlowing()
  }

  evicted(entry: RingEntry, frame: Buffer): void {
    this.#events.evicted(this, entry, frame)
  }

  /** The turn may go on logging up to twice as much text; then it is encoded at once. */
  expectText(): void {
    this.isTextDue = true
    this.textCharsMax = this.encoded.pieceBytes(2 * textPieceChars)
  }

  /** Its text has been encoded. */
  clearText(): void {
    this.text = ''
    this.isTextDue = false
    this.textCharsMax = this.encoded.pieceBytes(textPieceChars)
  }

  addShed(reason: ShedReason, records: number): void {
    this.shed.set(reason, (this.shed.get(reason) ?? 0) + records)
  }

  /** Takes a frame's entry; entries stand in the order of their numbers. */
  hold(entry: RingEntry): void {
    this.#forgetLeft()
    this.entries.push(entry)
  }

  /** Entries from the first that ends behind `seq`, by one search. */
  entriesFrom(seq: number): Generator<RingEntry> {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = this.entries.at(middle)
      if (entry !== undefined && entry.seq + entry.count <= seq) low = middle + 1
      else high = middle
    }
    return this.entries.from(low)
  }

  /** One of its entries left the ring; most leave in order, by importance some leave from the middle. */
  left(): void {
    this.#leftCount += 1
    if (this.#leftCount <= tidyFromEntries || this.#leftCount * 2 <= this.entries.length) return
    this.entries.retain((entry) => entry.frame !== undefined)
    this.#leftCount = 0
  }

  #forgetLeft(): void {
    while (this.entries.length > 0 && this.entries.peek()?.frame === undefined) {
      this.entries.shift()
      this.#leftCount -= 1
    }
  }
}

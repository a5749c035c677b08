/**
 * What has come and is not shown yet: frames, and words about what is missing, in order. Bounded in bytes, records and
 * entries: the oldest goes first, because a live tail is about now, and what went is counted where it would have stood.
 */
import type { RecordContext } from './tail-record.ts'

interface QueuedLines {
  readonly context: RecordContext
  /** Each ended by LF. */
  readonly lines: Buffer
  readonly count: number
}

export type QueueEntry =
  | ({ readonly kind: 'lines' } & QueuedLines)
  /** Records that will not come any more, told by the numbers. */
  | { readonly kind: 'missed'; readonly count: number }

export interface QueueLimits {
  readonly bytesMax: number
  readonly recordsMax: number
  readonly entriesMax: number
}

export class TailQueue {
  readonly #limits: QueueLimits
  #entries: (QueueEntry | undefined)[] = []
  #head = 0
  /** Where in the head's lines the next one begins. */
  #offset = 0
  #taken = 0
  #bytes = 0
  #records = 0
  #shed = 0
  #missedWithShed = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  /** Records that wait. */
  get records(): number {
    return this.#records
  }

  /** Records given up since {@link takeShed}. */
  get shed(): number {
    return this.#shed
  }

  get isEmpty(): boolean {
    return this.#head === this.#entries.length && this.#shed === 0 && this.#missedWithShed === 0
  }

  push(entry: QueueEntry): void {
    const last = this.#entries.at(-1)
    if (entry.kind === 'missed' && last?.kind === 'missed') {
      this.#entries[this.#entries.length - 1] = { kind: 'missed', count: last.count + entry.count }
      return
    }
    this.#entries.push(entry)
    if (entry.kind === 'lines') {
      this.#bytes += entry.lines.length
      this.#records += entry.count
    }
    while (this.#isOver && this.#head < this.#entries.length - 1) this.#shedOldest()
  }

  get #isOver(): boolean {
    const { bytesMax, recordsMax, entriesMax } = this.#limits
    return this.#bytes > bytesMax || this.#records > recordsMax || this.#entries.length - this.#head > entriesMax
  }

  #shedOldest(): void {
    const entry = this.#entries[this.#head]
    if (entry?.kind === 'missed') this.#missedWithShed += entry.count
    else if (entry?.kind === 'lines') {
      this.#shed += entry.count - this.#taken
      this.#records -= entry.count - this.#taken
      this.#bytes -= entry.lines.length
    }
    this.#advance()
  }

  #advance(): void {
    this.#entries[this.#head] = undefined
    this.#head += 1
    this.#offset = 0
    this.#taken = 0
    if (this.#head < 1_024 && this.#head < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#head)
    this.#head = 0
  }

  /** What was given up in front of the next entry, told once. */
  takeShed(): { readonly shed: number; readonly missed: number } {
    const taken = { shed: this.#shed, missed: this.#missedWithShed }
    this.#shed = 0
    this.#missedWithShed = 0
    return taken
  }

  /** The next line, or count of missed records; undefined when there is none. */
  take(): { readonly line: string; readonly context: RecordContext } | { readonly missed: number } | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    if (entry.kind === 'missed') {
      this.#advance()
      return { missed: entry.count }
    }
    const end = entry.lines.indexOf(10, this.#offset)
    const line = entry.lines.toString('utf8', this.#offset, end === -1 ? entry.lines.length : end)
    this.#offset = end + 1
    this.#taken += 1
    this.#records -= 1
    if (end === -1 || this.#taken >= entry.count) {
      this.#bytes -= entry.lines.length
      this.#advance()
    }
    return { line, context: entry.context }
  }

  /** Gives up everything; returns the records it held. */
  clear(): number {
    const { records } = this
    this.#entries = []
    this.#head = 0
    this.#offset = 0
    this.#taken = 0
    this.#bytes = 0
    this.#records = 0
    return records
  }
}

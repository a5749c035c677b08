/**
 * What of the books only this process knows, because the spool keeps nothing: where each topic begins, and what was
 * booked as lost meanwhile. Were it killed, the next run would take a lost record for a delivered one, since it was
 * acknowledged. So it goes to the origin as a note beside the acknowledgement, and comes back with its manifests.
 *
 * A note has room for a few ranges; what lies behind the last one that fits is not acknowledged until the spool keeps
 * again.
 */
import { noteRangesMax } from '../wire/limits.ts'
import { encodeBookNote, type LostRange } from './book-note.ts'
import type { BookedLoss, TopicBook } from './ledger.ts'

/** Losses of a topic that no spool holds. */
interface Unwritten {
  /** Ascending. */
  readonly losses: LostRange[]
  /** The first one there was no room for begins here. */
  upTo: number
}

export class UnwrittenBooks {
  #isBehind = false
  /** Behind the books that say everything; infinite before they are written. */
  #statedEnd = Number.POSITIVE_INFINITY
  /** Losses that were appended to the spool and are not known to be on the disk, in order. */
  #appended: { readonly loss: BookedLoss; readonly end: number }[] = []
  #losses = new WeakMap<TopicBook, Unwritten>()

  /** Something was to be appended to the spool, and could not. */
  missed(): void {
    this.#isBehind = true
    this.#statedEnd = Number.POSITIVE_INFINITY
  }

  /** @param end - Position behind it in the spool; undefined when it is not there. */
  booked(loss: BookedLoss, end: number | undefined): void {
    if (end !== undefined) this.#appended.push({ loss, end })
    else {
      this.missed()
      this.#add(loss)
    }
  }

  /** What stands behind `durable` in the spool is not to be relied on. */
  abandoned(durable: number): void {
    this.missed()
    for (const { loss, end } of this.#appended) if (end > durable) this.#add(loss)
    this.#appended = []
  }

  /** The books as they are now were appended, and end there. */
  stated(end: number): void {
    if (this.#isBehind) this.#statedEnd = end
  }

  /** The disk has everything before a position. Returns whether notes are of no use any more that were until now. */
  settle(durable: number): boolean {
    this.#appended = this.#appended.filter(({ end }) => end > durable)
    if (!this.#isBehind || durable < this.#statedEnd) return false
    this.#isBehind = false
    this.#losses = new WeakMap()
    return true
  }

  /** How far a topic may be acknowledged. */
  upTo(book: TopicBook): number {
    return this.#losses.get(book)?.upTo ?? Number.POSITIVE_INFINITY
  }

  /** What is to be said beside an acknowledgement; undefined when the spool says it. */
  note(book: TopicBook): Buffer | undefined {
    if (!this.#isBehind) return undefined
    return encodeBookNote({ joinAt: book.ledger.joinAt, losses: this.#losses.get(book)?.losses ?? [] })
  }

  #add({ origin, topic, from, to, reason }: BookedLoss): void {
    const book = origin.topics.get(topic)
    if (book === undefined) return
    const unwritten = this.#losses.get(book) ?? { losses: [], upTo: Number.POSITIVE_INFINITY }
    this.#losses.set(book, unwritten)
    const { losses } = unwritten
    if (from >= unwritten.upTo) return
    const after = losses.findIndex((other) => other.from >= to)
    const at = after === -1 ? losses.length : after
    const [before, behind] = [losses[at - 1], losses[at]]
    const joinsBefore = before?.to === from && before.reason === reason
    const joinsBehind = behind?.from === to && behind.reason === reason
    losses.splice(at - (joinsBefore ? 1 : 0), (joinsBefore ? 1 : 0) + (joinsBehind ? 1 : 0), {
      from: joinsBefore ? before.from : from,
      to: joinsBehind ? behind.to : to,
      reason,
    })
    if (losses.length > noteRangesMax) unwritten.upTo = losses.pop()?.from ?? unwritten.upTo
  }
}

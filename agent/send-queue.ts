/** Frames a link has still to hand to its socket, in the order they were accepted. Those that leave the ring leave it too. */
import { Fifo } from '../wire/fifo.ts'
import type { RingEntry } from './ring.ts'

const tidyFromFrames = 256

export class SendQueue {
  readonly #entries = new Fifo<RingEntry>()
  #tidyAtFrames = tidyFromFrames

  get length(): number {
    return this.#entries.length
  }

  push(entry: RingEntry): void {
    this.#entries.push(entry)
    if (this.#entries.length <= this.#tidyAtFrames) return
    // With a full pipe the oldest leave the ring from here.
    this.#entries.retain((kept) => kept.frame !== undefined)
    this.#tidyAtFrames = 2 * this.#entries.length + tidyFromFrames
  }

  /** The oldest that is still in the ring. */
  peek(): RingEntry | undefined {
    while (this.#entries.length > 0 && this.#entries.peek()?.frame === undefined) this.#entries.shift()
    return this.#entries.peek()
  }

  shift(): void {
    this.#entries.shift()
  }

  clear(): void {
    this.#entries.clear()
  }

  /** Begins anew with these. */
  refill(entries: Iterable<RingEntry>): void {
    this.clear()
    for (const entry of entries) this.#entries.push(entry)
  }

  *[Symbol.iterator](): Generator<RingEntry> {
    for (const entry of this.#entries) if (entry.frame !== undefined) yield entry
  }
}

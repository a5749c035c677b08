/**
 * What a collector asked to be sent again: frames that are still here, at a bounded rate, and ranges that are gone.
 * Everything a peer can ask for is bounded; what does not fit is left out, because it will be asked for again.
 */
import type { RepairRequest } from '../wire/control.ts'
import { Fifo } from '../wire/fifo.ts'
import { goneRangesMax, repairBytesPerSecond, repairLingerMs, repairsQueuedMax } from '../wire/limits.ts'
import type { GoneRange } from '../wire/manifest.ts'
import type { RingEntry } from './ring.ts'
import type { AgentStream } from './stream.ts'

export class Repairs {
  readonly #linkBit: number
  readonly #queue = new Fifo<RingEntry>()
  #gone: GoneRange[] = []
  #bytesPerSecond = repairBytesPerSecond
  #budgetBytes = repairBytesPerSecond
  #refilledAtMs = 0

  constructor(linkBit: number) {
    this.#linkBit = linkBit
  }

  get isEmpty(): boolean {
    return this.#held === undefined
  }

  /** Ranges to be said gone with the next manifest. */
  get gone(): readonly GoneRange[] {
    return this.#gone
  }

  goneSaid(): void {
    this.#gone = []
  }

  clear(): void {
    this.#queue.clear()
  }

  /** Takes a request. Costs one search and the frames it names. */
  request(stream: AgentStream, request: RepairRequest, nowMs: number): void {
    const end = Math.min(request.to, stream.next)
    let at = request.from
    for (const entry of stream.entriesFrom(request.from)) {
      if (entry.seq >= end) break
      if (entry.frame === undefined) continue
      if (entry.seq > at) this.#sayGone(request, at, entry.seq)
      at = entry.seq + entry.count
      // Not sent yet: it is coming anyway. Sent again a moment ago: it is on its way.
      if ((entry.sent & this.#linkBit) === 0 || nowMs - entry.resentAtMs < repairLingerMs) continue
      if (this.#queue.length >= repairsQueuedMax) return
      entry.resentAtMs = nowMs
      this.#queue.push(entry)
    }
    if (at < end) this.#sayGone(request, at, end)
  }

  /** The next frame to send again, if the budget allows it now. */
  next(nowMs: number): RingEntry | undefined {
    const entry = this.#held
    if (entry?.frame === undefined) return undefined
    const refill = ((nowMs - this.#refilledAtMs) * repairBytesPerSecond) / 1_000
    this.#budgetBytes = Math.min(this.#bytesPerSecond, this.#budgetBytes + refill)
    this.#refilledAtMs = nowMs
    return this.#budgetBytes >= entry.frame.byteLength ? entry : undefined
  }

  /** At the process's end there is no live traffic to protect. */
  spendFreely(): void {
    this.#bytesPerSecond = Number.POSITIVE_INFINITY
    this.#budgetBytes = Number.POSITIVE_INFINITY
  }

  /** The frame {@link next} gave was sent. */
  sent(entry: RingEntry): void {
    this.#budgetBytes -= entry.frame?.byteLength ?? 0
    this.#queue.shift()
  }

  get #held(): RingEntry | undefined {
    while (this.#queue.length > 0 && this.#queue.peek()?.frame === undefined) this.#queue.shift()
    return this.#queue.peek()
  }

  #sayGone({ topic }: RepairRequest, from: number, to: number): void {
    const last = this.#gone.at(-1)
    if (this.#gone.length >= goneRangesMax || (last?.topic === topic && last.from === from && last.to === to)) return
    this.#gone.push({ topic, from, to })
  }
}

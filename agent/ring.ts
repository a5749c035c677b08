/**
 * What this process keeps of records that are not known to be kept elsewhere. One byte budget for all agents.
 *
 * Frames stand in one queue per level. When the budget is full, room is made first where it most likely costs nothing
 * (frames below error that were sent while the link takes them; the acknowledgement is on its way), then by importance:
 * trace and debug before info, info before warn, and error and fatal only when nothing else is left.
 */
import { Fifo } from '../wire/fifo.ts'
import { errorRank, levels, type Rank } from '../wire/level.ts'
import { frameOverheadBytes, ringBytesMax } from '../wire/limits.ts'
import { freeFrame } from './slab-pool.ts'

/** Whom a frame belongs to, and who is told when it has to go. */
export interface RingOwner {
  readonly rank: Rank
  /** Whether what was sent is being taken: then sent frames are the cheapest to give up. */
  isFlowing(): boolean
  /** One of its entries is no longer in the ring. */
  left(): void
  /** @param frame - What the entry held; not to be kept, its memory is used again. */
  evicted(entry: RingEntry, frame: Buffer): void
}

export interface RingEntry {
  /** Ascending over the whole process: the order records were accepted in. */
  readonly id: number
  readonly seq: number
  readonly count: number
  readonly owner: RingOwner
  /** Undefined once the entry has left the ring. */
  frame: Buffer | undefined
  /** Bit per link that has not acknowledged it yet. */
  waiting: number
  /** Bit per link it was handed to. */
  sent: number
  /** Bit per link that acknowledged it. */
  acknowledged: number
  /** Times it was handed to a socket. */
  sends: number
  /** An answer to it says nothing about one socket: another one may have sent it too, or hold it still. */
  isSentSeveralWays: boolean
  /** When it was last sent again on request, ms. */
  resentAtMs: number
}

export class Ring {
  bytesMax: number
  bytes = 0
  records = 0
  readonly #queues: readonly Fifo<RingEntry>[] = levels.map(() => new Fifo<RingEntry>())
  readonly #left: number[] = levels.map(() => 0)
  #nextId = 0

  constructor(bytesMax: number = ringBytesMax) {
    this.bytesMax = bytesMax
  }

  /** Takes a frame, making room for it first. A frame of its own size is never refused. */
  push(owner: RingOwner, frame: Buffer, numbers: { readonly seq: number; readonly count: number; readonly waiting: number }): RingEntry {
    const id = this.#nextId++
    const entry: RingEntry = { id, owner, frame, sent: 0, acknowledged: 0, sends: 0, isSentSeveralWays: false, resentAtMs: 0, ...numbers }
    this.bytes += frame.byteLength + frameOverheadBytes
    this.records += entry.count
    this.#queues[owner.rank]?.push(entry)
    while (this.bytes > this.bytesMax) {
      const victim = this.#cheapest()
      if (victim === undefined || victim === entry) break
      const lost = victim.frame
      this.#drop(victim)
      if (lost === undefined) continue
      victim.owner.evicted(victim, lost)
      if (victim.sends === 0 && !victim.isSentSeveralWays) freeFrame(lost)
    }
    return entry
  }

  /** Takes an entry out that nobody waits for any more. */
  release(entry: RingEntry): void {
    const { frame } = entry
    if (frame === undefined) return
    this.#drop(entry)
    // Each link that was sent it was sent it once and has answered, so no socket holds it.
    if (!entry.isSentSeveralWays && entry.acknowledged === entry.sent && entry.sends === bitCount(entry.sent)) freeFrame(frame)
    const rank = entry.owner.rank
    const queue = this.#queues[rank]
    const left = (this.#left[rank] ?? 0) + 1
    this.#left[rank] = left
    // Entries leave from the middle; the queue is tidied when half of it is holes.
    if (queue !== undefined && left > 32 && left * 2 > queue.length) {
      queue.retain((kept) => kept.frame !== undefined)
      this.#left[rank] = 0
    }
  }

  #drop(entry: RingEntry): void {
    this.bytes -= (entry.frame?.byteLength ?? 0) + frameOverheadBytes
    this.records -= entry.count
    entry.frame = undefined
    entry.owner.left()
  }

  #cheapest(): RingEntry | undefined {
    let sent: RingEntry | undefined
    let least: RingEntry | undefined
    for (const queue of this.#queues) {
      while (queue.length > 0 && queue.peek()?.frame === undefined) queue.shift()
      const oldest = queue.peek()
      if (oldest === undefined) continue
      least ??= oldest
      // Sent is not arrived: should the connection break, it is the ring that has it. So errors are not given up for that.
      const isLikelyThere = oldest.sent !== 0 && oldest.owner.rank < errorRank && oldest.owner.isFlowing()
      if (oldest.acknowledged !== 0 || isLikelyThere) sent ??= oldest
    }
    return sent ?? least
  }
}

function bitCount(bits: number): number {
  let count = 0
  for (let left = bits; left !== 0; left &= left - 1) count += 1
  return count
}

/** The ring of this process. Its size is the largest that one of the agents was made with. */
export const processRing: Ring = new Ring(0)

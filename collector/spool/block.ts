/**
 * Memory that received records are copied into: one block is one large write, and the sinks write from it too.
 *
 * The copy costs a few microseconds for 64 KiB and saves far more. A received frame is an object of V8's and memory
 * outside of it; kept until a disk has written it, it outlives the collections of young garbage, and then only full
 * collections free it: under load they were half of the collector's time. Copied, it dies at once, and blocks are
 * used again while the processor still has them in its cache.
 */
import { spoolBlocksMax, spoolBlocksOutMax, spoolWriteBytes } from '../../wire/limits.ts'

export class Block {
  readonly bytes: Buffer
  /** Bytes in use. */
  used = 0
  #holders = 1
  readonly #pool: BlockPool

  constructor(pool: BlockPool, bytes: Buffer) {
    this.#pool = pool
    this.bytes = bytes
  }

  /** So many blocks are in use that what stays longer had better be copied out of them: a few bytes hold a whole one. */
  get isScarce(): boolean {
    return this.#pool.outstanding > spoolBlocksOutMax
  }

  /** Somebody needs what stands in it. To be followed by one {@link release}. */
  hold(): void {
    this.#holders += 1
  }

  /** One of those who hold it needs it no more. The last one gives its memory back: nobody may look at it then. */
  release(): void {
    this.#holders -= 1
    if (this.#holders === 0) this.#pool.put(this.bytes)
  }
}

export class BlockPool {
  /** Blocks that somebody holds. */
  outstanding = 0
  readonly #free: Buffer[] = []

  /** A block for at least `bytes` bytes, held once. */
  take(bytes: number): Block {
    this.outstanding += 1
    const memory = bytes <= spoolWriteBytes ? this.#free.pop() : undefined
    return new Block(this, memory ?? Buffer.allocUnsafeSlow(Math.max(bytes, spoolWriteBytes)))
  }

  put(memory: Buffer): void {
    this.outstanding -= 1
    if (memory.length === spoolWriteBytes && this.#free.length < spoolBlocksMax) this.#free.push(memory)
  }
}

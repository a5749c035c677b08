/**
 * The end of a log file behind a place that was written down: what an earlier run may have appended before it was
 * killed. What comes again from the spool is compared with it, and what stands there already is passed over.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FilePlace } from '../spool/spool-bodies.ts'

const lineFeed = 10
/** Somebody else's lines, or some that the spool has lost, may stand in between; they are searched through up to here. */
const searchBytesMax = 67_108_864

export interface Passed {
  /** Bytes of the lines that stand there. */
  readonly written: number
  /** Nothing that comes later can stand there. */
  readonly isEnd: boolean
  /** It ends in the middle of a line that these lines do not continue. */
  readonly isTorn: boolean
}

export class WrittenTail {
  readonly identity: string
  #path: string
  #at: number
  /** Files that were begun after it, while no place could be written down. */
  #following: readonly string[]

  /** @param place - What was written down last; `size` is the offset of the first byte that may have been written since. */
  constructor(path: string, place: Pick<FilePlace, 'identity' | 'size'>, following: readonly string[] = []) {
    this.#path = path
    this.identity = place.identity
    this.#at = place.size
    this.#following = following
  }

  /** Offset behind everything that is known to be where it belongs. */
  get size(): number {
    return this.#at
  }

  /** Compares whole lines with what stands at the place, and moves it behind them when they are there. */
  async pass(lines: Buffer): Promise<Passed> {
    let written = 0
    for (;;) {
      const passed = await this.#passHere(lines.subarray(written))
      written += passed.written
      const [next, ...rest] = this.#following
      if (!passed.isEnd || next === undefined) return { ...passed, written }
      this.#path = next
      this.#at = 0
      this.#following = rest
    }
  }

  async #passHere(lines: Buffer): Promise<Passed> {
    let handle: Awaited<ReturnType<typeof open>>
    try {
      handle = await open(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW)
    } catch {
      return { written: 0, isEnd: true, isTorn: false }
    }
    try {
      const { size } = await handle.stat()
      const length = Math.min(Math.max(size - this.#at, 0), searchBytesMax)
      if (length === 0) return { written: 0, isEnd: true, isTorn: false }
      const start = Buffer.allocUnsafe(Math.min(length, lines.length))
      await handle.read(start, 0, start.length, this.#at)
      if (!start.equals(lines.subarray(0, start.length))) {
        const rest = Buffer.allocUnsafe(length)
        await handle.read(rest, 0, length, this.#at)
        const found = rest.indexOf(lines.subarray(0, lines.indexOf(lineFeed) + 1))
        if (found <= 0) return { written: 0, isEnd: true, isTorn: true }
        this.#at += found
        const again = rest.subarray(found, found + lines.length)
        if (!again.equals(lines.subarray(0, again.length))) return { written: 0, isEnd: true, isTorn: true }
        return this.#passed(again.length, lines)
      }
      return this.#passed(start.length, lines)
    } finally {
      await handle.close()
    }
  }

  #passed(written: number, lines: Buffer): Passed {
    this.#at += written
    return { written, isEnd: written < lines.length, isTorn: false }
  }
}

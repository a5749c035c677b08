/**
 * The part of an open batch that is encoded already. Lines arrive as strings that pino put together from pieces; a few
 * kilobytes of them at a time are written here, so that the pieces die young. Kept as text until the batch was full,
 * they survived every collection of young garbage, and V8 gave the application up to 60 MiB more heap for it.
 */
import { type FrameHead, finishLines, linesHeadBytesMax, onDemandTailBytes } from '../wire/frame.ts'
import { freeFrame, slabBytes, takeSlab } from './slab-pool.ts'

/** Fuller than this a frame keeps its slab; emptier ones are copied, so that the ring pins what it counts. */
const keepFromBytes = (slabBytes * 7) / 8

/** Where lines end in a slab. */
const linesEnd = slabBytes - onDemandTailBytes

export class EncodedLines {
  count = 0
  #slab: Buffer | undefined
  #end = linesHeadBytesMax

  fits(bytes: number): boolean {
    return this.#end + bytes <= linesEnd
  }

  /** How long the next piece of text may get, at most `bytesMax`, for this frame to leave well filled. */
  pieceBytes(bytesMax: number): number {
    return this.#end >= keepFromBytes ? bytesMax : Math.min(bytesMax, linesEnd - this.#end)
  }

  /** Adds text of `bytes` bytes as UTF-8; it must fit. */
  write(text: string, bytes: number, count: number): void {
    this.#slab ??= takeSlab()
    // As many bytes as characters is ASCII, and writing that as Latin-1 is a copy; as UTF-8 it took twice as long.
    this.#slab.write(text, this.#end, bytes, bytes === text.length ? 'latin1' : 'utf8')
    this.#end += bytes
    this.count += count
  }

  /** The frame of what was written; begins anew. */
  finish(head: FrameHead): Buffer {
    const slab = this.#slab ?? takeSlab()
    const frame = finishLines(head, slab, { from: linesHeadBytesMax, to: this.#end })
    this.#slab = undefined
    this.#end = linesHeadBytesMax
    this.count = 0
    if (frame.byteLength >= keepFromBytes) return frame
    const copy = Buffer.allocUnsafeSlow(frame.byteLength)
    frame.copy(copy)
    freeFrame(slab)
    return copy
  }

  /** Forgets what was written. */
  clear(): void {
    if (this.#slab !== undefined) freeFrame(this.#slab)
    this.#slab = undefined
    this.#end = linesHeadBytesMax
    this.count = 0
  }
}

/** Bytes that wait to be written in one large write: small pieces are copied together, large ones stay where they are. */
import type { FileHandle } from 'node:fs/promises'

/** Pieces below this are copied together; larger ones are written from where they were received. */
const copyBelowBytes = 8_192
const chunkBytes = 65_536

export class WriteBuffer {
  byteLength = 0
  #chunks: Buffer[] = []
  /** Small pieces stand in it from `#from` to `#filled`; what is before is among the chunks. */
  #chunk: Buffer | undefined
  #from = 0
  #filled = 0

  /** @param piece - Not to be written to until it has been written out. */
  push(piece: Buffer): void {
    this.byteLength += piece.length
    if (piece.length >= copyBelowBytes) {
      this.#seal()
      this.#chunks.push(piece)
      return
    }
    if (this.#chunk === undefined || this.#filled + piece.length > this.#chunk.length) {
      this.#seal()
      // A small one first: thousands of services may each write one line.
      this.#chunk = Buffer.allocUnsafeSlow(this.#chunks.length === 0 ? copyBelowBytes : chunkBytes)
      this.#from = 0
      this.#filled = 0
    }
    piece.copy(this.#chunk, this.#filled)
    this.#filled += piece.length
  }

  /** Takes everything out, in order. */
  take(): Buffer[] {
    this.#seal()
    this.#chunk = undefined
    const chunks = this.#chunks
    this.#chunks = []
    this.byteLength = 0
    return chunks
  }

  /** Puts back at the front what could not be written. */
  putBack(chunks: readonly Buffer[]): void {
    this.#chunks = [...chunks, ...this.#chunks]
    for (const chunk of chunks) this.byteLength += chunk.length
  }

  #seal(): void {
    if (this.#chunk !== undefined && this.#filled > this.#from) this.#chunks.push(this.#chunk.subarray(this.#from, this.#filled))
    this.#from = this.#filled
  }
}

/**
 * Writes until everything is written or an error comes; says how much was.
 *
 * @param at - Offset in the file; where the file's own position is, if it is left out.
 */
export async function writeFully(handle: FileHandle, chunks: readonly Buffer[], at?: number): Promise<{ written: number; error: unknown }> {
  let written = 0
  let left = [...chunks]
  try {
    while (left.length > 0) {
      // The kernel takes at most 1,024 pieces at a time.
      const { bytesWritten } = await handle.writev(left.slice(0, 1_024), at === undefined ? undefined : at + written)
      written += bytesWritten
      left = dropBytes(left, bytesWritten)
    }
    return { written, error: undefined }
  } catch (error) {
    return { written, error }
  }
}

/** What is left of `chunks` behind their first `bytes` bytes. */
export function dropBytes(chunks: readonly Buffer[], bytes: number): Buffer[] {
  let skip = bytes
  const left: Buffer[] = []
  for (const chunk of chunks) {
    if (skip >= chunk.length) skip -= chunk.length
    else {
      left.push(skip > 0 ? chunk.subarray(skip) : chunk)
      skip = 0
    }
  }
  return left
}

/**
 * One file of lines: appended in large writes, whole lines only, rotated by size. One write is under way at a time.
 *
 * Opened without following links and only if it is a plain file. A line left torn by a crash is cut off first: it was
 * never acknowledged, so its origin sends it again.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { recordBytesMax } from '../../wire/limits.ts'
import type { Topic } from '../../wire/topic.ts'

const lineFeed = 10
/** Bodies below this are copied together; larger ones are written from where they were received. */
const copyBelowBytes = 8_192
const chunkBytes = 65_536
/** A torn line is at most a record without its LF; one byte more shows the LF before it. */
const tornSearchBytes = recordBytesMax + 1
const fileMode = 0o640
const folderMode = 0o750

export class LogFile {
  readonly path: string
  /** When it last took lines; the least recent is closed first. */
  usedAtMs = 0
  /** Topics of the lines that are not written yet. */
  readonly topics: Set<Topic> = new Set()
  readonly #rotateBytes: number
  readonly #onWritten: (bytes: number, records: number) => void
  #appendedBytes = 0
  #writtenBytes = 0
  #pendingRecords = 0
  #chunks: Buffer[] = []
  #chunkFilled = 0
  #chunk: Buffer | undefined
  #handle: FileHandle | undefined
  #size = 0
  #writing: Promise<void> | undefined
  #mustReopen = false

  /** @param onWritten - Told what has reached the file: bytes as they go, records once their write is complete. */
  constructor(path: string, rotateBytes: number, onWritten: (bytes: number, records: number) => void) {
    this.path = path
    this.#rotateBytes = rotateBytes
    this.#onWritten = onWritten
  }

  get pendingBytes(): number {
    return this.#appendedBytes - this.#writtenBytes
  }

  get isOpen(): boolean {
    return this.#handle !== undefined
  }

  get isWriting(): boolean {
    return this.#writing !== undefined
  }

  get isIdle(): boolean {
    return !this.isWriting && this.pendingBytes === 0
  }

  append(topic: Topic, lines: Buffer, count: number): void {
    this.topics.add(topic)
    this.#appendedBytes += lines.length
    this.#pendingRecords += count
    if (lines.length >= copyBelowBytes) {
      this.#sealChunk()
      this.#chunks.push(lines)
      return
    }
    if (this.#chunk === undefined || this.#chunkFilled + lines.length > this.#chunk.length) {
      this.#sealChunk()
      // A small one first: thousands of services may each write one line.
      this.#chunk = Buffer.allocUnsafeSlow(this.#chunks.length === 0 ? copyBelowBytes : chunkBytes)
    }
    lines.copy(this.#chunk, this.#chunkFilled)
    this.#chunkFilled += lines.length
  }

  #sealChunk(): void {
    if (this.#chunk !== undefined && this.#chunkFilled > 0) this.#chunks.push(this.#chunk.subarray(0, this.#chunkFilled))
    this.#chunk = undefined
    this.#chunkFilled = 0
  }

  /** Writes what was appended before the call. Rejects when it cannot be written; it stays pending then. */
  async flush(): Promise<void> {
    const target = this.#appendedBytes
    while (this.#writtenBytes < target) {
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined
      })
      await this.#writing
    }
  }

  async #writeAll(): Promise<void> {
    this.#sealChunk()
    const records = this.#pendingRecords
    let chunks = this.#chunks
    this.#chunks = []
    try {
      while (chunks.length > 0) {
        const handle = await this.#opened()
        const { now, later } = splitAt(chunks, this.#rotateBytes - this.#size, this.#size === 0)
        if (now.length > 0) {
          const { written, error } = await writeFully(handle, now)
          const kept = error === undefined ? written : await this.#cutBack(handle, now, written)
          this.#size += kept
          this.#writtenBytes += kept
          this.#onWritten(kept, 0)
          chunks = [...dropBytes(now, kept), ...later]
          if (error !== undefined) throw error
        } else chunks = later
        if (chunks.length > 0 && this.#size > 0) await this.#rotate()
      }
      this.#pendingRecords -= records
      if (this.pendingBytes === 0) this.topics.clear()
      this.#onWritten(0, records)
    } catch (error) {
      this.#chunks = [...chunks, ...this.#chunks]
      throw error
    }
  }

  /** Takes back the part of a line that a full disk let through. Returns the bytes that stay. */
  async #cutBack(handle: FileHandle, chunks: readonly Buffer[], written: number): Promise<number> {
    const whole = wholeLineBytes(chunks, written)
    // If it cannot be cut now, it is when the file is opened again.
    if (whole < written) await handle.truncate(this.#size + whole).catch(() => this.close())
    return whole
  }

  async #opened(): Promise<FileHandle> {
    if (this.#mustReopen) await this.close()
    this.#mustReopen = false
    if (this.#handle !== undefined) {
      const { nlink, size } = await this.#handle.stat()
      this.#size = size
      if (nlink > 0) return this.#handle
      // Somebody deleted it: what went on being written there, nobody would ever read.
      await this.close()
    }
    await mkdir(dirname(this.path), { recursive: true, mode: folderMode })
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW
    const handle = await open(this.path, flags, fileMode)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw new Error(`${this.path} is not a plain file`)
      this.#size = await cutTornLine(handle, stat.size)
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#handle = handle
    return handle
  }

  /** `name.ndjson` becomes `name.N.ndjson` with the next free N, so the newest lines are always under the plain name. */
  async #rotate(): Promise<void> {
    await this.close()
    const file = basename(this.path)
    const dot = file.lastIndexOf('.')
    const [stem, suffix] = dot > 0 ? [file.slice(0, dot), file.slice(dot)] : [file, '']
    let last = 0
    for (const name of await readdir(dirname(this.path))) {
      if (!name.startsWith(`${stem}.`) || !name.endsWith(suffix)) continue
      const number = name.slice(stem.length + 1, name.length - suffix.length)
      if (/^\d{1,9}$/.test(number)) last = Math.max(last, Number(number))
    }
    await rename(this.path, join(dirname(this.path), `${stem}.${last + 1}${suffix}`))
    this.#size = 0
  }

  /** The next write opens the path anew. */
  reopen(): void {
    this.#mustReopen = true
  }

  /** Closes the file; the next write opens it again. Only to be called while no write is under way. */
  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }
}

/** Splits whole lines so that `now` fits into `room`; at least one line when the file is empty. */
function splitAt(chunks: readonly Buffer[], room: number, isEmpty: boolean): { now: Buffer[]; later: Buffer[] } {
  const now: Buffer[] = []
  let left = room
  for (const [i, chunk] of chunks.entries()) {
    if (chunk.length <= left) {
      now.push(chunk)
      left -= chunk.length
      continue
    }
    let cut = left > 0 ? chunk.lastIndexOf(lineFeed, left - 1) + 1 : 0
    if (cut === 0 && isEmpty && now.length === 0) cut = chunk.indexOf(lineFeed) + 1
    if (cut > 0) now.push(chunk.subarray(0, cut))
    return { now, later: [...(cut < chunk.length ? [chunk.subarray(cut)] : []), ...chunks.slice(i + 1)] }
  }
  return { now, later: [] }
}

/** Writes until everything is written or an error comes; says how much was. */
async function writeFully(handle: FileHandle, chunks: readonly Buffer[]): Promise<{ written: number; error: unknown }> {
  let written = 0
  let left = [...chunks]
  try {
    while (left.length > 0) {
      const { bytesWritten } = await handle.writev(left)
      written += bytesWritten
      left = dropBytes(left, bytesWritten)
    }
    return { written, error: undefined }
  } catch (error) {
    return { written, error }
  }
}

/** How many of the first `bytes` bytes end with a line. */
function wholeLineBytes(chunks: readonly Buffer[], bytes: number): number {
  let whole = 0
  let start = 0
  for (const chunk of chunks) {
    const end = chunk.subarray(0, bytes - start).lastIndexOf(lineFeed)
    if (end !== -1) whole = start + end + 1
    start += chunk.length
    if (start >= bytes) break
  }
  return whole
}

function dropBytes(chunks: readonly Buffer[], bytes: number): Buffer[] {
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

/** Cuts what follows the last LF. Returns the size that is left. */
async function cutTornLine(handle: FileHandle, size: number): Promise<number> {
  if (size === 0) return 0
  const searchBytes = Math.min(size, tornSearchBytes)
  const tail = Buffer.alloc(searchBytes)
  await handle.read(tail, 0, searchBytes, size - searchBytes)
  if (tail.at(-1) === lineFeed) return size
  const lastLineFeed = tail.lastIndexOf(lineFeed)
  // What ends in more than a record without a line feed is not ours; leave it and start a new line.
  if (lastLineFeed === -1 && size >= tornSearchBytes) {
    await handle.write('\n')
    return size + 1
  }
  const kept = size - searchBytes + lastLineFeed + 1
  await handle.truncate(kept)
  return kept
}

/**
 * One file of lines: appended in large writes, whole lines only, rotated by size. One write is under way at a time.
 *
 * Opened without following links and only if it is a plain file. Before the first byte goes into a file its place is
 * written down; after a restart what comes again is compared with what stands behind that place, and only what is not
 * there yet is written. A torn line that is not ours to continue is cut off.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Fifo } from '../../wire/fifo.ts'
import { recordBytesMax } from '../../wire/limits.ts'
import { crashPoints } from '../spool/crash-points.ts'
import type { FilePlace } from '../spool/spool-bodies.ts'
import { syncFolder } from '../sync-folder.ts'
import { dropBytes, WriteBuffer, writeFully } from '../write-buffer.ts'
import type { Entry, LostRecords } from './sink.ts'
import { Unsynced } from './unsynced.ts'
import type { WrittenTail } from './written-tail.ts'

const lineFeed = 10
/** A torn line is at most a record without its LF; one byte more shows the LF before it. */
const tornSearchBytes = recordBytesMax + 1
const fileMode = 0o640
const folderMode = 0o750

export interface LogFileEvents {
  /** Bytes that waited are in the file. */
  wrote(bytes: number): void
  done(entry: Entry): void
  /** The disk has dropped records that were done. */
  lost(lost: LostRecords): void
  /** False when it could not be written down. */
  note(place: FilePlace): Promise<boolean>
  /** Places written down before this position are forgotten. */
  oldest(): number
}

interface Waiting {
  readonly entry: Entry
  /** Its whole text. */
  readonly text: Buffer
  /** Bytes of it that are not written yet. */
  left: number
}

export class LogFile {
  readonly path: string
  /** When it last took lines; the least recent is closed first. */
  usedAtMs = 0
  /** Written to since the last time somebody asked. */
  hasMoved = false
  readonly #rotateBytes: number
  readonly #events: LogFileEvents
  readonly #buffer = new WriteBuffer()
  readonly #waiting = new Fifo<Waiting>()
  #appendedBytes = 0
  #writtenBytes = 0
  /** Written and not made durable. */
  #unsynced: Unsynced | undefined
  #handle: FileHandle | undefined
  #identity = ''
  #size = 0
  /** Position behind the last entry it was given. */
  #end = 0
  /** What an earlier run may have written already. */
  #tail: WrittenTail | undefined
  #notedIdentity = ''
  #notedAt = -1
  #writing: Promise<void> | undefined
  #mustReopen = false

  constructor(path: string, rotateBytes: number, events: LogFileEvents, tail?: WrittenTail) {
    this.path = path
    this.#rotateBytes = rotateBytes
    this.#events = events
    this.#tail = tail
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
    return !this.isWriting && this.pendingBytes === 0 && this.#tail === undefined && this.#unsynced === undefined
  }

  /** Position of the first entry it has not written; infinite when it has written all. */
  get lowest(): number {
    return this.#waiting.peek()?.entry.position ?? Number.POSITIVE_INFINITY
  }

  /** When the first entry it has not written was received, Unix ms; infinite when it has written all. */
  get oldestAtMs(): number {
    return this.#waiting.peek()?.entry.receivedAtMs ?? Number.POSITIVE_INFINITY
  }

  /** What it has not written, and how many lines of each. */
  *unwritten(): Iterable<{ readonly entry: Entry; readonly records: number }> {
    for (const { entry, text, left } of this.#waiting) yield { entry, records: linesIn(text, left) }
  }

  /**
   * Takes the text of an entry from its `skip`-th byte on.
   *
   * @param text - Always the same for the same entry. @defaultValue its lines
   */
  append(entry: Entry, skip = 0, text: Buffer = entry.lines): void {
    const lines = skip === 0 ? text : text.subarray(skip)
    this.#end = entry.end
    this.#appendedBytes += lines.length
    this.#waiting.push({ entry, text, left: lines.length })
    this.#buffer.push(lines)
  }

  /** Where it stands; undefined before it has been opened. */
  get place(): FilePlace | undefined {
    const { identity, size } = this.#tail ?? { identity: this.#identity, size: this.#size }
    if (identity === '') return undefined
    const first = this.#waiting.peek()
    return {
      path: this.path,
      identity,
      size,
      position: first?.entry.position ?? this.#end,
      skip: first === undefined ? 0 : first.text.length - first.left,
    }
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
    const waiting = [...this.#waiting]
    let chunks = this.#buffer.take()
    try {
      if (this.#tail !== undefined) chunks = dropBytes(chunks, await this.#passWritten(waiting))
      while (chunks.length > 0) {
        const handle = await this.#opened()
        const { now, later } = splitAt(chunks, this.#rotateBytes - this.#size, this.#size === 0)
        if (now.length > 0) {
          const { written, error } = await writeFully(handle, now)
          const kept = error === undefined ? written : await this.#cutBack(handle, now, written)
          this.#wrote(this.#size, now, kept)
          this.#size += kept
          this.#settle(kept)
          chunks = [...dropBytes(now, kept), ...later]
          if (error !== undefined) throw error
        } else chunks = later
        if (chunks.length > 0 && this.#size > 0) await this.#rotate()
      }
    } catch (error) {
      this.#buffer.putBack(chunks)
      throw error
    }
  }

  #wrote(from: number, pieces: readonly Buffer[], bytes: number): void {
    this.hasMoved = true
    this.#unsynced ??= new Unsynced()
    this.#unsynced.wrote(from, pieces, bytes)
  }

  /** Bytes are where they belong. */
  #settle(bytes: number): void {
    this.#writtenBytes += bytes
    let left = bytes
    for (let first = this.#waiting.peek(); first !== undefined && first.left <= left; first = this.#waiting.peek()) {
      left -= first.left
      first.left = 0
      this.#waiting.shift()
      this.#unsynced ??= new Unsynced()
      this.#unsynced.done(first.entry)
      this.#events.done(first.entry)
    }
    const first = this.#waiting.peek()
    if (first !== undefined) first.left -= left
    this.#events.wrote(bytes)
  }

  /** Passes over what an earlier run wrote before it was killed. Returns its bytes. */
  async #passWritten(waiting: readonly Waiting[]): Promise<number> {
    let passed = 0
    for (const { text, left } of waiting) {
      if (this.#tail === undefined) break
      const lines = text.subarray(text.length - left)
      const { written, isEnd, isTorn } = await this.#tail.pass(lines)
      passed += written
      if (written > 0) this.#wrote(this.#tail.size - written, [lines], written)
      if (!isEnd) continue
      this.#identity = this.#tail.identity
      this.#size = this.#tail.size
      this.#tail = undefined
      // What stands there is not ours to continue.
      if (isTorn) await this.close()
      break
    }
    if (passed > 0) this.#settle(passed)
    return passed
  }

  /** Takes back the part of a line that a full disk let through. Returns the bytes that stay. */
  async #cutBack(handle: FileHandle, chunks: readonly Buffer[], written: number): Promise<number> {
    const whole = wholeLineBytes(chunks, written)
    // If it cannot be cut now, it is when the file is opened again.
    if (whole < written) await handle.truncate(this.#size + whole).catch(() => this.close())
    return whole
  }

  async #opened(): Promise<FileHandle> {
    if (this.#mustReopen) {
      // Where it has been moved to nobody will find it again.
      await this.sync()
      await this.close()
      this.#mustReopen = false
    }
    if (this.#handle !== undefined) {
      const { nlink, size } = await this.#handle.stat()
      this.#size = size
      if (nlink > 0) {
        await this.#note()
        return this.#handle
      }
      // Somebody deleted it: what went on being written there, nobody would ever read.
      this.#unsynced = undefined
      await this.close()
    }
    await mkdir(dirname(this.path), { recursive: true, mode: folderMode })
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW
    const handle = await open(this.path, flags, fileMode)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw new Error(`${this.path} is not a plain file`)
      this.#identity = identityOf(stat)
      this.#size = this.#waitsInMidLine ? stat.size : await cutTornLine(handle, stat.size)
      // What is noted of it would outlive a power cut; then so must it, or it would look as if somebody had taken it away.
      if (stat.size === 0) await syncFolder(dirname(this.path))
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#handle = handle
    await this.#note()
    return handle
  }

  /** What comes next continues a line that stands there. */
  get #waitsInMidLine(): boolean {
    const first = this.#waiting.peek()
    const at = first === undefined ? 0 : first.text.length - first.left
    return at > 0 && first?.text[at - 1] !== lineFeed
  }

  async #note(): Promise<void> {
    if (this.#notedIdentity === this.#identity && this.#notedAt >= this.#events.oldest()) return
    const { place } = this
    if (place === undefined) return
    if (!(await this.#events.note(place))) return
    this.#notedIdentity = place.identity
    this.#notedAt = place.position
  }

  /** `name.ndjson` becomes `name.N.ndjson` with the next free N, so the newest lines are always under the plain name. */
  async #rotate(): Promise<void> {
    await this.sync()
    await this.close()
    const { stem, suffix } = nameParts(this.path)
    let last = 0
    for (const name of await readdir(dirname(this.path))) last = Math.max(last, rotationOf(name, { stem, suffix }) ?? 0)
    await rename(this.path, join(dirname(this.path), `${stem}.${last + 1}${suffix}`))
    crashPoints.reached('in-rotation')
    this.#size = 0
  }

  /** The next write opens the path anew. */
  reopen(): void {
    this.#mustReopen = true
  }

  /** Makes durable what was written before the call. Rejects when it is not; the next call writes it again then. */
  async sync(): Promise<void> {
    const unsynced = this.#unsynced
    if (unsynced === undefined) return
    this.#unsynced = undefined
    try {
      if (unsynced.isSuspect && !(await this.#rewrite(unsynced))) for (const lost of unsynced.giveUp()) this.#events.lost(lost)
      if (this.#handle !== undefined) return await this.#handle.datasync()
      const handle = await open(this.path, constants.O_RDONLY | constants.O_NOFOLLOW)
      await handle.datasync().finally(() => handle.close())
    } catch (error) {
      // Moved away or deleted: it is out of reach, and not ours any more.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      unsynced.isSuspect = true
      unsynced.follow(this.#unsynced)
      this.#unsynced = unsynced
      throw error
    }
  }

  /** False when what was written cannot be read, or not in this file. */
  async #rewrite(unsynced: Unsynced): Promise<boolean> {
    const identity = this.#identity
    try {
      return await unsynced.rewrite(this.path, async (handle) => identityOf(await handle.stat()) === identity)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  /** Closes the file; the next write opens it again. Only to be called while no write is under way. */
  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }
}

/** Lines in the last `bytes` bytes of a text. */
function linesIn(text: Buffer, bytes: number): number {
  let records = 0
  for (let at = text.length - bytes; at < text.length; records += 1) at = text.indexOf(lineFeed, at) + 1
  return records
}

export function identityOf(stat: { readonly dev: number; readonly ino: number }): string {
  return `${stat.dev}:${stat.ino}`
}

export interface NameParts {
  readonly stem: string
  readonly suffix: string
}

export function nameParts(path: string): NameParts {
  const file = basename(path)
  const dot = file.lastIndexOf('.')
  return dot > 0 ? { stem: file.slice(0, dot), suffix: file.slice(dot) } : { stem: file, suffix: '' }
}

/** The N of `name.N.ndjson`. */
export function rotationOf(name: string, { stem, suffix }: NameParts): number | undefined {
  if (!name.startsWith(`${stem}.`) || !name.endsWith(suffix)) return undefined
  const number = name.slice(stem.length + 1, name.length - suffix.length)
  return /^\d{1,9}$/.test(number) ? Number(number) : undefined
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

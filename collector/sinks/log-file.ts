/**
 * One file of lines: appended in large writes, whole lines only, rotated by size and time. One write is under way at a
 * time.
 *
 * Opened without following links and only if it is a plain file. Before the first byte goes into a file its place is
 * written down; after a restart what comes again is compared with what stands behind that place, and only what is not
 * there yet is written. A torn line that is not ours to continue is cut off.
 *
 * Rotated, it has a number and is written to no more. That is written down too: from then on nothing is compared with
 * it, and once the disk has that and {@link LogFile.release} has said so it may be compressed and removed.
 */
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fifo } from '../../wire/fifo.ts'
import { recordBytesMax } from '../../wire/limits.ts'
import { crashPoints } from '../spool/crash-points.ts'
import type { FilePlace } from '../spool/spool-bodies.ts'
import { syncFolder } from '../sync-folder.ts'
import { dropBytes, WriteBuffer, writeFully } from '../write-buffer.ts'
import type { ClosingFile } from './closing-files.ts'
import { nameParts, rotatedName, rotationOf } from './rotated-name.ts'
import { checkOwner, makeFolder } from './safe-folder.ts'
import type { Entry, LostRecords } from './sink.ts'
import { identityOf, syncWritten, Unsynced } from './unsynced.ts'
import type { WrittenTail } from './written-tail.ts'

const lineFeed = 10
/** A torn line is at most a record without its LF; one byte more shows the LF before it. */
const tornSearchBytes = recordBytesMax + 1
const fileMode = 0o640

export interface LogFileOptions {
  /** Absolute. */
  readonly path: string
  /** Folders are made, and checked, below it. @defaultValue the file's own folder */
  readonly root?: string | undefined
  readonly rotateBytes: number
  /** Beginning of the period of a moment, both Unix ms; the file is rotated when lines of a later one come. @defaultValue time does not matter */
  readonly startOf?: ((ms: number) => number) | undefined
  /** What an earlier run wrote down of it. */
  readonly resume?: Resume | undefined
}

/** Where a file goes on after a restart. */
export interface Resume {
  readonly position: number
  readonly skip: number
  /** What may have been written behind that. */
  readonly tail: WrittenTail | undefined
}

export interface LogFileEvents {
  /** Bytes that waited are in the file. */
  wrote(bytes: number): void
  done(entry: Entry): void
  /** The disk has dropped records that were done. */
  lost(lost: LostRecords): void
  /** False when it could not be written down. */
  note(...places: readonly FilePlace[]): Promise<boolean>
  /** Places written down before this position are forgotten. */
  oldest(): number
  /** Position behind everything that was written down. */
  newest(): number
  /** There is a file under the path, and it is open. */
  opened(): Promise<void>
  /** It has been given a number: takes it over, to sync and close it. */
  closing(file: ClosingFile): Promise<void>
  /** It has been given a number. */
  rotated(): void
}

interface Waiting {
  readonly entry: Entry
  /** Its whole text. */
  readonly text: Buffer
  /** Bytes of it that are not written yet. */
  left: number
}

/** Bytes from here on are of another period. */
interface Turn {
  readonly at: number
  readonly startsAtMs: number
}

export class LogFile {
  readonly path: string
  /** When it last took lines; the least recent is closed first. */
  usedAtMs = 0
  /** Written to since the last time somebody asked. */
  hasMoved = false
  readonly #root: string
  readonly #rotateBytes: number
  readonly #startOf: (ms: number) => number
  readonly #events: LogFileEvents
  readonly #buffer = new WriteBuffer()
  readonly #waiting = new Fifo<Waiting>()
  readonly #turns = new Fifo<Turn>()
  /** Period of what was appended last, … */
  #appendedStartMs = Number.NEGATIVE_INFINITY
  /** … of what is written next, … */
  #nextStartMs = Number.NEGATIVE_INFINITY
  /** … and of what is in the file; undefined while that is not known. */
  #fileStartMs: number | undefined
  #appendedBytes = 0
  #writtenBytes = 0
  /** Written and not made durable. */
  #unsynced: Unsynced | undefined
  #handle: FileHandle | undefined
  #identity = ''
  #size = 0
  /** Position behind the last entry it was given, and bytes of the next one that an earlier run wrote. */
  #end = 0
  #skip = 0
  /** What an earlier run may have written already. */
  #tail: WrittenTail | undefined
  #notedIdentity = ''
  #notedAt = -1
  /** Highest number it has given to a file, that which is written down, and where. */
  #lastNumber = 0
  #sealedNumber = 0
  #sealedAt = -1
  #releasedNumber = 0
  #writing: Promise<void> | undefined
  #mustReopen = false

  constructor({ path, root, rotateBytes, startOf, resume }: LogFileOptions, events: LogFileEvents) {
    this.path = path
    this.#root = root ?? dirname(path)
    this.#rotateBytes = rotateBytes
    this.#startOf = startOf ?? (() => Number.NEGATIVE_INFINITY)
    this.#events = events
    this.#tail = resume?.tail
    this.#end = resume?.position ?? 0
    this.#skip = resume?.skip ?? 0
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
    const isQuiet = !this.isWriting && this.pendingBytes === 0 && this.#tail === undefined && this.#unsynced === undefined
    // Who else knows that nothing is compared with what it has rotated?
    return isQuiet && this.#releasedNumber >= this.#lastNumber
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
   * @param startsAtMs - Beginning of their period.
   */
  append(entry: Entry, skip = 0, text: Buffer = entry.lines, startsAtMs: number = this.#appendedStartMs): void {
    const lines = skip === 0 ? text : text.subarray(skip)
    if (startsAtMs !== this.#appendedStartMs) this.#turns.push({ at: this.#appendedBytes, startsAtMs })
    this.#appendedStartMs = startsAtMs
    this.#end = entry.end
    this.#skip = 0
    this.#appendedBytes += lines.length
    this.#waiting.push({ entry, text, left: lines.length })
    this.#buffer.push(lines)
  }

  /** Where it stands; undefined before it has been opened. */
  get place(): FilePlace | undefined {
    const { identity, size } = this.#tail ?? { identity: this.#identity, size: this.#size }
    return identity === '' ? undefined : { path: this.path, identity, size, ...this.#done }
  }

  /** Everything up to here is written. */
  get #done(): Pick<FilePlace, 'position' | 'skip'> {
    const first = this.#waiting.peek()
    if (first === undefined) return { position: this.#end, skip: this.#skip }
    return { position: first.entry.position, skip: first.text.length - first.left }
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
        const roomBytes = this.#takeTurns()
        if (this.#size > 0 && (this.#fileStartMs ?? Number.POSITIVE_INFINITY) < this.#nextStartMs) {
          await this.#rotate()
          continue
        }
        if (this.#size === 0) this.#fileStartMs = this.#nextStartMs
        const { now, later } = splitAt(chunks, Math.min(this.#rotateBytes - this.#size, roomBytes), this.#size === 0)
        if (now.length > 0) {
          const { written, error } = await writeFully(handle, now)
          const kept = error === undefined ? written : await this.#cutBack(handle, now, written)
          this.#wrote(this.#size, now, kept)
          this.#size += kept
          this.#settle(kept)
          chunks = [...dropBytes(now, kept), ...later]
          if (error !== undefined) throw error
        } else chunks = later
        if (chunks.length > 0 && this.#size > 0 && !this.#isAtTurn) await this.#rotate()
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

  get #isAtTurn(): boolean {
    return this.#turns.peek()?.at === this.#writtenBytes
  }

  /** Notes the period of what is written next. Returns the bytes up to the next period. */
  #takeTurns(): number {
    for (let turn = this.#turns.peek(); turn !== undefined && turn.at <= this.#writtenBytes; turn = this.#turns.peek()) {
      this.#nextStartMs = turn.startsAtMs
      this.#turns.shift()
    }
    return (this.#turns.peek()?.at ?? Number.POSITIVE_INFINITY) - this.#writtenBytes
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
      // Somebody cut it: what was noted of it is true no more.
      if (size < this.#size) this.#notedIdentity = ''
      this.#size = size
      if (nlink > 0) {
        await this.#note()
        return this.#handle
      }
      // Somebody deleted it: what went on being written there, nobody would ever read.
      this.#unsynced = undefined
      await this.close()
    }
    await makeFolder(this.#root, dirname(this.path))
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW
    const handle = await open(this.path, flags, fileMode)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw new Error(`${this.path} is not a plain file`)
      await checkOwner(this.path, stat.uid)
      this.#identity = identityOf(stat)
      this.#fileStartMs ??= this.#waitsInMidLine ? undefined : this.#startOf(stat.mtimeMs)
      this.#size = this.#waitsInMidLine ? stat.size : await cutTornLine(handle, stat.size)
      // What is noted of it would outlive a power cut; then so must it, or it would look as if somebody had taken it away.
      if (stat.size === 0) await syncFolder(dirname(this.path))
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#handle = handle
    await this.#note()
    await this.#events.opened()
    return handle
  }

  /** What comes next continues a line that stands there. */
  get #waitsInMidLine(): boolean {
    const first = this.#waiting.peek()
    const at = first === undefined ? 0 : first.text.length - first.left
    return at > 0 && first?.text[at - 1] !== lineFeed
  }

  async #note(): Promise<void> {
    const isSealed = this.#sealedNumber >= this.#lastNumber
    if (isSealed && this.#notedIdentity === this.#identity && this.#notedAt >= this.#events.oldest()) return
    const { place } = this
    if (place === undefined) return
    if (!(await (isSealed ? this.#events.note(place) : this.#seal(this.#lastNumber)))) return
    this.#notedIdentity = place.identity
    this.#notedAt = place.position
  }

  /** `name.ndjson` becomes `name.N.ndjson` with the next free N, so the newest lines are always under the plain name. */
  async #rotate(): Promise<void> {
    // Closed for another one meanwhile, perhaps.
    if (this.#handle === undefined) await this.sync()
    const identity = this.#identity
    const found = await lstat(this.path).catch(() => undefined)
    this.#fileStartMs = undefined
    // Moved away by somebody, who may have put another file there: that is not the one to be rotated.
    if (found === undefined || identityOf(found) !== identity) {
      await this.sync()
      await this.close()
      this.#size = 0
      return
    }
    const folder = dirname(this.path)
    const parts = nameParts(this.path)
    let last = Math.max(this.#lastNumber, this.#sealedNumber)
    for (const name of await readdir(folder)) last = Math.max(last, rotationOf(name, parts) ?? 0)
    const path = join(folder, rotatedName(parts, last + 1))
    await rename(this.path, path)
    crashPoints.reached('in-rotation')
    const [handle, unsynced] = [this.#handle, this.#unsynced]
    this.#lastNumber = last + 1
    this.#identity = ''
    this.#size = 0
    this.#handle = undefined
    this.#unsynced = undefined
    this.#events.rotated()
    // It gets to the disk while the next one is written to.
    if (handle !== undefined) await this.#events.closing({ plain: this.path, path, identity, handle, unsynced })
  }

  /** Writes down that nothing has to be compared with the files up to a number, and where the next one is. False when it could not be. */
  async #seal(number: number): Promise<boolean> {
    const { place } = this
    const sealedAt = this.#events.newest()
    const seal = { path: this.path, identity: sealIdentity(number), size: 0, ...this.#done }
    if (!(await this.#events.note(...(place === undefined ? [seal] : [seal, place])))) return false
    crashPoints.reached('after-seal')
    this.#sealedAt = sealedAt
    this.#sealedNumber = number
    return true
  }

  /**
   * Gives the file a number although there is nothing to write, if it is there and nothing of it waits. Only what an
   * earlier run left is not enough: what it wrote must have come again.
   */
  putAway(isAllBack: boolean): Promise<void> {
    return this.#alone(async () => {
      if (this.pendingBytes > 0 || (this.#tail !== undefined && !isAllBack)) return
      this.#tail = undefined
      const found = await lstat(this.path).catch(() => undefined)
      if (found?.isFile() !== true || found.size === 0) return
      this.#identity = identityOf(found)
      await this.#rotate()
      if (this.#end > 0) await this.#seal(this.#lastNumber)
    })
  }

  /** Whether files up to a number may be compressed and removed, once the disk has everything that was written down. */
  async release(number: number, isAllBack: boolean): Promise<boolean> {
    let isReleased = false
    await this.#alone(async () => {
      if (this.#tail !== undefined && !isAllBack) return
      if (this.#end > 0 && (this.#sealedNumber < number || this.#sealedAt < this.#events.oldest())) {
        isReleased = await this.#seal(Math.max(number, this.#lastNumber))
      } else isReleased = true
    })
    return isReleased
  }

  /** The disk has what was written down of the files up to a number. */
  released(number: number): void {
    this.#releasedNumber = Math.max(this.#releasedNumber, number)
  }

  /** Does something while no write is under way, and none begins. */
  async #alone(work: () => Promise<void>): Promise<void> {
    while (this.#writing !== undefined) await this.#writing.catch(() => undefined)
    const done = work()
    this.#writing = done
      .catch(() => undefined)
      .finally(() => {
        this.#writing = undefined
      })
    await done
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
    const file = { path: this.path, identity: this.#identity, handle: this.#handle }
    try {
      await syncWritten(unsynced, file, (lost) => this.#events.lost(lost))
    } catch (error) {
      // Moved away or deleted: it is out of reach, and not ours any more.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      unsynced.follow(this.#unsynced)
      this.#unsynced = unsynced
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

/** Stands in a place for the identity of a file that is written to no more, the one with this number, and all before it. */
function sealIdentity(number: number): string {
  return `.${number}`
}

/** The number in such a place; undefined in every other. */
export function sealNumber({ identity }: FilePlace): number | undefined {
  return identity.startsWith('.') ? Number(identity.slice(1)) : undefined
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

/** Keeps lines in plain files, byte for byte, and points as lines of JSON. Many services at once; a bounded number of open files. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openFilesMax, sinkFlushMs, sinkPendingBytesMax, sinkWriteBytes } from '../../wire/limits.ts'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import type { FilePlace, SinkPlace } from '../spool/spool-bodies.ts'
import { identityOf, LogFile, nameParts, rotationOf } from './log-file.ts'
import type { LogPath } from './log-path.ts'
import { entryText } from './points-lines.ts'
import { type Entry, type KeepingSink, type KeepingSinkEvents, type LostRecords, noEvents, type SinkStatus } from './sink.ts'
import { WrittenTail } from './written-tail.ts'

const retryFirstMs = 100
const retryMaxMs = 5_000
/** A timer may come a little before its time by the other clock. */
const timerEarlyMs = 2
/** Files written at the same time. Node's pool has four threads; a disk that hangs must leave some to the spool. */
const writersMax = 2
/** What one file that cannot be written may hold back, so that it does not use up what the others need. */
const failingPendingBytesMax = sinkPendingBytesMax / 8

export interface FileSinkOptions {
  readonly name: string
  readonly topics: readonly string[]
  readonly patterns: CompiledPatterns
  readonly takesOnDemand?: boolean | undefined
  readonly path: LogPath
  readonly rotateBytes: number
  /** Told once when writing begins to fail and once when all of it works again. */
  readonly onTrouble: (message: string) => void
}

interface Failure {
  readonly message: string
  readonly delayMs: number
  readonly retryAtMs: number
}

/** Where a file goes on after a restart. */
interface Resume {
  readonly position: number
  readonly skip: number
  readonly tail: WrittenTail | undefined
}

export class FileSink implements KeepingSink {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly takesOnDemand?: boolean | undefined
  events: KeepingSinkEvents = noEvents
  readonly #options: FileSinkOptions
  readonly #files = new Map<string, LogFile>()
  readonly #dirty = new Set<LogFile>()
  readonly #failing = new Map<LogFile, Failure>()
  /** Files that hold as much as they may and cannot be written, and the first position they were not given. */
  readonly #missed = new Map<LogFile, number>()
  readonly #stuckAgain = new Set<LogFile>()
  /** Files an earlier run wrote to and this one has not opened yet. */
  readonly #resumes = new Map<string, Resume>()
  /** Flushes that wait for their turn; whatever is appended before it comes is written with it. */
  readonly #queued = new Map<LogFile, Promise<boolean>>()
  readonly #turns: (() => void)[] = []
  #writers = 0
  #pendingBytes = 0
  #written = 0
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<void> | undefined
  #syncError: string | undefined
  #isClosing = false

  constructor(options: FileSinkOptions) {
    this.name = options.name
    this.patterns = options.patterns
    this.takesOnDemand = options.takesOnDemand
    this.#options = options
  }

  get isFull(): boolean {
    return this.#pendingBytes >= sinkPendingBytesMax
  }

  isFullFor(topic: Topic): boolean {
    if (this.isFull) return true
    if (this.#failing.size === 0) return false
    const file = this.#files.get(this.#options.path.of(topic, Date.now()))
    return file !== undefined && this.#cannotTake(file)
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** What waits to be written, less what cannot be: one bad file would slow down every other for as long as it is bad. */
  get movingBytes(): number {
    let bytes = this.#pendingBytes
    for (const file of this.#failing.keys()) bytes -= file.pendingBytes
    return bytes
  }

  get oldestAtMs(): number {
    let oldest = Number.POSITIVE_INFINITY
    // A file that has missed something holds what came before that.
    for (const file of this.#dirty) oldest = Math.min(oldest, file.oldestAtMs)
    return oldest
  }

  get lowest(): number {
    let lowest = Number.POSITIVE_INFINITY
    for (const file of this.#dirty) lowest = Math.min(lowest, file.lowest)
    for (const position of this.#missed.values()) lowest = Math.min(lowest, position)
    return lowest
  }

  *unwritten(): ReturnType<KeepingSink['unwritten']> {
    for (const file of this.#dirty) yield* file.unwritten()
  }

  write(entry: Entry): boolean {
    const file = this.#file(this.#options.path.of(entry.topic, entry.receivedAtMs))
    // What is nowhere else is held, however much that is: the collector takes no more of it.
    const isTaken = !entry.isSpooled || !(this.#missed.has(file) || this.#cannotTake(file))
    if (isTaken) this.#append(file, entry)
    else if (!this.#missed.has(file)) this.#missed.set(file, entry.position)
    return isTaken
  }

  #cannotTake(file: LogFile): boolean {
    return this.#failing.has(file) && file.pendingBytes >= failingPendingBytesMax
  }

  #append(file: LogFile, entry: Entry): void {
    const resume = this.#resumes.get(file.path)
    let skip = 0
    if (resume !== undefined) {
      // What stands before its place is in the file.
      if (entry.position < resume.position) return this.events.done(entry)
      if (entry.position === resume.position) skip = resume.skip
      this.#resumes.delete(file.path)
    }
    const text = entryText(entry)
    file.append(entry, skip, text)
    file.usedAtMs = performance.now()
    this.#pendingBytes += text.length - skip
    this.#dirty.add(file)
    if (file.pendingBytes >= sinkWriteBytes && !file.isWriting && !this.#failing.has(file)) void this.#flushFile(file)
    else this.#timer ??= setTimeout(() => this.#flushDirty(), sinkFlushMs)
  }

  #file(path: string): LogFile {
    let file = this.#files.get(path)
    if (file === undefined) {
      const events = {
        wrote: (bytes: number) => {
          this.#pendingBytes -= bytes
        },
        done: (entry: Entry) => {
          this.#written += entry.count
          this.events.done(entry)
        },
        lost: (lost: LostRecords) => {
          this.#options.onTrouble(
            `sink ${this.name}: ${path}: the disk has dropped ${lost.records} records of ${lost.topic}; they count as rejected`,
          )
          this.events.lost(lost)
        },
        note: (place: FilePlace) => this.events.note([place]),
        oldest: () => this.events.oldest(),
      }
      file = new LogFile(path, this.#options.rotateBytes, events, this.#resumes.get(path)?.tail)
      this.#files.set(path, file)
    }
    return file
  }

  // ── what a stuck file has missed ──

  get missedFrom(): number | undefined {
    let from: number | undefined
    for (const [file, position] of this.#missed) if (!this.#cannotTake(file) && (from === undefined || position < from)) from = position
    return from
  }

  beginMissed(): void {
    this.#stuckAgain.clear()
  }

  writeMissed(entry: Entry): boolean {
    const file = this.#file(this.#options.path.of(entry.topic, entry.receivedAtMs))
    const from = this.#missed.get(file)
    if (from === undefined || entry.position < from || this.#stuckAgain.has(file)) return false
    if (this.#cannotTake(file)) {
      // What follows must wait for this.
      this.#stuckAgain.add(file)
      return false
    }
    this.#append(file, entry)
    this.#missed.set(file, entry.end)
    return true
  }

  caughtUp(position: number): void {
    for (const [file, from] of this.#missed) if (!this.#stuckAgain.has(file) && from <= position) this.#missed.delete(file)
  }

  hasMissed(entry: Pick<Entry, 'position' | 'topic' | 'receivedAtMs'>): boolean {
    if (this.#missed.size === 0) return false
    const file = this.#files.get(this.#options.path.of(entry.topic, entry.receivedAtMs))
    return file !== undefined && entry.position >= (this.#missed.get(file) ?? Number.POSITIVE_INFINITY)
  }

  forgetBefore(end: number): void {
    for (const [file, from] of this.#missed) if (from < end) this.#missed.set(file, end)
  }

  // ── writing ──

  #flushDirty(): void {
    this.#timer = undefined
    for (const file of this.#dirty) void this.#flushFile(file)
  }

  /** Writes one file when its turn comes; true when that went well. Never rejects: trouble is told, and what is pending stays. */
  #flushFile(file: LogFile): Promise<boolean> {
    let flushed = this.#queued.get(file)
    if (flushed === undefined) {
      flushed = this.#flushInTurn(file)
      this.#queued.set(file, flushed)
    }
    return flushed
  }

  async #flushInTurn(file: LogFile): Promise<boolean> {
    if (this.#writers >= writersMax) await new Promise<void>((resolve) => this.#turns.push(resolve))
    else {
      this.#writers += 1
      // So that the caller has put this flush among the queued ones.
      await undefined
    }
    this.#queued.delete(file)
    try {
      return await this.#tryFlush(file)
    } finally {
      const next = this.#turns.shift()
      if (next === undefined) this.#writers -= 1
      else next()
    }
  }

  async #tryFlush(file: LogFile): Promise<boolean> {
    const failure = this.#failing.get(file)
    if (failure !== undefined && performance.now() < failure.retryAtMs && !this.#isClosing) return false
    try {
      if (!file.isOpen) await this.#makeRoom()
      await file.flush()
    } catch (error) {
      this.#failed(file, error instanceof Error ? error.message : String(error), failure)
      return false
    }
    if (this.#failing.delete(file) && this.#failing.size === 0) this.#options.onTrouble(`sink ${this.name}: writing again`)
    if (file.pendingBytes === 0) this.#dirty.delete(file)
    this.events.moved()
    return true
  }

  #failed(file: LogFile, message: string, before: Failure | undefined): void {
    if (this.#failing.size === 0) {
      this.#options.onTrouble(`sink ${this.name}: ${message}; it keeps trying, the spool holds what it cannot take`)
    }
    const delayMs = before === undefined ? retryFirstMs : Math.min(2 * before.delayMs, retryMaxMs)
    this.#failing.set(file, { message, delayMs, retryAtMs: performance.now() + delayMs })
    const retry = () => {
      if (!this.#isClosing) void this.#flushFile(file)
    }
    if (!this.#isClosing) setTimeout(retry, delayMs + timerEarlyMs).unref()
    this.events.moved()
  }

  /** Closes the files that took lines least recently, so that with one more per writer, and its folder, no more than allowed are open. */
  async #makeRoom(): Promise<void> {
    const open = [...this.#files.values()].filter((file) => file.isOpen)
    const surplus = open.length - (openFilesMax - 2 * writersMax)
    if (surplus <= 0) return
    open.sort((a, b) => a.usedAtMs - b.usedAtMs)
    for (const file of open.filter(({ isWriting }) => !isWriting).slice(0, surplus)) {
      if (file.isWriting) continue
      if (file.isIdle && !file.hasMoved && this.#files.get(file.path) === file) this.#files.delete(file.path)
      await file.close()
    }
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#dirty].map((file) => this.#flushFile(file)))
  }

  // ── places ──

  takeMoved(): SinkPlace['files'] {
    const places: FilePlace[] = []
    for (const file of this.#files.values()) {
      if (!file.hasMoved) continue
      file.hasMoved = false
      if (file.place !== undefined) places.push(file.place)
    }
    return places
  }

  /** On a disk that hangs, one call is all that hangs. */
  sync(): Promise<void> {
    this.#syncing ??= this.#syncAll().finally(() => {
      this.#syncing = undefined
    })
    return this.#syncing
  }

  async #syncAll(): Promise<void> {
    let failure: unknown
    for (const file of this.#files.values()) await file.sync().catch((error: unknown) => (failure ??= error))
    const message = failure instanceof Error ? failure.message : undefined
    if (message !== undefined && this.#syncError === undefined) {
      this.#options.onTrouble(`sink ${this.name}: ${message}; what is not on the disk stays in the spool and is written again`)
    }
    this.#syncError = message
    if (failure !== undefined) throw failure
  }

  async restore(places: readonly SinkPlace[], oldest: number): Promise<number> {
    const last = places.at(-1)
    let start = last?.position ?? oldest
    const byPath = new Map<string, FilePlace[]>()
    for (const { files } of places) {
      for (const file of files) {
        const known = byPath.get(file.path)
        if (known === undefined) byPath.set(file.path, [file])
        else known.push(file)
      }
    }
    for (const [path, known] of byPath) {
      const resume = await resumeOf(path, known)
      this.#resumes.set(path, resume)
      // An older place than the last: what came behind it did not reach the disk.
      if (resume.position < start && resume.position < (known.at(-1)?.position ?? 0)) start = resume.position
    }
    return Math.max(start, oldest)
  }

  reopen(): void {
    for (const file of this.#files.values()) file.reopen()
  }

  status(): SinkStatus {
    const [failure] = this.#failing.values()
    return {
      type: 'file',
      topics: this.#options.topics,
      written: this.#written,
      dropped: 0,
      pendingBytes: this.#pendingBytes,
      error: failure?.message ?? this.#syncError,
      where: this.#options.path.template,
    }
  }

  async close(deadlineMs: number): Promise<void> {
    clearTimeout(this.#timer)
    this.#isClosing = true
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([this.flush(), deadline])
    clearTimeout(timer)
    for (const file of this.#files.values()) if (!file.isWriting) await file.close()
  }
}

/**
 * Finds the file of the newest place that is still true of one. A file that has become shorter, as by a power cut, is
 * completed from the place it reaches, or from the oldest on. One that is gone was taken away by somebody, who has what
 * was written: only what came behind its last place is written.
 */
async function resumeOf(path: string, places: readonly FilePlace[]): Promise<Resume> {
  let isShort = false
  for (const place of places.toReversed()) {
    const found = await findFile(path, place)
    if (found === 'short') isShort = true
    else if (found !== undefined) {
      const tail = new WrittenTail(found.path, place, await filesAfter(found.path, path))
      return { position: place.position, skip: place.skip, tail }
    }
  }
  const place = isShort ? places[0] : places.at(-1)
  return { position: place?.position ?? 0, skip: place?.skip ?? 0, tail: undefined }
}

/** Rotations with higher numbers than a file's, in order, and the plain one. */
async function filesAfter(file: string, path: string): Promise<string[]> {
  if (file === path) return []
  const numberOf = (name: string) => rotationOf(name, nameParts(path))
  const own = numberOf(basename(file)) ?? 0
  const names = (await readdir(dirname(path))).filter((name) => (numberOf(name) ?? 0) > own)
  names.sort((a, b) => (numberOf(a) ?? 0) - (numberOf(b) ?? 0))
  return [...names.map((name) => join(dirname(path), name)), path]
}

/** Where the file of a place is now: under its name, or under that of one of its rotations. */
async function findFile(path: string, { identity, size }: FilePlace): Promise<{ readonly path: string } | 'short' | undefined> {
  let isShort = false
  const is = async (candidate: string): Promise<'it' | 'long enough' | undefined> => {
    const found = await stat(candidate).catch(() => undefined)
    if (!found?.isFile()) return undefined
    const isIt = identityOf(found) === identity
    if (found.size >= size) return isIt ? 'it' : 'long enough'
    isShort ||= isIt
    return undefined
  }
  const plain = await is(path)
  if (plain === 'it') return { path }
  for (const name of await readdir(dirname(path)).catch(() => [])) {
    if (rotationOf(name, nameParts(path)) === undefined) continue
    const rotated = join(dirname(path), name)
    if ((await is(rotated)) === 'it') return { path: rotated }
  }
  // Copied here from another disk, perhaps: the same lines under another number. What stands there decides.
  if (isShort) return 'short'
  return plain === undefined ? undefined : { path }
}

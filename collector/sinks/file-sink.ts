/** Keeps lines in plain files, byte for byte, and points as lines of JSON. Many services at once; a bounded number of open files. */
import { readdir, readlink, rename, stat, symlink, unlink } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { closingFilesMax, distinctFilesMax, openFilesMax, sinkFlushMs, sinkPendingBytesMax, sinkWriteBytes } from '../../wire/limits.ts'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import type { Keep } from '../config.ts'
import { crashPoints } from '../spool/crash-points.ts'
import type { FilePlace, SinkPlace } from '../spool/spool-bodies.ts'
import { type ClosingFile, ClosingFiles } from './closing-files.ts'
import type { Compression } from './compress-file.ts'
import { Compressor } from './compressor.ts'
import { findFiles, unfinishedSuffix } from './kept-files.ts'
import { LogFile, type Resume, sealNumber } from './log-file.ts'
import type { LogPath, LogPlace } from './log-path.ts'
import { entryText } from './points-lines.ts'
import { nameParts, rotationOf } from './rotated-name.ts'
import { type Entry, type KeepingSink, type KeepingSinkEvents, type LostRecords, noEvents, type SinkStatus } from './sink.ts'
import { identityOf } from './unsynced.ts'
import { Upkeep } from './upkeep.ts'
import { WrittenTail } from './written-tail.ts'

const retryFirstMs = 100
const retryMaxMs = 5_000
/** A timer may come a little before its time by the other clock. */
const timerEarlyMs = 2
/** Files written at the same time. Node's pool has four threads; a disk that hangs must leave some to the spool. */
const writersMax = 2
/** A file that was not written to for this long is let go of, and opened again for the next line. */
const forgetAfterMs = 60_000
/** What one file that cannot be written may hold back, so that it does not use up what the others need. */
const failingPendingBytesMax = sinkPendingBytesMax / 8

export interface FileSinkOptions {
  readonly name: string
  readonly topics: readonly string[]
  readonly patterns: CompiledPatterns
  readonly takesOnDemand?: boolean | undefined
  readonly path: LogPath
  readonly rotateBytes: number
  readonly compress?: Compression | undefined
  readonly keep?: Keep | undefined
  /** Closed with the sink. @defaultValue one of its own */
  readonly compressor?: Compressor | undefined
  /** Told once when writing begins to fail and once when all of it works again, and what was removed. */
  readonly onTrouble: (message: string) => void
}

interface Failure {
  readonly message: string
  readonly delayMs: number
  readonly retryAtMs: number
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
  readonly #upkeep: Upkeep
  readonly #closing = new ClosingFiles((path, lost) => this.#lost(path, lost))
  /** Periods that links are of, by their paths; none goes back to an older file. */
  readonly #links = new Map<string, number>()

  constructor(options: FileSinkOptions) {
    this.name = options.name
    this.patterns = options.patterns
    this.takesOnDemand = options.takesOnDemand
    this.#options = options
    const { name, path, compress, keep, compressor = new Compressor(), onTrouble } = options
    const files = {
      putAway: (plain: string) => this.#known(plain).putAway(this.events.isAllBack()),
      release: (plain: string, number: number) => this.#release(plain, number),
      released: (plain: string, number: number) => this.#files.get(plain)?.released(number),
      keep: () => this.events.keep(),
      forget: () => this.#forget(),
    }
    this.#upkeep = new Upkeep({ name, path, compress, keep, compressor, onTrouble, files })
  }

  get isFull(): boolean {
    return this.#pendingBytes >= sinkPendingBytesMax
  }

  isFullFor(topic: Topic): boolean {
    if (this.isFull) return true
    if (this.#failing.size === 0) return false
    const { path } = this.#options
    // Which host it will be from is not known.
    if (path.usesHost) return [...this.#failing.keys()].some((file) => this.#cannotTake(file))
    const file = this.#files.get(path.of(topic, Date.now()))
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
    const place = this.#placeOf(entry)
    const file = this.#file(place)
    // What is nowhere else is held, however much that is: the collector takes no more of it.
    const isTaken = !entry.isSpooled || !(this.#missed.has(file) || this.#cannotTake(file))
    if (isTaken) this.#append(file, entry, place)
    else if (!this.#missed.has(file)) this.#missed.set(file, entry.position)
    return isTaken
  }

  #cannotTake(file: LogFile): boolean {
    return this.#failing.has(file) && file.pendingBytes >= failingPendingBytesMax
  }

  #placeOf({ topic, receivedAtMs, host }: Pick<Entry, 'topic' | 'receivedAtMs' | 'host'>): LogPlace {
    return this.#options.path.placeOf(topic, receivedAtMs, host)
  }

  #append(file: LogFile, entry: Entry, { startsAtMs }: LogPlace): void {
    const resume = this.#resumes.get(file.path)
    let skip = 0
    if (resume !== undefined) {
      // What stands before its place is in the file.
      if (entry.position < resume.position) return this.events.done(entry)
      if (entry.position === resume.position) skip = resume.skip
      this.#resumes.delete(file.path)
    }
    const text = entryText(entry)
    file.append(entry, skip, text, startsAtMs)
    file.usedAtMs = performance.now()
    this.#pendingBytes += text.length - skip
    this.#dirty.add(file)
    if (file.pendingBytes >= sinkWriteBytes && !file.isWriting && !this.#failing.has(file)) void this.#flushFile(file)
    else this.#timer ??= setTimeout(() => this.#flushDirty(), sinkFlushMs)
  }

  #file({ path, startsAtMs, link }: LogPlace): LogFile {
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
        lost: (lost: LostRecords) => this.#lost(path, lost),
        note: (...places: readonly FilePlace[]) => this.events.note(places),
        oldest: () => this.events.oldest(),
        newest: () => this.events.newest(),
        opened: async () => {
          if (link !== undefined) await this.#lead(link, path, startsAtMs)
        },
        closing: (closing: ClosingFile) => this.#closing.add(closing),
        rotated: () => {
          this.#upkeep.rotated += 1
          this.#upkeep.soon()
        },
      }
      const { path: paths, rotateBytes } = this.#options
      const resume = this.#resumes.get(path)
      file = new LogFile({ path, root: paths.root, rotateBytes, startOf: (ms) => paths.startOf(ms), resume }, events)
      this.#files.set(path, file)
    }
    return file
  }

  #lost(path: string, lost: LostRecords): void {
    this.#options.onTrouble(
      `sink ${this.name}: ${path}: the disk has dropped ${lost.records} records of ${lost.topic}; they count as rejected`,
    )
    this.events.lost(lost)
  }

  /** Leads a link to the newest file. Trouble with it is told and costs no line. */
  async #lead(link: string, path: string, startsAtMs: number): Promise<void> {
    if (startsAtMs < (this.#links.get(link) ?? Number.NEGATIVE_INFINITY)) return
    const target = relative(dirname(link), path)
    try {
      const found = await readlink(link).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined
        throw error.code === 'EINVAL' ? new Error(`${link} is no link, and stays as it is`) : error
      })
      if (found !== target) {
        const draft = `${link}${unfinishedSuffix}`
        await unlink(draft).catch(() => undefined)
        await symlink(target, draft)
        crashPoints.reached('in-link')
        await rename(draft, link)
      }
    } catch (error) {
      const isTold = this.#links.get(link) === startsAtMs
      if (!isTold) this.#options.onTrouble(`sink ${this.name}: ${error instanceof Error ? error.message : String(error)}`)
    }
    // Names come without end; what is forgotten is looked up again.
    if (this.#links.size >= distinctFilesMax) this.#links.clear()
    this.#links.set(link, startsAtMs)
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
    const place = this.#placeOf(entry)
    const file = this.#file(place)
    const from = this.#missed.get(file)
    if (from === undefined || entry.position < from || this.#stuckAgain.has(file)) return false
    if (this.#cannotTake(file)) {
      // What follows must wait for this.
      this.#stuckAgain.add(file)
      return false
    }
    this.#append(file, entry, place)
    this.#missed.set(file, entry.end)
    return true
  }

  caughtUp(position: number): void {
    for (const [file, from] of this.#missed) if (!this.#stuckAgain.has(file) && from <= position) this.#missed.delete(file)
  }

  hasMissed(entry: Pick<Entry, 'position' | 'topic' | 'receivedAtMs' | 'host'>): boolean {
    if (this.#missed.size === 0) return false
    const file = this.#files.get(this.#placeOf(entry).path)
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
    const surplus = open.length - (openFilesMax - 2 * writersMax - closingFilesMax - 1)
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
    await this.#closing.sync().catch((error: unknown) => (failure ??= error))
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
        // What was sealed needs none of what was written down before.
        if (known === undefined || sealNumber(file) !== undefined) byPath.set(file.path, [file])
        else known.push(file)
      }
    }
    for (const [path, known] of byPath) {
      const resume = await resumeOf(path, known)
      this.#resumes.set(path, resume)
      // An older place than the last: what came behind it did not reach the disk.
      if (resume.position < start && resume.position < (known.at(-1)?.position ?? 0)) start = resume.position
    }
    const { path: paths } = this.#options
    for (const path of byPath.keys()) paths.remember(path)
    for (const { plain } of (await findFiles(paths)).files) paths.remember(plain)
    this.#upkeep.start()
    return Math.max(start, oldest)
  }

  // ── files nothing is written to any more ──

  /** A file of which an earlier run, or this one, has written something down. */
  #known(path: string): LogFile {
    return this.#file({ path, startsAtMs: Number.NEGATIVE_INFINITY, link: this.#options.path.linkOf(path) })
  }

  async #release(path: string, number: number): Promise<boolean> {
    // The disk may not have it, and it may have to be written again.
    if (this.#closing.has(path)) return false
    // Of others the spool says nothing.
    if (!this.#files.has(path) && !this.#resumes.has(path)) return true
    const file = this.#known(path)
    return !this.#failing.has(file) && !this.#missed.has(file) && (await file.release(number, this.events.isAllBack()))
  }

  /** Lets go of files that were not written to for a while; there is one for each name and day. */
  async #forget(): Promise<void> {
    const beforeMs = performance.now() - forgetAfterMs
    for (const [path, file] of this.#files) {
      if (file.usedAtMs > beforeMs || this.#dirty.has(file) || this.#failing.has(file) || this.#missed.has(file) || file.hasMoved) continue
      await file.sync()
      if (!file.isIdle || file.hasMoved) continue
      this.#files.delete(path)
      await file.close()
    }
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
      files: this.#upkeep.status(),
    }
  }

  async close(deadlineMs: number): Promise<void> {
    clearTimeout(this.#timer)
    this.#isClosing = true
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([Promise.all([this.flush(), this.#upkeep.close()]), deadline])
    for (const file of this.#files.values()) if (!file.isWriting) await file.close()
    await Promise.race([this.#closing.close(), deadline])
    clearTimeout(timer)
  }
}

/**
 * Finds the file of the newest place that is still true of one. A file that has become shorter, as by a power cut, is
 * completed from the place it reaches, or from the oldest on. One that is gone was taken away by somebody, who has what
 * was written: only what came behind its last place is written.
 */
async function resumeOf(path: string, places: readonly FilePlace[]): Promise<Resume> {
  let isShort = false
  for (const [i, place] of places.toReversed().entries()) {
    const number = sealNumber(place)
    if (number !== undefined) {
      // Of a newer one the file is gone, and with it what was written.
      if (i > 0 && !isShort) break
      const [next = path, ...others] = await rotationsAfter(number, path)
      return { position: place.position, skip: place.skip, tail: new WrittenTail(next, { identity: '', size: 0 }, others) }
    }
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
  return rotationsAfter(rotationOf(basename(file), nameParts(path)) ?? 0, path)
}

async function rotationsAfter(number: number, path: string): Promise<string[]> {
  const numberOf = (name: string) => rotationOf(name, nameParts(path))
  const names = (await readdir(dirname(path)).catch(() => [])).filter((name) => (numberOf(name) ?? 0) > number && !isCompressed(name))
  names.sort((a, b) => (numberOf(a) ?? 0) - (numberOf(b) ?? 0))
  return [...names.map((name) => join(dirname(path), name)), path]
}

function isCompressed(name: string): boolean {
  return /\.(?:gz|zst)(?:\.tmp)?$/.test(name)
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
    if (rotationOf(name, nameParts(path)) === undefined || isCompressed(name)) continue
    const rotated = join(dirname(path), name)
    if ((await is(rotated)) === 'it') return { path: rotated }
  }
  // Copied here from another disk, perhaps: the same lines under another number. What stands there decides.
  if (isShort) return 'short'
  return plain === undefined ? undefined : { path }
}

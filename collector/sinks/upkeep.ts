/**
 * Looks after files nothing is written to any more: gives a number to those of a period that is over, has them
 * compressed, and removes the oldest when there are too many.
 *
 *   2026-05-31.ndjson ─ rotated ─► 2026-05-31.1.ndjson ─ compressed ─► 2026-05-31.1.ndjson.gz ─► removed
 *   written to                     .1.ndjson.gz.tmp, on the disk,
 *                                  then renamed, then the other one deleted
 *
 * A rotated file is touched only after the disk has it that a restart need not compare anything with it; see LogFile.
 * Whatever is broken off is done again: a `.tmp` is deleted, a file that stands there in both forms is compressed again.
 * Whoever has a file open reads it to its end, whatever is renamed or removed here.
 */
import { rename, rmdir, stat, statfs, unlink } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { upkeepEveryMs } from '../../wire/limits.ts'
import { formatBytes, formatCount, formatDuration } from '../../wire/quantity.ts'
import type { Keep } from '../config.ts'
import { crashPoints } from '../spool/crash-points.ts'
import { syncFolder } from '../sync-folder.ts'
import { type Compression, compressedSuffix } from './compress-file.ts'
import type { Compressor } from './compressor.ts'
import { findFiles, type KeptFile, type KeptFiles, unfinishedSuffix } from './kept-files.ts'
import type { LogPath } from './log-path.ts'
import { type Removal, type RetainedFile, removals } from './retention.ts'
import { folderFault } from './safe-folder.ts'
import { type FilesStatus, type RemovalReason, removalReasons } from './sink.ts'

/** After the end of a period its last lines may be on their way to the file. */
const lateMs = 1_000
/** Looking at many files takes a while; at most this share of the time is spent on it. */
const lookingShare = 0.02
/** So long files are compressed before it is looked again which have to go. */
const compressingMs = 5_000
const namesToldMax = 5

export interface UpkeepOptions {
  readonly name: string
  readonly path: LogPath
  readonly compress: Compression | undefined
  readonly keep: Keep | undefined
  readonly compressor: Compressor
  /** One sentence: what was removed, and what is wrong. */
  readonly onTrouble: (message: string) => void
  readonly files: {
    /** Gives a file a number, unless something of it waits to be written. */
    putAway(plain: string): Promise<void>
    /** Whether files up to a number are needed no more, provided that {@link keep} then says so. */
    release(plain: string, number: number): Promise<boolean>
    /** The disk has it that they are not needed. */
    released(plain: string, number: number): void
    /** Makes durable what was written down; false when it could not be. */
    keep(): Promise<boolean>
    /** A good time to let go of files that have not been used. */
    forget(): Promise<void>
  }
}

type SurplusFile = KeptFile & RetainedFile

export class Upkeep {
  rotated = 0
  #compressed = 0
  readonly #removed: Record<RemovalReason, number> = { age: 0, files: 0, bytes: 0, free: 0 }
  #removedBytes = 0
  #count = 0
  #bytes = 0
  #error: string | undefined
  /** What the current pass found wrong. */
  #troubles: string[] = []
  readonly #told = new Set<string>()
  readonly #options: UpkeepOptions
  #timer: NodeJS.Timeout | undefined
  #passing: Promise<void> | undefined
  #isDueAgain = false
  /** What the current pass has spent on looking at files. */
  #lookedMs = 0
  #notBeforeMs = 0
  #isClosed = false

  constructor(options: UpkeepOptions) {
    this.#options = options
  }

  start(): void {
    this.#schedule(upkeepEveryMs)
    this.soon()
  }

  /** There may be something to do. */
  soon(): void {
    if (this.#passing !== undefined) this.#isDueAgain = true
    else this.#schedule(0)
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    const leftMs = this.#notBeforeMs - performance.now()
    this.#timer = setTimeout(
      () => {
        this.#passing ??= this.#pass()
      },
      Math.max(delayMs, leftMs),
    )
    this.#timer.unref()
  }

  async #pass(): Promise<void> {
    this.#isDueAgain = false
    this.#lookedMs = 0
    this.#troubles = []
    try {
      await this.#lookAfter()
    } catch (error) {
      this.#trouble(messageOf(error))
    }
    this.#error = this.#troubles[0]
    for (const message of this.#told) if (!this.#troubles.includes(message)) this.#told.delete(message)
    this.#passing = undefined
    this.#notBeforeMs = performance.now() + this.#lookedMs / lookingShare
    this.#schedule(this.#isDueAgain ? 0 : upkeepEveryMs)
  }

  /** Told once for as long as it goes on. */
  #trouble(message: string): void {
    this.#troubles.push(message)
    if (this.#told.has(message)) return
    this.#told.add(message)
    this.#options.onTrouble(`sink ${this.#options.name}: ${message}`)
  }

  async #lookAfter(): Promise<void> {
    const { path, files, compress, keep } = this.#options
    const fault = await folderFault(path.root)
    if (fault !== undefined) this.#trouble(fault)
    await files.forget()
    let found = await this.#find()
    if (compress === undefined && keep === undefined) return
    for (const unfinished of found.unfinished) await this.#attempt(() => unlink(unfinished))
    const over = compress === undefined ? [] : found.files.filter((file) => this.#isOver(file))
    if (over.length > 0) found = await this.#putAway(over)
    // What is over this bound only because it is not compressed yet may stay.
    const { bytes: _, ...pressing } = keep ?? {}
    if (await this.#removeSurplus(found, pressing)) found = await this.#find()
    if (await this.#compressSome(found)) found = await this.#find()
    await this.#removeSurplus(found, keep ?? {})
  }

  async #putAway(files: readonly KeptFile[]): Promise<KeptFiles> {
    for (const { plain } of files) await this.#attempt(() => this.#options.files.putAway(plain))
    return this.#find()
  }

  async #find(): Promise<KeptFiles> {
    const startedAtMs = performance.now()
    const found = await findFiles(this.#options.path)
    this.#lookedMs += performance.now() - startedAtMs
    if (found.error !== undefined) this.#trouble(found.error)
    this.#count = found.files.length
    this.#bytes = found.files.reduce((sum, { bytes }) => sum + bytes, 0)
    return found
  }

  /** Whether a file that is written under its plain name will get no more lines there. */
  #isOver({ plain, number, bytes, writtenAtMs }: KeptFile): boolean {
    if (number !== undefined || bytes === 0) return false
    const { path } = this.#options
    const nowMs = Date.now()
    const isCurrent = path.pathNow(plain, nowMs) === plain || path.pathNow(plain, nowMs - lateMs) === plain
    return !isCurrent || path.startOf(writtenAtMs) < path.startOf(nowMs - lateMs)
  }

  async #attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#trouble(messageOf(error))
      return false
    }
  }

  /** Of these files, those a restart does not need. */
  async #released<File extends KeptFile>(files: readonly File[]): Promise<File[]> {
    const free: File[] = []
    for (const file of files) {
      const isFree = file.compression !== undefined || (await this.#options.files.release(file.plain, file.number ?? 0))
      if (isFree) free.push(file)
    }
    if (free.some(({ compression }) => compression === undefined) && !(await this.#options.files.keep())) {
      return free.filter(({ compression }) => compression !== undefined)
    }
    for (const { compression, plain, number } of free) {
      if (compression === undefined) this.#options.files.released(plain, number ?? 0)
    }
    return free
  }

  // ── compression ──

  /** Goes on with the rest in the next pass when there is much of it. True when there was something to compress. */
  async #compressSome({ files }: KeptFiles): Promise<boolean> {
    const { compress } = this.#options
    if (compress === undefined) return false
    const due = files.filter(({ number, compression }) => number !== undefined && compression === undefined)
    due.sort((a, b) => a.writtenAtMs - b.writtenAtMs || (a.number ?? 0) - (b.number ?? 0))
    const released = await this.#released(due)
    const untilMs = performance.now() + compressingMs
    for (const { path } of released) {
      if (this.#isClosed) break
      if (performance.now() > untilMs) {
        this.#isDueAgain = true
        break
      }
      await this.#attempt(() => this.#compress(path, compress))
    }
    return released.length > 0
  }

  async #compress(source: string, compression: Compression): Promise<void> {
    const target = source + compressedSuffix[compression]
    const unfinished = target + unfinishedSuffix
    crashPoints.reached('before-compression')
    await unlink(unfinished).catch(() => undefined)
    try {
      await this.#options.compressor.compress({ source, target: unfinished, compression })
    } catch (error) {
      await unlink(unfinished).catch(() => undefined)
      if (this.#isClosed) return
      throw error
    }
    if (this.#isClosed) return
    crashPoints.reached('before-compressed')
    await rename(unfinished, target)
    await syncFolder(dirname(target))
    crashPoints.reached('in-compressed')
    await removeFile(source)
    this.#compressed += 1
  }

  // ── retention ──

  /** True when something was removed. */
  async #removeSurplus(found: KeptFiles, keep: Keep): Promise<boolean> {
    if (Object.values(keep).every((bound) => bound === undefined) || this.#isClosed) return false
    const { path } = this.#options
    const freeBytes = keep.freeBytes === undefined ? undefined : await freeBytesOf(path.root)
    let wanted = this.#wanted(found, keep, freeBytes)
    const unnumbered = wanted.flatMap(({ file }) => (file.number === undefined ? [file] : []))
    if (unnumbered.length > 0) wanted = this.#wanted(await this.#putAway(unnumbered), keep, freeBytes)
    wanted = wanted.filter(({ file }) => file.number !== undefined)
    const free = new Set(await this.#released(wanted.map(({ file }) => file)))
    const removed: Removal<SurplusFile>[] = []
    for (const removal of wanted) {
      if (!free.has(removal.file) || this.#isClosed) continue
      crashPoints.reached('before-removal')
      if (await this.#attempt(() => removeFile(removal.file.path))) removed.push(removal)
    }
    for (const { file, reason } of removed) {
      this.#removed[reason] += 1
      this.#removedBytes += file.bytes
    }
    await this.#tidy(removed.map(({ file }) => file))
    for (const reason of removalReasons) this.#tellRemoved(reason, keep, removed)
    const isShort = keep.freeBytes !== undefined && freeBytes !== undefined && freeBytes < keep.freeBytes
    if (isShort && wanted.length === 0) {
      this.#trouble(`${formatBytes(keep.freeBytes)} of the disk are to stay free, and no file is left that could be removed for it`)
    }
    return removed.length > 0
  }

  #wanted({ files }: KeptFiles, keep: Keep, freeBytes: number | undefined): Removal<SurplusFile>[] {
    const retained = files.map((file) => ({
      ...file,
      stream: this.#options.path.pathNow(file.plain, 0),
      isClosed: file.number !== undefined || this.#isOver(file),
    }))
    return removals(retained, keep, { nowMs: Date.now(), freeBytes })
  }

  #tellRemoved(reason: RemovalReason, keep: Keep, removed: readonly Removal<SurplusFile>[]): void {
    const files = removed.filter((removal) => removal.reason === reason).map(({ file }) => file)
    if (files.length === 0) return
    const why = {
      age: `older than ${formatDuration(keep.ageMs ?? 0)}`,
      files: `more than ${formatCount(keep.files ?? 0)} of a stream`,
      bytes: `more than ${formatBytes(keep.bytes ?? 0)} in all`,
      free: `less than ${formatBytes(keep.freeBytes ?? 0)} of the disk were free`,
    }[reason]
    const names = files.slice(0, namesToldMax).map(({ path }) => path)
    if (files.length > names.length) names.push(`and ${formatCount(files.length - names.length)} more`)
    const bytes = formatBytes(files.reduce((sum, file) => sum + file.bytes, 0))
    this.#options.onTrouble(
      `sink ${this.#options.name}: removed ${formatCount(files.length)} ${files.length === 1 ? 'file' : 'files'}, ${bytes}, ${why}: ${names.join(', ')}`,
    )
  }

  /** With the last file of a name its link goes, and its folder, if nothing else is in it. */
  async #tidy(removed: readonly SurplusFile[]): Promise<void> {
    const { path } = this.#options
    for (const link of new Set(removed.flatMap(({ plain }) => path.linkOf(plain) ?? []))) {
      const isDangling = await stat(link).then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
      )
      if (isDangling) await unlink(link).catch(() => undefined)
    }
    for (const folder of new Set(removed.map((file) => dirname(file.path)))) {
      // Fails where something is left, and there it ends.
      for (let at = folder; at.startsWith(path.root + sep); at = dirname(at)) if (!(await isDone(rmdir(at)))) break
    }
  }

  status(): FilesStatus {
    return {
      count: this.#count,
      bytes: this.#bytes,
      rotated: this.rotated,
      compressed: this.#compressed,
      removed: { ...this.#removed },
      removedBytes: this.#removedBytes,
      error: this.#error,
    }
  }

  /** Begins nothing more, gives up what is being compressed, and waits for the step that is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    // It belongs to other sinks too; they end together.
    await this.#options.compressor.close()
    await this.#passing
  }
}

/** With its index, which is of no use without it. */
async function removeFile(path: string): Promise<void> {
  await unlink(path)
  await unlink(join(dirname(path), `.${basename(path)}.index`)).catch(() => undefined)
}

async function freeBytesOf(folder: string): Promise<number | undefined> {
  const disk = await statfs(folder).catch(() => undefined)
  return disk === undefined ? undefined : disk.bavail * disk.bsize
}

function isDone(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

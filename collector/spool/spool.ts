/**
 * The spool: an append-only log on disk between what is received and what is done with it.
 *
 *   segments     0000.spool   4fa3.spool   81c0.spool
 *               ├────────────┼────────────┼───────────┬────────┬───────┤
 *             oldest                               durable  written   end      positions, in bytes
 *                                                  fsynced  in the    in
 *                                                           kernel    memory
 *
 * What is durable may be acknowledged; what is written may be handed to sinks, because it is there again after this
 * process was killed. Every segment begins with the books as they were then, so any suffix of segments is enough.
 * After a restart a new segment begins.
 *
 * A disk that is full, read-only or broken ends nothing: what could not be kept is given back to the caller, who
 * counts it, and a new segment is tried again and again. A file whose fsync failed is never written to again: the
 * kernel may have dropped what it could not write, and would call the next fsync a success.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import {
  spoolReadBytes,
  spoolRetryMs,
  spoolSegmentBytes,
  spoolSegmentsMin,
  spoolSparesMax,
  spoolWriteBytes,
  spoolWriteMs,
} from '../../wire/limits.ts'
import { type Range, RangeSet } from '../../wire/range-set.ts'
import { Depth } from '../depth.ts'
import { DurationHistogram } from '../duration-histogram.ts'
import { syncFolder } from '../sync-folder.ts'
import { writeFully } from '../write-buffer.ts'
import { type Block, BlockPool } from './block.ts'
import { crashPoints } from './crash-points.ts'
import { isSpareFile, SpareFiles } from './spare-files.ts'
import {
  encodeSegmentHead,
  type RecordKey,
  type RecordType,
  readSegmentHead,
  recordBytes,
  recordKey,
  recordTypes,
  type SpoolRecord,
  scanRecords,
  segmentHeadBytes,
  writeRecord,
} from './spool-record.ts'

const suffix = '.spool'
const segmentName = /^\d{16}\.spool$/
const fileMode = 0o600
const folderMode = 0o700

export interface SpoolOptions {
  readonly dir: string
  readonly bytesMax: number
  /** Told once when keeping begins to fail and once when it works again, and of damage that was found. */
  readonly onTrouble: (message: string) => void
}

export interface SpoolEvents {
  /** More has been written, or given up. */
  written(): void
  /**
   * Records from `position` on could not be kept. They have positions, and nothing stands there.
   *
   * @param durable - Those from here on are not known to be on the disk, and never will be.
   */
  abandoned(position: number, durable: number): void
}

export interface SpoolStatus {
  readonly dir: string
  readonly bytes: number
  readonly bytesMax: number
  readonly segments: number
  readonly syncs: number
  readonly syncLastMs: number
  readonly syncMaxMs: number
  /** Bytes that were found damaged and passed over. */
  readonly damagedBytes: number
  /** Why the last write failed; undefined while all is well. */
  readonly error: string | undefined
}

interface Segment {
  readonly path: string
  /** Of its first record. */
  readonly position: number
  readonly key: RecordKey
  /** Of records written into it. */
  bytes: number
  handle: FileHandle | undefined
  /** The file is there, and it is ours. */
  isMade: boolean
  /** Size of the file before it was used again: behind what is written into it stands what it held then. */
  usedBytes: number
}

interface Pending {
  readonly segment: Segment
  /** Not written yet, in order. */
  blocks: Waiting[]
  /** Position behind the books at its head: large books must not make every record begin a segment. */
  firstEnd: number
}

/** Bytes of a block that are not written yet. */
interface Waiting {
  readonly block: Block
  readonly from: number
  to: number
}

/** Where a record will stand. */
export interface Place {
  readonly position: number
  readonly end: number
  /** Its copy of `rest`, and the block that is in. Whoever looks at it later holds the block. */
  readonly rest: Buffer
  readonly block: Block
}

interface Failure {
  readonly message: string
  readonly delayMs: number
  readonly retryAtMs: number
}

export class Spool {
  /** Position behind everything appended, … */
  end = 0
  /** … behind everything the kernel has, … */
  written = 0
  /** … and behind everything the disk has. */
  durable = 0
  /** What was appended before may not be there any more: the disk has failed since. Infinite while nothing is sure. */
  trustedFrom = 0
  events: SpoolEvents = { written() {}, abandoned() {} }
  readonly #options: SpoolOptions
  readonly #id: string
  /** Oldest first; the last one may be written to. */
  readonly #segments: Segment[]
  #pending: Pending[] = []
  readonly #spares: SpareFiles
  readonly #pool = new BlockPool()
  /** What is appended goes here. */
  #block: Block | undefined
  #writing: Promise<void> | undefined
  #writeTimer: NodeJS.Timeout | undefined
  /** Everything before is to be written, however little that is. */
  #writeUpTo = 0
  #syncing: Promise<void> | undefined
  /** Told after each step of writing. */
  #waiting: (() => void)[] = []
  #failure: Failure | undefined
  #failures = 0
  #isClosing = false
  /** The books at the head of the last segment are those of when it was tried, not of when it worked. */
  #areBooksOld = false
  #syncs = 0
  #syncLastMs = 0
  #syncMaxMs = 0
  /** What waits to be written. */
  readonly depth: Depth = new Depth()
  readonly syncDurations: DurationHistogram = new DurationHistogram()
  #damagedBytes = 0
  /** Where damage was found: what was read in one piece with it. */
  readonly #damaged = new RangeSet()
  readonly segmentBytes: number

  private constructor(options: SpoolOptions, id: string, segments: Segment[]) {
    this.#options = options
    this.#id = id
    this.#spares = new SpareFiles(options.dir)
    this.#segments = segments
    this.segmentBytes = Math.max(spoolSegmentBytes.min, Math.min(spoolSegmentBytes.max, Math.floor(options.bytesMax / spoolSegmentsMin)))
    const last = segments.at(-1)
    this.end = last === undefined ? 0 : last.position + last.bytes
    this.written = this.end
    this.durable = this.end
  }

  /** Opens what is there. A folder that cannot be read is a spool that fails, and begins to work when the folder does. */
  static async open(options: SpoolOptions): Promise<Spool> {
    let found: readonly (Segment & { readonly id: string })[] = []
    try {
      await mkdir(options.dir, { recursive: true, mode: folderMode })
      found = await findSegments(options)
    } catch (error) {
      const spool = new Spool(options, newId(), [])
      spool.#failed(error)
      return spool
    }
    const id = mostOf(found.map((segment) => segment.id)) ?? newId()
    const segments: Segment[] = []
    for (const segment of found) {
      const last = segments.at(-1)
      const isOurs = segment.id === id && (last === undefined || segment.position >= last.position + last.bytes)
      if (isOurs) segments.push(segment)
      else options.onTrouble(`spool: ${segment.path} is from another spool; it is left alone`)
    }
    const last = segments.at(-1)
    if (last !== undefined) last.bytes = await writtenBytes(last)
    return new Spool(options, id, segments)
  }

  /** Position of the oldest record that is still there. */
  get oldest(): number {
    return this.#segments[0]?.position ?? this.end
  }

  get isFailing(): boolean {
    return this.#failure !== undefined
  }

  /** What waits to be written. */
  get pendingBytes(): number {
    return this.end - this.written
  }

  get bytes(): number {
    let bytes = this.pendingBytes
    for (const segment of this.#segments) bytes += segment.bytes
    return bytes
  }

  /** Whether {@link roll} is to be called before the next record: the segment is full, or there is none, or its books are old. */
  needsRoll(nowMs: number): boolean {
    if (this.#isClosing) return false
    if (this.#failure !== undefined) return this.#pending.length === 0 && nowMs >= this.#failure.retryAtMs
    const last = this.#pending.at(-1)
    return last === undefined || this.#areBooksOld || this.end - last.firstEnd >= this.segmentBytes
  }

  /**
   * Begins a new segment.
   *
   * @param state - The books as they are at this moment: everything that was appended, and nothing that was not.
   */
  roll(state: Buffer): void {
    if (this.#failure === undefined && this.#areBooksOld) {
      this.#areBooksOld = false
      this.trustedFrom = this.end
    }
    const before = this.#segments.at(-1)
    // A segment that never came to be may have had this position.
    if (before?.position === this.end) this.#skipTo(this.end + 1)
    const segment: Segment = {
      path: join(this.#options.dir, `${String(this.end).padStart(16, '0')}${suffix}`),
      position: this.end,
      key: recordKey(this.#id, this.end),
      bytes: 0,
      handle: undefined,
      isMade: false,
      usedBytes: 0,
    }
    this.#segments.push(segment)
    const pending: Pending = { segment, blocks: [], firstEnd: this.end }
    this.#pending.push(pending)
    pending.firstEnd = this.#append(recordTypes.state, state, undefined).end
  }

  #skipTo(position: number): void {
    this.end = position
    if (this.#pending.length > 0) return
    this.written = position
    this.durable = position
  }

  /**
   * Appends a record. Never waits.
   *
   * @param rest - Copied, like `first`.
   * @returns Where it will stand; undefined while nothing can be kept.
   */
  append(type: RecordType, first: Buffer, rest?: Buffer): Place | undefined {
    // Behind books that are old a record would say more than there is before it.
    if (this.#failure !== undefined || this.#areBooksOld || this.#pending.length === 0 || this.#isClosing) return undefined
    return this.#append(type, first, rest)
  }

  #append(type: RecordType, first: Buffer, rest: Buffer | undefined): Place {
    const pending = this.#pending.at(-1)
    assert(pending !== undefined, 'records are appended to a segment')
    const bytes = recordBytes(first.length + (rest?.length ?? 0))
    const block = this.#blockFor(bytes)
    const from = block.used
    block.used = writeRecord(pending.segment.key, type, first, rest, block.bytes, from)
    const last = pending.blocks.at(-1)
    if (last?.block === block && last.to === from) last.to = block.used
    else {
      block.hold()
      pending.blocks.push({ block, from, to: block.used })
    }
    const position = this.end
    this.end += bytes
    this.depth.set(this.pendingBytes)
    if (this.pendingBytes >= spoolWriteBytes) this.#writing ??= this.#writeAll()
    else this.#writeTimer ??= setTimeout(() => this.#writeSoon(), spoolWriteMs)
    return { position, end: this.end, block, rest: block.bytes.subarray(block.used - (rest?.length ?? 0), block.used) }
  }

  #blockFor(bytes: number): Block {
    if (this.#block === undefined || this.#block.used + bytes > this.#block.bytes.length) {
      this.#block?.release()
      this.#block = this.#pool.take(bytes)
    }
    return this.#block
  }

  /** Writes what waits, be it little. */
  #writeSoon(): void {
    clearTimeout(this.#writeTimer)
    this.#writeTimer = undefined
    this.#writeUpTo = this.end
    this.#writing ??= this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    // Whatever is appended in this turn is written with it.
    await undefined
    try {
      // Small writes cost as much as large ones.
      while (this.written < this.#writeUpTo || this.pendingBytes >= spoolWriteBytes || this.#pending.length > 1) {
        const [next] = this.#pending
        if (next === undefined) break
        if (next.blocks.length > 0) await this.#write(next)
        else if (this.#pending.length > 1) await this.#seal(next)
        else break
      }
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#writing = undefined
      this.#letOn()
    }
  }

  async #write(pending: Pending): Promise<void> {
    const { segment } = pending
    const handle = segment.handle ?? (await this.#create(segment))
    const { blocks } = pending
    pending.blocks = []
    const chunks = blocks.map(({ block, from, to }) => block.bytes.subarray(from, to))
    const { written, error } = await writeFully(handle, chunks, segmentHeadBytes + segment.bytes)
    for (const { block } of blocks) block.release()
    // A sync has failed meanwhile, and all of this was given up.
    if (!this.#pending.includes(pending)) return
    if (error !== undefined) {
      // What is torn is cut off again; should that fail too, a reader passes over it.
      await handle.truncate(segmentHeadBytes + segment.bytes).catch(() => undefined)
      throw error
    }
    segment.bytes += written
    this.written = segment.position + segment.bytes
    this.depth.set(this.pendingBytes)
    crashPoints.reached('after-append')
    if (this.#failures > 0 && this.#failure !== undefined) this.#recovered()
    this.#letOn()
  }

  async #create(segment: Segment): Promise<FileHandle> {
    crashPoints.reached('in-roll')
    await mkdir(this.#options.dir, { recursive: true, mode: folderMode })
    const handle = (await this.#reuse(segment)) ?? (await this.#make(segment))
    await syncFolder(this.#options.dir)
    return handle
  }

  async #make(segment: Segment): Promise<FileHandle> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
    segment.handle = await open(segment.path, flags, fileMode)
    segment.isMade = true
    await this.#writeHead(segment, segment.handle)
    return segment.handle
  }

  /** Undefined when there is no spare file that can be used. */
  async #reuse(segment: Segment): Promise<FileHandle | undefined> {
    const spare = await this.#spares.take()
    if (spare === undefined) return undefined
    segment.handle = spare.handle
    segment.usedBytes = spare.bytes
    try {
      await this.#writeHead(segment, spare.handle)
      crashPoints.reached('in-reuse')
      await this.#spares.name(spare, segment.path)
    } catch (error) {
      await unlink(spare.path).catch(() => undefined)
      throw error
    }
    segment.isMade = true
    return spare.handle
  }

  async #writeHead({ position }: Segment, handle: FileHandle): Promise<void> {
    const { written, error } = await writeFully(handle, [encodeSegmentHead(this.#id, position)], 0)
    if (error !== undefined || written < segmentHeadBytes) throw error ?? new Error('the head of a segment could not be written')
  }

  async #seal(pending: Pending): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing
    const { segment } = pending
    const { handle } = segment
    // One sync at a time, and the file is nobody's before the next one may begin: none meets a file that is being closed.
    const outcome = cutUsed(segment)
      .then(() => this.#syncSegment(segment))
      .then(() => {
        this.#pending.shift()
        segment.handle = undefined
      })
      .finally(() => {
        this.#syncing = undefined
      })
    this.#syncing = outcome.catch(() => undefined)
    await outcome
    await handle?.close()
  }

  #step(): Promise<void> {
    this.#writeSoon()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #letOn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.events.written()
  }

  /**
   * Makes everything appended so far durable.
   *
   * @returns False when some of it could not be kept.
   */
  async sync(): Promise<boolean> {
    const target = this.end
    const failures = this.#failures
    while (this.durable < target || this.#failure !== undefined) {
      if (this.#failures !== failures || this.#failure !== undefined) return false
      if (this.written < target) await this.#step()
      else {
        this.#syncing ??= this.#syncNow().finally(() => {
          this.#syncing = undefined
        })
        await this.#syncing
      }
    }
    return this.#failures === failures
  }

  async #syncNow(): Promise<void> {
    const segment = this.#pending[0]?.segment
    if (segment === undefined) return
    try {
      await this.#syncSegment(segment)
    } catch (error) {
      this.#failed(error)
    }
  }

  async #syncSegment(segment: Segment): Promise<void> {
    const { handle } = segment
    const upTo = segment.position + segment.bytes
    if (handle === undefined) return
    crashPoints.reached('before-fsync')
    const startedAtMs = performance.now()
    await handle.datasync()
    this.#syncLastMs = performance.now() - startedAtMs
    this.#syncMaxMs = Math.max(this.#syncMaxMs, this.#syncLastMs)
    this.syncDurations.observe(this.#syncLastMs)
    this.#syncs += 1
    const { nlink } = await handle.stat()
    if (nlink === 0) throw new Error(`somebody deleted ${segment.path}`)
    crashPoints.reached('after-fsync')
    this.durable = Math.max(this.durable, upTo)
  }

  /** Nothing can be kept: what was not durable is given back, and the segment is written to no more. */
  #failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    if (this.#failure === undefined) this.#options.onTrouble(`spool: ${message}; it keeps trying, and counts what is not durable meanwhile`)
    this.#failures += 1
    const delayMs = this.#failure === undefined ? spoolRetryMs.first : Math.min(2 * this.#failure.delayMs, spoolRetryMs.max)
    this.#failure = { message, delayMs, retryAtMs: performance.now() + delayMs }
    const [abandonedFrom, durable] = [this.written, this.durable]
    for (const { segment, blocks } of this.#pending) {
      for (const { block } of blocks) block.release()
      const { handle } = segment
      cutUsed(segment)
        .finally(() => handle?.close())
        .catch(() => undefined)
      segment.handle = undefined
      if (segment.bytes === 0) this.#forget(segment)
    }
    this.#pending = []
    this.written = this.end
    this.durable = this.end
    if (durable < this.end) this.events.abandoned(abandonedFrom, durable)
    // Until it keeps again, what comes is not in it.
    this.#areBooksOld = true
    this.trustedFrom = Number.POSITIVE_INFINITY
    this.#letOn()
  }

  #forget(segment: Segment): void {
    const index = this.#segments.indexOf(segment)
    if (index !== -1) this.#segments.splice(index, 1)
    // At its path there may be what somebody else has put there.
    if (segment.isMade) unlink(segment.path).catch(() => undefined)
  }

  #recovered(): void {
    this.#failure = undefined
    this.#options.onTrouble('spool: keeping again')
  }

  /**
   * Reads records from `position` on, about a megabyte of them.
   *
   * @returns The records, in order, and where to go on; `next` is {@link written} once there is nothing left to read.
   */
  async read(
    position: number,
  ): Promise<{ readonly records: readonly SpoolRecord[]; readonly next: number; readonly damagedBytes: number }> {
    const segment = this.#segments.find(({ position: from, bytes }) => from + bytes > position)
    if (segment === undefined) return { records: [], next: Math.max(position, this.written), damagedBytes: 0 }
    const from = Math.max(position, segment.position)
    const segmentEnd = segment.position + segment.bytes
    try {
      const read = await readSegment(segment, { from, to: segmentEnd })
      // Given up meanwhile, and perhaps written over.
      if (!this.#segments.includes(segment)) return { ...read, damagedBytes: 0 }
      if (read.damagedBytes > 0) this.#sayDamaged(segment.path, { from, to: read.next }, read.damagedBytes)
      return read
    } catch (error) {
      // Deleted, or no longer a plain file: nothing of it can be read.
      const what = `${segment.path} (${error instanceof Error ? error.message : error})`
      this.#sayDamaged(what, { from, to: segmentEnd }, segmentEnd - from)
      return { records: [], next: segmentEnd, damagedBytes: segmentEnd - from }
    }
  }

  /** Every sink reads the same, and a start reads all of it: it is told and counted once. */
  #sayDamaged(what: string, { from, to }: Range, damagedBytes: number): void {
    let freshBytes = 0
    for (const fresh of this.#damaged.add(from, to)) freshBytes += fresh.to - fresh.from
    const bytes = Math.min(damagedBytes, freshBytes)
    if (bytes === 0) return
    this.#damagedBytes += bytes
    this.#options.onTrouble(`spool: ${bytes} bytes of ${what} cannot be read; what they held counts as missing`)
  }

  /** Segments that may be given up for room, oldest first: all but those that are written to. */
  get sealed(): readonly { readonly position: number; readonly end: number }[] {
    const written = new Set(this.#pending.map(({ segment }) => segment))
    return this.#segments.filter((segment) => !written.has(segment)).map(({ position, bytes }) => ({ position, end: position + bytes }))
  }

  get sealedBytes(): number {
    let bytes = 0
    for (const { position, end } of this.sealed) bytes += end - position
    return bytes
  }

  /** Resolves when everything appended so far is in the kernel, or given up. */
  async wrote(): Promise<void> {
    const target = this.end
    while (this.written < target) await this.#step()
  }

  /** Gives up segments nothing of which is needed any more: those that end at or before `position`. */
  async dropBefore(position: number): Promise<void> {
    for (const { position: from, end } of this.sealed) {
      if (end > position) return
      const segment = this.#segments[0]
      if (segment?.position !== from) return
      crashPoints.reached('before-unlink')
      this.#segments.shift()
      const bytes = segmentHeadBytes + segment.bytes
      const hasRoom = this.#spares.length < spoolSparesMax && this.bytes + this.#spares.bytes + bytes <= this.#options.bytesMax
      try {
        await (hasRoom ? this.#spares.keep({ path: segment.path, bytes }) : unlink(segment.path))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        this.#options.onTrouble(`spool: ${error instanceof Error ? error.message : error}`)
      }
    }
  }

  /** Cuts a segment that ends in damage, as a process killed amid a write leaves it. `position` is behind its last whole record. */
  async cutTail(position: number): Promise<void> {
    const segment = this.#segments.at(-1)
    if (segment === undefined || this.#pending.length > 0) return
    if (position >= segment.position) {
      segment.bytes = position - segment.position
      await truncate(segment.path, segmentHeadBytes + segment.bytes).catch(() => undefined)
    }
    // A process that was killed has left it to the kernel, and what stands in it is about to be acknowledged.
    try {
      const handle = await open(segment.path, constants.O_RDWR | constants.O_NOFOLLOW)
      await handle.datasync().finally(() => handle.close())
    } catch (error) {
      this.#failed(error)
    }
  }

  status(): SpoolStatus {
    return {
      dir: this.#options.dir,
      bytes: this.bytes,
      bytesMax: this.#options.bytesMax,
      segments: this.#segments.length,
      syncs: this.#syncs,
      syncLastMs: this.#syncLastMs,
      syncMaxMs: this.#syncMaxMs,
      damagedBytes: this.#damagedBytes,
      error: this.#failure?.message,
    }
  }

  /** Writes what waits, and closes. */
  async close(): Promise<void> {
    this.#isClosing = true
    await this.sync()
    clearTimeout(this.#writeTimer)
    await this.#writing
    while (this.#syncing !== undefined) await this.#syncing
    this.#pending = []
    this.durable = this.end
    this.written = this.end
    for (const segment of this.#segments) {
      const { handle } = segment
      segment.handle = undefined
      await handle?.close()
    }
  }
}

/** The most frequent one, and of equals the last: a stray segment of another spool must not make strangers of ours. */
function mostOf(ids: readonly string[]): string | undefined {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  const most = Math.max(...counts.values())
  return ids.findLast((id) => counts.get(id) === most)
}

function newId(): string {
  return randomBytes(12).toString('base64url')
}

/** Cuts what a file held before it was used again. */
async function cutUsed({ handle, bytes, usedBytes }: Segment): Promise<void> {
  if (usedBytes > segmentHeadBytes + bytes) await handle?.truncate(segmentHeadBytes + bytes)
}

/**
 * Bytes of records in a segment that may end in what a process killed amid a write leaves there, and in what its file
 * held before.
 */
async function writtenBytes(segment: Segment): Promise<number> {
  const { position, bytes } = segment
  let end = position
  try {
    for (let from = position; from < position + bytes; ) {
      const { records, next } = await readSegment(segment, { from, to: position + bytes })
      end = records.at(-1)?.end ?? end
      from = Math.max(from + 1, next)
    }
    return end - position
  } catch {
    // Whoever reads it says what is wrong with it.
    return bytes
  }
}

async function findSegments({ dir, onTrouble }: SpoolOptions): Promise<(Segment & { readonly id: string })[]> {
  const segments: (Segment & { readonly id: string })[] = []
  const names = await readdir(dir)
  for (const name of names.filter(isSpareFile)) await unlink(join(dir, name)).catch(() => undefined)
  for (const name of names.filter((entry) => segmentName.test(entry)).sort()) {
    const path = join(dir, name)
    try {
      const handle = await openPlain(path)
      try {
        const { size } = await handle.stat()
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(segmentHeadBytes), 0, segmentHeadBytes, 0)
        const head = readSegmentHead(buffer.subarray(0, bytesRead))
        // Killed before its head was written: there is nothing in it.
        if (size < segmentHeadBytes || (head === undefined && size === segmentHeadBytes)) await unlink(path)
        else if (head === undefined) throw new Error('it is no segment of this version')
        else {
          const { id, position } = head
          const key = recordKey(id, position)
          segments.push({ id, path, position, key, bytes: size - segmentHeadBytes, handle: undefined, isMade: true, usedBytes: 0 })
        }
      } finally {
        await handle.close()
      }
    } catch (error) {
      onTrouble(`spool: cannot use ${path}: ${error instanceof Error ? error.message : error}; it is left alone`)
    }
  }
  return segments.sort((a, b) => a.position - b.position)
}

/** Follows no link and opens nothing but a plain file. */
async function openPlain(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const stat = await handle.stat()
  if (stat.isFile()) return handle
  await handle.close()
  throw new Error(`${path} is not a plain file`)
}

async function readSegment(
  { path, position: firstPosition, key }: Segment,
  { from, to }: Range,
): Promise<{ readonly records: readonly SpoolRecord[]; readonly next: number; readonly damagedBytes: number }> {
  const handle = await openPlain(path)
  try {
    let wanted = spoolReadBytes
    for (;;) {
      const length = Math.min(wanted, to - from)
      const bytes = Buffer.allocUnsafe(length)
      const { bytesRead } = await handle.read(bytes, 0, length, segmentHeadBytes + from - firstPosition)
      const isAll = from + length >= to || bytesRead < length
      const scan = scanRecords(bytes.subarray(0, bytesRead), { key, position: from, isAll })
      if (scan.records.length === 0 && !isAll && scan.used === 0) {
        wanted = Math.max(2 * wanted, scan.needs)
        continue
      }
      const lost = isAll ? length - bytesRead : 0
      return { records: scan.records, next: isAll ? to : from + scan.used, damagedBytes: scan.damagedBytes + lost }
    }
  } finally {
    await handle.close()
  }
}

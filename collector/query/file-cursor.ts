/** One file of a query: what of it has to be read, and how far that has come. */
import { gunzipSync, constants as zlibConstants } from 'node:zlib'
import { LineHead } from './line-head.ts'
import type { LineQuery, Match } from './line-query.ts'
import { LogFile, type ReadTrouble } from './log-blocks.ts'
import type { LogFileEntry } from './log-folder.ts'
import { type IndexBlock, IndexBuilder, type LogIndex, readIndex, writeIndex } from './log-index.ts'

/** A file that was written to more recently may be again; of a small one an index saves nothing. */
const settledMs = 60_000
const indexedBytesMin = 1_048_576
const peekBytes = 65_536
/** What a waiting line takes beside its text. */
const matchOverheadBytes = 256

export interface CursorOptions {
  /** Only how many lines match is asked: blocks of which all do need not be read. */
  readonly isCounting: boolean
  readonly nowMs: number
  /** Where to stop in files that are still written to, by inode. Plain files that are not among them are not read. */
  readonly ends?: ReadonlyMap<string, number> | undefined
}

export class FileCursor {
  readonly entry: LogFileEntry
  /** Unix ms of the first wanted line, or before it; minus infinity when it is not known. */
  readonly startMs: number
  /** To be read. */
  readonly bytes: number
  readonly trouble: ReadTrouble = { longLines: 0, damage: undefined }
  readonly #query: LineQuery
  readonly #options: CursorOptions
  #file: LogFile | undefined
  readonly inode: string
  /** Undefined when the whole file is read. */
  #wanted: readonly IndexBlock[] | undefined
  #blocks: AsyncGenerator<number> | undefined
  /** Wanted lines that were not taken yet, and the latest time up to each. */
  #queue: { readonly match: Match; readonly keyMs: number }[] = []
  #taken = 0
  #latestMs = Number.NEGATIVE_INFINITY
  /** About what waiting lines take. */
  waitingBytes = 0
  isDone = false
  /** No line that comes is earlier, as far as lines are in order. */
  watermarkMs: number

  private constructor(
    entry: LogFileEntry,
    query: LineQuery,
    options: CursorOptions,
    file: LogFile,
    index: LogIndex | undefined,
    startMs: number,
  ) {
    this.entry = entry
    this.#query = query
    this.#options = options
    this.#file = file
    this.inode = file.inode
    if (index !== undefined) {
      const wanted = index.blocks.filter((block) => query.mayHold(block, entry))
      this.#wanted = index.isSeekable || wanted.length === 0 ? wanted : undefined
    }
    this.startMs = startMs
    this.watermarkMs = startMs
    this.bytes = this.#wanted === undefined ? file.size : this.#wanted.reduce((sum, block) => sum + block.bytes, 0)
    this.isDone = this.bytes === 0
  }

  /** @throws What the system says when the file cannot be opened. */
  static async open(entry: LogFileEntry, query: LineQuery, options: CursorOptions): Promise<FileCursor> {
    const file = await openFile(entry, options)
    try {
      const index = await readIndex(file)
      const startMs = index === undefined ? await peekedMs(file) : startOf(index, query, entry)
      return new FileCursor(entry, query, options, file, index, startMs)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Lets go of the file until it is read. */
  async pause(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  /**
   * Reads one more block.
   *
   * @param use - Is given each wanted line at once; without it they wait in the cursor, see {@link next}.
   * @returns Bytes of the file this was.
   * @throws What the system says when a file that was let go of cannot be opened again.
   */
  async advance(use?: (match: Match) => void): Promise<number> {
    this.#file ??= await this.#reopen()
    this.#blocks ??= this.#read(this.#file, use ?? ((match) => this.#keep(match)))
    const next = await this.#blocks.next()
    if (next.done === true) {
      // It would keep its last block.
      this.#blocks = undefined
      this.isDone = true
      this.watermarkMs = Number.POSITIVE_INFINITY
      await this.pause()
      return 0
    }
    return next.value
  }

  /** The same file again; compressed meanwhile, it is read whole. */
  async #reopen(): Promise<LogFile> {
    try {
      const file = await openFile(this.entry, this.#options)
      if (file.inode === this.inode) return file
      await file.close()
      throw new Error('renamed while it was searched; search again')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || this.entry.encoding !== 'plain') throw error
      this.#wanted = undefined
      const { path } = this.entry
      return await LogFile.open(`${path}.gz`, 'gzip').catch(() => LogFile.open(`${path}.zst`, 'zstd'))
    }
  }

  async *#read(file: LogFile, use: (match: Match) => void): AsyncGenerator<number> {
    const wanted = this.#wanted
    if (wanted !== undefined) {
      const unread = wanted.filter((block) => this.#options.isCounting && this.#query.wantsAll(block, this.entry))
      for (const block of unread) {
        this.#query.counts.lines += block.lines
        this.#query.counts.matched += block.lines
      }
      const left = wanted.filter((block) => !unread.includes(block))
      yield unread.reduce((sum, block) => sum + block.bytes, 0)
      let at = 0
      for await (const block of file.blocksAt(left, this.trouble)) {
        this.watermarkMs = Math.max(this.watermarkMs, left[at]?.fromMs ?? this.watermarkMs)
        at += 1
        this.#query.scan(block, this.entry, false, use)
        this.watermarkMs = Math.max(this.watermarkMs, this.#latestMs)
        yield block.bytes
      }
      return
    }
    const isKept = file.isWhole && file.size >= indexedBytesMin && this.#options.nowMs - file.mtimeMs >= settledMs
    const builder = new IndexBuilder()
    for await (const block of file.blocks(this.trouble)) {
      const summary = this.#query.scan(block, this.entry, isKept, use)
      if (summary !== undefined) {
        builder.add(summary, block.isStart)
        this.watermarkMs = Math.max(this.watermarkMs, summary.toMs ?? this.watermarkMs)
      }
      this.watermarkMs = Math.max(this.watermarkMs, this.#latestMs)
      yield block.bytes
    }
    const isSound = this.trouble.damage === undefined && this.trouble.longLines === 0
    if (isKept && isSound) await writeIndex(file, builder.finish(file.size))
  }

  #keep(match: Match): void {
    this.waitingBytes += bytesOf(match)
    this.#latestMs = Math.max(this.#latestMs, match.timeMs ?? this.#latestMs)
    this.#queue.push({ match, keyMs: this.#latestMs })
  }

  get hasWaiting(): boolean {
    return this.#queue.length > this.#taken
  }

  /** The time by which the next waiting line is ordered: lines of a file stay in its order. */
  get nextMs(): number | undefined {
    return this.#queue[this.#taken]?.keyMs
  }

  take(): Match | undefined {
    const taken = this.#queue[this.#taken]?.match
    this.#taken += 1
    if (taken !== undefined) this.waitingBytes -= bytesOf(taken)
    if (this.#taken >= this.#queue.length) {
      this.#queue = []
      this.#taken = 0
    }
    return taken
  }

  async close(): Promise<void> {
    await this.#blocks?.return(undefined)
    await this.pause()
  }
}

function bytesOf({ line }: Match): number {
  return line.length + matchOverheadBytes
}

async function openFile(entry: LogFileEntry, { ends }: CursorOptions): Promise<LogFile> {
  const endOf = ends === undefined || entry.encoding !== 'plain' ? undefined : (inode: string) => ends.get(inode) ?? 0
  return await LogFile.open(entry.path, entry.encoding, endOf)
}

function startOf(index: LogIndex, query: LineQuery, entry: LogFileEntry): number {
  return index.blocks
    .filter((block) => query.mayHold(block, entry))
    .reduce((least, { fromMs }) => Math.min(least, fromMs ?? Number.NEGATIVE_INFINITY), Number.POSITIVE_INFINITY)
}

/** The time of the first line. */
async function peekedMs(file: LogFile): Promise<number> {
  if (file.encoding === 'zstd') return Number.NEGATIVE_INFINITY
  try {
    const bytes = await file.head(peekBytes)
    const text = (
      file.encoding === 'gzip' ? gunzipSync(bytes, { finishFlush: zlibConstants.Z_SYNC_FLUSH, maxOutputLength: 4_194_304 }) : bytes
    ).toString('latin1')
    const end = text.indexOf('\n')
    if (end === -1) return Number.NEGATIVE_INFINITY
    const head = new LineHead()
    head.read(text, 0, end)
    return Number.isNaN(head.timeMs) ? Number.NEGATIVE_INFINITY : head.timeMs
  } catch {
    return Number.NEGATIVE_INFINITY
  }
}

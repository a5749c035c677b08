/**
 * A query over a folder of kept lines. Files are merged by time: a line is given out when no file can still bring an
 * earlier one. Within a file lines stay in its order.
 *
 *   files not begun     begun, some blocks read                    given out
 *   startMs known  ──►  watermark: nothing earlier comes  ──►  the earliest of all waiting lines
 *
 * What waits is bounded: beyond it the earliest is given out all the same, and the report says that the order is not exact.
 */
import { FileCursor } from './file-cursor.ts'
import { type LineConditions, LineQuery, type Match, type ScanCounts } from './line-query.ts'
import { type LogFileEntry, listLogFiles } from './log-folder.ts'

/** Files held open from the beginning, the newest: these may be renamed, compressed or removed while the query runs. */
const openFilesMax = 200
/** Wanted lines that wait for earlier ones of other files. */
const waitingBytesMax = 25_165_824

export interface QueryOptions {
  /** Where the file sink keeps lines: a folder, or a template with placeholders below it. */
  readonly template: string
  readonly conditions: LineConditions
  /** Whether lines are wanted in the order of their time; else file by file. */
  readonly isOrdered: boolean
  /** Only how many lines match is asked. */
  readonly isCounting?: boolean
  readonly limit?: number | undefined
  /** Where to stop in files that are still written to; see {@link CursorOptions.ends}. */
  readonly ends?: ReadonlyMap<string, number> | undefined
  /** Compressed files to be read; all of them without. */
  readonly compressed?: ReadonlySet<string> | undefined
  readonly signal?: AbortSignal
}

export interface QueryProgress {
  readonly bytesDone: number
  readonly bytesTotal: number
  /** What was looked at, decompressed. */
  readonly bytesRead: number
  readonly matched: number
}

export interface QueryReport extends ScanCounts {
  readonly files: number
  /** Files with other names. */
  readonly foreign: number
  /** What could not be read, and why. */
  readonly unreadable: readonly string[]
  readonly isOrderExact: boolean
  /** Inodes of plain files that were opened, or had nothing that is wanted. */
  readonly plain: ReadonlySet<string>
  /** Records of which the condition would have taken too long. */
  readonly tooCostly: number
}

export interface QueryUser {
  use(match: Match): void
  /** Asked between blocks; what it returns is waited for. */
  pace?(progress: QueryProgress): Promise<void> | undefined
}

/** @throws {@link SpillwayError} `SPW_DIR_UNUSABLE` when the folder cannot be read */
export async function runQuery(options: QueryOptions, user: QueryUser): Promise<QueryReport> {
  return await new QueryRun(options, user).run()
}

class QueryRun {
  readonly #options: QueryOptions
  readonly #user: QueryUser
  readonly #query: LineQuery
  readonly #unreadable: string[] = []
  readonly #plain = new Set<string>()
  #bytesDone = 0
  #bytesTotal = 0
  #longLines = 0
  #left: number
  #isOrderExact = true

  constructor(options: QueryOptions, user: QueryUser) {
    this.#options = options
    this.#user = user
    this.#query = new LineQuery(options.conditions)
    this.#left = options.limit ?? Number.POSITIVE_INFINITY
  }

  async run(): Promise<QueryReport> {
    const listing = await listLogFiles(this.#options.template)
    this.#unreadable.push(...listing.unreadable)
    const cursors = await this.#open(listing.files.filter((entry) => this.#query.mayHoldFile(entry) && this.#isMeant(entry)))
    try {
      if (this.#options.isOrdered) await this.#merge(cursors)
      else await this.#each(cursors)
    } finally {
      for (const cursor of cursors) {
        await cursor.close()
        this.#longLines += cursor.trouble.longLines
        if (cursor.trouble.damage !== undefined) this.#unreadable.push(`${cursor.entry.path}: ${cursor.trouble.damage}`)
      }
    }
    return {
      ...this.#query.counts,
      files: listing.files.length,
      foreign: listing.foreign,
      longLines: this.#longLines + this.#query.counts.longLines,
      unreadable: this.#unreadable,
      isOrderExact: this.#isOrderExact,
      plain: this.#plain,
      tooCostly: this.#options.conditions.where?.tooCostly ?? 0,
    }
  }

  #isMeant({ path, encoding }: LogFileEntry): boolean {
    const { compressed } = this.#options
    return encoding === 'plain' || compressed === undefined || compressed.has(path)
  }

  async #open(entries: readonly LogFileEntry[]): Promise<FileCursor[]> {
    const options = { isCounting: this.#options.isCounting === true, nowMs: Date.now(), ends: this.#options.ends }
    const paths = new Set(entries.map((entry) => entry.path))
    const cursors: FileCursor[] = []
    // Last in the alphabet are, mostly, the newest.
    for (const [i, entry] of entries.toReversed().entries()) {
      if (this.#hasEnded) break
      // Between its end and the removal of what it was made from, both are there.
      if (entry.encoding !== 'plain' && paths.has(entry.path.replace(/\.(?:gz|zst)$/, ''))) continue
      const cursor = await this.#tried(entry.path, () => FileCursor.open(entry, this.#query, options))
      if (cursor === undefined) continue
      if (entry.encoding === 'plain') this.#plain.add(cursor.inode)
      if (cursor.isDone || i >= openFilesMax) await cursor.pause()
      if (cursor.isDone) continue
      cursors.push(cursor)
      this.#bytesTotal += cursor.bytes
    }
    return cursors.sort((a, b) => a.startMs - b.startMs || (a.entry.path < b.entry.path ? -1 : 1))
  }

  async #each(cursors: readonly FileCursor[]): Promise<void> {
    for (const cursor of cursors) {
      while (!cursor.isDone && !this.#hasEnded) await this.#advance(cursor, (match) => this.#give(match))
    }
  }

  async #merge(cursors: readonly FileCursor[]): Promise<void> {
    let begun = 0
    let active: FileCursor[] = []
    for (;;) {
      if (this.#hasEnded) return
      const frontier = active.reduce((least, cursor) => Math.min(least, cursor.watermarkMs), Number.POSITIVE_INFINITY)
      const upcoming = cursors[begun]
      // What begins before all that is being read is known has to be looked at too.
      if (upcoming !== undefined && (active.length === 0 || upcoming.startMs <= frontier)) {
        active.push(upcoming)
        begun += 1
        continue
      }
      const bound = Math.min(frontier, upcoming?.startMs ?? Number.POSITIVE_INFINITY)
      this.#giveUpTo(active, bound)
      active = active.filter((cursor) => !cursor.isDone || cursor.hasWaiting)
      const behind = active.filter((cursor) => !cursor.isDone).sort((a, b) => a.watermarkMs - b.watermarkMs)[0]
      if (behind === undefined) {
        if (upcoming === undefined && active.length === 0) return
        continue
      }
      await this.#advance(behind)
    }
  }

  /** Gives out waiting lines that are earlier than what may still come, and of too many also others. */
  #giveUpTo(active: readonly FileCursor[], boundMs: number): void {
    let waitingBytes = active.reduce((sum, cursor) => sum + cursor.waitingBytes, 0)
    for (;;) {
      let earliest: FileCursor | undefined
      for (const cursor of active) {
        if (cursor.nextMs !== undefined && (earliest?.nextMs === undefined || cursor.nextMs < earliest.nextMs)) earliest = cursor
      }
      const nextMs = earliest?.nextMs
      if (earliest === undefined || nextMs === undefined) return
      const isForced = nextMs > boundMs
      if (isForced && waitingBytes <= waitingBytesMax) return
      const before = earliest.waitingBytes
      const match = earliest.take()
      if (match === undefined || !this.#give(match)) return
      waitingBytes -= before - earliest.waitingBytes
      if (isForced) this.#isOrderExact = false
    }
  }

  #give(match: Match): boolean {
    if (this.#left <= 0) return false
    this.#left -= 1
    this.#user.use(match)
    return true
  }

  async #advance(cursor: FileCursor, use?: (match: Match) => void): Promise<void> {
    const bytes = await this.#tried(cursor.entry.path, () => cursor.advance(use))
    if (bytes === undefined) cursor.isDone = true
    this.#bytesDone += bytes ?? 0
    await this.#user.pace?.({
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
      bytesRead: this.#query.counts.bytes,
      matched: this.#query.counts.matched,
    })
  }

  async #tried<T>(path: string, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act()
    } catch (error) {
      this.#unreadable.push(`${path}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }

  get #hasEnded(): boolean {
    return this.#left <= 0 || this.#options.signal?.aborted === true
  }
}

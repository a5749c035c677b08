/** What is written to files of a folder from now on: looked for again and again, so that it works on any file system. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { parseFields } from '../../wire/expression/log-record.ts'
import { type LineConditions, LineQuery, type Match } from './line-query.ts'
import { lineBytesMax } from './log-blocks.ts'
import { type LogFileEntry, listLogFiles } from './log-folder.ts'

const everyMs = 250
const readBytes = 1_048_576
const followedMax = 1_000
const lineFeed = 10
/** Files that are renamed several times a second leave room between. */
const attemptsMax = 10

/** Files as they were when following began. */
export interface FollowStart {
  /** By inode: where each plain file is followed from. */
  readonly ends: ReadonlyMap<string, number>
  /** Paths of compressed files. One that comes later holds what stood in a plain one. */
  readonly compressed: ReadonlySet<string>
}

interface Followed {
  readonly handle: FileHandle
  /** Where following began. */
  readonly from: number
  entry: LogFileEntry
  /** Everything before it was looked at. */
  position: number
  /** Whether it still stands in the folder. */
  isListed: boolean
}

export interface FollowOptions {
  readonly template: string
  readonly conditions: LineConditions
  readonly signal: AbortSignal
}

export class Follow {
  readonly #options: FollowOptions
  readonly #query: LineQuery
  readonly #files = new Map<string, Followed>()
  readonly #compressed = new Set<string>()

  constructor(options: FollowOptions) {
    this.#options = options
    this.#query = new LineQuery(options.conditions)
  }

  /** Takes the files as they are now: what is in them already will not be given out. To be called before they are queried, up to here. */
  async begin(): Promise<FollowStart> {
    for (let attempt = 0; !(await this.#hasBegun()) && attempt < attemptsMax; attempt += 1);
    return { ends: new Map([...this.#files].map(([inode, { from }]) => [inode, from])), compressed: this.#compressed }
  }

  /**
   * What stood in files before they were followed, of those that a query did not come upon: they were compressed or removed
   * before it looked. File by file.
   *
   * @param seen - Inodes of the plain files it came upon.
   */
  async before(query: LineQuery, seen: ReadonlySet<string>, use: (match: Match) => void): Promise<void> {
    for (const [inode, { handle, entry, from }] of this.#files) {
      if (from === 0 || seen.has(inode) || !query.mayHoldFile(entry)) continue
      await readLines(handle, { from: 0, to: from }, (bytes, offset) =>
        query.scan({ offset, bytes: bytes.length, lines: bytes, isStart: true }, entry, false, use),
      )
    }
  }

  /** Until the signal, or `use` says false. */
  async run(use: (match: Match) => boolean, pace: () => Promise<void> | undefined): Promise<void> {
    while (!this.#options.signal.aborted && (await this.once(use, pace)))
      await wait(everyMs, undefined, { signal: this.#options.signal }).catch(() => undefined)
  }

  /** What has been written since the last look. False when `use` wants no more. */
  async once(use: (match: Match) => boolean, pace: () => Promise<void> | undefined): Promise<boolean> {
    let isWanted = true
    await this.#look(false)
    for (const [inode, file] of this.#files) {
      const read = await this.#read(file, (match) => {
        isWanted &&= use(match)
      })
      await pace()
      if (!file.isListed && !read) {
        await file.handle.close()
        this.#files.delete(inode)
      }
      if (!isWanted) return false
    }
    return true
  }

  /** All that has been written up to now, also to files that are renamed while it looks. */
  async catchUp(use: (match: Match) => void, pace: () => Promise<void> | undefined): Promise<void> {
    const take = (match: Match) => {
      use(match)
      return true
    }
    let seen: readonly LogFileEntry[] = []
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      await this.once(take, pace)
      const { files } = await listLogFiles(this.#options.template)
      if (isSame(files, seen)) return
      seen = files
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#files.values()) await handle.close()
    this.#files.clear()
  }

  /** False when files were renamed or compressed meanwhile: one could have been taken for another. */
  async #hasBegun(): Promise<boolean> {
    await this.close()
    this.#compressed.clear()
    const taken = await this.#look(true)
    const now = await listLogFiles(this.#options.template)
    return isSame(now.files, taken)
  }

  async #look(isBeginning: boolean): Promise<readonly LogFileEntry[]> {
    const { files } = await listLogFiles(this.#options.template)
    for (const file of this.#files.values()) file.isListed = false
    for (const entry of files) {
      if (isBeginning && entry.encoding !== 'plain') this.#compressed.add(entry.path)
      // What is compressed was plain before, and was followed then.
      if (entry.encoding !== 'plain' || !this.#query.mayHoldFile(entry)) continue
      await this.#found(entry, isBeginning).catch(() => undefined)
    }
    return files
  }

  async #found(entry: LogFileEntry, isBeginning: boolean): Promise<void> {
    const handle = await open(entry.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stat = await handle.stat()
    const inode = `${stat.dev}:${stat.ino}`
    const known = this.#files.get(inode)
    if (known !== undefined || !stat.isFile() || this.#files.size >= followedMax) {
      await handle.close()
      if (known === undefined) return
      known.isListed = true
      known.entry = entry
      // Cut by a rotation that copies: it begins anew.
      if (stat.size < known.position) known.position = 0
      return
    }
    const position = isBeginning ? await wholeLinesEnd(handle, stat.size) : 0
    this.#files.set(inode, { handle, from: position, entry, position, isListed: true })
  }

  /** Whole lines from the position on. False when there were none. */
  async #read(file: Followed, use: (match: Match) => void): Promise<boolean> {
    const from = file.position
    file.position = await readLines(file.handle, { from, to: Number.POSITIVE_INFINITY, signal: this.#options.signal }, (bytes, offset) =>
      this.#query.scan({ offset, bytes: bytes.length, lines: bytes, isStart: true }, file.entry, false, use),
    )
    return file.position > from
  }
}

function isSame(files: readonly LogFileEntry[], others: readonly LogFileEntry[]): boolean {
  return files.length === others.length && files.every(({ path }, i) => path === others[i]?.path)
}

/** Gives whole lines, piece by piece. Returns where it ended. */
async function readLines(
  handle: FileHandle,
  { from, to, signal }: { readonly from: number; readonly to: number; readonly signal?: AbortSignal },
  use: (lines: Buffer, offset: number) => void,
): Promise<number> {
  const buffer = Buffer.allocUnsafe(readBytes)
  let position = from
  while (signal?.aborted !== true && position < to) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(readBytes, to - position), position)
    const isRest = position + bytesRead >= to
    const whole = isRest ? bytesRead : buffer.subarray(0, bytesRead).lastIndexOf(lineFeed) + 1
    // A line without end is passed over, piece by piece.
    const taken = whole === 0 && bytesRead >= lineBytesMax ? bytesRead : whole
    if (taken === 0) break
    if (whole > 0) use(buffer.subarray(0, whole), position)
    position += taken
  }
  return position
}

/** Where the last whole line ends: an unfinished one is read when it is finished. */
async function wholeLinesEnd(handle: FileHandle, size: number): Promise<number> {
  const bytes = Math.min(size, lineBytesMax)
  const tail = Buffer.alloc(bytes)
  await handle.read(tail, 0, bytes, size - bytes)
  const start = tail.lastIndexOf(lineFeed) + 1
  // One that only lacks its line feed was given out.
  return parseFields(tail.toString('utf8', start)) === undefined ? size - bytes + start : size
}

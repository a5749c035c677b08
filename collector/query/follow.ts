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

interface Followed {
  readonly handle: FileHandle
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

  constructor(options: FollowOptions) {
    this.#options = options
    this.#query = new LineQuery(options.conditions)
  }

  /** Takes the files as they are now: what is in them already will not be given out. To be called before they are queried, up to here. */
  async begin(): Promise<ReadonlyMap<string, number>> {
    await this.#look(true)
    return new Map([...this.#files].map(([inode, { position }]) => [inode, position]))
  }

  /** Until the signal, or `use` says false. */
  async run(use: (match: Match) => boolean, pace: () => Promise<void> | undefined): Promise<void> {
    let isWanted = true
    while (isWanted && !this.#options.signal.aborted) {
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
        if (!isWanted) return
      }
      await wait(everyMs, undefined, { signal: this.#options.signal }).catch(() => undefined)
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#files.values()) await handle.close()
    this.#files.clear()
  }

  async #look(isBeginning: boolean): Promise<void> {
    const { files } = await listLogFiles(this.#options.template)
    for (const file of this.#files.values()) file.isListed = false
    for (const entry of files) {
      // What is compressed was plain before, and was followed then.
      if (entry.encoding !== 'plain' || !this.#query.mayHoldFile(entry)) continue
      await this.#found(entry, isBeginning).catch(() => undefined)
    }
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
    this.#files.set(inode, { handle, entry, position, isListed: true })
  }

  /** Whole lines from the position on. False when there were none. */
  async #read(file: Followed, use: (match: Match) => void): Promise<boolean> {
    const buffer = Buffer.allocUnsafe(readBytes)
    let hasRead = false
    while (!this.#options.signal.aborted) {
      const { bytesRead } = await file.handle.read(buffer, 0, readBytes, file.position)
      const whole = buffer.subarray(0, bytesRead).lastIndexOf(lineFeed) + 1
      // A line without end is passed over, piece by piece.
      const taken = whole === 0 && bytesRead >= lineBytesMax ? bytesRead : whole
      if (taken === 0) break
      hasRead = true
      if (whole > 0)
        this.#query.scan({ offset: file.position, bytes: whole, lines: buffer.subarray(0, whole), isStart: true }, file.entry, false, use)
      file.position += taken
    }
    return hasRead
  }
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

/**
 * What was written into a log file since its disk last had all of it.
 *
 * A sync that fails is told once: the kernel may have dropped what it could not write, and calls the next one a
 * success. So what was written since the last good one is written again, in its place, from what the file reads as; a
 * checksum says whether that is what was written. What is not, is lost, and counted.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Entry, LostRecords } from './sink.ts'

const pieceBytes = 1_048_576

/** Bytes that follow each other in the file. */
interface Written {
  readonly from: number
  readonly to: number
  readonly checksum: number
}

export class Unsynced {
  /** A sync of it has failed. */
  isSuspect = false
  #written: Written[] = []
  readonly #records = new Map<string, LostRecords>()

  /** @param from - Offset of the first byte of `pieces`, of which so many bytes were written. */
  wrote(from: number, pieces: readonly Buffer[], bytes: number): void {
    const last = this.#written.at(-1)
    const continues = last?.to === from
    let checksum = continues ? last.checksum : 0
    let left = bytes
    for (const piece of pieces) {
      if (left <= 0) break
      checksum = crc32(piece.subarray(0, left), checksum)
      left -= piece.length
    }
    const written = { from: continues ? last.from : from, to: from + bytes, checksum }
    if (continues) this.#written[this.#written.length - 1] = written
    else this.#written.push(written)
  }

  done({ origin, topic, count }: Pick<Entry, 'origin' | 'topic' | 'count'>): void {
    const key = `${origin} ${topic}`
    this.#records.set(key, { origin, topic, records: count + (this.#records.get(key)?.records ?? 0) })
  }

  /** What came while its sync was under way is behind it. */
  follow(later: Unsynced | undefined): void {
    if (later === undefined) return
    this.#written.push(...later.#written)
    for (const { origin, topic, records } of later.#records.values()) this.done({ origin, topic, count: records })
  }

  /** Forgets all of it. Returns its records. */
  giveUp(): readonly LostRecords[] {
    const records = [...this.#records.values()]
    this.#records.clear()
    this.#written = []
    return records
  }

  /**
   * Writes all of it again. Rejects when that fails.
   *
   * @param isIt - Whether the file at `path` still is the one it was written to.
   * @returns False when it does not read as it was written.
   */
  async rewrite(path: string, isIt: (handle: FileHandle) => Promise<boolean>): Promise<boolean> {
    const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW)
    try {
      if (!(await isIt(handle))) return false
      for (const written of this.#written) if (!(await rewriteOne(handle, written))) return false
      return true
    } finally {
      await handle.close()
    }
  }
}

/** Where what is not on the disk yet was written. */
export interface WrittenFile {
  readonly path: string
  readonly identity: string
  /** Undefined when it is not open. */
  readonly handle: FileHandle | undefined
}

/**
 * Has the disk take all of it. Rejects when it does not; called once more it is written again then.
 *
 * @param lost - Told of records that the disk has dropped and that cannot be read any more.
 */
export async function syncWritten(unsynced: Unsynced, file: WrittenFile, lost: (lost: LostRecords) => void): Promise<void> {
  try {
    if (unsynced.isSuspect && !(await rewrite(unsynced, file))) for (const records of unsynced.giveUp()) lost(records)
    if (file.handle !== undefined) return await file.handle.datasync()
    const handle = await open(file.path, constants.O_RDONLY | constants.O_NOFOLLOW)
    await handle.datasync().finally(() => handle.close())
  } catch (error) {
    unsynced.isSuspect = true
    throw error
  }
}

/** False when what was written cannot be read, or not in this file. */
async function rewrite(unsynced: Unsynced, { path, identity }: WrittenFile): Promise<boolean> {
  try {
    return await unsynced.rewrite(path, async (handle) => identityOf(await handle.stat()) === identity)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** What a file is told by, whatever it is called. */
export function identityOf(stat: { readonly dev: number; readonly ino: number }): string {
  return `${stat.dev}:${stat.ino}`
}

async function rewriteOne(handle: FileHandle, { from, to, checksum }: Written): Promise<boolean> {
  const piece = Buffer.allocUnsafe(Math.min(pieceBytes, to - from))
  let sum = 0
  for (let at = from; at < to; ) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, to - at), at)
    if (bytesRead === 0) return false
    sum = crc32(piece.subarray(0, bytesRead), sum)
    for (let done = 0; done < bytesRead; ) done += (await handle.write(piece, done, bytesRead - done, at + done)).bytesWritten
    at += bytesRead
  }
  return sum === checksum
}

/**
 * Files that were rotated and whose lines may not be on the disk yet: brought there one after the other, while the next
 * file is written to.
 */
import type { FileHandle } from 'node:fs/promises'
import { closingFilesMax } from '../../wire/limits.ts'
import type { LostRecords } from './sink.ts'
import { syncWritten, type Unsynced } from './unsynced.ts'

export interface ClosingFile {
  /** The path it was written under. */
  readonly plain: string
  readonly path: string
  readonly identity: string
  readonly handle: FileHandle
  /** Undefined when the disk has all of it. */
  readonly unsynced: Unsynced | undefined
}

export class ClosingFiles {
  readonly #files: ClosingFile[] = []
  readonly #lost: (path: string, lost: LostRecords) => void
  #syncing: Promise<void> | undefined

  /** @param lost - Told of records that the disk has dropped. */
  constructor(lost: (path: string, lost: LostRecords) => void) {
    this.#lost = lost
  }

  /** Takes a file over, and closes it when the disk has it. Waits when there are many; rejects when they cannot be synced. */
  async add(file: ClosingFile): Promise<void> {
    this.#files.push(file)
    const synced = this.sync()
    if (this.#files.length > closingFilesMax) await synced
    else synced.catch(() => undefined)
  }

  /** Whether one that was written under a path is among them. */
  has(plain: string): boolean {
    return this.#files.some((file) => file.plain === plain)
  }

  /** Resolves when all that were taken are on the disk. What the disk did not take is written again with the next call. */
  sync(): Promise<void> {
    this.#syncing ??= this.#syncAll().finally(() => {
      this.#syncing = undefined
    })
    return this.#syncing
  }

  async #syncAll(): Promise<void> {
    for (let [file] = this.#files; file !== undefined; [file] = this.#files) {
      const { path, unsynced, handle } = file
      if (unsynced !== undefined) await syncWritten(unsynced, file, (lost) => this.#lost(path, lost))
      this.#files.shift()
      await handle.close()
    }
  }

  /** Closes them, synced or not. */
  async close(): Promise<void> {
    await this.sync().catch(() => undefined)
    for (const { handle } of this.#files.splice(0)) await handle.close()
  }
}

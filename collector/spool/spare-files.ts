/**
 * Files of segments that are done with, kept to be written over: the disk has their blocks, and the kernel their pages.
 * Measured against new files: 0.6 times the CPU of writing and less, and half the time of a sync.
 *
 * What stands in a spare file means nothing: records are told by the position of their segment, and none comes twice.
 */
import { constants } from 'node:fs'
import { type FileHandle, link, open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../sync-folder.ts'

const suffix = '.spare'
const spareName = /^\d+\.spare$/

/** Whether a name in the spool's folder is that of a spare file. */
export function isSpareFile(name: string): boolean {
  return spareName.test(name)
}

export interface SpareFile {
  readonly path: string
  /** Its size. */
  readonly bytes: number
}

export class SpareFiles {
  readonly #dir: string
  readonly #spares: SpareFile[] = []
  #made = 0

  constructor(dir: string) {
    this.#dir = dir
  }

  get length(): number {
    return this.#spares.length
  }

  get bytes(): number {
    let sum = 0
    for (const { bytes } of this.#spares) sum += bytes
    return sum
  }

  /**
   * Keeps a file under another name, once the folder on the disk says so: after a loss of power it is not found under
   * its old name with new records in it.
   */
  async keep({ path, bytes }: SpareFile): Promise<void> {
    const spare = join(this.#dir, `${this.#made}${suffix}`)
    this.#made += 1
    await rename(path, spare)
    await syncFolder(this.#dir)
    this.#spares.push({ path: spare, bytes })
  }

  /** Takes one out, open for writing; undefined when there is none that is still a plain file. It is the caller's then. */
  async take(): Promise<(SpareFile & { readonly handle: FileHandle }) | undefined> {
    for (let file = this.#spares.shift(); file !== undefined; file = this.#spares.shift()) {
      try {
        const handle = await open(file.path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
        const stat = await handle.stat()
        if (stat.isFile() && stat.nlink === 1) return { path: file.path, bytes: stat.size, handle }
        await handle.close()
      } catch {
        // Somebody deleted it, or put something else there.
      }
    }
    return undefined
  }

  /** Gives a file that was taken its new name. What is there is not replaced. */
  async name({ path }: SpareFile, as: string): Promise<void> {
    await link(path, as)
    await unlink(path)
  }
}

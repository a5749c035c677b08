/** The files of a template that are there: found by their names, and nothing else is one. Links are not followed. */
import type { Dirent } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { LogFileName, LogPath } from './log-path.ts'

export interface KeptFile extends LogFileName {
  readonly path: string
  readonly bytes: number
  /** When it was last written to, Unix ms. */
  readonly writtenAtMs: number
  /** Distinguishes it from another under the same name. */
  readonly ino: number
}

export interface KeptFiles {
  readonly files: readonly KeptFile[]
  /** What a compression that was broken off has left. */
  readonly unfinished: readonly string[]
  /** Of the first folder that could not be read. */
  readonly error: string | undefined
}

export const unfinishedSuffix = '.tmp'
/** Files whose size is asked for at the same time: some of Node's four threads are for the spool. */
const asksMax = 2

/** Looks through the folders of a template. Never rejects; one that is not there is empty. */
export async function findFiles(path: LogPath): Promise<KeptFiles> {
  const names: (LogFileName & { readonly path: string })[] = []
  const unfinished: string[] = []
  let error: string | undefined
  const enter = async (folder: string, depth: number): Promise<void> => {
    const pattern = path.folderPattern(depth)
    for (const entry of await entriesOf(folder, (message) => (error ??= message))) {
      const at = join(folder, entry.name)
      if (pattern !== undefined) {
        if (entry.isDirectory() && pattern.test(entry.name)) await enter(at, depth + 1)
      } else if (entry.isFile()) {
        const name = path.nameOf(at)
        if (name !== undefined) names.push({ ...name, path: at })
        else if (isUnfinished(path, at)) unfinished.push(at)
      }
    }
  }
  await enter(path.root, 0)
  const files: KeptFile[] = []
  const next = names.values()
  const ask = async () => {
    for (const name of next) {
      const found = await lstat(name.path).catch(() => undefined)
      if (found?.isFile() === true) files.push({ ...name, bytes: found.size, writtenAtMs: found.mtimeMs, ino: found.ino })
    }
  }
  await Promise.all(Array.from({ length: asksMax }, ask))
  return { files, unfinished, error }
}

function isUnfinished(path: LogPath, at: string): boolean {
  return at.endsWith(unfinishedSuffix) && path.nameOf(at.slice(0, -unfinishedSuffix.length))?.compression !== undefined
}

async function entriesOf(folder: string, failed: (message: string) => void): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') failed(error instanceof Error ? error.message : String(error))
    return []
  }
}

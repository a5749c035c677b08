/** Folders and files that are what they look like: nobody has put a link there, or a file of his own. */
import { lstat, mkdir, stat } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'

const folderMode = 0o750
const writableByOthers = 0o022

/**
 * Makes a folder and what is above it. Below `root` none may be a link.
 *
 * @throws When one is, or cannot be made.
 */
export async function makeFolder(root: string, folder: string): Promise<void> {
  await mkdir(root, { recursive: true, mode: folderMode })
  let at = root
  for (const name of relative(root, folder).split(sep)) {
    if (name === '') continue
    at = join(at, name)
    await makeOne(at)
  }
}

async function makeOne(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: folderMode })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const found = await lstat(folder)
    if (found.isSymbolicLink()) throw new Error(`${folder} is a link; log files are kept in folders only`)
  }
}

/**
 * A file in our folder that belongs to somebody else was put there by him, to read what is written, or to have it
 * written where it should not be.
 *
 * @throws When it belongs neither to this process's user nor to the owner of its folder.
 */
export async function checkOwner(path: string, uid: number): Promise<void> {
  const own = process.geteuid?.()
  if (own === undefined || uid === own || uid === (await stat(dirname(path))).uid) return
  throw new Error(`${path} belongs to user ${uid}, neither to user ${own} nor to the owner of its folder; move it away`)
}

/** What is wrong with who may write to a folder; undefined when nothing is, or it is not there. */
export async function folderFault(folder: string): Promise<string | undefined> {
  const own = process.geteuid?.()
  const found = await stat(folder).catch(() => undefined)
  if (own === undefined || found === undefined) return undefined
  if (found.uid !== own && found.uid !== 0) {
    return `${folder} belongs to user ${found.uid}, who can change and remove what is kept there; give it to user ${own}`
  }
  if ((found.mode & writableByOthers) === 0) return undefined
  const who = (found.mode & 0o002) === 0 ? 'its group' : 'everybody'
  return `${folder} can be written by ${who} (mode ${(found.mode & 0o7777).toString(8)}), who can change and remove what is kept there; chmod go-w ${folder}`
}

/**
 * One collector per folder: a lock file that names its holder. A holder that is gone leaves no lock behind that
 * counts, and a process that merely got the same number later (every container's first is 1) is not taken for it.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SpillwayError } from '../wire/spillway-error.ts'

const lockName = 'collector.lock'

export interface FolderLock {
  release(): void
}

/** @throws {@link SpillwayError} `SPW_DIR_LOCKED`, or `SPW_DIR_UNUSABLE` when the folder cannot be made or written. */
export function lockFolder(dir: string): FolderLock {
  const path = join(dir, lockName)
  const mine = `${process.pid} ${startOf(process.pid)}\n`
  try {
    mkdirSync(dir, { recursive: true, mode: 0o750 })
    // Made whole under a name of its own and then linked: nobody ever reads a half-written lock.
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, mine, { mode: 0o640 })
    try {
      while (!links(draft, path)) removeStale(path, dir)
    } finally {
      rmSync(draft, { force: true })
    }
    return { release: () => releaseIfMine(path, mine) }
  } catch (error) {
    if (error instanceof SpillwayError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new SpillwayError(
      'SPW_DIR_UNUSABLE',
      `cannot keep files in ${dir}: ${reason}; make it writable, or choose another folder with --dir`,
      { cause: error },
    )
  }
}

function links(draft: string, path: string): boolean {
  try {
    linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Takes a lock away whose holder is gone. Another collector may do the same at this moment: only one moves the file. */
function removeStale(path: string, dir: string): void {
  const holder = liveHolder(path)
  if (holder !== undefined) {
    throw new SpillwayError(
      'SPW_DIR_LOCKED',
      `${dir} is in use by the collector with pid ${holder}; stop it, or choose another folder with --dir`,
    )
  }
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  // Between the look and the move it may have become somebody's: then it goes back.
  if (liveHolder(aside) !== undefined) links(aside, path)
  rmSync(aside, { force: true })
}

function liveHolder(path: string): number | undefined {
  const [pidText, start] = readText(path).trim().split(' ')
  const pid = Number(pidText)
  if (!Number.isInteger(pid) || pid <= 0) return undefined
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined
  }
  return startOf(pid) === start ? pid : undefined
}

/** When a process started, in the kernel's ticks; `-` where that cannot be told, so that the pid alone decides. */
function startOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`)
  // The name in parentheses may hold spaces; the start time is the 20th field behind it.
  return stat === '' ? '-' : (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-')
}

function releaseIfMine(path: string, mine: string): void {
  if (readText(path) === mine) rmSync(path, { force: true })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

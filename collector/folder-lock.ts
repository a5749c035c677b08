/**
 * One collector per folder: a lock file that names its holder. A holder that is gone leaves no lock behind that
 * counts, and a process that merely got the same number later (every container's first is 1) is not taken for it.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
    for (;;) {
      try {
        writeFileSync(path, mine, { flag: 'wx', mode: 0o640 })
        return { release: () => releaseIfMine(path, mine) }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        const holder = liveHolder(path)
        if (holder !== undefined) {
          throw new SpillwayError(
            'SPW_DIR_LOCKED',
            `${dir} is in use by the collector with pid ${holder}; stop it, or choose another folder with --dir`,
          )
        }
        rmSync(path, { force: true })
      }
    }
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

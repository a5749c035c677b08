/**
 * A disk of a few KiB that can be full for real. Where mounting is allowed, a file system of that size; and everywhere
 * on Linux a limit on the files of the process that writes, which cuts a write short and refuses the next one just so.
 */
import { execFileSync } from 'node:child_process'
import { tempDir } from '../support/processes.ts'

interface SmallDisk extends AsyncDisposable {
  readonly path: string
  /** What a process is told when it is full. */
  readonly error: RegExp
  /** To be called before it writes much, with the process that writes. */
  limit(pid: number): void
  grow(kibibytes: number): void
}

type OpenDisk = (kibibytes: number) => Promise<SmallDisk>

/** Every kind there is here, by name. */
export const smallDisks: readonly (readonly [string, OpenDisk])[] = [
  ...((await canMount()) ? [['disk', smallFileSystem] as const] : []),
  ...(runs('prlimit', '--version') ? [['allowance of bytes', limitedFiles] as const] : []),
]

async function canMount(): Promise<boolean> {
  await using dir = await tempDir()
  if (process.platform !== 'linux' || !runs('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir.path)) return false
  execFileSync('umount', [dir.path])
  return true
}

function runs(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function smallFileSystem(kibibytes: number): Promise<SmallDisk> {
  const dir = await tempDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', dir.path])
  return {
    path: dir.path,
    error: /ENOSPC/,
    limit: () => undefined,
    grow(more) {
      execFileSync('mount', ['-o', `remount,size=${more}k`, dir.path])
    },
    async [Symbol.asyncDispose]() {
      // Lazily: a process that is being killed may still hold a file.
      execFileSync('umount', ['-l', dir.path])
      await dir[Symbol.asyncDispose]()
    },
  }
}

async function limitedFiles(kibibytes: number): Promise<SmallDisk> {
  const dir = await tempDir()
  let limitedPid: number | undefined
  // The soft limit alone: the hard one stays, so that it can be raised again.
  const setLimit = (soft: number | 'unlimited') => execFileSync('prlimit', ['--pid', String(limitedPid), `--fsize=${soft}:`])
  return {
    path: dir.path,
    error: /EFBIG/,
    limit(pid) {
      limitedPid = pid
      setLimit(kibibytes * 1_024)
    },
    grow: (more) => setLimit(more * 1_024),
    async [Symbol.asyncDispose]() {
      if (limitedPid === process.pid) setLimit('unlimited')
      await dir[Symbol.asyncDispose]()
    },
  }
}

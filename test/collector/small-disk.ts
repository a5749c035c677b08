/** A file system of a few KiB that can be full for real. Needs the right to mount; elsewhere its tests are skipped. */
import { execFileSync } from 'node:child_process'
import { tempDir } from '../support/processes.ts'

function mounts(...args: readonly string[]): boolean {
  try {
    execFileSync('mount', args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function tryMount(): Promise<boolean> {
  await using dir = await tempDir()
  if (process.platform !== 'linux' || !mounts('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir.path)) return false
  execFileSync('umount', [dir.path])
  return true
}

export const canMount: boolean = await tryMount()

export interface SmallDisk extends AsyncDisposable {
  readonly path: string
  grow(kibibytes: number): Promise<void>
}

export async function smallDisk(kibibytes: number): Promise<SmallDisk> {
  const dir = await tempDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', dir.path])
  return {
    path: dir.path,
    async grow(more) {
      execFileSync('mount', ['-o', `remount,size=${more}k`, dir.path])
    },
    async [Symbol.asyncDispose]() {
      // Lazily: a process that is being killed may still hold a file.
      execFileSync('umount', ['-l', dir.path])
      await dir[Symbol.asyncDispose]()
    },
  }
}

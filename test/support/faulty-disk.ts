/** Disks that fail on purpose: calls of a process that fail or hang, and file systems that are full or read-only. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, tempDir } from './processes.ts'

type FaultyCall = 'write' | 'sync' | 'open'
type Fault = 'EIO' | 'ENOSPC' | 'EROFS' | 'hang'

export interface FaultyDisk extends AsyncDisposable {
  /** What a process is started with for its calls to be faulty. */
  readonly env: Record<string, string>
  /** From now on these fail, or hang, on every path with `part` in it. Replaces what was set before. */
  set(...rules: readonly (readonly [call: FaultyCall, part: string, fault: Fault])[]): void
}

/** Builds what is put between a process and its disk. Needs a C compiler, and a system that preloads libraries. */
export async function faultyDisk(): Promise<FaultyDisk> {
  const dir = await tempDir()
  const library = join(dir.path, 'faulty-disk.so')
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, join(root, 'test/support/faulty-disk.c'), '-ldl'], { stdio: 'pipe' })
  } catch (error) {
    throw new Error('this test builds test/support/faulty-disk.c: it needs a C compiler called cc (such as gcc) on Linux', { cause: error })
  }
  const rules = join(dir.path, 'rules')
  writeFileSync(rules, '')
  return {
    // Node's own way around these calls is off.
    env: { LD_PRELOAD: library, SPILLWAY_TEST_FAULTS: rules, UV_USE_IO_URING: '0' },
    set: (...lines) => writeFileSync(rules, lines.map((line) => `${line.join(' ')}\n`).join('')),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  }
}

export interface SmallFileSystem extends AsyncDisposable {
  readonly path: string
  resize(kibibytes: number): void
  setReadOnly(isReadOnly: boolean): void
}

/** A file system of its own in memory. Needs the right to mount. */
export async function smallFileSystem(kibibytes: number): Promise<SmallFileSystem> {
  const dir = await tempDir()
  const mount = (...args: readonly string[]) => execFileSync('mount', [...args], { stdio: 'pipe' })
  try {
    mount('-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', dir.path)
  } catch (error) {
    await dir[Symbol.asyncDispose]()
    throw new Error('this test mounts a small tmpfs: it needs Linux and the right to mount (root, or CAP_SYS_ADMIN)', { cause: error })
  }
  return {
    path: dir.path,
    resize: (size) => mount('-o', `remount,size=${size}k`, dir.path),
    setReadOnly: (isReadOnly) => mount('-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, dir.path),
    async [Symbol.asyncDispose]() {
      // Lazily: a process that is being killed may still hold a file.
      execFileSync('umount', ['-l', dir.path])
      await dir[Symbol.asyncDispose]()
    },
  }
}

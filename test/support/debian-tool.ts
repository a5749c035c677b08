/**
 * Programs that tests run beside Spillway. One that is installed is used; else it is taken out of its Debian package, with
 * the libraries that one depends on, without installing any of them, and kept in `test/.tools`. Where neither is possible
 * the tests that need it fail and say what is missing.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root, tempDir } from './processes.ts'

const run = promisify(execFile)
const keptIn = join(root, 'test/.tools/debian')

export interface DebianToolWanted {
  readonly name: string
  /** The first one holds it; libraries they depend on are taken too. */
  readonly packages: readonly [string, ...string[]]
  /** Its path in the package; by default `usr/bin/NAME`. */
  readonly file?: string
  /** Have it end well at once; by default `--version`. */
  readonly versionArgs?: readonly string[]
}

export interface DebianTool {
  readonly path: string
  /** What it needs in its environment to find its own parts; empty when it is installed. */
  readonly env: Readonly<Record<string, string>>
}

/** @throws When it is not installed and cannot be taken out of its package either. Downloading it may take a minute. */
export async function findDebianTool(wanted: DebianToolWanted): Promise<DebianTool> {
  const { name, packages, file = `usr/bin/${name}`, versionArgs = ['--version'] } = wanted
  // What is in `/usr/sbin` is on no user's PATH.
  for (const path of [name, join('/', file)]) if (await runs({ path, env: {} }, versionArgs)) return { path, env: {} }
  try {
    const folder = join(keptIn, packages[0])
    const path = join(folder, file)
    if (!existsSync(path)) await unpackInto(folder, packages)
    const libraries = await run('sh', ['-c', 'find "$0" -name "*.so*" -printf "%h\\n" | sort -u | paste -sd:', folder])
    const tool = { path, env: { LD_LIBRARY_PATH: libraries.stdout.trim() } }
    if (!existsSync(path)) throw new Error(`${file} is not in it`)
    if (!(await runs(tool, versionArgs))) throw new Error('what the package holds does not run here')
    return tool
  } catch (error) {
    throw new Error(
      `these tests need ${name}. It is not on the PATH, and could not be taken from Debian's packages ${packages.join(', ')} ` +
        `(${error instanceof Error ? error.message.trim() : String(error)}). Install it (apt-get install ${packages[0]}, or ` +
        `brew install ${packages[0]}) and run them again.`,
      { cause: error },
    )
  }
}

async function runs({ path, env }: DebianTool, args: readonly string[]): Promise<boolean> {
  return run(path, [...args], { env: { ...process.env, ...env } }).then(
    () => true,
    () => false,
  )
}

async function unpackInto(folder: string, packages: readonly string[]): Promise<void> {
  await using dir = await tempDir()
  const download = async () => run('apt-get', ['download', ...packages, ...(await librariesOf(packages))], { cwd: dir.path })
  await download().catch(async () => {
    // A new machine has no lists of packages yet.
    await run('apt-get', ['update']).catch(() => run('sudo', ['-n', 'apt-get', 'update']))
    await download()
  })
  await mkdir(keptIn, { recursive: true })
  const unpacked = `${folder}.${process.pid}`
  for (const name of await readdir(dir.path)) if (name.endsWith('.deb')) await run('dpkg-deb', ['-x', join(dir.path, name), unpacked])
  // Whole or not at all; another test file may have been faster.
  await rename(unpacked, folder).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    await rm(unpacked, { recursive: true, force: true })
  })
}

/** Libraries the packages depend on, but for the C library, which has to be the system's own, and what a browser would load. */
async function librariesOf(packages: readonly string[]): Promise<string[]> {
  const { stdout } = await run('apt-cache', ['depends', '--important', ...packages])
  const names = [...stdout.matchAll(/^ *\|?Depends: (lib[^\s<>]+)$/gm)].map((match) => match[1] ?? '')
  return [...new Set(names)].filter((name) => !/^lib(?:c6|gcc-s1|js-.*)$/.test(name))
}

/**
 * Programs out of Debian's packages, taken without installing them and kept in `test/.tools`. Where that is not possible
 * the tests that need one fail and say so.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root, tempDir } from './processes.ts'

const run = promisify(execFile)

export interface DebianTool {
  readonly path: string
  /** What it needs in its environment to find its own parts. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * @param file - The program's path inside its package.
 * @param packages - The first one holds it; libraries they depend on are taken too.
 */
export async function takeFromDebian(wanted: {
  readonly name: string
  readonly file: string
  readonly packages: readonly string[]
}): Promise<DebianTool> {
  const folder = join(root, 'test/.tools', wanted.name)
  try {
    if (!existsSync(folder)) await take(wanted.packages, folder)
    const libraries = await run('sh', ['-c', 'find "$0" -name "*.so*" -printf "%h\\n" | sort -u | paste -sd:', folder])
    const tool = { path: join(folder, wanted.file), env: { LD_LIBRARY_PATH: libraries.stdout.trim() } }
    if (!existsSync(tool.path)) throw new Error(`${wanted.file} is not in it`)
    return tool
  } catch (error) {
    throw new Error(
      `these tests need ${wanted.name}. It is not on the PATH, and could not be taken from Debian's packages ${wanted.packages.join(', ')} ` +
        `(${error instanceof Error ? error.message.trim() : String(error)}). Install it (apt-get install ${wanted.name}, or ` +
        `brew install ${wanted.name}) and run them again.`,
    )
  }
}

async function take(packages: readonly string[], folder: string): Promise<void> {
  await using dir = await tempDir()
  const download = async () => run('apt-get', ['download', ...packages, ...(await librariesOf(packages))], { cwd: dir.path })
  await download().catch(async () => {
    // A new machine has no lists of packages yet.
    await run('apt-get', ['update']).catch(() => run('sudo', ['-n', 'apt-get', 'update']))
    await download()
  })
  await mkdir(join(root, 'test/.tools'), { recursive: true })
  const taken = `${folder}.${process.pid}`
  for (const name of await readdir(dir.path)) if (name.endsWith('.deb')) await run('dpkg-deb', ['-x', join(dir.path, name), taken])
  // Whole or not at all; another test file may have been faster.
  await rename(taken, folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
}

/** Libraries the packages depend on, but for the C library, which has to be the system's own. */
async function librariesOf(packages: readonly string[]): Promise<string[]> {
  const { stdout } = await run('apt-cache', ['depends', '--important', ...packages])
  const names = [...stdout.matchAll(/^ *\|?Depends: (lib[^\s<>]+)$/gm)].map((match) => match[1] ?? '')
  return [...new Set(names)].filter((name) => !/^lib(?:c6|gcc-s1)$/.test(name))
}

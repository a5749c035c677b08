/**
 * Programs that tests run beside Spillway. One on the PATH is used; else it is taken out of its Debian package, without
 * installing that, and kept in `test/.tools`.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root, tempDir } from './processes.ts'

const run = promisify(execFile)
const toolsDir = join(root, 'test/.tools')

export interface DebianTool {
  /** Of the program. */
  readonly name: string
  /** That has it in `/usr/bin`. */
  readonly package: string
  /** Has it print its version and end. */
  readonly versionArgs: readonly string[]
}

/** Path of the program; undefined where it can be had neither way, which is an error in CI. */
export async function findTool(tool: DebianTool): Promise<string | undefined> {
  const kept = join(toolsDir, tool.name)
  if (await runs(tool.name, tool.versionArgs)) return tool.name
  if (existsSync(kept) && (await runs(kept, tool.versionArgs))) return kept
  try {
    await takeFromPackage(tool, kept)
    return kept
  } catch (error) {
    if (process.env['CI'] === undefined) return undefined
    throw new Error(`${tool.name} is needed and is not to be had from Debian's package "${tool.package}"`, { cause: error })
  }
}

async function runs(path: string, args: readonly string[]): Promise<boolean> {
  return run(path, [...args]).then(
    () => true,
    () => false,
  )
}

async function takeFromPackage(tool: DebianTool, kept: string): Promise<void> {
  await using dir = await tempDir()
  const download = () => run('apt-get', ['download', tool.package], { cwd: dir.path })
  await download().catch(async () => {
    // A new machine has no lists of packages yet.
    await run('apt-get', ['update']).catch(() => run('sudo', ['-n', 'apt-get', 'update']))
    await download()
  })
  const file = (await readdir(dir.path)).find((name) => name.endsWith('.deb'))
  if (file === undefined) throw new Error('apt-get download brought no file')
  const taken = join(dir.path, tool.name)
  const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -xO "./usr/bin/$2" > "$1"'
  await run('sh', ['-c', unpack, join(dir.path, file), taken, tool.name])
  await chmod(taken, 0o755)
  await mkdir(toolsDir, { recursive: true })
  // Whole or not at all. The temporary folder may be on another disk.
  await run('cp', [taken, `${kept}.${process.pid}`])
  await rename(`${kept}.${process.pid}`, kept)
}

/** Files out of Debian's packages, without installing those. */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type TempDir, tempDir } from './processes.ts'

const run = promisify(execFile)

/** A folder with what is in some packages, as it would be under `/`. Needs apt and the network. */
export async function filesOfPackages(...packages: readonly string[]): Promise<TempDir> {
  const dir = await tempDir()
  const download = () => run('apt-get', ['download', ...packages], { cwd: dir.path })
  await download().catch(async () => {
    // A new machine has no lists of packages yet.
    await run('apt-get', ['update']).catch(() => run('sudo', ['-n', 'apt-get', 'update']))
    await download()
  })
  const files = (await readdir(dir.path)).filter((name) => name.endsWith('.deb'))
  if (files.length < packages.length) throw new Error('apt-get download did not bring every file')
  for (const file of files) await run('dpkg-deb', ['--extract', join(dir.path, file), dir.path])
  return dir
}

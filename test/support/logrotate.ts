/**
 * Debian's logrotate. One that is installed is used; else it is taken out of its package, without installing that, and
 * kept in `test/.tools`. Where neither is possible the tests that need it fail and say so.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { filesOfPackages } from './debian-packages.ts'
import { root } from './processes.ts'

const run = promisify(execFile)
const kept = join(root, 'test/.tools/logrotate')

export interface Logrotate {
  /** Rotates now what a configuration says, whenever that was done last. */
  force(config: string, state: string): Promise<void>
}

export async function findLogrotate(): Promise<Logrotate> {
  for (const path of ['logrotate', '/usr/sbin/logrotate']) if (await runs(path, process.env)) return runner(path, process.env)
  const own = join(kept, 'usr/sbin/logrotate')
  const libraries = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
  const env = { ...process.env, LD_LIBRARY_PATH: join(kept, 'usr/lib', libraries) }
  try {
    if (!existsSync(own)) await takeFromPackage()
    if (!(await runs(own, env))) throw new Error('what the package holds does not run here')
  } catch (error) {
    throw new Error(
      'these tests need logrotate. It is not on the PATH, and could not be taken from Debian\'s package "logrotate" ' +
        `(${error instanceof Error ? error.message.trim() : String(error)}). Install it (apt-get install logrotate) and run them again.`,
    )
  }
  return runner(own, env)
}

function runner(path: string, env: NodeJS.ProcessEnv): Logrotate {
  return {
    async force(config, state) {
      await run(path, ['--force', '--state', state, config], { env })
    },
  }
}

function runs(path: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  return run(path, ['--version'], { env }).then(
    () => true,
    () => false,
  )
}

async function takeFromPackage(): Promise<void> {
  await using files = await filesOfPackages('logrotate', 'libpopt0')
  await mkdir(join(root, 'test/.tools'), { recursive: true })
  await run('cp', ['-r', files.path, `${kept}.${process.pid}`])
  await rename(`${kept}.${process.pid}`, kept)
}

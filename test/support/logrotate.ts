/** Debian's logrotate. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findDebianTool } from './debian-tool.ts'

const run = promisify(execFile)

export interface Logrotate {
  /** Rotates now what a configuration says, whenever that was done last. */
  force(config: string, state: string): Promise<void>
}

export async function findLogrotate(): Promise<Logrotate> {
  const { path, env } = await findDebianTool({ name: 'logrotate', packages: ['logrotate'], file: 'usr/sbin/logrotate' })
  return {
    async force(config, state) {
      await run(path, ['--force', '--state', state, config], { env: { ...process.env, ...env } })
    },
  }
}

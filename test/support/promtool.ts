/**
 * Prometheus and its own checker. One that is installed is used; else it is taken out of Debian's package `prometheus`,
 * without installing that, and kept in `test/.tools`. Where neither is possible the tests that need it fail and say so.
 */
import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { filesOfPackages } from './debian-packages.ts'
import { root } from './processes.ts'

const run = promisify(execFile)
const toolsDir = join(root, 'test/.tools')

/** Path of a promtool that runs. */
export function findPromtool(): Promise<string> {
  return findTool('promtool')
}

/** Path of a program of Prometheus' that runs. */
export async function findTool(name: 'promtool' | 'prometheus'): Promise<string> {
  const kept = join(toolsDir, name)
  for (const path of [name, kept]) if (await runs(path)) return path
  try {
    await takeFromPackage(name)
  } catch (error) {
    throw new Error(
      `these tests need ${name}, of Prometheus. It is not on the PATH, and could not be taken from Debian's package ` +
        `"prometheus" (${error instanceof Error ? error.message.trim() : String(error)}). Install it (apt-get install prometheus, ` +
        'brew install prometheus, or https://prometheus.io/download) and run them again.',
    )
  }
  return kept
}

async function runs(path: string): Promise<boolean> {
  if (path.startsWith(toolsDir) && !existsSync(path)) return false
  return run(path, ['--version']).then(
    () => true,
    () => false,
  )
}

async function takeFromPackage(name: string): Promise<void> {
  await using files = await filesOfPackages('prometheus')
  await mkdir(toolsDir, { recursive: true })
  const kept = join(toolsDir, name)
  // Whole or not at all. The temporary folder may be on another disk.
  await run('cp', [join(files.path, 'usr/bin', name), `${kept}.${process.pid}`])
  await rename(`${kept}.${process.pid}`, kept)
}

/** What `promtool check metrics` says of a text; empty when it has nothing to say. Rejects when the text cannot be parsed. */
export function checkMetrics(promtool: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(promtool, ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        said += part
      })
    }
    child.once('error', reject)
    // 3 is what it ends with when it has found something to say about style.
    child.once('close', (code) => (code === 0 || code === 3 ? resolve(said) : reject(new Error(`promtool ended with ${code}: ${said}`))))
    child.stdin.on('error', () => undefined)
    child.stdin.end(text)
  })
}

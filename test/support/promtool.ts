/** Prometheus' own checker. */
import { spawn } from 'node:child_process'
import { findDebianTool } from './debian-tool.ts'

/** Path of a promtool that runs. */
export async function findPromtool(): Promise<string> {
  return (await findDebianTool({ name: 'promtool', packages: ['prometheus'] })).path
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

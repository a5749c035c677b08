// How long from the log call to the line in the terminal?
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { paired, printTable, root, runApp, spread, startCollector, withTempDir } from './support.mjs'

const ratePerSecond = 10_000

/** @param {{ rounds: number, seconds: number }} options */
export async function run({ rounds, seconds }) {
  const results = (await paired(['tail'], rounds, () => measure(seconds))).get('tail') ?? []
  printTable(
    `Log call to terminal line, ${ratePerSecond.toLocaleString('en')} lines/s for ${seconds} s, ${rounds} rounds: median (min–max)`,
    ['p50 ms', 'p99 ms', 'worst ms', 'missed'],
    [
      [
        spread(
          results.map((result) => result.p50),
          1,
        ),
        spread(
          results.map((result) => result.p99),
          1,
        ),
        spread(
          results.map((result) => result.max),
          1,
        ),
        String(Math.max(...results.map((result) => result.missed))),
      ],
    ],
  )
}

/** @param {number} seconds */
function measure(seconds) {
  return withTempDir(async (dir) => {
    const collector = await startCollector(dir)
    const tail = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'tail', '--connect', collector.tail, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await once(tail.stderr, 'data')
    /** @type {number[]} */
    const delays = []
    createInterface({ input: tail.stdout }).on('line', (line) => {
      delays.push(performance.timeOrigin + performance.now() - JSON.parse(line).t)
    })
    const { sent } = await runApp('clocked.mjs', { collector: collector.data, ratePerSecond, seconds })
    await new Promise((resolve) => setTimeout(resolve, 300))
    tail.kill('SIGTERM')
    await once(tail, 'close')
    await collector.stop()
    delays.sort((a, b) => a - b)
    const at = (/** @type {number} */ share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? NaN
    return { p50: at(0.5), p99: at(0.99), max: at(1), missed: sent - delays.length }
  })
}

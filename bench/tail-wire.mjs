// What does a tail of one service's errors take from the wire, and how late are they, while twenty applications log?
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { paired, printTable, root, runApp, spread, startCollector, withTempDir } from './support.mjs'

const applications = 20
const ratesPerSecond = [1_000, 5_000]
/** One line in so many is an error. */
const errorEvery = 50
const startMs = 8_000

/** @param {{ rounds: number, seconds: number }} options */
export async function run({ rounds, seconds }) {
  const results = await paired(ratesPerSecond, rounds, (ratePerSecond) => measure(ratePerSecond, seconds))
  printTable(
    `A tail of one of ${applications} applications at error, one line in ${errorEvery}, for ${seconds} s, ${rounds} rounds: median (min–max)`,
    [
      'lines/s of each',
      'logged together',
      'printed KB/s',
      'on the wire KB/s',
      'wire past printed, KB/s per origin',
      'p50 ms',
      'p99 ms',
      'worst ms',
      'missed',
    ],
    [...results].map(([ratePerSecond, all]) => {
      /** @param {(result: Result) => number} of @param {number} [decimals] */
      const column = (of, decimals = 1) => spread(all.map(of), decimals)
      return [
        ratePerSecond.toLocaleString('en'),
        column(({ logged, tookSeconds }) => logged / tookSeconds, 0),
        column(({ printedBytes, tookSeconds }) => printedBytes / tookSeconds / 1_000),
        column(({ wireBytes, tookSeconds }) => wireBytes / tookSeconds / 1_000),
        column(({ printedBytes, wireBytes, tookSeconds }) => (wireBytes - printedBytes) / tookSeconds / 1_000 / applications, 3),
        column(({ p50 }) => p50),
        column(({ p99 }) => p99),
        column(({ worst }) => worst),
        String(Math.max(...all.map(({ missed }) => missed))),
      ]
    }),
  )
}

/** @typedef {Awaited<ReturnType<typeof measure>>} Result */

/** @param {number} ratePerSecond @param {number} seconds */
function measure(ratePerSecond, seconds) {
  return withTempDir(async (dir) => {
    const collector = await startCollector(dir)
    const wire = await countingProxy(Number(new URL(collector.tail).port))
    const args = ['tail', '--connect', `tcp://127.0.0.1:${wire.port}`, '--json', '--service', 'watched', '--level', 'error']
    const tail = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    await once(tail.stderr, 'data')
    /** @type {number[]} */
    const delays = []
    let printedBytes = 0
    tail.stdout.on('data', (part) => {
      printedBytes += part.length
    })
    createInterface({ input: tail.stdout }).on('line', (line) => {
      delays.push(performance.timeOrigin + performance.now() - JSON.parse(line).t)
    })
    const startsAtMs = Date.now() + startMs
    const options = { collector: collector.data, ratePerSecond, seconds, errorEvery, startsAtMs }
    const apps = await Promise.all(
      Array.from({ length: applications }, (_, i) => runApp('mixed.mjs', { ...options, service: i === 0 ? 'watched' : `other-${i}` })),
    )
    // What is late is late, and not missed.
    const wanted = apps[0].errors
    for (let waits = 0; waits < 100 && delays.length < wanted; waits += 1) await new Promise((resolve) => setTimeout(resolve, 100))
    const tookSeconds = (Date.now() - startsAtMs) / 1_000
    const wireBytes = wire.bytes()
    tail.kill('SIGTERM')
    await once(tail, 'close')
    await collector.stop()
    wire.close()
    delays.sort((a, b) => a - b)
    const at = (/** @type {number} */ share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? NaN
    const logged = apps.reduce((sum, { sent }) => sum + sent, 0)
    return {
      printedBytes,
      wireBytes,
      tookSeconds,
      p50: at(0.5),
      p99: at(0.99),
      worst: at(1),
      missed: wanted - delays.length,
      logged,
    }
  })
}

/** Counts what comes from a port of this machine. @param {number} to */
async function countingProxy(to) {
  let bytes = 0
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    far.on('data', (part) => {
      bytes += part.length
    })
    far.pipe(near).pipe(far)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ])
      one?.on('error', () => other?.destroy()).on('close', () => other?.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: /** @type {import('node:net').AddressInfo} */ (server.address()).port, bytes: () => bytes, close: () => server.close() }
}

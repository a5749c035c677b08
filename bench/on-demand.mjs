// What does a debug call cost that nobody asked for, and how long after a tail has left does the application stop making them?
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { median, paired, printTable, root, runApp, spread, startCollector, withTempDir } from './support.mjs'

const variants = ["pino's own", 'pinoOptions', 'attach', 'fingersCrossed, outside', 'fingersCrossed, kept']
const keys = ['debug', 'child', 'ownLevel', 'isLevelEnabled', 'info', 'makeChild', 'makeChildWithLevel']

/** @param {{ rounds: number, calls: number }} options */
export async function run({ rounds, calls }) {
  const results = await paired(variants, rounds, (variant) => runApp('debug-calls.mjs', { variant, calls }))
  const of = (/** @type {string} */ variant, /** @type {string} */ key) => (results.get(variant) ?? []).map((result) => result[key])
  printTable(
    `A debug call of a logger at info, ns, ${calls.toLocaleString('en')} calls, ${rounds} rounds: median (min–max)`,
    ['variant', ...keys],
    variants.map((variant) => [variant, ...keys.map((key) => spread(of(variant, key), 1))]),
  )
  printTable(
    "The same beyond pino's own: ns, medians",
    ['variant', ...keys],
    variants
      .slice(1)
      .map((variant) => [variant, ...keys.map((key) => (median(of(variant, key)) - median(of("pino's own", key))).toFixed(1))]),
  )
  const leavings = { 'ended by SIGTERM': 'SIGTERM', 'killed by SIGKILL': 'SIGKILL', 'stopped by SIGSTOP': 'SIGSTOP' }
  const times = new Map(Object.keys(leavings).map((how) => [how, /** @type {number[]} */ ([])]))
  /** @type {number[]} */
  const ons = []
  for (let round = 0; round < Math.max(3, rounds); round += 1) {
    for (const [how, signal] of Object.entries(leavings)) {
      const { onMs, offMs } = await leave(/** @type {NodeJS.Signals} */ (signal))
      times.get(how)?.push(offMs)
      ons.push(onMs)
    }
  }
  printTable(
    'From a tail to the loggers of the application, 3,000 of them with a level of their own: ms',
    ['what', 'median (min–max)'],
    [['the tail is started: debug is on', spread(ons, 0)], ...[...times].map(([how, ms]) => [`${how}: debug is off`, spread(ms, 0)])],
  )
}

/** Starts a tail that asks for debug, has it leave, and measures. @param {NodeJS.Signals} signal */
function leave(signal) {
  return withTempDir(async (dir) => {
    const collector = await startCollector(dir)
    const options = JSON.stringify({ collector: collector.data, loggers: 3_000 })
    const app = fork(join(root, 'bench/apps/debug-switch.mjs'), [options], { cwd: root, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
    try {
      await once(app, 'message')
      await new Promise((resolve) => setTimeout(resolve, 500))
      const startedAtMs = Date.now()
      const args = [join(root, 'dist/cli/main.js'), 'tail', '--connect', collector.tail, 'log.debug.debug-switch.>']
      const tail = spawn(process.execPath, args, { stdio: 'ignore' })
      const [on] = await once(app, 'message')
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      const leftAtMs = Date.now()
      tail.kill(signal)
      const [off] = await once(app, 'message')
      tail.kill('SIGKILL')
      return { onMs: on.atMs - startedAtMs, offMs: off.atMs - leftAtMs }
    } finally {
      app.kill('SIGKILL')
      await collector.stop()
    }
  })
}

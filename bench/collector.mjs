// How many lines a second does the collector keep, and what does that cost?
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeFrame, frameKinds } from 'spillway/wire'
import { freePorts, median, paired, printTable, root, runApp, spread, startCollector, usageOf, withTempDir } from './support.mjs'

const lineBytes = 240
const shapes = [
  { name: '64 KiB frames', linesPerFrame: 273 },
  { name: '1 record per frame', linesPerFrame: 1 },
]

/** @param {{ rounds: number, collectorLines: number }} options */
export async function run({ rounds, collectorLines }) {
  for (const shape of shapes) {
    const lines = shape.linesPerFrame === 1 ? Math.round(collectorLines / 10) : collectorLines
    const frames = Math.round(lines / shape.linesPerFrame)
    const load = { frames, linesPerFrame: shape.linesPerFrame, lineBytes }
    const variants = ['spillway collector', 'bare script']
    const results = await paired(variants, rounds, (variant) => (variant === 'bare script' ? measureBare(load) : measureCollector(load)))
    const of = (/** @type {string} */ variant, /** @type {'rate' | 'cpu' | 'peakMiB' | 'lost'} */ key) =>
      (results.get(variant) ?? []).map((result) => result[key])
    printTable(
      `Receiver, ${shape.name}, ${(frames * shape.linesPerFrame).toLocaleString('en')} lines of ${lineBytes} bytes, ${rounds} rounds: median (min–max)`,
      ['receiver', 'million lines/s', '× bare', 'CPU s per million lines', 'peak RSS MiB', 'lost'],
      variants.map((variant) => [
        variant,
        spread(of(variant, 'rate').map((rate) => rate / 1e6)),
        (median(of(variant, 'rate')) / median(of('bare script', 'rate'))).toFixed(2),
        spread(of(variant, 'cpu')),
        spread(of(variant, 'peakMiB'), 0),
        String(Math.max(...of(variant, 'lost'))),
      ]),
    )
  }
}

/** @typedef {{ frames: number, linesPerFrame: number, lineBytes: number }} Load */

/** @param {Load} load */
function measureCollector(load) {
  return withTempDir(async (dir) => {
    const collector = await startCollector(dir)
    const before = usageOf(collector.child.pid)
    const { startedAt } = await runApp('sender.mjs', { endpoint: collector.data, ...load })
    const records = load.frames * load.linesPerFrame
    let totals = await collector.totals()
    for (; totals.delivered < records && Date.now() - startedAt < 120_000; totals = await collector.totals()) await sleep(5)
    const seconds = (Date.now() - startedAt) / 1_000
    const after = usageOf(collector.child.pid)
    await collector.stop()
    const day = new Date().toISOString().slice(0, 10)
    const kept = keptBytes(join(dir, 'logs/bench'), day)
    return {
      rate: records / seconds,
      cpu: (after.cpuSeconds - before.cpuSeconds) / (records / 1e6),
      peakMiB: after.peakMiB,
      lost: records - kept / load.lineBytes,
    }
  })
}

/** @param {Load} load */
function measureBare(load) {
  return withTempDir(async (dir) => {
    const file = join(dir, 'bare.ndjson')
    const endpoint = `tcp://127.0.0.1:${await freePorts()}`
    const body = Buffer.alloc(load.linesPerFrame * load.lineBytes, 'x')
    const head = {
      origin: 'benchbenchbench0',
      seq: 0,
      count: load.linesPerFrame,
      time: Date.now(),
      kind: frameKinds.records,
      onDemand: false,
    }
    // The same head but for the length of its sequence number, which a bare script does not care about.
    const headBytes = encodeFrame({ ...head, kind: frameKinds.lines }, body).length - body.length
    const child = spawn(process.execPath, [join(root, 'bench/apps/bare-receiver.mjs'), JSON.stringify({ endpoint, file, headBytes })], {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    await once(child, 'message')
    const before = usageOf(child.pid)
    const { startedAt } = await runApp('sender.mjs', { endpoint, ...load })
    // What does not fill a last write stays unwritten there.
    const bytes = load.frames * load.linesPerFrame * load.lineBytes - 400_000
    while (statSync(file).size < bytes && Date.now() - startedAt < 120_000) await sleep(5)
    const seconds = (Date.now() - startedAt) / 1_000
    const after = usageOf(child.pid)
    child.kill('SIGKILL')
    const records = load.frames * load.linesPerFrame
    return { rate: records / seconds, cpu: (after.cpuSeconds - before.cpuSeconds) / (records / 1e6), peakMiB: after.peakMiB, lost: 0 }
  })
}

/** @param {string} folder @param {string} day */
function keptBytes(folder, day) {
  let bytes = 0
  for (let number = 0; ; number += 1) {
    const name = number === 0 ? `${day}.ndjson` : `${day}.${number}.ndjson`
    const stat = statSync(join(folder, name), { throwIfNoEntry: false })
    if (stat === undefined) return bytes
    bytes += stat.size
  }
}

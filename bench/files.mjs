// What do rotation and compression cost the collector? Lines a second with both, with one, and with neither.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { paired, printTable, runApp, spread, startCollector, usageOf, withTempDir } from './support.mjs'

const lineBytes = 240
const linesPerFrame = 273
const variants = [
  { name: 'one file', sink: 'rotate: { size: 100GiB }' },
  { name: 'rotated at 100 MiB', sink: 'rotate: { size: 100MiB }' },
  { name: 'rotated at 100 MiB, gzip, 20 kept', sink: 'rotate: { size: 100MiB }, compress: gzip, keep: { files: 20 }' },
  { name: 'rotated at 16 MiB, gzip, 20 kept', sink: 'rotate: { size: 16MiB }, compress: gzip, keep: { files: 20 }' },
]

/** @param {{ rounds: number, collectorLines: number }} options */
export async function run({ rounds, collectorLines }) {
  const frames = Math.round(collectorLines / linesPerFrame)
  const results = await paired(variants, rounds, (variant) => measure(variant.sink, frames))
  const of = (
    /** @type {typeof variants[number]} */ variant,
    /** @type {'rate' | 'cpu' | 'mainCpu' | 'peakMiB' | 'files' | 'lost'} */ key,
  ) => (results.get(variant) ?? []).map((result) => result[key])
  const [base = []] = results.values()
  // Of rounds, not of medians: a slow minute hits a whole round.
  const ratios = (/** @type {typeof variants[number]} */ variant) =>
    of(variant, 'rate').map((rate, round) => rate / (base[round]?.rate ?? Number.NaN))
  printTable(
    `Files, ${(frames * linesPerFrame).toLocaleString('en')} lines of ${lineBytes} bytes, ${rounds} rounds: median (min–max)`,
    ['files', 'million lines/s', '× one file', 'CPU s per million lines', 'of the main thread', 'peak RSS MiB', 'files compressed', 'lost'],
    variants.map((variant) => [
      variant.name,
      spread(of(variant, 'rate').map((rate) => rate / 1e6)),
      spread(ratios(variant)),
      spread(of(variant, 'cpu')),
      spread(of(variant, 'mainCpu')),
      spread(of(variant, 'peakMiB'), 0),
      spread(of(variant, 'files'), 0),
      String(Math.max(...of(variant, 'lost'))),
    ]),
  )
}

/** @param {string} sink @param {number} frames */
function measure(sink, frames) {
  return withTempDir(async (dir) => {
    const config = join(dir, 'spillway.yaml')
    writeFileSync(config, `sinks: { files: { type: file, path: '${dir}/logs/{service}/{date}.ndjson', ${sink} } }\n`)
    const collector = await startCollector(dir, ['--config', config])
    const before = usageOf(collector.child.pid)
    const mainBefore = mainThreadSeconds(collector.child.pid)
    const { startedAt } = await runApp('sender.mjs', { endpoint: collector.data, frames, linesPerFrame, lineBytes, isVaried: true })
    const records = frames * linesPerFrame
    let totals = await collector.totals()
    for (; totals.delivered < records && Date.now() - startedAt < 120_000; totals = await collector.totals()) await sleep(5)
    const seconds = (Date.now() - startedAt) / 1_000
    const after = usageOf(collector.child.pid)
    const mainSeconds = mainThreadSeconds(collector.child.pid) - mainBefore
    // While the lines came; the rest follows.
    const files = readdirSync(join(dir, 'logs/bench')).filter((name) => name.endsWith('.gz')).length
    await collector.stop()
    return {
      rate: records / seconds,
      cpu: (after.cpuSeconds - before.cpuSeconds) / (records / 1e6),
      mainCpu: mainSeconds / (records / 1e6),
      peakMiB: after.peakMiB,
      files,
      lost: records - totals.delivered,
    }
  })
}

/** CPU seconds of the thread that receives. @param {number | undefined} pid */
function mainThreadSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

// What does a log call cost the application's main thread, and what does a line cost the process?
import { median, paired, printTable, runApp, spread, startCollector, withTempDir } from './support.mjs'

const variants = ['no-op stream', 'spillway', 'pino.destination sync:false', 'pino.transport pino/file']

/** @param {{ rounds: number, lines: number }} options */
export async function run({ rounds, lines }) {
  for (const pace of ['paced', 'flood']) {
    const results = await paired(variants, rounds, (variant) =>
      withTempDir(async (dir) => {
        if (variant !== 'spillway') return runApp('logger.mjs', { variant, lines, pace, dir })
        const collector = await startCollector(dir)
        try {
          return await runApp('logger.mjs', { variant, lines, pace, collector: collector.data })
        } finally {
          await collector.stop()
        }
      }),
    )
    const of = (/** @type {string} */ variant, /** @type {string} */ key) => (results.get(variant) ?? []).map((result) => result[key])
    const noop = (/** @type {string} */ key) => median(of('no-op stream', key))
    printTable(
      `Call cost, ${pace === 'paced' ? '100,000 lines/s' : 'as fast as it goes'}, ${lines.toLocaleString('en')} lines, ${rounds} rounds: median (min–max)`,
      ['variant', 'p50 µs', 'p50 ×', 'mean µs', 'mean ×', 'p99.9 µs', 'worst ms', 'CPU µs/line', 'peak RSS MiB', 'lost'],
      variants.map((variant) => [
        variant,
        spread(of(variant, 'p50')),
        (median(of(variant, 'p50')) / noop('p50')).toFixed(2),
        spread(of(variant, 'mean')),
        (median(of(variant, 'mean')) / noop('mean')).toFixed(2),
        spread(of(variant, 'p999'), 1),
        spread(of(variant, 'max').map((us) => us / 1_000)),
        // The paced loop turns all the time; what it uses says nothing.
        pace === 'paced' ? '–' : spread(of(variant, 'cpuPerLine')),
        spread(of(variant, 'peakRssMiB'), 0),
        String(Math.max(...of(variant, 'lost'))),
      ]),
    )
  }
}

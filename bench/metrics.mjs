// What does it cost to count and to measure, beside prom-client and OpenTelemetry's SDK, and to send what was counted?
import { median, paired, printTable, runApp, spread, startCollector, withTempDir } from './support.mjs'

const variants = [
  'counter bound, spillway',
  'counter bound, prom-client',
  'counter two attributes, spillway',
  'counter two labels, prom-client',
  'counter two attributes, OpenTelemetry',
  'histogram bound, spillway',
  'histogram two attributes, spillway',
  'histogram two labels, prom-client',
  'histogram two attributes, OpenTelemetry',
]

/** Slower by what factor: of one variant against another, and what is promised. */
const ratios = /** @type {const} */ ([
  ['counter two labels, prom-client', 'counter bound, spillway', 20],
  ['counter two labels, prom-client', 'counter two attributes, spillway', 2],
  ['counter two attributes, OpenTelemetry', 'counter two attributes, spillway', 8],
  ['histogram two labels, prom-client', 'histogram bound, spillway', 15],
  ['histogram two attributes, OpenTelemetry', 'histogram bound, spillway', 15],
])

/** @param {{ rounds: number, calls: number }} options */
export async function run({ rounds, calls }) {
  const results = await paired(variants, rounds, (variant) => runApp('instruments.mjs', { variant, calls }))
  const of = (/** @type {string} */ variant, /** @type {string} */ key) => (results.get(variant) ?? []).map((result) => result[key])
  printTable(
    `Metrics, ${calls.toLocaleString('en')} calls, ${rounds} rounds: median (min–max)`,
    ['variant', 'ns/call', 'bytes of garbage/call'],
    variants.map((variant) => [variant, spread(of(variant, 'ns'), 1), spread(of(variant, 'bytes'), 2)]),
  )
  printTable(
    'How many times slower',
    ['this', 'than this', 'promised', 'measured'],
    ratios.map(([slow, fast, promised]) => [
      slow,
      fast,
      `${promised} ×`,
      `${(median(of(slow, 'ns')) / median(of(fast, 'ns'))).toFixed(1)} ×`,
    ]),
  )

  const series = 10_000
  const flushed = await paired(['10,000 series'], rounds, () =>
    withTempDir(async (dir) => {
      const collector = await startCollector(dir)
      try {
        return await runApp('many-series.mjs', { collector: collector.data, series, flushes: 8 })
      } finally {
        await collector.stop()
      }
    }),
  )
  const held = flushed.get('10,000 series') ?? []
  printTable(
    'Sending 10,000 series (half counters, half histograms of 20 values), collector running',
    ['', 'longest turn of a flush, ms', 'longest of all flushes, ms'],
    [['10,000 series', spread(held.map(({ middleMs }) => middleMs)), spread(held.map(({ worstMs }) => worstMs))]],
  )
}

// What does a log call cost, and how much memory does the process take, when what is behind it is dead?
import { median, paired, printTable, runApp, spread, startCollector, startHalfOpen, withTempDir } from './support.mjs'

const variants = ['no-op stream', 'healthy', 'dead', 'stopped', 'half-open', 'pino.transport, slow sink']

/** @param {{ rounds: number, floodLines: number, lines: number }} options */
export async function run({ rounds, floodLines, lines }) {
  for (const [pace, count] of /** @type {const} */ ([
    ['paced', lines],
    ['flood', floodLines],
  ])) {
    const results = await paired(variants, rounds, (variant) => measure(variant, { pace, lines: count }))
    const of = (/** @type {string} */ variant, /** @type {string} */ key) => (results.get(variant) ?? []).map((result) => result[key])
    printTable(
      `Everything behind it is dead, ${pace === 'paced' ? '100,000 lines/s' : 'as fast as it goes'}, ${count.toLocaleString('en')} lines, ${rounds} rounds: median (min–max)`,
      [
        'collector',
        'p50 µs',
        'p50 × healthy',
        'mean µs',
        'p99.9 µs',
        'worst ms',
        'calls over 5 ms',
        'peak RSS MiB',
        'over no-op MiB',
        'lost, counted',
      ],
      variants.map((variant) => [
        variant,
        spread(of(variant, 'p50')),
        (median(of(variant, 'p50')) / median(of('healthy', 'p50'))).toFixed(2),
        spread(of(variant, 'mean')),
        spread(of(variant, 'p999'), 1),
        spread(of(variant, 'max').map((us) => us / 1_000)),
        of(variant, 'over5ms').join(' '),
        spread(of(variant, 'peakRssMiB'), 0),
        (median(of(variant, 'peakRssMiB')) - median(of('no-op stream', 'peakRssMiB'))).toFixed(0),
        variant.startsWith('pino') ? 'grows instead' : spread(of(variant, 'lost'), 0),
      ]),
    )
  }
}

/** @param {string} variant @param {{ pace: string, lines: number }} load */
async function measure(variant, load) {
  if (variant === 'no-op stream' || variant.startsWith('pino')) return runApp('logger.mjs', { variant, ...load })
  if (variant === 'dead') return runApp('logger.mjs', { variant: 'spillway', collector: 'tcp://127.0.0.1:9', flushMs: 0, ...load })
  if (variant === 'half-open') {
    const listener = await startHalfOpen()
    try {
      return await runApp('logger.mjs', { variant: 'spillway', collector: `tcp://127.0.0.1:${listener.port}`, flushMs: 0, ...load })
    } finally {
      listener.close()
    }
  }
  return withTempDir(async (dir) => {
    const collector = await startCollector(dir)
    try {
      const isStopped = variant === 'stopped'
      return await runApp(
        'logger.mjs',
        { variant: 'spillway', collector: collector.data, waitForGo: true, flushMs: isStopped ? 0 : 5_000, ...load },
        (child) => {
          child.once('message', () => {
            if (isStopped) collector.child.kill('SIGSTOP')
            child.send('go')
          })
        },
      )
    } finally {
      await collector.stop()
    }
  })
}

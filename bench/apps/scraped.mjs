// Rolls up 10,000 series and says what they take in memory and what a scrape of them costs. Run with --expose-gc.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { protobufFamilies } from '../../dist/collector/exposition/protobuf-format.js'
import { prometheusText } from '../../dist/collector/exposition/text-format.js'
import { ApplicationMetrics } from '../../dist/collector/rollup/application-metrics.js'
import { decodeFrame } from '../../dist/wire/frame.js'
import { metricTopic } from '../../dist/wire/topic.js'
import { pointFrames } from './point-frames.mjs'

const { mix } = JSON.parse(process.argv[2] ?? '{}')
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
const series = 10_000
const intervalMs = 10_000
const base = 1_780_000_000_000
const topic = metricTopic('shop', 'http')
const memory = () => {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const metrics = new ApplicationMetrics(
  { intervalMs, lateMs: 30_000, keep: undefined, drop: [], seriesMax: series },
  {},
  { endedAtMs: () => Number.POSITIVE_INFINITY, onTrouble: (message) => process.stderr.write(message) },
)
const before = memory()
for (let interval = 0; interval < 4; interval += 1) {
  for (let process = 0; process < 4; process += 1) {
    const startMs = base + interval * intervalMs
    const origin = `bench-origin-${String(process).padStart(3, '0')}`
    for (const { bytes } of pointFrames({ mix, series, origin, startMs, endMs: startMs + intervalMs, seq: interval * series }).frames) {
      const decoded = decodeFrame(bytes)
      if (!decoded.ok) throw new Error(decoded.fault)
      const { frame } = decoded
      const part = { range: { from: frame.seq, to: frame.seq + frame.count }, lines: frame.body, receivedAtMs: startMs + intervalMs }
      metrics.take(topic, frame, part, metrics.read(frame))
    }
  }
}
const bytesPerSeries = (memory() - before) / series

/** @param {typeof prometheusText | typeof protobufFamilies} write */
function cost(write) {
  let [ms, bytes] = [Number.POSITIVE_INFINITY, 0]
  for (let i = 0; i < 5; i += 1) {
    const startedAt = performance.now()
    bytes = Buffer.byteLength(write(metrics.families(base + 4 * intervalMs)))
    ms = Math.min(ms, performance.now() - startedAt)
  }
  return { ms, bytes }
}
console.log(
  JSON.stringify({ bytesPerSeries, text: cost(prometheusText), protobuf: cost(protobufFamilies), hidden: metrics.status().hidden }),
)

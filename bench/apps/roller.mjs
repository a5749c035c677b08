// Reads frames of points and merges them as the collector does, for some seconds; says how fast.
import { ApplicationMetrics } from '../../dist/collector/rollup/application-metrics.js'
import { decodeFrame } from '../../dist/wire/frame.js'
import { metricTopic } from '../../dist/wire/topic.js'
import { pointFrames } from './point-frames.mjs'

const { mix } = JSON.parse(process.argv[2] ?? '{}')
const processes = 20
const series = 500
const intervalMs = 10_000
const intervals = 6
const warmUpMs = 1_000
const measureMs = 3_000
const topic = metricTopic('shop', 'http')
const base = 1_780_000_000_000

/** @type {{ bytes: Buffer, count: number }[][]} frames of each interval, of all processes */
const sent = []
for (let interval = 0; interval < intervals; interval += 1) {
  const frames = []
  for (let process = 0; process < processes; process += 1) {
    const startMs = base + interval * intervalMs
    const origin = `bench-origin-${String(process).padStart(3, '0')}`
    frames.push(...pointFrames({ mix, series, origin, startMs, endMs: startMs + intervalMs, seq: interval * 1_000 }).frames)
  }
  sent.push(frames)
}

const metrics = new ApplicationMetrics(
  { intervalMs, lateMs: 30_000, keep: undefined, drop: [], seriesMax: 10_000 },
  {},
  { endedAtMs: () => Number.POSITIVE_INFINITY, onTrouble: (message) => process.stderr.write(message) },
)
let points = 0
let bytes = 0
let readMs = 0

/** @param {number} forMs */
function roll(forMs) {
  points = 0
  bytes = 0
  readMs = 0
  const startedAt = performance.now()
  for (let turn = 0; performance.now() - startedAt < forMs; turn += 1) {
    const interval = turn % intervals
    const nowMs = base + interval * intervalMs + intervalMs
    for (const frame of sent[interval] ?? []) {
      const readAt = performance.now()
      const decoded = decodeFrame(frame.bytes)
      if (!decoded.ok) throw new Error(decoded.fault)
      const body = metrics.read(decoded.frame)
      readMs += performance.now() - readAt
      if (body === undefined) throw new Error('these points are good')
      const { seq, count } = decoded.frame
      metrics.take(topic, decoded.frame, { range: { from: seq, to: seq + count }, lines: decoded.frame.body, receivedAtMs: nowMs }, body)
      points += count
      bytes += frame.bytes.length
    }
    metrics.tick(nowMs)
  }
  return performance.now() - startedAt
}

roll(warmUpMs)
const before = process.cpuUsage()
const ms = roll(measureMs)
const { user, system } = process.cpuUsage(before)
if (metrics.status().refused > 0 || metrics.status().overflow > 0) throw new Error('every point has a series')
const rates = { pointsPerSecond: points / (ms / 1_000), pointsPerCpuSecond: points / ((user + system) / 1e6) }
console.log(JSON.stringify({ ...rates, decodeShare: readMs / ms, bytesPerPoint: bytes / points }))

// Log lines as the collector counts and measures them by rules, for some seconds; says what a line costs.
import { LogMetrics } from '../../dist/collector/rollup/log-metrics.js'
import { RollUp } from '../../dist/collector/rollup/roll-up.js'
import { logTopic } from '../../dist/wire/topic.js'

const { rule, matching } = JSON.parse(process.argv[2] ?? '{}')
const linesPerFrame = 300
const measureMs = 1_500
const nowMs = 1_780_000_000_000
const topic = logTopic('info', 'shop')
const rollUp = new RollUp(
  { intervalMs: 10_000, lateMs: 30_000, keep: undefined, drop: [], seriesMax: 10_000 },
  { endedAtMs: () => 0, added: () => undefined, removed: () => undefined },
)
const defaults = { topics: ['log.>'], where: undefined, value: undefined, by: ['service'], unit: '', description: '' }
const metrics = new LogMetrics(rule === undefined ? {} : { measured: { ...defaults, ...rule } }, rollUp)
const lines = Array.from({ length: linesPerFrame }, (_, i) => {
  const res = { statusCode: i < matching * linesPerFrame ? 503 : 200 }
  return JSON.stringify({
    level: 30,
    time: nowMs + i,
    pid: 4_242,
    hostname: 'web-1',
    req: { id: i, method: 'GET', url: `/pay/${i}` },
    res,
    responseTime: i,
  })
})
const frame = { lines: Buffer.from(lines.map((line) => `${line}\n`).join('')), count: linesPerFrame, timeMs: nowMs, nowMs }

/** @param {number} forMs */
function take(forMs) {
  let taken = 0
  const startedAt = process.cpuUsage()
  for (const until = performance.now() + forMs; performance.now() < until; ) {
    for (let i = 0; i < 20; i += 1) metrics.take(topic, frame)
    taken += 20 * linesPerFrame
  }
  const { user, system } = process.cpuUsage(startedAt)
  return ((user + system) * 1_000) / taken
}

take(measureMs / 3)
console.log(JSON.stringify({ nsPerLine: take(measureMs) }))

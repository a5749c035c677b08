// One application that logs: where to, how many lines, how fast. Prints what a call cost, what the process cost, what was lost.
import { once } from 'node:events'
import { join } from 'node:path'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import pino from 'pino'
import { destination } from 'spillway/pino'

const options = JSON.parse(process.argv[2] ?? '{}')
const { variant, lines, pace, dir, collector } = options

// About 240 bytes a line, as a web service writes them.
const fields = { reqId: 'req-7f3a9c', route: '/orders/:id/pay', method: 'POST', status: 200, ms: 12.25, userId: 48213 }
const message = 'order paid and queued for shipping, customer was told by mail'

// pino's worker and our timers let a process end; this one ends when it is done.
setInterval(() => {}, 1_000)

const { stream, finish } = await open()
const log = pino(stream)

// Costs of calls in steps of 10 ns up to 200 µs; what is longer is kept as it is.
const stepsPerUs = 100
const costs = new Uint32Array(200 * stepsPerUs)
/** @type {number[]} */
const long = []
let total = 0
let peakRss = 0

for (let i = 0; i < 20_000; i += 1) log.info(fields, message)
await new Promise((resolve) => setTimeout(resolve, 300))
process.send?.('warm')
if (options.waitForGo) await once(process, 'message')

const delay = monitorEventLoopDelay({ resolution: 10 })
delay.enable()
const cpuBefore = process.cpuUsage()
await (pace === 'flood' ? flood() : paced())
const usedBeforeFlush = process.cpuUsage(cpuBefore)
const lost = await finish()
const used = process.cpuUsage(cpuBefore)
peakRss = Math.max(peakRss, process.memoryUsage.rss())
console.log(
  JSON.stringify({
    p50: percentile(0.5),
    p999: percentile(0.999),
    mean: total / lines,
    max: long.length > 0 ? Math.max(...long) : percentile(1),
    over5ms: long.filter((us) => us > 5_000).length,
    cpuPerLine: (used.user + used.system) / lines,
    cpuPerLineLogging: (usedBeforeFlush.user + usedBeforeFlush.system) / lines,
    peakRssMiB: peakRss / 2 ** 20,
    loopDelayMaxMs: delay.max / 1e6,
    lost,
  }),
)
process.exit(0)

function one() {
  const before = performance.now()
  log.info(fields, message)
  const us = (performance.now() - before) * 1_000
  total += us
  const step = Math.floor(us * stepsPerUs)
  if (step < costs.length) costs[step] = (costs[step] ?? 0) + 1
  else long.push(us)
}

async function flood() {
  for (let sent = 0; sent < lines; sent += 1_000) {
    for (let i = 0; i < 1_000; i += 1) one()
    if (sent % 100_000 === 0) peakRss = Math.max(peakRss, process.memoryUsage.rss())
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/**
 * 100 lines every millisecond: a busy service. The loop turns instead of sleeping: a processor that dozes off between
 * two bursts made the median of any variant, no-op too, jump between 0.9 and 1.7 µs.
 */
async function paced() {
  const startedAt = performance.now()
  for (let sent = 0; sent < lines; ) {
    const due = Math.min(lines, Math.floor((performance.now() - startedAt) * 100))
    for (; sent < due; sent += 1) one()
    await new Promise((resolve) => setImmediate(resolve))
  }
  peakRss = Math.max(peakRss, process.memoryUsage.rss())
}

/** @param {number} share */
function percentile(share) {
  const count = costs.reduce((sum, each) => sum + each, 0) + long.length
  let left = Math.ceil(count * share)
  for (const [step, each] of costs.entries()) {
    left -= each
    if (left <= 0) return (step + 0.5) / stepsPerUs
  }
  return long.sort((a, b) => a - b)[long.length - 1 + Math.min(0, left - long.length)] ?? Number.NaN
}

/** @returns {Promise<{stream: any, finish: () => Promise<number>}>} */
async function open() {
  switch (variant) {
    case 'no-op stream':
      return { stream: { writable: true, write() {} }, finish: async () => 0 }
    case 'spillway': {
      const stream = destination({ service: 'bench', collector })
      return {
        stream,
        finish: async () => {
          const { left } = await stream.agent.flush(options.flushMs ?? 5_000)
          const shed = Object.values(stream.agent.stats().shed).reduce((sum, each) => sum + each, 0)
          return options.countLeft === false ? shed : shed + left
        },
      }
    }
    case 'pino.destination sync:false': {
      const stream = pino.destination({ dest: join(dir, 'out.ndjson'), sync: false, minLength: 4096 })
      return {
        stream,
        finish: async () => {
          await new Promise((resolve) => stream.flush(resolve))
          return 0
        },
      }
    }
    case 'pino.transport pino/file': {
      const stream = pino.transport({ target: 'pino/file', options: { destination: join(dir, 'out.ndjson') } })
      await once(stream, 'ready')
      return {
        stream,
        finish: async () => {
          stream.end()
          await once(stream, 'close')
          return 0
        },
      }
    }
    case 'pino.transport, slow sink': {
      const stream = pino.transport({ target: join(import.meta.dirname, 'slow-transport.mjs') })
      await once(stream, 'ready')
      return { stream, finish: async () => 0 }
    }
    default:
      throw new Error(`no variant ${variant}`)
  }
}

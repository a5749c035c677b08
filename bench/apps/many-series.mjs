// Ten thousand series in use, flushed every half second: how long is the event loop held at a time?
import { createAgent } from 'spillway'

const { collector, series, flushes } = JSON.parse(process.argv[2] ?? '{}')
const agent = createAgent({ service: 'series', collector, metrics: { interval: 500, seriesMax: series, runtime: false } })
const counter = agent.createCounter('many.counts')
const histogram = agent.createHistogram('many.durations', { unit: 's' })
const half = series / 2
const counters = Array.from({ length: half }, (_, i) => counter.with({ route: `/r/${i}`, method: 'GET' }))
const histograms = Array.from({ length: half }, (_, i) => histogram.with({ route: `/r/${i}`, method: 'GET' }))

let worstMs = 0
/** The longest turn around each flush: the middle one of them is the flush, the longest may be a busy machine. */
const worstPerFlush = /** @type {number[]} */ ([])
let isTouching = false
// Turns of the loop, one behind the other: the distance between two is what one turn held it for.
let last = performance.now()
function turn() {
  const now = performance.now()
  if (!isTouching) worstMs = Math.max(worstMs, now - last)
  isTouching = false
  last = now
  setImmediate(turn)
}
setImmediate(turn)

let touched = 0
setInterval(() => {
  for (const bound of counters) bound.add(1)
  for (let i = 0; i < half; i += 1) for (let k = 1; k <= 20; k += 1) histograms[i]?.record(0.001 * k * (1 + (i % 7)))
  // This turn was the bench's own.
  isTouching = true
  touched += 1
  // The first ones warm up.
  if (touched > 2) worstPerFlush.push(worstMs)
  worstMs = 0
  if (worstPerFlush.length < flushes) return
  worstPerFlush.sort((a, b) => a - b)
  const middleMs = worstPerFlush[worstPerFlush.length >> 1]
  console.log(JSON.stringify({ middleMs, worstMs: worstPerFlush.at(-1), accepted: agent.stats().accepted }))
  process.exit()
}, 500)

// Logs at a steady rate; each line carries the moment of its call.
import pino from 'pino'
import { destination } from 'spillway/pino'

const { collector, ratePerSecond, seconds } = JSON.parse(process.argv[2] ?? '{}')
const log = pino(
  { base: null, timestamp: () => `,"t":${performance.timeOrigin + performance.now()}` },
  destination({ service: 'clocked', collector }),
)
const filling = 'x'.repeat(180)
const startedAt = performance.now()
let sent = 0
const timer = setInterval(() => {
  const due = Math.min(((performance.now() - startedAt) * ratePerSecond) / 1_000, ratePerSecond * seconds)
  for (; sent < due; sent += 1) log.info({ n: sent }, filling)
  if (sent < ratePerSecond * seconds) return
  clearInterval(timer)
  console.log(JSON.stringify({ sent }))
}, 1)

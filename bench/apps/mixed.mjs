// Logs at a steady rate at several levels; each line carries the moment of its call.
import pino from 'pino'
import { destination } from 'spillway/pino'

const { collector, service, ratePerSecond, seconds, errorEvery, startsAtMs } = JSON.parse(process.argv[2] ?? '{}')
const log = pino(
  { base: null, level: 'debug', timestamp: () => `,"t":${performance.timeOrigin + performance.now()}` },
  destination({ service, collector }),
)
const filling = 'x'.repeat(180)
// All at once, when the last one has come up.
await new Promise((resolve) => setTimeout(resolve, startsAtMs - Date.now()))
const startedAt = performance.now()
let sent = 0
let errors = 0
const timer = setInterval(() => {
  const due = Math.min(((performance.now() - startedAt) * ratePerSecond) / 1_000, ratePerSecond * seconds)
  for (; sent < due; sent += 1) {
    if (sent % errorEvery === 0) {
      log.error({ n: sent }, filling)
      errors += 1
    } else log.info({ n: sent }, filling)
  }
  if (sent < ratePerSecond * seconds) return
  clearInterval(timer)
  console.log(JSON.stringify({ sent, errors }))
}, 2)

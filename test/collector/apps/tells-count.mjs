// Logs RECORDS every EVERY_MS for ever, and says after each step of at most a hundred how many it has logged by now, and
// how large a step is: node tells-count.mjs RECORDS EVERY_MS
import { writeSync } from 'node:fs'
import pino from 'pino'
import { destination } from 'spillway/pino'

const [records = 5, everyMs = 5] = process.argv.slice(2).map(Number)
const step = Math.min(records, 100)
const log = pino({ base: null }, destination({ service: 'killed', metrics: { runtime: false } }))
let logged = 0
setInterval(() => {
  for (let n = 0; n < records; n += 1) {
    log.info({ n: logged }, 'line')
    logged += 1
    if (logged % step === 0) writeSync(1, `${logged} ${step}\n`)
  }
}, everyMs)

// Logs numbered lines until SIGTERM, then says how many: node steady.mjs SERVICE LINES_PER_TICK PAD
import pino from 'pino'
import { destination } from 'spillway/pino'

const [service = 'steady', perTick = '5', pad = '0'] = process.argv.slice(2)
// What the process says of itself every ten seconds would be among the records that are counted.
const stream = destination({ service, metrics: { runtime: false } })
const log = pino({ base: null }, stream)
let n = 0
const timer = setInterval(() => {
  for (let i = 0; i < Number(perTick); i += 1) log.info({ n: n++, pad: 'p'.repeat(Number(pad)) }, 'line')
}, 5)
process.once('SIGTERM', async () => {
  clearInterval(timer)
  // The collector may be about to come back; a process that merely ends waits for it no longer than 150 ms.
  const { left } = await stream.close(20_000)
  console.log(`logged ${n}, left ${left}`)
})
console.log('ready')

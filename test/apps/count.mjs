// Logs N numbered lines and ends as it is told: node count.mjs N how
import pino from 'pino'
import { destination } from 'spillway/pino'

const [records = '1', how = 'fall-off'] = process.argv.slice(2)
const stream = destination({ service: 'counted' })
const log = pino({ base: null }, stream)
for (let n = 0; n < Number(records); n += 1) log.info({ n }, 'line')

if (how === 'exit') process.exit(0)
if (how === 'throw') setTimeout(() => { throw new Error('thrown on purpose') }, 0)
if (how === 'reject') void Promise.reject(new Error('rejected on purpose'))

// Overflows a small ring with `fallback: 'stdout'`, says on stderr what the books say, and lives until it is stopped.
import pino from 'pino'
import { createAgent } from 'spillway'

const agent = createAgent({ service: 'fallback', ringBytes: 65_536, fallback: 'stdout' })
const log = pino({ base: null, timestamp: false }, agent.destination())
for (let n = 0; n < 20_000; n += 1) log.info({ n }, 'falls back')
process.stderr.write(`books ${JSON.stringify(agent.stats())}\n`)
setInterval(() => undefined, 1_000)

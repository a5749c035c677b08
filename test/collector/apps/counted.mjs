// Logs so many numbered lines as fast as the collector takes them, so that none is shed; a few services' worth of levels.
import pino from 'pino'
import { createAgent } from '../../../dist/agent/index.js'

const [service = 'counted', count = '1000', name] = process.argv.slice(2)
const agent = createAgent({ service, metrics: { runtime: false } })
const options = agent.pinoOptions({ level: 'trace', ...(name !== undefined && { name }) })
const log = pino(options, agent.destination())
const levels = /** @type {const} */ (['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
const total = Number(count)
let n = 0
function some() {
  while (n < total && agent.stats().ringBytes < 6 * 1_048_576) {
    for (let i = 0; i < 100 && n < total; i += 1, n += 1) {
      log[levels[n % levels.length] ?? 'info']({ n, res: { statusCode: 200 + (n % 3) }, ms: n / 8 }, 'order, "paid" = yes')
    }
  }
  if (n < total) setTimeout(some, 1)
  else void end()
}
async function end() {
  const left = await agent.close(30_000)
  process.stdout.write(`logged ${n}, left ${JSON.stringify(left)}\n`)
}
some()

// Debug calls of a logger at info: nobody asks for them, or they are kept. Prints what one costs, in nanoseconds.
import { performance } from 'node:perf_hooks'
import pino from 'pino'
import { createAgent } from 'spillway'

const { variant, calls } = JSON.parse(process.argv[2] ?? '{}')
// Nobody listens there; what is logged stays in the ring.
const agent = createAgent({ service: 'debug-calls', collector: 'tcp://127.0.0.1:1', metrics: { runtime: false } })
const stream = agent.destination()
const own = () => pino({ level: 'info' }, stream)
const composed = () => pino(agent.pinoOptions({ level: 'info' }), stream)
const made = {
  "pino's own": own,
  pinoOptions: composed,
  attach: () => {
    const logger = own()
    agent.attach(logger)
    return logger
  },
  'fingersCrossed, outside': composed,
  'fingersCrossed, kept': composed,
}
const log = made[/** @type {keyof typeof made} */ (variant)]()
const crossed = variant.startsWith('fingersCrossed') ? agent.fingersCrossed() : undefined
const fields = { reqId: 'req-7f3a9c', route: '/orders/:id/pay', method: 'POST', status: 200, ms: 12.25, userId: 48213 }

/** @param {() => void} one @param {number} times */
function nanoseconds(one, times) {
  /** @type {number[]} */
  const rounds = []
  for (let round = 0; round < 7; round += 1) {
    const before = performance.now()
    for (let i = 0; i < times; i += 1) one()
    rounds.push(((performance.now() - before) * 1e6) / times)
  }
  return rounds.sort((a, b) => a - b)[3] ?? 0
}

log.info(fields, 'seen')
const child = log.child({ part: 'child' })
const own2 = log.child({ part: 'own' }, { level: 'warn' })
const isKept = variant === 'fingersCrossed, kept'
const many = isKept ? calls / 50 : calls
const measure = () => ({
  debug: nanoseconds(() => log.debug(fields, 'nobody asked'), many),
  child: nanoseconds(() => child.debug(fields, 'nobody asked'), many),
  ownLevel: nanoseconds(() => own2.debug(fields, 'nobody asked'), many),
  isLevelEnabled: nanoseconds(() => log.isLevelEnabled('debug'), many),
  info: nanoseconds(() => log.info(fields, 'of its own'), calls / 50),
  makeChild: nanoseconds(() => log.child({ reqId: 'req-1' }), calls / 50),
  makeChildWithLevel: nanoseconds(() => log.child({ reqId: 'req-1' }, { level: 'warn' }), calls / 50),
})
const costs = isKept && crossed !== undefined ? crossed.run(measure) : measure()
console.log(JSON.stringify(costs))
process.exit(0)

// Logs at debug and info, steadily, through a logger, a child made at the start, one with a level of its own, and one
// made for each round; says each second round how many lines were serialised so far.
import pino from 'pino'
import { createAgent } from '../../dist/agent/index.js'

const [service = 'debugs', everyMs = '20', optionsText = '{}'] = process.argv.slice(2)
const agent = createAgent({ service, ...JSON.parse(optionsText) })
let serialised = 0
const log = pino(
  agent.pinoOptions({
    level: 'info',
    serializers: {
      counted: (value) => {
        serialised += 1
        return value
      },
    },
  }),
  agent.destination(),
)
const early = log.child({ part: 'early' })
const own = log.child({ part: 'own' }, { level: 'warn' })
let n = 0
setInterval(() => {
  n += 1
  log.debug({ counted: n }, 'root')
  early.debug({ counted: n }, 'early')
  own.debug({ counted: n }, 'own')
  log.child({ part: 'late' }).debug({ counted: n }, 'late')
  log.child({ part: 'lateOwn' }, { level: 'warn' }).debug({ counted: n }, 'lateOwn')
  log.info({ n }, 'round')
  if (n % 5 === 0) {
    const enabled = [log, early, own].map((logger) => `${logger.level}:${logger.isLevelEnabled('debug')}`)
    console.log(JSON.stringify({ n, serialised, enabled, stats: agent.stats().onDemand }))
  }
}, Number(everyMs))

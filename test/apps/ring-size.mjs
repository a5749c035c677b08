// Fills the ring twice, without a collector: with a wish below the default, then with a second, larger one.
import pino from 'pino'
import { createAgent } from 'spillway'

/** @param {import('spillway').Agent} agent */
const fill = (agent) => {
  const log = pino(agent.destination())
  for (let n = 0; n < 20_000; n += 1) log.info({ n }, 'fills the ring until the least important has to go')
  return agent.stats().ringBytes
}
const agent = createAgent({ service: 'ring', ringBytes: 131_072 })
const small = fill(agent)
const same = createAgent({ service: 'ring', ringBytes: 1_048_576 })
if (same !== agent) throw new Error('expected one agent')
const large = fill(same)
process.stdout.write(JSON.stringify({ small, large }))

// npm run bench [-- --only call-cost,collector] [-- --quick]
import { parseArgs } from 'node:util'
import { machine } from './support.mjs'

const benches = [
  'call-cost',
  'dead-collector',
  'collector',
  'latency',
  'tail-wire',
  'event-streams',
  'metrics',
  'rollup',
  'on-demand',
  'query',
  'influx',
  'files',
]
const { values } = parseArgs({
  options: { only: { type: 'string' }, quick: { type: 'boolean', default: false }, rounds: { type: 'string' } },
})
const full = {
  rounds: 5,
  lines: 500_000,
  floodLines: 3_000_000,
  collectorLines: 10_000_000,
  seconds: 10,
  calls: 5_000_000,
  queryLines: 4_194_304,
}
const quick = {
  rounds: 1,
  lines: 100_000,
  floodLines: 300_000,
  collectorLines: 1_000_000,
  seconds: 2,
  calls: 1_000_000,
  queryLines: 262_144,
}
const options = values.quick ? quick : full
if (values.rounds !== undefined) options.rounds = Number(values.rounds)

console.log(`Machine: ${machine}`)
for (const name of values.only?.split(',') ?? benches) {
  const { run } = await import(`./${name}.mjs`)
  await run(options)
}

// Counts with prom-client as an application does, publishes its registry, and ends in the way it is told.
import { setTimeout as sleep } from 'node:timers/promises'
import { Counter, collectDefaultMetrics, Gauge, Histogram, register } from 'prom-client'
import { publishRegistry } from 'spillway/prom-client'

const [how = 'natural'] = process.argv.slice(2)
publishRegistry(register)
collectDefaultMetrics()
const paid = new Counter({ name: 'payments_total', help: 'Payments taken.', labelNames: ['route'] })
const took = new Histogram({ name: 'payment_seconds', help: 'Time to pay.', buckets: [0.1, 1] })
new Gauge({ name: 'queue_jobs', help: 'Jobs in the queue.', collect: async () => void (await sleep(1)) })

for (let i = 0; i < 1_000; i += 1) {
  paid.inc({ route: '/pay' })
  took.observe(0.5)
}
if (how === 'throw') throw new Error('on purpose')
if (how === 'exit') process.exit()

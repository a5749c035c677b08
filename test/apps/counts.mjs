// Counts and measures as an application does, and ends in the way it is told; prints what it counted.
import { setTimeout as sleep } from 'node:timers/promises'
import { createAgent } from 'spillway'

const [how = 'natural', intervals = '0'] = process.argv.slice(2)
const agent = createAgent({ service: 'counts', metrics: { interval: 200, runtime: false } })
const paid = agent.createCounter('payments', { unit: '1', description: 'payments taken' })
const cents = agent.createCounter('payments.cents')
const open = agent.createUpDownCounter('orders.open')
const took = agent.createHistogram('http.duration', { unit: 's' })
const bound = paid.with({ route: '/pay', ok: true })
const truth = { paid: 0, cents: 0, open: 0, took: 0 }

function work() {
  for (let i = 0; i < 1_000; i += 1) {
    paid.add(1, { route: '/pay', ok: i % 2 === 0 })
    bound.add(2)
    cents.add(0.1 * i)
    open.add(i % 3 === 0 ? -1 : 1, { shop: 'here' })
    took.record(i / 1_000)
    truth.paid += 3
    truth.cents += 0.1 * i
    truth.open += i % 3 === 0 ? -1 : 1
    truth.took += 1
  }
}

work()
for (let left = Number(intervals); left > 0; left -= 1) {
  await sleep(200)
  work()
}
process.stdout.write(JSON.stringify(truth))
if (how === 'exit') process.exit()
if (how === 'close') process.stdout.write(`\n${JSON.stringify(await agent.close())}`)

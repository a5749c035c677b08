/**
 * A small web shop that logs with pino, as any service would, and counts. Spillway is known to the last imports and to the
 * lines that make `agent`, `log` and the instruments.
 *
 *   PORT=3000 node examples/shop.mjs
 *   curl -X POST localhost:3000/orders -H 'content-type: application/json' -d '{"item":"teapot","count":2}'
 *
 * Some payments are slow and some fail, on purpose: that is what one looks for in logs.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import pino from 'pino'
import { collectDefaultMetrics, register } from 'prom-client'
import { createAgent } from 'spillway'
import { publishRegistry } from 'spillway/prom-client'

const agent = createAgent({ service: 'shop' })
const log = pino({ level: 'info' }, agent.destination())

// A logger with a name has a topic of its own: `spillway tail 'log.*.shop.payments.>'`.
const orderLog = log.child({ name: 'orders' })
const paymentLog = log.child({ name: 'payments' })

/** @type {Record<string, number>} Price in cents. */
const prices = { teapot: 2_900, cup: 650, kettle: 5_400 }
const slowPaymentEvery = 6
const failedPaymentEvery = 8
const declinedPaymentEvery = 10
let orderCount = 0

const requestTook = agent.createHistogram('http.server.request.duration', { unit: 's', description: 'Duration of requests.' })
const requestsOpen = agent.createUpDownCounter('http.server.active_requests', { unit: '{request}', description: 'Requests in hand.' })
const ordered = agent.createCounter('shop.orders', { unit: '{order}', description: 'Orders placed.' })
const payments = agent.createCounter('shop.payments', { unit: '{payment}', description: 'Payments, by how they went.' })
const cartCents = agent.createHistogram('shop.order.cents', { unit: 'ct', description: 'What an order is worth.' })

// What the shop measured before it knew Spillway goes the same way, without an endpoint to scrape.
collectDefaultMetrics()
publishRegistry(register, { agent })

const app = Fastify({ loggerInstance: log })

app.addHook('onRequest', async () => requestsOpen.add(1))
app.addHook('onResponse', async (request, reply) => {
  requestsOpen.add(-1)
  const route = request.routeOptions.url ?? 'none'
  requestTook.record(reply.elapsedTime / 1_000, {
    'http.request.method': request.method,
    'http.route': route,
    'http.response.status_code': reply.statusCode,
  })
})

app.get('/', async () => ({ items: Object.keys(prices) }))

app.get('/items/:item', async (request, reply) => {
  const { item } = /** @type {{ item: string }} */ (request.params)
  const cents = prices[item]
  if (cents === undefined) return reply.code(404).send({ error: 'no such item' })
  return { item, cents }
})

app.post('/orders', async (request, reply) => {
  const { item, count } = /** @type {{ item: string, count: number }} */ (request.body)
  const cents = (prices[item] ?? 0) * count
  if (!(cents > 0)) return reply.code(400).send({ error: 'expected an item we have and how many of it' })
  orderCount += 1
  const order = { order: orderCount, item, count, cents }
  orderLog.info(order, 'order placed')
  ordered.add(1, { item })
  cartCents.record(cents, { item })
  if (!(await isPaid(order))) return reply.code(402).send({ error: 'payment declined' })
  return { order: order.order, cents }
})

/** @param {{ order: number, cents: number }} order */
async function isPaid({ order, cents }) {
  const startedAtMs = performance.now()
  const isSlow = order % slowPaymentEvery === 0
  await sleep(isSlow ? 120 : 2)
  // Fastify logs what a handler throws, with its stack.
  if (order % failedPaymentEvery === 0) {
    payments.add(1, { outcome: 'failed' })
    throw new Error(`payment of order ${order} failed`, { cause: new Error('bank closed the connection') })
  }
  const ms = Math.round(performance.now() - startedAtMs)
  if (isSlow) paymentLog.warn({ order, ms }, 'payment was slow')
  if (order % declinedPaymentEvery === 0) {
    paymentLog.warn({ order, cents, reason: 'insufficient funds' }, 'payment declined')
    payments.add(1, { outcome: 'declined' })
    return false
  }
  paymentLog.info({ order, cents, ms }, 'payment taken')
  payments.add(1, { outcome: 'taken' })
  return true
}

const url = await app.listen({ port: Number(process.env['PORT'] ?? 0), host: '127.0.0.1' })
process.send?.({ url })

/** Takes no more orders. Those in hand are finished; then nothing keeps the process alive. */
async function stop() {
  await app.close()
  process.channel?.unref()
}

process.once('SIGINT', stop)
process.once('SIGTERM', stop)
// Started by the demo: ends with it.
process.once('disconnect', stop)

// A service needs none of this: what is still open is handed over when the process exits. The demo wants the shop's
// own count of lines as well, and it has to come another way than the lines.
process.once('beforeExit', async () => {
  log.info({ orders: orderCount }, 'shop closed')
  await agent.close()
  process.send?.({ stats: agent.stats() })
})

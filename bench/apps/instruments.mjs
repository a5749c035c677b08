// One way of counting or measuring, called over and over: nanoseconds and bytes of garbage per call.
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import * as prom from 'prom-client'
import { createAgent } from 'spillway'

const { variant, calls } = JSON.parse(process.argv[2] ?? '{}')

const agent = createAgent({ service: 'bench', collector: 'tcp://127.0.0.1:1', metrics: { runtime: false, interval: '1h' } })
const routes = ['/', '/items', '/orders', '/pay']
const statuses = ['200', '201', '402', '500']
/** Durations as a web server has them, 1 ms to 1 s. */
const durations = Array.from({ length: 1_024 }, (_, i) => 0.001 * 1_000 ** (((i * 611) % 1_024) / 1_023))

class SilentReader extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
}
const meter = new MeterProvider({ readers: [new SilentReader()] }).getMeter('bench')
const labelNames = ['route', 'status']
const one = { route: '/pay', status: '200' }

/** What is done in one call, made only where it is called: each variant has a process of its own.
 * @type {Record<string, () => (i: number) => void>} */
const variants = {
  'counter bound, spillway': () => {
    const bound = agent.createCounter('c').with(one)
    return () => bound.add(1)
  },
  'counter two labels, prom-client': () => {
    const counter = new prom.Counter({ name: 'c', help: 'c', labelNames })
    return (i) => counter.inc({ route: routes[i & 3] ?? '', status: statuses[(i >> 2) & 3] ?? '' })
  },
  'counter bound, prom-client': () => {
    const bound = new prom.Counter({ name: 'c', help: 'c', labelNames }).labels(one)
    return () => bound.inc(1)
  },
  'counter two attributes, spillway': () => {
    const counter = agent.createCounter('c')
    return (i) => counter.add(1, { route: routes[i & 3] ?? '', status: statuses[(i >> 2) & 3] ?? '' })
  },
  'counter two attributes, OpenTelemetry': () => {
    const counter = meter.createCounter('c')
    return (i) => counter.add(1, { route: routes[i & 3] ?? '', status: statuses[(i >> 2) & 3] ?? '' })
  },
  'histogram bound, spillway': () => {
    const bound = agent.createHistogram('h').with(one)
    return (i) => bound.record(durations[i & 1_023] ?? 0)
  },
  'histogram two attributes, spillway': () => {
    const histogram = agent.createHistogram('h')
    return (i) => histogram.record(durations[i & 1_023] ?? 0, { route: routes[i & 3] ?? '', status: statuses[(i >> 2) & 3] ?? '' })
  },
  'histogram two labels, prom-client': () => {
    const histogram = new prom.Histogram({ name: 'h', help: 'h', labelNames })
    return (i) => histogram.observe({ route: routes[i & 3] ?? '', status: statuses[(i >> 2) & 3] ?? '' }, durations[i & 1_023] ?? 0)
  },
  'histogram two attributes, OpenTelemetry': () => {
    const histogram = meter.createHistogram('h')
    return (i) => histogram.record(durations[i & 1_023] ?? 0, { route: routes[i & 3] ?? '', status: statuses[(i >> 2) & 3] ?? '' })
  },
}

const call = variants[variant]?.()
if (call === undefined) throw new Error(`no variant ${variant}; there are ${Object.keys(variants).join(', ')}`)

/** @param {(i: number) => void} work @param {number} times */
function repeat(work, times) {
  for (let i = 0; i < times; i += 1) work(i)
}

repeat(call, calls / 10)
const ns = []
const bytes = []
for (let round = 0; round < 5; round += 1) {
  const heapBefore = process.memoryUsage().heapUsed
  const startedAt = process.hrtime.bigint()
  repeat(call, calls)
  ns.push(Number(process.hrtime.bigint() - startedAt) / calls)
  // A collection in between only makes it less; the largest of five rounds is what there was.
  bytes.push((process.memoryUsage().heapUsed - heapBefore) / calls)
}
console.log(JSON.stringify({ ns: ns.sort((a, b) => a - b)[2], bytes: Math.max(...bytes) }))
process.exit()

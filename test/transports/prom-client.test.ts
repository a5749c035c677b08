/** The real prom-client, through a real agent and collector to `/metrics`. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry, Summary } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Agent } from '../../agent/agent.ts'
import { createAgent } from '../../agent/shared.ts'
import { publishRegistry } from '../../transports/prom-client.ts'
import { histogramBucketsMax } from '../../wire/limits.ts'
import { runApp, startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { connectedAgent, scraped, scrapedUntil } from './published.ts'

let collector: TestCollector
beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector[Symbol.asyncDispose]())

/** A registry that is published, whose values are flushed and read back on demand. */
async function published(
  service: string,
): Promise<{ agent: Agent; registry: Registry; counted: (name: string) => Promise<number | undefined> }> {
  const agent = await connectedAgent(collector, service)
  const registry = new Registry()
  const counted = async (name: string): Promise<number | undefined> => {
    const mark = agent.createCounter('mark')
    mark.add(1)
    const marked = ((await scraped(collector, service)).get('mark_total') ?? 0) + 1
    await agent.flush()
    return (await scrapedUntil(collector, service, (samples) => samples.get('mark_total') === marked)).get(name)
  }
  return { agent, registry, counted }
}

describe('a registry', () => {
  test('is published under its own names, with its labels: what was counted before too, and each increase once', async () => {
    const agent = await connectedAgent(collector, 'names')
    const registry = new Registry()
    registry.setDefaultLabels({ zone: 'a' })
    const registers = [registry]
    const requests = new Counter({ name: 'http_requests_total', help: 'Requests.', labelNames: ['status'], registers })
    const open = new Gauge({ name: 'http_open', help: 'Open.', registers })
    const took = new Histogram({ name: 'http_took_seconds', help: 'Took.', labelNames: ['status'], buckets: [0.1, 1], registers })
    const size = new Summary({ name: 'http_size_bytes', help: 'Size.', percentiles: [0.5], registers })
    new Counter({ name: 'http_never_total', help: 'Never.', registers })
    new Summary({ name: 'http_nothing', help: 'Nothing.', registers })
    requests.inc({ status: 200 }, 5)
    const publication = publishRegistry(registry, { agent })
    requests.inc({ status: 200 }, 2.5)
    requests.inc({ status: 500 })
    open.set(7)
    for (const seconds of [0.05, 0.1, 0.5, 3]) took.observe({ status: '200' }, seconds)
    for (const bytes of [10, 20, 30]) size.observe(bytes)
    expect(await agent.flush()).toEqual({ left: 0 })
    requests.inc({ status: 200 })
    took.observe({ status: '200' }, 0.25)
    size.observe(40)
    open.set(3)
    await agent.flush()
    const samples = await scrapedUntil(collector, 'names', (all) => all.get('http_open{zone="a",agg="last"}') === 3)
    expect(Object.fromEntries([...samples].filter(([name]) => !name.includes('agg="m') && !name.includes('agg="s')))).toEqual({
      'http_requests_total{status="200",zone="a"}': 8.5,
      'http_requests_total{status="500",zone="a"}': 1,
      'http_never_total{zone="a"}': 0,
      'http_open{zone="a",agg="last"}': 3,
      'http_took_seconds_bucket{status="200",zone="a",le="0.1"}': 2,
      'http_took_seconds_bucket{status="200",zone="a",le="1"}': 4,
      'http_took_seconds_bucket{status="200",zone="a",le="+Inf"}': 5,
      'http_took_seconds_count{status="200",zone="a"}': 5,
      'http_took_seconds_sum{status="200",zone="a"}': 3.9,
      'http_size_bytes_bucket{zone="a",le="+Inf"}': 4,
      'http_size_bytes_count{zone="a"}': 4,
      'http_size_bytes_sum{zone="a"}': 100,
      'http_size_bytes_quantile{exported_quantile="0.5",zone="a",agg="last"}': 25,
    })
    expect(publication.stats()).toEqual({ metrics: 6, skipped: 0, threw: 0, late: 0 })
    // Names begin alike, so that they share a topic.
    expect(Object.keys(agent.stats().topics)).toEqual(['metric.names.http.'])
    await agent.close()
  })

  test('of default metrics arrives as prom-client has them, metric by metric', async () => {
    const agent = await connectedAgent(collector, 'defaults', 200)
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    const publication = publishRegistry(registry, { agent })
    const names = registry.getMetricsAsArray().map(({ name }) => name)
    expect(names.length).toBeGreaterThan(20)
    // Of these there is nothing as long as nothing of the kind happens; those are the collector's own on this page.
    const isSteady = (name: string): boolean => !/^nodejs_(gc_|active_(handles|requests)$)/.test(name)
    const isOwn = (name: string): boolean => /^process_(cpu_seconds_total|start_time_seconds|resident_memory_bytes)$/.test(name)
    const samples = await scrapedUntil(collector, 'defaults', (all) => {
      const found = new Set([...all.keys()].map((key) => key.replace(/\{.*/, '')))
      return names.every((name) => !isSteady(name) || isOwn(name) || found.has(name))
    })
    expect(samples.get('process_virtual_memory_bytes{agg="last"}')).toBeGreaterThan(1e6)
    expect(samples.get('process_cpu_user_seconds_total')).toBeGreaterThan(0)
    expect([...samples.keys()].find((key) => key.startsWith('nodejs_version_info'))).toContain(`version="${process.version}"`)
    expect(publication.stats()).toMatchObject({ metrics: names.length, skipped: 0, threw: 0, late: 0 })
    expect(agent.stats().metrics).toMatchObject({ refused: 0, overflowed: 0 })
    await agent.close()
  })

  test('may be filled after it is published, also where nothing else is measured', async () => {
    const { agent, registry } = await published('filled')
    publishRegistry(registry, { agent })
    await agent.flush()
    new Counter({ name: 'later_total', help: 'Later.', registers: [registry] }).inc(4)
    await agent.flush()
    await scrapedUntil(collector, 'filled', (samples) => samples.get('later_total') === 4)
    await agent.close()
  })

  test.each([
    ['ends by itself', 'natural', 0],
    ['calls process.exit()', 'exit', 0],
    ['ends by an error nobody catches', 'throw', 1],
  ])('of a process that %s arrives whole', async (_, how, code) => {
    const service = `ends-${how}`
    const app = await runApp('publishes.mjs', { args: [how], env: { ...collector.env, SPILLWAY_SERVICE: service } })
    expect(app.code).toBe(code)
    const samples = await scrapedUntil(collector, service, (all) => all.has('payments_total{route="/pay"}'))
    expect(samples.get('payments_total{route="/pay"}')).toBe(1_000)
    expect(samples.get('payment_seconds_bucket{le="1"}')).toBe(1_000)
    expect(app.stderr).not.toContain('spillway')
  })

  test('that is no registry, or with an option there is none of, is refused', () => {
    expect(() => publishRegistry({} as never)).toThrow(/expected a registry of prom-client/)
    expect(() => publishRegistry(new Registry(), { service: 'x' } as never)).toThrow(/service: expected agent/)
  })
})

describe('counting that begins anew', () => {
  test('at reset(), resetMetrics() and clear() adds what is counted from then on', async () => {
    const { agent, registry, counted } = await published('resets')
    publishRegistry(registry, { agent })
    const counter = new Counter({ name: 'c_total', help: 'c', registers: [registry] })
    const histogram = new Histogram({ name: 'h', help: 'h', buckets: [1, 2], registers: [registry] })
    const summary = new Summary({ name: 's', help: 's', registers: [registry] })
    const count = (times: number): void => {
      counter.inc(times)
      for (let i = 0; i < times; i += 1) {
        histogram.observe(1.5)
        summary.observe(2)
      }
    }
    count(5)
    expect(await counted('c_total')).toBe(5)
    registry.resetMetrics()
    count(3)
    expect(await counted('c_total')).toBe(8)
    counter.reset()
    expect(await counted('c_total')).toBe(8)
    registry.clear()
    const again = new Counter({ name: 'c_total', help: 'another', registers: [registry] })
    again.inc(20)
    expect(await counted('c_total')).toBe(28)
    expect(await counted('h_bucket{le="2"}')).toBe(8)
    expect(await counted('h_sum')).toBe(12)
    expect(await counted('s_count')).toBe(8)
    expect(await counted('s_sum')).toBe(16)
    await agent.close()
  })

  test('in a collect function that resets and adds a total is what the total says', async () => {
    const { agent, registry, counted } = await published('totals')
    let total = 100
    new Counter({
      name: 'kept_elsewhere_total',
      help: 'k',
      labelNames: ['pool'],
      registers: [registry],
      collect() {
        this.reset()
        if (total > 0) this.inc({ pool: 'a' }, total)
      },
    })
    publishRegistry(registry, { agent })
    expect(await counted('kept_elsewhere_total{pool="a"}')).toBe(100)
    await askedAgain()
    expect(await counted('kept_elsewhere_total{pool="a"}')).toBe(100)
    // Not there for once, then there again.
    total = 0
    await askedAgain()
    await counted('')
    total = 130
    await askedAgain()
    expect(await counted('kept_elsewhere_total{pool="a"}')).toBe(130)
    await agent.close()
  })

  /** A metric is asked again after 50 ms. */
  function askedAgain(): Promise<void> {
    const fromMs = performance.now()
    return until(() => performance.now() - fromMs > 60, { what: 'a metric may be asked again' }).then(() => undefined)
  }

  test('for a label set that was removed adds what is counted from then on, and the rest stays', async () => {
    const { agent, registry, counted } = await published('removed')
    publishRegistry(registry, { agent })
    const counter = new Counter({ name: 'c_total', help: 'c', labelNames: ['user'], registers: [registry] })
    const histogram = new Histogram({ name: 'h', help: 'h', labelNames: ['user'], buckets: [1], registers: [registry] })
    counter.inc({ user: 'a' }, 7)
    counter.inc({ user: 'b' }, 1)
    histogram.observe({ user: 'a' }, 3)
    expect(await counted('c_total{user="a"}')).toBe(7)
    counter.remove({ user: 'a' })
    histogram.remove({ user: 'a' })
    expect(await counted('c_total{user="a"}')).toBe(7)
    counter.inc({ user: 'a' }, 2)
    histogram.zero({ user: 'a' })
    expect(await counted('c_total{user="a"}')).toBe(9)
    expect(await counted('c_total{user="b"}')).toBe(1)
    expect(await counted('h_count{user="a"}')).toBe(1)
    await agent.close()
  })

  test('label sets that come and go do not fill the agent', async () => {
    const agent = createAgent({
      service: 'churn',
      collector: collector.data,
      metrics: { interval: 3_600_000, runtime: false, seriesMax: 50 },
    })
    await until(() => agent.stats().links[0]?.state === 'connected', { what: 'the agent is connected' })
    const registry = new Registry()
    const counter = new Counter({ name: 'churn_total', help: 'c', labelNames: ['user'], registers: [registry] })
    publishRegistry(registry, { agent })
    for (let user = 0; user < 200; user += 1) {
      counter.reset()
      counter.inc({ user })
      await agent.flush()
    }
    expect(agent.stats().metrics).toMatchObject({ overflowed: 0 })
    expect(agent.stats().metrics.series).toBeLessThan(50)
    await agent.close()
  })
})

describe('a collect function', () => {
  test('that takes a moment is waited for, and what it finds is in the interval it was asked in', async () => {
    const { agent, registry, counted } = await published('moment')
    let jobs = 3
    new Gauge({
      name: 'jobs',
      help: 'j',
      registers: [registry],
      async collect() {
        await new Promise((resolve) => setTimeout(resolve, 20))
        this.set(jobs)
      },
    })
    const publication = publishRegistry(registry, { agent })
    expect(await counted('jobs{agg="last"}')).toBe(3)
    jobs = 4
    await until(async () => (await counted('jobs{agg="last"}')) === 4, { what: 'the new value is there' })
    expect(publication.stats()).toMatchObject({ threw: 0, late: 0 })
    await agent.close()
  })

  test('that hangs or throws holds up neither the interval nor any other metric, and is counted', async () => {
    const agent = await connectedAgent(collector, 'hangs', 200)
    const registry = new Registry()
    const registers = [registry]
    const hangs = new Counter({ name: 'hangs_total', help: 'h', registers, collect: () => new Promise<void>(() => undefined) })
    const throws = new Counter({
      name: 'throws_total',
      help: 't',
      registers,
      collect: () => {
        throw new TypeError('on purpose')
      },
    })
    new Gauge({ name: 'rejects', help: 'r', registers, collect: () => Promise.reject(new RangeError('on purpose')) })
    const well = new Counter({ name: 'well_total', help: 'w', registers })
    const publication = publishRegistry(registry, { agent })
    for (const counter of [hangs, throws, well]) counter.inc(2)
    const whole = await scrapedUntil(collector, 'hangs', (samples) =>
      ['hangs_total', 'throws_total', 'well_total'].every((name) => samples.get(name) === 2),
    )
    expect([...whole.keys()].filter((name) => name.startsWith('rejects'))).toEqual([
      'rejects{agg="sum"}',
      'rejects{agg="min"}',
      'rejects{agg="max"}',
      'rejects{agg="last"}',
    ])
    for (const counter of [hangs, throws, well]) counter.inc(2)
    await scrapedUntil(collector, 'hangs', (samples) =>
      ['hangs_total', 'throws_total', 'well_total'].every((name) => samples.get(name) === 4),
    )
    const { late, threw } = publication.stats()
    expect(late).toBeGreaterThan(0)
    expect(threw).toBeGreaterThan(1)
    await agent.close()
  })
})

describe('published again', () => {
  test('it is the same, and after stop() what was told before is not told twice', async () => {
    const { agent, registry, counted } = await published('again')
    const counter = new Counter({ name: 'c_total', help: 'c', registers: [registry] })
    const publication = publishRegistry(registry, { agent })
    expect(publishRegistry(registry, { agent })).toBe(publication)
    counter.inc(3)
    expect(await counted('c_total')).toBe(3)
    publication.stop()
    publication.stop()
    counter.inc(4)
    expect(await counted('c_total')).toBe(3)
    const second = publishRegistry(registry, { agent })
    expect(second).not.toBe(publication)
    expect(await counted('c_total')).toBe(7)
    await agent.close()
  })

  test('nothing of a registry is kept once it is stopped', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const agent = await connectedAgent(collector, 'kept')
    const publishAndStop = async (): Promise<WeakRef<Registry>> => {
      const registry = new Registry()
      new Counter({ name: 'c_total', help: 'c', registers: [registry] }).inc()
      const publication = publishRegistry(registry, { agent })
      await agent.flush()
      publication.stop()
      return new WeakRef(registry)
    }
    const refs = [await publishAndStop(), await publishAndStop()]
    await until(
      () => {
        collectGarbage()
        return refs.every((ref) => ref.deref() === undefined)
      },
      { what: 'the registries are gone' },
    )
    await agent.close()
  })
})

describe('what cannot be published', () => {
  test('because its name is taken is skipped and counted, and harms no other', async () => {
    const { agent, registry, counted } = await published('taken')
    agent.createGauge('taken_total').record(1)
    new Counter({ name: 'taken_total', help: 't', registers: [registry] }).inc(5)
    new Counter({ name: '_odd:name', help: 'o', registers: [registry] }).inc(6)
    registry.registerMetric({ name: 'nonsense' } as never)
    const publication = publishRegistry(registry, { agent })
    expect(await counted('prom_odd_name_total')).toBe(6)
    expect(publication.stats()).toMatchObject({ metrics: 1, skipped: 2 })
    await agent.close()
  })

  test('a NaN is no value, and an infinite one is refused and counted', async () => {
    const { agent, registry, counted } = await published('numbers')
    new Gauge({ name: 'nan', help: 'n', registers: [registry] }).set(Number.NaN)
    new Gauge({ name: 'inf', help: 'i', registers: [registry] }).set(Number.POSITIVE_INFINITY)
    publishRegistry(registry, { agent })
    expect(await counted('nan{agg="last"}')).toBeUndefined()
    expect(agent.stats().metrics.refused).toBe(1)
    await agent.close()
  })

  test('a histogram with more buckets than travel keeps every other bound, with exact counts', async () => {
    const { agent, registry, counted } = await published('many')
    const buckets = Array.from({ length: histogramBucketsMax + 1 }, (_, i) => i + 1)
    const histogram = new Histogram({ name: 'many', help: 'm', buckets, registers: [registry] })
    for (const value of [1, 2, 3, 4, 1_000]) histogram.observe(value)
    publishRegistry(registry, { agent })
    expect(await counted('many_count')).toBe(5)
    expect(await counted('many_bucket{le="2"}')).toBe(2)
    expect(await counted('many_bucket{le="3"}')).toBeUndefined()
    expect(await counted('many_bucket{le="4"}')).toBe(4)
    expect(await counted('many_sum')).toBe(1_010)
    await agent.close()
  })
})

test('metrics that only answer to get() are read from what they answer', async () => {
  const { agent, registry, counted } = await published('answers')
  const registers = [registry]
  new Counter({ name: 'c_total', help: 'c', labelNames: ['route'], registers }).inc({ route: '/' }, 3)
  new Gauge({ name: 'g', help: 'g', registers }).set(4)
  const histogram = new Histogram({ name: 'h', help: 'h', labelNames: ['route'], buckets: [1, 2], registers })
  for (const value of [0.5, 1.5, 1.5, 9]) histogram.observe({ route: '/' }, value)
  const summary = new Summary({ name: 's', help: 's', percentiles: [0.5], registers })
  for (const value of [1, 2, 3]) summary.observe(value)
  // What prom-client itself makes of the metrics of several processes.
  const [json, twice] = [await registry.getMetricsAsJSON(), await registry.getMetricsAsJSON()]
  publishRegistry(AggregatorRegistry.aggregate([json, twice]), { agent })
  expect(await counted('c_total{route="/"}')).toBe(6)
  expect(await counted('g{agg="last"}')).toBe(8)
  expect(await counted('h_bucket{route="/",le="1"}')).toBe(2)
  expect(await counted('h_bucket{route="/",le="2"}')).toBe(6)
  expect(await counted('h_count{route="/"}')).toBe(8)
  expect(await counted('h_sum{route="/"}')).toBe(25)
  expect(await counted('s_count')).toBe(6)
  expect(await counted('s_sum')).toBe(12)
  await agent.close()
})

test('switched off with SPILLWAY_DISABLED=1, nothing is asked', async () => {
  process.env['SPILLWAY_DISABLED'] = '1'
  try {
    const registry = new Registry()
    const asked: number[] = []
    new Gauge({ name: 'g', help: 'g', registers: [registry], collect: () => void asked.push(1) })
    const agent = createAgent({ service: 'off' })
    const publication = publishRegistry(registry, { agent })
    await agent.flush()
    expect(asked).toEqual([])
    publication.stop()
    await agent.close()
  } finally {
    delete process.env['SPILLWAY_DISABLED']
  }
})

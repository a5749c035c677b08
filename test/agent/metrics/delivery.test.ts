/** Real processes that count, real sockets, and somebody who adds up what arrives. */
import { describe, expect, test } from 'vitest'
import { createAgent } from '../../../agent/shared.ts'
import { ExponentialHistogram } from '../../../wire/exponential-histogram.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { decodePoints, type InstrumentPoints } from '../../../wire/points.ts'
import { freePorts, runApp, startApp, startCollector } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { BareReceiver } from '../../traps/bare-receiver.ts'
import { nearestSum } from '../../wire/exact-sum.ts'

interface Truth {
  readonly paid: number
  readonly cents: number
  readonly open: number
  readonly took: number
}

/** Every point received, each number once, in the order of their numbers. */
function instrumentsFrom({ frames }: BareReceiver): InstrumentPoints[] {
  const seen = new Set<string>()
  const instruments: InstrumentPoints[] = []
  for (const { topic, frame } of frames) {
    const key = `${topic}${frame.seq}`
    if (frame.kind !== frameKinds.points || seen.has(key)) continue
    seen.add(key)
    const body = decodePoints(frame.body, frame.count)
    if (body === undefined) throw new Error(`points on ${topic} that cannot be read`)
    instruments.push(...body.instruments)
  }
  return instruments
}

function valuesOf(instruments: readonly InstrumentPoints[], name: string): number[] {
  return instruments.flatMap((instrument) => {
    if (instrument.name !== name || (instrument.type !== 'counter' && instrument.type !== 'upDownCounter')) return []
    return instrument.points.map(({ value }) => value)
  })
}

async function receiver(port: number, ...prefixes: readonly string[]): Promise<BareReceiver> {
  const bare = new BareReceiver()
  await bare.bind(`tcp://127.0.0.1:${port}`)
  await bare.subscribe(...prefixes)
  bare.read()
  return bare
}

describe('what an application counted arrives to the last one', () => {
  test.each([
    ['that ends by itself', ['natural']],
    ['that calls process.exit() right away', ['exit']],
    ['that closes its agent', ['close']],
    ['that ran for several intervals', ['natural', '4']],
  ])('from one %s', async (_, args) => {
    const port = await freePorts()
    await using bare = await receiver(port, 'metric.', 'sys.')
    await using app = await runApp('counts.mjs', { args, env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${port}` } })
    expect(app.code).toBe(0)
    const truth = JSON.parse(app.stdout.split('\n')[0] ?? '') as Truth
    const took = await until(
      () => {
        const merged = new ExponentialHistogram()
        for (const instrument of instrumentsFrom(bare)) {
          if (instrument.name === 'http.duration' && instrument.type === 'histogram')
            for (const point of instrument.points) merged.merge(point)
        }
        return merged.count >= truth.took && merged
      },
      { what: 'all has arrived' },
    )
    const instruments = instrumentsFrom(bare)
    expect(took.count).toBe(truth.took)
    expect([took.min, took.max]).toEqual([0, 0.999])
    expect(Math.abs((took.quantile(0.5) ?? 0) - 0.499)).toBeLessThan(0.499 * 0.023)
    expect(valuesOf(instruments, 'payments').reduce((sum, value) => sum + value, 0)).toBe(truth.paid)
    expect(nearestSum(valuesOf(instruments, 'payments.cents'))).toBeCloseTo(truth.cents, 6)
    expect(valuesOf(instruments, 'orders.open').at(-1)).toBe(truth.open)
    expect(new Set(bare.frames.filter(({ frame }) => frame.kind === frameKinds.points).map(({ topic }) => topic))).toEqual(
      new Set(['metric.counts.payments.', 'metric.counts.orders.', 'metric.counts.http.']),
    )
  })

  test('when nobody had subscribed to it until late', async () => {
    const port = await freePorts()
    await using bare = await receiver(port, 'log.', 'sys.')
    const agent = createAgent({ service: 'late', collector: `tcp://127.0.0.1:${port}`, metrics: { interval: 100, runtime: false } })
    const counter = agent.createCounter('late.calls')
    await until(() => agent.stats().links[0]?.state === 'connected' && bare.manifestCount > 3, { what: 'what is wanted is known' })
    for (let i = 0; i < 10; i += 1) {
      counter.add(1)
      await agent.flush(10)
    }
    expect(agent.stats()).toMatchObject({ accepted: 0, filtered: 0, ringBytes: 0 })
    expect(Object.keys(agent.stats().topics)).toEqual([])
    await bare.subscribe('metric.')
    await until(() => valuesOf(instrumentsFrom(bare), 'late.calls').length > 0, { what: 'it comes after all' })
    expect(valuesOf(instrumentsFrom(bare), 'late.calls')).toEqual([10])
    await agent.close(100)
  })

  test('to a collector, whose books it is in like any record', async () => {
    await using collector = await startCollector()
    await using app = await runApp('counts.mjs', { args: ['close', '2'], env: collector.env })
    expect([app.code, app.stderr]).toEqual([0, ''])
    expect(JSON.parse(app.stdout.split('\n')[1] ?? '')).toEqual({ left: 0 })
    const { origins, totals } = await collector.status()
    const topics = origins[0]?.topics ?? {}
    expect(Object.keys(topics).sort()).toEqual(['metric.counts.http.', 'metric.counts.orders.', 'metric.counts.payments.'])
    expect(totals).toMatchObject({ lost: {} })
    for (const { accepted } of Object.values(topics)) expect(accepted).toBeGreaterThan(0)
  })
})

test('metrics keep no process alive', async () => {
  const port = await freePorts()
  await using app = startApp('counts.mjs', { env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${port}` } })
  expect(await app.ended).toEqual({ code: 0, signal: null })
})

test('a process measures itself by the names of the semantic conventions', async () => {
  const port = await freePorts()
  await using bare = await receiver(port, 'metric.', 'sys.')
  const agent = createAgent({ service: 'own', collector: `tcp://127.0.0.1:${port}`, metrics: { interval: 200, runtime: true } })
  const found = new Map<string, string>()
  let garbage: unknown[] = []
  await until(
    () => {
      garbage = Array.from({ length: 50_000 }, (_, i) => ({ i }))
      for (const { name, unit, type } of instrumentsFrom(bare)) found.set(name, `${type} ${unit}`)
      return found.size >= 19
    },
    { what: 'every instrument has been heard of' },
  )
  expect(garbage.length).toBeGreaterThan(0)
  await agent.close(100)
  expect(Object.fromEntries([...found].sort())).toEqual({
    'nodejs.eventloop.delay.max': 'gauge s',
    'nodejs.eventloop.delay.mean': 'gauge s',
    'nodejs.eventloop.delay.min': 'gauge s',
    'nodejs.eventloop.delay.p50': 'gauge s',
    'nodejs.eventloop.delay.p90': 'gauge s',
    'nodejs.eventloop.delay.p99': 'gauge s',
    'nodejs.eventloop.delay.stddev': 'gauge s',
    'nodejs.eventloop.time': 'counter s',
    'nodejs.eventloop.utilization': 'gauge 1',
    'process.cpu.time': 'counter s',
    'process.cpu.utilization': 'gauge 1',
    'process.memory.usage': 'upDownCounter By',
    'process.unix.file_descriptor.count': 'upDownCounter {file_descriptor}',
    'v8js.gc.duration': 'histogram s',
    'v8js.memory.heap.space.available_size': 'upDownCounter By',
    'v8js.memory.heap.space.physical_size': 'upDownCounter By',
    'v8js.memory.heap.space.size': 'upDownCounter By',
    'v8js.memory.heap.used': 'upDownCounter By',
    'v8js.resource.active': 'gauge {resource}',
  })
})

/** OpenTelemetry's real SDK, through a real agent and collector to `/metrics` and to files. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TraceFlags } from '@opentelemetry/api'
import { SeverityNumber } from '@opentelemetry/api-logs'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import {
  AggregationTemporality,
  AggregationType,
  DataPointType,
  InstrumentType,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exponentialIncrease } from '../../transports/otel/exponential-increase.ts'
import { SpillwayLogRecordExporter, SpillwayMetricExporter, type SpillwayMetricExporterOptions } from '../../transports/otel.ts'
import { ExponentialHistogram, type HistogramValue } from '../../wire/exponential-histogram.ts'
import { freePorts, linesWhenKept, runApp, startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { connectedAgent, scrapedUntil } from './published.ts'

const never = 3_600_000

let collector: TestCollector
beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector[Symbol.asyncDispose]())

/** A provider whose metrics go to the collector under a service of their own, when it is flushed. */
async function meterProvider(service: string, options: SpillwayMetricExporterOptions = {}) {
  const agent = await connectedAgent(collector, service)
  const exporter = new SpillwayMetricExporter({ agent, scopeAttributes: false, ...options })
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: never })
  const resource = resourceFromAttributes({ 'service.name': 'not asked', 'host.name': 'h1', 'process.pid': 7 })
  return { agent, exporter, provider: new MeterProvider({ readers: [reader], resource }) }
}

/** What an exporter is given, made by hand: totals, as other producers may bring them. */
function resourceMetrics(...metrics: readonly object[]): ResourceMetrics {
  return {
    resource: resourceFromAttributes({}),
    scopeMetrics: [{ scope: { name: 'by hand' }, metrics: metrics as MetricData[] }],
  }
}

function totalOf(name: string, dataPointType: DataPointType, value: unknown, startedAtS: number, more = {}): object {
  return {
    descriptor: { name, unit: '', description: '', valueType: 1 },
    ...{ dataPointType, aggregationTemporality: AggregationTemporality.CUMULATIVE, isMonotonic: true, ...more },
    dataPoints: [{ startTime: [startedAtS, 0], endTime: [startedAtS + 60, 0], attributes: { a: 'b' }, value }],
  }
}

function exported(exporter: { export: SpillwayMetricExporter['export'] }, metrics: ResourceMetrics): { code: number; error?: Error }[] {
  const results: { code: number; error?: Error }[] = []
  exporter.export(metrics, (result) => results.push(result))
  return results
}

describe('metrics', () => {
  test('of every instrument arrive as they were recorded', async () => {
    const { provider } = await meterProvider('instruments')
    const meter = provider.getMeter('shop')
    const counter = meter.createCounter('otel.requests', { unit: '{request}', description: 'Requests.' })
    const upDown = meter.createUpDownCounter('otel.open')
    const gauge = meter.createGauge('otel.heat', { unit: 'Cel' })
    const histogram = meter.createHistogram('otel.took', { unit: 's' })
    let [total, level] = [10, 5]
    meter.createObservableCounter('otel.seen').addCallback((result) => result.observe(total, { kind: 'x' }))
    meter.createObservableUpDownCounter('otel.level').addCallback((result) => result.observe(level))
    meter.createObservableGauge('otel.now').addCallback((result) => result.observe(level * 2))
    counter.add(3, { route: '/a', list: ['x', 'y'] })
    upDown.add(5)
    gauge.record(20)
    for (const value of [0.1, 0.2, 0.3]) histogram.record(value, { route: '/a' })
    await provider.forceFlush()
    ;[total, level] = [14, 3]
    counter.add(4, { list: ['x', 'y'], route: '/a' })
    upDown.add(-2)
    histogram.record(0.4, { route: '/a' })
    await provider.shutdown()
    const samples = await scrapedUntil(collector, 'instruments', (all) => all.get('otel_open') === 3)
    expect(Object.fromEntries([...samples].filter(([name]) => !/_bucket|agg="(m|s)/.test(name)))).toEqual({
      'otel_requests_total{list="[\\"x\\",\\"y\\"]",route="/a"}': 7,
      otel_open: 3,
      'otel_heat_celsius{agg="last"}': 20,
      'otel_took_seconds_count{route="/a"}': 4,
      'otel_took_seconds_sum{route="/a"}': 1,
      'otel_seen_total{kind="x"}': 14,
      otel_level: 3,
      'otel_now{agg="last"}': 6,
    })
  })

  test('are asked for as increases, but for those that go up and down; histograms exponential, unless told otherwise', () => {
    const exporter = new SpillwayMetricExporter()
    const temporalities = Object.values(InstrumentType).map((type) => [type, exporter.selectAggregationTemporality(type)])
    expect(Object.fromEntries(temporalities)).toEqual({
      COUNTER: AggregationTemporality.DELTA,
      GAUGE: AggregationTemporality.DELTA,
      HISTOGRAM: AggregationTemporality.DELTA,
      OBSERVABLE_COUNTER: AggregationTemporality.DELTA,
      OBSERVABLE_GAUGE: AggregationTemporality.DELTA,
      OBSERVABLE_UP_DOWN_COUNTER: AggregationTemporality.CUMULATIVE,
      UP_DOWN_COUNTER: AggregationTemporality.CUMULATIVE,
    })
    expect(exporter.selectAggregation(InstrumentType.HISTOGRAM).type).toBe(AggregationType.EXPONENTIAL_HISTOGRAM)
    expect(exporter.selectAggregation(InstrumentType.COUNTER).type).toBe(AggregationType.DEFAULT)
    const explicit = new SpillwayMetricExporter({ histograms: 'explicit' })
    expect(explicit.selectAggregation(InstrumentType.HISTOGRAM).type).toBe(AggregationType.DEFAULT)
  })

  test('in exponential histograms arrive bucket by bucket as the SDK had them, whatever its scale', async () => {
    await using dir = await tempDir()
    const config = join(dir.path, 'spillway.yaml')
    await writeFile(config, `sinks: { points: { type: file, topics: ['metric.>'], path: '${dir.path}/points/{service}.ndjson' } }\n`)
    await using files = await startCollector({ args: ['-c', config] })
    const agent = await connectedAgent(files, 'exact')
    const exporter = new SpillwayMetricExporter({ agent, scopeAttributes: false })
    const expected = new ExponentialHistogram()
    const provider = new MeterProvider({
      readers: [new PeriodicExportingMetricReader({ exporter: seeing(exporter, expected), exportIntervalMillis: never })],
    })
    const histogram = provider.getMeter('shop').createHistogram('took', { unit: 's' })
    const scales = [1.000_01, 1.003, 1.02, 1.000_01]
    for (const growth of scales) {
      for (let i = 0; i < 1_000; i += 1) histogram.record(i % 10 === 0 ? 0 : 0.001 * growth ** i)
      await provider.forceFlush()
    }
    await provider.shutdown()
    const lines = await linesWhenKept(join(dir.path, 'points'), scales.length)
    const merged = new ExponentialHistogram()
    for (const line of lines) merged.merge(JSON.parse(line) as HistogramValue)
    expect(merged.count).toBe(1_000 * scales.length)
    expect(merged.value()).toEqual(expected.value())
    await agent.close()
  })

  /** Merges every exponential histogram on its way to an exporter. */
  function seeing(exporter: SpillwayMetricExporter, seen: ExponentialHistogram): PushMetricExporter {
    return {
      export: (metrics, done) => {
        for (const { dataPointType, dataPoints } of metrics.scopeMetrics.flatMap((scope) => scope.metrics)) {
          if (dataPointType !== DataPointType.EXPONENTIAL_HISTOGRAM) throw new Error('no exponential histogram')
          for (const { value } of dataPoints) {
            const { sum = Number.NaN, min = Number.NaN, max = Number.NaN, scale, zeroCount, positive } = value
            const sides = { positive: { offset: positive.offset, counts: positive.bucketCounts }, negative: { offset: 0, counts: [] } }
            seen.merge({ sum, min, max, scale, zeroCount, ...sides })
          }
        }
        exporter.export(metrics, done)
      },
      forceFlush: () => exporter.forceFlush(),
      shutdown: () => exporter.shutdown(),
      selectAggregationTemporality: (type) => exporter.selectAggregationTemporality(type),
      selectAggregation: (type) => exporter.selectAggregation(type),
    }
  }

  test('in histograms with the bounds of a view keep them', async () => {
    const { provider } = await meterProvider('explicit', { histograms: 'explicit' })
    const meter = provider.getMeter('shop')
    const histogram = meter.createHistogram('size', { unit: 'By', advice: { explicitBucketBoundaries: [10, 20] } })
    for (const bytes of [5, 10, 15, 100]) histogram.record(bytes)
    await provider.forceFlush()
    histogram.record(15)
    await provider.shutdown()
    const samples = await scrapedUntil(collector, 'explicit', (all) => all.get('size_bytes_count') === 5)
    expect(Object.fromEntries(samples)).toEqual({
      'size_bytes_bucket{le="10"}': 2,
      'size_bytes_bucket{le="20"}': 4,
      'size_bytes_bucket{le="+Inf"}': 5,
      size_bytes_count: 5,
      size_bytes_sum: 145,
    })
  })

  test('of two scopes are told apart; of the resource only what is asked for comes along', async () => {
    const { provider } = await meterProvider('scopes', { scopeAttributes: true, resourceAttributes: ['host.name', 'no.such'] })
    provider.getMeter('one', '1.0').createCounter('calls').add(1)
    provider.getMeter('two').createCounter('calls', { description: 'Described in another way.' }).add(2)
    await provider.shutdown()
    const samples = await scrapedUntil(collector, 'scopes', (all) => all.size === 2)
    expect(Object.fromEntries(samples)).toEqual({
      'calls_total{host_name="h1",otel_scope_name="one",otel_scope_version="1.0"}': 1,
      'calls_total{host_name="h1",otel_scope_name="two"}': 2,
    })
  })

  test('that come as totals all the same become increases; a start time that changes means that counting began anew', async () => {
    const { agent, exporter } = await meterProvider('totals')
    const sum = (value: number, startedAtS: number): object => totalOf('t.sum', DataPointType.SUM, value, startedAtS)
    const explicit = (counts: number[], sum: number, startedAtS: number): object =>
      totalOf('t.explicit', DataPointType.HISTOGRAM, { buckets: { boundaries: [1], counts }, sum, count: 1 }, startedAtS)
    const exponential = (values: readonly number[], startedAtS: number): object => {
      const histogram = new ExponentialHistogram()
      for (const value of values) histogram.record(value)
      const { positive, negative, ...rest } = histogram.value()
      const sides = {
        positive: { offset: positive.offset, bucketCounts: positive.counts },
        negative: { offset: negative.offset, bucketCounts: negative.counts },
      }
      return totalOf('t.exponential', DataPointType.EXPONENTIAL_HISTOGRAM, { ...rest, ...sides, count: values.length }, startedAtS)
    }
    const look = (times: number, startedAtS: number): void => {
      const values = Array.from({ length: times }, (_, i) => i + 1)
      const metrics = [sum(times, startedAtS), explicit([1, times - 1], times, startedAtS), exponential(values, startedAtS)]
      expect(exported(exporter, resourceMetrics(...metrics))).toEqual([{ code: 0 }])
    }
    look(3, 1)
    look(3, 1)
    look(5, 1)
    // Began anew, and has passed the last total already.
    look(7, 2)
    // Began anew without saying so.
    look(2, 2)
    await agent.flush()
    const samples = await scrapedUntil(collector, 'totals', (all) => all.has('t_exponential_count{a="b"}'))
    expect(samples.get('t_sum_total{a="b"}')).toBe(5 + 7 + 2)
    expect(samples.get('t_explicit_count{a="b"}')).toBe(5 + 7 + 2)
    expect(samples.get('t_exponential_count{a="b"}')).toBe(5 + 7 + 2)
    expect(samples.get('t_exponential_sum{a="b"}')).toBe(15 + 28 + 3)
    await agent.close()
  })

  test('of increases that go up and down are added up', async () => {
    const { agent, exporter } = await meterProvider('ups')
    const more = { aggregationTemporality: AggregationTemporality.DELTA, isMonotonic: false }
    for (const value of [5, -2]) exported(exporter, resourceMetrics(totalOf('ups', DataPointType.SUM, value, 1, more)))
    await agent.flush()
    await scrapedUntil(collector, 'ups', (all) => all.get('ups{a="b"}') === 3)
    await agent.close()
  })

  test('that cannot be told are left out and counted, and harm no other', async () => {
    const { agent, exporter, provider } = await meterProvider('odd')
    agent.createGauge('odd.taken')
    const meter = provider.getMeter('shop')
    meter.createCounter('odd.taken').add(1)
    meter.createCounter('odd.unit', { unit: 'requests per second' }).add(2)
    meter.createHistogram('odd.nan').record(Number.NaN)
    meter.createHistogram('odd.infinite').record(Number.POSITIVE_INFINITY)
    meter.createGauge('odd.gauge').record(Number.NaN)
    await provider.forceFlush()
    const samples = await scrapedUntil(collector, 'odd', (all) => all.get('odd_unit_total') === 2)
    expect([...samples.keys()]).toEqual(['odd_unit_total'])
    expect(exporter.stats().exported).toBe(1)
    expect(exporter.stats().leftOut).toBeGreaterThanOrEqual(3)
    await provider.shutdown()
    await agent.close()
  })
})

describe('an exporter', () => {
  test('tells the SDK how it went: handed over, or refused after its end and that of its agent', async () => {
    const { agent, exporter } = await meterProvider('results')
    const one = resourceMetrics(totalOf('r', DataPointType.SUM, 1, 1))
    expect(exported(exporter, one)).toEqual([{ code: 0 }])
    await exporter.forceFlush()
    expect(agent.leftRecords()).toBe(0)
    await exporter.shutdown()
    await exporter.shutdown()
    expect(exported(exporter, one)).toMatchObject([{ code: 1, error: { code: 'SPW_CLOSED' } }])
    // The agent is not its own.
    expect(agent.isClosed).toBe(false)
    const other = new SpillwayMetricExporter({ agent })
    await agent.close()
    expect(exported(other, one)).toMatchObject([{ code: 1, error: { code: 'SPW_CLOSED' } }])
    await other.shutdown()
    const failing = { ...one, scopeMetrics: undefined } as never
    expect(exported(new SpillwayMetricExporter({ agent: await connectedAgent(collector, 'results2') }), failing)).toMatchObject([
      { code: 1 },
    ])
  })

  test('flushes and shuts down without a collector too', async () => {
    const port = await freePorts()
    const { createAgent } = await import('../../agent/shared.ts')
    const agent = createAgent({ service: 'nobody', collector: `tcp://127.0.0.1:${port}`, metrics: { runtime: false } })
    const exporter = new SpillwayLogRecordExporter({ agent })
    const provider = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter })] })
    provider.getLogger('l').emit({ body: 'said to nobody' })
    await provider.shutdown()
    expect(agent.stats()).toMatchObject({ accepted: 1 })
    await agent.close(10)
  })

  test.each([
    [{ agnet: 1 }, /agnet: expected one of agent/],
    [{ resourceAttributes: 'host.name' }, /resourceAttributes: expected a list of names/],
    [{ histograms: 'native' }, /histograms: expected 'exponential' or 'explicit', got "native"/],
    [{ scopeAttributes: 1 }, /scopeAttributes: expected true or false/],
  ])('with the options %j is refused in words that help', (options, words) => {
    expect(() => new SpillwayMetricExporter(options as never)).toThrow(words)
  })

  test('is all an application needs: its metrics and lines arrive under the name of its resource', async () => {
    const app = await runApp('exports.mjs', { env: collector.env })
    expect([app.code, app.stderr]).toEqual([0, ''])
    const lines = await collector.kept('exports', 1_000)
    expect(lines.map((line) => (JSON.parse(line) as { order: number }).order)).toEqual(Array.from({ length: 1_000 }, (_, i) => i))
    const samples = await scrapedUntil(collector, 'exports', (all) => [...all.keys()].some((key) => key.startsWith('payments')))
    expect(
      samples.get('payments_total{deployment_environment_name="test",otel_scope_name="shop",otel_scope_version="1.2.3",route="/pay"}'),
    ).toBe(1_000)
  })
})

test('the increase of an exponential histogram is what came between its totals', () => {
  const values = fc.array(fc.oneof(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.constant(0)), { maxLength: 60 })
  fc.assert(
    fc.property(values, values, (first, second) => {
      fc.pre(first.length > 0)
      const total = new ExponentialHistogram()
      for (const value of first) total.record(value)
      const before = total.value()
      for (const value of second) total.record(value)
      const increase = exponentialIncrease(total.value(), before)
      if (second.length === 0) {
        expect(increase).toBeUndefined()
        return
      }
      // Both parts together are the whole, bucket by bucket, and the ends hold every value.
      const both = new ExponentialHistogram()
      both.merge(before)
      if (increase !== undefined) both.merge(increase)
      const { sum: _, ...whole } = total.value()
      expect(both.value()).toMatchObject(whole)
      expect(both.sum).toBeCloseTo(total.sum, 3)
      expect(increase?.min).toBeLessThanOrEqual(Math.min(...second))
      expect(increase?.max).toBeGreaterThanOrEqual(Math.max(...second))
    }),
  )
})

describe('log records', () => {
  /** Lines of a service that were logged by `log`. */
  async function linesOf(
    service: string,
    log: (provider: LoggerProvider) => void,
    count: number,
    options = {},
  ): Promise<Record<string, unknown>[]> {
    const agent = await connectedAgent(collector, service)
    const exporter = new SpillwayLogRecordExporter({ agent, ...options })
    const provider = new LoggerProvider({
      processors: [new SimpleLogRecordProcessor({ exporter })],
      resource: resourceFromAttributes({ 'host.name': 'h1', 'deployment.environment.name': 'test' }),
    })
    log(provider)
    await provider.shutdown()
    await agent.close()
    return (await collector.kept(service, count)).map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  test('are lines as pino would write them, with trace, error and the attributes as fields', async () => {
    const [line, ...more] = await linesOf(
      'lines',
      (provider) =>
        provider.getLogger('payments').emit({
          severityNumber: SeverityNumber.ERROR,
          severityText: 'ERROR',
          timestamp: [1_700_000_000, 123_456_789],
          body: 'payment failed',
          attributes: {
            order: 7,
            user: { id: 'u1', roles: ['a', 'b'] },
            level: 'mine',
            '1': 'one',
            'exception.type': 'TypeError',
            'exception.message': 'no such card',
            'exception.stacktrace': 'TypeError: no such card\n    at pay',
          },
          context: undefined as never,
        }),
      1,
      { resourceAttributes: ['deployment.environment.name'] },
    )
    expect(more).toEqual([])
    expect(line).toEqual({
      level: 50,
      time: 1_700_000_000_123,
      pid: process.pid,
      hostname: expect.any(String),
      name: 'payments',
      'deployment.environment.name': 'test',
      order: 7,
      user: { id: 'u1', roles: ['a', 'b'] },
      '1': 'one',
      attributes: { level: 'mine' },
      err: { type: 'TypeError', message: 'no such card', stack: 'TypeError: no such card\n    at pay' },
      msg: 'payment failed',
    })
    expect(collector.lines('lines')[0]).toMatch(/^\{"level":50,"time":1700000000123,"pid":\d+,"hostname":"[^"]+","name":"payments",/)
    const { origins } = await collector.status()
    expect(Object.keys(origins.find(({ service }) => service === 'lines')?.topics ?? {})).toEqual(['log.error.lines.payments.'])
  })

  test('carry the ids of trace and span', async () => {
    const exporter = new SpillwayLogRecordExporter({ agent: await connectedAgent(collector, 'traced') })
    const spanContext = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: TraceFlags.SAMPLED }
    const provider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] })
    const { ROOT_CONTEXT, trace } = await import('@opentelemetry/api')
    provider.getLogger('l').emit({ body: 'traced', context: trace.setSpanContext(ROOT_CONTEXT, spanContext) })
    await provider.shutdown()
    const [line] = await collector.kept('traced', 1)
    expect(JSON.parse(line ?? '')).toMatchObject({
      trace_id: spanContext.traceId,
      span_id: spanContext.spanId,
      trace_flags: '01',
      msg: 'traced',
    })
  })

  test('of every severity have the level it is next to', async () => {
    const lines = await linesOf(
      'severities',
      (provider) => {
        const logger = provider.getLogger('')
        for (let severityNumber = 0; severityNumber <= 24; severityNumber += 1)
          logger.emit({ severityNumber, body: String(severityNumber) })
        for (const severityText of ['WARNING', 'Critical', 'debug', 'whatever']) logger.emit({ severityText, body: severityText })
      },
      29,
    )
    const levelOf = new Map(lines.map(({ msg, level }) => [msg, level]))
    expect(Array.from({ length: 25 }, (_, i) => levelOf.get(String(i)))).toEqual([
      ...[30, 10, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30],
      ...[40, 40, 40, 40, 50, 50, 50, 50, 60, 60, 60, 60],
    ])
    expect(['WARNING', 'Critical', 'debug', 'whatever'].map((text) => levelOf.get(text))).toEqual([40, 60, 20, 30])
    expect(lines.find(({ msg }) => msg === '10')).toMatchObject({ severityNumber: 10 })
    expect(lines.find(({ msg }) => msg === 'Critical')).toMatchObject({ severityText: 'Critical' })
  })

  test('with bodies that are no text, deep, wide, circular or hostile are one line each', async () => {
    const circular: Record<string, unknown> = { name: 'round' }
    circular['self'] = circular
    const bodies: unknown[] = [
      { event: { nested: [1, true, null, 2n, new Uint8Array([1, 2, 3]), Number.NaN] } },
      ['a', 'list'],
      42,
      undefined,
      circular,
      Array.from({ length: 100_000 }, (_, i) => ({ i })),
      'line one\nline two',
      'x'.repeat(1_000_000),
    ]
    const lines = await linesOf(
      'bodies',
      (provider) => {
        for (const [i, body] of bodies.entries())
          provider.getLogger('b').emit({ body: body as never, attributes: { i }, ...(i === 3 ? { eventName: 'an.event' } : {}) })
        const hostile = {
          get trap() {
            throw new Error('on purpose')
          },
        }
        provider.getLogger('b').emit({ body: hostile as never })
        provider.getLogger('b').emit({ body: 'last' })
      },
      bodies.length + 1,
    )
    expect(lines).toHaveLength(bodies.length + 1)
    expect(lines[0]?.['body']).toEqual({ event: { nested: [1, true, null, '2', 'AQID', 'NaN'] } })
    expect(lines[1]?.['body']).toEqual(['a', 'list'])
    expect(lines[2]?.['msg']).toBe('42')
    expect(lines[3]).toMatchObject({ eventName: 'an.event', msg: 'an.event' })
    expect(JSON.stringify(lines[4]?.['body'])).toContain('"…"')
    expect(lines[6]?.['msg']).toBe('line one\nline two')
    expect(lines[7]?.['cut']).toBeGreaterThan(65_536)
    expect(lines.at(-1)?.['msg']).toBe('last')
  })
})

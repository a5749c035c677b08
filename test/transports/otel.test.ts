/** OpenTelemetry's real SDK, through a real agent and collector to `/metrics` and to files. */
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Agent } from '../../agent/agent.ts'
import { createAgent } from '../../agent/shared.ts'
import { SpillwayMetricExporter } from '../../transports/otel.ts'
import { startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { scraped } from './published.ts'

let collector: TestCollector
beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector[Symbol.asyncDispose]())

async function agentOf(service: string): Promise<Agent> {
  const agent = createAgent({ service, collector: collector.data, metrics: { interval: 3_600_000, runtime: false } })
  await until(() => agent.stats().links[0]?.state === 'connected', { what: 'the agent is connected' })
  return agent
}

async function told(service: string, isThere: (samples: Map<string, number>) => boolean): Promise<Map<string, number>> {
  return until(
    async () => {
      const samples = await scraped(collector, service)
      return isThere(samples) && samples
    },
    { what: `what ${service} exported is there` },
  )
}

describe('metrics', () => {
  test('of every instrument arrive as they were recorded', async () => {
    const agent = await agentOf('instruments')
    const exporter = new SpillwayMetricExporter({ agent, scopeAttributes: false })
    const provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })] })
    const meter = provider.getMeter('shop')
    const counter = meter.createCounter('otel.requests', { unit: '{request}', description: 'Requests.' })
    const upDown = meter.createUpDownCounter('otel.open')
    const gauge = meter.createGauge('otel.heat', { unit: 'Cel' })
    const histogram = meter.createHistogram('otel.took', { unit: 's' })
    counter.add(3, { route: '/a' })
    upDown.add(5)
    gauge.record(20)
    for (const value of [0.1, 0.2, 0.3]) histogram.record(value, { route: '/a' })
    await provider.forceFlush()
    counter.add(4, { route: '/a' })
    upDown.add(-2)
    histogram.record(0.4, { route: '/a' })
    await provider.shutdown()
    const samples = await told('instruments', (all) => all.get('otel_open') === 3)
    expect(Object.fromEntries([...samples].filter(([name]) => !name.includes('_bucket')))).toEqual({})
  })
})

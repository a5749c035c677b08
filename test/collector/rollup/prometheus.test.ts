/** The real Prometheus scrapes a collector, as it comes and with native histograms, and answers as the histograms allow. */
import { beforeAll, describe, expect, test } from 'vitest'
import { ExponentialHistogram, relativeErrorMax } from '../../../wire/exponential-histogram.ts'
import type { InstrumentPoints } from '../../../wire/points.ts'
import { metricTopic } from '../../../wire/topic.ts'
import { startCollector } from '../../support/processes.ts'
import { findPrometheus, type Sample, startPrometheus, type TestPrometheus } from '../../support/prometheus.ts'
import { until } from '../../support/until.ts'
import { HandMadeAgent } from '../hand-made-agent.ts'

// Downloading it takes a while where it is not installed.
beforeAll(async () => {
  await findPrometheus()
}, 300_000)

const topic = metricTopic('shop', 'http')
const intervalMs = 10_000
const shares = [0.5, 0.9, 0.99]
/** Classic buckets have four bounds to a power of two, and Prometheus interpolates within one. */
const classicError = 2 ** (1 / 4) - 1
/** Response times of three processes, in seconds: from 2 ms to 5 s, none like another. */
const measured = [0, 1, 2].map((process) => Array.from({ length: 500 }, (_, i) => 0.002 * 2_500 ** (((i * 3 + process) % 1_500) / 1_500)))

async function quantileOf(prometheus: TestPrometheus, expression: string): Promise<number> {
  let answer: Sample | undefined
  await until(
    async () => {
      ;[answer] = await prometheus.query(expression)
      return answer !== undefined && Number.isFinite(answer.value)
    },
    { what: `Prometheus answers ${expression}; it says: ${await prometheus.lastError()}`, timeoutMs: 30_000 },
  )
  return answer?.value ?? Number.NaN
}

describe.each([
  { how: 'as it comes, with classic buckets', nativeHistograms: false, of: 'http_request_duration_seconds_bucket' },
  { how: 'with native histograms', nativeHistograms: true, of: 'http_request_duration_seconds' },
])('Prometheus $how', ({ nativeHistograms, of }) => {
  test('answers quantiles over all processes within the error of the histogram, and counters', { timeout: 120_000 }, async () => {
    await using collector = await startCollector()
    await using prometheus = await startPrometheus(collector.http, { nativeHistograms })
    let scale = Number.POSITIVE_INFINITY
    for (const values of measured) {
      await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
      const histogram = new ExponentialHistogram()
      for (const value of values) histogram.record(value)
      scale = Math.min(scale, histogram.scale)
      const startMs = Math.floor(Date.now() / intervalMs) * intervalMs
      const instruments: InstrumentPoints[] = [
        {
          name: 'http.request.duration',
          type: 'histogram',
          unit: 's',
          description: '',
          points: [{ attributes: '{}', ...histogram.value() }],
        },
        {
          name: 'http.requests',
          type: 'counter',
          unit: '1',
          description: '',
          points: [{ attributes: '{"route":"/\\"🚀\\\\\\n"}', value: 500 }],
        },
        { name: 'http.load', type: 'gauge', unit: '1', description: '', points: [{ attributes: '{}', last: -0.5, min: -1, max: 1e300 }] },
      ]
      await agent.points(topic, 0, { startMs, endMs: startMs + intervalMs, instruments })
      await agent.manifest({ topics: { [topic]: { lead: 3 } } })
    }
    const all = measured.flat().sort((a, b) => a - b)
    await until(async () => (await prometheus.query('http_requests_total'))[0]?.value === all.length, {
      what: 'Prometheus has all of it',
      timeoutMs: 30_000,
    })
    expect(await prometheus.lastError()).toBe('')
    expect(await prometheus.query('http_requests_total')).toMatchObject([
      { labels: { service: 'shop', route: '/"🚀\\\n', job: 'spillway' }, value: 1_500 },
    ])
    expect(await prometheus.query('http_load_ratio{agg="max"}')).toMatchObject([{ value: 1e300 }])
    // A native bucket's end is its value's; relativeErrorMax is for its middle.
    const error = nativeHistograms ? 2 * relativeErrorMax(scale) * 1.01 : classicError
    for (const share of shares) {
      const exact = all[Math.ceil(share * all.length) - 1] ?? Number.NaN
      const told = await quantileOf(prometheus, `histogram_quantile(${share}, ${of})`)
      expect(Math.abs(told - exact) / exact).toBeLessThanOrEqual(error)
    }
    if (nativeHistograms) {
      expect(await prometheus.query('histogram_count(http_request_duration_seconds)')).toMatchObject([{ value: all.length }])
      const [sum] = await prometheus.query('histogram_sum(http_request_duration_seconds)')
      expect(sum?.value).toBeCloseTo(
        all.reduce((total, value) => total + value, 0),
        9,
      )
    } else {
      expect(await prometheus.query('http_request_duration_seconds_count')).toMatchObject([{ value: all.length }])
      expect(await prometheus.query('histogram_count(http_request_duration_seconds)')).toEqual([])
    }
    // The collector's own numbers come along.
    expect(await prometheus.query('spillway_collector_rollup_points_total')).toMatchObject([{ value: 9 }])
    expect((await prometheus.query('spillway_collector_spool_sync_duration_seconds_count')).length).toBe(1)
  })
})

/** Metrics as pages and scripts ask for them, from a collector that is killed in between. */
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createAgent } from '../../../agent/shared.ts'
import type { MetricList } from '../../../collector/http/metrics-api.ts'
import { seriesPointsMax } from '../../../wire/limits.ts'
import { startCollector } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { configFile } from './config-file.ts'

interface SeriesAnswer {
  readonly stepMs: number
  readonly from: number
  readonly times: readonly number[]
  readonly series: readonly { readonly labels: Record<string, string>; readonly values: readonly (number | null)[] }[]
  readonly source: string
}

async function get<T>(http: string, path: string): Promise<T> {
  const response = await fetch(`http://${http}/api/v1${path}`)
  const body = await response.text()
  if (response.status !== 200) throw new Error(`${response.status}: ${body}`)
  return JSON.parse(body) as T
}

test('what applications count can be charted at once, and what was kept outlives a kill and a torn end', async () => {
  await using file = await configFile('rollup: { interval: 1s, late: 1s }\n')
  await using first = await startCollector({ args: ['-c', file.path] })
  const agent = createAgent({ service: 'shop', collector: first.data, metrics: { interval: 200, runtime: false } })
  const paid = agent.createCounter('payments', { unit: '1', description: 'payments taken' })
  const took = agent.createHistogram('pay.time', { unit: 's' })
  const timer = setInterval(() => {
    paid.add(1, { route: '/pay', card: true })
    paid.add(2, { route: '/items', card: false })
    took.record(0.25, { route: '/pay' })
  }, 5)
  try {
    const kept = (name: '10s' | '1m') => {
      const dir = join(first.dir, 'metrics')
      return readdirSync(dir)
        .filter((each) => each.startsWith(name))
        .map((each) => join(dir, each))
    }
    const list = () => get<MetricList>(first.http, '/metrics')
    await until(async () => (await list()).kept.oldestMs['10s'] !== null, { what: 'a slot is kept', everyMs: 200 })
    expect((await list()).metrics).toEqual([
      { name: 'pay.time', type: 'histogram', unit: 's', description: '', services: ['shop'], attributes: { route: ['/pay'] } },
      {
        name: 'payments',
        type: 'counter',
        unit: '1',
        description: 'payments taken',
        services: ['shop'],
        attributes: { card: ['false', 'true'], route: ['/items', '/pay'] },
      },
    ])
    const keptUntil = Number((await list()).kept.oldestMs['10s']) + 10_000
    const from = keptUntil - 20_000
    const path = `/series?metric=payments&show=sum&by=route&from=${from}&to=${keptUntil}&step=10000`
    const before = await get<SeriesAnswer>(first.http, path)
    expect(before).toMatchObject({ stepMs: 10_000, source: '10s' })
    expect(before.times.at(-1)).toBe(keptUntil - 10_000)
    const lastOf = (answer: SeriesAnswer, route: string) =>
      answer.series.find(({ labels }) => labels['route'] === route)?.values.at(-1) ?? 0
    expect(lastOf(before, '/pay')).toBeGreaterThan(0)
    expect(lastOf(before, '/items')).toBe(2 * lastOf(before, '/pay'))
    const selected = await get<SeriesAnswer>(first.http, `${path}&where=card:true`)
    expect(selected.series).toEqual([
      { labels: { route: '/pay' }, values: before.series.find(({ labels }) => labels['route'] === '/pay')?.values },
    ])
    const p50 = await get<SeriesAnswer>(first.http, `/series?metric=pay.time&show=p50&from=${from}&to=${keptUntil}`)
    expect(p50.series[0]?.values.at(-1)).toBeCloseTo(0.25, 3)
    const heat = await get<{ bounds: number[]; counts: number[][] }>(first.http, `/heatmap?metric=pay.time&from=${from}&to=${keptUntil}`)
    expect(heat.counts.at(-1)).toEqual([lastOf(before, '/pay')])
    expect(heat.bounds[0]).toBeLessThan(0.25)
    expect(heat.bounds[1]).toBeGreaterThanOrEqual(0.25)

    first.process.kill('SIGKILL')
    await first.process.ended
    const [fine = ''] = kept('10s')
    const { size } = statSync(fine)
    appendFileSync(fine, readFileSync(fine).subarray(8, 8 + Math.floor(size / 2)))
    await using second = await startCollector({ dir: first.dir, port: first.port, args: ['-c', file.path] })
    expect(statSync(fine).size).toBe(size)
    expect(await get<SeriesAnswer>(second.http, path)).toEqual(before)
    await until(() => statSync(fine).size > size, { what: 'the same file is gone on with', everyMs: 200, timeoutMs: 40_000 })
  } finally {
    clearInterval(timer)
    await agent.close()
  }
})

describe('what cannot be meant', () => {
  let started: ReturnType<typeof startCollector> | undefined
  const shared = () => {
    started ??= startCollector()
    return started
  }
  afterAll(async () => (await started)?.[Symbol.asyncDispose]())

  test.each([
    ['/series', 'metric: expected the name'],
    ['/series?metric=', 'metric: expected the name'],
    ['/series?metric=a&metric=b', 'metric: expected one value'],
    ['/series?metric=a&show=p42', 'show: expected one of rate'],
    ['/series?metric=a&form=1', 'means nothing here'],
    ['/series?metric=a&from=yesterday', 'from: expected a whole number'],
    ['/series?metric=a&from=2000&to=1000', 'from: expected a time before'],
    ['/series?metric=a&where=route', 'where: expected ATTRIBUTE:VALUE'],
    ['/series?metric=a&by=', 'by: expected the name'],
    ['/series?metric=a&step=0', 'step: expected a whole number'],
    ['/series?metric=a&from=1&step=10000', `${seriesPointsMax} points`],
    [`/series?metric=a&where=${'x'.repeat(40_000)}`, 'query: expected at most'],
    [`/series?${'metric=a&'.repeat(200)}`, 'query: expected at most'],
    ['/heatmap?metric=a&show=p99', 'means nothing here'],
    ['/live?level=loud', 'level: expected one of'],
    ['/live?topic=log..x', 'pattern'],
    ['/live?grep=/(/', 'is no regular expression'],
    [`/live?${'service=a&'.repeat(30)}`, 'service: expected at most'],
    ['/live?ask=info', 'ask: expected debug or trace'],
    ['/overview?x=1', 'means nothing here'],
  ])('%.60s', async (path, words) => {
    const response = await fetch(`http://${(await shared()).http}/api/v1${path}`)
    expect(response.status).toBe(path.includes('x'.repeat(40_000)) ? response.status : 400)
    if (response.status !== 431)
      expect(await response.json()).toMatchObject({ error: { code: 'bad_request', message: expect.stringContaining(words) as unknown } })
  })

  test('an expression tells its column', async () => {
    const response = await fetch(`http://${(await shared()).http}/api/v1/live?where=${encodeURIComponent('level == "warn" && (')}`)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { code: 'bad_expression', column: 21 } })
  })

  test('a metric nobody has counted is an empty answer', async () => {
    const answer = await get<SeriesAnswer>((await shared()).http, '/series?metric=nobody')
    expect(answer.series).toEqual([])
    expect(answer.times.length).toBeGreaterThan(100)
  })
})

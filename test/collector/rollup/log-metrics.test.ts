/** Metrics made of log lines: by rules of the configuration, and by level without any. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LogMetricConfig, LogMetrics } from '../../../collector/rollup/log-metrics.ts'
import { RollUp } from '../../../collector/rollup/roll-up.ts'
import type { Series } from '../../../collector/rollup/series.ts'
import { type Level, levels } from '../../../wire/level.ts'
import { logTopic } from '../../../wire/topic.ts'
import { startCollector, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { HandMadeAgent } from '../hand-made-agent.ts'

const nowMs = 1_780_000_000_000

function ruled(rules: Readonly<Record<string, Partial<LogMetricConfig>>>) {
  const present = new Set<Series>()
  const rollUp = new RollUp(
    { intervalMs: 10_000, lateMs: 30_000, keep: undefined, drop: [], seriesMax: 100 },
    { endedAtMs: () => 0, added: (series) => present.add(series), removed: () => undefined },
  )
  const defaults = { topics: ['log.>'], where: undefined, value: undefined, by: ['service'], unit: '', description: '' }
  const metrics = new LogMetrics(Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, { ...defaults, ...rule }])), rollUp)
  const log = (level: Level, service: string, ...lines: readonly unknown[]) => {
    const text = lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')
    metrics.take(logTopic(level, service), { lines: Buffer.from(text), count: lines.length, timeMs: nowMs, nowMs })
  }
  /** Counts, or for a measure how many values and their sum, by service and attributes. */
  const of = (name: string) =>
    Object.fromEntries(
      [...present]
        .filter(({ instrument }) => instrument.name === name)
        .map(({ instrument, attributes, total }) => {
          const value =
            total.type === 'counter'
              ? total.value.value
              : total.type === 'histogram'
                ? [total.value.histogram.count, total.value.histogram.sum]
                : 0
          return [`${instrument.service} ${attributes}`, value]
        }),
    )
  return { log, of, rollUp }
}

describe('rules', () => {
  test('count lines that meet a condition, by service, level and fields', () => {
    const { log, of } = ruled({
      http_errors: { where: 'res.statusCode >= 500' },
      by_route: { where: 'res.statusCode >= 500', by: ['service', 'level', 'req.route', 'slow'] },
      everywhere: { where: 'has(res)', by: [] },
    })
    const line = (statusCode: number, more = {}) => ({ res: { statusCode }, ...more })
    log('info', 'shop', line(200), line(500, { req: { route: '/' }, slow: true }), 'no JSON', '{"res":', { msg: 'statusCode 500' })
    log('error', 'cart', line(503, { req: { route: { not: 'a label' } } }), line(499))
    expect(of('http_errors')).toEqual({ 'shop {}': 1, 'cart {}': 1 })
    expect(of('by_route')).toEqual({ 'shop {"level":"info","req.route":"/","slow":true}': 1, 'cart {"level":"error"}': 1 })
    expect(of('everywhere')).toEqual({ 'undefined {}': 4 })
  })

  test('measure what is a number, and pass over what is none', () => {
    const { log, of } = ruled({ pay_seconds: { where: 'msg == "paid"', value: 'responseTime / 1000', unit: 's' } })
    log(
      'info',
      'shop',
      { msg: 'paid', responseTime: 500 },
      { msg: 'paid', responseTime: 1_500 },
      { msg: 'paid', responseTime: '7' },
      { msg: 'paid' },
    )
    log('info', 'shop', { msg: 'not paid', responseTime: 500 })
    expect(of('pay_seconds')).toEqual({ 'shop {}': [2, 2] })
  })

  test('look at their topics only, and at no line of a level that cannot match', () => {
    const { log, of } = ruled({ a: { topics: ['log.error.>'] }, b: { where: 'level >= "warn"', by: ['level'] } })
    for (const level of levels) log(level, 'shop', {}, {})
    expect(of('a')).toEqual({ 'shop {}': 2 })
    expect(of('b')).toEqual({ 'undefined {"level":"warn"}': 2, 'undefined {"level":"error"}': 2, 'undefined {"level":"fatal"}': 2 })
  })

  test('with labels without end take no more room than series may', () => {
    const { log, rollUp } = ruled({ a: { by: ['id'] } })
    for (let i = 0; i < 1_000; i += 1) log('info', 'shop', { id: `${i}${'x'.repeat(10_000)}` })
    expect(rollUp.series).toBe(100)
    expect(rollUp.counts.overflow).toBeGreaterThan(800)
  })

  test('count what counting each line by itself would, however text and escapes fall', () => {
    const line = fc.oneof(
      fc
        .record({ code: fc.oneof(fc.integer({ min: 490, max: 510 }), fc.constant('500'), fc.constant(null)) })
        .map((fields) => JSON.stringify(fields)),
      fc.constantFrom('{"\\u0063ode":500}', '{"code" : 5e2}', '"code":500', '{"msg":"code","x":{"code":600}}', '[500]', ''),
    )
    fc.assert(
      fc.property(fc.array(fc.array(line, { minLength: 1, maxLength: 10 }), { maxLength: 10 }), (frames) => {
        const { log, of } = ruled({ errors: { where: 'code >= 500' } })
        for (const lines of frames) log('info', 'shop', ...lines)
        const met = (text: string) => {
          try {
            const parsed = JSON.parse(text)
            return !Array.isArray(parsed) && typeof parsed.code === 'number' && parsed.code >= 500
          } catch {
            return false
          }
        }
        expect(of('errors')['shop {}'] ?? 0).toBe(frames.flat().filter(met).length)
        expect(of('log.lines')['shop {"level":"info"}'] ?? 0).toBe(frames.flat().length)
      }),
    )
  })
})

test('a collector counts lines, once each however often they come, and shows what its rules find', async () => {
  await using dir = await tempDir()
  const config = join(dir.path, 'spillway.yaml')
  writeFileSync(config, 'metrics: { big_orders: { where: "order >= 8", by: [service], description: Orders of eight and more. } }\n')
  await using collector = await startCollector({ args: ['-c', config] })
  await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
  const lines = Array.from({ length: 10 }, (_, order) => JSON.stringify({ level: 30, order }))
  for (let times = 0; times < 3; times += 1) await agent.lines(logTopic('info', 'shop', 'orders'), 0, lines)
  await agent.lines(logTopic('error', 'shop'), 0, ['{"level":50}'])
  let text = ''
  await until(
    async () => {
      text = await (await fetch(`http://${collector.http}/metrics`)).text()
      return /^log_lines_total\{service="shop",level="error"\} 1$/m.test(text)
    },
    { what: 'the lines are counted' },
  )
  expect(text).toMatch(/^log_lines_total\{service="shop",level="info"\} 10$/m)
  expect(text).toMatch(
    /^# HELP big_orders_total Orders of eight and more\.\n# TYPE big_orders_total counter\nbig_orders_total\{service="shop"\} 2$/m,
  )
})

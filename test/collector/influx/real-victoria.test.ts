/** The real VictoriaMetrics: it keeps numbers, to the millisecond, and every sample it is sent. */
import { expect, test } from 'vitest'
import { encodeAttributes, type InstrumentPoints } from '../../../wire/points.ts'
import { metricTopic } from '../../../wire/topic.ts'
import { findVictoria, startVictoria, type Victoria } from '../../support/influx-servers.ts'
import { startCollector, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { HandMadeAgent } from '../hand-made-agent.ts'
import { configFor, settled } from '../spooling.ts'
import { influxSink, isLong, longMs, startCounted, sumBelow } from './influx-run.ts'

const victoria = await findVictoria()

/** Count and sum of the samples of a series, once there are so many: what was written shows after a moment. */
function samples(server: Victoria, match: string, count: number): Promise<{ count: number; sum: number }> {
  let last = 0
  return until(
    async () => {
      const values = (await server.export(match)).flatMap((series) => series.values)
      last = values.length
      return values.length >= count && { count: values.length, sum: values.reduce((sum, value) => sum + value, 0) }
    },
    { what: `${match} has ${count} samples`, timeoutMs: 60_000, everyMs: 500 },
  ).catch((error: unknown) => {
    throw new Error(`it has ${last}`, { cause: error })
  })
}

test(
  'the numbers of log lines are all there',
  async () => {
    const lines = isLong ? 1_000_000 : 30_000
    await using server = await startVictoria(victoria)
    await using dir = await tempDir()
    await using collector = await startCollector({
      dir: dir.path,
      args: configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url, ', version: victoriametrics') }),
    })
    await using app = startCounted(collector, lines)
    expect(await app.ended).toEqual({ code: 0, signal: null })
    expect((await settled(collector, lines)).totals).toMatchObject({ delivered: lines, rejected: 0 })
    expect(await samples(server, 'logs_n', lines)).toEqual({ count: lines, sum: sumBelow(lines) })
  },
  longMs,
)

test(
  'points of metrics are all there, written as to 2.x too',
  async () => {
    for (const [how, more] of [
      ['/write', ', version: victoriametrics'],
      ['/api/v2/write', ', version: 3'],
    ] as const) {
      const frames = isLong ? 2_000 : 40
      await using server = await startVictoria(victoria)
      await using dir = await tempDir()
      await using collector = await startCollector({
        dir: dir.path,
        args: configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url, more) }),
      })
      await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
      const topic = metricTopic('shop', 'http')
      await agent.manifest({ topics: { [topic]: { lead: 0 } } })
      for (let frame = 0; frame < frames; frame += 1) {
        const points = Array.from({ length: 500 }, (_, i) => ({ attributes: encodeAttributes({ route: `/${i}` }), value: frame * 500 + i }))
        const instruments: InstrumentPoints[] = [{ name: 'requests', type: 'counter', unit: '1', description: '', points }]
        const endMs = 1_700_000_000_000 + frame * 10_000
        await agent.points(topic, frame * 500, { startMs: endMs - 10_000, endMs, instruments })
      }
      const count = frames * 500
      await agent.manifest({ topics: { [topic]: { lead: count } }, final: true })
      await settled(collector, count)
      expect(await samples(server, 'requests_value', count), how).toEqual({ count, sum: sumBelow(count) })
      const [series] = await server.export('requests_value{route="/7"}')
      expect(series?.metric).toMatchObject({ service: 'shop', host: 'test-host', route: '/7' })
      expect(series?.values).toHaveLength(frames)
    }
  },
  longMs,
)

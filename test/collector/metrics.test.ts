/** What `/metrics` says, read by Prometheus' own parser and checked by its rules. */
import { beforeAll, describe, expect, test } from 'vitest'
import { prometheusText } from '../../collector/exposition/text-format.ts'
import { collectorFamilies } from '../../collector/metrics.ts'
import { ServiceCounters } from '../../collector/service-counters.ts'
import type { CollectorStatus, TopicStatus } from '../../collector/status.ts'
import { levels } from '../../wire/level.ts'
import { seriesServicesMax } from '../../wire/limits.ts'
import { lossReasons } from '../../wire/stream-ledger.ts'
import { logTopic } from '../../wire/topic.ts'
import { runApp, startCollector } from '../support/processes.ts'
import { checkMetrics, findPromtool } from '../support/promtool.ts'
import { until } from '../support/until.ts'
import { fullBooks as books, fullGauges as gauges, fullStatus as status } from './full-status.ts'
import { HandMadeAgent } from './hand-made-agent.ts'

let promtool = ''
// Downloading it takes a while where it is not installed.
beforeAll(async () => {
  promtool = await findPromtool()
}, 300_000)

const textOf = (live: Iterable<readonly [string, TopicStatus]>, more: Partial<CollectorStatus> = {}) =>
  prometheusText(collectorFamilies({ ...status, ...more }, new ServiceCounters().rows(live), gauges()))

test('says every number there is, under names and types Prometheus has nothing to say about', async () => {
  const text = textOf([[logTopic('info', 'shop'), books]])
  expect(await checkMetrics(promtool, text)).toBe('')
  const place = 'service="shop",level="info"'
  const expected = `
records_accepted_total{${place}} 100
records_received_total{${place}} 90
records_delivered_total{${place}} 80
records_spooled_total{${place}} 89
records_not_durable_total{${place}} 1
records_expired_total{${place}} 3
records_rejected_total{${place}} 3
records_filtered_total{${place}} 11
records_duplicate_total{${place}} 12
records_late_total{${place}} 13
records_shed_at_origin_total{${place}} 14
records_in_flight{${place}} 7
records_pending{${place}} 4
records_lost_total{${place},reason="ring_evicted"} 5
records_lost_total{${place},reason="unanswered"} 2
records_lost_total{${place},reason="origin_gone"} 0
records_lost_total{${place},reason="overload"} 0
records_lost_total{service="shop",level="info",reason="spool_damaged"} 0
last_loss_timestamp_seconds{reason="unanswered"} 1779999999.5
origins{state="live"} 1
origins{state="silent"} 0
origins{state="finished"} 0
origins{state="unclean"} 2
origins_unclean_total{service="shop"} 2
origins_unclean_total{service="cart"} 0
unknown_tail_records 1204
sink_records_written_total{sink="files",type="file"} 80
sink_records_written_total{sink="influx",type="influxdb"} 80
sink_records_dropped_total{sink="files",type="file"} 1
sink_records_dropped_total{sink="influx",type="influxdb"} 0
sink_records_expired_total{sink="files",type="file"} 2
sink_records_expired_total{sink="influx",type="influxdb"} 0
sink_records_rejected_total{sink="files",type="file"} 3
sink_records_rejected_total{sink="influx",type="influxdb"} 3
sink_pending_records{sink="files",type="file"} 4
sink_pending_records{sink="influx",type="influxdb"} 4
sink_pending_bytes{sink="files",type="file"} 5
sink_pending_bytes{sink="influx",type="influxdb"} 5
sink_lag_seconds{sink="files",type="file"} 1.5
sink_lag_seconds{sink="influx",type="influxdb"} 0
sink_requests_total{sink="influx",type="influxdb"} 9
sink_retries_total{sink="influx",type="influxdb"} 2
sink_written_bytes_total{sink="influx",type="influxdb"} 1000
sink_last_success_timestamp_seconds{sink="influx",type="influxdb"} 1779999998
sink_last_error_timestamp_seconds{sink="influx",type="influxdb"} 1779999999
sink_fields_converted_total{sink="influx",type="influxdb"} 1
sink_fields_omitted_total{sink="influx",type="influxdb"} 2
sink_tag_values_folded_total{sink="influx",type="influxdb"} 3
sink_failing{sink="files",type="file"} 1
sink_failing{sink="influx",type="influxdb"} 1
files{sink="files"} 12
files_bytes{sink="files"} 3000
files_rotated_total{sink="files"} 7
files_compressed_total{sink="files"} 6
files_removed_total{sink="files",reason="age"} 1
files_removed_total{sink="files",reason="files"} 2
files_removed_total{sink="files",reason="bytes"} 3
files_removed_total{sink="files",reason="free"} 4
files_removed_bytes_total{sink="files"} 500
files_failing{sink="files"} 1
spool_bytes 1000
spool_limit_bytes 2000
spool_pending_bytes 400
spool_segments 3
spool_syncs_total 2
spool_sync_last_seconds 0.005
spool_sync_longest_seconds 0.02
spool_failing 1
spool_sync_duration_seconds_bucket{le="0.001"} 0
spool_sync_duration_seconds_bucket{le="0.0025"} 0
spool_sync_duration_seconds_bucket{le="0.005"} 1
spool_sync_duration_seconds_bucket{le="0.01"} 1
spool_sync_duration_seconds_bucket{le="0.025"} 2
spool_sync_duration_seconds_bucket{le="0.05"} 2
spool_sync_duration_seconds_bucket{le="0.1"} 2
spool_sync_duration_seconds_bucket{le="0.25"} 2
spool_sync_duration_seconds_bucket{le="0.5"} 2
spool_sync_duration_seconds_bucket{le="1"} 2
spool_sync_duration_seconds_bucket{le="2.5"} 2
spool_sync_duration_seconds_bucket{le="5"} 2
spool_sync_duration_seconds_bucket{le="10"} 2
spool_sync_duration_seconds_bucket{le="+Inf"} 2
spool_sync_duration_seconds_sum 0.025
spool_sync_duration_seconds_count 2
ingest_frames_total 10
ingest_bytes_total 1000
ingest_frames_refused_total{fault="truncated"} 2
ingest_frames_turned_away_total 3
repair_requests_total 1
repair_records_asked_total 2
repair_records_repaired_total 3
repair_breaker_open 1
rollup_points_total 1000
rollup_points_late_total 1
rollup_points_ahead_total 2
rollup_points_overflow_total 3
rollup_points_refused_total 4
rollup_values_displaced_total 5
rollup_series 10
rollup_series_limit 10000
rollup_series_conflicting 6
rollup_series_hidden 7
queue_bytes{queue="spool"} 10
queue_peak_bytes{queue="spool"} 20
queue_records{queue="sink"} 3
queue_peak_records{queue="sink"} 4
queue_frames{queue="ingest"} 1
queue_peak_frames{queue="ingest"} 2
uptime_seconds 12.345
build_info{version="0.1.0",node="v20.19.0"} 1
`
  const own = expected.trim().split('\n')
  expect(text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([
    ...own.map((line) => `spillway_collector_${line}`),
    'process_resident_memory_bytes 50000000',
    'process_cpu_seconds_total 1.25',
    'process_start_time_seconds 1779999987.655',
  ])
})

test('leaves out what there is not, and is still right', async () => {
  const families = collectorFamilies({ ...status, sinks: {}, losses: [], ingest: { ...status.ingest, refused: {} } }, [], {
    ...gauges(),
    queues: [],
    syncs: undefined,
  })
  const text = prometheusText(families)
  expect(await checkMetrics(promtool, text)).toBe('')
  expect(text).not.toMatch(/^spillway_collector_(?:sink|queue|records|last|ingest_frames_refused)_/m)
})

describe('hostile services', () => {
  const names = [
    '"',
    '\\',
    '\n',
    '\\n"} 1',
    '\r\u0000\u001b[2J',
    '\u202e',
    '商品',
    '🚀',
    '{',
    'a="b"',
    '',
    ' ',
    '# HELP x',
    '_other',
    '__name__',
  ]

  test('with names that would break the format are told apart', async () => {
    const text = textOf(names.map((name) => [logTopic('info', name), books]))
    expect(await checkMetrics(promtool, text)).toBe('')
    expect(text.match(/^spillway_collector_records_accepted_total\{/gm)).toHaveLength(names.length)
  })

  test('with bytes that are no text, or too many of them, are readable too', async () => {
    const topics = ['log.info.~FF~FE.', 'log.info.~C3.', 'log.info.~ED~A0~80.', logTopic('info', 'x'.repeat(10_000)), 'log.info.~00.']
    expect(await checkMetrics(promtool, textOf(topics.map((topic) => [topic, books])))).toBe('')
  })

  test('however many, make a bounded number of series that add up', async () => {
    const live = Array.from({ length: 20_000 }, (_, n): [string, TopicStatus] => [
      logTopic(levels[n % levels.length] ?? 'info', `made-up-${n % 5_000}`),
      { ...books, lost: Object.fromEntries(lossReasons.map((reason) => [reason, 1])) },
    ])
    const text = textOf(live)
    expect(await checkMetrics(promtool, text)).toBe('')
    const series = text.split('\n').filter((line) => !line.startsWith('#'))
    expect(series.length).toBeLessThan((seriesServicesMax + 1) * levels.length * (13 + lossReasons.length) + 200)
    expect(text).toMatch(/^spillway_collector_records_accepted_total\{service="_other",level="info"\} \d+$/m)
    const sum = (name: string) =>
      [...text.matchAll(new RegExp(`^spillway_collector_${name}\\{.*\\} (\\d+)$`, 'gm'))].reduce((all, [, value]) => all + Number(value), 0)
    expect(sum('records_accepted_total')).toBe(20_000 * books.accepted)
    expect(sum('records_lost_total')).toBe(20_000 * lossReasons.length)
  })
})

test('promtool would say so if something were wrong', async () => {
  await expect(checkMetrics(promtool, 'x{a="b} 1\n')).rejects.toThrow(/promtool ended with/)
  expect(await checkMetrics(promtool, '# TYPE x counter\nx 1\n')).toMatch(/counter metrics should have "_total" suffix/)
})

describe('a collector', () => {
  test('answers with its own numbers, which promtool has nothing to say about', async () => {
    await using collector = await startCollector()
    await using app = await runApp('count.mjs', { args: ['1234', 'fall-off'], env: collector.env })
    expect(app.code).toBe(0)
    await using agent = await HandMadeAgent.connect(collector, { service: 'hand "made"\\' })
    const topic = logTopic('warn', agent.service)
    await agent.manifest({ topics: { [topic]: { lead: 10 } }, gone: [{ topic, from: 0, to: 3 }] })
    await agent.raw('log.no topic', 'frame')
    await until(async () => (await collector.status()).totals.delivered === 1_234, { what: 'all is kept' })
    await until(async () => (await collector.status()).ingest.refused['topic'] === 1, { what: 'the bad frame is refused' })
    await until(async () => (await collector.status()).totals.lost.ring_evicted === 3, { what: 'the loss is booked' })
    const text = await (await fetch(`http://${collector.http}/metrics`)).text()
    expect(await checkMetrics(promtool, text)).toBe('')
    expect(text).toContain('\nspillway_collector_records_delivered_total{service="counted",level="info"} 1234\n')
    expect(text).toContain('\nspillway_collector_records_lost_total{service="hand \\"made\\"\\\\",level="warn",reason="ring_evicted"} 3\n')
    expect(text).toContain('\nspillway_collector_sink_records_written_total{sink="files",type="file"} 1234\n')
    expect(text).toContain('\nspillway_collector_ingest_frames_refused_total{fault="topic"} 1\n')
    const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10e6)
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0)
    expect(Math.abs(value('process_start_time_seconds') - Date.now() / 1_000)).toBeLessThan(120)
  })
})

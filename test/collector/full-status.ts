/** A status and gauges in which every field there can be has a value. */
import { DurationHistogram } from '../../collector/duration-histogram.ts'
import type { CollectorGauges } from '../../collector/metrics.ts'
import type { CollectorStatus, TopicStatus } from '../../collector/status.ts'

export const fullBooks: TopicStatus = {
  ...{ accepted: 100, delivered: 80, lost: { ring_evicted: 5, unanswered: 2 }, inFlight: 7, received: 90, spooled: 89, notDurable: 1 },
  ...{ expired: 3, rejected: 3, pending: 4, filtered: 11, duplicates: 12, late: 13, shedAtOrigin: 14 },
}

export const fullStatus: CollectorStatus = {
  version: '0.1.0',
  uptimeMs: 12_345,
  timeMs: 1_780_000_000_000,
  totals: fullBooks,
  origins: [
    {
      origin: 'o',
      service: 's',
      host: 'h',
      pid: 1,
      state: 'unclean',
      unknownTail: { recordsMax: 204, windowMs: 5 },
      topics: { 'log.info.s.': fullBooks },
    },
    { origin: 'p', service: 's', host: 'h', pid: 2, state: 'unclean', unknownTail: { recordsMax: 1_000, windowMs: 5 }, topics: {} },
    { origin: 'q', service: 's', host: 'h', pid: 3, state: 'live', unknownTail: null, topics: {} },
  ],
  topicsNotShown: 1,
  losses: [
    { ...{ origin: 'o', service: 's', topic: 't', reason: 'unanswered', records: 1 }, firstAtMs: 1, lastAtMs: 1_779_999_999_500 },
    { ...{ origin: 'p', service: 's', topic: 't', reason: 'unanswered', records: 1 }, firstAtMs: 1, lastAtMs: 1_779_999_998_000 },
  ],
  sinks: {
    files: {
      ...{ type: 'file', topics: ['log.>'], where: 'x', written: 80, dropped: 1, expired: 2, rejected: 3 },
      ...{ pendingRecords: 4, pendingBytes: 5, lagMs: 1_500, error: 'ENOSPC' },
      files: {
        ...{ count: 12, bytes: 3_000, rotated: 7, compressed: 6, removedBytes: 500, error: 'EACCES' },
        removed: { age: 1, files: 2, bytes: 3, free: 4 },
      },
    },
    influx: {
      ...{ type: 'influxdb', topics: ['metric.>'], where: 'y', written: 80, dropped: 0, expired: 0, rejected: 3 },
      ...{ pendingRecords: 4, pendingBytes: 5, lagMs: 0, error: '503', requests: 9, retries: 2, bytesWritten: 1_000 },
      ...{ lastError: '503', lastErrorAtMs: 1_779_999_999_000, lastSuccessAtMs: 1_779_999_998_000 },
      ...{ fieldsConverted: 1, fieldsOmitted: 2, tagValuesFolded: 3 },
    },
  },
  spool: {
    ...{ dir: 'x', bytes: 1_000, bytesMax: 2_000, segments: 3, pendingBytes: 400, syncs: 2 },
    ...{ syncLastMs: 5, syncMaxMs: 20, damagedBytes: 7, error: 'ENOSPC', notDurable: 1 },
  },
  repairs: { requests: 1, recordsAsked: 2, recordsRepaired: 3, isBreakerOpen: true },
  demand: [{ level: 'debug', service: 's', by: ['h (pid 4)'], sinceMs: 1_779_999_990_000 }],
  ingest: { frames: 10, bytes: 1_000, refused: { truncated: 2 }, turnedAway: 3 },
  rollup: {
    ...{ points: 1_000, late: 1, ahead: 2, overflow: 3, refused: 4, displaced: 5 },
    ...{ series: 10, seriesMax: 10_000, conflicting: 6, hidden: 7 },
  },
}

export function fullGauges(): CollectorGauges {
  const syncs = new DurationHistogram()
  for (const ms of [5, 20]) syncs.observe(ms)
  return {
    queues: [
      { name: 'spool', unit: 'bytes', depth: 10, peak: 20 },
      { name: 'ingest', unit: 'frames', depth: 1, peak: 2 },
      { name: 'sink', unit: 'records', depth: 3, peak: 4 },
    ],
    unclean: [
      ['shop', 2],
      ['cart', 0],
    ],
    syncs: syncs.counts(),
    process: { residentBytes: 50_000_000, cpuSeconds: 1.25, startedAtMs: 1_779_999_987_655, nodeVersion: 'v20.19.0' },
  }
}

/**
 * The collector's own numbers as families of metrics: a pure function. docs/STATUS.md lists them all.
 *
 * Labels are bounded: services as service-counters.ts bounds them, levels, reasons, states and faults are closed lists,
 * sinks and queues are as many as were configured. Host, pid, origin and topic are no labels: each restart of an
 * application would begin new series.
 */
import { lossReasons } from '../wire/stream-ledger.ts'
import type { DurationCounts } from './duration-histogram.ts'
import { LabelSet, type MetricFamily } from './exposition/metric-family.ts'
import type { ServiceCounts } from './service-counters.ts'
import { type FilesStatus, removalReasons } from './sinks/sink.ts'
import type { CollectorStatus, TopicStatus } from './status.ts'

/** What no status has: how full queues have been, and what the process takes. */
export interface CollectorGauges {
  readonly queues: readonly QueueGauge[]
  /** Processes that have gone without goodbye, by service. */
  readonly unclean: readonly (readonly [service: string, processes: number])[]
  readonly syncs: DurationCounts | undefined
  readonly process: ProcessGauges
}

interface QueueGauge {
  readonly name: string
  readonly unit: 'bytes' | 'records' | 'frames'
  readonly depth: number
  /** Since the last time anybody asked. */
  readonly peak: number
}

interface ProcessGauges {
  readonly residentBytes: number
  readonly cpuSeconds: number
  /** Unix ms. */
  readonly startedAtMs: number
  /** Of Node. */
  readonly nodeVersion: string
}

type Labels = Readonly<Record<string, string>>
type Sample = readonly [labels: Labels, value: number]
type Kind = 'counter' | 'gauge'

const prefix = 'spillway_collector_'
/** A series that begins with its first loss has not increased by it, and no alert would see it: each begins at nought. */
const noLosses = Object.fromEntries(lossReasons.filter((reason) => reason !== 'transit').map((reason) => [reason, 0]))
const originStates = ['live', 'silent', 'finished', 'unclean'] as const

/** Of this process, now. */
export function processGauges(): ProcessGauges {
  const { user, system } = process.cpuUsage()
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    startedAtMs: Math.round(performance.timeOrigin),
    nodeVersion: process.version,
  }
}

/** @param services - The books per service and level. */
export function collectorFamilies(status: CollectorStatus, services: readonly ServiceCounts[], gauges: CollectorGauges): MetricFamily[] {
  return [
    ...recordFamilies(services),
    ...lossFamilies(status, services),
    ...originFamilies(status, gauges),
    ...sinkFamilies(status),
    ...spoolFamilies(status, gauges),
    ...intakeFamilies(status),
    ...rollUpFamilies(status),
    ...queueFamilies(gauges),
    ...processFamilies(status, gauges.process),
  ]
}

function recordFamilies(services: readonly ServiceCounts[]): MetricFamily[] {
  const count = (name: string, help: string, of: (books: TopicStatus) => number, kind: Kind = 'counter') =>
    family(
      name,
      kind,
      help,
      services.map(({ service, level, books }) => [{ service, level }, of(books)]),
    )
  return [
    count('records_accepted_total', 'Records applications have accepted, as far as is known.', (books) => books.accepted),
    count('records_received_total', 'Records that came, each counted once.', (books) => books.received),
    count('records_delivered_total', 'Records written by every sink that keeps them.', (books) => books.delivered),
    count('records_spooled_total', 'Records received that were made durable.', (books) => books.spooled),
    count('records_not_durable_total', 'Records received that could not be made durable.', (books) => books.notDurable),
    count('records_expired_total', 'Records given up because they were kept too long or took too much room.', (books) => books.expired),
    count('records_rejected_total', 'Records a sink refused for good.', (books) => books.rejected),
    count('records_filtered_total', 'Records nobody had asked for, or only a live tail had.', (books) => books.filtered),
    count('records_duplicate_total', 'Records that came again; kept once.', (books) => books.duplicates),
    count('records_late_total', 'Records that came after they had been booked as lost; not kept.', (books) => books.late),
    count('records_shed_at_origin_total', 'Records applications gave up before sending, as they say.', (books) => books.shedAtOrigin),
    count('records_in_flight', 'Records accepted, neither delivered nor given up yet.', (books) => books.inFlight, 'gauge'),
    count('records_pending', 'Records received that wait for a sink.', (books) => books.pending, 'gauge'),
  ]
}

function lossFamilies({ losses }: CollectorStatus, services: readonly ServiceCounts[]): MetricFamily[] {
  const lost = services.flatMap(({ service, level, books }) =>
    Object.entries({ ...noLosses, ...books.lost }).map(([reason, records]): Sample => [{ service, level, reason }, records]),
  )
  const lastAtMs = new Map<string, number>()
  for (const { reason, lastAtMs: atMs } of losses) lastAtMs.set(reason, Math.max(atMs, lastAtMs.get(reason) ?? 0))
  return [
    family('records_lost_total', 'counter', 'Records that never came and never will, by reason.', lost),
    family(
      'last_loss_timestamp_seconds',
      'gauge',
      'When records were last given up, by reason, Unix time.',
      [...lastAtMs].map(([reason, atMs]) => [{ reason }, atMs / 1_000]),
    ),
  ]
}

function originFamilies({ origins }: CollectorStatus, { unclean }: CollectorGauges): MetricFamily[] {
  const unknown = origins.reduce((sum, { unknownTail }) => sum + (unknownTail?.recordsMax ?? 0), 0)
  return [
    family(
      'origins',
      'gauge',
      'Application processes known, by state.',
      originStates.map((state) => [{ state }, origins.filter((origin) => origin.state === state).length]),
    ),
    family(
      'origins_unclean_total',
      'counter',
      'Application processes that have gone without goodbye.',
      unclean.map(([service, processes]) => [{ service }, processes]),
    ),
    single('unknown_tail_records', 'gauge', 'At most so many records of unclean processes are not in these books.', unknown),
  ]
}

function sinkFamilies({ sinks }: CollectorStatus): MetricFamily[] {
  type SinkBooks = (typeof sinks)[string]
  const each = (name: string, help: string, of: (sink: SinkBooks) => number, kind: Kind = 'counter') =>
    family(
      name,
      kind,
      help,
      Object.entries(sinks).map(([sink, books]) => [{ sink, type: books.type }, of(books)]),
    )
  return [
    each('sink_records_written_total', 'Records a sink has written.', (sink) => sink.written),
    each('sink_records_dropped_total', 'Records a sink that keeps nothing could not take.', (sink) => sink.dropped),
    each('sink_records_expired_total', 'Records given up before a sink could write them.', (sink) => sink.expired),
    each('sink_records_rejected_total', 'Records a sink refused for good.', (sink) => sink.rejected),
    each('sink_pending_records', 'Records a sink has yet to write.', (sink) => sink.pendingRecords, 'gauge'),
    each('sink_pending_bytes', 'Bytes a sink has yet to write.', (sink) => sink.pendingBytes, 'gauge'),
    each('sink_lag_seconds', 'Age of the oldest record a sink has yet to write.', (sink) => sink.lagMs / 1_000, 'gauge'),
    ...serverFamilies(sinks),
    each('sink_failing', '1 while the last write of a sink failed.', (sink) => (sink.error === undefined ? 0 : 1), 'gauge'),
    ...fileFamilies(sinks),
  ]
}

function fileFamilies(sinks: CollectorStatus['sinks']): MetricFamily[] {
  const keeping = Object.entries(sinks).flatMap(([sink, { files }]) => (files === undefined ? [] : [{ sink, files }]))
  const each = (name: string, help: string, of: (files: FilesStatus) => number, kind: Kind = 'counter') =>
    family(
      name,
      kind,
      help,
      keeping.map(({ sink, files }) => [{ sink }, of(files)]),
    )
  return [
    each('files', 'Files a sink keeps.', (files) => files.count, 'gauge'),
    each('files_bytes', 'Bytes of the files a sink keeps.', (files) => files.bytes, 'gauge'),
    each('files_rotated_total', 'Files that were given a number.', (files) => files.rotated),
    each('files_compressed_total', 'Files that were compressed.', (files) => files.compressed),
    family(
      'files_removed_total',
      'counter',
      'Files that were removed, by the bound they were over.',
      keeping.flatMap(({ sink, files }) => removalReasons.map((reason): Sample => [{ sink, reason }, files.removed[reason]])),
    ),
    each('files_removed_bytes_total', 'Bytes of the files that were removed.', (files) => files.removedBytes),
    each('files_failing', '1 while files cannot be compressed or removed.', (files) => (files.error === undefined ? 0 : 1), 'gauge'),
  ]
}

/** Of sinks that write to a server. */
function serverFamilies(sinks: CollectorStatus['sinks']): MetricFamily[] {
  type SinkBooks = (typeof sinks)[string]
  const writers = Object.entries(sinks).filter(([, { requests }]) => requests !== undefined)
  const each = (name: string, help: string, of: (sink: SinkBooks) => number | undefined, kind: Kind = 'counter') =>
    family(
      name,
      kind,
      help,
      writers.flatMap(([sink, books]) => {
        const value = of(books)
        return value === undefined ? [] : [[{ sink, type: books.type }, value] as const]
      }),
    )
  return [
    each('sink_requests_total', 'Requests to a sink’s server that went well.', (sink) => sink.requests),
    each('sink_retries_total', 'Requests to a sink’s server that failed and are made again.', (sink) => sink.retries),
    each('sink_written_bytes_total', 'Bytes a sink has written to its server, before compression.', (sink) => sink.bytesWritten),
    each(
      'sink_last_success_timestamp_seconds',
      'When a sink’s server last took something, Unix time.',
      (sink) => (sink.lastSuccessAtMs === undefined ? undefined : sink.lastSuccessAtMs / 1_000),
      'gauge',
    ),
    each(
      'sink_last_error_timestamp_seconds',
      'When a request to a sink’s server last failed, Unix time.',
      (sink) => (sink.lastErrorAtMs === undefined ? undefined : sink.lastErrorAtMs / 1_000),
      'gauge',
    ),
    each('sink_fields_converted_total', 'Fields given the configured type.', (sink) => sink.fieldsConverted),
    each('sink_fields_omitted_total', 'Fields left out because they have another type.', (sink) => sink.fieldsOmitted),
    each('sink_tag_values_folded_total', 'Tag values written as ~other because their tag has too many.', (sink) => sink.tagValuesFolded),
  ]
}

function spoolFamilies({ spool }: CollectorStatus, { syncs }: CollectorGauges): MetricFamily[] {
  const durations = syncs === undefined ? [] : [histogram('spool_sync_duration_seconds', 'Time a sync of the spool took.', syncs)]
  return [
    single('spool_bytes', 'gauge', 'Bytes the spool takes on disk.', spool.bytes),
    single('spool_limit_bytes', 'gauge', 'Bytes the spool may take.', spool.bytesMax),
    single('spool_pending_bytes', 'gauge', 'Bytes in the spool that some sink has yet to take.', spool.pendingBytes),
    single('spool_segments', 'gauge', 'Files of the spool.', spool.segments),
    single('spool_syncs_total', 'counter', 'Syncs of the spool.', spool.syncs),
    single('spool_sync_last_seconds', 'gauge', 'Time the last sync of the spool took.', spool.syncLastMs / 1_000),
    single('spool_sync_longest_seconds', 'gauge', 'Time the longest sync since the start took.', spool.syncMaxMs / 1_000),
    single('spool_failing', 'gauge', '1 while the spool cannot be written.', spool.error === undefined ? 0 : 1),
    ...durations,
  ]
}

function intakeFamilies({ ingest, repairs }: CollectorStatus): MetricFamily[] {
  return [
    single('ingest_frames_total', 'counter', 'Frames received, manifests included.', ingest.frames),
    single('ingest_bytes_total', 'counter', 'Bytes of frames received.', ingest.bytes),
    family(
      'ingest_frames_refused_total',
      'counter',
      'Frames that could not be read, by fault.',
      Object.entries(ingest.refused).map(([fault, frames]) => [{ fault }, frames]),
    ),
    single(
      'ingest_frames_turned_away_total',
      'counter',
      'Frames not taken because there was no room; their origins keep them.',
      ingest.turnedAway,
    ),
    single('repair_requests_total', 'counter', 'Messages that asked origins for missing records.', repairs.requests),
    single('repair_records_asked_total', 'counter', 'Missing records asked for, each time they were.', repairs.recordsAsked),
    single('repair_records_repaired_total', 'counter', 'Missing records that came after all.', repairs.recordsRepaired),
    single('repair_breaker_open', 'gauge', '1 while too much is missing to be asked for.', repairs.isBreakerOpen ? 1 : 0),
  ]
}

function rollUpFamilies({ rollup }: CollectorStatus): MetricFamily[] {
  return [
    single('rollup_points_total', 'counter', 'Points of metrics rolled up.', rollup.points),
    single('rollup_points_late_total', 'counter', 'Points that came when their window was closed; not in any window.', rollup.late),
    single('rollup_points_ahead_total', 'counter', 'Points whose clock is ahead; in the window they came in.', rollup.ahead),
    single('rollup_points_overflow_total', 'counter', 'Points of surplus series, counted in an overflow series.', rollup.overflow),
    single('rollup_points_refused_total', 'counter', 'Points not rolled up because there are too many instruments.', rollup.refused),
    single('rollup_values_displaced_total', 'counter', 'Values of gauges and up-down counters given up for newer ones.', rollup.displaced),
    single('rollup_series', 'gauge', 'Series rolled up.', rollup.series),
    single('rollup_series_limit', 'gauge', 'Series there may be, those of overflow not counted.', rollup.seriesMax),
    single('rollup_series_conflicting', 'gauge', 'Series not shown because another kind of metric has their name.', rollup.conflicting),
    single('rollup_series_hidden', 'gauge', 'Series the last scrape had no room for.', rollup.hidden),
  ]
}

function queueFamilies({ queues }: CollectorGauges): MetricFamily[] {
  return (['bytes', 'records', 'frames'] as const).flatMap((unit) => {
    const ofUnit = queues.filter((queue) => queue.unit === unit)
    const samples = (of: (queue: QueueGauge) => number) => ofUnit.map((queue): Sample => [{ queue: queue.name }, of(queue)])
    return [
      family(
        `queue_${unit}`,
        'gauge',
        `What a queue holds, in ${unit}.`,
        samples((queue) => queue.depth),
      ),
      family(
        `queue_peak_${unit}`,
        'gauge',
        `The most a queue has held since the last scrape, in ${unit}.`,
        samples((queue) => queue.peak),
      ),
    ]
  })
}

/** Names without a prefix are those every Prometheus client uses. */
function processFamilies(status: CollectorStatus, { residentBytes, cpuSeconds, startedAtMs, nodeVersion }: ProcessGauges): MetricFamily[] {
  return [
    single('uptime_seconds', 'gauge', 'Time since the collector started.', status.uptimeMs / 1_000),
    family('build_info', 'gauge', 'Always 1; the labels say what runs.', [[{ version: status.version, node: nodeVersion }, 1]]),
    plain('process_resident_memory_bytes', 'gauge', 'Resident memory size in bytes.', [[{}, residentBytes]]),
    plain('process_cpu_seconds_total', 'counter', 'Total user and system CPU time spent in seconds.', [[{}, cpuSeconds]]),
    plain('process_start_time_seconds', 'gauge', 'Start time of the process since unix epoch in seconds.', [[{}, startedAtMs / 1_000]]),
  ]
}

// ── what they are made of ──

function single(name: string, kind: Kind, help: string, value: number): MetricFamily {
  return family(name, kind, help, [[{}, value]])
}

function family(name: string, kind: Kind, help: string, samples: readonly Sample[]): MetricFamily {
  return plain(prefix + name, kind, help, samples)
}

function plain(name: string, kind: Kind, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, kind, help, unit: unitOf(name), samples: samples.map(([labels, value]) => ({ labels: labelSet(labels), value })) }
}

function histogram(name: string, help: string, { buckets, count, sumSeconds }: DurationCounts): MetricFamily {
  const full = prefix + name
  return { name: full, kind: 'histogram', help, unit: unitOf(full), samples: [{ labels: labelSet({}), count, sum: sumSeconds, buckets }] }
}

function labelSet(labels: Labels): LabelSet {
  return new LabelSet(Object.entries(labels))
}

function unitOf(name: string): string {
  return /_(seconds|bytes)(?:_total)?$/.exec(name)?.[1] ?? ''
}

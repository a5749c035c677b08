/** The dashboard of collectors' own health. Their numbers are under `/metrics` (docs/STATUS.md), so it is for Prometheus only. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { dashboard, type PanelSpec, refId } from './dashboard.ts'
import { chosen, queryVariable, type Source, variables } from './sources.ts'

interface Line {
  /** With `{}` after each metric of a collector, for the collectors chosen; `{,a="b"}` for more of a selector. */
  readonly expression: string
  readonly legend: string
}

type CollectorPanel = Omit<PanelSpec, 'targets' | 'displayNames'> & { readonly lines: readonly Line[] }

const own = 'spillway_collector_'
const rate = (name: string, by: string): string => `sum by (${by}) (rate(${own}${name}{}[$__rate_interval]))`
const perSecond = (name: string, legend: string): Line => ({ expression: `sum(rate(${own}${name}{}[$__rate_interval]))`, legend })
const now = (name: string, by: string): string => `max by (${by}) (${own}${name}{})`
const inTime = (name: string): Line => ({ expression: `sum(increase(${own}${name}{}[$__range]))`, legend: '' })
const sinks = (name: string): Line => ({ expression: now(name, 'instance, sink'), legend: '{{sink}}' })

const rows: readonly { readonly title?: string; readonly height: number; readonly panels: readonly CollectorPanel[] }[] = [
  {
    height: 4,
    panels: [
      {
        kind: 'stat',
        title: 'Lost',
        description: 'Records that never came and never will, in the time shown.',
        badFrom: 1,
        lines: [inTime('records_lost_total')],
      },
      {
        kind: 'stat',
        title: 'Given up or refused',
        description: 'Records that came and that a sink did not write: they expired, or it refused them; in the time shown.',
        badFrom: 1,
        lines: [
          {
            expression: `sum(increase(${own}records_expired_total{}[$__range])) + sum(increase(${own}records_rejected_total{}[$__range]))`,
            legend: '',
          },
        ],
      },
      {
        kind: 'stat',
        title: 'Processes gone without goodbye',
        description: 'In the time shown. What they had not sent is unknown.',
        badFrom: 1,
        lines: [inTime('origins_unclean_total')],
      },
      { kind: 'stat', title: 'Processes', lines: [{ expression: `sum(${own}origins{,state="live"})`, legend: '' }] },
      {
        kind: 'stat',
        title: 'Sinks failing',
        description: 'Whose last write failed.',
        badFrom: 1,
        lines: [{ expression: `sum(${own}sink_failing{})`, legend: '' }],
      },
      {
        kind: 'stat',
        title: 'Furthest behind',
        description: 'Age of the oldest record a sink has yet to write.',
        unit: 's',
        badFrom: 60,
        lines: [{ expression: `max(${own}sink_lag_seconds{})`, legend: '' }],
      },
      {
        kind: 'stat',
        title: 'Spool full',
        description: 'What waits in it for a sink, of what it may hold.',
        unit: 'percentunit',
        badFrom: 0.8,
        lines: [{ expression: `max(${own}spool_pending_bytes{} / ${own}spool_limit_bytes{})`, legend: '' }],
      },
    ],
  },
  {
    title: 'Records',
    height: 8,
    panels: [
      {
        kind: 'lines',
        title: 'From applications to sinks',
        description: 'Accepted by applications, received here, written by every sink that keeps them.',
        unit: 'cps',
        lines: [
          perSecond('records_accepted_total', 'accepted'),
          perSecond('records_received_total', 'received'),
          perSecond('records_delivered_total', 'delivered'),
        ],
      },
      {
        kind: 'lines',
        title: 'Received by service',
        unit: 'cps',
        lines: [{ expression: rate('records_received_total', 'service'), legend: '{{service}}' }],
      },
      {
        kind: 'bars',
        title: 'Lost by service and reason',
        unit: 'cps',
        lines: [{ expression: rate('records_lost_total', 'service, reason'), legend: '{{service}} {{reason}}' }],
      },
      {
        kind: 'lines',
        title: 'On their way',
        description: 'In flight: accepted, neither delivered nor given up. Of these, pending ones are here and wait for a sink.',
        unit: 'short',
        lines: [
          { expression: `sum(${own}records_in_flight{})`, legend: 'in flight' },
          { expression: `sum(${own}records_pending{})`, legend: 'pending' },
        ],
      },
    ],
  },
  {
    title: 'Sinks',
    height: 8,
    panels: [
      { kind: 'lines', title: 'Behind by', unit: 's', lines: [sinks('sink_lag_seconds')] },
      { kind: 'lines', title: 'Waiting', unit: 'bytes', lines: [sinks('sink_pending_bytes')] },
      {
        kind: 'lines',
        title: 'Written',
        unit: 'cps',
        lines: [{ expression: rate('sink_records_written_total', 'sink'), legend: '{{sink}}' }],
      },
      {
        kind: 'lines',
        title: 'Requests to servers',
        description: 'Of sinks that write to a server. Those to be made again failed.',
        unit: 'reqps',
        lines: [
          { expression: rate('sink_requests_total', 'sink'), legend: '{{sink}}' },
          { expression: rate('sink_retries_total', 'sink'), legend: '{{sink}}, to be made again' },
        ],
      },
    ],
  },
  {
    title: 'Disk',
    height: 8,
    panels: [
      {
        kind: 'lines',
        title: 'Spool',
        unit: 'bytes',
        lines: [
          { expression: `sum(${own}spool_bytes{})`, legend: 'on disk' },
          { expression: `sum(${own}spool_pending_bytes{})`, legend: 'waiting for a sink' },
          { expression: `sum(${own}spool_limit_bytes{})`, legend: 'limit' },
        ],
      },
      {
        kind: 'lines',
        title: 'Time a sync takes',
        unit: 's',
        lines: [
          {
            expression: `histogram_quantile(0.99, sum by (le) (rate(${own}spool_sync_duration_seconds_bucket{}[$__rate_interval])))`,
            legend: 'p99',
          },
          { expression: `max(${own}spool_sync_last_seconds{})`, legend: 'last' },
        ],
      },
      { kind: 'lines', title: 'Files kept', unit: 'bytes', lines: [sinks('files_bytes')] },
    ],
  },
  {
    title: 'Applications and intake',
    height: 8,
    panels: [
      {
        kind: 'bars',
        title: 'Processes by state',
        unit: 'short',
        lines: [{ expression: `sum by (state) (${own}origins{})`, legend: '{{state}}' }],
      },
      {
        kind: 'lines',
        title: 'Frames',
        unit: 'cps',
        lines: [
          perSecond('ingest_frames_total', 'received'),
          perSecond('ingest_frames_turned_away_total', 'turned away'),
          perSecond('repair_records_asked_total', 'records asked for again'),
        ],
      },
      { kind: 'lines', title: 'Bytes', unit: 'Bps', lines: [perSecond('ingest_bytes_total', 'received')] },
      {
        kind: 'lines',
        title: 'Series rolled up',
        unit: 'short',
        lines: [
          { expression: `sum(${own}rollup_series{})`, legend: 'series' },
          { expression: `sum(${own}rollup_series_limit{})`, legend: 'limit' },
        ],
      },
    ],
  },
  {
    // Applications may have metrics of these names: theirs have a service.
    title: 'The collector’s process',
    height: 8,
    panels: [
      {
        kind: 'lines',
        title: 'Processor time',
        unit: 'short',
        lines: [
          {
            expression: `rate(process_cpu_seconds_total{,service=""}[$__rate_interval]) * on (instance) ${own}build_info{}`,
            legend: '{{instance}}',
          },
        ],
      },
      {
        kind: 'lines',
        title: 'Memory',
        unit: 'bytes',
        lines: [{ expression: `process_resident_memory_bytes{,service=""} * on (instance) ${own}build_info{}`, legend: '{{instance}}' }],
      },
      { kind: 'lines', title: 'Runs since', unit: 's', lines: [{ expression: now('uptime_seconds', 'instance'), legend: '{{instance}}' }] },
    ],
  },
]

export function collectorDashboard(prometheus: Source): Dashboard {
  const collectors = { query: `label_values(${own}build_info, instance)`, refId: 'collectors' }
  const all = { text: 'All', value: '$__all', selected: true }
  return dashboard({
    uid: 'spillway-prometheus-collector',
    title: 'Spillway: Collector (Prometheus)',
    description: 'What was lost and why, how far sinks are behind, what the disk holds: the books of the collectors themselves.',
    datasource: chosen(prometheus),
    variables: [
      ...variables(prometheus, []),
      queryVariable(prometheus, 'instance', collectors).label('Collector').multi(true).includeAll(true).allValue('.*').current(all),
    ],
    rows: rows.map(({ panels, ...row }) => ({ ...row, panels: panels.map(panelOf) })),
  })
}

function panelOf({ lines, ...panel }: CollectorPanel): PanelSpec {
  const targets = lines.map(({ expression, legend }, i) => {
    const query = new DataqueryBuilder().refId(refId(i)).expr(expression.replaceAll('{}', chosenOnes('')).replaceAll(/\{,(.*?)\}/g, more))
    return query.legendFormat(legend === '' ? '__auto' : legend).range()
  })
  return { ...panel, targets }
}

const more = (_: string, selector: string): string => chosenOnes(`, ${selector}`)
const chosenOnes = (and: string): string => `{instance=~"$instance"${and}}`

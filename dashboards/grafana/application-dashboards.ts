/** Dashboards of what applications log and measure, for any source. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { dashboard, type PanelSpec, type RowSpec, refId } from './dashboard.ts'
import { metrics } from './measures.ts'
import { chosen, type PanelQuery, type Source, type VariableName, variables } from './sources.ts'

type MeasuringPanel = Omit<PanelSpec, 'targets' | 'displayNames'> & { readonly queries: readonly PanelQuery[] }

interface ApplicationDashboard {
  /** Of its file. */
  readonly name: string
  readonly title: string
  readonly description: string
  readonly variables: readonly VariableName[]
  readonly rows: readonly (Omit<RowSpec, 'panels'> & { readonly panels: readonly MeasuringPanel[] })[]
}

const statusCode = 'http.response.status_code'
const failed = { attribute: statusCode, matches: '5..' } as const
const highestOfProcesses = 'Of the process in which it is highest.'
const quantilesNote =
  'From Prometheus the percentiles of all processes together; from InfluxDB those of the process in which they are highest.'

const serviceOverview: ApplicationDashboard = {
  name: 'service-overview',
  title: 'Services',
  description:
    'What services log, how their requests go, and what their processes take. Requests are those of the histogram http.server.request.duration.',
  variables: ['service'],
  rows: [
    {
      height: 4,
      panels: [
        {
          kind: 'stat',
          title: 'Log lines',
          unit: 'cps',
          shows: 'mean',
          queries: [{ measure: { show: 'logRate', by: [], levels: 'all' } }],
        },
        {
          kind: 'stat',
          title: 'Errors logged',
          unit: 'cps',
          shows: 'mean',
          queries: [{ measure: { show: 'logRate', by: [], levels: 'errors' } }],
        },
        {
          kind: 'stat',
          title: 'Requests',
          unit: 'reqps',
          shows: 'mean',
          queries: [{ measure: { show: 'rate', metric: metrics.requests } }],
        },
        {
          kind: 'stat',
          title: 'Requests failed',
          unit: 'reqps',
          shows: 'mean',
          description: 'Answered with a status from 500.',
          queries: [{ measure: { show: 'rate', metric: metrics.requests, where: failed } }],
        },
        {
          kind: 'stat',
          title: 'Slowest percent of requests',
          unit: 's',
          description: `The 99th percentile. ${quantilesNote}`,
          queries: [{ measure: { show: 'quantile', quantile: 0.99, metric: metrics.requests } }],
        },
        {
          kind: 'stat',
          title: 'Event loop late by',
          unit: 's',
          description: `The 99th percentile. ${highestOfProcesses}`,
          badFrom: 0.1,
          queries: [{ measure: { show: 'highest', metric: metrics.loopDelayP99 } }],
        },
        { kind: 'stat', title: 'Memory', unit: 'bytes', queries: [{ measure: { show: 'sum', metric: metrics.memory } }] },
      ],
    },
    {
      title: 'Logs',
      height: 8,
      panels: [
        {
          kind: 'bars',
          title: 'Lines by level',
          unit: 'cps',
          queries: [{ measure: { show: 'logRate', by: ['level'], levels: 'all' }, legend: '{level}' }],
        },
        {
          kind: 'lines',
          title: 'Errors by service',
          unit: 'cps',
          queries: [{ measure: { show: 'logRate', by: ['service'], levels: 'errors' }, legend: '{service}' }],
        },
      ],
    },
    {
      title: 'Requests',
      height: 8,
      panels: [
        {
          kind: 'lines',
          title: 'By route',
          unit: 'reqps',
          queries: [
            { measure: { show: 'rate', metric: metrics.requests, by: ['service', 'http.route'] }, legend: '{service} {http.route}' },
          ],
        },
        {
          kind: 'bars',
          title: 'By status',
          unit: 'reqps',
          queries: [{ measure: { show: 'rate', metric: metrics.requests, by: [statusCode] }, legend: `{${statusCode}}` }],
        },
        {
          kind: 'lines',
          title: 'Duration',
          unit: 's',
          description: quantilesNote,
          queries: ([0.5, 0.9, 0.99] as const).map((quantile) => ({
            measure: { show: 'quantile', quantile, metric: metrics.requests },
            legend: `p${100 * quantile}`,
          })),
        },
        {
          kind: 'lines',
          title: 'In hand',
          unit: 'short',
          queries: [{ measure: { show: 'sum', metric: metrics.requestsOpen, by: ['service'] }, legend: '{service}' }],
        },
      ],
    },
    {
      title: 'Processes',
      height: 8,
      panels: [
        {
          kind: 'lines',
          title: 'Processor time',
          unit: 'short',
          description: 'Processors in use, of all processes together.',
          queries: [{ measure: { show: 'rate', metric: metrics.cpuTime, by: ['service'] }, legend: '{service}' }],
        },
        {
          kind: 'lines',
          title: 'Memory',
          unit: 'bytes',
          description: 'Resident, of all processes together.',
          queries: [{ measure: { show: 'sum', metric: metrics.memory, by: ['service'] }, legend: '{service}' }],
        },
        {
          kind: 'lines',
          title: 'Event loop late by',
          unit: 's',
          description: `The 99th percentile. ${highestOfProcesses}`,
          queries: [{ measure: { show: 'highest', metric: metrics.loopDelayP99, by: ['service'] }, legend: '{service}' }],
        },
      ],
    },
  ],
}

const nodeRuntime: ApplicationDashboard = {
  name: 'node-runtime',
  title: 'Node runtime',
  description: 'What every process with an agent says about itself, under the names of OpenTelemetry’s semantic conventions.',
  variables: ['service'],
  rows: [
    {
      title: 'Event loop',
      height: 8,
      panels: [
        {
          kind: 'lines',
          title: 'Late by',
          unit: 's',
          description: highestOfProcesses,
          queries: [
            { measure: { show: 'highest', metric: metrics.loopDelayP50 }, legend: 'p50' },
            { measure: { show: 'highest', metric: metrics.loopDelayP90 }, legend: 'p90' },
            { measure: { show: 'highest', metric: metrics.loopDelayP99 }, legend: 'p99' },
            { measure: { show: 'highest', metric: metrics.loopDelayMax }, legend: 'max' },
          ],
        },
        {
          kind: 'lines',
          title: 'Busy',
          unit: 'percentunit',
          max: 1,
          description: `Share of the time. ${highestOfProcesses}`,
          queries: [{ measure: { show: 'highest', metric: metrics.loopUtilization, by: ['service'] }, legend: '{service}' }],
        },
        {
          kind: 'bars',
          title: 'Processor time',
          unit: 'short',
          description: 'Processors in use, of all processes together.',
          queries: [{ measure: { show: 'rate', metric: metrics.cpuTime, by: ['cpu.mode'] }, legend: '{cpu.mode}' }],
        },
      ],
    },
    {
      title: 'Memory',
      height: 8,
      panels: [
        {
          kind: 'lines',
          title: 'Of all processes',
          unit: 'bytes',
          queries: [
            { measure: { show: 'sum', metric: metrics.memory }, legend: 'resident' },
            { measure: { show: 'sum', metric: metrics.heapSize }, legend: 'heap' },
            { measure: { show: 'sum', metric: metrics.heapUsed }, legend: 'heap used' },
          ],
        },
        {
          kind: 'bars',
          title: 'Heap used by space',
          unit: 'bytes',
          queries: [{ measure: { show: 'sum', metric: metrics.heapUsed, by: ['v8js.heap.space.name'] }, legend: '{v8js.heap.space.name}' }],
        },
      ],
    },
    {
      title: 'Garbage collection',
      height: 8,
      panels: [
        {
          kind: 'bars',
          title: 'Time spent',
          unit: 'percentunit',
          description: 'Seconds per second, of all processes together.',
          queries: [{ measure: { show: 'sumRate', metric: metrics.gcDuration, by: ['v8js.gc.type'] }, legend: '{v8js.gc.type}' }],
        },
        {
          kind: 'lines',
          title: 'Collections',
          unit: 'cps',
          queries: [{ measure: { show: 'rate', metric: metrics.gcDuration, by: ['v8js.gc.type'] }, legend: '{v8js.gc.type}' }],
        },
        {
          kind: 'lines',
          title: 'Longest percent',
          unit: 's',
          description: `The 99th percentile. ${quantilesNote}`,
          queries: [
            { measure: { show: 'quantile', quantile: 0.99, metric: metrics.gcDuration, by: ['v8js.gc.type'] }, legend: '{v8js.gc.type}' },
          ],
        },
      ],
    },
    {
      title: 'Resources',
      height: 8,
      panels: [
        {
          kind: 'lines',
          title: 'Open files and sockets',
          unit: 'short',
          description: 'Linux and macOS. Of all processes together.',
          queries: [{ measure: { show: 'sum', metric: metrics.descriptors, by: ['service'] }, legend: '{service}' }],
        },
        {
          kind: 'lines',
          title: 'What keeps processes alive',
          unit: 'short',
          queries: [{ measure: { show: 'sum', metric: metrics.resources, by: ['v8js.resource.type'] }, legend: '{v8js.resource.type}' }],
        },
      ],
    },
  ],
}

const logs: ApplicationDashboard = {
  name: 'logs',
  title: 'Logs',
  description: 'Log lines by level, service and logger. The lines themselves are in InfluxDB only.',
  variables: ['service', 'level', 'search'],
  rows: [
    {
      height: 8,
      panels: [
        {
          kind: 'bars',
          title: 'By level',
          unit: 'cps',
          queries: [{ measure: { show: 'logRate', by: ['level'], levels: 'chosen' }, legend: '{level}' }],
        },
        {
          kind: 'bars',
          title: 'By service',
          unit: 'cps',
          queries: [{ measure: { show: 'logRate', by: ['service'], levels: 'chosen' }, legend: '{service}' }],
        },
        {
          kind: 'bars',
          title: 'By logger',
          unit: 'cps',
          queries: [{ measure: { show: 'logRate', by: ['service', 'logger'], levels: 'chosen' }, legend: '{service} {logger}' }],
        },
      ],
    },
    {
      height: 14,
      panels: [
        { kind: 'logs', title: 'Lines', description: 'The newest 500.', queries: [{ measure: { show: 'logLines', levels: 'chosen' } }] },
      ],
    },
    {
      height: 8,
      panels: [
        {
          kind: 'table',
          title: 'Lines by service and level',
          queries: [{ measure: { show: 'logTable', by: ['service', 'level'], levels: 'chosen' } }],
        },
        {
          kind: 'table',
          title: 'Lines by logger',
          queries: [{ measure: { show: 'logTable', by: ['service', 'logger', 'level'], levels: 'chosen' } }],
        },
      ],
    },
  ],
}

/** The dashboards of a source, by the names of their files. */
export function applicationDashboards(source: Source): ReadonlyMap<string, Dashboard> {
  return new Map([serviceOverview, nodeRuntime, logs].map((each) => [each.name, builtFor(source, each)]))
}

function builtFor(source: Source, { name, title, description, variables: names, rows }: ApplicationDashboard): Dashboard {
  const known = source.name === 'prometheus' ? names.filter((variable) => variable !== 'search') : names
  return dashboard({
    uid: `spillway-${source.name}-${name}`,
    title: `Spillway: ${title} (${source.title})`,
    description,
    datasource: chosen(source),
    variables: variables(source, known),
    rows: rows.map(({ panels, ...row }) => ({ ...row, panels: panels.flatMap((each) => panelFor(source, each)) })),
  })
}

/** None when the source has nothing of it. */
function panelFor(source: Source, { queries, ...panel }: MeasuringPanel): PanelSpec[] {
  const targets = queries.flatMap((query, i) => source.target(query, refId(i)) ?? [])
  const displayNames = queries.map(({ legend }) => (legend === undefined ? undefined : source.displayName(legend)))
  return targets.length === 0 ? [] : [{ ...panel, targets, displayNames }]
}

/** Alerts on the books of collectors, said once: rules of Prometheus', and the same for Grafana to provision. */
import { stringify } from 'yaml'

interface AlertRule {
  readonly name: string
  /** Each series of it that is above, or below, the bound is an alert of its own. */
  readonly expression: string
  readonly above?: number
  readonly below?: number
  /** How long it has to be true. */
  readonly for: string
  readonly severity: 'critical' | 'warning'
  readonly summary: string
  readonly description: string
}

const own = 'spillway_collector_'

const alertRules: readonly AlertRule[] = [
  {
    name: 'SpillwayRecordsLost',
    expression: `sum by (instance, service, reason) (increase(${own}records_lost_total[10m]))`,
    above: 0,
    for: '0s',
    severity: 'warning',
    summary: 'Records of {{ .Labels.service }} were lost: {{ .Labels.reason }}',
    description:
      'About {{ .Value | printf "%.0f" }} records of {{ .Labels.service }} never came and never will. docs/WIRE.md says what the reasons mean; `spillway status` shows whose and when.',
  },
  {
    name: 'SpillwayRecordsGivenUp',
    expression: `sum by (instance, sink) (increase(${own}sink_records_expired_total[10m]) + increase(${own}sink_records_rejected_total[10m]))`,
    above: 0,
    for: '0s',
    severity: 'warning',
    summary: 'Sink {{ .Labels.sink }} did not write records that had come',
    description:
      'About {{ .Value | printf "%.0f" }} records were refused by sink {{ .Labels.sink }}, or given up before it could write them because the spool was full.',
  },
  {
    name: 'SpillwayNotDurable',
    expression: `max by (instance) (${own}spool_failing)`,
    above: 0,
    for: '1m',
    severity: 'critical',
    summary: 'The spool of {{ .Labels.instance }} cannot be written',
    description: 'What comes is delivered from memory: a collector that is killed now loses it. Look at its disk.',
  },
  {
    name: 'SpillwayOriginDied',
    expression: `sum by (instance, service) (increase(${own}origins_unclean_total[10m]))`,
    above: 0,
    for: '0s',
    severity: 'warning',
    summary: 'A process of {{ .Labels.service }} has gone without goodbye',
    description:
      'It was killed, or cannot reach the collector. What it had not sent is in no book; `spillway status` shows how much that can be at most.',
  },
  {
    name: 'SpillwaySinkBehind',
    expression: `max by (instance, sink) (${own}sink_lag_seconds)`,
    above: 60,
    for: '2m',
    severity: 'warning',
    summary: 'Sink {{ .Labels.sink }} is behind',
    description: 'Its oldest unwritten record is {{ .Value | humanizeDuration }} old.',
  },
  {
    name: 'SpillwaySinkFailing',
    expression: `max by (instance, sink) (${own}sink_failing)`,
    above: 0,
    for: '2m',
    severity: 'critical',
    summary: 'Sink {{ .Labels.sink }} cannot write',
    description: 'What comes waits in the spool until that is full. `spillway status` says why it failed last.',
  },
  {
    name: 'SpillwaySpoolFillsUp',
    expression: `max by (instance) (${own}spool_pending_bytes / ${own}spool_limit_bytes)`,
    above: 0.8,
    for: '1m',
    severity: 'critical',
    summary: 'The spool of {{ .Labels.instance }} is nearly full',
    description:
      'When it is, the oldest records are given up. It is {{ .Value | humanizePercentage }} full of what a sink has yet to take.',
  },
  {
    name: 'SpillwayCollectorDown',
    expression: 'up{job="spillway"}',
    below: 1,
    for: '1m',
    severity: 'critical',
    summary: 'The collector at {{ .Labels.instance }} does not answer',
    description: 'Applications keep what they can in memory, and begin to lose records when that is full.',
  },
]

/** By path: for Prometheus' `rule_files`, and for Grafana's `provisioning/alerting`. */
export function alertFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['alerts/prometheus-rules.yml', yaml({ groups: [{ name: 'spillway', rules: alertRules.map(prometheusRule) }] })],
    [
      'alerts/grafana-rules.yml',
      yaml({
        apiVersion: 1,
        groups: [{ orgId: 1, name: 'spillway', folder: 'Spillway', interval: '1m', rules: alertRules.map(grafanaRule) }],
      }),
    ],
  ])
}

const yaml = (value: unknown): string => stringify(value, { lineWidth: 0 })

function prometheusRule({ name, expression, above, below, for: pending, severity, summary, description }: AlertRule): object {
  const bound = above === undefined ? `< ${below}` : `> ${above}`
  return { alert: name, expr: `${expression} ${bound}`, for: pending, labels: { severity }, annotations: { summary, description } }
}

/**
 * The query, and a threshold on what it answers. Grafana takes `$` in these files for its environment, so no text has one.
 * The source of data is the one whose uid is `prometheus`.
 */
function grafanaRule({ name, expression, above, below, for: pending, severity, summary, description }: AlertRule): object {
  const evaluator = above === undefined ? { type: 'lt', params: [below] } : { type: 'gt', params: [above] }
  const relativeTimeRange = { from: 600, to: 0 }
  const value = description.replaceAll('{{ .Value ', '{{ .Values.A.Value ')
  return {
    uid: name,
    title: name,
    condition: 'B',
    data: [
      { refId: 'A', relativeTimeRange, datasourceUid: 'prometheus', model: { refId: 'A', expr: expression, instant: true, range: false } },
      {
        refId: 'B',
        relativeTimeRange,
        datasourceUid: '__expr__',
        model: { refId: 'B', type: 'threshold', expression: 'A', conditions: [{ evaluator }] },
      },
    ],
    noDataState: 'OK',
    execErrState: 'Error',
    for: pending,
    labels: { severity },
    annotations: { summary, description: value },
  }
}

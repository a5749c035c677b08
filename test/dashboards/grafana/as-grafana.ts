/** Queries and variables of a dashboard as Grafana sends them to a source of data. */
import type { Dashboard, Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard'

/** What is chosen in a dashboard's variables: values, or all of them. */
export type Choice = Readonly<Record<string, readonly string[] | 'all'>>

export interface Shown {
  readonly fromMs: number
  readonly toMs: number
  /** Of one point on the screen. */
  readonly intervalMs: number
}

export interface Target {
  readonly panel: string
  readonly refId: string
  /** As the JSON has it. */
  readonly query: string
  readonly format: string | undefined
  readonly isInstant: boolean
}

/** Every query of every panel. */
export function targetsOf(dashboard: Dashboard): Target[] {
  return panelsOf(dashboard).flatMap(({ title = '', targets = [] }) =>
    targets.map((target) => {
      const { refId, expr, query, resultFormat, instant } = target as unknown as Record<string, unknown>
      return {
        panel: title,
        refId: String(refId),
        query: String(expr ?? query),
        format: resultFormat === undefined ? undefined : String(resultFormat),
        isInstant: instant === true,
      }
    }),
  )
}

export function panelsOf({ panels = [] }: Dashboard): Panel[] {
  return panels.filter((panel: Panel | RowPanel): panel is Panel => panel.type !== 'row')
}

/** https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/ */
export function inPromql(query: string, choice: Choice, { fromMs, toMs, intervalMs }: Shown): string {
  // As the source's settings have it by default.
  const scrapeMs = 15_000
  const globals: Readonly<Record<string, string>> = {
    __rate_interval: `${Math.max(intervalMs + scrapeMs, 4 * scrapeMs) / 1_000}s`,
    __interval: `${intervalMs / 1_000}s`,
    __range: `${(toMs - fromMs) / 1_000}s`,
  }
  return query.replaceAll(/\$(\w+)/g, (_, name: string) => globals[name] ?? chosen(choice, name).replaceAll('\\', '\\\\'))
}

/** https://grafana.com/docs/grafana/latest/datasources/influxdb/template-variables/ */
export function inInfluxql(query: string, choice: Choice, { fromMs, toMs, intervalMs }: Shown): string {
  return withRegexes(query, choice)
    .replaceAll('$timeFilter', `time >= ${fromMs}ms and time <= ${toMs}ms`)
    .replaceAll('$__interval_ms', String(intervalMs))
    .replaceAll('$__interval', `${intervalMs / 1_000}s`)
}

export function inFlux(query: string, choice: Choice, { fromMs, toMs, intervalMs }: Shown): string {
  return withRegexes(query, choice)
    .replaceAll('v.timeRangeStart', new Date(fromMs).toISOString())
    .replaceAll('v.timeRangeStop', new Date(toMs).toISOString())
    .replaceAll('v.windowPeriod', `${intervalMs / 1_000}s`)
    .replaceAll('v.defaultBucket', '"telemetry"')
}

function withRegexes(query: string, choice: Choice): string {
  return query.replaceAll(/\$\{(\w+):regex\}/g, (_, name: string) => chosen(choice, name))
}

/** What is chosen, as a regular expression. All is `allValue` of these dashboards. */
function chosen(choice: Choice, name: string): string {
  const values = choice[name]
  if (values === undefined) throw new Error(`$${name} is no variable of this dashboard`)
  if (values === 'all') return '.*'
  const escaped = values.map((value) => value.replaceAll(/[\\^$*+?.()|[\]{}/]/g, '\\$&'))
  return escaped.length === 1 ? (escaped[0] ?? '') : `(${escaped.join('|')})`
}

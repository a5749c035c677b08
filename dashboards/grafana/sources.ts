/** The three sources of data: how a panel's query, and the variables on top of a dashboard, are written for each. */
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import type { DataSourceRef, VariableModel } from '@grafana/grafana-foundation-sdk/dashboard'
import {
  CustomVariableBuilder,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { levels } from '../../wire/level.ts'
import { flux } from './flux.ts'
import { influxql } from './influxql.ts'
import type { Measure } from './measures.ts'
import { label, promql } from './promql.ts'

type SourceName = 'prometheus' | 'influxql' | 'flux'

/** A query of one panel. In its legend, `{http.route}` stands for an attribute. */
export interface PanelQuery {
  readonly measure: Measure
  readonly legend?: string
}

export interface Source {
  readonly name: SourceName
  readonly title: string
  /** Grafana's name of the plugin. */
  readonly plugin: 'prometheus' | 'influxdb'
  /** Undefined when the source does not have it. */
  target(query: PanelQuery, refId: string): Builder<Dataquery> | undefined
  /** What a field is called in the panel; undefined when the query says that itself. */
  displayName(legend: string): string | undefined
  /** Values for the variable `service`. */
  readonly services: string | Readonly<Record<string, string>>
}

export type VariableName = 'service' | 'level' | 'search'

/** The source chosen on top of the dashboard. */
export function chosen(source: Source): DataSourceRef {
  return { type: source.plugin, uid: `\${datasource}` }
}

export const sources: readonly Source[] = [
  {
    name: 'prometheus',
    title: 'Prometheus',
    plugin: 'prometheus',
    target({ measure, legend }, refId) {
      const expression = promql(measure)
      if (expression === undefined) return undefined
      const query = new DataqueryBuilder().refId(refId).expr(expression)
      query.legendFormat(legend === undefined ? '__auto' : inLegend(legend, (attribute) => `{{${label(attribute)}}}`))
      return measure.show === 'logTable' ? query.instant().format(PromQueryFormat.Table) : query.range()
    },
    displayName: () => undefined,
    services: { query: 'label_values({__name__=~"log_lines_total|nodejs_eventloop_utilization_ratio"}, service)', refId: 'services' },
  },
  {
    name: 'influxql',
    title: 'InfluxQL',
    plugin: 'influxdb',
    target({ measure, legend }, refId) {
      const format = measure.show === 'logLines' ? 'logs' : measure.show === 'logTable' ? 'table' : 'time_series'
      const alias = legend === undefined ? undefined : inLegend(legend, (attribute) => `[[tag_${attribute}]]`)
      return new InfluxQuery({ refId, query: influxql(measure), rawQuery: true, resultFormat: format, ...(alias && { alias }) })
    },
    displayName: () => undefined,
    services: 'SHOW TAG VALUES WITH KEY = "service"',
  },
  {
    name: 'flux',
    title: 'Flux',
    plugin: 'influxdb',
    target: ({ measure }, refId) => new InfluxQuery({ refId, query: flux(measure) }),
    displayName: (legend) => inLegend(legend, (attribute) => `\${__field.labels["${attribute}"]}`),
    services: 'import "influxdata/influxdb/schema"\nschema.tagValues(bucket: v.defaultBucket, tag: "service")',
  },
]

export function variables(source: Source, names: readonly VariableName[]): Builder<VariableModel>[] {
  return [new DatasourceVariableBuilder('datasource').label('Source').type(source.plugin), ...names.map((name) => variable(source, name))]
}

function variable(source: Source, name: VariableName): Builder<VariableModel> {
  const all = { text: 'All', value: '$__all', selected: true }
  switch (name) {
    case 'service':
      return queryVariable(source, 'service', source.services).label('Service').multi(true).includeAll(true).allValue('.*').current(all)
    case 'level':
      return new CustomVariableBuilder('level')
        .label('Level')
        .values(levels.join(','))
        .multi(true)
        .includeAll(true)
        .allValue('.*')
        .current(all)
    case 'search':
      return new TextBoxVariableBuilder('search').label('Text').defaultValue('')
  }
}

export function queryVariable(source: Source, name: string, query: Source['services']): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .datasource(chosen(source))
    .query(typeof query === 'string' ? query : { ...query })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
}

function inLegend(legend: string, of: (attribute: string) => string): string {
  return legend.replaceAll(/\{([\w.]+)\}/g, (_, attribute: string) => of(attribute))
}

/** The SDK has no query of InfluxDB's. Its fields are those Grafana's InfluxDB plugin reads. */
interface InfluxDataquery {
  readonly refId: string
  readonly query: string
  /** InfluxQL as it stands, and not out of the editor's parts. */
  readonly rawQuery?: boolean
  readonly resultFormat?: 'time_series' | 'table' | 'logs'
  readonly alias?: string
}

class InfluxQuery implements Builder<Dataquery> {
  readonly #query: InfluxDataquery

  constructor(query: InfluxDataquery) {
    this.#query = query
  }

  build(): Dataquery {
    return { ...this.#query, _implementsDataqueryVariant() {} }
  }
}

/** A dashboard as it is written here, and what Grafana reads: rows of panels that share the width. */
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  LogsSortOrder,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import type { Dashboard, DataSourceRef, Panel, VariableModel } from '@grafana/grafana-foundation-sdk/dashboard'
import {
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as LogsBuilder } from '@grafana/grafana-foundation-sdk/logs'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as TimeSeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'

export interface DashboardSpec {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly datasource: DataSourceRef
  readonly variables: readonly Builder<VariableModel>[]
  readonly rows: readonly RowSpec[]
}

export interface RowSpec {
  /** None for the first row. */
  readonly title?: string
  /** In units of Grafana's grid, 30 pixels each. */
  readonly height: number
  /** Each as wide as the others. */
  readonly panels: readonly PanelSpec[]
}

export interface PanelSpec {
  readonly kind: 'stat' | 'lines' | 'bars' | 'table' | 'logs'
  readonly title: string
  readonly description?: string
  /** As Grafana names it: `s`, `bytes`, `reqps`, `percentunit`. */
  readonly unit?: string
  /** Of a stat: what it shows of the time shown. The latest, if not given. */
  readonly shows?: 'mean' | 'max'
  /** Of a stat: from here on it is red. */
  readonly badFrom?: number
  /** Of lines: an axis that ends here. */
  readonly max?: number
  readonly targets: readonly Builder<Dataquery>[]
  /** What the fields of each target are called, where the target does not say so itself. */
  readonly displayNames?: readonly (string | undefined)[]
}

/** Points come every ten seconds: no interval of less has one. */
const intervalMin = '10s'
const gridColumns = 24

export function dashboard(spec: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags(['spillway'])
    .editable()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-30m', to: 'now' })
    .refresh('10s')
    .timezone('browser')
    .links([
      new DashboardLinkBuilder('Spillway')
        .type(DashboardLinkType.Dashboards)
        .tags(['spillway'])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    ])
    .variables([...spec.variables])
  let [y, id] = [0, 1]
  for (const { title, height, panels } of spec.rows) {
    if (panels.length === 0) continue
    if (title !== undefined) {
      builder.withRow(new RowBuilder(title).id(id).gridPos({ x: 0, y, w: gridColumns, h: 1 }))
      id += 1
      y += 1
    }
    const width = gridColumns / panels.length
    for (const [i, each] of panels.entries()) {
      const place = { x: Math.round(i * width), y, w: Math.round((i + 1) * width) - Math.round(i * width), h: height }
      builder.withPanel(withIdAndPlace(panel(each, spec.datasource), id, place))
      id += 1
    }
    y += height
  }
  return builder.build()
}

function withIdAndPlace(built: Panel, id: number, gridPos: NonNullable<Panel['gridPos']>): Builder<Panel> {
  return { build: () => ({ ...built, id, gridPos }) }
}

function panel(spec: PanelSpec, datasource: DataSourceRef): Panel {
  const builder = panelOf(spec)
    .title(spec.title)
    .datasource(datasource)
    .interval(intervalMin)
    .targets([...spec.targets])
  if (spec.description !== undefined) builder.description(spec.description)
  if (spec.unit !== undefined) builder.unit(spec.unit)
  for (const [i, name] of (spec.displayNames ?? []).entries())
    if (name !== undefined) builder.overrideByQuery(refId(i), [{ id: 'displayName', value: name }])
  return builder.build()
}

/** Of the n-th target of a panel. */
export function refId(n: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + n)
}

function panelOf(spec: PanelSpec): StatBuilder | TimeSeriesBuilder | TableBuilder | LogsBuilder {
  switch (spec.kind) {
    case 'stat':
      return stat(spec)
    case 'lines':
      return lines(spec)
    case 'bars':
      return lines(spec)
        .drawStyle(GraphDrawStyle.Bars)
        .lineWidth(0)
        .fillOpacity(80)
        .stacking(new StackingConfigBuilder().mode(StackingMode.Normal))
    case 'table':
      return new TableBuilder()
    case 'logs':
      return new LogsBuilder()
        .showTime(true)
        .wrapLogMessage(true)
        .enableLogDetails(true)
        .showLabels(false)
        .showCommonLabels(false)
        .sortOrder(LogsSortOrder.Descending)
  }
}

function stat({ shows, badFrom }: PanelSpec): StatBuilder {
  const steps = [{ value: null, color: 'text' }, ...(badFrom === undefined ? [] : [{ value: badFrom, color: 'red' }])]
  return new StatBuilder()
    .reduceOptions(new ReduceDataOptionsBuilder().values(false).calcs([shows ?? 'lastNotNull']))
    .graphMode(BigValueGraphMode.Area)
    .colorMode(BigValueColorMode.Value)
    .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps))
}

function lines({ max }: PanelSpec): TimeSeriesBuilder {
  const builder = new TimeSeriesBuilder()
    .min(0)
    .drawStyle(GraphDrawStyle.Line)
    .lineWidth(1)
    .fillOpacity(10)
    .showPoints(VisibilityMode.Auto)
    .legend(new VizLegendOptionsBuilder().displayMode(LegendDisplayMode.List).placement(LegendPlacement.Bottom).showLegend(true))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
  return max === undefined ? builder : builder.max(max)
}

/** Measures as InfluxDB 2.x is asked for them. See influxql.ts: the points are the same. */
import type { Levels, Measure } from './measures.ts'

export function flux(measure: Measure): string {
  switch (measure.show) {
    case 'rate':
      return rate(pointsOf(measure, measure.metric.kind === 'histogram' ? 'count' : 'value'), measure.by)
    case 'sumRate':
      return rate(pointsOf(measure, 'sum'), measure.by)
    case 'quantile':
      return lines(pointsOf(measure, `p${100 * measure.quantile}`), grouped(measure.by), windows('max'))
    case 'sum':
      // What each process said last in an interval, before they are added up. The sum is asked for the same intervals, which a
      // value at the end of one would not be in.
      return lines(pointsOf(measure, 'value'), windows('last', '"_start"'), grouped(measure.by), windows('sum'))
    case 'highest':
      return lines(pointsOf(measure, 'max'), grouped(measure.by), windows('max'))
    case 'logRate':
      return lines(logs(measure.levels), grouped(measure.by), 'aggregateWindow(every: v.windowPeriod, fn: count)', 'toFloat()', perSecond)
    case 'logTable':
      return lines(logs(measure.levels), groupedOnlyBy(measure.by), 'count()', 'rename(columns: {_value: "lines"})', 'group()')
    case 'logLines': {
      const kept = ['_time', 'message', 'level', 'service', 'logger', 'host'].map((name) => `"${name}"`).join(', ')
      return lines(
        logs(measure.levels),
        `filter(fn: (r) => r._value =~ /(?i)\${search:regex}/)`,
        'group()',
        'sort(columns: ["_time"], desc: true)',
        'limit(n: 500)',
        'rename(columns: {_value: "message"})',
        `keep(columns: [${kept}])`,
      )
    }
  }
}

type OfMetric = Extract<Measure, { readonly metric: unknown }>

const perSecond = 'map(fn: (r) => ({r with _value: r._value * 1000000000.0 / float(v: int(v: v.windowPeriod))}))'

function rate(points: string, by: readonly string[] | undefined): string {
  return lines(
    points,
    'toFloat()',
    grouped(by),
    'aggregateWindow(every: v.windowPeriod, fn: sum)',
    // The sum of nothing is null.
    'fill(value: 0.0)',
    perSecond,
  )
}

function pointsOf({ metric, where }: OfMetric, field: string): string {
  const condition = where === undefined ? '' : ` and r["${where.attribute}"] =~ /^(${where.matches})$/`
  return selected(`r._measurement == "${metric.name}" and r._field == "${field}" and r.service =~ /^\${service:regex}$/${condition}`)
}

function logs(levels: Levels): string {
  const matches = { all: '', errors: ' and r.level =~ /^(error|fatal)$/', chosen: ` and r.level =~ /^\${level:regex}$/` }
  return selected(`r._measurement == "logs" and r._field == "message" and r.service =~ /^\${service:regex}$/${matches[levels]}`)
}

function selected(condition: string): string {
  return lines('from(bucket: v.defaultBucket)', 'range(start: v.timeRangeStart, stop: v.timeRangeStop)', `filter(fn: (r) => ${condition})`)
}

/** With measurement and field, Grafana takes what comes for series in time, and not for tables. */
function grouped(by: readonly string[] = []): string {
  return groupedOnlyBy(['_measurement', '_field', ...by])
}

function groupedOnlyBy(columns: readonly string[]): string {
  return `group(columns: [${columns.map((name) => `"${name}"`).join(', ')}])`
}

function windows(fn: 'last' | 'max' | 'sum', timeSrc?: string): string {
  const at = timeSrc === undefined ? '' : `, timeSrc: ${timeSrc}`
  return `aggregateWindow(every: v.windowPeriod, fn: ${fn}, createEmpty: false${at})`
}

const lines = (...steps: readonly string[]): string => steps.join('\n  |> ')

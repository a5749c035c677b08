/**
 * Measures as InfluxDB 1.x is asked for them. Points of counters and histograms are increases: the sum over an interval,
 * divided by its length, is the rate.
 */
import type { Condition, Levels, Measure } from './measures.ts'

export function influxql(measure: Measure): string {
  switch (measure.show) {
    case 'rate':
      return rate(measure.metric.kind === 'histogram' ? 'sum("count")' : 'sum("value")', measure)
    case 'sumRate':
      return rate('sum("sum")', measure)
    case 'quantile':
      return `SELECT max("p${100 * measure.quantile}") ${from(measure)} ${each(measure.by)} fill(null)`
    case 'sum': {
      // What each process said last in an interval, before they are added up.
      const last = `SELECT last("value") AS "last" ${from(measure)} GROUP BY time($__interval), * fill(none)`
      return `SELECT sum("last") FROM (${last}) WHERE $timeFilter ${each(measure.by)} fill(null)`
    }
    case 'highest':
      return `SELECT max("max") ${from(measure)} ${each(measure.by)} fill(null)`
    case 'logRate':
      return `SELECT count("message") * 1000 / $__interval_ms ${fromLogs(measure.levels)} ${each(measure.by)} fill(0)`
    case 'logTable':
      return `SELECT count("message") AS "lines" ${fromLogs(measure.levels)} GROUP BY ${quoted(measure.by)}`
    case 'logLines':
      return (
        `SELECT "message", "level", "service", "logger", "host" ${fromLogs(measure.levels)} ` +
        `AND "message" =~ /(?i)\${search:regex}/ ORDER BY time DESC LIMIT 500`
      )
  }
}

type OfMetric = Extract<Measure, { readonly metric: unknown }>

function rate(sum: string, measure: OfMetric): string {
  return `SELECT ${sum} * 1000 / $__interval_ms ${from(measure)} ${each(measure.by)} fill(0)`
}

function from({ metric, where }: OfMetric): string {
  return `FROM "${metric.name}" WHERE $timeFilter AND "service" =~ /^\${service:regex}$/${where === undefined ? '' : ` AND ${matches(where)}`}`
}

function fromLogs(levels: Levels): string {
  const matches = { all: '', errors: ' AND "level" =~ /^(error|fatal)$/', chosen: ` AND "level" =~ /^\${level:regex}$/` }
  return `FROM "logs" WHERE $timeFilter AND "service" =~ /^\${service:regex}$/${matches[levels]}`
}

function matches({ attribute, matches: expression }: Condition): string {
  return `"${attribute}" =~ /^(${expression})$/`
}

function each(by: readonly string[] = []): string {
  return `GROUP BY time($__interval)${by.length === 0 ? '' : `, ${quoted(by)}`}`
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ')

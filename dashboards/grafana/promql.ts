/** Measures as Prometheus is asked for them, from what a collector shows under `/metrics`. */
import type { Condition, Levels, Measure } from './measures.ts'

/** Undefined for what Prometheus has not: text. */
export function promql(measure: Measure): string | undefined {
  switch (measure.show) {
    case 'rate': {
      const suffix = measure.metric.kind === 'histogram' ? '_count' : '_total'
      return summed(`rate(${measure.metric.prometheus}${suffix}${selector(measure.where)}[$__rate_interval])`, measure.by)
    }
    case 'sumRate':
      return summed(`rate(${measure.metric.prometheus}_sum${selector(measure.where)}[$__rate_interval])`, measure.by)
    case 'quantile': {
      const buckets = `rate(${measure.metric.prometheus}_bucket${selector(measure.where)}[$__rate_interval])`
      return `histogram_quantile(${measure.quantile}, ${summed(buckets, ['le', ...(measure.by ?? [])])})`
    }
    case 'sum': {
      const values = measure.metric.kind === 'gauge' ? 'agg="sum"' : ''
      return summed(`${measure.metric.prometheus}${selector(measure.where, values)}`, measure.by)
    }
    case 'highest':
      return aggregated('max', `${measure.metric.prometheus}${selector(measure.where, 'agg="max"')}`, measure.by)
    case 'logRate':
      return measure.by.includes('logger') ? undefined : summed(`rate(${logLines(measure.levels)}[$__rate_interval])`, measure.by)
    case 'logTable':
      return measure.by.includes('logger') ? undefined : summed(`increase(${logLines(measure.levels)}[$__range])`, measure.by)
    case 'logLines':
      return undefined
  }
}

function logLines(levels: Levels): string {
  const matches = { all: '', errors: ', level=~"error|fatal"', chosen: ', level=~"$level"' }
  return `log_lines_total{service=~"$service"${matches[levels]}}`
}

function selector(where: Condition | undefined, more = ''): string {
  const parts = ['service=~"$service"']
  if (where !== undefined) parts.push(`${label(where.attribute)}=~"${where.matches}"`)
  if (more !== '') parts.push(more)
  return `{${parts.join(', ')}}`
}

const summed = (of: string, by: readonly string[] | undefined): string => aggregated('sum', of, by)

function aggregated(how: 'sum' | 'max', of: string, by: readonly string[] = []): string {
  return by.length === 0 ? `${how}(${of})` : `${how} by (${by.map(label).join(', ')}) (${of})`
}

/** What an attribute is called as a label. */
export function label(attribute: string): string {
  return attribute.replaceAll(/[^A-Za-z0-9_]/g, '_')
}

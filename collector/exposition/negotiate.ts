/** Which format an `Accept` header asks for. */
import type { MetricFamily } from './metric-family.ts'
import { protobufFamilies, protobufType } from './protobuf-format.ts'
import { openMetricsText, openMetricsType, prometheusText, prometheusTextType } from './text-format.ts'

export interface Exposition {
  readonly type: string
  write(families: readonly MetricFamily[]): string | Buffer
}

const text: Exposition = { type: prometheusTextType, write: prometheusText }
const openMetrics: Exposition = { type: openMetricsType, write: openMetricsText }
const protobuf: Exposition = { type: protobufType, write: protobufFamilies }

/** More than any scraper lists; what follows is not looked at. */
const rangesMax = 32

/** The format with the highest `q`, the first of several; Prometheus' text when nothing here is asked for by name. */
export function negotiated(accept: string | undefined): Exposition {
  let best = text
  let bestQuality = 0
  for (const range of (accept ?? '').split(',', rangesMax)) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const format = formatOf(type, parameters)
    const quality = qualityOf(parameters)
    if (format === undefined || !(quality > bestQuality)) continue
    best = format
    bestQuality = quality
  }
  return best
}

function formatOf(type: string, parameters: readonly string[]): Exposition | undefined {
  if (type === 'text/plain') return text
  if (type === 'application/openmetrics-text')
    return parameters.some((parameter) => /^version=(?!1\.0\.0$)/.test(parameter)) ? undefined : openMetrics
  const isDelimited = parameters.includes('proto=io.prometheus.client.metricfamily') && parameters.includes('encoding=delimited')
  return type === 'application/vnd.google.protobuf' && isDelimited ? protobuf : undefined
}

function qualityOf(parameters: readonly string[]): number {
  const given = parameters.find((parameter) => parameter.startsWith('q='))
  return given === undefined ? 1 : Number(given.slice(2))
}

/**
 * Metric families as text: Prometheus' format 0.0.4, and OpenMetrics 1.0, which differs in heads and end.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 */
import type { HistogramSample, LabelPair, LabelSet, MetricFamily, ValueSample } from './metric-family.ts'

export const prometheusTextType = 'text/plain; version=0.0.4'
export const openMetricsType = 'application/openmetrics-text; version=1.0.0'

/** Families without samples are left out: their name alone says nothing. */
export function prometheusText(families: readonly MetricFamily[]): string {
  return families.map((family) => (family.samples.length === 0 ? '' : `${prometheusHead(family)}${samplesText(family)}`)).join('')
}

/** The same as {@link prometheusText}, for whoever asks for OpenMetrics. */
export function openMetricsText(families: readonly MetricFamily[]): string {
  const told = families.map((family) => (family.samples.length === 0 ? '' : `${openMetricsHead(family)}${samplesText(family)}`))
  return `${told.join('')}# EOF\n`
}

function prometheusHead({ name, kind, help }: MetricFamily): string {
  return `# HELP ${name} ${escapedHelp(help)}\n# TYPE ${name} ${kind}\n`
}

function openMetricsHead({ name, kind, help, unit }: MetricFamily): string {
  const bare = kind === 'counter' ? name.replace(/_total$/, '') : name
  const unitLine = unit === '' || !bare.endsWith(`_${unit}`) ? '' : `# UNIT ${bare} ${unit}\n`
  return `# HELP ${bare} ${escapedHelp(help).replaceAll('"', '\\"')}\n# TYPE ${bare} ${kind}\n${unitLine}`
}

function samplesText(family: MetricFamily): string {
  let text = ''
  if (family.kind === 'histogram') for (const sample of family.samples) text += histogramText(family.name, sample)
  else for (const sample of family.samples) text += valueText(family.name, sample)
  return text
}

function valueText(name: string, { labels, extra, value }: ValueSample): string {
  return `${name}${braces(labels, extra)} ${numberText(value)}\n`
}

function histogramText(name: string, { labels, count, sum, buckets }: HistogramSample): string {
  // The head of each row is the same but for the bound; there may be 10,000 × 64 of them.
  const head = `${name}_bucket{${labels.text}${labels.text === '' ? '' : ','}le="`
  let text = ''
  for (const [bound, below] of buckets) text += `${head}${numberText(bound)}"} ${below}\n`
  const own = braces(labels)
  return `${text}${head}+Inf"} ${count}\n${name}_sum${own} ${numberText(sum)}\n${name}_count${own} ${count}\n`
}

function braces({ text }: LabelSet, extra?: LabelPair): string {
  // The values of extra labels are words of our own.
  if (extra !== undefined) return `{${text}${text === '' ? '' : ','}${extra[0]}="${extra[1]}"}`
  return text === '' ? '' : `{${text}}`
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}

function escapedHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

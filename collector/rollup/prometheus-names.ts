/**
 * Names as Prometheus has them, made as OpenTelemetry's specification says:
 * https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
 *
 *   http.server.request.duration, s, histogram     http_server_request_duration_seconds
 *   payments, 1, counter                           payments_total
 *   process.cpu.utilization, 1, gauge              process_cpu_utilization_ratio
 *   v8js.memory.heap.used, By, up-down counter     v8js_memory_heap_used_bytes
 */
import type { Attributes, PointType } from '../../wire/points.ts'
import type { LabelPair } from '../exposition/metric-family.ts'

const units: Readonly<Record<string, string>> = {
  ...{ d: 'days', h: 'hours', min: 'minutes', s: 'seconds', ms: 'milliseconds', us: 'microseconds', ns: 'nanoseconds' },
  ...{ By: 'bytes', KiBy: 'kibibytes', MiBy: 'mebibytes', GiBy: 'gibibytes', TiBy: 'tebibytes' },
  ...{ KBy: 'kilobytes', kBy: 'kilobytes', MBy: 'megabytes', GBy: 'gigabytes', TBy: 'terabytes' },
  ...{ m: 'meters', V: 'volts', A: 'amperes', J: 'joules', W: 'watts', g: 'grams', Cel: 'celsius', Hz: 'hertz', '%': 'percent' },
}
const perUnits: Readonly<Record<string, string>> = {
  ...{ s: 'second', m: 'minute', min: 'minute', h: 'hour', d: 'day', w: 'week', mo: 'month', y: 'year' },
}
/** Labels that mean something here already; an attribute of that name becomes `exported_…`. */
const ownLabels: ReadonlySet<string> = new Set(['service', 'agg', 'le', 'quantile', 'job', 'instance'])

export interface PrometheusName {
  readonly name: string
  /** As it stands in the name; empty for none. */
  readonly unit: string
}

/** Name of a metric: words with `_` between them, then the unit, then `total` for a counter. Any text becomes a name. */
export function metricName({
  name,
  type,
  unit,
}: {
  readonly name: string
  readonly type: PointType
  readonly unit: string
}): PrometheusName {
  let words = wordsOf(name)
  if (type === 'counter') words = words.filter((word, i) => word !== 'total' || i < words.length - 1)
  const unitWords = unitWordsOf(unit, type)
  const endsInUnit = unitWords.every((word, i) => words.at(i - unitWords.length) === word)
  if (!endsInUnit) words = [...words, ...unitWords]
  if (type === 'counter') words = [...words, 'total']
  const text = words.join('_')
  return { name: /^[A-Za-z]/.test(text) ? text : `_${text}`, unit: unitWords.join('_') }
}

function unitWordsOf(unit: string, type: PointType): string[] {
  if (unit === '1') return type === 'gauge' ? ['ratio'] : []
  // In braces stands what is counted, which is no unit.
  const [main = '', per, ...rest] = unit.replaceAll(/\{[^{}]*\}/g, '').split('/')
  if (rest.length > 0) return []
  const mainWords = wordsOf(known(units, main.trim()) ?? main)
  if (per === undefined || per.trim() === '') return mainWords
  return [...mainWords, 'per', ...wordsOf(known(perUnits, per.trim()) ?? per)]
}

function known(names: Readonly<Record<string, string>>, unit: string): string | undefined {
  return Object.hasOwn(names, unit) ? names[unit] : undefined
}

function wordsOf(text: string): string[] {
  return text.split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
}

/** Labels of a series. Attributes whose names become the same are one label, their values joined by `;` in the order of their names. */
export function labelPairs(service: string | undefined, attributes: Attributes): LabelPair[] {
  const labels = new Map<string, string>()
  if (service !== undefined) labels.set('service', wellFormed(service))
  for (const [key, value] of Object.entries(attributes)) {
    const name = labelName(key)
    const before = labels.get(name)
    labels.set(name, `${before === undefined ? '' : `${before};`}${wellFormed(String(value))}`)
  }
  return [...labels]
}

function labelName(key: string): string {
  const name = key.replaceAll(/[^A-Za-z0-9_]/g, '_')
  if (ownLabels.has(name)) return `exported_${name}`
  if (/^[0-9]/.test(name) || name === '') return `key_${name}`
  // Names that begin with two are Prometheus' own.
  return name.startsWith('_') ? `key${name}` : name
}

/** Half a surrogate pair has no UTF-8 form. */
function wellFormed(text: string): string {
  return text.replaceAll(/\p{Surrogate}/gu, '\ufffd')
}

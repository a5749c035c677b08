/**
 * A log record of OpenTelemetry as pino would have written it, with the names that pino's own instrumentation gives to trace
 * and span:
 *
 *   {"level":50,"time":…,"pid":…,"hostname":"…","name":"payments","trace_id":"…","span_id":"…","trace_flags":"01",
 *    "order":7,"err":{"type":"Error","message":"…","stack":"…"},"msg":"payment failed"}
 *
 * The scope is the logger's name, attributes are fields, `exception.*` is `err`, a body that is no text is `body`. An
 * attribute named as one of these fields is under `attributes`. Deep and wide values are cut; records over 64 KiB too, as all.
 */
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs'
import { infoRank, levelNumbers, levels, type Rank, rankOfName } from '../../wire/level.ts'
import { recordBytesMax } from '../../wire/limits.ts'

export interface LineSetting {
  readonly pid: number
  readonly hostname: string
  readonly resourceAttributes: readonly string[]
}

const ownFields = new Set(['level', 'time', 'pid', 'hostname', 'name', 'trace_id', 'span_id', 'trace_flags'])
for (const field of ['eventName', 'severityNumber', 'severityText', 'attributes', 'err', 'body', 'msg']) ownFields.add(field)

const severitiesPerLevel = 4
const otherNames: ReadonlyMap<string, Rank> = new Map([
  ['verbose', 1],
  ['information', 2],
  ['notice', 2],
  ['warning', 3],
  ['err', 4],
  ['critical', 5],
  ['alert', 5],
  ['emergency', 5],
])

/** Severity numbers 1 to 24 are four to a level; without one the text is asked, and info is the answer to anything else. */
export function rankOfRecord({ severityNumber = 0, severityText = '' }: Pick<ReadableLogRecord, 'severityNumber' | 'severityText'>): Rank {
  const place = Math.floor((severityNumber - 1) / severitiesPerLevel)
  if (place >= 0 && place < levels.length) return place as Rank
  return rankOfName(severityText) ?? otherNames.get(severityText.toLowerCase()) ?? infoRank
}

/** One line of JSON, ended by LF. */
export function lineOf(record: ReadableLogRecord, { pid, hostname, resourceAttributes }: LineSetting): string {
  const { severityNumber = 0, severityText, eventName, body, spanContext, attributes } = record
  const level = levels[rankOfRecord(record)] ?? 'info'
  const line = new LineWriter()
  line.field('level', levelNumbers[level])
  line.field('time', timeOf(record))
  line.field('pid', pid)
  line.field('hostname', hostname)
  line.field('name', record.instrumentationScope.name || undefined)
  if (spanContext !== undefined) {
    line.field('trace_id', spanContext.traceId)
    line.field('span_id', spanContext.spanId)
    line.field('trace_flags', spanContext.traceFlags.toString(16).padStart(2, '0'))
  }
  const crossed: Record<string, unknown> = Object.create(null)
  const chosen = resourceAttributes.map((name) => [name, record.resource.attributes[name]] as const)
  for (const [name, value] of [...chosen, ...Object.entries(attributes)]) {
    if (ownFields.has(name)) crossed[name] = value
    else if (!name.startsWith('exception.')) line.field(name, value)
  }
  if (Object.keys(crossed).length > 0) line.field('attributes', crossed)
  line.field('eventName', eventName)
  if (severityNumber > 0 && (severityNumber - 1) % severitiesPerLevel > 0) line.field('severityNumber', severityNumber)
  if (severityText?.toLowerCase() !== level) line.field('severityText', severityText)
  line.field('err', errorOf(attributes))
  const isNested = typeof body === 'object' && body !== null
  if (isNested) line.field('body', body)
  line.field('msg', isNested || body === undefined || body === null ? eventName : String(body))
  return line.end()
}

/** Whole Unix milliseconds; of a record without a time when it was seen. */
function timeOf({ hrTime, hrTimeObserved }: ReadableLogRecord): number {
  const [seconds, nanoseconds] = hrTime[0] === 0 && hrTime[1] === 0 ? hrTimeObserved : hrTime
  return seconds * 1_000 + Math.floor(nanoseconds / 1e6)
}

/** As pino's serializer has errors. */
function errorOf(attributes: ReadableLogRecord['attributes']): object | undefined {
  const names = [
    ['type', 'exception.type'],
    ['message', 'exception.message'],
    ['stack', 'exception.stacktrace'],
  ] as const
  const parts = names.flatMap(([field, name]) => (attributes[name] === undefined ? [] : [[field, attributes[name]]]))
  return parts.length === 0 ? undefined : Object.fromEntries(parts)
}

const depthMax = 16
const valuesMax = 4_096
/** Stands for what is cut. */
const cut = '"…"'

/** Writes fields in the order they come: an object would put those first that look like numbers. */
class LineWriter {
  #text = '{'
  #valuesLeft = valuesMax

  field(name: string, value: unknown): void {
    const text = this.#json(value, 0)
    if (text !== undefined) this.#text += `${this.#text === '{' ? '' : ','}${JSON.stringify(name)}:${text}`
  }

  end(): string {
    return `${this.#text}}\n`
  }

  /** Undefined for what has no form in JSON. */
  #json(value: unknown, depth: number): string | undefined {
    switch (typeof value) {
      case 'string':
        return JSON.stringify(value.length > recordBytesMax ? value.slice(0, recordBytesMax) : value)
      case 'number':
        return Number.isFinite(value) ? String(value) : `"${value}"`
      case 'boolean':
        return String(value)
      case 'bigint':
        return `"${value}"`
      case 'object':
        if (value === null) return 'null'
        this.#valuesLeft -= 1
        if (depth >= depthMax || this.#valuesLeft <= 0) return cut
        return this.#jsonOfObject(value, depth)
      default:
        return undefined
    }
  }

  #jsonOfObject(value: object, depth: number): string | undefined {
    if (value instanceof Uint8Array) return `"${Buffer.from(value.subarray(0, recordBytesMax)).toString('base64')}"`
    if (value instanceof Date) return JSON.stringify(value)
    if (value instanceof Error) return this.#jsonOfObject({ type: value.name, message: value.message, stack: value.stack }, depth)
    if (Array.isArray(value))
      return `[${value
        .slice(0, valuesMax)
        .map((item) => this.#json(item, depth + 1) ?? 'null')
        .join(',')}]`
    const fields: string[] = []
    for (const [name, item] of Object.entries(value)) {
      if (fields.length >= valuesMax) break
      const text = this.#json(item, depth + 1)
      if (text !== undefined) fields.push(`${JSON.stringify(name)}:${text}`)
    }
    return `{${fields.join(',')}}`
  }
}

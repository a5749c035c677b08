/**
 * Log lines as points:
 *
 *   logs,service=shop,level=info,host=web1,origin=Xk3…,logger=cart message="paid",res.statusCode=200i 1700000000123456789
 *
 * A line is parsed once. What it says of itself has the type the configuration gives it: a database refuses a field
 * that changes its type, and everything that comes with it.
 */
import type { Topic } from '../../../wire/topic.ts'
import { parseTopic } from '../../../wire/topic.ts'
import type { Entry } from '../sink.ts'
import { floatText, integerText, measurementText, nameText, stringText, tagText } from './line-protocol.ts'
import { firstSlotOf, pointTime, timeMsOf } from './point-time.ts'
import type { TagGuard } from './tag-guard.ts'

export const fieldTypes = ['string', 'float', 'integer', 'boolean'] as const
export type FieldType = (typeof fieldTypes)[number]

export interface LogSchema {
  readonly measurement: string
  /** Key of the message in a line. */
  readonly message: string
  /** Paths into a line that become tags. */
  readonly tags: readonly string[]
  /** Paths into a line that become fields. */
  readonly fields: Readonly<Record<string, FieldType>>
  /** Whether the whole line is a field too. */
  readonly line: boolean
  /** Whether the origin is a tag. */
  readonly origin: boolean
  /** Tags of every point. */
  readonly constant: Readonly<Record<string, string>>
}

/** A logger's name is a tag where there is one. */
export const logTags = ['service', 'level', 'host', 'origin', 'logger'] as const
export const logFields = ['message', 'line'] as const

/** What a topic of an origin has in common. */
interface Stream {
  /** Measurement and tags, without the host. */
  readonly head: string
  readonly firstSlot: number
}

interface Field {
  readonly path: Path
  readonly key: string
  readonly type: FieldType
}

interface Path {
  readonly name: string
  readonly steps: readonly string[]
}

const streamsMax = 10_000
/** A tag that is a list or a map is none. */
const tagTypes = new Set(['string', 'number', 'boolean'])

export class LogPoints {
  /** Fields that had another type and were given theirs. */
  converted = 0
  /** Fields left out because they could not be. */
  omitted = 0
  readonly #schema: LogSchema
  readonly #guard: TagGuard
  readonly #tags: readonly Path[]
  readonly #fields: readonly Field[]
  readonly #messageKey: string
  readonly #constant: string
  readonly #streams = new Map<string, Stream>()

  constructor(schema: LogSchema, guard: TagGuard) {
    this.#schema = schema
    this.#guard = guard
    this.#tags = schema.tags.map(pathOf)
    this.#fields = Object.entries(schema.fields).map(([name, type]) => ({ path: pathOf(name), key: nameText(name), type }))
    this.#messageKey = schema.message
    this.#constant = Object.entries(schema.constant)
      .map(([key, value]) => tagText(key, value))
      .join('')
  }

  /** One point for each line, in order. */
  lines(entry: Entry, host: string | undefined): string[] {
    const { head, firstSlot } = this.#stream(entry.origin, entry.topic)
    const texts = entry.lines.toString('utf8').split('\n')
    const points: string[] = []
    for (let i = 0; i < entry.count; i += 1) {
      const text = texts[i] ?? ''
      const record = parsedLine(text)
      const timeMs = timeMsOf(record?.['time']) ?? entry.timeMs
      const from = record !== undefined && typeof record['hostname'] === 'string' ? record['hostname'] : host
      const hostText = from === undefined ? '' : tagText('host', this.#guard.value('host', from))
      const time = pointTime(timeMs, firstSlot, entry.seq + i)
      points.push(`${head}${hostText}${this.#tagsOf(record)} ${this.#fieldsOf(record, text)} ${time}`)
    }
    return points
  }

  #stream(origin: string, topic: Topic): Stream {
    const key = `${origin} ${topic}`
    let stream = this.#streams.get(key)
    if (stream === undefined) {
      // Hostile names come without end; the cache starts over.
      if (this.#streams.size >= streamsMax) this.#streams.clear()
      stream = { head: this.#head(origin, topic), firstSlot: firstSlotOf(origin, topic) }
      this.#streams.set(key, stream)
    }
    return stream
  }

  #head(origin: string, topic: Topic): string {
    const parts = parseTopic(topic)
    const service = tagText('service', this.#guard.value('service', parts?.service ?? 'unknown'))
    const level = parts?.kind === 'log' ? tagText('level', parts.level) : ''
    const name = parts?.kind === 'log' ? parts.name : undefined
    const logger = name === undefined ? '' : tagText('logger', this.#guard.value('logger', name))
    const originTag = this.#schema.origin ? tagText('origin', origin) : ''
    return `${measurementText(this.#schema.measurement)}${service}${level}${originTag}${logger}${this.#constant}`
  }

  #tagsOf(record: Record<string, unknown> | undefined): string {
    if (record === undefined) return ''
    let text = ''
    for (const path of this.#tags) {
      const value = valueAt(record, path)
      if (tagTypes.has(typeof value)) text += tagText(path.name, this.#guard.value(path.name, String(value)))
    }
    return text
  }

  #fieldsOf(record: Record<string, unknown> | undefined, text: string): string {
    // There is always a message: a point without a field is none.
    let fields = `message=${stringText(record === undefined ? text : textOf(record[this.#messageKey]))}`
    if (this.#schema.line) fields += `,line=${stringText(text)}`
    if (record === undefined) return fields
    for (const { path, key, type } of this.#fields) {
      const value = valueAt(record, path)
      if (value === undefined || value === null) continue
      const valueText = this.#typed(value, type)
      if (valueText === undefined) this.omitted += 1
      else fields += `,${key}=${valueText}`
    }
    return fields
  }

  #typed(value: unknown, type: FieldType): string | undefined {
    switch (type) {
      case 'string':
        if (typeof value !== 'string') this.converted += 1
        return stringText(textOf(value))
      case 'boolean':
        if (typeof value === 'boolean') return String(value)
        return this.#convertedTo(value === 'true' || value === 1 ? 'true' : value === 'false' || value === 0 ? 'false' : undefined)
      case 'float':
        return typeof value === 'number' ? floatText(value) : this.#convertedTo(floatText(numberOf(value)))
      case 'integer':
        if (typeof value === 'number' && Number.isInteger(value)) return integerText(value)
        return this.#convertedTo(integerText(Math.round(numberOf(value))))
    }
  }

  #convertedTo(text: string | undefined): string | undefined {
    if (text !== undefined) this.converted += 1
    return text
  }
}

function pathOf(name: string): Path {
  return { name, steps: name.split('.') }
}

/** The value at a path: under the path as a key, or step by step. */
function valueAt(record: Record<string, unknown>, { name, steps }: Path): unknown {
  if (Object.hasOwn(record, name)) return record[name]
  let value: unknown = record
  for (const step of steps) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value
}

function parsedLine(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return Number(value)
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
}

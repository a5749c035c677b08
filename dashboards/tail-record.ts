/** One record of a live tail: its line, what is known beside it, and its fields, parsed when somebody asks for them. */
import { hostIn, type LogRecord, parseFields, timeIn } from '../wire/expression/log-record.ts'
import type { Level } from '../wire/level.ts'

export interface RecordContext {
  readonly topic: string
  readonly service: string
  /** A log line's. What an agent says about losses is `warn`; points have none. */
  readonly level: Level | undefined
  /** The logger's name, if it has one. */
  readonly name: string | undefined
  /** Unix ms, for lines without a time of their own. */
  readonly timeMs: number
}

type Fields = Readonly<Record<string, unknown>>

const noFields: Fields = Object.freeze(Object.create(null) as Fields)

export class TailRecord {
  /** As it was logged, without its LF. */
  readonly line: string
  readonly context: RecordContext
  #fields: Fields | undefined
  #isParsed = false

  constructor(line: string, context: RecordContext) {
    this.line = line
    this.context = context
  }

  /** Undefined when the line is no JSON object. */
  get fields(): Fields | undefined {
    if (!this.#isParsed) this.#fields = parseFields(this.line)
    this.#isParsed = true
    return this.#fields
  }

  /** Unix ms: its own, else its frame's. */
  get timeMs(): number {
    return timeIn(this.fields ?? noFields) ?? this.context.timeMs
  }

  get message(): unknown {
    return this.fields?.['msg'] ?? this.fields?.['message']
  }

  /** What conditions look at. A point is worth as much as an `info`. */
  get logRecord(): LogRecord {
    const { fields = noFields, timeMs } = this
    const { topic, service, level = 'info' } = this.context
    return { fields, topic, level, service, host: hostIn(fields), timeMs }
  }
}

/** A field's place: a key, or keys of maps and places of lists, from the outside in. */
export type FieldPath = readonly string[]

/** `res.statusCode` as a path. */
export function fieldPath(text: string): FieldPath {
  return text.split('.')
}

/** What stands there; a key with dots in it comes before the way through maps. Own properties only; undefined when there is nothing. */
export function fieldAt(value: unknown, path: FieldPath): unknown {
  if (path.length === 0) return value
  if (value === null || typeof value !== 'object') return undefined
  const whole = path.join('.')
  if (Object.hasOwn(value, whole)) return value[whole as keyof typeof value]
  const [first = '', ...rest] = path
  return rest.length > 0 && Object.hasOwn(value, first) ? fieldAt(value[first as keyof typeof value], rest) : undefined
}

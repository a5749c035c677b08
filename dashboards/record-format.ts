/** How a tail writes a record: as it was logged, as JSON of some fields, as logfmt, by a template, or for people. */
import { SpillwayError } from '../wire/spillway-error.ts'
import { joinedRanges, type TextSearch } from '../wire/text-search.ts'
import { lineRows } from './line-format.ts'
import { ShownTime, type TimeForm } from './shown-time.ts'
import { highlighted, type Piece, plainText, type StyledText } from './styled-text.ts'
import { type FieldPath, fieldAt, fieldPath, type TailRecord } from './tail-record.ts'
import { visibleText } from './visible-text.ts'

export type RecordForm = 'raw' | 'people' | 'logfmt'

export interface RecordFormatOptions {
  readonly form: RecordForm
  /** Paths, comma between them; undefined for all. */
  readonly fields?: string | undefined
  /** Wins over `form`. */
  readonly template?: string | undefined
  readonly time: TimeForm
  readonly highlights: readonly TextSearch[]
}

/** A record's rows; the same function for all records of a tail. Never throws. */
export type RecordFormat = (record: TailRecord) => StyledText[]

const fieldsMax = 50
const templateCharsMax = 1_000
const textCharsMax = 65_536

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` */
export function recordFormat(options: RecordFormatOptions): RecordFormat {
  const paths = options.fields === undefined ? undefined : parseFields(options.fields)
  const time = new ShownTime(options.time)
  const { highlights } = options
  if (options.template !== undefined) {
    const parts = parseTemplate(options.template)
    return (record) => [marked(fromTemplate(parts, record, time), highlights)]
  }
  switch (options.form) {
    case 'people':
      return (record) => lineRows(record, { time, fields: paths, highlights })
    case 'logfmt':
      return (record) => [marked(logfmt(record, paths), highlights)]
    case 'raw':
      return (record) => [marked(paths === undefined ? record.line : chosenJson(record, paths), highlights)]
  }
}

function marked(text: string, highlights: readonly TextSearch[]): StyledText {
  const shown: Piece[] = [{ text: visibleText(text) }]
  return highlights.length === 0 ? shown : highlighted(shown, joinedRanges(highlights, plainText(shown)))
}

function parseFields(text: string): readonly FieldPath[] {
  const names = text.split(',').map((name) => name.trim())
  if (names.some((name) => name === '') || names.length > fieldsMax)
    throw new SpillwayError(
      'SPW_OPTION_INVALID',
      `--fields: expected up to ${fieldsMax} names with commas between them, such as msg,res.statusCode; got ${JSON.stringify(text.slice(0, 80))}`,
    )
  return names.map(fieldPath)
}

/** A record's own field, else what is known beside it: topic, service, level, name, time. */
function valueAt(record: TailRecord, path: FieldPath): unknown {
  const own = fieldAt(record.fields, path)
  if (own !== undefined || path.length > 1) return own
  const { context } = record
  switch (path[0]) {
    case 'topic':
      return context.topic
    case 'service':
      return context.service
    case 'level':
      return context.level
    case 'name':
      return context.name
    case 'time':
      return record.timeMs
    default:
      return undefined
  }
}

function chosenJson(record: TailRecord, paths: readonly FieldPath[]): string {
  // Without a prototype: a field may be called __proto__.
  const chosen: Record<string, unknown> = Object.create(null)
  for (const path of paths) {
    const value = valueAt(record, path)
    if (value !== undefined) chosen[path.join('.')] = value
  }
  return JSON.stringify(chosen)
}

/** `level=info msg="a b" res.statusCode=200`: maps are written out by their paths, lists as JSON. */
function logfmt(record: TailRecord, paths: readonly FieldPath[] | undefined): string {
  const pairs: string[] = []
  const add = (key: string, value: unknown, depth: number): void => {
    if (value !== null && typeof value === 'object' && !Array.isArray(value) && depth < 4 && Object.keys(value).length > 0) {
      for (const [inner, part] of Object.entries(value)) add(`${key}.${inner}`, part, depth + 1)
    } else if (value !== undefined) pairs.push(`${key.replaceAll(/[\s"=]/g, '_')}=${logfmtValue(value)}`)
  }
  if (paths !== undefined) for (const path of paths) add(path.join('.'), valueAt(record, path), 0)
  else if (record.fields === undefined) {
    add('level', record.context.level, 0)
    add('service', record.context.service, 0)
    add('msg', record.line, 0)
  } else {
    add('time', new Date(record.timeMs).toISOString(), 0)
    add('level', record.context.level, 0)
    add('service', record.context.service, 0)
    for (const [key, value] of Object.entries(record.fields)) if (key !== 'time' && key !== 'level') add(key, value, 0)
  }
  return pairs.join(' ')
}

function logfmtValue(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return /^[^\s"=\\\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)
}

type TemplatePart = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'field'; readonly path: FieldPath }

/** `{{` and `}}` are braces. @throws {@link SpillwayError} `SPW_OPTION_INVALID` */
function parseTemplate(text: string): readonly TemplatePart[] {
  const wrong = (what: string) =>
    new SpillwayError(
      'SPW_OPTION_INVALID',
      `--template: ${what}; got ${JSON.stringify(text.slice(0, 80))}. An example: '{time} {level} {msg} {res.statusCode}'`,
    )
  if (text.length > templateCharsMax) throw wrong(`expected at most ${templateCharsMax} characters`)
  const parts: TemplatePart[] = []
  for (const [token] of text.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
    if (token === '{{' || token === '}}') parts.push({ kind: 'text', text: token.slice(1) })
    else if (token === '{' || token === '}') throw wrong(`a "${token}" stands alone; write "${token}${token}" for the character itself`)
    else if (!token.startsWith('{')) parts.push({ kind: 'text', text: token })
    else {
      const name = token.slice(1, -1).trim()
      if (name === '') throw wrong('expected a field between { and }')
      parts.push({ kind: 'field', path: fieldPath(name) })
    }
  }
  return parts
}

function fromTemplate(parts: readonly TemplatePart[], record: TailRecord, time: ShownTime): string {
  let text = ''
  for (const part of parts) {
    text += part.kind === 'text' ? part.text : templateValue(part.path, record, time)
    if (text.length > textCharsMax) return `${text.slice(0, textCharsMax)}…`
  }
  return text
}

function templateValue(path: FieldPath, record: TailRecord, time: ShownTime): string {
  const name = path.length === 1 ? path[0] : undefined
  // As people read them; pino's level is a number, and its time one that nobody can read.
  if (name === 'time') return time.of(record.timeMs)
  if (name === 'level') return record.context.level ?? ''
  if (name === 'msg' || name === 'message') return asText(record.message ?? (record.fields === undefined ? record.line : undefined))
  return asText(valueAt(record, path))
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

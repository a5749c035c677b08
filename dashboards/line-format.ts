/** A record as a person reads it: time, level, service, message, then the rest as key=value, stacks below. */
import type { Level } from '../wire/level.ts'
import { formatCount } from '../wire/quantity.ts'
import { joinedRanges, type TextSearch } from '../wire/text-search.ts'
import { errorRows, isError, withoutStacks } from './error-text.ts'
import { httpExchange } from './http-exchange.ts'
import type { ShownTime } from './shown-time.ts'
import { highlighted, type Piece, plainText, type Style, type StyledText } from './styled-text.ts'
import { type FieldPath, fieldAt, type TailRecord } from './tail-record.ts'
import { visibleText } from './visible-text.ts'

export interface LineFormat {
  readonly time: ShownTime
  /** Only these behind the message, in this order; undefined for all. */
  readonly fields?: readonly FieldPath[] | undefined
  /** Marked wherever they stand. */
  readonly highlights: readonly TextSearch[]
}

const levelStyles: Readonly<Record<Level, Style>> = {
  trace: 'gray',
  debug: 'blue',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: ['bgRed', 'white'],
}
/** Away from the levels' colours, and readable on black and on white. */
const serviceStyles: readonly Style[] = [
  'cyan',
  'magenta',
  'cyanBright',
  'magentaBright',
  'blueBright',
  'greenBright',
  'yellowBright',
  'white',
]
/** Shown in their own place, or the same on every line of a process. */
const placedKeys = new Set(['level', 'time', 'msg', 'message', 'pid', 'hostname', 'name', 'severity'])
const valueCharsMax = 2_000
const messageCharsMax = 8_000
const blank: Piece = { text: ' ' }

/** The first row is the line, the others are stacks below it. */
export function lineRows(record: TailRecord, format: LineFormat): StyledText[] {
  const { context, fields } = record
  const head: Piece[] = []
  const add = (...pieces: readonly Piece[]) => head.push(...(head.length > 0 ? [blank] : []), ...pieces)
  const time = format.time.of(record.timeMs)
  if (time !== '') add({ text: time, style: 'gray' })
  if (context.level === undefined) add({ text: 'POINT', style: 'blue' })
  else add({ text: context.level.toUpperCase().padEnd(5), style: levelStyles[context.level] })
  add(sourceName(record))
  const below: StyledText[] = []
  if (context.level === undefined && fields !== undefined) add(...pointText(record, format))
  else if (fields === undefined) add(...foldedText(record.line.trimEnd(), messageCharsMax))
  else {
    const exchange = httpExchange(fields)
    if (exchange !== undefined) add(...exchange.text)
    const { message } = record
    if (message !== undefined && exchange?.isSaid(message) !== true) add(...messageText(message))
    for (const [key, value] of shownFields(record, format, exchange?.keys)) {
      if (isError(value)) below.push(...errorRows(value))
      add({ text: `${visibleText(key)}=`, style: 'gray' }, ...valueText(isError(value) ? withoutStacks(value) : value))
    }
  }
  return [head, ...below].map((row) => (format.highlights.length === 0 ? row : marked(row, format.highlights)))
}

function* shownFields(record: TailRecord, format: LineFormat, taken: ReadonlySet<string> | undefined): Generator<[string, unknown]> {
  const { fields = {} } = record
  if (format.fields !== undefined) {
    for (const path of format.fields) {
      const value = fieldAt(fields, path)
      if (value !== undefined) yield [path.join('.'), value]
    }
    return
  }
  for (const [key, value] of Object.entries(fields)) if (!placedKeys.has(key) && taken?.has(key) !== true) yield [key, value]
}

/** `payments{route="/pay"} value=3` */
function pointText(record: TailRecord, format: LineFormat): Piece[] {
  const { metric, type: _type, time: _time, attributes = {}, ...values } = record.fields ?? {}
  const pairs = Object.entries(attributes as object).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  const pieces: Piece[] = [
    { text: visibleText(String(metric)), style: 'bold' },
    { text: pairs.length === 0 ? '' : visibleText(`{${pairs.join(',')}}`).slice(0, valueCharsMax), style: 'gray' },
  ]
  const chosen = format.fields?.map((path) => [path.join('.'), fieldAt(record.fields, path)] as const) ?? Object.entries(values)
  for (const [key, value] of chosen) {
    if (value === undefined) continue
    // Digits beyond the sixth are noise to the eye.
    const shown = typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value
    pieces.push({ text: ` ${visibleText(key)}=`, style: 'gray' }, ...valueText(shown))
  }
  return pieces
}

function marked(row: StyledText, searches: readonly TextSearch[]): StyledText {
  return highlighted(row, joinedRanges(searches, plainText(row)))
}

function sourceName({ context: { service, name } }: TailRecord): Piece {
  return { text: visibleText(name === undefined ? service : `${service}/${name}`), style: serviceStyle(service) }
}

/** The same for a service whenever and wherever it is shown. */
function serviceStyle(service: string): Style | undefined {
  let hash = 0x811c9dc5
  for (let i = 0; i < service.length; i += 1) hash = Math.imul(hash ^ service.charCodeAt(i), 0x01000193)
  return serviceStyles[(hash >>> 16) % serviceStyles.length]
}

function messageText(message: unknown): Piece[] {
  return typeof message === 'string' ? foldedText(message, messageCharsMax) : valueText(message)
}

function valueText(value: unknown): Piece[] {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? foldedText(value, valueCharsMax) : quotedText(value)
  return foldedText(JSON.stringify(value) ?? '', valueCharsMax)
}

/** With quotes, and folded behind them. */
function quotedText(value: string): Piece[] {
  const [first, ...more] = folded(value)
  const cut = first.length > valueCharsMax ? first.slice(0, valueCharsMax) : first
  const text = visibleText(JSON.stringify(cut))
  return [{ text: cut === first ? text : `${text}…` }, ...more]
}

function foldedText(value: string, charsMax: number): Piece[] {
  const [first, ...more] = folded(value)
  if (first.length <= charsMax) return [{ text: visibleText(first) }, ...more]
  return [
    { text: visibleText(first.slice(0, charsMax)) },
    { text: `… ${formatCount(first.length - charsMax)} more characters`, style: 'gray' },
    ...more,
  ]
}

/** A text of several lines as its first one, and how many there are more. */
function folded(value: string): [string, ...Piece[]] {
  const end = value.indexOf('\n')
  if (end === -1) return [value]
  let lines = 0
  for (let at = end; at !== -1; at = value.indexOf('\n', at + 1)) if (at < value.length - 1) lines += 1
  const first = value[end - 1] === '\r' ? value.slice(0, end - 1) : value.slice(0, end)
  return lines === 0 ? [first] : [first, { text: ` … ${formatCount(lines)} more ${lines === 1 ? 'line' : 'lines'}`, style: 'gray' }]
}

/** Functions of the language: `size(x)`, `x.startsWith("a")`. What a text-function costs is counted in steps. */
import { parseDuration } from '../quantity.ts'
import { type Budget, Duration, failed, isMap, spend, Timestamp, type Value } from './values.ts'

export type Type = 'any' | 'bool' | 'number' | 'string' | 'list' | 'map' | 'null' | 'timestamp' | 'duration'

export interface Callable {
  /** What it takes; a method's first one is what stands before the dot. */
  readonly takes: readonly (readonly Type[])[]
  /** How many of the last ones may be left out. */
  readonly optional?: number
  readonly gives: Type
  run(args: readonly Value[], budget: Budget): Value
}

/** Characters looked at in one step. */
const charsPerStep = 64
const text: readonly Type[] = ['string']
const moment: readonly Type[] = ['timestamp']
const sized: readonly Type[] = ['string', 'list', 'map']

const size: Callable = {
  takes: [sized],
  gives: 'number',
  run: ([value], budget) => {
    if (typeof value === 'string') return spend(budget, value.length / charsPerStep) ? codePoints(value) : failed
    if (Array.isArray(value)) return value.length
    return isMap(value) ? Object.keys(value).length : failed
  },
}

export const functions: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  ['size', size],
  ['int', { takes: [['number', 'string', 'timestamp']], gives: 'number', run: ([value]) => toInteger(value) }],
  ['double', { takes: [['number', 'string']], gives: 'number', run: ([value]) => toNumber(value) }],
  ['string', { takes: [['string', 'number', 'bool', 'timestamp']], gives: 'string', run: ([value]) => toText(value) }],
  ['timestamp', { takes: [['string', 'number', 'timestamp']], gives: 'timestamp', run: ([value]) => toTimestamp(value) }],
  ['duration', { takes: [['string', 'duration']], gives: 'duration', run: ([value]) => toDuration(value) }],
  ['dyn', { takes: [['any']], gives: 'any', run: ([value]) => value }],
])

export const methods: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  ['size', size],
  ['contains', search('bool', (value, part) => value.includes(part))],
  ['startsWith', search('bool', (value, part) => value.startsWith(part))],
  ['endsWith', search('bool', (value, part) => value.endsWith(part))],
  ['indexOf', search('number', (value, part) => value.indexOf(part))],
  ['lastIndexOf', search('number', (value, part) => value.lastIndexOf(part))],
  ['lowerAscii', change((value) => value.replaceAll(/[A-Z]+/g, (part) => part.toLowerCase()))],
  ['upperAscii', change((value) => value.replaceAll(/[a-z]+/g, (part) => part.toUpperCase()))],
  ['trim', change((value) => value.trim())],
  ['substring', { takes: [text, ['number'], ['number']], optional: 1, gives: 'string', run: substring }],
  ['getFullYear', partOfTime((date) => date.getUTCFullYear())],
  ['getMonth', partOfTime((date) => date.getUTCMonth())],
  ['getDate', partOfTime((date) => date.getUTCDate())],
  ['getDayOfMonth', partOfTime((date) => date.getUTCDate() - 1)],
  ['getDayOfWeek', partOfTime((date) => date.getUTCDay())],
  ['getHours', partOfTime((date) => date.getUTCHours())],
  ['getMinutes', partOfTime((date) => date.getUTCMinutes())],
  ['getSeconds', partOfTime((date) => date.getUTCSeconds())],
  ['getMilliseconds', partOfTime((date) => date.getUTCMilliseconds())],
])

function search(gives: Type, look: (value: string, part: string) => Value): Callable {
  return {
    takes: [text, text],
    gives,
    run: ([value, part], budget) => {
      if (typeof value !== 'string' || typeof part !== 'string') return failed
      // A search for a long text may look at every character many times.
      const chars = Math.min(part.length, 64) * (part.length > 256 ? value.length : 1) + value.length
      return spend(budget, chars / charsPerStep) ? look(value, part) : failed
    },
  }
}

function change(make: (value: string) => string): Callable {
  return {
    takes: [text],
    gives: 'string',
    run: ([value], budget) => (typeof value === 'string' && spend(budget, value.length) ? make(value) : failed),
  }
}

function partOfTime(part: (date: Date) => number): Callable {
  return { takes: [moment], gives: 'number', run: ([value]) => (value instanceof Timestamp ? part(new Date(value.ms)) : failed) }
}

function substring([value, from, to]: readonly Value[], budget: Budget): Value {
  if (typeof value !== 'string' || typeof from !== 'number') return failed
  const end = to === undefined ? value.length : to
  if (typeof end !== 'number' || !Number.isInteger(from) || !Number.isInteger(end)) return failed
  if (from < 0 || end > value.length || from > end) return failed
  return spend(budget, (end - from) / charsPerStep) ? value.slice(from, end) : failed
}

function codePoints(value: string): number {
  let count = value.length
  for (let i = 0; i < value.length; i += 1) {
    const unit = value.charCodeAt(i)
    if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < value.length && (value.charCodeAt(i + 1) & 0xfc00) === 0xdc00) count -= 1
  }
  return count
}

function toNumber(value: Value): Value {
  if (typeof value === 'number') return value
  if (
    typeof value !== 'string' ||
    !/^\s*[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?\s*$/.test(value.slice(0, 1_000))
  )
    return failed
  return value.length > 1_000 ? failed : Number(value)
}

function toInteger(value: Value): Value {
  if (value instanceof Timestamp) return Math.floor(value.ms / 1_000)
  const number = toNumber(value)
  return typeof number === 'number' && Number.isFinite(number) ? Math.trunc(number) : failed
}

function toText(value: Value): Value {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return value instanceof Timestamp ? new Date(value.ms).toISOString() : failed
}

/** A date as text, or seconds since 1970 as in the language; a line's own `time` has ms already and needs none of this. */
function toTimestamp(value: Value): Value {
  if (value instanceof Timestamp) return value
  const ms = typeof value === 'number' ? value * 1_000 : typeof value === 'string' && value.length <= 40 ? Date.parse(value) : Number.NaN
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? new Timestamp(ms) : failed
}

const durationPart = /(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)/g

/** `1h30m`, `250ms`, `-5s`. */
function toDuration(value: Value): Value {
  if (value instanceof Duration) return value
  if (typeof value !== 'string' || value.length > 60 || !/^-?(?:\d{1,12}(?:\.\d{1,6})?(?:ms|s|m|h|d))+$/.test(value)) return failed
  let ms = 0
  for (const [part] of value.matchAll(durationPart)) ms += parseDuration(part) ?? Number.NaN
  return Number.isFinite(ms) ? new Duration(value.startsWith('-') ? -ms : ms) : failed
}

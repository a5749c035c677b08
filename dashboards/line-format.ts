/** One kept line as a person reads it: time, level, service, message, then the rest as key=value, stacks below. */
import { styleText } from 'node:util'
import type { Level } from '../wire/level.ts'
import { visibleText } from './visible-text.ts'

export interface LineContext {
  readonly service: string
  readonly level: Level
  /** The logger's name, if it has one. */
  readonly name: string | undefined
  /** Unix ms, for lines without a time of their own. */
  readonly timeMs: number
}

type Style = Parameters<typeof styleText>[0]

const levelStyles: Readonly<Record<Level, Style>> = {
  trace: 'gray',
  debug: 'blue',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: ['bgRed', 'white'],
}
/** Shown in their own place, or the same on every line of a process. */
const placedKeys = new Set(['level', 'time', 'msg', 'message', 'pid', 'hostname', 'name', 'severity'])
const valueCharsMax = 2_000

export function formatLine(line: string, context: LineContext, hasColour: boolean): string {
  const fields = parseFields(line)
  const paint = (style: Style, text: string) => (hasColour ? styleText(style, text, { validateStream: false }) : text)
  const level = paint(levelStyles[context.level], context.level.toUpperCase().padEnd(5))
  const source = visibleText(context.name === undefined ? context.service : `${context.service}/${context.name}`)
  if (fields === undefined) return `${clock(context.timeMs)} ${level} ${paint('cyan', source)} ${visibleText(line.trimEnd())}`
  const message = fields['msg'] ?? fields['message']
  const head = [clock(timeOf(fields['time'], context.timeMs)), level, paint('cyan', source)]
  if (message !== undefined) head.push(visibleText(typeof message === 'string' ? message : shown(message)))
  const stacks: string[] = []
  for (const [key, value] of Object.entries(fields)) {
    if (placedKeys.has(key)) continue
    const stack = stackOf(value)
    if (stack !== undefined) stacks.push(stack)
    head.push(`${paint('gray', `${visibleText(key)}=`)}${shown(stack === undefined ? value : withoutStack(value))}`)
  }
  return [head.join(' '), ...stacks.flatMap((stack) => stack.split('\n').map((text) => `    ${visibleText(text)}`))].join('\n')
}

function parseFields(line: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(line)
    return parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function timeOf(time: unknown, otherwiseMs: number): number {
  const ms = typeof time === 'number' ? time : typeof time === 'string' ? Date.parse(time) : Number.NaN
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? ms : otherwiseMs
}

/** Local time of day, to the millisecond. */
function clock(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

function stackOf(value: unknown): string | undefined {
  if (value === null || typeof value !== 'object' || !('stack' in value)) return undefined
  return typeof value.stack === 'string' ? value.stack : undefined
}

function withoutStack(value: unknown): unknown {
  return Object.fromEntries(Object.entries(value as object).filter(([key]) => key !== 'stack'))
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? (/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)) : (JSON.stringify(value) ?? '')
  return visibleText(text.length > valueCharsMax ? `${text.slice(0, valueCharsMax)}…` : text)
}

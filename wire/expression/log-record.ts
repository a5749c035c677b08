/** What expressions look at: one line of a log, parsed once, and what is known about it beside. */
import { type Level, levels, rankOfName, rankOfNumber } from '../level.ts'

export interface LogRecord {
  /** The line's own fields, as they were logged; empty when the line is not a JSON object. Nothing but own fields is read. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly topic: string
  readonly level: Level
  readonly service: string
  /** The machine; undefined when the line does not say. */
  readonly host: string | undefined
  /** Unix ms; undefined when neither the line nor the frame says. */
  readonly timeMs: number | undefined
}

/** What is known without the line. */
export interface RecordOrigin {
  readonly topic: string
  readonly service: string
  readonly level: Level
  /** Unix ms, for lines without a time of their own. */
  readonly timeMs?: number | undefined
}

const noFields: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null) as Record<string, unknown>)

/** Parses a line once; never throws. */
export function recordOf(line: string, origin: RecordOrigin): LogRecord {
  const fields = parseFields(line) ?? noFields
  return {
    fields,
    topic: origin.topic,
    level: origin.level,
    service: origin.service,
    host: hostIn(fields),
    timeMs: timeIn(fields) ?? origin.timeMs,
  }
}

/** The fields of a line, or undefined when it is not a JSON object. */
export function parseFields(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(line)
    return parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed) ? (parsed as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** The level a line gives itself: pino's number or a name; undefined when it gives none. */
export function levelIn(fields: Readonly<Record<string, unknown>>): Level | undefined {
  const own = ownOf(fields, 'level') ?? ownOf(fields, 'severity')
  const rank = typeof own === 'number' ? rankOfNumber(own) : typeof own === 'string' ? rankOfName(own) : undefined
  return rank === undefined ? undefined : levels[rank]
}

/** Unix ms: pino's number, or a date as text. */
export function timeIn(fields: Readonly<Record<string, unknown>>): number | undefined {
  const own = ownOf(fields, 'time')
  const ms = typeof own === 'number' ? own : typeof own === 'string' && own.length <= 40 ? Date.parse(own) : Number.NaN
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? ms : undefined
}

export function hostIn(fields: Readonly<Record<string, unknown>>): string | undefined {
  const own = ownOf(fields, 'hostname') ?? ownOf(fields, 'host')
  return typeof own === 'string' ? own : undefined
}

function ownOf(fields: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined
}

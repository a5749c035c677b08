/**
 * The records a live view holds: bounded in number and characters, the oldest given up first. Rows keep their number
 * while others come and go at both ends, so that a list can stay where it is.
 */
import { visibleText } from '../visible-text.ts'
import type { Level, LiveRecord } from './api-types.ts'

export const rowsMax = 100_000
/** About as many bytes in memory: most lines are Latin-1. */
const charsMax = 64 * 1_048_576
/** So many go at a time: taking a few from the front of so long an array costs as much as taking many. */
const evictedAtOnce = 2_000
const summaryCharsMax = 400

export interface Row extends LiveRecord {
  /** What stands in the list, made when it is first shown. */
  summary?: string
}

export class RowBuffer {
  rows: Row[] = []
  /** Number of the first row; below zero when older ones were put before it. */
  first = 0
  /** Given up because the buffer was full. */
  evicted = 0
  #chars = 0

  get end(): number {
    return this.first + this.rows.length
  }

  /** @param records - Newer than what is here. */
  push(records: readonly LiveRecord[]): void {
    for (const record of records) {
      this.#chars += record.line.length
      this.rows.push(record)
    }
    if (this.rows.length > rowsMax || this.#chars > charsMax) this.#evict()
  }

  /** @param records - Older than what is here, the oldest first. @returns How many were new and had room. */
  unshift(records: readonly LiveRecord[]): number {
    const known = new Set(this.rows.slice(0, 5_000).map(keyOf))
    const fresh = records.filter((record) => !known.has(keyOf(record)))
    const taken = fresh.slice(Math.max(0, fresh.length - (rowsMax - this.rows.length)))
    this.rows = [...taken, ...this.rows]
    this.first -= taken.length
    for (const { line } of taken) this.#chars += line.length
    return taken.length
  }

  #evict(): void {
    let gone = 0
    const isOver = () => this.rows.length - gone > rowsMax || this.#chars > charsMax
    while (gone < this.rows.length - 1 && (isOver() || gone < evictedAtOnce)) {
      this.#chars -= this.rows[gone]?.line.length ?? 0
      gone += 1
    }
    this.rows.splice(0, gone)
    this.first += gone
    this.evicted += gone
  }

  clear(): void {
    this.first = this.end
    this.rows = []
    this.#chars = 0
  }
}

/** The same record from the files and from the stream: by its number where that is known, else by what it says. */
function keyOf({ origin, seq, topic, line }: LiveRecord): string {
  return typeof origin === 'string' && typeof seq === 'number' ? `${origin} ${topic} ${seq}` : `${topic} ${line}`
}

const bookkeeping = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'v', 'name'])

/** Message first, then the fields worth seeing, on one line. Characters that could fool a reader are made visible. */
export function summaryOf(row: Row): string {
  row.summary ??= visibleText(summarised(row.line).slice(0, summaryCharsMax))
  return row.summary
}

function summarised(line: string): string {
  const fields = parsed(line)
  if (fields === undefined) return line.slice(0, summaryCharsMax)
  const message = typeof fields['msg'] === 'string' ? fields['msg'].slice(0, summaryCharsMax) : ''
  let text = message
  for (const [key, value] of Object.entries(fields)) {
    if (text.length > summaryCharsMax) break
    if (!bookkeeping.has(key)) text += `  ${key}=${shortValue(value)}`
  }
  return text.replaceAll('\n', '⏎')
}

function shortValue(value: unknown): string {
  if (typeof value === 'string') return value.slice(0, 120)
  // An error by its words, not by its stack.
  const { message, type } = (value ?? {}) as { message?: unknown; type?: unknown }
  if (typeof message === 'string') return `${typeof type === 'string' ? `${type}: ` : ''}${message.slice(0, 120)}`
  return JSON.stringify(value)?.slice(0, 120) ?? ''
}

/** The fields of a line; undefined when it is no JSON object. */
export function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = JSON.parse(line) as unknown
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** Differs by shape as well as by colour. */
export const levelLetter: Readonly<Record<Level, string>> = { trace: 'T', debug: 'D', info: 'I', warn: 'W', error: 'E', fatal: 'F' }

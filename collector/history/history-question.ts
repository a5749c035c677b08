/** What is asked of the files through the API, checked, and in a form that a thread can be given. */
import type { Rank } from '../../wire/level.ts'
import { historyRecordsDefault, historyRecordsMax } from '../../wire/limits.ts'
import { parseDuration } from '../../wire/quantity.ts'
import { ApiError } from '../http/api-error.ts'
import { rankMinOf, searchesOf, shown, topicsOf, valuesOf, whereOf } from '../http/record-filter.ts'
import type { Query } from '../http/route.ts'

/** A page of the newest records ends before these: `skip` records of the time `timeMs` have been given already. */
export interface HistoryCursor {
  readonly timeMs: number
  readonly skip: number
}

/** Plain values only. */
export interface HistoryQuestion {
  /** See QueryOptions. */
  readonly template: string
  readonly topics: readonly string[]
  readonly rankMin: Rank
  readonly services: readonly string[]
  readonly where: string | undefined
  /** One of them is in the line, if there are any. */
  readonly grep: readonly string[]
  /** Unix ms. */
  readonly sinceMs: number | undefined
  /** Unix ms, not included. */
  readonly untilMs: number | undefined
  /** The newest so many; without it the oldest, up to `limit`. */
  readonly last: number | undefined
  readonly limit: number
  readonly before: HistoryCursor | undefined
  readonly nowMs: number
  /** A live tail goes on where this ends: see readHistory. */
  readonly isSeamed: boolean
}

export const historyParameters = [
  'topic',
  'level',
  'service',
  'where',
  'grep',
  'since',
  'until',
  'last',
  'before',
  'limit',
  'tail',
] as const

/** @throws {@link ApiError} `bad_request`, `bad_expression` */
export function readHistoryQuestion(query: Query, template: string, nowMs: number): HistoryQuestion {
  // Compiled again by the thread that reads; here for the words about what is wrong.
  const { topics } = topicsOf(query)
  searchesOf(query)
  whereOf(query)
  const bounds = { min: 1, max: historyRecordsMax }
  const before = readCursor(query.one('before'))
  const sinceMs = timeOf(query, 'since', nowMs)
  const last = query.integer('last', bounds) ?? (sinceMs === undefined || before !== undefined ? historyRecordsDefault : undefined)
  return {
    template,
    topics,
    rankMin: rankMinOf(query),
    services: valuesOf(query, 'service'),
    where: query.one('where'),
    grep: valuesOf(query, 'grep'),
    sinceMs,
    untilMs: timeOf(query, 'until', nowMs),
    last,
    limit: query.integer('limit', bounds) ?? historyRecordsMax,
    before,
    nowMs,
    isSeamed: query.one('tail') !== undefined,
  }
}

/** Unix ms, an ISO time, or how long ago. */
function timeOf(query: Query, name: string, nowMs: number): number | undefined {
  const text = query.one(name)
  if (text === undefined) return undefined
  const agoMs = parseDuration(text)
  const timeMs = /^\d{11,15}$/.test(text) ? Number(text) : agoMs === undefined ? Date.parse(text) : nowMs - agoMs
  if (Number.isFinite(timeMs)) return timeMs
  throw new ApiError(
    'bad_request',
    `${name}: expected Unix ms, a time such as 2026-11-24T09:30:00Z, or how long ago such as 10m, got ${shown(text)}`,
  )
}

export function cursorText({ timeMs, skip }: HistoryCursor): string {
  return `${timeMs}.${skip}`
}

function readCursor(text: string | undefined): HistoryCursor | undefined {
  if (text === undefined) return undefined
  const [, timeMs, skip] = /^(\d{1,15})\.(\d{1,9})$/.exec(text) ?? []
  if (timeMs !== undefined && skip !== undefined) return { timeMs: Number(timeMs), skip: Number(skip) }
  throw new ApiError('bad_request', `before: expected the cursor of an earlier answer, got ${shown(text)}`)
}

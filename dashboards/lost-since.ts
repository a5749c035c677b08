/** How many records were given up since some moment: what `spillway status` ends with, and its exit code. Pure. */
import { parseDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { StatusBooks, StatusDocument } from './status-document.ts'

export interface LostSince {
  readonly records: number
  /** Some of them may have been lost before; how many is not known, so they count. */
  readonly isUpperBound: boolean
}

const isoShape = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/
/** Clocks of two machines differ; a moment further ahead than this is a mistake, and would be an all-clear for ever. */
const aheadMaxMs = 300_000

/**
 * The moment a user means, Unix ms.
 *
 * @param text - A duration before now (`10m`), or an ISO time; a time without a zone is local.
 * @param nowMs - By the clock the losses were timed with.
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID`
 */
export function sinceMoment(text: string, nowMs: number): number {
  const agoMs = parseDuration(text)
  if (agoMs !== undefined) return nowMs - agoMs
  // A date alone would be taken as UTC, a time of day as local.
  const atMs = isoShape.test(text) ? Date.parse(text.includes('T') ? text : `${text}T00:00`) : Number.NaN
  if (Number.isNaN(atMs)) {
    throw new SpillwayError(
      'SPW_OPTION_INVALID',
      `--since: expected a duration such as 10m, or a time such as 2026-05-31T18:00, got ${JSON.stringify(text.slice(0, 80))}`,
    )
  }
  if (atMs - nowMs > aheadMaxMs) throw new SpillwayError('SPW_OPTION_INVALID', `--since: ${text} has not come yet by the collector's clock`)
  return atMs
}

/** Records that will never be delivered: lost on the way, kept too long, or refused by a sink. */
function givenUp(books: StatusBooks): number {
  return Object.values(books.lost).reduce((sum, records) => sum + records, 0) + books.expired + books.rejected
}

/**
 * @param sinceMs - Unix ms; undefined for everything in the books.
 * @returns What was given up since then; rather too much than too little. Of a stretch of losses only the first and the
 *   last time are known: it counts as a whole when it ended since then.
 */
export function lostSince(status: StatusDocument, sinceMs: number | undefined): LostSince {
  const all = givenUp(status.totals)
  if (sinceMs === undefined) return { records: all, isUpperBound: false }
  const since = status.losses.filter((loss) => loss.lastAtMs >= sinceMs)
  const timed = status.losses.reduce((sum, loss) => sum + loss.records, 0)
  // Books may be older than this run of the collector, and the times of losses are not.
  const startedAtMs = status.timeMs - status.uptimeMs
  const untimed = sinceMs < startedAtMs ? Math.max(0, all - timed) : 0
  return {
    records: since.reduce((sum, loss) => sum + loss.records, untimed),
    isUpperBound: untimed > 0 || since.some((loss) => loss.firstAtMs < sinceMs),
  }
}

/** When to try again: pure decisions. */

/** First and longest wait after a failure. Which of it is waited is drawn by lot, so that many collectors do not come back at one moment. */
const backoff = { firstMs: 250, maxMs: 30_000 }
/** A server that says it wants to be left alone for a day is asked again after this. */
export const retryAfterMaxMs = 300_000
/** Never at once: a lot of nearly nought, drawn again and again, would be a storm. */
const waitMinMs = 50

/**
 * How long to wait after the `failures`-th failure in a row, ms.
 *
 * @param random - From 0 to 1.
 * @param retryAfterMs - What the server asked for; waited in full, and up to a tenth more.
 */
export function retryDelayMs(failures: number, random: number, retryAfterMs?: number): number {
  if (retryAfterMs !== undefined) {
    return Math.min(retryAfterMaxMs, Math.max(waitMinMs, retryAfterMs + Math.floor((random * retryAfterMs) / 10)))
  }
  const most = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures - 1, 20))
  return Math.max(waitMinMs, Math.floor(random * most))
}

/** Reads `Retry-After`: seconds or an HTTP date; at most five minutes. Undefined for anything else. */
export function readRetryAfter(text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined
  const trimmed = text.trim()
  if (/^\d{1,15}$/.test(trimmed)) return Math.min(Number(trimmed) * 1_000, retryAfterMaxMs)
  // A date begins with its day. `Date.parse` takes much that is none, such as -1.
  if (!/^[A-Z][a-z]{2,8},? /.test(trimmed)) return undefined
  const atMs = Date.parse(trimmed)
  return Number.isNaN(atMs) ? undefined : Math.min(Math.max(0, atMs - nowMs), retryAfterMaxMs)
}

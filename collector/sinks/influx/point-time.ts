/**
 * When a point was: Unix nanoseconds as text, unique within a stream of one origin and topic, and the same each time
 * the record is written.
 *
 *   1700000000123 | 456789
 *   milliseconds    (hash of origin and topic + number of the record) mod 1,000,000
 *
 * A database keeps one point for a series and a moment, and the later write wins without a word. The milliseconds say
 * when; the digits behind them keep two records of one millisecond apart and make a repeated write the same point.
 * Records of other origins differ by their tag; without it, the hash makes two of one series and millisecond meet
 * with a chance of one in a million.
 */
import { hashOf } from './line-protocol.ts'

const perMs = 1_000_000
/** What fits into 64 bits: the years 1678 to 2262. */
const timeMsMax = 9_223_372_036_000

/** The digits behind the milliseconds of a stream's record number 0. */
export function firstSlotOf(origin: string, topic: string): number {
  return hashOf(`${origin} ${topic}`) % perMs
}

/** @param timeMs - Whole or not; cut to milliseconds. */
export function pointTime(timeMs: number, firstSlot: number, seq: number): string {
  const ms = Math.floor(timeMs)
  // A BigInt a line is dear; both halves are exact as they are.
  const slot = String((firstSlot + (seq % perMs)) % perMs).padStart(6, '0')
  if (ms > 0) return `${ms}${slot}`
  return String(BigInt(ms) * BigInt(perMs) + BigInt(slot))
}

/**
 * Unix ms of what a log line has for its time: seconds, ms, µs or ns, or a date as text; undefined when it is none.
 * Which unit it is shows in its size: ms of 1973 on, seconds up to 5138.
 */
export function timeMsOf(value: unknown): number | undefined {
  if (typeof value === 'string') {
    const ms = Date.parse(value)
    return Number.isNaN(ms) ? undefined : inRange(ms)
  }
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return undefined
  if (value < 1e11) return value === 0 ? undefined : inRange(value * 1_000)
  if (value < 1e14) return value <= timeMsMax ? inRange(value) : undefined
  return inRange(value < 1e17 ? value / 1_000 : value / 1e6)
}

function inRange(ms: number): number | undefined {
  return Math.abs(ms) <= timeMsMax ? ms : undefined
}

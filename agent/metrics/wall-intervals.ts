/** Intervals aligned to the wall clock, which may be set at any time; pure. */
import type { Interval } from '../../wire/points.ts'

/** What is known when an interval ends. */
export interface Ending {
  readonly wallMs: number
  /** Never goes back, unlike the wall clock. */
  readonly nowMs: number
}

/** A timer may come this much before its time. */
const earlyMs = 5

/** How long until the next whole multiple of `everyMs`; at least half of it after the last tick, should the clock stand still or go back. */
export function untilNextTickMs({ wallMs, nowMs }: Ending, { everyMs, tickedAtMs }: { everyMs: number; tickedAtMs: number }): number {
  const ms = everyMs - (wallMs % everyMs)
  return nowMs - tickedAtMs + ms < everyMs / 2 ? ms + everyMs : ms
}

/** The whole multiple of `everyMs` a tick was for. */
export function tickEndMs(wallMs: number, everyMs: number): number {
  return Math.floor((wallMs + earlyMs) / everyMs) * everyMs
}

/**
 * The interval from one ending to the next. It begins where the last one ended, unless the clock was set in between:
 * then it is as long as it really was.
 */
export function intervalBetween(last: Ending, end: Ending, everyMs: number): Interval {
  const tookMs = Math.max(0, Math.round(end.nowMs - last.nowMs))
  const isClockTrue = end.wallMs >= last.wallMs && Math.abs(end.wallMs - last.wallMs - tookMs) < everyMs / 2
  return { startMs: Math.max(0, isClockTrue ? last.wallMs : end.wallMs - tookMs), endMs: end.wallMs }
}

/** Stretches of time that share a file: an hour, a day, a week or any duration, by UTC or by the machine's clock. */

/** A number is milliseconds. */
export type Every = 'hour' | 'day' | 'week' | number
export type Zone = 'utc' | 'local'

export interface Period {
  /** Unix ms. */
  readonly startsAtMs: number
  readonly endsAtMs: number
  /** Of its beginning: `2026-05-31`, … */
  readonly date: string
  /** … and `00` to `23`. */
  readonly hour: string
}

const hourMs = 3_600_000
const dayMs = 86_400_000
/** 1970-01-05, a Monday. Weeks begin on Mondays, as ISO 8601 has them. */
const mondayMs = 4 * dayMs

/** The period a moment is in. Remembers the last one: most moments are in the same. */
export class Periods {
  readonly #every: Every
  readonly #zone: Zone
  #last: Period | undefined

  constructor(every: Every, zone: Zone) {
    this.#every = every
    this.#zone = zone
  }

  of(ms: number): Period {
    const last = this.#last
    if (last !== undefined && ms >= last.startsAtMs && ms < last.endsAtMs) return last
    const { startsAtMs, endsAtMs } = boundsOf(ms, this.#every, this.#zone)
    this.#last = { startsAtMs, endsAtMs, ...nameOf(startsAtMs, this.#zone) }
    return this.#last
  }
}

function boundsOf(ms: number, every: Every, zone: Zone): { readonly startsAtMs: number; readonly endsAtMs: number } {
  if (every === 'hour') return hourOf(ms, zone)
  if (every === 'day') return daysOf(ms, zone, 0, 1)
  if (every === 'week') return daysOf(ms, zone, weekday(ms, zone), 7)
  // What divides a day begins at midnight; all else is counted from 1970.
  const day = dayMs % every === 0 ? daysOf(ms, zone, 0, 1) : { startsAtMs: 0, endsAtMs: Number.POSITIVE_INFINITY }
  const startsAtMs = day.startsAtMs + Math.floor((ms - day.startsAtMs) / every) * every
  // A day that is an hour shorter ends its last period early.
  return { startsAtMs, endsAtMs: Math.min(startsAtMs + every, day.endsAtMs) }
}

/** The hour on the wall. One that comes twice, when the clocks go back, is two periods of one name. */
function hourOf(ms: number, zone: Zone): { readonly startsAtMs: number; readonly endsAtMs: number } {
  const time = new Date(ms)
  const intoHourMs =
    zone === 'utc' ? modulo(ms, hourMs) : time.getMinutes() * 60_000 + time.getSeconds() * 1_000 + time.getMilliseconds() + (ms % 1)
  return { startsAtMs: ms - intoHourMs, endsAtMs: ms - intoHourMs + hourMs }
}

/** So many days, the first of them `before` days before the day of a moment. */
function daysOf(ms: number, zone: Zone, before: number, count: number): { readonly startsAtMs: number; readonly endsAtMs: number } {
  if (zone === 'utc') {
    const startsAtMs = ms - modulo(ms, dayMs) - before * dayMs
    return { startsAtMs, endsAtMs: startsAtMs + count * dayMs }
  }
  const time = new Date(ms)
  const midnight = (days: number) => new Date(time.getFullYear(), time.getMonth(), time.getDate() + days).getTime()
  return { startsAtMs: midnight(-before), endsAtMs: midnight(count - before) }
}

/** Days since Monday. */
function weekday(ms: number, zone: Zone): number {
  return zone === 'utc' ? Math.floor(modulo(ms - mondayMs, 7 * dayMs) / dayMs) : (new Date(ms).getDay() + 6) % 7
}

function nameOf(ms: number, zone: Zone): { readonly date: string; readonly hour: string } {
  const time = new Date(ms)
  // Shifted so that the UTC fields are those of the wall clock.
  const text = new Date(zone === 'utc' ? ms : ms - time.getTimezoneOffset() * 60_000).toISOString()
  return { date: text.slice(0, 10), hour: text.slice(11, 13) }
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by
}

/**
 * Which levels live tails have switched on in this application, within the limits the application sets, and what is
 * said about it: who asked for what, and since when.
 */
import { type Ask, readableTail } from '../wire/demand.ts'
import { type Level, levels, type Rank, rankOfName } from '../wire/level.ts'
import { demandWordsEveryMs, onDemandMinutesMax, onDemandRateMax } from '../wire/limits.ts'
import { formatCount } from '../wire/quantity.ts'
import { encodeToken } from '../wire/topic.ts'
import type { OnDemandOptions } from './options.ts'
import type { AgentRuntime } from './runtime.ts'

export interface OnDemandStats {
  /** Levels that are on now because somebody asks. */
  readonly levels: readonly Level[]
  /** Who asks, by the names they gave. */
  readonly by: readonly string[]
  /** Records made because somebody asked. */
  readonly made: number
  /** Records past `maxRate`: made, counted and not sent. */
  readonly overRate: number
}

const allRanks = 0b111111
const minuteMs = 60_000
const nameWaitMs = 500

export class OnDemand {
  made = 0
  overRate = 0
  /** A bit per rank that is on. */
  mask = 0
  readonly #service: string
  readonly #token: string
  readonly #runtime: AgentRuntime
  readonly #changed: (mask: number) => void
  #allowed: number
  #rateMax = onDemandRateMax
  #minutesMax = onDemandMinutesMax
  readonly #isLimited = { rate: false, minutes: false }
  /** Since when each rank is on; undefined while it is off. */
  readonly #onSinceMs: (number | undefined)[] = levels.map(() => undefined)
  /** Ranks that were on for as long as they may, and are still asked for. */
  #spent = 0
  #room: number
  #filledAtMs: number
  #asks: readonly Ask[] = []
  /** When what is on last changed. */
  #movedAtMs = 0
  #said = ''
  #saidAtMs = Number.NEGATIVE_INFINITY
  #madeBefore = 0
  #overRateBefore = 0

  /** @param changed - Told of the ranks that are on, whenever they are others. */
  constructor(options: OnDemandOptions | false | undefined, service: string, runtime: AgentRuntime, changed: (mask: number) => void) {
    this.#service = service
    this.#token = encodeToken(service)
    this.#runtime = runtime
    this.#changed = changed
    this.#allowed = allRanks
    this.limit(options)
    this.#room = this.#rateMax
    this.#filledAtMs = runtime.nowMs()
  }

  /** Sets limits; of several that were given the narrowest holds. */
  limit(options: OnDemandOptions | false | undefined): void {
    if (options === false) this.#allowed = 0
    if (options === false || options === undefined) return
    const { levels: allowed, maxRate, maxMinutes } = options
    if (allowed !== undefined) this.#allowed &= allowed.reduce((mask, level) => mask | bitOf(level), 0)
    if (maxRate !== undefined) {
      this.#rateMax = this.#isLimited.rate ? Math.min(this.#rateMax, maxRate) : maxRate
      this.#isLimited.rate = true
    }
    if (maxMinutes !== undefined) {
      this.#minutesMax = this.#isLimited.minutes ? Math.min(this.#minutesMax, maxMinutes) : maxMinutes
      this.#isLimited.minutes = true
    }
  }

  /** Takes what is asked for now, by all tails this application hears of. To be called again and again. */
  look(asks: readonly Ask[], nowMs: number): void {
    if (asks.length === 0 && this.mask === 0 && this.#spent === 0 && this.#said === '') return
    this.#asks = asks.filter(
      ({ service, level }) => (service === undefined || service === this.#token) && (bitOf(level) & this.#allowed) !== 0,
    )
    const asked = this.#asks.reduce((mask, { level }) => mask | bitOf(level), 0)
    this.#spent &= asked
    for (const [rank, sinceMs] of this.#onSinceMs.entries()) {
      const bit = 1 << rank
      if ((asked & bit) === 0) this.#onSinceMs[rank] = undefined
      else if (sinceMs === undefined) this.#onSinceMs[rank] = nowMs
      else if (nowMs - sinceMs >= this.#minutesMax * minuteMs) this.#spent |= bit
    }
    const mask = asked & ~this.#spent
    if (mask !== this.mask) {
      this.mask = mask
      this.#movedAtMs = nowMs
      this.#changed(mask)
    }
    this.#say(nowMs)
  }

  /** Whether one more record on demand may be sent now. Counts it either way. */
  takeOne(): boolean {
    const nowMs = this.#runtime.nowMs()
    this.#room = Math.min(this.#rateMax, this.#room + ((nowMs - this.#filledAtMs) * this.#rateMax) / 1_000)
    this.#filledAtMs = nowMs
    this.made += 1
    if (this.#room >= 1) {
      this.#room -= 1
      return true
    }
    this.overRate += 1
    return false
  }

  stats(): OnDemandStats {
    return { levels: this.#levels, by: this.#by, made: this.made, overRate: this.overRate }
  }

  get #levels(): Level[] {
    return levels.filter((level) => (this.mask & bitOf(level)) !== 0)
  }

  get #by(): string[] {
    return [...new Set(this.#asks.flatMap(({ by }) => by))].sort().slice(0, 8).map(readableTail)
  }

  /** One line when something begins or ends; while tails come and go, one every so often. */
  #say(nowMs: number): void {
    const names = this.#by.join(', ')
    const words =
      this.mask === 0 ? '' : `${this.#levels.join(', ')} of ${this.#service} on demand of ${names || 'a live tail without a name'}`
    if (words === this.#said || nowMs - this.#saidAtMs < demandWordsEveryMs) return
    // Names come beside what is asked, a moment later.
    if (words !== '' && names === '' && nowMs - this.#movedAtMs < nameWaitMs) return
    this.#saidAtMs = nowMs
    const since = new Date(this.#runtime.wallClockMs() - Math.round(nowMs - this.#movedAtMs)).toISOString()
    if (words !== '') this.#runtime.say(`spillway: logging ${words}, since ${since}\n`)
    else {
      const why = this.#spent === 0 ? '' : ` (maxMinutes: ${this.#minutesMax})`
      this.#runtime.say(`spillway: no longer logging on demand, since ${since}${why}: ${this.#made()}\n`)
      this.#madeBefore = this.made
      this.#overRateBefore = this.overRate
    }
    this.#said = words
  }

  #made(): string {
    const over = this.overRate - this.#overRateBefore
    const made = `${formatCount(this.made - this.#madeBefore)} records were made`
    return over === 0 ? made : `${made}, ${formatCount(over)} of them past maxRate and not sent`
  }
}

function bitOf(level: Level): number {
  return 1 << (rankOfName(level) as Rank)
}

/**
 * What was told of totals that others keep, so that only their increases are told: as Prometheus takes them, a total below
 * the last one began anew at zero. What begins anew and has passed the last total already when it is looked at again is
 * not seen; a start time that changes is.
 *
 * A series that is no longer there is remembered for 30 looks, should it come back, then forgotten.
 */
import { idleIntervalsMax } from '../wire/limits.ts'

/** Series that are gone and still remembered, of one metric. */
const goneSeriesMax = 10_000

export interface ToldSeries<T> {
  /** Undefined before anything was told. */
  total: T | undefined
  /** When its counting began, where the library says that. */
  startedAt: number
  look: number
}

export class ToldTotals<T> {
  readonly #series = new Map<string, ToldSeries<T>>()
  #look = 0

  has(key: string): boolean {
    return this.#series.has(key)
  }

  /** The series of a key; seen in this look. */
  find(key: string, startedAt = 0): ToldSeries<T> {
    let series = this.#series.get(key)
    if (series === undefined) {
      series = { total: undefined, startedAt, look: this.#look }
      this.#series.set(key, series)
    }
    if (series.startedAt !== startedAt) {
      series.total = undefined
      series.startedAt = startedAt
    }
    series.look = this.#look
    return series
  }

  /** Everything that is there has been found. */
  endLook(): void {
    let gone = 0
    for (const { look } of this.#series.values()) if (look < this.#look) gone += 1
    if (gone > 0) {
      for (const [key, { look }] of this.#series) {
        if (look === this.#look || (this.#look - look <= idleIntervalsMax && gone <= goneSeriesMax)) continue
        this.#series.delete(key)
        gone -= 1
      }
    }
    this.#look += 1
  }
}

/**
 * Whether it is worth asking an origin for what is missing. Asking costs where there is least to spare: records are
 * missing because something on the way has too much to do. When most of what was asked for does not come, nothing is
 * asked for a while.
 *
 * A circuit breaker: closed while at least half of what was asked for comes; else open, and tried again after a while.
 */
import { repairBreaker } from '../wire/limits.ts'

export class RepairBreaker {
  requests = 0
  recordsAsked = 0
  #windowFromMs = Number.NEGATIVE_INFINITY
  #asked = 0
  #repairedBefore = 0
  #openUntilMs = Number.NEGATIVE_INFINITY

  isOpen(nowMs: number): boolean {
    return nowMs < this.#openUntilMs
  }

  asked(records: number): void {
    this.requests += 1
    this.recordsAsked += records
    this.#asked += records
  }

  /**
   * Looks at what has come of the requests of the last while.
   *
   * @param repaired - Records that came after they were missed, since the beginning.
   */
  look(repaired: number, nowMs: number): void {
    if (nowMs - this.#windowFromMs < repairBreaker.windowMs) return
    const came = repaired - this.#repairedBefore
    if (this.#asked >= repairBreaker.recordsMin && came < this.#asked * repairBreaker.yieldMin) {
      this.#openUntilMs = nowMs + repairBreaker.openMs
    }
    this.#windowFromMs = nowMs
    this.#asked = 0
    this.#repairedBefore = repaired
  }
}

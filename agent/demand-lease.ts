/**
 * Whether what a collector passed on from live tails still holds. Its subscriptions stand as long as the connection;
 * so while anybody asks, it says so again and again. Silence ends what is asked: the collector has stopped, or cannot be
 * reached. One that has never said so is believed for as long as it is connected.
 */
import type { DemandNotice } from '../wire/control.ts'
import type { Ask } from '../wire/demand.ts'
import { demandLeaseMs, demandTickMaxMs } from '../wire/limits.ts'

export class DemandLease {
  #isRenewed = false
  #silentMs = 0
  #lookedAtMs: number | undefined
  #names = new Map<string, readonly string[]>()

  heard({ asks }: DemandNotice): void {
    this.#isRenewed = true
    this.#silentMs = 0
    this.#names = new Map(asks.map(({ prefix, by }) => [prefix, by]))
  }

  /** Lets time pass. Time in which this process was held up is not held against anybody. */
  tick(nowMs: number): void {
    this.#silentMs += Math.min(Math.max(0, nowMs - (this.#lookedAtMs ?? nowMs)), demandTickMaxMs)
    this.#lookedAtMs = nowMs
  }

  /** Nobody asks, so nothing is to be renewed; or another collector begins. */
  end(): void {
    this.#isRenewed = false
    this.#silentMs = 0
    this.#names.clear()
  }

  /** What of it still holds, with the names the collector gave. */
  holding(asks: readonly Ask[]): readonly Ask[] {
    if (this.#isRenewed && this.#silentMs >= demandLeaseMs) return []
    return asks.map((ask) => ({ ...ask, by: this.#names.get(ask.prefix) ?? ask.by }))
  }
}

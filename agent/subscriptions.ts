/** What the peer of a link asks for now, and since when that has not changed. */
import { askPrefix, Demand, tailNamePrefix } from '../wire/demand.ts'
import { subscriptionPrefixesMax, wantedSettleMs } from '../wire/limits.ts'

const runPrefix = 'sys.run.'
const settleWaitMaxMs = 10 * wantedSettleMs

export class Subscriptions {
  /** The collector's run, once it has said it; a new one is a new collector. */
  run: string | undefined
  /** The last one there was, also while nobody is connected. */
  lastRun: string | undefined
  /** Nothing has changed for long enough that the set can be believed. */
  isSettled = false
  /** What live tails ask for beyond what is sent. */
  readonly demand: Demand = new Demand()
  readonly #prefixes = new Set<string>()
  readonly #demandPrefixes = new Set<string>()
  /** More was asked for than is remembered: everything counts as asked for. Too much is sent, nothing is missed. */
  #wantsAll = false
  #changedAtMs = 0
  /** Since when it has not been believed; undefined while it is, and before there is anything. */
  #unsettledAtMs: number | undefined

  get isEmpty(): boolean {
    return this.#prefixes.size === 0
  }

  /** Adds a prefix; returns whether it says that a new collector has taken the place of another. */
  add(prefix: string, nowMs: number): boolean {
    if (isDemand(prefix)) {
      if (this.#demandPrefixes.size >= subscriptionPrefixesMax) return false
      this.#demandPrefixes.add(prefix)
      this.demand.subscribed(prefix, nowMs)
      return false
    }
    if (this.#prefixes.size < subscriptionPrefixesMax) this.#prefixes.add(prefix)
    else this.#wantsAll = true
    this.#changed(nowMs)
    if (!prefix.startsWith(runPrefix)) return false
    const run = prefix.slice(runPrefix.length, -1)
    const isReplaced = this.run !== undefined && this.run !== run
    this.run = run
    this.lastRun = run
    return isReplaced
  }

  remove(prefix: string, nowMs: number): void {
    if (this.#demandPrefixes.delete(prefix)) return this.demand.unsubscribed(prefix, nowMs)
    this.#prefixes.delete(prefix)
    this.#changed(nowMs)
    if (this.isEmpty) this.clear()
  }

  clear(): void {
    this.#prefixes.clear()
    this.#demandPrefixes.clear()
    this.demand.clear()
    this.#wantsAll = false
    this.run = undefined
    this.isSettled = false
    this.#unsettledAtMs = undefined
  }

  /** Whether frames may go: the run is known, or everything has been said that will be. */
  isReady(nowMs: number, quietMs: number): boolean {
    return this.run !== undefined || this.isSettled || nowMs - this.#changedAtMs >= quietMs
  }

  /** Prefixes of records, the first time they have been the same for `wantedSettleMs`; otherwise undefined. */
  settled(nowMs: number): readonly string[] | undefined {
    if (this.isSettled || this.isEmpty) return undefined
    // Tails that come and go without end must not keep what is wanted open without end.
    if (nowMs - this.#changedAtMs < wantedSettleMs && nowMs - (this.#unsettledAtMs ?? nowMs) < settleWaitMaxMs) return undefined
    this.isSettled = true
    this.#unsettledAtMs = undefined
    return this.#wantsAll ? [''] : [...this.#prefixes].filter((prefix) => !isMeaningOnly(prefix))
  }

  covers(topic: string): boolean {
    return this.#wantsAll || covers(this.#prefixes, topic)
  }

  #changed(nowMs: number): void {
    this.#changedAtMs = nowMs
    this.#unsettledAtMs ??= nowMs
    this.isSettled = false
  }
}

/** Whether a topic begins with one of the prefixes. */
export function covers(prefixes: Iterable<string>, topic: string): boolean {
  for (const prefix of prefixes) if (topic.startsWith(prefix)) return true
  return false
}

/** Subscriptions that carry a meaning upstream and match no record. */
function isMeaningOnly(prefix: string): boolean {
  return prefix.startsWith('sys.')
}

function isDemand(prefix: string): boolean {
  return prefix.startsWith(askPrefix) || prefix.startsWith(tailNamePrefix)
}

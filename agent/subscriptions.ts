/** What the peer of a link asks for now, and since when that has not changed. */
import { subscriptionPrefixesMax, wantedSettleMs } from '../wire/limits.ts'

const runPrefix = 'sys.run.'

export class Subscriptions {
  /** The collector's run, once it has said it; a new one is a new collector. */
  run: string | undefined
  /** The last one there was, also while nobody is connected. */
  lastRun: string | undefined
  /** Nothing has changed for long enough that the set can be believed. */
  isSettled = false
  readonly #prefixes = new Set<string>()
  /** More was asked for than is remembered: everything counts as asked for. Too much is sent, nothing is missed. */
  #wantsAll = false
  #changedAtMs = 0

  get isEmpty(): boolean {
    return this.#prefixes.size === 0
  }

  /** Adds a prefix; returns whether it says that a new collector has taken the place of another. */
  add(prefix: string, nowMs: number): boolean {
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
    this.#prefixes.delete(prefix)
    this.#changed(nowMs)
    if (this.isEmpty) this.clear()
  }

  clear(): void {
    this.#prefixes.clear()
    this.#wantsAll = false
    this.run = undefined
    this.isSettled = false
  }

  /** Whether frames may go: the run is known, or everything has been said that will be. */
  isReady(nowMs: number, quietMs: number): boolean {
    return this.run !== undefined || this.isSettled || nowMs - this.#changedAtMs >= quietMs
  }

  /** Prefixes of records, the first time they have been the same for `wantedSettleMs`; otherwise undefined. */
  settled(nowMs: number): readonly string[] | undefined {
    if (this.isSettled || this.isEmpty || nowMs - this.#changedAtMs < wantedSettleMs) return undefined
    this.isSettled = true
    return this.#wantsAll ? [''] : [...this.#prefixes].filter((prefix) => !isMeaningOnly(prefix))
  }

  covers(topic: string): boolean {
    return this.#wantsAll || covers(this.#prefixes, topic)
  }

  #changed(nowMs: number): void {
    this.#changedAtMs = nowMs
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
  return prefix.startsWith('sys.') || prefix.startsWith('ask.')
}

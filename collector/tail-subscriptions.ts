/**
 * What all live tails together subscribe to, and what of it the applications have to be told: a record nobody wants is
 * then not even sent.
 *
 *   tail ─ log.error.shop. ──► collector ─ log.error.shop. ──► every application, unless the collector wants it anyway
 *        ─ ask.debug.shop. ──►           ─ ask.debug.shop. ──► while somebody who asks is there (wire/demand.ts)
 *        ─ sys.tail.h~42. ───►           ─ sys.tail.h~42. ───► who looks
 *
 * Pure; the clock and the way upstream are passed in.
 */
import { type Ask, askPrefix, Demand, isTailName, tailNamePrefix } from '../wire/demand.ts'
import { tailPrefixesMax, tailSubscriptionsMax, topicBytesMax } from '../wire/limits.ts'

export interface Upstream {
  subscribe(prefix: string): void
  unsubscribe(prefix: string): void
}

export class TailSubscriptions {
  /** Prefixes there was no room for: 0 but for a flood. */
  get notForwarded(): number {
    return this.#waiting.size
  }

  readonly #own: readonly string[]
  readonly #upstream: Upstream
  readonly #demand = new Demand()
  readonly #prefixes = new Set<string>()
  /** Subscriptions beyond those that are looked at. */
  #unseen = 0
  readonly #forwarded = new Set<string>()
  readonly #waiting = new Set<string>()
  /** What is held in this process, by how many, and which of it tails want too. */
  readonly #holders = new Map<string, number>()
  readonly #alsoTails = new Set<string>()

  /** @param own - Prefixes the collector itself subscribes to: what they cover is sent anyway. */
  constructor(own: readonly string[], upstream: Upstream) {
    this.#own = own
    this.#upstream = upstream
  }

  /** Whether a tail has subscribed to exactly this. */
  has(prefix: string): boolean {
    return this.#prefixes.has(prefix)
  }

  subscribed(prefix: string, nowMs: number): void {
    if (this.#holders.has(prefix)) this.#alsoTails.add(prefix)
    else if (this.#prefixes.size >= tailSubscriptionsMax) this.#unseen += 1
    else this.#add(prefix, nowMs)
  }

  unsubscribed(prefix: string, nowMs: number): void {
    if (this.#holders.has(prefix)) this.#alsoTails.delete(prefix)
    else if (this.#prefixes.has(prefix)) this.#remove(prefix, nowMs)
    else this.#unseen = Math.max(0, this.#unseen - 1)
  }

  /** Subscribes for somebody in this process, who is no tail; as often as {@link release} ends it. */
  hold(prefix: string, nowMs: number): void {
    const holders = this.#holders.get(prefix) ?? 0
    this.#holders.set(prefix, holders + 1)
    if (holders > 0) return
    if (this.#prefixes.has(prefix)) this.#alsoTails.add(prefix)
    else this.#add(prefix, nowMs)
  }

  release(prefix: string, nowMs: number): void {
    const holders = this.#holders.get(prefix) ?? 0
    if (holders > 1) this.#holders.set(prefix, holders - 1)
    else if (this.#holders.delete(prefix) && !this.#alsoTails.delete(prefix)) this.#remove(prefix, nowMs)
  }

  #add(prefix: string, nowMs: number): void {
    this.#prefixes.add(prefix)
    this.#demand.subscribed(prefix, nowMs)
    if (this.#isForUpstream(prefix)) this.#forward(prefix)
    this.#settleAsks()
  }

  #remove(prefix: string, nowMs: number): void {
    this.#prefixes.delete(prefix)
    this.#demand.unsubscribed(prefix, nowMs)
    this.#takeBack(prefix)
    this.#settleAsks()
  }

  /** Ends what those ask who give no sign of life any more; see {@link Demand.tick}. */
  tick(nowMs: number): void {
    this.#demand.tick(nowMs)
    this.#settleAsks()
  }

  /** Whether some tail may want a topic; exactly so unless there are more subscriptions than are looked at. */
  isAskedFor(topic: string): boolean {
    if (this.#unseen > 0) return true
    for (const prefix of this.#prefixes) if (topic.startsWith(prefix)) return true
    return false
  }

  /** What applications are asked to make now. */
  get asks(): readonly Ask[] {
    return this.#asks
  }

  #asks: readonly Ask[] = []
  #settledVersion = 0

  #settleAsks(): void {
    if (this.#demand.version === this.#settledVersion) return
    this.#settledVersion = this.#demand.version
    const asks = this.#demand.asks()
    const isAsked = new Set(asks.map(({ prefix }) => prefix))
    for (const { prefix } of this.#asks) if (!isAsked.has(prefix)) this.#takeBack(prefix)
    for (const prefix of isAsked) this.#forward(prefix)
    this.#asks = asks
  }

  /** Asks are forwarded while they hold, and nothing else that has a meaning only here. */
  #isForUpstream(prefix: string): boolean {
    if (prefix.length > topicBytesMax || prefix.startsWith(askPrefix)) return false
    if (prefix.startsWith(tailNamePrefix)) return isTailName(prefix)
    return !this.#own.some((own) => prefix.startsWith(own))
  }

  #forward(prefix: string): void {
    if (this.#forwarded.has(prefix)) return
    if (this.#forwarded.size >= tailPrefixesMax) {
      this.#waiting.add(prefix)
      return
    }
    this.#forwarded.add(prefix)
    this.#upstream.subscribe(prefix)
  }

  #takeBack(prefix: string): void {
    this.#waiting.delete(prefix)
    if (!this.#forwarded.delete(prefix)) return
    this.#upstream.unsubscribe(prefix)
    const [next] = this.#waiting
    if (next === undefined) return
    this.#waiting.delete(next)
    this.#forward(next)
  }
}

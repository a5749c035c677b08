/**
 * What live tails ask applications to make, read from the subscriptions that travel upstream:
 *
 *   ask.<level>.<service>.                        make records of this level
 *   sys.tail.<host>~<pid>.                        who is looking
 *   sys.tail.<host>~<pid>.ask.<level>.<service>.  which of the above is theirs
 *   sys.tail.<host>~<pid>.here.                   a sign of life: ended and made anew every `demandRenewMs`
 *
 * A publisher is told only of the first and the last subscription of a prefix, and never whose it is. So tails put
 * their name into it. What a tail asks is a lease: one that has given signs of life and then none for `demandLeaseMs`
 * asks for nothing any more, although its connection may stand for minutes: it was stopped, or its host is gone.
 * A subscriber that gives neither a name nor signs of life asks for as long as it is connected.
 *
 * Pure; the clock is passed in.
 */
import { type Level, levels } from './level.ts'
import { demandLeaseMs, demandTickMaxMs } from './limits.ts'
import { decodeToken } from './topic.ts'

/** One thing that is asked for, by somebody who is there. */
export interface Ask {
  /** As it was subscribed to. */
  readonly prefix: string
  readonly level: Level
  /** As a token of a topic; undefined for all services. */
  readonly service: string | undefined
  /** Names as in the subscription, sorted. Empty when nobody gave one. */
  readonly by: readonly string[]
  /** By the clock that was passed in. */
  readonly sinceMs: number
}

interface TailBook {
  readonly name: string
  /** What stands behind its name in its prefixes. */
  readonly rests: Set<string>
  isRenewing: boolean
  /** Time in which a sign of life could have been heard and was not. */
  silentMs: number
}

interface AskBook {
  isSubscribed: boolean
  readonly claimants: Set<TailBook>
  /** Since when somebody who is there asks; undefined while nobody does. */
  sinceMs: number | undefined
}

export const askPrefix = 'ask.'
export const tailNamePrefix = 'sys.tail.'
const hereSuffix = 'here.'
const nameShape = /^[A-Za-z0-9_~-]{1,160}$/
const serviceShape = /^[A-Za-z0-9_~-]+\.$/

/** Level and service of a prefix that asks for something; undefined for every other text, and for one that names no level. */
function readAsk(prefix: string): Pick<Ask, 'level' | 'service'> | undefined {
  if (!prefix.startsWith(askPrefix)) return undefined
  const end = prefix.indexOf('.', askPrefix.length)
  const level = prefix.slice(askPrefix.length, end)
  const rest = prefix.slice(end + 1)
  if (end === -1 || !isLevel(level) || (rest !== '' && !serviceShape.test(rest))) return undefined
  return { level, service: rest === '' ? undefined : rest.slice(0, -1) }
}

function isLevel(text: string): text is Level {
  return (levels as readonly string[]).includes(text)
}

/** What a tail subscribes to beside what it shows: its name, its claims, and the sign of life that it renews. */
export function demandPrefixes(name: string, asks: readonly string[]): { readonly steady: readonly string[]; readonly here: string } {
  const me = `${tailNamePrefix}${name}.`
  return { steady: [me, ...asks, ...asks.map((ask) => me + ask)], here: me + hereSuffix }
}

/** A tail's name for people: `host (pid 42)`. */
export function readableTail(name: string): string {
  const at = name.lastIndexOf('~')
  return at === -1 || !/^\d+$/.test(name.slice(at + 1))
    ? decodeToken(name)
    : `${decodeToken(name.slice(0, at))} (pid ${name.slice(at + 1)})`
}

/** Whether a prefix is a tail's name and nothing more. */
export function isTailName(prefix: string): boolean {
  return readTailPrefix(prefix)?.rest === ''
}

export class Demand {
  readonly #asks = new Map<string, AskBook>()
  readonly #tails = new Map<string, TailBook>()
  /** Another one whenever something is asked for, or by somebody, that was not before. */
  version = 0
  #lookedAtMs: number | undefined

  /** Takes a prefix that somebody subscribes to now. What means nothing here is passed over. */
  subscribed(prefix: string, nowMs: number): void {
    const said = readTailPrefix(prefix)
    if (said !== undefined) this.#tailSays(said, nowMs)
    else if (readAsk(prefix) !== undefined) {
      this.#ask(prefix).isSubscribed = true
      this.#settle(prefix, nowMs)
    }
  }

  #tailSays({ name, rest }: { readonly name: string; readonly rest: string }, nowMs: number): void {
    let tail = this.#tails.get(name)
    if (tail === undefined) {
      tail = { name, rests: new Set(), isRenewing: false, silentMs: 0 }
      this.#tails.set(name, tail)
    }
    tail.rests.add(rest)
    if (rest === hereSuffix) {
      const wasGone = isGone(tail)
      tail.isRenewing = true
      tail.silentMs = 0
      if (wasGone) this.#settleClaims(tail, nowMs)
    } else if (readAsk(rest) !== undefined) {
      this.#ask(rest).claimants.add(tail)
      this.#settle(rest, nowMs)
    }
  }

  /** Takes a prefix that nobody subscribes to any more. */
  unsubscribed(prefix: string, nowMs: number): void {
    const said = readTailPrefix(prefix)
    const tail = said && this.#tails.get(said.name)
    const claimed = said === undefined ? prefix : said.rest
    if (said !== undefined && tail !== undefined) {
      tail.rests.delete(said.rest)
      if (tail.rests.size === 0) this.#tails.delete(said.name)
      this.#asks.get(claimed)?.claimants.delete(tail)
    } else {
      const ask = this.#asks.get(prefix)
      if (ask !== undefined) ask.isSubscribed = false
    }
    this.#settle(claimed, nowMs)
  }

  /** The connection all of it came through is gone. */
  clear(): void {
    this.#asks.clear()
    this.#tails.clear()
    this.version += 1
  }

  /**
   * Lets time pass for those who give no sign of life. To be called every `demandTickMaxMs` or more often, after what
   * has arrived was read: time in which nobody listened, because this process was held up, is not held against them.
   */
  tick(nowMs: number): void {
    const passedMs = Math.min(Math.max(0, nowMs - (this.#lookedAtMs ?? nowMs)), demandTickMaxMs)
    this.#lookedAtMs = nowMs
    for (const tail of this.#tails.values()) {
      if (!tail.isRenewing || isGone(tail)) continue
      tail.silentMs += passedMs
      if (isGone(tail)) this.#settleClaims(tail, nowMs)
    }
  }

  /** What is asked for now, in no order. */
  asks(): Ask[] {
    const asks: Ask[] = []
    for (const [prefix, { claimants, sinceMs }] of this.#asks) {
      const read = sinceMs === undefined ? undefined : readAsk(prefix)
      if (read === undefined || sinceMs === undefined) continue
      const by = [...claimants].flatMap((tail) => (isGone(tail) ? [] : [tail.name]))
      asks.push({ prefix, ...read, by: by.sort(), sinceMs })
    }
    return asks
  }

  /** Names of all who gave one, asking or not. */
  tailNames(): Iterable<string> {
    return this.#tails.keys()
  }

  #ask(prefix: string): AskBook {
    let ask = this.#asks.get(prefix)
    if (ask === undefined) {
      ask = { isSubscribed: false, claimants: new Set(), sinceMs: undefined }
      this.#asks.set(prefix, ask)
    }
    return ask
  }

  #settleClaims({ rests }: TailBook, nowMs: number): void {
    for (const rest of rests) this.#settle(rest, nowMs)
  }

  #settle(prefix: string, nowMs: number): void {
    const ask = this.#asks.get(prefix)
    if (ask === undefined) return
    this.version += 1
    if (!ask.isSubscribed && ask.claimants.size === 0) this.#asks.delete(prefix)
    const isAsked = ask.isSubscribed && (ask.claimants.size === 0 || hasOneThere(ask.claimants))
    if (!isAsked) ask.sinceMs = undefined
    else ask.sinceMs ??= nowMs
  }
}

function isGone({ isRenewing, silentMs }: TailBook): boolean {
  return isRenewing && silentMs >= demandLeaseMs
}

function hasOneThere(tails: Iterable<TailBook>): boolean {
  for (const tail of tails) if (!isGone(tail)) return true
  return false
}

function readTailPrefix(prefix: string): { readonly name: string; readonly rest: string } | undefined {
  if (!prefix.startsWith(tailNamePrefix)) return undefined
  const end = prefix.indexOf('.', tailNamePrefix.length)
  const name = prefix.slice(tailNamePrefix.length, end)
  return end === -1 || !nameShape.test(name) ? undefined : { name, rest: prefix.slice(end + 1) }
}

/**
 * Keeps what a request logs below the application's level, in memory, until it is known how the request ends. A record
 * of the trigger's level sends it all, in front of that record; without one it is forgotten.
 *
 * What is kept is bounded three ways: the newest records of each request, bytes of all together, and the number of
 * requests. What has to go is counted. A request's place is given up when its context is garbage, or `run` has ended.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Fifo } from '../wire/fifo.ts'
import { type Level, levels, type Rank, rankOfName } from '../wire/level.ts'
import { crossedKeepBytes, crossedKeepRecords, crossedScopesMax } from '../wire/limits.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { Keeping } from './logger-levels.ts'
import type { AgentStream } from './stream.ts'

export interface FingersCrossedOptions {
  /** A record of this level or above sends what was kept. @defaultValue 'error' */
  readonly trigger?: Level | undefined
  /** The least important level that is kept. @defaultValue 'debug' */
  readonly level?: Level | undefined
  /** Records kept of one request; the oldest go first. @defaultValue 200 */
  readonly keep?: number | undefined
  /** Bytes kept of all requests together; the requests that began first go first. @defaultValue 2 MiB */
  readonly keepBytes?: number | undefined
  /**
   * What tells requests apart: each object it holds is a request. With it nothing else needs to be called.
   * @defaultValue one of its own, in which {@link FingersCrossed.run} begins requests
   */
  readonly scope?: AsyncLocalStorage<unknown> | undefined
}

export interface FingersCrossedStats {
  /** Requests of which something is kept now, and how much. */
  readonly scopes: number
  readonly records: number
  readonly bytes: number
  /** Records sent because their request ended in an error. */
  readonly sent: number
  /** Records of requests that ended well, forgotten. */
  readonly forgotten: number
  /** Records given up for want of room, before it was known. */
  readonly evicted: number
}

interface KeptLine {
  readonly stream: AgentStream
  readonly line: string
}

interface Scope {
  lines: Fifo<KeptLine>
  bytes: number
  /** It has ended in an error: what it still logs is sent too. */
  isTriggered: boolean
}

/** A line's text, its place in a list, the piece of the list. UTF-16 is the most its characters take. */
const lineOverheadBytes = 64
const lineFeed = 10

export class FingersCrossed implements Keeping {
  readonly mask: number
  #sent = 0
  #forgotten = 0
  #evicted = 0
  #records = 0
  #bytes = 0
  readonly #triggerRank: number
  readonly #keep: number
  readonly #keepBytes: number
  readonly #storage: AsyncLocalStorage<unknown>
  readonly #scopes = new WeakMap<object, Scope>()
  /** Those that hold lines, the first first. */
  readonly #holding = new Set<Scope>()
  readonly #gone = new FinalizationRegistry<Scope>((scope) => this.#forget(scope))
  readonly #send: (stream: AgentStream, line: string) => void

  /**
   * @param send - Sends a line like any other.
   * @throws {@link SpillwayError} `SPW_OPTION_INVALID`
   */
  constructor(options: FingersCrossedOptions, send: (stream: AgentStream, line: string) => void) {
    const { trigger = 'error', level = 'debug', keep = crossedKeepRecords, keepBytes = crossedKeepBytes, scope } = options
    const lowest = checkedRank(level, 'fingersCrossed.level')
    this.#triggerRank = checkedRank(trigger, 'fingersCrossed.trigger')
    if (lowest >= this.#triggerRank)
      throw new SpillwayError('SPW_OPTION_INVALID', `fingersCrossed.level: expected a level below trigger (${trigger}), got "${level}"`)
    this.#keep = checkedCount(keep, 'fingersCrossed.keep', 'records')
    this.#keepBytes = checkedCount(keepBytes, 'fingersCrossed.keepBytes', 'bytes')
    if (scope !== undefined && typeof scope.getStore !== 'function')
      throw new SpillwayError('SPW_OPTION_INVALID', 'fingersCrossed.scope: expected an AsyncLocalStorage')
    this.#storage = scope ?? new AsyncLocalStorage<unknown>()
    this.#send = send
    this.mask = ((1 << this.#triggerRank) - 1) & ~((1 << lowest) - 1)
  }

  isKeeping(): boolean {
    return isObject(this.#storage.getStore())
  }

  /**
   * Runs `request` as a request of its own. When it throws, or the promise it returns is rejected, what was kept of it
   * is sent; when that promise is fulfilled, it is forgotten. Otherwise it goes on for as long as something runs in it.
   */
  run<T>(request: () => T): T {
    const store = {}
    return this.#storage.run(store, () => {
      let result: T
      try {
        result = request()
      } catch (error) {
        this.#trigger(store)
        throw error
      }
      if (isThenable(result)) {
        result.then(
          () => this.#forget(this.#scopes.get(store)),
          () => this.#trigger(store),
        )
      }
      return result
    })
  }

  /** Keeps a line of the request that is running; true when that has ended in an error already, and the line is to be sent. */
  keep(stream: AgentStream, line: string): boolean {
    const store = this.#storage.getStore()
    if (!isObject(store)) return false
    const scope = this.#scopeOf(store)
    if (scope.isTriggered) return true
    // pino puts a line together from pieces. Looked at like this it becomes one text, and the pieces are free.
    const isWhole = line.charCodeAt(line.length - 1) === lineFeed
    scope.lines.push({ stream, line: isWhole ? line : `${line}\n` })
    this.#holding.add(scope)
    this.#held(scope, 1, sizeOf(line))
    if (scope.lines.length > this.#keep) this.#dropOldest(scope)
    while (this.#bytes > this.#keepBytes || this.#holding.size > crossedScopesMax) this.#makeRoom()
    return false
  }

  #makeRoom(): void {
    const [first] = this.#holding
    if (first === undefined) return
    // A request that is alone drops its oldest lines; of several the first gives up everything.
    if (this.#holding.size === 1) return this.#dropOldest(first)
    this.#evicted += first.lines.length
    this.#empty(first)
  }

  #dropOldest(scope: Scope): void {
    const oldest = scope.lines.shift()
    if (oldest === undefined) return
    this.#evicted += 1
    this.#held(scope, -1, -sizeOf(oldest.line))
    if (scope.lines.length === 0) this.#holding.delete(scope)
  }

  /** A record is about to be sent as usual: if it is one that says a request has failed, what was kept goes before it. */
  passing(rank: number): void {
    if (rank < this.#triggerRank) return
    const store = this.#storage.getStore()
    if (isObject(store)) this.#trigger(store)
  }

  #trigger(store: object): void {
    const scope = this.#scopeOf(store)
    scope.isTriggered = true
    const { lines } = scope
    this.#sent += lines.length
    this.#empty(scope)
    for (const { stream, line } of lines) this.#send(stream, line)
  }

  #scopeOf(store: object): Scope {
    let scope = this.#scopes.get(store)
    if (scope === undefined) {
      scope = { lines: new Fifo(), bytes: 0, isTriggered: false }
      this.#scopes.set(store, scope)
      this.#gone.register(store, scope)
    }
    return scope
  }

  #forget(scope: Scope | undefined): void {
    if (scope === undefined) return
    this.#forgotten += scope.lines.length
    this.#empty(scope)
  }

  #empty(scope: Scope): void {
    this.#held(scope, -scope.lines.length, -scope.bytes)
    scope.lines = new Fifo()
    this.#holding.delete(scope)
  }

  #held(scope: Scope, records: number, bytes: number): void {
    scope.bytes += bytes
    this.#records += records
    this.#bytes += bytes
  }

  stats(): FingersCrossedStats {
    return {
      scopes: this.#holding.size,
      records: this.#records,
      bytes: this.#bytes,
      sent: this.#sent,
      forgotten: this.#forgotten,
      evicted: this.#evicted,
    }
  }
}

function sizeOf(line: string): number {
  return 2 * line.length + lineOverheadBytes
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return isObject(value) && 'then' in value && typeof value.then === 'function'
}

function checkedRank(level: unknown, name: string): Rank {
  const rank = typeof level === 'string' ? rankOfName(level) : undefined
  if (rank !== undefined) return rank
  throw new SpillwayError('SPW_OPTION_INVALID', `${name}: expected one of ${levels.join(', ')}, got ${JSON.stringify(level)?.slice(0, 80)}`)
}

function checkedCount(value: unknown, name: string, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `${name}: expected a whole number of ${what} from 1, got ${JSON.stringify(value)?.slice(0, 80)}`,
  )
}

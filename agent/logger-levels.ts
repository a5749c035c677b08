/**
 * The levels of pino loggers, opened further than the application set them, and closed again.
 *
 * pino decides once, when a logger's level is set, which of its methods do nothing. So a disabled call costs what it
 * costs without Spillway, and opening a level means deciding again for every logger. pino asks its `levelComparison`
 * for that, and `isLevelEnabled` asks it too: one composed here tells the truth, while `level` stays what was set.
 *
 *   comparison(level, threshold) = the application's own ‖ opened here
 *
 * Only loggers on which a level was set have methods of their own; the others inherit them. Those are found where pino
 * sets levels, a method of the logger itself, replaced on the first logger of a family and inherited by the rest. What
 * pino makes from options is first seen when one of its methods is called or a child is made; until then all its
 * methods lead here.
 */
import { rankOfNumber } from '../wire/level.ts'
import { loggersMax, loggersPerTurn } from '../wire/limits.ts'
import type { AgentRuntime } from './runtime.ts'

/** What a pino logger has under its own symbols and its levels' names. */
export type PinoLogger = object & Record<PropertyKey, unknown>

type Comparison = (level: number, threshold: number) => boolean
type LogMethod = (this: unknown, ...args: unknown[]) => void
type LogHook = (this: unknown, args: unknown[], method: LogMethod, level: number) => void

/** A comparison made here, with the application's own. */
interface Composed extends Comparison {
  own?: Comparison
}

/** Where one copy of pino keeps what is used here; a process may have several. */
interface PinoKeys {
  readonly comparison: symbol
  readonly threshold: symbol
  readonly setLevel: symbol
  /** pino's own. */
  readonly setLevelOf: (this: unknown, level: unknown) => void
  /** What stands in its place on the first logger of a family. */
  readonly setLevelHere: (this: PinoLogger, level: unknown) => void
}

/** The options that are composed; pino checks the others. */
interface LevelOptions {
  readonly levelComparison?: unknown
  readonly hooks?: unknown
  readonly onChild?: unknown
  readonly customLevels?: unknown
  readonly useOnlyCustomLevels?: unknown
}

/** What holds lines back until it is known whether they are wanted. */
export interface Keeping {
  /** A bit per rank. */
  readonly mask: number
  /** Whether a line logged now would be kept. */
  isKeeping(): boolean
}

const allRanks = 0b111111
const standardLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']
const sweepFrom = 1_024

export class LoggerLevels {
  /** Loggers there was no room to remember: they keep the levels they were made with. */
  unreached = 0
  readonly #runtime: Pick<AgentRuntime, 'afterThisTurn'>
  readonly #keys: PinoKeys[] = []
  /** A bit per rank that is open for everybody. */
  #mask = 0
  #keeping: Keeping = { mask: 0, isKeeping: () => false }
  /** On loggers that are remembered; cheaper than a set of them when there is one per request. */
  readonly #remembered = Symbol('spillway.remembered')
  readonly #loggers: WeakRef<PinoLogger>[] = []
  #sweepAt = sweepFrom
  #unreachedSinceSweep = 0
  /** Ranks of which some loggers have yet to be decided again, and the next of those. */
  #dueMask = 0
  #dueIndex = 0
  #isTurnAwaited = false
  /** pino is setting the level of a logger that is known here. */
  #isSetting = false

  constructor(runtime: Pick<AgentRuntime, 'afterThisTurn'>) {
    this.#runtime = runtime
  }

  /** Opens these ranks, and no others, on all loggers that are known and all to come. */
  open(mask: number): void {
    const changed = this.#mask ^ mask
    this.#mask = mask
    this.#decideAgain(changed)
  }

  keep(keeping: Keeping): void {
    const changed = this.#keeping.mask | keeping.mask
    this.#keeping = keeping
    this.#decideAgain(changed)
  }

  /** Whether a line was made only because its level was opened here. */
  isExtra(logger: PinoLogger, level: number): boolean {
    for (const keys of this.#keys) {
      const own = (logger[keys.comparison] as Composed | undefined)?.own
      if (own !== undefined) return !own(level, logger[keys.threshold] as number)
    }
    return false
  }

  /** The same options for pino, with what is needed here composed into them. */
  compose<T extends object>(options: T): T {
    const given: LevelOptions = options
    const own = comparisonOf(given.levelComparison)
    const hooks = given.hooks ?? {}
    // Not what pino takes: it says so itself.
    if (own === undefined || typeof hooks !== 'object') return options
    const creation = { left: 0 }
    const composed = this.#composed(own, creation)
    const levelCount = levelNames(given).size
    const setting = () => this.#isSetting
    const isKnown = (logger: PinoLogger) => this.#keys.some(({ setLevel, setLevelHere }) => logger[setLevel] === setLevelHere)
    const logMethod = 'logMethod' in hooks ? (hooks.logMethod as LogHook | undefined) : undefined
    const see = (logger: PinoLogger) => {
      creation.left = 0
      this.#see(logger)
    }
    const seeFirst: LogHook = function (args, method, level) {
      const logger = this as PinoLogger
      see(logger)
      if (!composed(level, logger['levelVal'] as number)) return
      if (logMethod === undefined) method.apply(this, args)
      else logMethod.call(this, args, method, level)
    }
    const onChild = given.onChild as ((this: unknown, child: unknown) => void) | undefined
    return {
      ...options,
      levelComparison: composed,
      hooks: {
        ...hooks,
        // pino reads it when it begins to set a logger's level, and at no other time.
        get logMethod() {
          if (setting()) return logMethod
          creation.left = levelCount
          // Whoever else reads it makes no logger.
          void Promise.resolve().then(() => {
            creation.left = 0
          })
          return seeFirst
        },
      },
      onChild(this: unknown, child: PinoLogger) {
        if (!isKnown(child)) see(child)
        onChild?.call(this, child)
      },
    }
  }

  /** @param creation - How many comparisons are still to come while a logger nobody has seen yet is made: all its methods are to lead here. */
  #composed(own: Comparison, creation: { left: number }): Composed {
    const composed: Composed = (level, threshold) => {
      if (creation.left > 0) {
        creation.left -= 1
        return true
      }
      return own(level, threshold) || this.#isOpen(level, threshold)
    }
    composed.own = own
    return composed
  }

  /** A logger that is silent was made so; nothing opens it. */
  #isOpen(level: number, threshold: number): boolean {
    const bit = 1 << rankOfNumber(level)
    if (threshold === Number.POSITIVE_INFINITY) return false
    if ((this.#mask & bit) !== 0) return true
    return (this.#keeping.mask & bit) !== 0 && (this.#isSetting || this.#keeping.isKeeping())
  }

  /** Makes a logger that was made elsewhere, and the children it will have, known. False for what is no pino logger. */
  attach(logger: PinoLogger): boolean {
    const keys = this.#keysOf(logger)
    if (keys === undefined) return false
    const comparison = logger[keys.comparison] as Composed
    if (comparison.own === undefined) logger[keys.comparison] = this.#composed(comparison, { left: 0 })
    this.#install(logger, keys)
    return true
  }

  /** Takes up a logger made from composed options, and the family it comes from. */
  #see(logger: PinoLogger): void {
    const keys = this.#keysOf(logger)
    if (keys === undefined) return
    for (let each: PinoLogger | null = logger; each !== null; each = Object.getPrototypeOf(each) as PinoLogger | null) {
      const isFirst = Object.hasOwn(each, keys.comparison)
      if (isFirst) this.#install(each, keys)
      else if (Object.hasOwn(each, keys.threshold)) this.#isSet(each, keys, allRanks)
      if (isFirst) return
    }
  }

  /** From here on every level that is set on the logger, or on a child of it, is seen. */
  #install(logger: PinoLogger, keys: PinoKeys): void {
    if (logger[keys.setLevel] === keys.setLevelHere) return
    logger[keys.setLevel] = keys.setLevelHere
    this.#isSet(logger, keys, allRanks)
  }

  #set(logger: PinoLogger, keys: PinoKeys, level: unknown): void {
    const before = this.#isSetting
    this.#isSetting = true
    try {
      keys.setLevelOf.call(logger, level)
    } finally {
      this.#isSetting = before
    }
  }

  /** A logger has methods of its own: remembers it, and decides them again for some ranks. */
  #isSet(logger: PinoLogger, keys: PinoKeys, ranks: number): void {
    if (ranks !== 0) this.#decide(logger, keys, ranks)
    else if (this.#keeping.mask !== 0) this.#guard(logger, keys, this.#keeping.mask)
    if (Object.hasOwn(logger, this.#remembered)) return
    if (this.#loggers.length >= this.#sweepAt && this.#unreachedSinceSweep === 0) this.#sweep()
    if (this.#loggers.length >= loggersMax) {
      this.unreached += 1
      // Looked at too often, they would be kept by the looking, and cost more than they are worth.
      this.#unreachedSinceSweep = (this.#unreachedSinceSweep + 1) % sweepFrom
      return
    }
    logger[this.#remembered] = true
    this.#loggers.push(new WeakRef(logger))
  }

  /** Forgets loggers that are gone: a program with a logger per request makes them without end. */
  #sweep(): void {
    let kept = 0
    for (const reference of this.#loggers) if (reference.deref() !== undefined) this.#loggers[kept++] = reference
    this.#loggers.length = kept
    this.#sweepAt = Math.min(Math.max(sweepFrom, 2 * kept), loggersMax)
    if (this.#dueMask !== 0) this.#dueIndex = 0
  }

  #decideAgain(ranks: number): void {
    if (ranks === 0) return
    this.#dueMask |= ranks
    this.#dueIndex = 0
    this.#decideSome()
  }

  /** A logger takes a microsecond or two; ten thousand at one go would hold the application. */
  #decideSome(): void {
    const end = Math.min(this.#dueIndex + loggersPerTurn, this.#loggers.length)
    for (; this.#dueIndex < end; this.#dueIndex += 1) {
      const logger = this.#loggers[this.#dueIndex]?.deref()
      const keys = logger && this.#keysOf(logger)
      if (keys !== undefined && logger !== undefined) this.#decide(logger, keys, this.#dueMask)
    }
    if (this.#dueIndex >= this.#loggers.length) this.#dueMask = 0
    else if (!this.#isTurnAwaited) {
      this.#isTurnAwaited = true
      this.#runtime.afterThisTurn(() => {
        this.#isTurnAwaited = false
        if (this.#dueMask !== 0) this.#decideSome()
      })
    }
  }

  /**
   * Has pino decide again, on a child nobody else sees, and takes over the methods of these ranks: what the application
   * put in the place of others stays, and nobody is told of a change of level that is none.
   */
  #decide(logger: PinoLogger, keys: PinoKeys, ranks: number): void {
    const trial = Object.create(logger) as PinoLogger
    trial['emit'] = nothing
    this.#set(trial, keys, logger['level'])
    for (const [name, level] of levelsOf(logger)) if ((ranks & (1 << rankOfNumber(level))) !== 0) logger[name] = trial[name]
    if ((this.#keeping.mask & ranks) !== 0) this.#guard(logger, keys, this.#keeping.mask & ranks)
  }

  /** What is open only so that lines can be kept does nothing where none would be. */
  #guard(logger: PinoLogger, keys: PinoKeys, ranks: number): void {
    const own = (logger[keys.comparison] as Composed).own
    const threshold = logger[keys.threshold] as number
    if (own === undefined || threshold === Number.POSITIVE_INFINITY) return
    for (const [name, level] of levelsOf(logger)) {
      if ((ranks & (1 << rankOfNumber(level))) === 0 || own(level, threshold)) continue
      logger[name] = this.#guarded(logger[name] as LogMethod, 1 << rankOfNumber(level))
    }
  }

  #guarded(method: LogMethod, bit: number): LogMethod {
    const levels = this
    return function (...args) {
      if ((levels.#mask & bit) !== 0 || levels.#keeping.isKeeping()) method.apply(this, args)
    }
  }

  #keysOf(logger: object): PinoKeys | undefined {
    const known = this.#keys.find(({ comparison }) => comparison in logger)
    if (known !== undefined) return known
    const found = findKeys(logger)
    if (found === undefined) return undefined
    const levels = this
    const keys: PinoKeys = {
      ...found,
      setLevelHere(this: PinoLogger, level) {
        levels.#set(this, keys, level)
        levels.#isSet(this, keys, 0)
      },
    }
    this.#keys.push(keys)
    return keys
  }
}

function nothing(): void {
  // A change of level that is none.
}

function levelsOf(logger: PinoLogger): [string, number][] {
  const { values } = logger['levels'] as { readonly values: Readonly<Record<string, number>> }
  return Object.entries(values)
}

/** Names a logger made from these options has methods for. */
function levelNames({ customLevels, useOnlyCustomLevels }: LevelOptions): Set<string> {
  const custom = customLevels !== null && typeof customLevels === 'object' ? Object.keys(customLevels) : []
  return new Set(useOnlyCustomLevels === true ? custom : [...standardLevels, ...custom])
}

/** As pino reads the option; undefined for what it does not take. */
function comparisonOf(option: unknown): Comparison | undefined {
  if (option === undefined || option === 'ASC') return (level, threshold) => level >= threshold
  if (option === 'DESC') return (level, threshold) => level <= threshold
  return typeof option === 'function' ? (option as Comparison) : undefined
}

function findKeys(logger: object): Omit<PinoKeys, 'setLevelHere'> | undefined {
  const keys = new Map<string | undefined, symbol>()
  let setLevelOf: unknown
  for (let object: object | null = logger; object !== null; object = Object.getPrototypeOf(object)) {
    for (const key of Object.getOwnPropertySymbols(object)) {
      keys.set(key.description, key)
      if (key.description === 'pino.setLevel') setLevelOf = (object as PinoLogger)[key]
    }
  }
  const [comparison, threshold, setLevel] = [keys.get('pino.levelComp'), keys.get('pino.levelVal'), keys.get('pino.setLevel')]
  if (comparison === undefined || threshold === undefined || setLevel === undefined || typeof setLevelOf !== 'function') return undefined
  return { comparison, threshold, setLevel, setLevelOf: setLevelOf as PinoKeys['setLevelOf'] }
}

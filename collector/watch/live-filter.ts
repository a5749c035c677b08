/** Which records a live page is shown: what stands behind `/api/v1/live?`. */
import { compileExpression, type Expression } from '../../wire/expression/expression.ts'
import { levels, rankOfName } from '../../wire/level.ts'
import { apiFilterValuesMax } from '../../wire/limits.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { parseTextSearch, type TextSearch } from '../../wire/text-search.ts'
import { encodeToken } from '../../wire/topic.ts'
import { ApiError } from '../http/api-error.ts'
import type { Query } from '../http/route.ts'
import type { LivePart } from './live-part.ts'

export class LiveFilter {
  /** To be subscribed to. */
  readonly prefixes: readonly string[]
  /** What applications are asked to make, such as `ask.debug.shop.`. */
  readonly asks: readonly string[]
  readonly #matchesTopic: (topic: string) => boolean
  readonly #rankMin: number
  readonly #services: ReadonlySet<string>
  readonly #grep: readonly TextSearch[]
  readonly #where: Expression | undefined

  /** @throws {@link ApiError} `bad_request`, `bad_expression` */
  constructor(query: Query) {
    const patterns = valuesOf(query, 'topic')
    const compiled = understood(() => compilePatterns(patterns.length === 0 ? ['log.>'] : patterns))
    this.prefixes = compiled.prefixes
    this.#matchesTopic = (topic) => compiled.matches(topic)
    const level = query.one('level')
    const rank = level === undefined ? 0 : rankOfName(level)
    if (rank === undefined) throw new ApiError('bad_request', `level: expected one of ${levels.join(', ')}, got ${shown(level ?? '')}`)
    this.#rankMin = rank
    const services = valuesOf(query, 'service')
    this.#services = new Set(services)
    this.#grep = valuesOf(query, 'grep').map((text) => understood(() => parseTextSearch(text, 'grep')))
    this.#where = readWhere(query)
    this.asks = readAsks(query, services)
  }

  /** Records the condition took too long for, and which were not shown for that reason. */
  get tooCostly(): number {
    return this.#where?.tooCostly ?? 0
  }

  /** By what is known without looking at a line. */
  mayMatch({ topic, level, service }: Pick<LivePart, 'topic' | 'level' | 'service'>): boolean {
    if (!this.#matchesTopic(topic)) return false
    if (this.#rankMin > 0 && level !== undefined && levels.indexOf(level) < this.#rankMin) return false
    return this.#services.size === 0 || this.#services.has(service)
  }

  /** Never throws. */
  matches(part: LivePart, index: number): boolean {
    if (this.#grep.length > 0) {
      const line = part.line(index)
      if (!this.#grep.some((search) => search.isIn(line))) return false
    }
    const where = this.#where
    return where === undefined || (where.lineFilter.mayMatch(part.line(index)) && where.matches(part.logRecord(index)))
  }
}

function valuesOf(query: Query, name: string): readonly string[] {
  const values = query.all(name)
  if (values.length <= apiFilterValuesMax) return values
  throw new ApiError('bad_request', `${name}: expected at most ${apiFilterValuesMax} of them, got ${values.length}`)
}

function readWhere(query: Query): Expression | undefined {
  const text = query.one('where')
  if (text === undefined) return undefined
  try {
    return compileExpression(text, 'where')
  } catch (error) {
    if (!(error instanceof SpillwayError)) throw error
    const column = /^where, column (\d+)/.exec(error.message)?.[1]
    throw new ApiError('bad_expression', error.message, column === undefined ? undefined : Number(column))
  }
}

function readAsks(query: Query, services: readonly string[]): readonly string[] {
  const ask = query.one('ask')
  if (ask === undefined) return []
  if (ask !== 'debug' && ask !== 'trace') throw new ApiError('bad_request', `ask: expected debug or trace, got ${shown(ask)}`)
  return services.length === 0 ? [`ask.${ask}.`] : services.map((service) => `ask.${ask}.${encodeToken(service)}.`)
}

function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof SpillwayError) throw new ApiError('bad_request', error.message)
    throw error
  }
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

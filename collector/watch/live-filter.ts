/** Which records a live page is shown: what stands behind `/api/v1/live?`. */
import type { Expression } from '../../wire/expression/expression.ts'
import { levels } from '../../wire/level.ts'
import type { TextSearch } from '../../wire/text-search.ts'
import { encodeToken } from '../../wire/topic.ts'
import { ApiError } from '../http/api-error.ts'
import { rankMinOf, searchesOf, shown, topicsOf, valuesOf, whereOf } from '../http/record-filter.ts'
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
    const { patterns } = topicsOf(query)
    this.prefixes = patterns.prefixes
    this.#matchesTopic = (topic) => patterns.matches(topic)
    this.#rankMin = rankMinOf(query)
    const services = valuesOf(query, 'service')
    this.#services = new Set(services)
    this.#grep = searchesOf(query)
    this.#where = whereOf(query)
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

function readAsks(query: Query, services: readonly string[]): readonly string[] {
  const ask = query.one('ask')
  if (ask === undefined) return []
  if (ask !== 'debug' && ask !== 'trace') throw new ApiError('bad_request', `ask: expected debug or trace, got ${shown(ask)}`)
  return services.length === 0 ? [`ask.${ask}.`] : services.map((service) => `ask.${ask}.${encodeToken(service)}.`)
}

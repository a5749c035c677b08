/** Reading what a request says about the records it wants: the same words for what comes and for what is in the files. */
import { compileExpression, type Expression } from '../../wire/expression/expression.ts'
import { levels, type Rank, rankOfName } from '../../wire/level.ts'
import { apiFilterValuesMax } from '../../wire/limits.ts'
import { type CompiledPatterns, compilePatterns } from '../../wire/pattern.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { parseTextSearch, type TextSearch } from '../../wire/text-search.ts'
import { ApiError } from './api-error.ts'
import type { Query } from './route.ts'

/** Every value of a name that may stand there several times. @throws {@link ApiError} */
export function valuesOf(query: Query, name: string): readonly string[] {
  const values = query.all(name)
  if (values.length <= apiFilterValuesMax) return values
  throw new ApiError('bad_request', `${name}: expected at most ${apiFilterValuesMax} of them, got ${values.length}`)
}

/** Log lines when nothing is said. */
export function topicsOf(query: Query): { readonly topics: readonly string[]; readonly patterns: CompiledPatterns } {
  const given = valuesOf(query, 'topic')
  const topics = given.length === 0 ? ['log.>'] : given
  return { topics, patterns: understood(() => compilePatterns(topics)) }
}

export function rankMinOf(query: Query): Rank {
  const level = query.one('level')
  const rank = level === undefined ? 0 : rankOfName(level)
  if (rank !== undefined) return rank
  throw new ApiError('bad_request', `level: expected one of ${levels.join(', ')}, got ${shown(level ?? '')}`)
}

export function searchesOf(query: Query): readonly TextSearch[] {
  return valuesOf(query, 'grep').map((text) => understood(() => parseTextSearch(text, 'grep')))
}

/** @throws {@link ApiError} `bad_expression`, with the column */
export function whereOf(query: Query): Expression | undefined {
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

function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof SpillwayError) throw new ApiError('bad_request', error.message)
    throw error
  }
}

export function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

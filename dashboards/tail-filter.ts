/** Which of the records that come a tail shows. */
import { compileExpression, type Expression } from '../wire/expression/expression.ts'
import type { Level } from '../wire/level.ts'
import { levels, rankOfName } from '../wire/level.ts'
import { parseTextSearch, type TextSearch } from '../wire/text-search.ts'
import type { TailRecord } from './tail-record.ts'

export interface FilterOptions {
  /** The line holds one of these; all do when there is none. */
  readonly grep: readonly string[]
  /** The line holds none of these. */
  readonly exclude: readonly string[]
  /** A condition; docs/QUERY.md. */
  readonly where?: string | undefined
}

export class RecordFilter {
  readonly #grep: readonly TextSearch[]
  readonly #exclude: readonly TextSearch[]
  readonly #where: Expression | undefined
  /** What was typed on the terminal; beside `--grep`, not instead of it. */
  #typed: TextSearch | undefined
  #rankMin = 0

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID`, `SPW_EXPRESSION_INVALID` */
  constructor({ grep, exclude, where }: FilterOptions) {
    this.#grep = grep.map((source) => parseTextSearch(source, '--grep'))
    this.#exclude = exclude.map((source) => parseTextSearch(source, '--exclude'))
    this.#where = where === undefined ? undefined : compileExpression(where, '--where')
  }

  /** Records for which the condition took too long, and which were therefore not shown. */
  get tooCostly(): number {
    return this.#where?.tooCostly ?? 0
  }

  /** Looks at the line as it was logged. Never throws. */
  matches(record: TailRecord): boolean {
    const { line, context } = record
    if (this.#rankMin > 0 && context.level !== undefined && levels.indexOf(context.level) < this.#rankMin) return false
    if (this.#grep.length > 0 && !this.#grep.some((search) => search.isIn(line))) return false
    if (this.#exclude.some((search) => search.isIn(line))) return false
    if (this.#typed !== undefined && !this.#typed.isIn(line)) return false
    return this.#where === undefined || (this.#where.lineFilter.mayMatch(line) && this.#where.matches(record.logRecord))
  }

  get typed(): string | undefined {
    return this.#typed?.source
  }

  /** @param source - Empty for none. @throws {@link SpillwayError} `SPW_OPTION_INVALID` */
  type(source: string): void {
    this.#typed = source === '' ? undefined : parseTextSearch(source, '/')
  }

  set level(level: Level) {
    this.#rankMin = rankOfName(level) ?? 0
  }
}

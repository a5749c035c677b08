/** Text to tree, with errors that point at the column. The grammar is the Common Expression Language's, and so is its parser. */
import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js'
import { expressionCharsMax, expressionDepthMax, expressionNodesMax } from '../limits.ts'
import { SpillwayError } from '../spillway-error.ts'

export type Node = ASTNode

/** Where something is wrong: characters from the start of the text. */
interface Place {
  readonly start: number
}

/** Reports what is wrong with a text. */
export class Complaints {
  readonly #text: string
  readonly #name: string

  /** @param name - What the text is, such as the flag it came with. */
  constructor(text: string, name: string) {
    this.#text = text
    this.#name = name
  }

  at(place: Place, message: string): SpillwayError {
    const before = this.#text.slice(0, place.start).split('\n')
    const column = (before.at(-1) ?? '').length + 1
    const line = this.#text.split('\n')[before.length - 1] ?? ''
    const where = before.length === 1 ? `column ${column}` : `line ${before.length}, column ${column}`
    return new SpillwayError('SPW_EXPRESSION_INVALID', `${this.#name}, ${where}: ${message}\n${pointed(line, column)}`)
  }
}

const shownCharsMax = 100

/** The line, or the part of it around the column, and a mark below. */
function pointed(line: string, column: number): string {
  const from = Math.max(0, Math.min(column - 1 - shownCharsMax / 2, line.length - shownCharsMax))
  // One column per character, whatever it is.
  const shown = [...line.slice(from, from + shownCharsMax)]
    .map((char) => (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(char) ? '?' : char))
    .join('')
  return `  ${shown}\n  ${' '.repeat(column - 1 - from)}^`
}

const environment = new Environment({
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  limits: {
    maxAstNodes: expressionNodesMax,
    maxDepth: expressionDepthMax,
    maxListElements: 1_000,
    maxMapEntries: 100,
    maxCallArguments: 8,
  },
})

/** @throws {@link SpillwayError} `SPW_EXPRESSION_INVALID` */
export function parseExpression(text: string, complaints: Complaints): Node {
  if (text.trim() === '') throw complaints.at({ start: 0 }, 'expected a condition such as res.statusCode >= 500, got nothing')
  if (text.length > expressionCharsMax)
    throw complaints.at({ start: expressionCharsMax }, `expected at most ${expressionCharsMax} characters, got ${text.length}`)
  try {
    return environment.parse(text).ast
  } catch (error) {
    if (error instanceof ParseError) throw complaints.at({ start: error.range?.start ?? 0 }, explained(error, text))
    // The parser's recursion, which its own limit does not cover for `!!!…`.
    if (error instanceof RangeError) throw complaints.at({ start: 0 }, 'nested too deeply')
    throw error
  }
}

const wordsForOperators: Readonly<Record<string, string>> = { and: '&&', or: '||', not: '!', is: '==', like: '.contains("…")' }

function explained(error: ParseError, text: string): string {
  const start = error.range?.start ?? 0
  const word = /^\w+/.exec(text.slice(start))?.[0].toLowerCase() ?? ''
  if (Object.hasOwn(wordsForOperators, word)) return `unexpected ${JSON.stringify(word)}; write ${wordsForOperators[word]}`
  const before = /(\w+)\s+$/.exec(text.slice(0, start))?.[1]?.toLowerCase() ?? ''
  if (Object.hasOwn(wordsForOperators, before))
    return `unexpected ${JSON.stringify(word)} after ${before}; write ${wordsForOperators[before]}`
  if (error.code === 'invalid_macro_argument') return 'expected a name for each element first, as in tags.exists(tag, tag == "slow")'
  if (error.code === 'limit_exceeded') return `too large: at most ${expressionNodesMax} parts, ${expressionDepthMax} deep, 1,000 in a list`
  if (start >= text.length) return 'the expression ends where a value or a closing bracket was expected'
  const char = text[start] ?? ''
  if (char === '=') return 'unexpected "="; write == to compare'
  if (char === '&' || char === '|') return `unexpected "${char}"; write ${char}${char}`
  if (char === '~') return 'unexpected "~"; write field.matches("…")'
  if (error.code === 'unexpected_character' || error.code === 'unexpected_token' || error.code === 'expected_token')
    return `unexpected ${JSON.stringify(word === '' ? char : word)}; expected an operator such as ==, >=, &&, or the end`
  return error.summary === '' ? 'not understood' : `${(error.summary[0] ?? '').toLowerCase()}${error.summary.slice(1)}`
}

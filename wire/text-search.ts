/**
 * What `--grep`, `--exclude`, `--highlight` and the `/` key take: a text, or a regular expression between slashes. The
 * latter is RE2's, in time linear in the line: a line is whatever somebody logged, and must not stop whoever looks at it.
 */
import { RE2JS, RE2JSException } from 're2js'
import { regularExpressionSizeMax } from './limits.ts'
import { SpillwayError } from './spillway-error.ts'

export interface TextRange {
  readonly from: number
  readonly to: number
}

export interface TextSearch {
  /** As it was typed. */
  readonly source: string
  isIn(text: string): boolean
  /** Where it stands in a text, in order, at most 100 places. */
  rangesIn(text: string): TextRange[]
}

const slashed = /^\/(.+)\/([a-z]*)$/s
const flagBits: Readonly<Record<string, number>> = { i: RE2JS.CASE_INSENSITIVE, s: RE2JS.DOTALL, m: RE2JS.MULTILINE }
const rangesMax = 100
const sourceCharsMax = 1_000

/**
 * @param source - `refused`, or `/refused|declined/i`. The flags are `i`, `m` and `s`.
 * @param flag - For the message.
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID`
 */
export function parseTextSearch(source: string, flag: string): TextSearch {
  if (source === '') throw wrong(flag, 'expected a text or a /regular expression/, got nothing')
  if (source.length > sourceCharsMax) throw wrong(flag, `expected at most ${sourceCharsMax} characters, got ${source.length}`)
  const [, pattern, flags = ''] = slashed.exec(source) ?? []
  return pattern === undefined ? textSearch(source) : expressionSearch(source, compiled(pattern, flags, flag))
}

function textSearch(source: string): TextSearch {
  return {
    source,
    isIn: (text) => text.includes(source),
    rangesIn: (text) => {
      const ranges: TextRange[] = []
      for (let at = text.indexOf(source); at !== -1 && ranges.length < rangesMax; at = text.indexOf(source, at + source.length))
        ranges.push({ from: at, to: at + source.length })
      return ranges
    },
  }
}

function expressionSearch(source: string, expression: RE2JS): TextSearch {
  return {
    source,
    isIn: (text) => expression.test(text),
    rangesIn: (text) => {
      const ranges: TextRange[] = []
      const matcher = expression.matcher(text)
      while (ranges.length < rangesMax && matcher.find()) {
        const [from, to] = [matcher.start(), matcher.end()]
        if (to > from) ranges.push({ from, to })
      }
      return ranges
    },
  }
}

function compiled(pattern: string, flags: string, flag: string): RE2JS {
  let bits = 0
  for (const letter of flags) {
    const bit = flagBits[letter]
    if (bit === undefined) throw wrong(flag, `unknown flag "${letter}" behind the regular expression; there are i, m and s`)
    bits |= bit
  }
  let expression: RE2JS
  try {
    expression = RE2JS.compile(pattern, bits)
  } catch (error) {
    if (!(error instanceof RE2JSException || error instanceof RangeError)) throw error
    const why = error instanceof RE2JSException ? error.message.replace(/^error parsing regexp: /, '') : 'nested too deeply'
    throw wrong(flag, `/${pattern.slice(0, 80)}/ is no regular expression here: ${why}`)
  }
  if (expression.programSize() > regularExpressionSizeMax)
    throw wrong(flag, `/${pattern.slice(0, 80)}/ is too large; write less repetition`)
  return expression
}

function wrong(flag: string, what: string): SpillwayError {
  return new SpillwayError('SPW_OPTION_INVALID', `${flag}: ${what}`)
}

/** The places of several searches in one text, joined where they overlap. */
export function joinedRanges(searches: readonly TextSearch[], text: string): TextRange[] {
  const all = searches.flatMap((search) => search.rangesIn(text))
  if (searches.length < 2) return all
  all.sort((a, b) => a.from - b.from)
  const joined: TextRange[] = []
  for (const range of all) {
    const last = joined.at(-1)
    if (last !== undefined && range.from <= last.to) joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, range.to) }
    else joined.push(range)
  }
  return joined
}

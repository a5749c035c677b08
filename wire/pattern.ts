/**
 * Patterns: what a subscriber wants. `*` stands for one token, a final `>` for zero or more.
 *
 * ZeroMQ filters at the publisher by byte prefix only. A list of patterns is therefore compiled to the smallest set
 * of prefixes that covers it, and an exact matcher for the receiver. Levels are a known set, so `log.*.checkout.>`
 * becomes six prefixes and nothing unwanted is sent; a `*` anywhere else ends the prefix.
 */
import { levels } from './level.ts'
import { topicBytesMax } from './limits.ts'
import { SpillwayError } from './spillway-error.ts'

export interface CompiledPatterns {
  /** Subscribe to these. None is a prefix of another; sorted. */
  readonly prefixes: readonly string[]
  /** Whether a topic is wanted; exact, where a prefix may let more through. Never throws. */
  matches(topic: string): boolean
}

const tokenShape = /^(?:[A-Za-z0-9_~-]+|\*|>)$/
const kindsWithLevel = new Set(['log', 'ask'])

/**
 * @param patterns - Such as `log.error.>`, `log.*.checkout.>`, `metric.>`; a missing final `.` of a full topic is added.
 * @throws {@link SpillwayError} `SPW_PATTERN_INVALID`
 */
export function compilePatterns(patterns: readonly string[]): CompiledPatterns {
  const parsed = patterns.map(parsePattern)
  return {
    prefixes: smallestCover(parsed.flatMap(prefixesOf)),
    matches: (topic) => parsed.some((tokens) => matchesTokens(tokens, topic)),
  }
}

function parsePattern(pattern: string): readonly string[] {
  const text = pattern.endsWith('.') ? pattern.slice(0, -1) : pattern
  const tokens = text.split('.')
  const wrong = tokens.findIndex((token, i) => !tokenShape.test(token) || (token === '>' && i < tokens.length - 1))
  if (wrong !== -1 || pattern.endsWith('>.') || text.length > topicBytesMax) {
    throw new SpillwayError(
      'SPW_PATTERN_INVALID',
      `pattern ${JSON.stringify(pattern.slice(0, 80))}: expected tokens of [A-Za-z0-9_-] or "*" separated by ".", with ">" only at the end, like log.error.> or log.*.checkout.>`,
    )
  }
  return tokens
}

function matchesTokens(pattern: readonly string[], topic: string): boolean {
  let start = 0
  for (const token of pattern) {
    if (token === '>') return true
    const end = topic.indexOf('.', start)
    if (end === -1) return false
    if (token !== '*' && (end - start !== token.length || !topic.startsWith(token, start))) return false
    start = end + 1
  }
  return start === topic.length
}

function prefixesOf(pattern: readonly string[]): string[] {
  let prefixes = ['']
  for (const [i, token] of pattern.entries()) {
    if (token === '>') return prefixes
    if (token !== '*') prefixes = prefixes.map((prefix) => `${prefix}${token}.`)
    // Only worth six subscriptions when something behind the level narrows them.
    else if (i === 1 && kindsWithLevel.has(pattern[0] ?? '') && narrowsAfter(pattern, i)) {
      prefixes = prefixes.flatMap((prefix) => levels.map((level) => `${prefix}${level}.`))
    } else return prefixes
  }
  return prefixes
}

function narrowsAfter(pattern: readonly string[], index: number): boolean {
  const next = pattern[index + 1]
  return next !== undefined && next !== '*' && next !== '>'
}

function smallestCover(prefixes: readonly string[]): string[] {
  // Sorted, a prefix stands directly before everything it covers.
  const cover: string[] = []
  for (const prefix of [...new Set(prefixes)].sort()) {
    const last = cover.at(-1)
    if (last === undefined || !prefix.startsWith(last)) cover.push(prefix)
  }
  return cover
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { levels } from '../../wire/level.ts'
import { topicBytesMax } from '../../wire/limits.ts'
import { compilePatterns } from '../../wire/pattern.ts'

/** The definition, word by word: `*` is one token, a final `>` is zero or more. */
function matchesNaively(pattern: readonly string[], topic: readonly string[]): boolean {
  const [wanted, ...wantedRest] = pattern
  if (wanted === undefined) return topic.length === 0
  if (wanted === '>') return true
  const [token, ...rest] = topic
  if (token === undefined) return false
  return (wanted === '*' || wanted === token) && matchesNaively(wantedRest, rest)
}

const token = fc.constantFrom('checkout', 'checkout2', 'check', 'a', 'b', '~2E', '~')
const level = fc.constantFrom(...levels)
const tail = fc.array(token, { maxLength: 3 })

const anyTopic: fc.Arbitrary<string[]> = fc.oneof(
  fc.tuple(fc.constantFrom('log', 'ask'), level, tail).map(([kind, name, rest]) => [kind, name, ...rest]),
  fc.tuple(fc.constantFrom('metric', 'sys'), token, tail).map(([kind, name, rest]) => [kind, name, ...rest]),
)

const anyPattern: fc.Arbitrary<string[]> = fc
  .tuple(
    fc.constantFrom('log', 'ask', 'metric', 'sys', '*'),
    fc.oneof(level, token, fc.constant('*')),
    fc.array(fc.oneof(token, fc.constant('*')), { maxLength: 3 }),
    fc.boolean(),
  )
  .chain(([kind, second, rest, isOpen]) => {
    const tokens = [kind, second, ...rest]
    // Cut anywhere, so that `>` is tried at every place.
    return fc.integer({ min: isOpen ? 0 : 1, max: tokens.length }).map((length) => [...tokens.slice(0, length), ...(isOpen ? ['>'] : [])])
  })

const anyPatterns = fc.array(anyPattern, { minLength: 1, maxLength: 4 })

function compile(patterns: readonly (readonly string[])[]): ReturnType<typeof compilePatterns> {
  return compilePatterns(patterns.map((tokens) => tokens.join('.')))
}

describe('matching', () => {
  test('agrees with the definition for every pattern and topic', () => {
    fc.assert(
      fc.property(anyPatterns, anyTopic, (patterns, topic) => {
        expect(compile(patterns).matches(`${topic.join('.')}.`)).toBe(patterns.some((pattern) => matchesNaively(pattern, topic)))
      }),
      { numRuns: 3_000 },
    )
  })

  test('every wanted topic is covered by a prefix', () => {
    fc.assert(
      fc.property(anyPatterns, anyTopic, (patterns, topic) => {
        const compiled = compile(patterns)
        const text = `${topic.join('.')}.`
        if (compiled.matches(text)) expect(compiled.prefixes.some((prefix) => text.startsWith(prefix))).toBe(true)
      }),
      { numRuns: 3_000 },
    )
  })

  test('no prefix is a prefix of another, and every one ends with a whole token', () => {
    fc.assert(
      fc.property(anyPatterns, (patterns) => {
        const { prefixes } = compile(patterns)
        expect(prefixes.length).toBeGreaterThan(0)
        for (const [i, one] of prefixes.entries()) {
          expect(one === '' || one.endsWith('.')).toBe(true)
          for (const [j, other] of prefixes.entries()) if (i !== j) expect(other.startsWith(one)).toBe(false)
        }
        expect(prefixes).toEqual([...prefixes].sort())
      }),
      { numRuns: 1_000 },
    )
  })

  test('a service whose name begins like another is never taken for it', () => {
    const { prefixes, matches } = compilePatterns(['log.error.checkout.>'])
    expect(prefixes).toEqual(['log.error.checkout.'])
    expect(matches('log.error.checkout.')).toBe(true)
    expect(matches('log.error.checkout.cart.')).toBe(true)
    expect(matches('log.error.checkout2.')).toBe(false)
    expect(matches('log.error.checkout2.cart.')).toBe(false)
    expect('log.error.checkout2.'.startsWith(prefixes[0] ?? '')).toBe(false)
  })

  test.each(['', 'log', 'log.error', 'log.error.checkout', '.', '..', 'log..checkout.'])(
    'matches a text that is no topic by its tokens only: %j',
    (text) => {
      expect(compilePatterns(['log.error.checkout.']).matches(text)).toBe(false)
    },
  )
})

describe('prefixes', () => {
  test('a level left open before a service becomes exactly the six levels', () => {
    expect(compilePatterns(['log.*.checkout.>']).prefixes).toEqual(levels.map((name) => `log.${name}.checkout.`).sort())
    expect(compilePatterns(['ask.*.checkout.']).prefixes).toHaveLength(levels.length)
  })

  test.each([
    [['log.>'], ['log.']],
    [['log.*.>'], ['log.']],
    [['log.*'], ['log.']],
    [['log.*.*.cart'], ['log.']],
    [['log.error.*.cart'], ['log.error.']],
    [['metric.*.http.>'], ['metric.']],
    [['>'], ['']],
    [['*.error.>'], ['']],
    [['log.error.>', 'log.>'], ['log.']],
    [['log.error.a.', 'log.error.a', 'log.error.a.>'], ['log.error.a.']],
    [
      ['metric.a.>', 'log.fatal.>'],
      ['log.fatal.', 'metric.a.'],
    ],
    [
      ['log.*.a.>', 'log.error.>'],
      ['log.debug.a.', 'log.error.', 'log.fatal.a.', 'log.info.a.', 'log.trace.a.', 'log.warn.a.'],
    ],
  ])('%j needs %j', (patterns, prefixes) => {
    expect(compilePatterns(patterns).prefixes).toEqual(prefixes)
  })

  test('no patterns want nothing', () => {
    const nothing = compilePatterns([])
    expect(nothing.prefixes).toEqual([])
    expect(nothing.matches('log.info.a.')).toBe(false)
  })
})

test.each([
  '',
  '.',
  'log..',
  'log.>.a',
  'log.>.',
  '>.>',
  'log.a*',
  'log.**',
  'log. a',
  'log.ü',
  'log.a>',
  'log.\n',
  'a'.repeat(topicBytesMax + 1),
])('refuses the pattern %j', (pattern) => {
  expect(() => compilePatterns(['log.>', pattern])).toThrow(expect.objectContaining({ code: 'SPW_PATTERN_INVALID' }))
})

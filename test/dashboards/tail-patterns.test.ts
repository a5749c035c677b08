import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tailPatterns } from '../../dashboards/tail-patterns.ts'
import { levels } from '../../wire/level.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import { logTopic, parseTopic } from '../../wire/topic.ts'

test('without a word, everything that is logged', () => {
  expect(tailPatterns({ patterns: [] })).toEqual(['log.>'])
})

test('what is not narrowed stays as it was written', () => {
  expect(tailPatterns({ patterns: ['metric.>', 'log.*.a.>'] })).toEqual(['metric.>', 'log.*.a.>'])
})

test.each([
  [{ patterns: ['metric.>'], level: 'warn' }, /nothing can match metric\.>/],
  [{ patterns: ['log.info.>'], level: 'warn' }, /nothing can match/],
  [{ patterns: ['log.*.a.>'], service: 'b' }, /nothing can match/],
  [{ patterns: [], level: 'loud' }, /--level: expected one of trace, debug, info, warn, error, fatal; got "loud"/],
])('%j cannot be meant', (filter, message) => {
  expect(() => tailPatterns(filter)).toThrow(message)
})

test('level and service in any case and with any letter', () => {
  expect(tailPatterns({ patterns: [], level: 'ERROR', service: 'my app' })).toEqual(['log.error.my~20app.>', 'log.fatal.my~20app.>'])
})

test('for any patterns, level and service: exactly the log topics that match them all', () => {
  const token = fc.constantFrom('*', 'a', 'b')
  const pattern = fc
    .tuple(fc.constantFrom('log', '*'), fc.array(fc.oneof(token, fc.constantFrom(...levels)), { maxLength: 3 }), fc.boolean())
    .filter(([, tokens, isOpen]) => tokens.length > 0 || isOpen)
    .map(([kind, tokens, isOpen]) => [kind, ...tokens, ...(isOpen ? ['>'] : [])].join('.'))
  const topics = levels.flatMap((level) =>
    ['a', 'b', 'c'].flatMap((service) => [logTopic(level, service), logTopic(level, service, 'a'), logTopic(level, service, 'x')]),
  )
  fc.assert(
    fc.property(
      fc.array(pattern, { minLength: 1, maxLength: 3 }),
      fc.option(fc.constantFrom(...levels), { nil: undefined }),
      fc.option(fc.constantFrom('a', 'c'), { nil: undefined }),
      (patterns, level, service) => {
        const asked = compilePatterns(patterns)
        const wanted = topics.filter((topic) => {
          const parts = parseTopic(topic)
          if (parts?.kind !== 'log' || !asked.matches(topic)) return false
          return (
            (level === undefined || levels.indexOf(parts.level) >= levels.indexOf(level)) &&
            (service === undefined || parts.service === service)
          )
        })
        let narrowed: string[]
        try {
          narrowed = tailPatterns({ patterns, level, service })
        } catch {
          expect(wanted).toEqual([])
          return
        }
        const got = compilePatterns(narrowed)
        expect(topics.filter((topic) => got.matches(topic))).toEqual(wanted)
        // Nothing is sent over the wire that the level rules out.
        if (level !== undefined && level !== 'trace') for (const prefix of got.prefixes) expect(prefix).toMatch(/^log\.\w+\./)
      },
    ),
    { numRuns: 2_000 },
  )
})

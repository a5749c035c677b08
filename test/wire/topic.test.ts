import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { levels } from '../../wire/level.ts'
import { topicBytesMax } from '../../wire/limits.ts'
import {
  checkTopic,
  decodeToken,
  encodeToken,
  isCutToken,
  isOtherTopic,
  isTopic,
  logTopic,
  metricTopic,
  otherTopic,
  parseTopic,
  sysTopic,
} from '../../wire/topic.ts'
import { anyLevel, anyName } from './arbitrary-names.ts'

const tokenBytesMax = 100

/** What the token would be if there were no limit. */
function uncutToken(name: string): string {
  if (name === '') return '~'
  return [...Buffer.from(name, 'utf8')]
    .map((byte) => {
      const char = String.fromCharCode(byte)
      return /[A-Za-z0-9_-]/.test(char) ? char : `~${byte.toString(16).toUpperCase().padStart(2, '0')}`
    })
    .join('')
}

describe('tokens', () => {
  test.each([
    ['checkout', 'checkout'],
    ['', '~'],
    ['a.b', 'a~2Eb'],
    ['~', '~7E'],
    ['/', '~2F'],
    ['über', '~C3~BCber'],
    ['~other', '~7Eother'],
    ['日', '~E6~97~A5'],
    ['__proto__', '__proto__'],
    ['line\nfeed', 'line~0Afeed'],
  ])('writes the name %j as %s and reads it back', (name, token) => {
    expect(encodeToken(name)).toBe(token)
    expect(decodeToken(token)).toBe(name)
  })

  test('any name that fits is read back as it was', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const token = encodeToken(name)
        if (uncutToken(name).length > tokenBytesMax) expect(isCutToken(token)).toBe(true)
        else {
          expect(token).toBe(uncutToken(name))
          expect(decodeToken(token)).toBe(name)
          expect(isCutToken(token)).toBe(false)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('a token never exceeds its limit, whatever the limit', () => {
    fc.assert(
      fc.property(anyName, fc.integer({ min: 12, max: 100 }), (name, bytesMax) => {
        const token = encodeToken(name, bytesMax)
        expect(token.length).toBeLessThanOrEqual(bytesMax)
        expect(isTopic(`${token}.`)).toBe(true)
        expect(isCutToken(token)).toBe(uncutToken(name).length > bytesMax)
      }),
      { numRuns: 1_000 },
    )
  })

  test('different names have different tokens', () => {
    fc.assert(
      fc.property(anyName, anyName, (one, other) => {
        expect(encodeToken(one) === encodeToken(other)).toBe(one === other)
      }),
      { numRuns: 1_000 },
    )
  })

  test('long names that differ only at the end have different tokens', () => {
    const tokens = new Set<string>()
    for (let i = 0; i < 5_000; i += 1) tokens.add(encodeToken(`${'long/name/'.repeat(40)}${i}`))
    expect(tokens.size).toBe(5_000)
  })

  test('a cut never splits an escape', () => {
    for (let letters = 0; letters < 6; letters += 1) {
      const token = encodeToken(`${'a'.repeat(letters)}${'/'.repeat(200)}`)
      expect(token).toMatch(/^a*(?:~2F)+~[g-v]{10}$/)
    }
  })

  test('half a surrogate pair has no UTF-8 form and becomes the replacement character', () => {
    expect(decodeToken(encodeToken('a\ud800b'))).toBe('a\ufffdb')
  })

  test('a name of 4 MiB is cut in less than a second', () => {
    const name = 'é'.repeat(2 * 1_048_576)
    const startedAtMs = performance.now()
    expect(isCutToken(encodeToken(name))).toBe(true)
    expect(performance.now() - startedAtMs).toBeLessThan(1_000)
  })
})

describe('topics', () => {
  test('any level, service and name make a topic that is read back', () => {
    fc.assert(
      fc.property(anyLevel, anyName, fc.option(anyName, { nil: undefined }), (level, service, name) => {
        const topic = logTopic(level, service, name)
        expect(isTopic(topic)).toBe(true)
        expect(topic.length).toBeLessThanOrEqual(topicBytesMax)
        const parts = parseTopic(topic)
        expect(parts).toMatchObject({ kind: 'log', level })
        if (parts?.kind !== 'log') return
        if (uncutToken(service).length <= tokenBytesMax) expect(parts.service).toBe(service)
        if (name === undefined) expect(parts.name).toBeUndefined()
        else if (!isCutToken(topic.split('.')[3] ?? '')) expect(parts.name).toBe(name)
      }),
      { numRuns: 1_000 },
    )
  })

  test('metric and sys topics are read back', () => {
    fc.assert(
      fc.property(anyName, anyName, fc.constantFrom('manifest' as const, 'loss' as const), (service, group, subject) => {
        for (const topic of [metricTopic(service, group), sysTopic(service, subject)]) expect(isTopic(topic)).toBe(true)
        if (uncutToken(service).length > tokenBytesMax) return
        expect(parseTopic(sysTopic(service, subject))).toEqual({ kind: 'sys', service, subject })
        if (uncutToken(group).length <= topicBytesMax - tokenBytesMax - 'metric...'.length) {
          expect(parseTopic(metricTopic(service, group))).toEqual({ kind: 'metric', service, group })
        }
      }),
    )
  })

  test('different names never share a topic', () => {
    const record = fc.tuple(anyLevel, anyName, fc.option(anyName, { nil: undefined }))
    fc.assert(
      fc.property(record, record, (one, other) => {
        const isSame = one.every((part, i) => part === other[i])
        expect(logTopic(...one) === logTopic(...other)).toBe(isSame)
      }),
      { numRuns: 1_000 },
    )
  })

  test('a logger without a name and one with the empty name are two topics', () => {
    expect(logTopic('info', 'shop')).toBe('log.info.shop.')
    expect(logTopic('info', 'shop', '')).toBe('log.info.shop.~.')
  })

  test('the surplus topic of an origin is a topic, and no name can be mistaken for it', () => {
    fc.assert(
      fc.property(anyLevel, anyName, anyName, (level, service, name) => {
        const other = otherTopic(logTopic(level, service, name))
        expect(isTopic(other)).toBe(true)
        expect(other).toBe(otherTopic(logTopic(level, service)))
        expect(logTopic(level, service, name)).not.toBe(other)
        expect(isTopic(otherTopic(metricTopic(service, name)))).toBe(true)
      }),
    )
    expect(otherTopic(logTopic('warn', 'shop', 'cart'))).toBe('log.warn.shop.~other.')
    expect(otherTopic(metricTopic('shop', 'http'))).toBe('metric.shop.~other.')
    expect(
      [otherTopic(logTopic('warn', 'shop')), logTopic('warn', 'shop', '~other'), logTopic('warn', 'shop', 'other')].map(isOtherTopic),
    ).toEqual([true, false, false])
    expect(logTopic('warn', 'shop', '~other')).toBe('log.warn.shop.~7Eother.')
  })

  test.each([
    '',
    '.',
    'log',
    'log..',
    'log.info.a b.',
    'log.info.a',
    'log.info.a~.',
    'log.info.a~2.',
    'log.info.a~2e.',
    'log.info.~gg.',
    'log.info.~abc.',
    'log.info.~othera.',
    'log.*.shop.',
    'log.>',
    'log.info.shop.\n',
    'log.info.sh\u0000p.',
    'log.info.ü.',
    `${'a'.repeat(topicBytesMax)}.`,
  ])('refuses %j', (text) => {
    expect(isTopic(text)).toBe(false)
    expect(parseTopic(text)).toBeUndefined()
    expect(() => checkTopic(text)).toThrow(expect.objectContaining({ code: 'SPW_TOPIC_INVALID', retryable: false }))
  })

  test('takes a topic of exactly the limit', () => {
    const text = `${'a'.repeat(topicBytesMax - 1)}.`
    expect(checkTopic(text)).toBe(text)
  })

  test.each([
    'log.loud.shop.',
    'log.info.',
    'log.info.shop.cart.more.',
    'metric.shop.',
    'sys.shop.rumour.',
    'metric.shop.http.p99.',
    'news.a.b.',
  ])('knows no meaning for the topic %s', (text) => {
    expect(isTopic(text)).toBe(true)
    expect(parseTopic(text)).toBeUndefined()
  })

  test('the refusal of a topic repeats at most 80 characters of it', () => {
    expect(() => checkTopic('x'.repeat(100_000))).toThrow(/^.{1,300}$/)
  })

  test('no text makes the reader throw', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 250 }),
      fc
        .array(fc.constantFrom('log', 'sys', 'metric', ...levels, '.', '~', '~2E', '~FF', 'g', '__proto__'), { maxLength: 12 })
        .map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (candidate) => {
        const parts = parseTopic(candidate)
        if (parts !== undefined) expect(isTopic(candidate)).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })
})

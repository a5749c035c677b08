/** What any name or text becomes on the wire, read back by a parser of the tests' own in both ways servers read it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  floatText,
  hashOf,
  integerText,
  measurementText,
  nameCharsMax,
  nameText,
  stringText,
  tagText,
} from '../../../collector/sinks/influx/line-protocol.ts'
import { firstSlotOf, pointTime, timeMsOf } from '../../../collector/sinks/influx/point-time.ts'
import { TagGuard } from '../../../collector/sinks/influx/tag-guard.ts'
import { parseLines } from './parse-line-protocol.ts'

/** Everything that means something to some parser, and plain letters beside it. */
const hostile = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'\\,= "\n\r\t\0#\'`ab1\u0085\u2028ü😀i') }),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\\', 'a\\', 'a\\\\', '\\,b=1 c=2 3', '"', '\\"', 'x\nlogs f=1 2', '#', ' ', 'é\ud800'),
)
const name = hostile.filter((text) => nameText(text) !== '')

/** What a name is meant to be read back as. */
function plainName(text: string): string {
  return [...nameText(text).matchAll(/\\([,= ])|([\s\S])/gu)].map(([, escaped, plain]) => escaped ?? plain).join('')
}

describe.each(['pairs', 'specials'] as const)('read by a server that takes a backslash with %s', (escapes) => {
  test('one line is one point, with the tags, fields and time that were meant, whatever their names and texts', () => {
    fc.assert(
      fc.property(
        name,
        fc.array(fc.tuple(name, name), { maxLength: 4 }),
        fc.array(fc.tuple(name, hostile), { minLength: 1, maxLength: 4 }),
        (measurement, tags, fields) => {
          const tagsText = tags.map(([key, value]) => tagText(key, value)).join('')
          const fieldsText = fields.map(([key, value]) => `${nameText(key)}=${stringText(value)}`).join(',')
          const line = `${measurementText(measurement)}${tagsText} ${fieldsText} 1700000000000000001`
          const points = parseLines(line, escapes)
          expect(points).toHaveLength(1)
          const [point] = points
          expect(point?.measurement).toBe(plainName(measurement).replace(/^#/, '_'))
          expect(point?.tags).toEqual(tags.map(([key, value]) => [plainName(key), plainName(value)]))
          expect(point?.fields.map(([key]) => key)).toEqual(fields.map(([key]) => plainName(key)))
          expect(point?.time).toBe(1_700_000_000_000_000_001n)
          // A text is what it was, but for its control characters.
          for (const [i, [, text]] of fields.entries()) if (!/\p{Cc}/u.test(text)) expect(point?.fields[i]?.[1]).toBe(text)
        },
      ),
      { numRuns: 3_000 },
    )
  })

  test('numbers come back exactly, and what is no number is no field', () => {
    fc.assert(
      fc.property(fc.double(), fc.maxSafeInteger(), (float, integer) => {
        const text = floatText(float)
        if (Number.isFinite(float)) expect(parseLines(`m f=${text} 1`, escapes)[0]?.fields[0]?.[1]).toBe(float + 0)
        else expect(text).toBeUndefined()
        expect(parseLines(`m f=${integerText(integer)} 1`, escapes)[0]?.fields[0]?.[1]).toBe(BigInt(integer))
      }),
    )
    expect(integerText(2 ** 53)).toBeUndefined()
    expect(integerText(1.5)).toBeUndefined()
  })
})

test('control characters in a text are written as JSON writes them, so that no server sees the end of a line', () => {
  expect(stringText('a\nb\r\tc\0')).toBe('"a\\\\nb\\\\r\\\\tc\\\\u0000"')
})

test('long names are cut to a bound, and two that differ behind it stay two', () => {
  const [a, b] = ['x'.repeat(500), `${'x'.repeat(499)}y`].map(nameText)
  expect(a?.length).toBe(nameCharsMax)
  expect(b?.length).toBe(nameCharsMax)
  expect(a).not.toBe(b)
})

describe('the time of a point', () => {
  test('two records of one stream never share one, however many there are in a millisecond, and a repeated one has the same', () => {
    const origin = 'abcdefghijklmnop'
    const slot = firstSlotOf(origin, 'log.info.shop.')
    const times = new Set(Array.from({ length: 100_000 }, (_, seq) => pointTime(1_700_000_000_123, slot, seq)))
    expect(times.size).toBe(100_000)
    expect(pointTime(1_700_000_000_123.9, slot, 7)).toBe(pointTime(1_700_000_000_123, slot, 7))
  })

  test('is the millisecond with six digits behind it, also before 1970', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -9_000_000_000_000, max: 9_000_000_000_000 }),
        fc.nat(999_999),
        fc.maxSafeInteger(),
        (ms, slot, seq) => {
          const time = BigInt(pointTime(ms, slot, Math.abs(seq)))
          expect(time).toBe(BigInt(ms) * 1_000_000n + ((BigInt(slot) + (BigInt(Math.abs(seq)) % 1_000_000n)) % 1_000_000n))
          expect(BigInt.asIntN(64, time)).toBe(time)
        },
      ),
    )
  })

  test.each([
    [1_700_000_000_123, 1_700_000_000_123],
    [1_700_000_000, 1_700_000_000_000],
    [1_700_000_000.5, 1_700_000_000_500],
    [1_700_000_000_123_456, 1_700_000_000_123.456],
    [1.7e18, 1_700_000_000_000],
    ['2023-11-14T22:13:20.123Z', 1_700_000_000_123],
    ['no date', undefined],
    [Number.NaN, undefined],
    [-1, undefined],
    [1e30, undefined],
    [{}, undefined],
    [undefined, undefined],
  ])('of a line that says %j is %j', (said, meant) => {
    const ms = timeMsOf(said)
    if (meant === undefined) expect(ms).toBeUndefined()
    else expect(ms).toBeCloseTo(meant, 1)
  })
})

test('a tag keeps its first values; others become one, are counted, and said once', () => {
  const full: string[] = []
  const guard = new TagGuard(2, (tag) => full.push(tag))
  expect(['a', 'b', 'c', 'a', 'd'].map((value) => guard.value('user', value))).toEqual(['a', 'b', '~other', 'a', '~other'])
  expect(guard.value('host', 'c')).toBe('c')
  expect(guard.folded).toBe(2)
  expect(full).toEqual(['user'])
})

test('the hash is FNV-1a', () => {
  expect(hashOf('')).toBe(0x811c9dc5)
  expect(hashOf('foobar')).toBe(0xbf9cf968)
})

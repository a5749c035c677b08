import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatBytes, formatCount, formatDuration, parseBytes, parseDuration, requireDuration } from '../../wire/quantity.ts'

test.each([
  ['0', 0],
  ['512', 512],
  ['1kB', 1_000],
  ['1KB', 1_000],
  ['1 KiB', 1_024],
  ['100MiB', 100 * 1_048_576],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['2TiB', 2 * 2 ** 40],
])('reads %j as a size of %d bytes', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes)
})

test.each([
  ['200ms', 200],
  ['0s', 0],
  ['10s', 10_000],
  ['1.5m', 90_000],
  ['2h', 7_200_000],
  ['14d', 14 * 86_400_000],
])('reads %j as %d ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
  expect(requireDuration(text, '--since')).toBe(ms)
})

test.each([
  '',
  'MiB',
  '-1MiB',
  '1 2',
  '1mib',
  '1e3',
  '0x10',
  '1.',
  '.5s',
  '999999999999TiB',
  '1constructor',
  '1__proto__',
  'NaNms',
  '1,5s',
  '10s\n5',
])('refuses %j as a size and as a duration', (text) => {
  expect(parseBytes(text)).toBeUndefined()
  expect(parseDuration(text)).toBeUndefined()
})

test('a duration needs its unit, and a flag that lacks it says what it takes', () => {
  expect(parseDuration('200')).toBeUndefined()
  expect(() => requireDuration('200', '--since')).toThrow(/^--since: expected a duration such as 500ms, 10s or 5m, got "200"$/)
  expect(() => requireDuration('soon', '--since')).toThrow(expect.objectContaining({ code: 'SPW_OPTION_INVALID' }))
})

test('a count is written with its thousands apart, as English does', () => {
  expect([0, 7, 999, 1_000, 1_204, 1_048_576, Number.MAX_SAFE_INTEGER].map(formatCount)).toEqual([
    '0',
    '7',
    '999',
    '1,000',
    '1,204',
    '1,048,576',
    '9,007,199,254,740,991',
  ])
  fc.assert(fc.property(fc.maxSafeNat(), (count) => formatCount(count) === count.toLocaleString('en')))
})

test('no text makes the readers throw, and what they read is a whole number', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{0,14}(\.\d{0,7})? ?[A-Za-z]{0,4}$/)), (text) => {
      for (const value of [parseBytes(text), parseDuration(text)]) if (value !== undefined) expect(Number.isSafeInteger(value)).toBe(true)
    }),
    { numRuns: 1_000 },
  )
})

test.each([
  [0, '0 B'],
  [1_023, '1,023 B'],
  [1_024, '1 KiB'],
  [1_536, '1.5 KiB'],
  [512 * 2 ** 20, '512 MiB'],
  [2 ** 30 - 1, '1,024 MiB'],
  [5_000 * 2 ** 40, '5,000 TiB'],
])('writes %d bytes as %j', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text)
})

test.each([
  [0, '0 ms'],
  [20.4, '20 ms'],
  [999.6, '1 s'],
  [1_500, '1.5 s'],
  [60_000, '1 min'],
  [3_599_999, '59 min'],
  [12_000_000, '3 h 20 min'],
  [2 * 86_400_000 + 4 * 3_600_000, '2 d 4 h'],
])('writes %d ms as %j', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type RecordFormatOptions, recordFormat } from '../../dashboards/record-format.ts'
import { painted } from '../../dashboards/styled-text.ts'
import { type RecordContext, TailRecord } from '../../dashboards/tail-record.ts'

const timeMs = new Date(2026, 0, 2, 3, 4, 5, 6).getTime()
const context: RecordContext = { topic: 'log.info.shop.', service: 'shop', level: 'info', name: undefined, timeMs }
const options: RecordFormatOptions = { form: 'people', time: 'local', highlights: [] }

/** As it stands on a terminal, one string per row joined by LF. */
function formatted(line: unknown, more: Partial<RecordContext> = {}, hasColour = false, other: Partial<RecordFormatOptions> = {}): string {
  const text = typeof line === 'string' ? line : JSON.stringify(line)
  const rows = recordFormat({ ...options, ...other })(new TailRecord(text, { ...context, ...more }))
  return rows.map((row) => painted(row, hasColour)).join('\n')
}
const shown = (line: unknown, more: Partial<RecordContext> = {}) => formatted(line, more)

test.each([
  [
    'message and fields',
    { level: 30, time: timeMs, msg: 'hello', a: 1, b: 'x y', c: 'z' },
    '03:04:05.006 INFO  shop hello a=1 b="x y" c=z',
  ],
  ['another key for the message', { message: 'hello' }, '03:04:05.006 INFO  shop hello'],
  ['no message', { a: null, b: true }, '03:04:05.006 INFO  shop a=null b=true'],
  ['a message that is no text', { msg: { a: [1] } }, '03:04:05.006 INFO  shop {"a":[1]}'],
  [
    'values that could be mistaken',
    { empty: '', quote: 'a"b', equals: 'a=b' },
    '03:04:05.006 INFO  shop empty="" quote="a\\"b" equals="a=b"',
  ],
  ['a time as text', { time: new Date(timeMs + 1).toISOString(), msg: 'm' }, '03:04:05.007 INFO  shop m'],
  ['a time that is none', { time: 'yesterday', msg: 'm' }, '03:04:05.006 INFO  shop m'],
  ['a time beyond dates', { time: 1e300, msg: 'm' }, '03:04:05.006 INFO  shop m'],
  ['text that is no JSON', 'plain text', '03:04:05.006 INFO  shop plain text'],
  ['JSON that is no object', '42', '03:04:05.006 INFO  shop 42'],
])('%s', (_what, line, expected) => expect(shown(line)).toBe(expected))

test('a logger stands behind its service', () => {
  expect(shown({ name: 'db', msg: 'm' }, { name: 'db', level: 'fatal' })).toBe('03:04:05.006 FATAL shop/db m')
})

test('stacks stand below, one for each error, and not in the line', () => {
  const text = shown({
    msg: 'failed',
    err: { type: 'E', message: 'x', stack: 'E: x\n    at a\n    at b' },
    cause: { stack: 'C: y\n    at c' },
    fake: { stack: 7 },
  })
  expect(text.split('\n')).toEqual([
    '03:04:05.006 INFO  shop failed err={"type":"E","message":"x"} cause={} fake={"stack":7}',
    '    E: x',
    '        at a',
    '        at b',
    '    C: y',
    '        at c',
  ])
})

test('a value without end is cut, and one can see that it was', () => {
  const text = shown({ msg: 'm', huge: 'x'.repeat(60_000) })
  expect(text.length).toBeLessThan(2_200)
  expect(text.endsWith('… 58,000 more characters')).toBe(true)
})

test('keys that mean something to JavaScript are data', () => {
  expect(shown('{"msg":"m","__proto__":{"a":1},"constructor":2}')).toBe('03:04:05.006 INFO  shop m __proto__={"a":1} constructor=2')
})

test('colour only when asked for, and only its own', () => {
  const plain = formatted('{"msg":"m","a":1}')
  const coloured = formatted('{"msg":"m","a":1}', {}, true)
  expect(plain).not.toContain('\u001b')
  expect(coloured).toContain('\u001b[32m')
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g')
  expect(coloured.replaceAll(escapes, '')).toBe(plain)
})

test('any line at all becomes text without control characters, in as many lines as it has stacks', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.json({ stringUnit: 'binary' }), fc.string({ unit: 'binary' })),
      fc.string({ unit: 'binary' }),
      (line, service) => {
        const text = formatted(line, { service })
        if (!line.includes('stack')) expect(text).not.toContain('\n')
        expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
      },
    ),
    { numRuns: 1_000 },
  )
})

import { describe, expect, test } from 'vitest'
import { compileExpression } from '../../../wire/expression/expression.ts'
import { recordOf } from '../../../wire/expression/log-record.ts'
import { levels } from '../../../wire/level.ts'
import { expressionCharsMax } from '../../../wire/limits.ts'
import { SpillwayError } from '../../../wire/spillway-error.ts'

const timeMs = Date.UTC(2026, 4, 31, 18, 5, 7, 250)
const line = JSON.stringify({
  level: 50,
  time: timeMs,
  pid: 7,
  hostname: 'web-1',
  req: { method: 'POST', url: '/pay/7?x=1', headers: { 'x-id': 'a"b' } },
  res: { statusCode: 503 },
  responseTime: 12.5,
  tags: ['slow', 'paid'],
  items: [
    { sku: 'a', price: 5 },
    { sku: 'b', price: 15 },
  ],
  user: null,
  ok: true,
  err: { type: 'Error', message: 'card refused' },
  msg: 'request fäiled 😀',
})
const record = recordOf(line, { topic: 'log.error.checkout.', service: 'checkout', level: 'error' })
const bare = recordOf('{"level":30,"time":1,"msg":"open"}', { topic: 'log.info.checkout.', service: 'checkout', level: 'info' })

function complaint(text: string): string {
  try {
    compileExpression(text, '--where')
  } catch (error) {
    expect(error).toBeInstanceOf(SpillwayError)
    expect((error as SpillwayError).code).toBe('SPW_EXPRESSION_INVALID')
    return (error as SpillwayError).message
  }
  throw new Error(`${text} was taken`)
}

describe('a condition', () => {
  test.each([
    'res.statusCode >= 500',
    '500 <= res.statusCode',
    'res.statusCode == 503 && req.method == "POST"',
    'res.statusCode / 100 > 5',
    'responseTime * 2 == 25',
    'responseTime + 0.5 == 13 && -responseTime < 0 && responseTime % 2 == 0.5',
    'level == "error"',
    'level >= "warn" && level < "fatal" && "warn" <= level && level != "info"',
    'level in ["error", "fatal"]',
    'record.level == 50',
    'service == "checkout" && topic == "log.error.checkout." && host == "web-1"',
    'topic.startsWith("log.error.")',
    'time >= timestamp("2026-05-31T18:00:00Z") && time < timestamp("2026-05-31T18:00:00Z") + duration("1h")',
    'time - timestamp("2026-05-31T18:00:00Z") > duration("5m7s")',
    'time.getHours() == 18 && time.getMinutes() == 5 && time.getMonth() == 4 && time.getDate() == 31 && time.getFullYear() == 2026',
    'has(res.statusCode) && has(req.headers) && !has(res.body) && !has(nothing.at.all)',
    'has(err) && !has(error) && has(record.err) && has(user)',
    'user == null && ok == true && ok',
    'tags.exists(t, t == "slow") && "paid" in tags && !("x" in tags) && tags[0] == "slow"',
    'items.exists(i, i.price > 10) && !items.all(i, i.price > 10) && items.exists_one(i, i.sku == "a")',
    'items.filter(i, i.price > 10).size() == 1 && items.map(i, i.sku) == ["a", "b"]',
    'items.map(i, i.price > 10, i.sku) == ["b"]',
    'req.headers["x-id"] == "a\\"b" && req["method"] == \'POST\'',
    'msg.contains("fäiled") && msg.startsWith("request") && msg.endsWith("😀") && msg.size() == 16',
    'msg.matches("^req.*f.iled") && msg.matches("(?i)FÄILED") && !msg.matches("^failed")',
    'req.url.indexOf("7") == 5 && req.url.substring(1, 4) == "pay" && req.url.substring(5) == "7?x=1"',
    'req.method.lowerAscii() == "post" && " a ".trim() + "b" == "ab"',
    '(ok ? "yes" : "no") == "yes"',
    'string(res.statusCode).startsWith("5") && int("7") == 7 && double("1.5") == 1.5 && int(7.9) == 7',
    'size(req) == 3 && size(tags) == 2',
    '{"a": 1}.a == 1 && "a" in {"a": 1}',
    'nothing.at.all == 1 || ok',
    'ok || nothing.at.all == 1',
    '!(nothing == 1 && !ok)',
    'res.statusCode != "503"',
    'err.message != err.type',
    'res.statusCode >= 500 // as a comment',
    'record.req == {"method": "POST", "url": "/pay/7?x=1", "headers": {"x-id": "a\\"b"}}',
    '0x1F7 == res.statusCode',
  ])('%s is met', (text) => {
    const expression = compileExpression(text)
    expect(expression.evaluate(record)).toBe(true)
    expect(expression.matches(record)).toBe(true)
    // What looks at the text first says so too.
    expect(expression.lineFilter.mayMatch(line)).toBe(true)
    expect(expression.lineFilter.levels?.has('error') ?? true).toBe(true)
    expect(expression.lineFilter.services?.has('checkout') ?? true).toBe(true)
  })

  test.each([
    'res.statusCode >= 500',
    'res.statusCode != 200',
    '!(res.statusCode == 200)',
    'msg > 5',
    'msg + 1 == 2',
    'msg.foo == "a"',
    'msg[0] == "o"',
    'pid',
    'nothing == null',
    'nothing.startsWith("a")',
    'msg.all(x, true)',
    'has(res.statusCode)',
    'constructor == null',
    'has(record["__proto__"]) || has(toString) || has(record.constructor) || "toString" in record',
    'msg.substring(3, 1) == ""',
    'msg.substring(0, 99) == ""',
    'double("x") == 1',
    'timestamp("x") < time',
    'time.getHours() == 5 && host == "x"',
  ])('%s is not met by a line that does not have it, and nothing throws', (text) => {
    expect(compileExpression(text).matches(bare)).toBe(false)
  })

  test('cannot be known where a field is missing, which is neither true nor false', () => {
    const evaluated = (text: string) => compileExpression(text).evaluate(bare)
    expect(evaluated('res.statusCode >= 500')).toBeUndefined()
    expect(evaluated('!(res.statusCode >= 500)')).toBeUndefined()
    expect(evaluated('res.statusCode >= 500 && msg == "x"')).toBe(false)
    expect(evaluated('res.statusCode >= 500 && msg == "open"')).toBeUndefined()
    expect(evaluated('has(res) ? res.statusCode >= 500 : false')).toBe(false)
  })

  test('is not met by a line that is no JSON object, but by what is known beside', () => {
    for (const text of ['not json', '', '[1]', '"text"', 'null', '{"level":50']) {
      const odd = recordOf(text, { topic: 'log.warn.a.', service: 'a', level: 'warn', timeMs })
      expect(compileExpression('has(msg) || level == "error"').matches(odd)).toBe(false)
      expect(compileExpression('level == "warn" && service == "a" && time.getFullYear() == 2026').matches(odd)).toBe(true)
    }
  })

  test('compares levels by severity, against every level', () => {
    for (const [a, level] of levels.entries()) {
      const at = { ...record, level }
      for (const [b, other] of levels.entries()) {
        for (const [op, expected] of [
          ['<', a < b],
          ['<=', a <= b],
          ['>', a > b],
          ['>=', a >= b],
          ['==', a === b],
          ['!=', a !== b],
        ] as const) {
          const expression = compileExpression(`level ${op} "${other}"`)
          expect([level, op, other, expression.matches(at)]).toEqual([level, op, other, expected])
          if (expression.lineFilter.levels !== undefined) expect(expression.lineFilter.levels.has(level)).toBe(expected)
        }
      }
    }
  })

  test('may have its own names in exists() and its kind, and they end there', () => {
    const met = (text: string) => compileExpression(text).matches(record)
    expect(met('items.exists(level, level.price > 10) && level == "error"')).toBe(true)
    expect(met('items.exists(i, tags.exists(t, t == "slow" && i.price == 15))')).toBe(true)
    expect(met('items.exists(i, items.all(i, i.price > 1) && i.price == 5)')).toBe(true)
    expect(met('["slow"].exists(t, t in tags) && t == "slow"')).toBe(false)
  })
})

describe('what is wrong is told with its column and what to write', () => {
  test.each([
    ['level = "error"', 7, 'write =='],
    ['level == "eror"', 10, 'did you mean "error"'],
    ['level == error', 10, 'write the level in quotes: "error"'],
    ['level == 50', 1, 'record.level'],
    ['level >= 40', 1, 'record.level'],
    ['level in ["info", "eror"]', 19, 'did you mean "error"'],
    ['ok and pid > 1', 4, 'write &&'],
    ['not ok', 5, 'write !'],
    ['ok & pid > 1', 4, 'write &&'],
    ['res.statusCode >=', 18, 'ends where a value'],
    ['res.statusCode >= 500)', 22, 'unexpected ")"'],
    ['(res.statusCode >= 500', 23, 'ends where'],
    ['msg.contians("x")', 5, 'did you mean contains()'],
    ['contains(msg, "x")', 1, 'write field.contains(…)'],
    ['sise(msg) > 1', 1, 'did you mean size()'],
    ['msg.contains()', 1, 'takes 1'],
    ['msg.contains(1)', 14, 'expected a text'],
    ['"a" + 1 == "a1"', 1, 'string(…)'],
    ['msg == "unfinished', 8, 'unterminated string'],
    ['time > "2026-05-31"', 1, 'timestamp('],
    ['msg.matches("(")', 13, 'missing closing )'],
    ['msg.matches("(?=a)")', 13, 'invalid or unsupported Perl syntax'],
    ['msg.matches(pattern)', 13, 'written out'],
    ['msg.matches("(x{0,500}){0,2}y{500}")', 13, 'too large'],
    ['"text"', 1, 'expected true or false as a condition, got a text'],
    ['size(msg)', 1, 'expected true or false'],
    ['has("x")', 5, 'has(res.statusCode)'],
    ['tags.exists(1, true)', 13, 'as in tags.exists'],
    ['b"x" == msg', 1, 'bytes'],
    ['', 1, 'got nothing'],
    ['   ', 1, 'got nothing'],
    ['pid < [1]', 7, 'no order'],
  ])('%s', (text, column, words) => {
    const message = complaint(text)
    expect(message).toMatch(new RegExp(`^--where, column ${column}: `))
    expect(message).toContain(words)
    // The mark stands under the column.
    const [, shown, mark] = message.split('\n')
    expect(shown).toBe(`  ${text}`)
    expect(mark).toBe(`  ${' '.repeat(column - 1)}^`)
  })

  test('in a text of several lines', () => {
    expect(complaint('ok &&\n  pid = 7')).toMatch(/^--where, line 2, column 7: .*\n {2} {2}pid = 7\n {8}\^$/)
  })

  test('a mark stays near in a long line, and control characters stay out of terminals', () => {
    const message = complaint(`${'pid == 1 || '.repeat(300)}msg = "\u001b[31m\u202e"`)
    expect(message.split('\n')[1]?.length).toBeLessThan(110)
    for (const char of ['\u001b', '\u202e']) expect(message).not.toContain(char)
    const [, shown = '', mark = ''] = message.split('\n')
    expect(shown[mark.indexOf('^')]).toBe('=')
  })
})

describe('no text and no record takes long', () => {
  const huge = recordOf(
    JSON.stringify({ list: Array.from({ length: 20_000 }, (_, i) => i), msg: 'a'.repeat(60_000), deep: [[[[[[1]]]]]] }),
    { topic: 'log.info.a.', service: 'a', level: 'info' },
  )

  test.each([
    ['a text', 'x'.repeat(expressionCharsMax + 1)],
    ['brackets', '('.repeat(4_000)],
    ['closed brackets', `${'('.repeat(3_000)}ok${')'.repeat(3_000)}`],
    ['negations', `${'!'.repeat(8_000)}ok`],
    ['signs', `${'-'.repeat(8_000)}1 == 1`],
    ['sums', `${'1+'.repeat(4_000)}1 == 1`],
    ['fields', `a${'.a'.repeat(4_000)}`],
    ['indices', `a${'[0]'.repeat(2_000)}`],
    ['conditions', `${'ok ? '.repeat(1_000)}ok`],
    ['lists', `${'['.repeat(4_000)}`],
    ['elements', `1 in [${'1,'.repeat(3_000)}1]`],
    ['regular expressions', `${'msg.matches("a{500}") || '.repeat(200)}ok`],
  ])('%s beyond the limit are refused', (_, text) => {
    complaint(text)
  })

  test('a chain of many alternatives is none of that', () => {
    const text = Array.from({ length: 400 }, (_, i) => `pid == ${i}`).join(' || ')
    expect(compileExpression(text).matches(record)).toBe(true)
  })

  test.each([
    'list.all(a, list.all(b, list.all(c, list.all(d, a + b + c + d >= 0))))',
    'list.map(a, list.map(b, list.map(c, a))).size() > 0',
    'list.filter(a, list.exists(b, b == -1)).size() == 0',
    `${'list + '.repeat(90)}list == []`,
    'list.exists(a, list == list.map(b, b + 1))',
    'list.exists(a, (msg + msg + msg + msg).contains("b"))',
    'list.exists(a, msg.contains("b"))',
    'list.exists(a, msg.lowerAscii() == "b")',
    'list.exists(a, msg.matches("(a|b|c){0,100}x$"))',
    'list.map(a, msg + msg).exists(m, m.contains("aab"))',
    'list.exists(a, a in list.map(b, -b - 1))',
  ])('%s ends, matches nothing and is counted', (text) => {
    const expression = compileExpression(text)
    expect(expression.matches(huge)).toBe(false)
    expect(expression.tooCostly).toBe(1)
    // The next record has all its steps again.
    expect(expression.evaluate(bare)).toBeUndefined()
    expect(expression.tooCostly).toBe(1)
  })

  test.each(['(a*)*b', '(a+)+$x', '(a|aa)+b', '(.*)*(.*)*(.*)*=', '(a|a?)+b', '(x+x+)+y'])(
    '%s, which explodes elsewhere, does not here',
    (pattern) => {
      const expression = compileExpression(`msg.matches("${pattern}")`)
      expect(expression.matches(huge)).toBe(false)
      expect(expression.tooCostly).toBe(0)
    },
  )
})

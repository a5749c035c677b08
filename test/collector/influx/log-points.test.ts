/** What a log line becomes; read back by the tests' own parser. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LogPoints, type LogSchema } from '../../../collector/sinks/influx/log-points.ts'
import { firstSlotOf } from '../../../collector/sinks/influx/point-time.ts'
import { TagGuard } from '../../../collector/sinks/influx/tag-guard.ts'
import type { Entry } from '../../../collector/sinks/sink.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { logTopic } from '../../../wire/topic.ts'
import { parseLines } from './parse-line-protocol.ts'

const origin = 'origin-000000001'
const plain: LogSchema = { measurement: 'logs', message: 'msg', tags: [], fields: {}, line: false, origin: true, constant: {} }

function entryOf(lines: readonly string[], more: Partial<Entry> = {}): Entry {
  return {
    ...{ position: 0, end: 1, topic: logTopic('info', 'shop', 'cart'), kind: frameKinds.lines, origin, seq: 5, timeMs: 1_700_000_000_000 },
    ...{ lines: Buffer.from(lines.map((line) => `${line}\n`).join('')), count: lines.length, receivedAtMs: 0, isSpooled: true, ...more },
  }
}

function points(lines: readonly unknown[], schema: Partial<LogSchema> = {}, more: Partial<Entry> = {}, host: string | undefined = 'web1') {
  const logs = new LogPoints({ ...plain, ...schema }, new TagGuard(100, () => undefined))
  const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
  const made = logs.lines(entryOf(texts, more), host).flatMap((line) => parseLines(line, 'pairs'))
  return Object.assign(
    made.map(({ measurement, tags, fields, time }) => ({
      measurement,
      tags: Object.fromEntries(tags),
      fields: Object.fromEntries(fields),
      time,
    })),
    { converted: logs.converted, omitted: logs.omitted },
  )
}

test('service, level, host, origin and logger are tags, the message is a field, the time is the line’s own', () => {
  const slot = BigInt(firstSlotOf(origin, logTopic('info', 'shop', 'cart')))
  expect([...points([{ level: 30, time: 1_700_000_000_123, hostname: 'web2', msg: 'paid' }])]).toEqual([
    {
      measurement: 'logs',
      tags: { service: 'shop', level: 'info', host: 'web2', origin, logger: 'cart' },
      fields: { message: 'paid' },
      time: 1_700_000_000_123_000_000n + ((slot + 5n) % 1_000_000n),
    },
  ])
})

test('without a host of its own a line has the one its process has told, without a time that of its frame', () => {
  const [point] = points([{ msg: 'paid' }], { origin: false }, { topic: logTopic('fatal', 'a b,c=d') })
  expect(point?.tags).toEqual({ service: 'a b,c=d', level: 'fatal', host: 'web1' })
  expect(String(point?.time)).toMatch(/^1700000000000\d{6}$/)
  expect(points([{ msg: '' }], {}, {}, '')[0]?.tags).not.toHaveProperty('host')
})

test('chosen paths become tags, fields of their types, and the line itself when asked', () => {
  const line = { msg: 'x', tenant: 'acme', res: { statusCode: 200, time: 1.5 }, ok: true, err: { type: 'E' }, 'a.b': 7 }
  const [point] = points([line], {
    tags: ['tenant', 'res.statusCode', 'absent', 'err'],
    fields: { 'res.time': 'float', ok: 'boolean', 'err.type': 'string', err: 'string', 'a.b': 'integer', nothing: 'float' },
    line: true,
    constant: { region: 'eu' },
  })
  expect(point?.tags).toMatchObject({ tenant: 'acme', 'res.statusCode': '200', region: 'eu' })
  expect(point?.fields).toEqual({
    ...{ message: 'x', line: JSON.stringify(line), 'res.time': 1.5, ok: true, 'err.type': 'E', err: '{"type":"E"}', 'a.b': 7n },
  })
})

test('a field that changes its type is given the configured one, counted, or left out, counted', () => {
  const made = points(
    [
      { i: 1, f: 1, b: true, s: 'x' },
      { i: '2', f: '2.5', b: 'false', s: 3 },
      { i: 2.6, f: true, b: 1, s: { a: 1 } },
      { i: 'two', f: 'many', b: 'perhaps', s: null },
      { i: 1e300, f: [], b: {}, s: undefined },
    ],
    { fields: { i: 'integer', f: 'float', b: 'boolean', s: 'string' } },
  )
  expect(made.map(({ fields }) => fields)).toEqual([
    { message: '', i: 1n, f: 1, b: true, s: 'x' },
    { message: '', i: 2n, f: 2.5, b: false, s: '3' },
    { message: '', i: 3n, f: 1, b: true, s: '{"a":1}' },
    { message: '' },
    { message: '' },
  ])
  expect(made).toMatchObject({ converted: 4 + 4, omitted: 3 + 3 })
})

test('what is no JSON object is its own message', () => {
  expect(points(['plain text', '[1]', '"s"', 'null', '{"msg":5}', '{"msg":{"a":1}}']).map(({ fields }) => fields['message'])).toEqual([
    ...['plain text', '[1]', '"s"', 'null', '5', '{"a":1}'],
  ])
})

test('names of an object’s prototype are no paths', () => {
  const [point] = points(['{"msg":"x"}'], {
    tags: ['constructor.name', '__proto__'],
    fields: Object.fromEntries(['toString', 'constructor.name'].map((path) => [path, 'string'] as const)),
  })
  expect(point?.fields).toEqual({ message: 'x' })
})

test('whatever a line holds, it is one point of its own time, and the same one each time it is made', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.json(), fc.string({ unit: 'binary' })), { minLength: 1, maxLength: 20 }), (texts) => {
      const lines = texts.map((text) => text.replaceAll('\n', ' '))
      const schema: Partial<LogSchema> = { line: true, tags: ['a'], fields: { b: 'integer' } }
      const made = points(lines, schema)
      expect(made).toHaveLength(lines.length)
      expect(new Set(made.map(({ time }) => time)).size).toBe(lines.length)
      expect([...points(lines, schema)]).toEqual([...made])
    }),
  )
})

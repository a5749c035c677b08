import { decode, encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batchBytesMax, decodeElementsMax, frameRecordsMax } from '../../wire/limits.ts'
import { decodeValue, skipValue } from '../../wire/msgpack.ts'
import { decodeAttributes, decodePoints, encodeAttributes, encodePoints, PointsWriter } from '../../wire/points.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { hostileValues } from './hostile-messagepack.ts'
import { finite, pointCount, pointsBody } from './points-in-test.ts'

const interval = { startMs: 1_767_225_590_000, endMs: 1_767_225_600_000 }

test('what is written is read again, by us and by a decoder that shares nothing with ours', () => {
  fc.assert(
    fc.property(pointsBody, (body) => {
      const bytes = encodePoints(body)
      expect(decodePoints(bytes, pointCount(body))).toEqual(body)
      const theirs = decode(bytes) as [number, number, [string, number, string, string, unknown[]][]]
      expect(theirs.slice(0, 2)).toEqual([body.startMs, body.endMs])
      expect(theirs[2].map(([name, , unit, description, points]) => [name, unit, description, points.length])).toEqual(
        body.instruments.map(({ name, unit, description, points }) => [name, unit, description, points.length]),
      )
    }),
  )
})

test('what another encoder writes is read', () => {
  const points = [
    ['{}', 1, 1, 1, 0, 2, -3, [1, 0, 2], 0, []],
    ['{"route":"/pay"}', -1e300, -1e300, 0.5, -4, 0, 0, [1], 63, [2 ** 52]],
  ]
  const body = encode([interval.startMs, interval.endMs, [['http.duration', 4, 's', '', points]]])
  expect(decodePoints(Buffer.from(body), 2)?.instruments[0]).toMatchObject({ name: 'http.duration', type: 'histogram', unit: 's' })
})

describe('a body is refused', () => {
  test('cut off at every byte, and with a byte too many', () => {
    fc.assert(
      fc.property(pointsBody, (body) => {
        const bytes = encodePoints(body)
        for (let end = 0; end < bytes.length; end += 1) expect(decodePoints(bytes.subarray(0, end), pointCount(body))).toBeUndefined()
        expect(decodePoints(Buffer.concat([bytes, Buffer.of(0)]), pointCount(body))).toBeUndefined()
      }),
      { numRuns: 20 },
    )
  })

  test('when it holds more points or fewer than its frame says', () => {
    fc.assert(
      fc.property(pointsBody, (body) => {
        const bytes = encodePoints(body)
        for (const count of [pointCount(body) - 1, pointCount(body) + 1]) expect(decodePoints(bytes, count)).toBeUndefined()
      }),
      { numRuns: 20 },
    )
  })

  const good = ['{}', 1, 1, 1, 3, 0, 0, [1], 0, []]
  const changed = (field: number, value: unknown): unknown => ['h', 4, '', '', [good.map((old, i) => (i === field ? value : old))]]
  test.each([
    ['a name that is empty', ['', 1, '', '', [['{}', 1]]]],
    ['a name too long', ['n'.repeat(256), 1, '', '', [['{}', 1]]]],
    ['a type nobody knows', ['n', 6, '', '', [['{}', 1]]]],
    ['no points', ['n', 1, '', '', []]],
    ['a counter that went down', ['n', 1, '', '', [['{}', -1]]]],
    ['no number', ['n', 2, '', '', [['{}', '1']]]],
    ['NaN', ['n', 2, '', '', [['{}', Number.NaN]]]],
    ['infinity', ['n', 2, '', '', [['{}', Number.POSITIVE_INFINITY]]]],
    ['attributes that are no object', ['n', 2, '', '', [['[]', 1]]]],
    ['attributes too long', ['n', 2, '', '', [[`{"a":"${'x'.repeat(4_096)}"}`, 1]]]],
    ['a gauge whose last is above its max', ['n', 3, '', '', [['{}', 3, 1, 2]]]],
    ['a scale above 20', changed(4, 21)],
    ['a scale between two', changed(4, 0.5)],
    ['a histogram of nothing', changed(7, [0, 0])],
    ['more than 160 buckets', changed(7, new Array(161).fill(1))],
    ['half a value in a bucket', changed(7, [0.5])],
    ['a bucket no double lies in', changed(6, 1_026 * 8)],
    ['a bucket below every double', changed(6, -1_077 * 8)],
    ['a min above the max', changed(2, 2)],
    ['bounds that do not ascend', ['n', 5, '', '', [['{}', 1, [1, 1], [0, 0, 1]]]]],
    ['a count too few for its bounds', ['n', 5, '', '', [['{}', 1, [1, 2], [0, 1]]]]],
  ])('for %s', (_, instrument) => {
    expect(decodePoints(Buffer.from(encode([0, 1, [instrument]])), 1)).toBeUndefined()
  })

  test('when it is anything at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(5_000), (bytes, count) => {
        decodePoints(Buffer.from(bytes), count)
      }),
      { numRuns: 2_000 },
    )
    fc.assert(
      fc.property(pointsBody, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }), (body, damages) => {
        const bytes = encodePoints(body)
        for (const [at, byte] of damages) bytes[at % bytes.length] = byte
        const read = decodePoints(bytes, pointCount(body))
        if (read !== undefined) expect(decodePoints(encodePoints(read), pointCount(read))).toEqual(read)
      }),
      { numRuns: 500 },
    )
    for (const { bytes } of hostileValues()) expect(decodePoints(bytes, 1)).toBeUndefined()
  })
})

test('a writer says when it is full before any point could break a bound of the frame', () => {
  const attributes = `{"a":"${'ü'.repeat(2_044)}"}`
  const wide = { offset: -1_074, counts: new Array<number>(160).fill(2 ** 52) }
  const widest = { sum: 0.1, min: -0.1, max: 0.1, scale: 0, zeroCount: 2 ** 52, positive: wide, negative: wide }
  const small = { ...widest, positive: { offset: 0, counts: new Array<number>(160).fill(1) }, negative: { offset: 0, counts: [] } }
  const described = { name: 'n'.repeat(255), unit: 'u'.repeat(63), description: 'ü'.repeat(1_024) }
  for (const write of [
    (writer: PointsWriter) => writer.histogram(attributes, widest),
    (writer: PointsWriter) => writer.histogram('{}', small),
    (writer: PointsWriter) => writer.number('{}', 1),
  ]) {
    const writer = new PointsWriter()
    for (let bodies = 0; bodies < 2; bodies += 1) {
      writer.begin(interval)
      writer.instrument({ ...described, type: 'histogram' })
      while (!writer.isFull) write(writer)
      const { count } = writer
      const body = writer.finish()
      if (body === undefined) throw new Error('nothing written')
      expect(body.byteLength).toBeLessThanOrEqual(batchBytesMax)
      expect(count).toBeLessThanOrEqual(frameRecordsMax)
      expect(skipValue(body, 0, decodeElementsMax)).toBe(body.byteLength)
      expect(decodeValue(body).ok).toBe(true)
    }
    writer.begin(interval)
    expect(writer.finish()).toBeUndefined()
  }
})

test.each([
  ['no points', []],
  ['a name too long', [{ name: 'n'.repeat(256), type: 'counter', unit: '', description: '', points: [{ attributes: '{}', value: 1 }] }]],
  [
    'attributes too long',
    [{ name: 'n', type: 'counter', unit: '', description: '', points: [{ attributes: `{"a":"${'x'.repeat(2 ** 21)}"}`, value: 1 }] }],
  ],
] as const)('a body with %s is not written', (_, instruments) => {
  expect(() => encodePoints({ ...interval, instruments })).toThrow(SpillwayError)
})

describe('attributes', () => {
  test('have one text, whatever the order of their keys', () => {
    expect(encodeAttributes({ route: '/pay', 'http.status': 200, ok: true })).toBe('{"http.status":200,"ok":true,"route":"/pay"}')
    expect(encodeAttributes({ ok: true, route: '/pay', 'http.status': 200 })).toBe('{"http.status":200,"ok":true,"route":"/pay"}')
    expect(encodeAttributes({})).toBe('{}')
  })

  test('are read back from it, and from no other text', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), finite, fc.boolean())), (attributes) => {
        expect({ ...decodeAttributes(encodeAttributes(attributes)) }).toEqual({ ...attributes })
      }),
    )
    for (const text of ['', '[]', 'null', '{"b":1,"a":2}', '{"a": 1}', '{"a":null}', '{"a":[1]}', '{"a":1e999}', '{'])
      expect(decodeAttributes(text)).toBeUndefined()
  })
})

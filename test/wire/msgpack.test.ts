import { decode, encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeDepthMax, decodeElementsMax, sequenceMax } from '../../wire/limits.ts'
import { asCount, asMap, decodeValue, encodeValue, readBin, readUint, skipValue, type WireValue } from '../../wire/msgpack.ts'
import { hostileBytesMaxMs, keptBytes, leastMs } from './cost.ts'
import { hostileValues } from './hostile-messagepack.ts'

// The independent decoder refuses the key `__proto__`; ours must not, and has a test of its own.
const anyKey = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom('constructor', 'hasOwnProperty', 'toJSON', 'length', 'then', '1', ''),
  )
  .filter((key) => key !== '__proto__')

const anyValue = fc.letrec<{ value: WireValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).map((value) => value + 0),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(anyKey, tie('value'), { maxKeys: 20, noNullPrototype: true }),
  ),
})).value

/** `value` with plain objects and buffers of one kind, so that two decoders can be compared. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

function readValue(bytes: Uint8Array): WireValue {
  const decoded = decodeValue(Buffer.from(bytes))
  if (!decoded.ok) throw new Error('refused')
  return decoded.value
}

describe('values', () => {
  test('any value is read back as it was', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(plain(readValue(encodeValue(value)))).toEqual(plain(value))
      }),
      { numRuns: 500 },
    )
  })

  test('another implementation reads what is written, and the other way round', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(plain(decode(encodeValue(value)))).toEqual(plain(value))
        expect(plain(readValue(encode(value)))).toEqual(plain(value))
      }),
      { numRuns: 500 },
    )
  })

  test('leaves out keys whose value is undefined, at any depth', () => {
    expect(decode(encodeValue({ a: 1, b: undefined, c: [{ d: undefined, e: 2 }] }))).toEqual({ a: 1, c: [{ e: 2 }] })
  })

  test('half a surrogate pair, which UTF-8 cannot say, is written as the replacement character', () => {
    for (const text of ['a\ud800b', `${'x'.repeat(100)}\udc00`, '\ud83d\ude00\ud83d']) {
      const bytes = encodeValue({ [text]: text })
      const sound = Buffer.from(text).toString()
      expect(decode(bytes)).toEqual({ [sound]: sound })
    }
  })

  test('maps have no prototype, so that no key of theirs means anything', () => {
    const map = asMap(readValue(Buffer.from('\x82\xa9__proto__\x81\xa8polluted\x01\xabconstructor\x02', 'latin1')))
    expect(Object.getPrototypeOf(map)).toBeNull()
    expect(Object.keys(map ?? {})).toEqual(['__proto__', 'constructor'])
    expect(map?.['toString']).toBeUndefined()
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  test('reads exactly one value from all of the bytes', () => {
    expect(decodeValue(Buffer.from([0x01, 0x01])).ok).toBe(false)
    expect(decodeValue(Buffer.alloc(0)).ok).toBe(false)
    expect(decodeValue(Buffer.from([0x01]))).toEqual({ ok: true, value: 1 })
  })

  test('nesting is read down to its limit and refused below', () => {
    const nested = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x91), Buffer.from([0xc0])])
    expect(decodeValue(nested(decodeDepthMax)).ok).toBe(true)
    expect(decodeValue(nested(decodeDepthMax + 1)).ok).toBe(false)
  })

  test('elements are read up to their limit and refused above', () => {
    const list = (elements: number) => Buffer.from(encode(new Array(elements).fill(null)))
    expect(decodeValue(list(decodeElementsMax - 1)).ok).toBe(true)
    expect(decodeValue(list(decodeElementsMax)).ok).toBe(false)
  })
})

describe('counts', () => {
  test.each([
    ['00', 0],
    ['7f', 127],
    ['cc80', 128],
    ['cc00', 0],
    ['cd0100', 256],
    ['ce00010000', 65_536],
    ['cf001fffffffffffff', sequenceMax],
    ['cb433fffffffffffff', sequenceMax],
    ['cb4270000000000000', 2 ** 40],
    ['cb0000000000000000', 0],
    ['cb8000000000000000', 0],
  ])('reads %s as %d', (hex, value) => {
    const bytes = Buffer.from(hex, 'hex')
    const at = { offset: 0 }
    expect(readUint(bytes, at)).toBe(value)
    expect(at.offset).toBe(bytes.length)
    expect(asCount(readValue(bytes))).toBe(value)
  })

  test.each([
    ['nothing', ''],
    ['a negative number', 'ff'],
    ['an int8', 'd001'],
    ['a float32', 'ca3f800000'],
    ['a fraction', 'cb3fe0000000000000'],
    ['NaN', 'cb7ff8000000000000'],
    ['infinity', 'cb7ff0000000000000'],
    ['-1 as float64', 'cbbff0000000000000'],
    ['2^53', 'cf0020000000000000'],
    ['2^53 as float64', 'cb4340000000000000'],
    ['2^64-1', 'cfffffffffffffffff'],
    ['a text', 'a131'],
    ['a cut uint64', 'cf00000000000000'],
  ])('refuses %s', (_, hex) => {
    const at = { offset: 0 }
    expect(readUint(Buffer.from(hex, 'hex'), at)).toBeUndefined()
    expect(at.offset).toBe(0)
  })

  test('no byte string is read beyond its end', () => {
    for (const hex of ['c4', 'c403616', 'c40361', 'c50001', 'c6ffffffff61', 'c5ffff', 'a161', '']) {
      expect(readBin(Buffer.from(hex, 'hex'), { offset: 0 })).toBeUndefined()
    }
    const at = { offset: 1 }
    expect(readBin(Buffer.from('00c40261620a', 'hex'), at)?.toString()).toBe('ab')
    expect(at.offset).toBe(5)
  })
})

describe('hostile bytes', () => {
  const values = hostileValues()

  test.each(values)('$name: answered within 50 ms', ({ bytes, isRefused }) => {
    let isRead = false
    const costMs = leastMs(() => {
      isRead = decodeValue(bytes).ok
    })
    expect(isRead).toBe(!isRefused)
    expect(costMs).toBeLessThan(hostileBytesMaxMs)
  })

  test('a value cut at any byte is refused', () => {
    const bytes = encodeValue({ a: [1, 300, 70_000, 2 ** 40, -1, 0.5], b: 'text', c: Buffer.from('bytes'), d: { e: null, f: true } })
    for (let length = 0; length < bytes.length; length += 1) expect(decodeValue(bytes.subarray(0, length)).ok).toBe(false)
  })

  test('changed bytes are read or refused, never thrown at the caller', () => {
    const change = fc.record({ place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), byte: fc.nat(255) })
    fc.assert(
      fc.property(anyValue, fc.array(change, { minLength: 1, maxLength: 4 }), (value, changes) => {
        const bytes = Buffer.from(encodeValue(value))
        for (const { place, byte } of changes) bytes[Math.floor(place * bytes.length)] = byte
        const decoded = decodeValue(bytes)
        expect(decoded.ok).toBe(skipValue(bytes, 0) === bytes.length)
      }),
      { numRuns: 1_000 },
    )
  })

  test('random bytes are read or refused, never thrown at the caller', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        decodeValue(Buffer.from(bytes))
      }),
      { numRuns: 3_000 },
    )
  })

  test('nothing is kept of what was refused, and nothing reserved for what was only claimed', () => {
    const once = () => {
      for (const { bytes } of values) decodeValue(bytes)
    }
    once()
    const rssBefore = process.memoryUsage().rss
    expect(keptBytes(() => Array.from({ length: 10 }, once))).toBeLessThan(8 * 1_048_576)
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(256 * 1_048_576)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type DecodedFrame,
  decodeFrame,
  encodeFrame,
  encodeLines,
  type FrameFault,
  type FrameHead,
  finishLines,
  frameKinds,
  linesHeadBytesMax,
  sliceLines,
} from '../../wire/frame.ts'
import { frameBytesMax, frameRecordsMax, sequenceMax } from '../../wire/limits.ts'
import { encodeValue } from '../../wire/msgpack.ts'
import { hostileBytesMaxMs, keptBytes, leastMs } from './cost.ts'
import { hostileValues } from './hostile-messagepack.ts'

const origin = 'Abc-123_Def-456_'
const head: FrameHead = { origin, seq: 0, count: 1, time: 1_700_000_000_000, kind: frameKinds.lines, onDemand: false }

const anyOrigin = fc.stringMatching(/^[A-Za-z0-9_-]{16}$/)
/** Numbers around every width MessagePack has, and any other. */
const anySequence = fc.oneof(fc.constantFrom(0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, sequenceMax), fc.maxSafeNat())
const anyLines = fc.array(
  fc.string({ unit: 'grapheme', maxLength: 80 }).map((line) => line.replaceAll('\n', ' ')),
  { minLength: 1, maxLength: 40 },
)

function decoded(bytes: Uint8Array): DecodedFrame {
  const result = decodeFrame(bytes)
  if (!result.ok) throw new Error(`refused: ${result.fault}`)
  return result.frame
}

function faultOf(bytes: Uint8Array): FrameFault | undefined {
  const result = decodeFrame(bytes)
  return result.ok ? undefined : result.fault
}

/** A frame by its raw parts, each MessagePack in hex. */
function rawFrame(parts: {
  array?: string
  version?: string
  origin?: string
  seq?: string
  count?: string
  time?: string
  kind?: string
  rest?: string
}): Buffer {
  const { array = '97', version = '01', seq = '00', count = '01', time = '00', kind = '01', rest = 'c4020d0a' } = parts
  const originHex = parts.origin ?? `b0${Buffer.from(origin).toString('hex')}`
  return Buffer.from(array + version + originHex + seq + count + time + kind + rest, 'hex')
}

describe('round trips', () => {
  test('lines come back with every field of the head', () => {
    fc.assert(
      fc.property(anyOrigin, anySequence, anySequence, anyLines, fc.boolean(), (from, seq, time, lines, onDemand) => {
        const sound = {
          origin: from,
          seq: Math.min(seq, sequenceMax - lines.length),
          count: lines.length,
          time,
          kind: frameKinds.lines,
          onDemand,
        }
        const text = lines.map((line) => `${line}\n`).join('')
        const bytes = encodeLines(sound, text)
        const { body, ...rest } = decoded(bytes)
        expect(rest).toEqual(sound)
        expect(body.toString('utf8')).toBe(text)
        expect(encodeFrame(sound, Buffer.from(text)).equals(bytes)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })

  test('records, points and manifests come back as the MessagePack they were', () => {
    const kinds = fc.constantFrom(frameKinds.records, frameKinds.points, frameKinds.manifest)
    const anyCount = fc.integer({ min: 1, max: frameRecordsMax })
    const anyBody = fc.array(fc.dictionary(fc.string({ maxLength: 5 }), fc.oneof(fc.integer(), fc.string()), { noNullPrototype: true }), {
      maxLength: 10,
    })
    fc.assert(
      fc.property(kinds, anySequence, anySequence, anyCount, fc.boolean(), anyBody, (kind, seq, time, count, onDemand, value) => {
        const sound = { origin, seq: Math.min(seq, sequenceMax - count), count, time, kind, onDemand }
        const { body, ...rest } = decoded(encodeFrame(sound, value))
        expect(rest).toEqual(sound)
        expect(body.equals(encodeValue(value))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('whatever the encoder takes the decoder takes, and it says so when it takes nothing', () => {
    const anyHead = fc.record({
      origin: fc.oneof(
        anyOrigin,
        fc.string({ minLength: 15, maxLength: 17 }),
        fc.constant('ä'.repeat(16)),
        fc.constant('a.b.c.d.e.f.g.h.'),
      ),
      seq: fc.oneof(anySequence, fc.double(), fc.constantFrom(-1, sequenceMax - 1, 2 ** 53, 0.5)),
      count: fc.oneof(fc.constantFrom(0, 1, -1, 1.5, frameRecordsMax, frameRecordsMax + 1, Number.NaN)),
      time: fc.oneof(anySequence, fc.double()),
      kind: fc.constantFrom(frameKinds.records, frameKinds.points, frameKinds.manifest),
      onDemand: fc.boolean(),
    })
    fc.assert(
      fc.property(anyHead, (candidate) => {
        let bytes: Buffer
        try {
          bytes = encodeFrame(candidate, { a: 1 })
        } catch (error) {
          expect(error).toMatchObject({ code: 'SPW_FRAME_INVALID' })
          return
        }
        const { body: _, ...rest } = decoded(bytes)
        expect(rest).toEqual({ ...candidate, seq: candidate.seq + 0, time: candidate.time + 0 })
      }),
      { numRuns: 2_000 },
    )
  })

  test('the buffer is exactly as long as the frame and part of no pool', () => {
    for (const text of ['\n', `${'x'.repeat(300)}\n`, `${'x'.repeat(70_000)}\n`]) {
      const bytes = encodeLines(head, text)
      expect(bytes.buffer.byteLength).toBe(bytes.byteLength)
      expect(bytes.byteOffset).toBe(0)
    }
  })

  test('a head is written directly in front of lines that stand in memory already, and nowhere else', () => {
    fc.assert(
      fc.property(anyLines, (lines) => {
        const text = lines.map((line) => `${line}\n`).join('')
        const sound = { ...head, count: lines.length }
        const memory = Buffer.alloc(65_536, 0xee)
        const to = linesHeadBytesMax + memory.write(text, linesHeadBytesMax)
        const frame = finishLines(sound, memory, { from: linesHeadBytesMax, to })
        expect(frame.equals(encodeLines(sound, text))).toBe(true)
        expect(frame.buffer).toBe(memory.buffer)
        expect(memory.subarray(0, to - frame.length).every((byte) => byte === 0xee)).toBe(true)
        expect(memory.subarray(to).every((byte) => byte === 0xee)).toBe(true)
      }),
      { numRuns: 50 },
    )
  })

  test('the longest head there can be has room in front of the lines', () => {
    const memory = Buffer.alloc(200_000)
    const longest = { ...head, seq: Number.MAX_SAFE_INTEGER - 4_096, time: Number.MAX_SAFE_INTEGER, count: 4_096 }
    const to = linesHeadBytesMax + memory.write('\n'.repeat(4_096) + 'x'.repeat(70_000), linesHeadBytesMax)
    expect(finishLines(longest, memory, { from: linesHeadBytesMax, to }).byteOffset).toBeGreaterThanOrEqual(memory.byteOffset)
  })

  test('the body is a view into the frame, wherever the frame lies', () => {
    const bytes = encodeLines(head, 'a line\n')
    const shifted = new Uint8Array(bytes.length + 7)
    shifted.set(bytes, 7)
    const { body } = decoded(shifted.subarray(7))
    expect(body.toString()).toBe('a line\n')
    expect(body.buffer).toBe(shifted.buffer)
  })
})

describe('limits', () => {
  const headBytes = encodeLines(head, `${'x'.repeat(100_000)}\n`).length - 100_001

  test('a frame of exactly 1 MiB is written and read', () => {
    const bytes = encodeLines(head, `${'x'.repeat(frameBytesMax - headBytes - 1)}\n`)
    expect(bytes.length).toBe(frameBytesMax)
    expect(decoded(bytes).body.length).toBe(frameBytesMax - headBytes)
  })

  test('a frame one byte longer is neither written nor read', () => {
    const text = `${'x'.repeat(frameBytesMax - headBytes)}\n`
    expect(() => encodeLines(head, text)).toThrow(expect.objectContaining({ code: 'SPW_FRAME_INVALID' }))
    expect(() => encodeFrame(head, Buffer.from(text))).toThrow(expect.objectContaining({ code: 'SPW_FRAME_INVALID' }))
    expect(faultOf(Buffer.alloc(frameBytesMax + 1, 0x97))).toBe('too_long')
  })

  test('the length counted is that of the UTF-8, not of the text', () => {
    const text = `${'日'.repeat(Math.floor(frameBytesMax / 3))}\n`
    expect(() => encodeLines(head, text)).toThrow(expect.objectContaining({ code: 'SPW_FRAME_INVALID' }))
  })

  test('a frame may be full of records', () => {
    const bytes = encodeLines({ ...head, count: frameRecordsMax }, '\n'.repeat(frameRecordsMax))
    expect(decoded(bytes).count).toBe(frameRecordsMax)
  })

  test('the number behind the last record is at most 2^53-1', () => {
    const last = encodeLines({ ...head, seq: sequenceMax - 1 }, '\n')
    expect(decoded(last).seq).toBe(sequenceMax - 1)
    expect(() => encodeLines({ ...head, seq: sequenceMax }, '\n')).toThrow(/seq/)
    expect(() => encodeLines({ ...head, seq: sequenceMax - 1, count: 2 }, '\n\n')).toThrow(/seq/)
  })
})

describe('faults', () => {
  test('the frame these are made from is sound', () => {
    expect(decoded(rawFrame({}))).toMatchObject({ origin, seq: 0, count: 1, time: 0, kind: 1, onDemand: false })
  })

  test.each<[string, FrameFault, Parameters<typeof rawFrame>[0]]>([
    ['a body that is no array', 'layout', { array: 'a7' }],
    ['six fields', 'layout', { array: '96' }],
    ['nine fields', 'layout', { array: '99' }],
    ['a longer form of the array', 'layout', { array: 'dc0007' }],
    ['version 0', 'version', { version: '00' }],
    ['version 2', 'version', { version: '02' }],
    ['version 200', 'version', { version: 'ccc8' }],
    ['a text for a version', 'layout', { version: 'a131' }],
    ['an origin of 15 characters', 'layout', { origin: `af${'61'.repeat(15)}`, rest: 'c4020d0a' }],
    ['an origin of 17 characters', 'layout', { origin: `b1${'61'.repeat(17)}` }],
    ['an origin with a dot', 'layout', { origin: `b0${'61'.repeat(15)}2e` }],
    ['an origin with a line feed', 'layout', { origin: `b0${'61'.repeat(15)}0a` }],
    ['an origin that is not ASCII', 'layout', { origin: `b0${'c3a4'.repeat(8)}` }],
    ['a negative seq', 'layout', { seq: 'ff' }],
    ['a seq of 2^53', 'layout', { seq: 'cf0020000000000000' }],
    ['a seq of 2^64-1', 'layout', { seq: 'cfffffffffffffffff' }],
    ['a seq that is NaN', 'layout', { seq: 'cb7ff8000000000000' }],
    ['a seq of one half', 'layout', { seq: 'cb3fe0000000000000' }],
    ['a seq whose last record has no number', 'bounds', { seq: 'cf001fffffffffffff' }],
    ['no records', 'bounds', { count: '00', rest: 'c400' }],
    ['4097 records', 'bounds', { count: 'cd1001', rest: `c51001${'0a'.repeat(4_097)}` }],
    ['2^32 records', 'bounds', { count: 'cf0000000100000000' }],
    ['kind 0', 'bounds', { kind: '00' }],
    ['kind 5', 'bounds', { kind: '05' }],
    ['a text for a kind', 'layout', { kind: 'a131' }],
    ['lines as text', 'truncated', { rest: 'a20d0a' }],
    ['lines longer than the frame', 'truncated', { rest: 'c4030d0a' }],
    ['lines of 4 GiB', 'truncated', { rest: 'c6ffffffff0d0a' }],
    ['fewer lines than counted', 'lines', { count: '02' }],
    ['more lines than counted', 'lines', { rest: 'c4020a0a' }],
    ['a last line without its end', 'lines', { rest: 'c4030a0d61' }],
    ['no lines at all', 'lines', { rest: 'c400' }],
    ['a byte behind the frame', 'layout', { rest: 'c4020d0a00' }],
    ['a body with an extension', 'layout', { kind: '02', rest: '91d40100' }],
    ['an ext that is no map', 'layout', { array: '98', rest: 'c4020d0a01' }],
    ['an ext that is missing', 'layout', { array: '98' }],
    ['an ext with an extension', 'layout', { array: '98', rest: 'c4020d0a81a164d40100' }],
    ['a compressed body', 'version', { array: '98', rest: 'c4020d0a81a17aa47a737464' }],
  ])('refuses %s as %s', (_, fault, parts) => {
    expect(faultOf(rawFrame(parts))).toBe(fault)
  })

  test('reads numbers in any of their encodings', () => {
    const parts = { seq: 'cb0000000000000000', count: 'cf0000000000000001', time: 'cb4278bcfe56800000', kind: 'cc01' }
    expect(decoded(rawFrame(parts))).toMatchObject({ seq: 0, count: 1, time: 1_700_000_000_000, kind: 1 })
    expect(Object.is(decoded(rawFrame({ seq: 'cb8000000000000000' })).seq, 0)).toBe(true)
  })

  test('an ext it does not know is no reason to refuse', () => {
    expect(decoded(rawFrame({ array: '98', rest: 'c4020d0a80' })).onDemand).toBe(false)
    expect(decoded(rawFrame({ array: '98', rest: 'c4020d0a82a16401a17801' })).onDemand).toBe(true)
  })

  test('a frame cut at any byte is refused', () => {
    const frames = [
      encodeLines({ ...head, seq: 2 ** 40, count: 2 }, 'one\ntwo\n'),
      encodeLines({ ...head, onDemand: true }, 'one\n'),
      encodeFrame({ ...head, kind: frameKinds.records }, [{ a: 1, b: ['c'] }]),
      encodeFrame({ ...head, kind: frameKinds.manifest, onDemand: true }, { n: 0, every: 50, topics: {} }),
    ]
    for (const bytes of frames) {
      for (let length = 0; length < bytes.length; length += 1) expect(decodeFrame(bytes.subarray(0, length)).ok).toBe(false)
      expect(decodeFrame(bytes).ok).toBe(true)
      expect(decodeFrame(Buffer.concat([bytes, Buffer.alloc(1)])).ok).toBe(false)
    }
  })

  test('changed bytes are read or refused, never thrown at the caller', () => {
    const change = fc.record({ place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), byte: fc.nat(255) })
    const sound = fc.constantFrom(
      encodeLines({ ...head, seq: 300, count: 3 }, 'one\ntwo\nthree\n'),
      encodeFrame({ ...head, kind: frameKinds.records, onDemand: true }, [{ a: 1, b: [2, 'c', null] }]),
    )
    fc.assert(
      fc.property(sound, fc.array(change, { minLength: 1, maxLength: 4 }), (frame, changes) => {
        const bytes = Buffer.from(frame)
        for (const { place, byte } of changes) bytes[Math.floor(place * bytes.length)] = byte
        const result = decodeFrame(bytes)
        if (!result.ok) return
        expect(result.frame.origin).toMatch(/^[A-Za-z0-9_-]{16}$/)
        expect(result.frame.count).toBeGreaterThan(0)
        expect(result.frame.seq + result.frame.count).toBeLessThanOrEqual(sequenceMax)
      }),
      { numRuns: 3_000 },
    )
  })

  test('random bytes are refused', () => {
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 100 }).map((rest) => Buffer.concat([rawFrame({}).subarray(0, 19), rest])),
    )
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        decodeFrame(bytes)
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('hostile bodies and exts', () => {
  const headBytes = rawFrame({ rest: '' }).length
  const lines = Buffer.from('c4020d0a', 'hex')
  const values = hostileValues(frameBytesMax - headBytes - lines.length)
  const asBody = (bytes: Buffer) => Buffer.concat([rawFrame({ kind: '02', rest: '' }), bytes])
  const asExt = (bytes: Buffer) => Buffer.concat([rawFrame({ array: '98', rest: '' }), lines, bytes])

  test.each(values)('$name: answered within 50 ms', ({ bytes, isRefused }) => {
    for (const frame of [asBody(bytes), asExt(bytes), bytes]) {
      let isRead = false
      const costMs = leastMs(() => {
        isRead = decodeFrame(frame).ok
      })
      if (isRefused) expect(isRead).toBe(false)
      expect(costMs).toBeLessThan(hostileBytesMaxMs)
    }
  })

  test('a frame of a million line feeds is refused at the first line too many', () => {
    const bytes = Buffer.concat([rawFrame({ count: 'cd1000', rest: 'c6000f0000' }), Buffer.alloc(0xf_0000, 0x0a)])
    expect(faultOf(bytes)).toBe('lines')
    expect(leastMs(() => decodeFrame(bytes))).toBeLessThan(hostileBytesMaxMs)
  })

  test('nothing is kept of what was refused', () => {
    const once = () => {
      for (const { bytes } of values) for (const frame of [asBody(bytes), asExt(bytes)]) decodeFrame(frame)
    }
    once()
    expect(keptBytes(() => Array.from({ length: 3 }, once))).toBeLessThan(8 * 1_048_576)
  })
})

describe('slices of lines', () => {
  test('hold the lines asked for and nothing else', () => {
    fc.assert(
      fc.property(anyLines, fc.nat(45), fc.nat(45), (lines, skip, take) => {
        const body = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        const expected = lines.slice(skip, skip + take).map((line) => `${line}\n`)
        expect(sliceLines(body, skip, take).toString()).toBe(expected.join(''))
      }),
    )
  })

  test('are views', () => {
    const body = Buffer.from('one\ntwo\nthree\n')
    expect(sliceLines(body, 1, 1).buffer).toBe(body.buffer)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeSegmentHead,
  type RecordType,
  readSegmentHead,
  recordBytes,
  recordHeadBytes,
  recordKey,
  recordTypes,
  type SpoolRecord,
  scanRecords,
  segmentHeadBytes,
  writeRecord,
} from '../../../collector/spool/spool-record.ts'

const id = 'spool-id-0000001'
const key = recordKey(id, 0)
const types = Object.values(recordTypes)

interface Written {
  readonly type: RecordType
  readonly body: Buffer
}

function encoded(records: readonly Written[], with_ = key): Buffer {
  const bytes = Buffer.alloc(records.reduce((sum, { body }) => sum + recordBytes(body.length), 0))
  let at = 0
  for (const { type, body } of records) at = writeRecord(with_, type, body, undefined, bytes, at)
  return bytes
}

const plain = ({ type, body, position, end }: SpoolRecord) => ({ type, body: body.toString('hex'), position, end })

/** The records as a scan from position 0 is to return them. */
function placed(records: readonly Written[]) {
  let position = 0
  return records.map(({ type, body }) => {
    const record = { type, body: body.toString('hex'), position, end: position + recordBytes(body.length) }
    position = record.end
    return record
  })
}

const scanAll = (bytes: Buffer, isAll = true) => scanRecords(bytes, { key, position: 0, isAll })

const someRecords = fc.array(
  fc.record({
    type: fc.constantFrom(...types),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      // What a record begins with, and whole records, may stand in one.
      fc.constantFrom(
        key.mark,
        Buffer.from('SpwR'),
        encoded([{ type: recordTypes.loss, body: Buffer.from('inner') }], recordKey('other', 0)),
      ),
    ),
  }),
  { maxLength: 12 },
)

describe('records', () => {
  test('come out as they went in, whatever stands in them, with the positions they have', () => {
    fc.assert(
      fc.property(someRecords, fc.nat(1_000_000), (records, position) => {
        const bytes = encoded(records)
        const scan = scanRecords(bytes, { key, position, isAll: true })
        expect(scan.records.map(plain)).toEqual(
          placed(records).map((record) => ({ ...record, position: position + record.position, end: position + record.end })),
        )
        expect([scan.used, scan.damagedBytes]).toEqual([bytes.length, 0])
      }),
    )
  })

  test('of two parts are those of one', () => {
    const [first, rest] = [Buffer.from('first'), Buffer.from('and the rest')]
    const into = Buffer.alloc(100, 7)
    const end = writeRecord(key, recordTypes.frame, first, rest, into, 3)
    expect(end).toBe(3 + recordHeadBytes + first.length + rest.length)
    expect(into.subarray(3, end)).toEqual(encoded([{ type: recordTypes.frame, body: Buffer.concat([first, rest]) }]))
    expect(new Set([...into.subarray(0, 3), ...into.subarray(end)])).toEqual(new Set([7]))
  })

  test('are read in pieces of any size as they are read at once', () => {
    fc.assert(
      fc.property(someRecords, fc.integer({ min: 1, max: 400 }), (records, pieceBytes) => {
        const bytes = encoded(records)
        const found: SpoolRecord[] = []
        let wanted = pieceBytes
        for (let at = 0; at < bytes.length; ) {
          const isAll = at + wanted >= bytes.length
          const scan = scanRecords(bytes.subarray(at, at + wanted), { key, position: at, isAll })
          expect(scan.damagedBytes).toBe(0)
          found.push(...scan.records)
          // A piece that holds no record whole says how much more it needs, or a longer one does.
          wanted = scan.used === 0 ? Math.max(2 * wanted, scan.needs) : pieceBytes
          at += scan.used
        }
        expect(found.map(plain)).toEqual(placed(records))
      }),
    )
  })

  test('cut at any byte are those that are whole; the rest is damage when nothing follows, and waited for when more does', () => {
    const records = [
      { type: recordTypes.state, body: Buffer.from('books') },
      { type: recordTypes.frame, body: Buffer.alloc(0) },
      { type: recordTypes.loss, body: Buffer.concat([key.mark, Buffer.from('looks like one')]) },
    ]
    const bytes = encoded(records)
    const all = placed(records)
    for (let length = 0; length <= bytes.length; length += 1) {
      const whole = all.filter(({ end }) => end <= length)
      const end = whole.at(-1)?.end ?? 0
      const cut = scanAll(bytes.subarray(0, length))
      expect(cut.records.map(plain)).toEqual(whole)
      expect(cut.damagedBytes).toBe(length - end)
      const awaited = scanAll(bytes.subarray(0, length), false)
      expect(awaited.records.map(plain)).toEqual(whole)
      expect(awaited.damagedBytes).toBe(0)
      expect(awaited.used).toBe(end)
      const next = all[whole.length]
      if (awaited.needs > 0) expect(awaited.needs).toBe((next?.end ?? 0) - end)
    }
  })

  test('with any bits flipped are those that were not touched, and none that was never written', () => {
    let damaged = 0
    fc.assert(
      fc.property(
        someRecords,
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(7)), { minLength: 1, maxLength: 6 }),
        (records, flips) => {
          const bytes = encoded(records)
          if (bytes.length === 0) return
          const touched = new Set<number>()
          for (const [where, bit] of flips) {
            const at = Math.floor(where * bytes.length)
            bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
            touched.add(at)
          }
          const all = placed(records)
          const isTouched = ({ position, end }: { position: number; end: number }) => [...touched].some((at) => at >= position && at < end)
          const scan = scanAll(bytes)
          const found = scan.records.map(plain)
          const untouched = all.filter((record) => !isTouched(record))
          expect(found.filter((record) => !isTouched(record))).toEqual(untouched)
          // Bits flipped back are no damage.
          for (const record of found) expect(all).toContainEqual(record)
          expect(scan.damagedBytes).toBe(bytes.length - found.reduce((sum, { position, end }) => sum + end - position, 0))
          if (found.length < all.length) damaged += 1
        },
      ),
      { numRuns: 1_000 },
    )
    expect(damaged).toBeGreaterThan(500)
  })

  test('that stand in a line of a log are none, also when the record around them is damaged', () => {
    // Whoever writes a log line knows the format, and not the id of the spool.
    const forged = encoded([{ type: recordTypes.state, body: Buffer.from('forged books') }], recordKey('another-id-00001', 0))
    const good = { type: recordTypes.frame, body: Buffer.from('good') }
    const bytes = encoded([{ type: recordTypes.frame, body: forged }, good])
    bytes[recordHeadBytes - 1] = 77
    expect(scanAll(bytes).records.map(({ body }) => body.toString())).toEqual(['good'])
  })

  test('of a spool with another id are none', () => {
    const bytes = encoded([{ type: recordTypes.frame, body: Buffer.from('x') }], recordKey('another-id-00001', 0))
    expect(scanAll(bytes)).toMatchObject({ records: [], damagedBytes: bytes.length })
  })

  test('a megabyte that was made to look like the beginnings of records is passed over in no time', () => {
    const head = Buffer.alloc(recordHeadBytes)
    Buffer.from('SpwR').copy(head)
    head.writeUInt32LE(500_000, 4)
    head[12] = recordTypes.frame
    const hostile = Buffer.alloc(1_048_576, head)
    const good = { type: recordTypes.frame, body: Buffer.from('good') }
    const bytes = encoded([{ type: recordTypes.frame, body: hostile }, good])
    bytes[20] = (bytes[20] ?? 0) ^ 1
    const startedAtMs = performance.now()
    expect(scanAll(bytes).records.map(({ body }) => body.toString())).toEqual(['good'])
    expect(performance.now() - startedAtMs).toBeLessThan(1_000)
  })
})

describe("a segment's head", () => {
  test('says whose it is and where it begins', () => {
    for (const position of [0, 1, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER]) {
      const head = encodeSegmentHead(id, position)
      expect(head).toHaveLength(segmentHeadBytes)
      expect(readSegmentHead(head)).toEqual({ id, position })
    }
  })

  test('cut at any byte is none, or the same', () => {
    const head = encodeSegmentHead(id, 12_345)
    for (let length = 0; length < head.length; length += 1) {
      const read = readSegmentHead(head.subarray(0, length))
      if (read !== undefined) expect(read).toEqual({ id, position: 12_345 })
    }
    expect(readSegmentHead(Buffer.alloc(0))).toBeUndefined()
  })

  test('with any one bit flipped still says the same', () => {
    for (let bit = 0; bit < 8 * segmentHeadBytes; bit += 1) {
      const head = encodeSegmentHead(id, 2 ** 40 + 1)
      head[bit >> 3] = (head[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(readSegmentHead(head)).toEqual({ id, position: 2 ** 40 + 1 })
    }
  })

  test('of anything else is none', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 0, maxLength: 200 }), (bytes) => readSegmentHead(Buffer.from(bytes)) === undefined))
  })
})

/**
 * Records of the spool, and the head of the segments they stand in. Numbers are little-endian.
 *
 *   segment   head | record | record | …
 *   head      twice: "SPWSPOOL" | version u32 | crc32 u32 | id 16 bytes | position f64
 *   record    mark 4 bytes | length u32 | crc32 u32 | type u8 | body of length - 1 bytes
 *
 * The CRC-32 (zlib's) of a record covers type and body, that of a head all the rest of it; a head stands there twice
 * because without it the whole segment would be lost. A position counts bytes of records over all segments, so none
 * comes twice; a segment's own is that of its first record. The mark at the head of each record is what a reader looks
 * for behind bytes that are damaged: nothing but those is given up.
 *
 * Mark and CRC-32 begin from the spool's id and the segment's position. The id is random and in no record: whoever
 * writes a log line that looks like a record, to be found when the one around it is damaged, does not know them. No
 * position comes twice: what a file held before it was used again is no record of this segment.
 */
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

export const recordTypes = { state: 1, frame: 2, numbers: 3, loss: 4, manifest: 5, sink: 6 } as const
export type RecordType = (typeof recordTypes)[keyof typeof recordTypes]

const typesByNumber: ReadonlyMap<number, RecordType> = new Map(Object.values(recordTypes).map((type) => [type, type]))

export const recordHeadBytes = 13
const segmentMark = 'SPWSPOOL'
const segmentVersion = 2
const idBytes = 16
const headCopyBytes = 40
export const segmentHeadBytes: number = 2 * headCopyBytes

/** What the records of one segment are told by. */
export interface RecordKey {
  readonly mark: Buffer
  /** What the CRC-32 begins from. */
  readonly seed: number
}

export function recordKey(id: string, position: number): RecordKey {
  const hash = createHash('sha256').update(`${id} ${position}`, 'latin1').digest()
  return { mark: hash.subarray(0, 4), seed: hash.readUInt32LE(4) }
}

/** A record as it was read. */
export interface SpoolRecord {
  readonly type: RecordType
  /** A view into what was read. */
  readonly body: Buffer
  readonly position: number
  /** Position behind it. */
  readonly end: number
}

/** Bytes of a record with a body of so many. */
export function recordBytes(bodyBytes: number): number {
  return recordHeadBytes + bodyBytes
}

/**
 * Writes a record whose body is `first` and then `rest`.
 *
 * @returns Offset behind it in `into`.
 */
export function writeRecord(key: RecordKey, type: RecordType, first: Buffer, rest: Buffer | undefined, into: Buffer, at: number): number {
  key.mark.copy(into, at)
  into.writeUInt32LE(1 + first.length + (rest?.length ?? 0), at + 4)
  into[at + 12] = type
  first.copy(into, at + recordHeadBytes)
  const restAt = at + recordHeadBytes + first.length
  rest?.copy(into, restAt)
  const end = restAt + (rest?.length ?? 0)
  into.writeUInt32LE(crc32(into.subarray(at + 12, end), key.seed), at + 8)
  return end
}

export interface Scan {
  readonly records: readonly SpoolRecord[]
  /** Bytes used; what follows is the beginning of a record that needs more bytes, or nothing. */
  readonly used: number
  /** Bytes that were no record. */
  readonly damagedBytes: number
  /** Bytes the record at `used` needs in all; 0 when that is not known. */
  readonly needs: number
}

/**
 * Reads the records in `bytes`. Never throws; damaged bytes are passed over up to the next record that is whole.
 *
 * @param bytes - From the beginning of a record, or of damage.
 * @param options.position - Of the first byte.
 * @param options.isAll - Nothing follows: what needs more bytes is damage.
 */
export function scanRecords(bytes: Buffer, options: { readonly key: RecordKey; readonly position: number; readonly isAll: boolean }): Scan {
  const { mark, seed } = options.key
  const records: SpoolRecord[] = []
  let at = 0
  let damagedBytes = 0
  for (;;) {
    const start = bytes.indexOf(mark, at)
    if (start === -1) {
      // A mark may be cut in two by the end.
      const end = options.isAll ? bytes.length : Math.max(at, bytes.length - (mark.length - 1))
      return { records, used: end, damagedBytes: damagedBytes + end - at, needs: 0 }
    }
    const length = bytes.length - start >= recordHeadBytes ? bytes.readUInt32LE(start + 4) : 0
    const end = start + recordHeadBytes - 1 + length
    if (length === 0 ? bytes.length - start < recordHeadBytes : end > bytes.length) {
      if (!options.isAll) return { records, used: start, damagedBytes: damagedBytes + start - at, needs: length === 0 ? 0 : end - start }
      damagedBytes += start + 1 - at
      at = start + 1
      continue
    }
    const type = typesByNumber.get(bytes[start + 12] ?? 0)
    if (length === 0 || type === undefined || crc32(bytes.subarray(start + 12, end), seed) !== bytes.readUInt32LE(start + 8)) {
      damagedBytes += start + 1 - at
      at = start + 1
      continue
    }
    damagedBytes += start - at
    records.push({
      type,
      body: bytes.subarray(start + recordHeadBytes, end),
      position: options.position + start,
      end: options.position + end,
    })
    at = end
  }
}

export function encodeSegmentHead(id: string, position: number): Buffer {
  const copy = Buffer.alloc(headCopyBytes)
  copy.write(segmentMark, 0, 'latin1')
  copy.writeUInt32LE(segmentVersion, 8)
  copy.write(id, 16, idBytes, 'latin1')
  copy.writeDoubleLE(position, 32)
  copy.writeUInt32LE(headChecksum(copy), 12)
  return Buffer.concat([copy, copy])
}

/** Undefined for bytes that are no segment of this version. */
export function readSegmentHead(head: Buffer): { readonly id: string; readonly position: number } | undefined {
  return readHeadCopy(head.subarray(0, headCopyBytes)) ?? readHeadCopy(head.subarray(headCopyBytes, segmentHeadBytes))
}

function readHeadCopy(copy: Buffer): { readonly id: string; readonly position: number } | undefined {
  if (copy.length < headCopyBytes || copy.toString('latin1', 0, 8) !== segmentMark) return undefined
  const position = copy.readDoubleLE(32)
  if (copy.readUInt32LE(12) !== headChecksum(copy) || copy.readUInt32LE(8) !== segmentVersion) return undefined
  if (!Number.isSafeInteger(position) || position < 0) return undefined
  return { id: copy.toString('latin1', 16, 16 + idBytes), position }
}

function headChecksum(copy: Buffer): number {
  return crc32(copy.subarray(16), crc32(copy.subarray(0, 12)))
}

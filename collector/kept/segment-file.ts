/**
 * One file of kept metrics: slots of one length of time, and the names of all series in them, so that it can be read, and
 * removed, without any other.
 *
 *   file      "SPWKEPT1" | records
 *   record    length u32 | crc32 u32 | type u8 | body of length - 1 bytes
 *   names     1: JSON { instruments: [[number, service, name, type, unit, description]], series: [[number, instrument, attributes]] }
 *   slot      2: see slot-codec.ts
 *
 * Only appended to. What a process that was killed left half written at the end is cut off when the file is opened.
 */
import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { keptRecordBytesMax } from '../../wire/limits.ts'
import { type PointType, pointTypes } from '../../wire/points.ts'
import type { KeptInstrument } from './kept-value.ts'

export const segmentMagic: Buffer = Buffer.from('SPWKEPT1')
export const segmentRecordTypes = { names: 1, slot: 2 } as const

const headBytes = 9
const slotHeadBytes = 16
const scanBytes = 65_536

/** Where a slot stands. */
export interface SlotPlace {
  readonly startMs: number
  readonly endMs: number
  readonly offset: number
  readonly bytes: number
}

export interface SegmentSeries {
  readonly instrument: number
  readonly attributes: string
}

export interface SegmentNames {
  readonly instruments: Map<number, KeptInstrument>
  readonly series: Map<number, SegmentSeries>
}

export interface SegmentContents extends SegmentNames {
  readonly slots: SlotPlace[]
  /** Behind the last whole record. */
  readonly end: number
}

export function encodeRecord(type: 1 | 2, body: Buffer): Buffer {
  const record = Buffer.allocUnsafe(headBytes + body.length)
  record.writeUInt32LE(body.length + 1, 0)
  record[8] = type
  body.copy(record, headBytes)
  record.writeUInt32LE(crc32(record.subarray(8)), 4)
  return record
}

export function encodeNames(
  instruments: readonly (readonly [number: number, instrument: KeptInstrument])[],
  series: readonly (readonly [number: number, series: SegmentSeries])[],
): Buffer {
  const told = {
    instruments: instruments.map(([number, { service, name, type, unit, description }]) => [
      number,
      service ?? null,
      name,
      type,
      unit,
      description,
    ]),
    series: series.map(([number, { instrument, attributes }]) => [number, instrument, attributes]),
  }
  return encodeRecord(segmentRecordTypes.names, Buffer.from(JSON.stringify(told)))
}

/** The body of a record that was read whole; undefined when it is damaged. */
export function recordBody(record: Buffer): Buffer | undefined {
  if (record.length < headBytes || record.readUInt32LE(0) !== record.length - 8) return undefined
  return crc32(record.subarray(8)) === record.readUInt32LE(4) ? record.subarray(headBytes) : undefined
}

/**
 * Reads names and places, and checks every record. What is behind a damaged one is not believed.
 *
 * @throws The system's error when the file cannot be read.
 */
export async function readSegment(handle: FileHandle): Promise<SegmentContents> {
  const contents = { instruments: new Map(), series: new Map(), slots: [] as SlotPlace[], end: 0 }
  const { size } = await handle.stat()
  const magic = await readAt(handle, 0, segmentMagic.length)
  if (!magic.equals(segmentMagic)) return contents
  contents.end = segmentMagic.length
  let window: { readonly from: number; readonly bytes: Buffer } = { from: 0, bytes: Buffer.alloc(0) }
  for (;;) {
    const from = contents.end
    if (from + headBytes > size) return contents
    const isInWindow = (to: number) => from >= window.from && to <= window.from + window.bytes.length
    if (!isInWindow(from + headBytes)) window = { from, bytes: await readAt(handle, from, scanBytes) }
    const head = window.bytes.subarray(from - window.from)
    if (head.length < headBytes) return contents
    const bytes = head.readUInt32LE(0) + 8
    if (bytes < headBytes || bytes > keptRecordBytesMax || from + bytes > size) return contents
    if (!isInWindow(from + bytes)) window = { from, bytes: await readAt(handle, from, Math.max(bytes, scanBytes)) }
    const record = window.bytes.subarray(from - window.from, from - window.from + bytes)
    const body = recordBody(record)
    if (body === undefined) return contents
    if (record[8] === segmentRecordTypes.names) takeNames(body, contents)
    else if (record[8] === segmentRecordTypes.slot && body.length >= slotHeadBytes)
      contents.slots.push({ startMs: body.readDoubleLE(0), endMs: body.readDoubleLE(8), offset: from, bytes })
    contents.end = from + bytes
  }
}

export async function readAt(handle: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  let read = 0
  while (read < length) {
    const { bytesRead } = await handle.read(bytes, read, length - read, from + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return bytes.subarray(0, read)
}

function takeNames(body: Buffer, { instruments, series }: SegmentNames): void {
  let told: unknown
  try {
    told = JSON.parse(body.toString('utf8'))
  } catch {
    return
  }
  for (const row of rowsOf(told, 'instruments')) {
    const [number, service, name, type, unit, description] = row
    if (typeof number !== 'number' || typeof name !== 'string' || !isPointType(type)) continue
    const known = typeof service === 'string' ? service : undefined
    instruments.set(number, { service: known, name, type, unit: String(unit), description: String(description) })
  }
  for (const [number, instrument, attributes] of rowsOf(told, 'series'))
    if (typeof number === 'number' && typeof instrument === 'number' && typeof attributes === 'string')
      series.set(number, { instrument, attributes })
}

function rowsOf(told: unknown, key: 'instruments' | 'series'): readonly (readonly unknown[])[] {
  const rows: unknown = told !== null && typeof told === 'object' ? (told as Record<string, unknown>)[key] : undefined
  return Array.isArray(rows) ? rows.filter(Array.isArray) : []
}

function isPointType(type: unknown): type is PointType {
  return typeof type === 'string' && Object.hasOwn(pointTypes, type)
}

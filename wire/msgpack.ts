/**
 * MessagePack as it is accepted from the network: no extension types, bounded depth and element count, every length
 * inside the bytes at hand. The check walks the bytes first and builds nothing; msgpackr builds only what passed.
 * Maps become objects without a prototype, so no key of theirs can mean anything to JavaScript.
 */
import { Packr, Unpackr } from 'msgpackr'
import { decodeDepthMax, decodeElementsMax, sequenceMax } from './limits.ts'

export type WireValue = null | boolean | number | string | Uint8Array | WireValue[] | WireMap
export interface WireMap {
  readonly [key: string]: WireValue | undefined
}

export type DecodedValue = { readonly ok: true; readonly value: WireValue } | { readonly ok: false }

// Records mode would put msgpackr's own extension 114 on the wire, which no other language reads.
// Maps are handed over as Map: for an object msgpackr looks at its `constructor` and `toJSON`, which may be keys of a record.
const packr = new Packr({ useRecords: false, mapsAsObjects: true })
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: false, int64AsType: 'number' })

/** Plain MessagePack any language reads. Keys whose value is undefined are left out. */
export function encodeValue(value: WireValue): Buffer {
  return packr.pack(toPack(value))
}

/**
 * Reads exactly one value from all of `bytes`. Never throws.
 *
 * @param elementsMax - Values in it, maps and arrays included. Less where less is expected: building them takes time.
 */
export function decodeValue(bytes: Buffer, elementsMax: number = decodeElementsMax): DecodedValue {
  if (skipValue(bytes, 0, elementsMax) !== bytes.length) return { ok: false }
  try {
    return { ok: true, value: fromUnpacked(unpackr.unpack(bytes)) }
  } catch {
    return { ok: false }
  }
}

function toPack(value: WireValue): unknown {
  if (typeof value === 'string') return wellFormed(value)
  if (Array.isArray(value)) return value.map(toPack)
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  const map = new Map<string, unknown>()
  for (const [key, inner] of Object.entries(value)) if (inner !== undefined) map.set(wellFormed(key), toPack(inner))
  return map
}

/** Half a surrogate pair has no UTF-8 form; msgpackr writes bytes for it that strict readers in other languages refuse. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}

function fromUnpacked(value: unknown): WireValue {
  if (Array.isArray(value)) return value.map(fromUnpacked)
  if (!(value instanceof Map)) return value as WireValue
  const object: Record<string, WireValue> = Object.create(null)
  for (const [key, inner] of value) object[String(key)] = fromUnpacked(inner)
  return object
}

/** A map, or undefined for any other value. */
export function asMap(value: WireValue | undefined): WireMap | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) return undefined
  return value as WireMap
}

/** A whole number from 0 to 2^53-1. */
export function asCount(value: WireValue | undefined): number | undefined {
  // Adding 0 makes 0 of -0, which a float64 can hold.
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= sequenceMax ? value + 0 : undefined
}

/** A place in a buffer that the readers below move forward. */
export interface Cursor {
  offset: number
}

/** A whole number from 0 to 2^53-1 in any of its encodings, float64 included; undefined for anything else. */
export function readUint(buffer: Buffer, at: Cursor): number | undefined {
  const type = buffer[at.offset]
  if (type === undefined) return undefined
  const start = at.offset + 1
  if (type < 0x80) {
    at.offset = start
    return type
  }
  const bytes = type === 0xcc ? 1 : type === 0xcd ? 2 : type === 0xce ? 4 : type === 0xcf || type === 0xcb ? 8 : 0
  if (bytes === 0 || start + bytes > buffer.length) return undefined
  const value =
    type === 0xcb
      ? buffer.readDoubleBE(start)
      : bytes === 8
        ? buffer.readUInt32BE(start) * 0x1_0000_0000 + buffer.readUInt32BE(start + 4)
        : buffer.readUIntBE(start, bytes)
  if (!Number.isInteger(value) || value < 0 || value > sequenceMax) return undefined
  at.offset = start + bytes
  // A float64 can hold -0, which is 0 and must look like it.
  return value + 0
}

/** A binary value as a view; undefined when it is none or longer than the buffer. */
export function readBin(buffer: Buffer, at: Cursor): Buffer | undefined {
  const type = buffer[at.offset]
  const lengthBytes = type === 0xc4 ? 1 : type === 0xc5 ? 2 : type === 0xc6 ? 4 : 0
  const start = at.offset + 1 + lengthBytes
  if (lengthBytes === 0 || start > buffer.length) return undefined
  const end = start + buffer.readUIntBE(at.offset + 1, lengthBytes)
  if (end > buffer.length) return undefined
  at.offset = end
  return buffer.subarray(start, end)
}

/** Offset behind the value at `offset`, or undefined when it breaks a bound. Builds nothing; never throws. */
export function skipValue(buffer: Buffer, offset: number, elementsMax: number = decodeElementsMax): number | undefined {
  // Values still to read here, and at each depth around it; a flat list instead of recursion, so depth costs no stack.
  let left = 1
  const around: number[] = []
  let elements = 0
  let at = offset
  for (;;) {
    while (left === 0) {
      const outer = around.pop()
      if (outer === undefined) return at
      left = outer
    }
    left -= 1
    elements += 1
    if (elements > elementsMax) return undefined
    const type = buffer[at] ?? 0
    // Most values of points and of records are small numbers.
    if (at < buffer.length && (type < 0x80 || type >= 0xe0)) {
      at += 1
      continue
    }
    const head = readHead(buffer, at)
    if (head === undefined) return undefined
    at = head.next
    if (head.children > 0) {
      if (around.length >= decodeDepthMax) return undefined
      around.push(left)
      left = head.children
    }
  }
}

function readHead(buffer: Buffer, at: number): { next: number; children: number } | undefined {
  const type = buffer[at]
  if (type === undefined) return undefined
  if (type < 0x80 || type >= 0xe0 || type === 0xc0 || type === 0xc2 || type === 0xc3) return { next: at + 1, children: 0 }
  if (type < 0x90) return inside(buffer, at + 1, (type & 0x0f) * 2)
  if (type < 0xa0) return inside(buffer, at + 1, type & 0x0f)
  if (type < 0xc0) return bytesBehind(buffer, at + 1, type & 0x1f)
  switch (type) {
    case 0xca:
      return bytesBehind(buffer, at + 1, 4)
    case 0xcb:
      return bytesBehind(buffer, at + 1, 8)
    case 0xcc:
    case 0xd0:
      return bytesBehind(buffer, at + 1, 1)
    case 0xcd:
    case 0xd1:
      return bytesBehind(buffer, at + 1, 2)
    case 0xce:
    case 0xd2:
      return bytesBehind(buffer, at + 1, 4)
    case 0xcf:
    case 0xd3:
      return bytesBehind(buffer, at + 1, 8)
    case 0xc4:
    case 0xd9:
      return lengthThenBytes(buffer, at + 1, 1)
    case 0xc5:
    case 0xda:
      return lengthThenBytes(buffer, at + 1, 2)
    case 0xc6:
    case 0xdb:
      return lengthThenBytes(buffer, at + 1, 4)
    case 0xdc:
      return lengthThenChildren(buffer, at + 1, 2, 1)
    case 0xdd:
      return lengthThenChildren(buffer, at + 1, 4, 1)
    case 0xde:
      return lengthThenChildren(buffer, at + 1, 2, 2)
    case 0xdf:
      return lengthThenChildren(buffer, at + 1, 4, 2)
    // 0xc1 is never used; 0xc7 to 0xc9 and 0xd4 to 0xd8 are extension types.
    default:
      return undefined
  }
}

function bytesBehind(buffer: Buffer, at: number, bytes: number): { next: number; children: number } | undefined {
  return at + bytes > buffer.length ? undefined : { next: at + bytes, children: 0 }
}

function inside(buffer: Buffer, at: number, children: number): { next: number; children: number } | undefined {
  // Every child takes a byte at least, so a false count is seen before it is believed.
  return at + children > buffer.length ? undefined : { next: at, children }
}

function lengthThenBytes(buffer: Buffer, at: number, lengthBytes: number): { next: number; children: number } | undefined {
  if (at + lengthBytes > buffer.length) return undefined
  return bytesBehind(buffer, at + lengthBytes, buffer.readUIntBE(at, lengthBytes))
}

function lengthThenChildren(
  buffer: Buffer,
  at: number,
  lengthBytes: number,
  perElement: number,
): { next: number; children: number } | undefined {
  if (at + lengthBytes > buffer.length) return undefined
  return inside(buffer, at + lengthBytes, buffer.readUIntBE(at, lengthBytes) * perElement)
}

/**
 * Frames: the second part of a message. One MessagePack array,
 *
 *   [version, origin, seq, count, time, kind, body, ext?]
 *
 * with the layout and the limits of docs/WIRE.md. The head is written and read by hand: it is on the way of every
 * record, and every bound is checked before anything is built from what it bounds. Bodies that are not lines are
 * read by msgpack.ts under the same rule.
 */
import { frameBytesMax, frameRecordsMax, sequenceMax, wireVersion } from './limits.ts'
import { asMap, decodeValue, encodeValue, readBin, readUint, skipValue, type WireValue } from './msgpack.ts'
import { SpillwayError } from './spillway-error.ts'

/** What a frame's body is. */
export const frameKinds = { lines: 1, records: 2, points: 3, manifest: 4 } as const
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds]

export interface FrameHead {
  /** 16 characters, one agent in one process. */
  readonly origin: string
  /** Number of the first record, per origin and topic, from 0. */
  readonly seq: number
  /** Records in this frame. */
  readonly count: number
  /** Unix ms when the first record was accepted. */
  readonly time: number
  readonly kind: FrameKind
  /** Made only because a live tail asked for it. */
  readonly onDemand: boolean
}

export interface DecodedFrame extends FrameHead {
  /** For lines: the lines themselves, a view into the frame. For other kinds: the body's MessagePack, not yet read. */
  readonly body: Buffer
}

/** Why a frame was refused; each is a counter in the receiver. */
export type FrameFault = 'too_long' | 'truncated' | 'version' | 'layout' | 'bounds' | 'lines'

export type DecodeResult = { readonly ok: true; readonly frame: DecodedFrame } | { readonly ok: false; readonly fault: FrameFault }

const originLength = 16
const originShape = /^[A-Za-z0-9_-]{16}$/
const lineFeed = 10

/**
 * Encodes lines into one exact-size buffer, in one pass over the text.
 *
 * @param text - `head.count` lines, each ended by LF. At most 1 MiB as UTF-8 with the head.
 * @returns A buffer of its own, never part of a pool: it may be handed to a socket by reference.
 * @throws {@link SpillwayError} `SPW_FRAME_INVALID` when the frame would be over its bounds.
 */
export function encodeLines(head: FrameHead, text: string): Buffer {
  const bodyBytes = Buffer.byteLength(text, 'utf8')
  const frame = startFrame(head, bodyBytes, binHeadBytes(bodyBytes))
  // As many bytes as characters is ASCII, and writing that as Latin-1 is a copy; as UTF-8 it took twice as long.
  frame.buffer.write(text, frame.bodyAt, bodyBytes, bodyBytes === text.length ? 'latin1' : 'utf8')
  return frame.buffer
}

/** Encodes a body of records, points or a manifest, or lines that are bytes already. */
export function encodeFrame(head: FrameHead, body: Uint8Array | WireValue): Buffer {
  const isBytes = body instanceof Uint8Array
  const bytes = isBytes ? body : encodeValue(body)
  const bodyHeadBytes = head.kind === frameKinds.lines ? binHeadBytes(bytes.byteLength) : 0
  const frame = startFrame(head, bytes.byteLength, bodyHeadBytes)
  frame.buffer.set(bytes, frame.bodyAt)
  return frame.buffer
}

/** Most bytes in front of the lines of a frame. */
export const linesHeadBytesMax: number = 1 + 1 + 1 + originLength + 9 + 9 + 9 + 1 + 5

/**
 * Makes a frame of lines that stand in `memory` already: writes the head directly in front of them.
 *
 * @param body - Where the lines stand; `from` is at least {@link linesHeadBytesMax}. Of a frame made on demand,
 *   {@link onDemandTailBytes} more bytes of memory follow `to`.
 * @returns A view into `memory`, which belongs to the frame from now on.
 * @throws {@link SpillwayError} `SPW_FRAME_INVALID` when the frame would be over its bounds.
 */
export function finishLines(head: FrameHead, memory: Buffer, body: { readonly from: number; readonly to: number }): Buffer {
  const bodyBytes = body.to - body.from
  const bodyHeadBytes = binHeadBytes(bodyBytes)
  const headBytes = checkedHeadBytes(head, bodyHeadBytes + bodyBytes) + bodyHeadBytes
  const frame = memory.subarray(body.from - headBytes, body.to + (head.onDemand ? onDemandTailBytes : 0))
  if (head.onDemand) frame.set(onDemandExt, frame.length - onDemandTailBytes)
  writeHead(frame, head, headBytes - bodyHeadBytes)
  writeBinHead(frame, headBytes - bodyHeadBytes, bodyBytes)
  return frame
}

function startFrame(head: FrameHead, bodyBytes: number, bodyHeadBytes: number): { buffer: Buffer; bodyAt: number } {
  const headBytes = checkedHeadBytes(head, bodyHeadBytes + bodyBytes)
  const bodyAt = headBytes + bodyHeadBytes
  const buffer = Buffer.allocUnsafeSlow(bodyAt + bodyBytes + (head.onDemand ? onDemandExt.length : 0))
  writeHead(buffer, head, headBytes)
  if (bodyHeadBytes > 0) writeBinHead(buffer, headBytes, bodyBytes)
  if (head.onDemand) buffer.set(onDemandExt, bodyAt + bodyBytes)
  return { buffer, bodyAt }
}

/** `{ d: 1 }` */
const onDemandExt = [0x81, 0xa1, 0x64, 0x01]

/** Bytes behind the lines of a frame that was made on demand. */
export const onDemandTailBytes = 4

/** Bytes from the array's head to the kind; checks the whole frame's bound. */
function checkedHeadBytes(head: FrameHead, bodyBytes: number): number {
  checkHead(head)
  const headBytes = 1 + 1 + 1 + originLength + uintBytes(head.seq) + uintBytes(head.count) + uintBytes(head.time) + 1
  const frameBytes = headBytes + bodyBytes + (head.onDemand ? onDemandExt.length : 0)
  if (frameBytes > frameBytesMax) {
    throw new SpillwayError('SPW_FRAME_INVALID', `frame: expected at most ${frameBytesMax} bytes, got ${frameBytes}`)
  }
  return headBytes
}

function writeHead(buffer: Buffer, head: FrameHead, headBytes: number): void {
  buffer[0] = head.onDemand ? 0x98 : 0x97
  buffer[1] = wireVersion
  buffer[2] = 0xa0 | originLength
  buffer.write(head.origin, 3, originLength, 'latin1')
  let at = writeUint(buffer, 3 + originLength, head.seq, uintBytes(head.seq))
  at = writeUint(buffer, at, head.count, uintBytes(head.count))
  writeUint(buffer, at, head.time, uintBytes(head.time))
  buffer[headBytes - 1] = head.kind
}

function checkHead(head: FrameHead): void {
  const fault = !originShape.test(head.origin)
    ? `origin: expected ${originLength} characters of [A-Za-z0-9_-], got ${JSON.stringify(head.origin.slice(0, 2 * originLength))}`
    : !Number.isInteger(head.count) || head.count < 1 || head.count > frameRecordsMax
      ? `count: expected 1 to ${frameRecordsMax}, got ${head.count}`
      : !isSequence(head.seq) || !isSequence(head.seq + head.count)
        ? `seq: expected a whole number from 0, with count at most 2^53-1, got ${head.seq}`
        : !isSequence(head.time)
          ? `time: expected whole Unix ms, got ${head.time}`
          : undefined
  if (fault !== undefined) throw new SpillwayError('SPW_FRAME_INVALID', `frame ${fault}`)
}

function isSequence(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= sequenceMax
}

function uintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x100) return 2
  if (value < 0x1_0000) return 3
  return value < 0x1_0000_0000 ? 5 : 9
}

function writeUint(buffer: Buffer, at: number, value: number, bytes: number): number {
  if (bytes === 1) buffer[at] = value
  else if (bytes === 2) buffer.set([0xcc, value], at)
  else if (bytes === 3) {
    buffer[at] = 0xcd
    buffer.writeUInt16BE(value, at + 1)
  } else if (bytes === 5) {
    buffer[at] = 0xce
    buffer.writeUInt32BE(value, at + 1)
  } else {
    // uint64 in two halves: a BigInt per frame would be garbage for nothing.
    buffer[at] = 0xcf
    buffer.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at + 1)
    buffer.writeUInt32BE(value % 0x1_0000_0000, at + 5)
  }
  return at + bytes
}

function binHeadBytes(bodyBytes: number): number {
  if (bodyBytes < 0x100) return 2
  return bodyBytes < 0x1_0000 ? 3 : 5
}

function writeBinHead(buffer: Buffer, at: number, bodyBytes: number): void {
  if (bodyBytes < 0x100) buffer.set([0xc4, bodyBytes], at)
  else if (bodyBytes < 0x1_0000) {
    buffer[at] = 0xc5
    buffer.writeUInt16BE(bodyBytes, at + 1)
  } else {
    buffer[at] = 0xc6
    buffer.writeUInt32BE(bodyBytes, at + 1)
  }
}

/**
 * Reads a frame without copying its body. Never throws: what is wrong comes back as a fault.
 * Lines are counted; a frame whose count lies is refused whole.
 */
export function decodeFrame(bytes: Uint8Array): DecodeResult {
  if (bytes.byteLength > frameBytesMax) return { ok: false, fault: 'too_long' }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < 8 + originLength) return { ok: false, fault: 'truncated' }
  const fields = buffer[0] === 0x97 ? 7 : buffer[0] === 0x98 ? 8 : 0
  if (fields === 0) return { ok: false, fault: 'layout' }
  if (buffer[1] !== wireVersion) return { ok: false, fault: (buffer[1] ?? 0xff) < 0x80 || buffer[1] === 0xcc ? 'version' : 'layout' }
  if (buffer[2] !== (0xa0 | originLength)) return { ok: false, fault: 'layout' }
  const origin = buffer.toString('latin1', 3, 3 + originLength)
  const at = { offset: 3 + originLength }
  const seq = readUint(buffer, at)
  const count = readUint(buffer, at)
  const time = readUint(buffer, at)
  const kind = readUint(buffer, at)
  if (seq === undefined || count === undefined || time === undefined || kind === undefined) return { ok: false, fault: 'layout' }
  if (count < 1 || count > frameRecordsMax || seq + count > sequenceMax) return { ok: false, fault: 'bounds' }
  if (kind < 1 || kind > 4) return { ok: false, fault: 'bounds' }
  if (!originShape.test(origin)) return { ok: false, fault: 'layout' }

  let body: Buffer
  if (kind === frameKinds.lines) {
    const bin = readBin(buffer, at)
    if (bin === undefined) return { ok: false, fault: 'truncated' }
    if (!holdsLines(bin, count)) return { ok: false, fault: 'lines' }
    body = bin
  } else {
    const end = skipValue(buffer, at.offset)
    if (end === undefined) return { ok: false, fault: 'layout' }
    body = buffer.subarray(at.offset, end)
    at.offset = end
  }

  let onDemand = false
  if (fields === 8) {
    const decoded = decodeValue(buffer.subarray(at.offset))
    const ext = decoded.ok ? asMap(decoded.value) : undefined
    if (ext === undefined) return { ok: false, fault: 'layout' }
    // A body this version cannot read must not pass for lines.
    if (ext['z'] !== undefined) return { ok: false, fault: 'version' }
    onDemand = ext['d'] === 1
  } else if (at.offset !== buffer.length) return { ok: false, fault: 'layout' }
  return { ok: true, frame: { origin, seq, count, time, kind: kind as FrameKind, onDemand, body } }
}

/** Whether `body` is exactly `count` lines, each ended by LF. Stops at the first line too many. */
function holdsLines(body: Buffer, count: number): boolean {
  let lines = 0
  let at = 0
  while (at < body.length) {
    const end = body.indexOf(lineFeed, at)
    if (end === -1) return false
    lines += 1
    if (lines > count) return false
    at = end + 1
  }
  return lines === count
}

/** The lines `skip` to `skip + take` of a body of lines, as a view; fewer when the body ends before. */
export function sliceLines(body: Buffer, skip: number, take: number): Buffer {
  const start = afterLines(body, 0, skip)
  return body.subarray(start, afterLines(body, start, take))
}

function afterLines(body: Buffer, from: number, lines: number): number {
  let at = from
  for (let i = 0; i < lines; i += 1) {
    const end = body.indexOf(lineFeed, at)
    if (end === -1) return body.length
    at = end + 1
  }
  return at
}

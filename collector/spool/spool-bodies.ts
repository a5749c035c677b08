/** What stands in the spool's records: see `spool-record.ts` for the bytes around it. */
import { type DecodedFrame, decodeFrame } from '../../wire/frame.ts'
import { type Manifest, readManifest } from '../../wire/manifest.ts'
import { asCount, asMap, decodeValue, encodeValue, type WireValue } from '../../wire/msgpack.ts'
import { type LossReason, lossReasons } from '../../wire/stream-ledger.ts'
import { isTopic, type Topic } from '../../wire/topic.ts'

/** A frame that is kept. */
export interface KeptFrame {
  /** Unix ms. Decides which day's file it goes to, whenever it is written there. */
  readonly receivedAtMs: number
  readonly topic: Topic
  /** Where the application runs that sent it; undefined when that was not known then. Decides about the file too. */
  readonly host: string | undefined
  readonly frame: DecodedFrame
}

export interface Numbers {
  readonly origin: string
  readonly topic: Topic
  readonly from: number
  readonly count: number
  readonly onDemand: boolean
  /** Every sink has them, and the spool never had. */
  readonly notDurable: boolean
}

export interface Loss {
  readonly origin: string
  readonly topic: Topic
  readonly from: number
  readonly to: number
  readonly reason: LossReason
}

export interface HeardManifest {
  readonly origin: string
  readonly manifest: Manifest
}

/** How much of one log file is done. */
export interface FilePlace {
  readonly path: string
  /** `device:inode`; or `.N`, size 0: all of it is in files that were rotated, the last of them to this number. */
  readonly identity: string
  /** Its first bytes, which hold everything of the spool that belongs into it from before `position`, … */
  readonly size: number
  readonly position: number
  /** … and this many bytes of the lines at `position`. */
  readonly skip: number
}

/** How far a sink has come: everything before `position` is done, and these files have moved since the last time. */
export interface SinkPlace {
  readonly sink: string
  readonly position: number
  readonly files: readonly FilePlace[]
}

const originBytes = 16
/** Names of hosts have at most 253. */
const hostBytesMax = 255
const anyElements = Number.POSITIVE_INFINITY

/** A host as it is kept; undefined for one that cannot be. */
export function keptHost(host: string | undefined): string | undefined {
  return host === undefined || host === '' || Buffer.byteLength(host) > hostBytesMax ? undefined : host
}

/** The head of a kept frame; the frame follows it. Each text has its length, a byte, in front; a host of no bytes is none. */
export function encodeKeptHead(receivedAtMs: number, topic: Buffer, host?: string | undefined): Buffer {
  const hostBytes = Buffer.from(host ?? '', 'utf8')
  const head = Buffer.allocUnsafe(10 + topic.length + hostBytes.length)
  head.writeDoubleLE(receivedAtMs, 0)
  head[8] = topic.length
  topic.copy(head, 9)
  head[9 + topic.length] = hostBytes.length
  hostBytes.copy(head, 10 + topic.length)
  return head
}

export function readKept(body: Buffer): KeptFrame | undefined {
  const topicEnd = 9 + (body[8] ?? 0)
  const hostEnd = topicEnd + 1 + (body[topicEnd] ?? 0)
  if (body.length <= hostEnd) return undefined
  const topic = body.toString('latin1', 9, topicEnd)
  const host = body.toString('utf8', topicEnd + 1, hostEnd)
  const decoded = decodeFrame(body.subarray(hostEnd))
  if (!isTopic(topic) || !decoded.ok) return undefined
  return { receivedAtMs: body.readDoubleLE(0), topic, host: host === '' ? undefined : host, frame: decoded.frame }
}

export function encodeNumbers({ origin, topic, from, count, onDemand, notDurable }: Numbers): Buffer {
  return encodeValue([origin, topic, from, count, onDemand, notDurable])
}

export function readNumbers(body: Buffer): Numbers | undefined {
  const [origin, topic, from, count, onDemand, notDurable] = readArray(body)
  const numbers = { from: asCount(from), count: asCount(count) }
  if (typeof origin !== 'string' || typeof topic !== 'string' || !isTopic(topic)) return undefined
  if (numbers.from === undefined || numbers.count === undefined) return undefined
  return { origin, topic, from: numbers.from, count: numbers.count, onDemand: onDemand === true, notDurable: notDurable === true }
}

export function encodeLoss({ origin, topic, from, to, reason }: Loss): Buffer {
  return encodeValue([origin, topic, from, to, reason])
}

export function readLoss(body: Buffer): Loss | undefined {
  const [origin, topic, fromValue, toValue, reasonValue] = readArray(body)
  const from = asCount(fromValue)
  const to = asCount(toValue)
  const reason = lossReasons.find((known) => known === reasonValue)
  if (typeof origin !== 'string' || typeof topic !== 'string' || !isTopic(topic)) return undefined
  if (from === undefined || to === undefined || reason === undefined) return undefined
  return { origin, topic, from, to, reason }
}

/** The head of a manifest; its body follows. */
export function encodeManifestHead(origin: string): Buffer {
  return Buffer.from(origin.padEnd(originBytes).slice(0, originBytes), 'latin1')
}

export function readHeardManifest(body: Buffer): HeardManifest | undefined {
  const manifest = readManifest(body.subarray(originBytes))
  return manifest === undefined ? undefined : { origin: body.toString('latin1', 0, originBytes), manifest }
}

export function encodeSinkPlace({ sink, position, files }: SinkPlace): Buffer {
  return encodeValue([sink, position, files.map((file) => [file.path, file.identity, file.size, file.position, file.skip])])
}

export function readSinkPlace(body: Buffer): SinkPlace | undefined {
  const [sink, position, files] = readArray(body)
  const at = asCount(position)
  if (typeof sink !== 'string' || at === undefined || !Array.isArray(files)) return undefined
  return { sink, position: at, files: files.flatMap((file) => readFilePlace(file) ?? []) }
}

function readFilePlace(value: WireValue): FilePlace | undefined {
  if (!Array.isArray(value)) return undefined
  const [path, identity] = value
  const [size, position, skip] = [asCount(value[2]), asCount(value[3]), asCount(value[4])]
  if (typeof path !== 'string' || typeof identity !== 'string') return undefined
  if (size === undefined || position === undefined || skip === undefined) return undefined
  return { path, identity, size, position, skip }
}

export function encodeState(state: WireValue): Buffer {
  return encodeValue(state)
}

export function readState(body: Buffer): ReturnType<typeof asMap> {
  const decoded = decodeValue(body, anyElements)
  return decoded.ok ? asMap(decoded.value) : undefined
}

function readArray(body: Buffer): readonly WireValue[] {
  const decoded = decodeValue(body, anyElements)
  return decoded.ok && Array.isArray(decoded.value) ? decoded.value : []
}

/**
 * What a collector tells an agent on the control channel: `[topic][MessagePack map]`, where the topic is the agent's
 * origin (only that agent subscribes to it), the origin followed by `.bye` (the answer to a final manifest), `beacon.`
 * (to all: this collector lives), or `demand.` (to all, while somebody asks: this is asked, and by whom).
 */
import { controlBytesMax, controlElementsMax, controlRangesMax, holeRecordsMax, noteBytesMax, wireVersion } from './limits.ts'
import { asCount, asMap, decodeValue, encodeValue, type WireValue } from './msgpack.ts'
import { isTopic, type Topic } from './topic.ts'

export const beaconTopic = 'beacon.'
export const demandTopic = 'demand.'
export const byeSuffix = '.bye'

/** Everything below `upTo` is kept by the collector: the agent may forget it. */
export interface Acknowledgement {
  readonly topic: Topic
  readonly upTo: number
  /** What the agent is to say back in its manifests, at most {@link noteBytesMax} bytes; it means something to the collector only. */
  readonly note?: Uint8Array | undefined
}

/** Records the collector misses and asks to be sent again. */
export interface RepairRequest {
  readonly topic: Topic
  readonly from: number
  readonly to: number
}

export interface ControlMessage {
  /** This run of the collector, as in its `sys.run.<run>.` subscription. */
  readonly run: string
  readonly acknowledgements: readonly Acknowledgement[]
  readonly requests: readonly RepairRequest[]
}

export function encodeControl(message: ControlMessage): Buffer {
  return encodeValue({
    v: wireVersion,
    run: message.run,
    acks: message.acknowledgements.map(({ topic, upTo, note }) => (note === undefined ? [topic, upTo] : [topic, upTo, note])),
    asks: message.requests.map((request) => [request.topic, request.from, request.to]),
  })
}

/** Reads a control message; undefined when it is not one of this version. Never throws. */
export function readControl(bytes: Buffer): ControlMessage | undefined {
  if (bytes.length > controlBytesMax) return undefined
  const decoded = decodeValue(bytes, controlElementsMax)
  const map = decoded.ok ? asMap(decoded.value) : undefined
  const run = map?.['run']
  if (map === undefined || map['v'] !== wireVersion || typeof run !== 'string' || run.length > 64) return undefined
  const acks = readList(map['acks'])
  const asks = readList(map['asks'])
  if (acks === undefined || asks === undefined) return undefined
  const acknowledgements: Acknowledgement[] = []
  for (const [topic, first, second] of acks) {
    const upTo = asCount(first)
    if (typeof topic !== 'string' || !isTopic(topic) || upTo === undefined) return undefined
    acknowledgements.push({ topic, upTo, note: readNote(second) })
  }
  const requests: RepairRequest[] = []
  for (const [topic, first, second] of asks) {
    const [from, to] = [asCount(first), asCount(second)]
    if (typeof topic !== 'string' || !isTopic(topic) || from === undefined || to === undefined) return undefined
    if (to <= from || to - from > holeRecordsMax) return undefined
    requests.push({ topic, from, to })
  }
  return { run, acknowledgements, requests }
}

/** The note beside an acknowledgement, copied out of what it came in; undefined when there is none, or too long a one. */
export function readNote(value: WireValue | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array && value.length <= noteBytesMax ? Uint8Array.from(value) : undefined
}

function readList(value: WireValue | undefined): WireValue[][] | undefined {
  if (!Array.isArray(value) || value.length > controlRangesMax) return undefined
  return value.every((item) => Array.isArray(item)) ? (value as WireValue[][]) : undefined
}

/** What a beacon says; shown by `spillway doctor`. */
export interface Beacon {
  readonly run: string
  readonly version: string
  /** Origins followed, and the first of them by service, host and pid. */
  readonly originCount: number
  readonly origins: readonly { readonly service: string; readonly host: string; readonly pid: number; readonly state: string }[]
}

/** Names at most as many of the origins as fit: a message over the limit would end the connection of every agent. */
export function encodeBeacon(beacon: Beacon): Buffer {
  const { run, version, originCount, origins } = beacon
  const bytes = encodeValue({ v: wireVersion, run, version, n: originCount, origins: origins.map((origin) => ({ ...origin })) })
  if (bytes.length <= controlBytesMax || origins.length === 0) return bytes
  return encodeBeacon({ ...beacon, origins: origins.slice(0, origins.length >>> 1) })
}

/** Reads a beacon; undefined when it is not one of this version. Origins it cannot read are left out. Never throws. */
export function readBeacon(bytes: Buffer): Beacon | undefined {
  if (bytes.length > controlBytesMax) return undefined
  const decoded = decodeValue(bytes)
  const map = decoded.ok ? asMap(decoded.value) : undefined
  const [run, version, originCount] = [map?.['run'], map?.['version'], asCount(map?.['n'])]
  if (map?.['v'] !== wireVersion || typeof run !== 'string' || typeof version !== 'string' || originCount === undefined) return undefined
  const origins = Array.isArray(map['origins']) ? map['origins'] : []
  return {
    run,
    version,
    originCount,
    origins: origins.flatMap((value) => {
      const who = asMap(value)
      const [service, host, pid, state] = [who?.['service'], who?.['host'], asCount(who?.['pid']), who?.['state']]
      if (typeof service !== 'string' || typeof host !== 'string' || pid === undefined || typeof state !== 'string') return []
      return [{ service, host, pid, state }]
    }),
  }
}

/** Who asks for what; said again every `demandRenewMs` while anybody asks. */
export interface DemandNotice {
  readonly run: string
  readonly asks: readonly { readonly prefix: string; readonly by: readonly string[] }[]
}

const namesPerAskMax = 8

/** Names at most as many asks as fit. What is asked is in the subscriptions; this says that it still is, and by whom. */
export function encodeDemand(notice: DemandNotice): Buffer {
  const { run, asks } = notice
  const bytes = encodeValue({ v: wireVersion, run, asks: asks.map(({ prefix, by }) => [prefix, by.slice(0, namesPerAskMax)]) })
  if (bytes.length <= controlBytesMax || asks.length === 0) return bytes
  return encodeDemand({ run, asks: asks.slice(0, asks.length >>> 1) })
}

/** Reads a notice of demand; undefined when it is not one of this version. What it cannot read of it is left out. Never throws. */
export function readDemand(bytes: Buffer): DemandNotice | undefined {
  if (bytes.length > controlBytesMax) return undefined
  const decoded = decodeValue(bytes)
  const map = decoded.ok ? asMap(decoded.value) : undefined
  const run = map?.['run']
  if (map?.['v'] !== wireVersion || typeof run !== 'string' || !Array.isArray(map['asks'])) return undefined
  return {
    run,
    asks: map['asks'].flatMap((value) => {
      const [prefix, by] = Array.isArray(value) ? value : []
      if (typeof prefix !== 'string' || !Array.isArray(by)) return []
      return [{ prefix, by: by.filter((name) => typeof name === 'string').slice(0, namesPerAskMax) }]
    }),
  }
}

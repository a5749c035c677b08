/**
 * Manifests: what an origin says about itself, so that a receiver sees loss no frame can show. Body of a frame of
 * kind 4 on `sys.<service>.manifest.`; the layout is in docs/WIRE.md.
 */
import { readNote } from './control.ts'
import { holeRecordsMax, manifestTopicsMax } from './limits.ts'
import { asCount, asMap, decodeValue, type WireValue } from './msgpack.ts'
import { isTopic, type Topic } from './topic.ts'

/** One topic's numbers, as the origin knows them for this receiver. */
export interface ManifestTopic {
  /** Oldest record the origin still holds; equal to `lead` when it holds none. */
  readonly trail: number
  /** Number the next record gets. */
  readonly lead: number
  /** Everything below was sent on this link or will never be; what lies between here and `lead` waits at the origin. */
  readonly sent: number
  /** Everything below was acknowledged by a collector at this endpoint: where a new one begins. */
  readonly resume: number
  /** Records nobody had subscribed to; not numbered. */
  readonly filtered: number
  /** Records the origin shed before sending them. Informs; loss is booked by ranges. */
  readonly shed: number
  /** What the collector last said beside its acknowledgement. */
  readonly note?: Uint8Array | undefined
}

export interface ManifestWho {
  readonly service: string
  readonly host: string
  readonly pid: number
  readonly node: string
  readonly version: string
}

/** A range the origin was asked for and does not hold. */
export interface GoneRange {
  readonly topic: Topic
  readonly from: number
  readonly to: number
}

export interface Manifest {
  /** Counts up from 0 per link. */
  readonly number: number
  /** The last word of this origin: nothing more will be sent. */
  readonly final: boolean
  /** Asks the receiver to acknowledge as soon as it can. */
  readonly urgent: boolean
  /** When the next one comes, ms. */
  readonly everyMs: number
  readonly topics: ReadonlyMap<Topic, ManifestTopic>
  readonly gone: readonly GoneRange[]
  /** Present in full manifests. */
  readonly who: ManifestWho | undefined
}

export function manifestBody(manifest: Manifest): WireValue {
  const topics: Record<string, WireValue> = {}
  for (const [topic, t] of manifest.topics) {
    const numbers = [t.trail, t.lead, t.sent, t.resume, t.filtered, t.shed]
    topics[topic] = t.note === undefined ? numbers : [...numbers, t.note]
  }
  return {
    n: manifest.number,
    final: manifest.final ? 1 : undefined,
    urgent: manifest.urgent ? 1 : undefined,
    every: manifest.everyMs,
    topics,
    gone: manifest.gone.length === 0 ? undefined : manifest.gone.map((range) => [range.topic, range.from, range.to]),
    who: manifest.who === undefined ? undefined : { ...manifest.who },
  }
}

/** Reads a manifest; undefined when anything in it is not what it must be. Never throws. */
export function readManifest(body: Buffer): Manifest | undefined {
  const decoded = decodeValue(body)
  if (!decoded.ok) return undefined
  const map = asMap(decoded.value)
  const topicsMap = asMap(map?.['topics'])
  const number = asCount(map?.['n'])
  const everyMs = asCount(map?.['every'])
  if (map === undefined || topicsMap === undefined || number === undefined || everyMs === undefined) return undefined
  const entries = Object.entries(topicsMap)
  if (entries.length > manifestTopicsMax) return undefined
  const topics = new Map<Topic, ManifestTopic>()
  for (const [topic, value] of entries) {
    const numbers = readTopic(value)
    if (!isTopic(topic) || numbers === undefined) return undefined
    topics.set(topic, numbers)
  }
  const gone = readGone(map['gone'])
  const who = map['who'] === undefined ? undefined : readWho(map['who'])
  if (gone === undefined || (map['who'] !== undefined && who === undefined)) return undefined
  return { number, final: map['final'] === 1, urgent: map['urgent'] === 1, everyMs, topics, gone, who }
}

function readTopic(value: WireValue | undefined): ManifestTopic | undefined {
  if (!Array.isArray(value) || value.length < 6) return undefined
  const [trail, lead, sent, resume, filtered, shed] = value.map(asCount)
  if (trail === undefined || lead === undefined || sent === undefined || resume === undefined) return undefined
  if (filtered === undefined || shed === undefined) return undefined
  if (trail > lead || sent > lead || resume > lead) return undefined
  return { trail, lead, sent, resume, filtered, shed, note: readNote(value[6]) }
}

function readGone(value: WireValue | undefined): GoneRange[] | undefined {
  if (value === undefined) return []
  if (!Array.isArray(value)) return undefined
  const ranges: GoneRange[] = []
  for (const item of value) {
    if (!Array.isArray(item)) return undefined
    const [topic, from, to] = [item[0], asCount(item[1]), asCount(item[2])]
    if (typeof topic !== 'string' || !isTopic(topic) || from === undefined || to === undefined) return undefined
    if (to <= from || to - from > holeRecordsMax) return undefined
    ranges.push({ topic, from, to })
  }
  return ranges
}

/** Text shown to people: cut here, so a hostile origin cannot fill a status page and a long name does not cost a manifest. */
const whoTextMax = 256

function readWho(value: WireValue | undefined): ManifestWho | undefined {
  const map = asMap(value)
  const pid = asCount(map?.['pid'])
  const texts = ['service', 'host', 'node', 'version'].map((key) => map?.[key])
  if (pid === undefined || !texts.every((text) => typeof text === 'string')) return undefined
  const [service = '', host = '', node = '', version = ''] = texts.map((text) => text.slice(0, whoTextMax))
  return { service, host, pid, node, version }
}

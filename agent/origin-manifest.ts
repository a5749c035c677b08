/** What an origin says about itself to one collector, ready to send. */
import { encodeFrame, frameKinds } from '../wire/frame.ts'
import { type Manifest, type ManifestTopic, manifestBody } from '../wire/manifest.ts'
import { sysTopic, type Topic } from '../wire/topic.ts'
import type { Batcher } from './batcher.ts'
import type { ManifestKind } from './link.ts'
import type { RingEntry } from './ring.ts'
import type { AgentRuntime } from './runtime.ts'
import type { AgentStream } from './stream.ts'
import type { Streams } from './streams.ts'

export interface Origin {
  readonly origin: string
  readonly service: string
  readonly streams: Streams
  readonly batcher: Batcher
}

/** The way a manifest goes. */
export interface ManifestLink {
  /** Its place among those that acknowledge; undefined for one that does not. */
  readonly index: number | undefined
  readonly manifestNumber: number
  readonly manifestEveryMs: number
  readonly repairs: { readonly gone: Manifest['gone'] }
  /** Frames not yet handed to it. */
  unsent(): Iterable<RingEntry>
}

/** A topic that moved this recently is in every manifest, so that one lost manifest hides nothing. */
const recentlyMovedMs = 5_000

/** Topic and frame of a manifest for this link. */
export function encodeManifest(
  { origin, service, streams, batcher }: Origin,
  link: ManifestLink,
  kind: ManifestKind,
  runtime: AgentRuntime,
): [Buffer, Buffer] {
  const nowMs = runtime.nowMs()
  const firstUnsent = new Map<AgentStream, number>()
  for (const entry of link.unsent()) {
    const stream = entry.owner as AgentStream
    if (!firstUnsent.has(stream)) firstUnsent.set(stream, entry.seq)
  }
  const topics = new Map<Topic, ManifestTopic>()
  for (const stream of streams) {
    if (!kind.isFull && nowMs - stream.movedAtMs > recentlyMovedMs) continue
    const encoded = batcher.firstFull(stream) ?? stream.next
    topics.set(stream.topic, {
      trail: Math.min(stream.trail, encoded),
      lead: stream.next,
      sent: firstUnsent.get(stream) ?? encoded,
      resume: link.index === undefined ? 0 : (stream.acknowledged[link.index] ?? 0),
      filtered: stream.filtered,
      shed: stream.shedRecords,
      note: link.index === undefined ? undefined : stream.notes[link.index],
    })
  }
  const manifest: Manifest = {
    number: link.manifestNumber,
    final: kind.isFinal,
    urgent: kind.isUrgent,
    everyMs: link.manifestEveryMs,
    topics,
    gone: link.repairs.gone,
    who: kind.isFull ? runtime.who(service) : undefined,
  }
  const head = {
    origin,
    seq: link.manifestNumber,
    count: 1,
    time: runtime.wallClockMs(),
    kind: frameKinds.manifest,
    onDemand: false,
  } as const
  return [Buffer.from(sysTopic(service, 'manifest'), 'latin1'), encodeFrame(head, manifestBody(manifest))]
}

/**
 * Where records come in. The loop never stops reading: a binding subscriber that is not read does not even send its
 * subscriptions. What cannot be taken is refused before it is booked, so that its origin keeps it and is asked for it
 * later.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Context, XSubscriber } from 'zeromq'
import { bindSocket } from '../wire/bind.ts'
import type { Endpoint } from '../wire/endpoint.ts'
import { type DecodedFrame, decodeFrame, type FrameFault, frameKinds } from '../wire/frame.ts'
import { crowdedPauseMs, frameBytesMax, ingestHighWaterMarkFrames } from '../wire/limits.ts'
import { openSocket } from '../wire/socket.ts'
import { parseTopic, type Topic } from '../wire/topic.ts'

/** Frames that were refused, by what was wrong with them. */
export type IngestFault = FrameFault | 'parts' | 'topic' | 'manifest' | 'points' | 'failed'

export interface IngestEvents {
  /** Resolves when more frames are welcome; undefined when they are. */
  roomier(): Promise<void> | undefined
  /** Several MiB have been received since the last time. */
  freeBuffers(): void
  frame(topic: Topic, frame: DecodedFrame, parts: { readonly topic: Buffer; readonly frame: Buffer }): void
}

const freeEveryBytes = 4_194_304
const knownTopicsMax = 100_000
/** Frame, array and topic heads of ZeroMQ's own message on top of a frame. */
const messageBytesMax = frameBytesMax + 1_024

export class Ingest {
  endpoint: Endpoint
  frames = 0
  bytes = 0
  #freedAtBytes = 0
  readonly faults: Map<IngestFault, number> = new Map()
  readonly #socket: XSubscriber
  readonly #events: IngestEvents
  /** Topic texts by the bytes they came as; also says which are topics at all. */
  readonly #topics = new Map<string, Topic | undefined>()
  #loop: Promise<void> | undefined

  constructor(context: Context, endpoint: Endpoint, events: IngestEvents) {
    this.endpoint = endpoint
    this.#events = events
    this.#socket = openSocket(context, XSubscriber, {
      sendTimeout: 0,
      sendHighWaterMark: 0,
      receiveHighWaterMark: ingestHighWaterMarkFrames,
      maxMessageSize: messageBytesMax,
    })
  }

  /** Subscribes first, then binds, so that every agent sees all of it at once. */
  async open(prefixes: readonly string[]): Promise<void> {
    for (const prefix of prefixes) this.subscribe(prefix)
    this.endpoint = await bindSocket(this.#socket, this.endpoint, 'data')
    this.#loop = this.#readFrames()
  }

  /** Asks every agent, those to come included, for what begins with a prefix. Safe at any time. */
  subscribe(prefix: string): void {
    this.#say(1, prefix)
  }

  unsubscribe(prefix: string): void {
    this.#say(0, prefix)
  }

  #say(what: 0 | 1, prefix: string): void {
    if (this.#socket.closed) return
    // Refused only by a socket that has been closed meanwhile.
    this.#socket.send(Buffer.concat([Buffer.of(what), Buffer.from(prefix, 'latin1')])).catch(() => undefined)
  }

  async #readFrames(): Promise<void> {
    while (!this.#socket.closed) {
      let parts: Buffer[]
      try {
        parts = await this.#socket.receive()
      } catch (error) {
        if (this.#socket.closed) return
        throw error
      }
      try {
        this.#take(parts)
      } catch {
        // A frame nobody thought of must not end the intake of all others.
        this.fault('failed')
      }
      this.#freeBuffers()
      const roomier = this.#events.roomier()
      if (roomier !== undefined) await Promise.race([roomier, sleep(crowdedPauseMs, undefined, { ref: false })])
    }
  }

  #freeBuffers(): void {
    if (this.bytes - this.#freedAtBytes < freeEveryBytes) return
    this.#freedAtBytes = this.bytes
    this.#events.freeBuffers()
  }

  #take(parts: readonly Buffer[]): void {
    const [topicBytes, frameBytes] = parts
    if (topicBytes === undefined || frameBytes === undefined || parts.length !== 2) return this.fault('parts')
    this.frames += 1
    this.bytes += frameBytes.length
    const topic = this.#topic(topicBytes)
    if (topic === undefined) return this.fault('topic')
    const decoded = decodeFrame(frameBytes)
    if (!decoded.ok) return this.fault(decoded.fault)
    // `manifest` is a good name for a logger too: only under `sys.` does it mean anything.
    const isManifestTopic = topic.startsWith('sys.') && topic.endsWith('.manifest.')
    if (isManifestTopic !== (decoded.frame.kind === frameKinds.manifest)) return this.fault('topic')
    if (decoded.frame.kind === frameKinds.points && !topic.startsWith('metric.')) return this.fault('topic')
    this.#events.frame(topic, decoded.frame, { topic: topicBytes, frame: frameBytes })
  }

  #topic(bytes: Buffer): Topic | undefined {
    const text = bytes.toString('latin1')
    const known = this.#topics.get(text)
    if (known !== undefined) return known
    const topic = parseTopic(text) === undefined ? undefined : (text as Topic)
    if (this.#topics.size >= knownTopicsMax) this.#topics.clear()
    if (topic !== undefined) this.#topics.set(text, topic)
    return topic
  }

  /** Counts a frame that was refused. */
  fault(fault: IngestFault): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1)
  }

  async close(): Promise<void> {
    this.#socket.close()
    await this.#loop
  }
}

/**
 * A live tail's end of the wire: frames that match, each record once, and how many were missed. Never asks for
 * anything to be sent again; it only counts.
 */
import { hostname } from 'node:os'
import { type Context, XSubscriber } from 'zeromq'
import { demandPrefixes } from '../wire/demand.ts'
import type { Endpoint } from '../wire/endpoint.ts'
import { type DecodedFrame, decodeFrame, frameKinds, sliceLines } from '../wire/frame.ts'
import { demandRenewMs, frameBytesMax, originsMax } from '../wire/limits.ts'
import { readManifest } from '../wire/manifest.ts'
import { type CompiledPatterns, compilePatterns } from '../wire/pattern.ts'
import { allowAddress, openSocket, privateContext } from '../wire/socket.ts'
import { countingPolicy, StreamLedger } from '../wire/stream-ledger.ts'
import { encodeToken, isTopic, parseTopic, type Topic, type TopicParts } from '../wire/topic.ts'

export interface TailEvents {
  /** Lines of one topic, each ended by LF. */
  lines(parts: TopicParts, frame: DecodedFrame, lines: Buffer, count: number, topic: Topic): void
  /** Points of one topic: of the frame's, those from the place `from` up to `to`. */
  points(parts: TopicParts, frame: DecodedFrame, fresh: { readonly from: number; readonly to: number }, topic: Topic): void
  /** Records that will not come any more. */
  missed(count: number): void
  /** The connection: `waiting` before the first, then `connected` and `lost` in turn. */
  connection(state: 'connected' | 'lost'): void
}

const tickMs = 100
const queueFrames = 2_000

export class TailSubscriber {
  readonly #context: Context
  readonly #socket: XSubscriber
  #patterns: CompiledPatterns
  readonly #events: TailEvents
  readonly #ledgers = new Map<string, StreamLedger>()
  #asks: readonly string[]
  #timer: NodeJS.Timeout | undefined
  #renewTimer: NodeJS.Timeout | undefined
  #loops: Promise<void>[] = []

  /** @param asks - What applications are asked to make, as `ask.<level>.<service>.`, for as long as this is open. */
  constructor(patterns: readonly string[], events: TailEvents, asks: readonly string[] = []) {
    this.#asks = asks
    this.#patterns = compilePatterns(patterns)
    this.#events = events
    this.#context = privateContext()
    this.#socket = openSocket(this.#context, XSubscriber, {
      sendTimeout: 0,
      sendHighWaterMark: 0,
      receiveHighWaterMark: queueFrames,
      maxMessageSize: frameBytesMax + 1_024,
    })
  }

  async open(endpoint: Endpoint): Promise<void> {
    const { steady, here } = this.#demand
    // Manifests show loss at the end of a burst, which no later frame would show.
    for (const prefix of [...this.#patterns.prefixes, 'sys.', ...steady]) this.#say(1, prefix)
    if (this.#asks.length > 0) this.#renew(here)
    this.#loops = [this.#readFrames(), this.#watchConnection()]
    allowAddress(this.#socket, endpoint)
    this.#socket.connect(endpoint)
    this.#timer = setInterval(() => this.#countMissed(), tickMs)
  }

  /** The sign of life that what is asked depends on: a process that is stopped, or cut off, asks for nothing. */
  #renew(here: string): void {
    this.#say(1, here)
    this.#renewTimer = setInterval(() => {
      this.#say(0, here)
      this.#say(1, here)
    }, demandRenewMs)
  }

  /** Asks for other topics, and applications for something else, from now on. What was not asked for before is not missed. */
  change(patterns: readonly string[], asks: readonly string[] = []): void {
    const before = [...this.#patterns.prefixes, ...this.#demand.steady]
    const wasHere = this.#asks.length > 0 ? this.#demand.here : undefined
    this.#patterns = compilePatterns(patterns)
    this.#asks = asks
    const now = [...this.#patterns.prefixes, ...this.#demand.steady]
    for (const prefix of now) if (!before.includes(prefix)) this.#say(1, prefix)
    for (const prefix of before) if (!now.includes(prefix)) this.#say(0, prefix)
    clearInterval(this.#renewTimer)
    if (wasHere !== undefined) this.#say(0, wasHere)
    if (asks.length > 0) this.#renew(this.#demand.here)
    for (const key of this.#ledgers.keys()) if (!this.#patterns.matches(key.slice(key.indexOf(' ') + 1))) this.#ledgers.delete(key)
  }

  get #demand(): ReturnType<typeof demandPrefixes> {
    return demandPrefixes(this.name, this.#asks)
  }

  /** What the collector knows it by, as soon as it has its subscriptions: the name comes behind them. */
  get name(): string {
    return `${encodeToken(hostname())}~${process.pid}`
  }

  #say(what: 0 | 1, prefix: string): void {
    // Refused only by a socket that has been closed meanwhile.
    this.#socket.send(Buffer.concat([Buffer.of(what), Buffer.from(prefix, 'latin1')])).catch(() => undefined)
  }

  async #readFrames(): Promise<void> {
    while (!this.#socket.closed) {
      let parts: Buffer[]
      try {
        parts = await this.#socket.receive()
      } catch {
        return
      }
      this.#take(parts)
    }
  }

  /** Events are read for as long as they are observed: unread, they would stop every socket of the process. */
  async #watchConnection(): Promise<void> {
    try {
      for await (const event of this.#socket.events) {
        if (event.type === 'handshake') this.#events.connection('connected')
        else if (event.type === 'disconnect') this.#events.connection('lost')
        else if (event.type === 'end') return
      }
    } catch (error) {
      if (!this.#socket.closed) throw error
    }
  }

  #take(message: readonly Buffer[]): void {
    const [topicBytes, frameBytes] = message
    if (topicBytes === undefined || frameBytes === undefined || message.length !== 2) return
    const topic = topicBytes.toString('latin1')
    const parts = parseTopic(topic)
    const decoded = decodeFrame(frameBytes)
    if (parts === undefined || !isTopic(topic) || !decoded.ok) return
    const { frame } = decoded
    if (frame.kind === frameKinds.manifest) this.#announce(frame)
    else if (this.#patterns.matches(topic)) this.#records(topic, parts, frame)
  }

  #records(topic: Topic, parts: TopicParts, frame: DecodedFrame): void {
    const fresh = this.#ledger(frame.origin, topic, frame.seq).receive(frame.seq, frame.count, performance.now()) ?? []
    for (const { from, to } of fresh) {
      const count = to - from
      if (frame.kind === frameKinds.points) {
        this.#events.points(parts, frame, { from: from - frame.seq, to: to - frame.seq }, topic)
        continue
      }
      if (frame.kind !== frameKinds.lines) continue
      const lines = count === frame.count ? frame.body : sliceLines(frame.body, from - frame.seq, count)
      this.#events.lines(parts, frame, lines, count, topic)
    }
  }

  #announce(frame: DecodedFrame): void {
    const manifest = readManifest(frame.body)
    for (const [topic, told] of manifest?.topics ?? []) {
      if (this.#patterns.matches(topic)) this.#ledger(frame.origin, topic, told.sent).announce(told, performance.now())
    }
  }

  /** A tail begins where it came in: what was before is not missed. */
  #ledger(origin: string, topic: Topic, joinAt: number): StreamLedger {
    const key = `${origin} ${topic}`
    let ledger = this.#ledgers.get(key)
    if (ledger === undefined) {
      ledger = new StreamLedger(joinAt, countingPolicy)
      // Origins come and go for days; the one followed longest is the likeliest to be gone.
      const [oldest] = this.#ledgers.keys()
      if (this.#ledgers.size >= originsMax && oldest !== undefined) this.#ledgers.delete(oldest)
      this.#ledgers.set(key, ledger)
    }
    return ledger
  }

  #countMissed(): void {
    const nowMs = performance.now()
    let missed = 0
    for (const ledger of this.#ledgers.values()) {
      if (!ledger.hasHoles) continue
      const before = ledger.lostRecords
      ledger.due(nowMs)
      missed += ledger.lostRecords - before
    }
    if (missed > 0) this.#events.missed(missed)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    clearInterval(this.#renewTimer)
    this.#socket.close()
    await Promise.all(this.#loops)
  }
}

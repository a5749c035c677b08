/** An agent written by hand over a real socket: sends any frame, good or bad, and hears what the collector says to it. */
import { type Context, Subscriber, XPublisher } from 'zeromq'
import { byeSuffix, type ControlMessage, readControl } from '../../wire/control.ts'
import { encodeFrame, encodeLines, frameKinds } from '../../wire/frame.ts'
import { controlBytesMax } from '../../wire/limits.ts'
import { type ManifestTopic, manifestBody } from '../../wire/manifest.ts'
import { encodePoints, type PointsBody } from '../../wire/points.ts'
import { openSocket, privateContext } from '../../wire/socket.ts'
import { sysTopic, type Topic } from '../../wire/topic.ts'
import { until } from '../support/until.ts'

const pollMs = 10
let agents = 0

function newOrigin(): string {
  agents += 1
  return `hand-made-${String(agents).padStart(6, '0')}`
}

export interface Told {
  readonly topics?: Readonly<Record<string, Partial<ManifestTopic> & { readonly lead: number }>>
  readonly final?: boolean
  readonly everyMs?: number
  readonly gone?: readonly { readonly topic: Topic; readonly from: number; readonly to: number }[]
}

export class HandMadeAgent implements AsyncDisposable {
  readonly origin: string
  readonly service: string
  readonly heard: ControlMessage[] = []
  byesHeard = 0
  readonly #data: XPublisher
  readonly #control: Subscriber
  readonly #loops: Promise<void>[]
  readonly #prefixes: string[] = []
  /** What the collector subscribes to now. */
  readonly subscribed: Set<string> = new Set()
  #manifests = 0

  private constructor(context: Context, service: string, origin: string) {
    this.origin = origin
    this.service = service
    this.#data = openSocket(context, XPublisher, {
      sendHighWaterMark: 100_000,
      receiveTimeout: pollMs,
      maxMessageSize: controlBytesMax,
      linger: 1_000,
    })
    this.#control = openSocket(context, Subscriber, { receiveTimeout: pollMs, maxMessageSize: controlBytesMax })
    this.#loops = [this.#hearData(), this.#hearControl()]
  }

  /** Resolves once the collector's subscriptions have arrived. */
  static async connect(
    collector: { readonly data: string; readonly control: string },
    { service = 'hand', origin = newOrigin() }: { service?: string; origin?: string } = {},
  ): Promise<HandMadeAgent> {
    const agent = new HandMadeAgent(privateContext(), service, origin)
    agent.#control.subscribe(origin)
    agent.#control.connect(collector.control)
    agent.#data.connect(collector.data)
    await until(() => agent.#prefixes.some((prefix) => prefix.startsWith('sys.run.')), { what: 'the collector has subscribed' })
    return agent
  }

  /** Lines of this agent, numbered from `seq`. */
  async lines(
    topic: Topic,
    seq: number,
    lines: readonly string[],
    origin: string = this.origin,
    { onDemand = false }: { readonly onDemand?: boolean } = {},
  ): Promise<void> {
    const head = { origin, seq, count: lines.length, time: Date.now(), kind: frameKinds.lines, onDemand }
    await this.raw(topic, encodeLines(head, lines.map((line) => `${line}\n`).join('')))
  }

  /** Points of this agent, numbered from `seq`. */
  async points(topic: Topic, seq: number, body: PointsBody, origin: string = this.origin): Promise<void> {
    const count = body.instruments.reduce((sum, { points }) => sum + points.length, 0)
    const head = { origin, seq, count, time: Date.now(), kind: frameKinds.points, onDemand: false }
    await this.raw(topic, encodeFrame(head, encodePoints(body)))
  }

  /** A manifest; what is not said of a topic follows from its `lead`. */
  async manifest(told: Told = {}): Promise<void> {
    const topics = new Map<Topic, ManifestTopic>()
    for (const [topic, { lead, ...rest }] of Object.entries(told.topics ?? {})) {
      topics.set(topic as Topic, { trail: 0, lead, sent: lead, resume: 0, filtered: 0, shed: 0, ...rest })
    }
    const body = manifestBody({
      number: this.#manifests,
      final: told.final ?? false,
      urgent: false,
      everyMs: told.everyMs ?? 2_000,
      topics,
      gone: told.gone ?? [],
      who: { service: this.service, host: 'test-host', pid: 4_242, node: 'v0', version: '0.0.0' },
    })
    this.#manifests += 1
    const head = { origin: this.origin, seq: 0, count: 1, time: Date.now(), kind: frameKinds.manifest, onDemand: false }
    await this.raw(sysTopic(this.service, 'manifest'), encodeFrame(head, body))
  }

  /** Any message. */
  async raw(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    await this.#data.send(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))))
  }

  /** Ranges the collector has asked for, in order. */
  get asked(): { topic: string; from: number; to: number }[] {
    return this.heard.flatMap((message) => message.requests.map(({ topic, from, to }) => ({ topic, from, to })))
  }

  /** Highest number acknowledged of a topic; undefined when none was. */
  acknowledged(topic: Topic): number | undefined {
    const all = this.heard.flatMap((message) => message.acknowledgements.filter((ack) => ack.topic === topic).map((ack) => ack.upTo))
    return all.length === 0 ? undefined : Math.max(...all)
  }

  async #hearData(): Promise<void> {
    while (!this.#data.closed) {
      const [message] = await this.#data.receive().catch(() => [])
      const prefix = message?.toString('latin1', 1) ?? ''
      if (message?.[0] === 1) {
        this.#prefixes.push(prefix)
        this.subscribed.add(prefix)
      } else if (message?.[0] === 0) this.subscribed.delete(prefix)
    }
  }

  async #hearControl(): Promise<void> {
    while (!this.#control.closed) {
      const [topic, body] = await this.#control.receive().catch(() => [])
      const message = body === undefined ? undefined : readControl(body)
      if (message === undefined) continue
      this.heard.push(message)
      if (topic?.toString('latin1').endsWith(byeSuffix)) this.byesHeard += 1
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#data.close()
    this.#control.close()
    await Promise.all(this.#loops)
  }
}

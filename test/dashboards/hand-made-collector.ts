/** The tail end of a collector, by hand: publishes whatever frames it is told to. */
import { XPublisher } from 'zeromq'
import { encodeFrame, encodeLines, frameKinds } from '../../wire/frame.ts'
import { controlBytesMax } from '../../wire/limits.ts'
import { manifestBody } from '../../wire/manifest.ts'
import { openSocket, privateContext } from '../../wire/socket.ts'
import { sysTopic, type Topic } from '../../wire/topic.ts'
import { until } from '../support/until.ts'

const origin = 'hand-made-tail-1'

export class HandMadeCollector implements AsyncDisposable {
  readonly tail: string
  readonly prefixes = new Set<string>()
  readonly #socket: XPublisher
  readonly #loop: Promise<void>

  private constructor(socket: XPublisher) {
    this.#socket = socket
    this.tail = socket.lastEndpoint ?? ''
    this.#loop = this.#readSubscriptions()
  }

  static async open(endpoint = 'tcp://127.0.0.1:0'): Promise<HandMadeCollector> {
    const socket = openSocket(privateContext(), XPublisher, {
      sendHighWaterMark: 100_000,
      receiveTimeout: 10,
      maxMessageSize: controlBytesMax,
      linger: 500,
    })
    await socket.bind(endpoint)
    return new HandMadeCollector(socket)
  }

  /** Resolves once a tail has subscribed. */
  async subscribed(): Promise<void> {
    await until(() => [...this.prefixes].some((prefix) => prefix.startsWith('sys.tail.')), { what: 'a tail has subscribed' })
  }

  async lines(topic: Topic, seq: number, lines: readonly string[], time = 1_760_000_000_000): Promise<void> {
    await this.raw(
      topic,
      encodeLines(
        { origin, seq, count: lines.length, time, kind: frameKinds.lines, onDemand: false },
        lines.map((line) => `${line}\n`).join(''),
      ),
    )
  }

  /** Says that everything below `sent` of a topic has been sent. */
  async manifest(topic: Topic, sent: number): Promise<void> {
    const topics = new Map([[topic, { trail: 0, lead: sent, sent, resume: 0, filtered: 0, shed: 0 }]])
    const body = manifestBody({ number: 0, final: false, urgent: false, everyMs: 2_000, topics, gone: [], who: undefined })
    const head = { origin, seq: 0, count: 1, time: 1, kind: frameKinds.manifest, onDemand: false }
    await this.raw(sysTopic('hand', 'manifest'), encodeFrame(head, body))
  }

  async raw(...parts: readonly (string | Uint8Array)[]): Promise<void> {
    await this.#socket.send(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))))
  }

  async #readSubscriptions(): Promise<void> {
    while (!this.#socket.closed) {
      const [message] = await this.#socket.receive().catch(() => [])
      if (message === undefined) continue
      const prefix = message.toString('latin1', 1)
      if (message[0] === 1) this.prefixes.add(prefix)
      else if (message[0] === 0) this.prefixes.delete(prefix)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close()
    await this.#loop
  }
}

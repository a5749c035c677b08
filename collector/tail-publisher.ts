/**
 * Where live tails connect: frames are passed on as they came, filtered by ZeroMQ, to whoever asked for their topic.
 * A tail that does not keep up misses frames and counts them by their numbers; nobody else notices.
 */
import { type Context, XPublisher } from 'zeromq'
import { bindSocket } from '../wire/bind.ts'
import type { Endpoint } from '../wire/endpoint.ts'
import { controlBytesMax, lastWordsMs, tailHighWaterMarkFrames, upstreamHighWaterMark } from '../wire/limits.ts'
import { openSocket } from '../wire/socket.ts'
import type { TailSubscriptions } from './tail-subscriptions.ts'

export class TailPublisher {
  endpoint: Endpoint
  readonly #socket: XPublisher
  readonly #subscriptions: TailSubscriptions
  #loop: Promise<void> | undefined

  constructor(context: Context, endpoint: Endpoint, subscriptions: TailSubscriptions) {
    this.endpoint = endpoint
    this.#subscriptions = subscriptions
    this.#socket = openSocket(context, XPublisher, {
      sendTimeout: 0,
      sendHighWaterMark: tailHighWaterMarkFrames,
      maxMessageSize: controlBytesMax,
      receiveHighWaterMark: upstreamHighWaterMark,
      linger: lastWordsMs,
    })
  }

  async open(): Promise<void> {
    this.endpoint = await bindSocket(this.#socket, this.endpoint, 'tail')
    this.#loop = this.#readSubscriptions()
  }

  /** Passes a frame on if a tail asks for its topic. */
  publish(topic: string, topicBytes: Buffer, frame: Buffer): void {
    if (!this.#subscriptions.isAskedFor(topic)) return
    this.#socket.send([topicBytes, frame]).catch(() => undefined)
  }

  async #readSubscriptions(): Promise<void> {
    while (!this.#socket.closed) {
      let message: Buffer | undefined
      try {
        ;[message] = await this.#socket.receive()
      } catch {
        return
      }
      if (message === undefined || message.length === 0) continue
      const prefix = message.toString('latin1', 1)
      if (message[0] === 1) this.#subscriptions.subscribed(prefix, performance.now())
      else if (message[0] === 0) this.#subscriptions.unsubscribed(prefix, performance.now())
    }
  }

  async close(): Promise<void> {
    this.#socket.close()
    await this.#loop
  }
}

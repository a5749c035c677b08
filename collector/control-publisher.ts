/**
 * What the collector says to its agents: what is kept, what it misses, and that it lives. Each agent subscribes to its
 * own origin, so ZeroMQ's filter makes every message go to one.
 */
import { type Context, XPublisher } from 'zeromq'
import { bindSocket } from '../wire/bind.ts'
import {
  type Acknowledgement,
  type Beacon,
  beaconTopic,
  byeSuffix,
  type ControlMessage,
  type DemandNotice,
  demandTopic,
  encodeBeacon,
  encodeControl,
  encodeDemand,
} from '../wire/control.ts'
import type { Endpoint } from '../wire/endpoint.ts'
import { acknowledgementsPerMessage, controlBytesMax, controlRangesMax, lastWordsMs, upstreamHighWaterMark } from '../wire/limits.ts'
import { openSocket } from '../wire/socket.ts'
import type { Ask, OriginBook, TopicBook } from './ledger.ts'

export class ControlPublisher {
  endpoint: Endpoint
  readonly #run: string
  readonly #socket: XPublisher
  #loop: Promise<void> | undefined

  constructor(context: Context, endpoint: Endpoint, run: string) {
    this.endpoint = endpoint
    this.#run = run
    this.#socket = openSocket(context, XPublisher, {
      sendTimeout: 0,
      maxMessageSize: controlBytesMax,
      receiveHighWaterMark: upstreamHighWaterMark,
      linger: lastWordsMs,
    })
  }

  async open(): Promise<void> {
    this.endpoint = await bindSocket(this.#socket, this.endpoint, 'control')
    this.#loop = this.#discardSubscriptions()
  }

  acknowledge(books: readonly TopicBook[]): void {
    for (const [origin, list] of groupByOrigin(books, (book) => book.origin)) {
      for (const part of slices(list.map(acknowledgementOf), acknowledgementsPerMessage)) {
        this.#send(origin.origin, {
          run: this.#run,
          acknowledgements: part,
          requests: [],
        })
      }
    }
  }

  ask(asks: readonly Ask[]): void {
    for (const [origin, list] of groupByOrigin(asks, (ask) => ask.book.origin)) {
      const requests = list.flatMap(({ book, ranges }) => ranges.map(({ from, to }) => ({ topic: book.topic, from, to })))
      for (const part of slices(requests, controlRangesMax))
        this.#send(origin.origin, { run: this.#run, acknowledgements: [], requests: part })
    }
  }

  /** Everything the origin sent is kept: it may go. It goes when it hears the answer, so that comes last. */
  answerBye(book: OriginBook): void {
    const parts = [...slices([...book.topics.values()].map(acknowledgementOf), acknowledgementsPerMessage)]
    const last = parts.pop() ?? []
    for (const part of parts) this.#send(book.origin, { run: this.#run, acknowledgements: part, requests: [] })
    this.#send(book.origin + byeSuffix, { run: this.#run, acknowledgements: last, requests: [] })
  }

  beacon(beacon: Omit<Beacon, 'run'>): void {
    this.#socket.send([beaconTopic, encodeBeacon({ run: this.#run, ...beacon })]).catch(() => undefined)
  }

  /** Renews what live tails ask of the applications. */
  demand(asks: DemandNotice['asks']): void {
    this.#socket.send([demandTopic, encodeDemand({ run: this.#run, asks })]).catch(() => undefined)
  }

  #send(topic: string, message: ControlMessage): void {
    // Lost to a full pipe or a gone agent, it is said again with the next manifest.
    this.#socket.send([topic, encodeControl(message)]).catch(() => undefined)
  }

  /** Subscriptions mean nothing here, but an XPUB that is not read keeps them in memory. */
  async #discardSubscriptions(): Promise<void> {
    try {
      while (!this.#socket.closed) await this.#socket.receive()
    } catch (error) {
      if (!this.#socket.closed) throw error
    }
  }

  async close(): Promise<void> {
    this.#socket.close()
    await this.#loop
  }
}

function groupByOrigin<T>(items: readonly T[], originOf: (item: T) => OriginBook): Map<OriginBook, T[]> {
  const groups = new Map<OriginBook, T[]>()
  for (const item of items) {
    const origin = originOf(item)
    const group = groups.get(origin)
    if (group === undefined) groups.set(origin, [item])
    else group.push(item)
  }
  return groups
}

export function acknowledgementOf({ topic, kept, note }: TopicBook): Acknowledgement {
  return { topic, upTo: kept, note }
}

function* slices<T>(items: readonly T[], lengthMax: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += lengthMax) yield items.slice(at, at + lengthMax)
}

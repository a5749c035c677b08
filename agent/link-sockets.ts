/**
 * A link's two ZeroMQ sockets: the only place that sends, and the only one that reads what comes back.
 *
 * Data goes out on an XPUB with one peer that refuses instead of dropping. Both sockets are polled: nothing here ever
 * waits, nothing keeps the process alive, and no operation is pending when a worker thread ends.
 */
import { type Context, type Message, Subscriber, XPublisher } from 'zeromq'
import { beaconTopic, demandTopic } from '../wire/control.ts'
import {
  controlBytesMax,
  controlsPerPollMax,
  dataHighWaterMarkFrames,
  subscriptionsPerPollMax,
  upstreamHighWaterMark,
} from '../wire/limits.ts'
import { allowAddress, openSocket, privateContext } from '../wire/socket.ts'
import type { Heads, LinkHears, LinkNetwork, LinkSockets } from './link-network.ts'
import type { LinkEndpoints } from './options.ts'
import { isRejected, receivedHeads } from './settled.ts'

/** A context of its own for the links of one agent. */
export class ZeroMqNetwork implements LinkNetwork {
  readonly #context: Context = privateContext()

  sockets(origin: string, endpoints: LinkEndpoints, hears: LinkHears): LinkSockets {
    return new ZeroMqSockets(this.#context, origin, endpoints, hears)
  }
}

class ZeroMqSockets implements LinkSockets {
  readonly #context: Context
  readonly #origin: string
  readonly #endpoints: LinkEndpoints
  readonly #hears: LinkHears
  #data: XPublisher | undefined
  #control: Subscriber | undefined
  #isAllReadDue = false

  constructor(context: Context, origin: string, endpoints: LinkEndpoints, hears: LinkHears) {
    this.#context = context
    this.#origin = origin
    this.#endpoints = endpoints
    this.#hears = hears
  }

  get isOpen(): boolean {
    return this.#data !== undefined
  }

  open(): void {
    const data = openSocket(this.#context, XPublisher, {
      sendTimeout: 0,
      receiveTimeout: 0,
      noDrop: true,
      immediate: true,
      sendHighWaterMark: dataHighWaterMarkFrames,
      maxMessageSize: controlBytesMax,
      receiveHighWaterMark: upstreamHighWaterMark,
    })
    this.#data = data
    const control = openSocket(this.#context, Subscriber, { receiveTimeout: 0, receiveHighWaterMark: 64, maxMessageSize: controlBytesMax })
    this.#control = control
    allowAddress(data, this.#endpoints.data)
    allowAddress(control, this.#endpoints.control)
    data.connect(this.#endpoints.data)
    control.subscribe(this.#origin, beaconTopic, demandTopic)
    control.connect(this.#endpoints.control)
  }

  close(): void {
    this.#data?.close()
    this.#control?.close()
    this.#data = undefined
    this.#control = undefined
  }

  send(topic: Buffer, frame: Buffer): boolean {
    if (this.#data === undefined) return false
    const promise = this.#data.send([topic, frame])
    const isTaken = !isRejected(promise)
    promise.catch(ignore)
    return isTaken
  }

  /** Starts reading; what there was is told in the microtasks that follow. */
  read(): boolean {
    const data = this.#data
    const control = this.#control
    let subscriptions = 0
    for (; data?.readable && subscriptions < subscriptionsPerPollMax; subscriptions += 1) {
      this.#tell(data.receive(), (parts) => this.#hears.subscription(parts))
    }
    let controls = 0
    for (; control?.readable && controls < controlsPerPollMax; controls += 1) {
      this.#tell(control.receive(), (parts) => this.#hears.controlled(parts))
    }
    return subscriptions + controls > 0
  }

  #tell(promise: Promise<Message[]>, hear: (parts: Buffer[]) => void): void {
    promise.then((parts) => {
      hear(parts)
      this.#tellAllRead()
    }, ignore)
  }

  /** Once per batch of messages, after the last of them. */
  #tellAllRead(): void {
    if (this.#isAllReadDue) return
    this.#isAllReadDue = true
    queueMicrotask(() => {
      this.#isAllReadDue = false
      this.#hears.allRead()
    })
  }

  readHeads(): Heads {
    const subscriptions: Buffer[][] = []
    const data = this.#data
    for (let reads = 0; data?.readable && reads < subscriptionsPerPollMax; reads += 1) {
      const heads = receivedHeads(data.receive())
      if (heads !== undefined) subscriptions.push(heads)
    }
    const controls: Buffer[][] = []
    const control = this.#control
    for (let reads = 0; control?.readable && reads < subscriptionsPerPollMax; reads += 1) {
      const heads = receivedHeads(control.receive())
      if (heads !== undefined) controls.push(heads)
    }
    return { subscriptions, controls }
  }
}

function ignore(): void {
  // Told by the promise's state when it mattered; what is left is the rejection nobody else handles.
}

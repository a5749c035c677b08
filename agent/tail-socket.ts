/** The ZeroMQ socket an application binds for live tails: frames go out, subscriptions come in. Nothing here ever waits. */
import { type Context, XPublisher } from 'zeromq'
import { bindSocket } from '../wire/bind.ts'
import type { Endpoint } from '../wire/endpoint.ts'
import { boundHighWaterMarkFrames, controlBytesMax, subscriptionsPerPollMax, upstreamHighWaterMark } from '../wire/limits.ts'
import { openSocket, privateContext } from '../wire/socket.ts'

export interface TailSocket {
  /** Binds; rejects with a `SpillwayError` when that cannot be. To be called again then. */
  open(): Promise<void>
  /** Hands a message over. Who does not keep up misses it. Its memory is not to be written to again. */
  send(topic: Buffer, frame: Buffer): void
  /** Reads a bounded number of subscriptions; they are told when the code that runs now has ended. */
  read(hear: (message: Buffer) => void): void
  close(): void
}

const advice = 'perhaps by another process of the same application; choose another path or port'

export class ZeroMqTailSocket implements TailSocket {
  readonly #context: Context = privateContext()
  readonly #endpoint: Endpoint
  #socket: XPublisher | undefined
  #isClosed = false

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
  }

  async open(): Promise<void> {
    const socket = openSocket(this.#context, XPublisher, {
      sendTimeout: 0,
      receiveTimeout: 0,
      sendHighWaterMark: boundHighWaterMarkFrames,
      maxMessageSize: controlBytesMax,
      receiveHighWaterMark: upstreamHighWaterMark,
    })
    try {
      await bindSocket(socket, this.#endpoint, 'bind', advice)
    } catch (error) {
      socket.close()
      throw error
    }
    if (this.#isClosed) socket.close()
    else this.#socket = socket
  }

  send(topic: Buffer, frame: Buffer): void {
    this.#socket?.send([topic, frame]).catch(ignore)
  }

  read(hear: (message: Buffer) => void): void {
    const socket = this.#socket
    for (let reads = 0; socket?.readable && reads < subscriptionsPerPollMax; reads += 1) {
      socket.receive().then(([message]) => {
        if (message !== undefined) hear(message)
      }, ignore)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.close()
    this.#socket = undefined
  }
}

function ignore(): void {
  // The socket was closed meanwhile.
}

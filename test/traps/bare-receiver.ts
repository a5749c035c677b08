/** What stands where a collector would: a bare socket that binds, subscribes and keeps every message it is sent. */
import { Context, XSubscriber } from 'zeromq'
import { type DecodedFrame, decodeFrame, frameKinds } from '../../wire/frame.ts'
import { frameBytesMax } from '../../wire/limits.ts'
import { until } from '../support/until.ts'

export interface ReceivedFrame {
  readonly topic: string
  readonly frame: DecodedFrame
}

export class BareReceiver implements AsyncDisposable {
  readonly #socket: XSubscriber
  readonly frames: ReceivedFrame[] = []
  manifestCount = 0
  #loop: Promise<void> | undefined

  /** An XSUB does not filter what it receives: what it has is what was sent. */
  constructor(options: { receiveHighWaterMark?: number } = {}) {
    this.#socket = new XSubscriber({
      context: new Context(),
      linger: 0,
      maxMessageSize: 2 * frameBytesMax,
      sendHighWaterMark: 0,
      ...options,
    })
  }

  /** Tries again while the port is still being given back by the one before. */
  async bind(endpoint: string): Promise<void> {
    await until(
      () =>
        this.#socket.bind(endpoint).then(
          () => true,
          () => false,
        ),
      { what: `${endpoint} is free` },
    )
  }

  async subscribe(...prefixes: readonly string[]): Promise<void> {
    for (const prefix of prefixes) await this.sendUp(Buffer.from(`\u0001${prefix}`, 'latin1'))
  }

  unsubscribe(prefix: string): Promise<void> {
    return this.sendUp(Buffer.from(`\0${prefix}`, 'latin1'))
  }

  sendUp(...parts: readonly Buffer[]): Promise<void> {
    return this.#socket.send([...parts])
  }

  read(): void {
    this.#loop = (async () => {
      try {
        for (;;) this.#keep(await this.#socket.receive())
      } catch (error) {
        if (!this.#socket.closed) throw error
      }
    })()
  }

  #keep([topic, bytes]: readonly Buffer[]): void {
    const decoded = decodeFrame(bytes ?? Buffer.alloc(0))
    if (!decoded.ok) throw new Error(`a bad frame: ${decoded.fault}`)
    if (decoded.frame.kind === frameKinds.manifest) this.manifestCount += 1
    else this.frames.push({ topic: topic?.toString('latin1') ?? '', frame: decoded.frame })
  }

  /** Lines received under a topic that begins with `prefix`. */
  lines(prefix = 'log.'): string[] {
    return this.frames
      .filter(({ topic }) => topic.startsWith(prefix))
      .flatMap(({ frame }) => Buffer.from(frame.body).toString('utf8').split('\n').slice(0, -1))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close()
    await this.#loop
  }
}

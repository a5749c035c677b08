/**
 * Server-sent events to one page. What a page does not read waits in its socket's buffer, up to a bound that whoever
 * sends looks at: nothing is ever queued here.
 */
import type { ServerResponse } from 'node:http'
import { eventHeartbeatMs, eventStreamsMax, eventStreamUnreadBytesMax } from '../../wire/limits.ts'
import { safetyHeaders } from './answer.ts'
import { ApiError } from './api-error.ts'

export class EventStream {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
    response.writeHead(200, {
      ...safetyHeaders,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
  }

  /** Whether the page reads what it is sent. */
  get isReady(): boolean {
    return this.#response.writableLength <= eventStreamUnreadBytesMax
  }

  /** @param data - JSON on one line. */
  send(event: string, data: string): void {
    if (!this.#response.destroyed) this.#response.write(`event: ${event}\ndata: ${data}\n\n`)
  }

  beat(): void {
    if (!this.#response.destroyed && this.isReady) this.#response.write(':\n\n')
  }

  end(): void {
    this.#response.end()
  }
}

/** All streams that are open: so many and no more, and one clock for the signs of life of all of them. */
export class EventStreams {
  readonly #open = new Set<EventStream>()
  #timer: NodeJS.Timeout | undefined

  /**
   * @param closed - Called once, when the page has left or {@link close} was called.
   * @throws {@link ApiError} `too_many`
   */
  open(response: ServerResponse, closed: (stream: EventStream) => void): EventStream {
    // Its answer would be over, and the stream would not.
    if (response.req.method === 'HEAD') throw new ApiError('method_not_allowed', 'only GET is answered here')
    if (this.#open.size >= eventStreamsMax)
      throw new ApiError('too_many', `${eventStreamsMax} event streams are open, and there may not be more; close another page`)
    const stream = new EventStream(response)
    this.#open.add(stream)
    this.#timer ??= setInterval(() => {
      for (const each of this.#open) each.beat()
    }, eventHeartbeatMs)
    response.once('close', () => {
      this.#open.delete(stream)
      if (this.#open.size === 0) {
        clearInterval(this.#timer)
        this.#timer = undefined
      }
      closed(stream)
    })
    return stream
  }

  get size(): number {
    return this.#open.size
  }

  close(): void {
    for (const stream of this.#open) stream.end()
  }
}

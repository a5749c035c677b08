/** A server that answers writes as a test says: well, badly, slowly, without end, or not at all. Keeps what it took. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { gunzipSync } from 'node:zlib'

export type Answer =
  | { readonly kind: 'status'; readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  /** Accepts the request and says nothing; `isStored`: but keeps its lines. */
  | { readonly kind: 'hang'; readonly isStored?: boolean }
  /** A status and then a byte of the body every so often, for ever. */
  | { readonly kind: 'drip'; readonly status: number; readonly everyMs: number }
  /** A status, half of a body, and the connection is reset; `isStored`: but keeps its lines. */
  | { readonly kind: 'reset'; readonly status: number; readonly isStored?: boolean }
  /** A status and a body of so many bytes. */
  | { readonly kind: 'long'; readonly status: number; readonly bytes: number; readonly type: string }
  /** Resets the connection without reading. */
  | { readonly kind: 'slam' }

export interface TakenRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly lines: readonly string[]
  readonly isGzip: boolean
}

/** Good for everything: stores the lines. */
export const stored: Answer = { kind: 'status', status: 204 }

export class ScriptedInflux implements AsyncDisposable {
  readonly requests: TakenRequest[] = []
  /** Lines that were stored, and how often each was. */
  readonly stored = new Map<string, number>()
  /** What a request is answered with. */
  answer: (request: TakenRequest, number: number) => Answer | Promise<Answer> = () => stored
  /** Connections that are open. */
  readonly sockets = new Set<Socket>()
  /** Bytes it managed to send of long answers. */
  bytesSent = 0
  readonly #server = createServer((request, response) => void this.#take(request, response))

  static async start(): Promise<ScriptedInflux> {
    const influx = new ScriptedInflux()
    influx.#server.on('connection', (socket) => {
      influx.sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => influx.sockets.delete(socket))
    })
    influx.#server.listen(0, '127.0.0.1')
    await once(influx.#server, 'listening')
    return influx
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    try {
      for await (const part of request) parts.push(part as Buffer)
    } catch {
      return
    }
    const raw = Buffer.concat(parts)
    const isGzip = request.headers['content-encoding'] === 'gzip'
    const text = (isGzip ? gunzipSync(raw) : raw).toString('utf8')
    const { method = '', url = '', headers } = request
    const taken = { method, url, headers, lines: text === '' ? [] : text.split('\n'), isGzip }
    this.requests.push(taken)
    await this.#give(await this.answer(taken, this.requests.length - 1), taken, response)
  }

  store(lines: readonly string[]): void {
    for (const line of lines) this.stored.set(line, (this.stored.get(line) ?? 0) + 1)
  }

  async #give(answer: Answer, { lines }: TakenRequest, response: ServerResponse): Promise<void> {
    switch (answer.kind) {
      case 'status':
        if (answer.status === 204) this.store(lines)
        response.writeHead(answer.status, answer.headers).end(answer.body)
        return
      case 'hang':
        if (answer.isStored) this.store(lines)
        return
      case 'drip': {
        response.writeHead(answer.status, { 'content-type': 'text/plain' })
        const timer = setInterval(() => response.write('.'), answer.everyMs)
        response.once('close', () => clearInterval(timer))
        return
      }
      case 'reset':
        if (answer.isStored) this.store(lines)
        response.writeHead(answer.status, { 'content-type': 'application/json', 'content-length': '1000' })
        response.write('{"error":"half', () => response.socket?.resetAndDestroy())
        return
      case 'long': {
        response.writeHead(answer.status, { 'content-type': answer.type })
        const part = Buffer.alloc(65_536, 'x')
        const closed = once(response, 'close')
        while (this.bytesSent < answer.bytes && !response.destroyed) {
          this.bytesSent += part.length
          if (!response.write(part)) await Promise.race([new Promise((resolve) => response.once('drain', resolve)), closed])
        }
        response.end()
        return
      }
      case 'slam':
        response.socket?.resetAndDestroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    for (const socket of this.sockets) socket.destroy()
  }
}

/** `GET /healthz`, `/status.json`, `/metrics` and `/windows.json`, for people and for machines. Read-only; no other method, no other origin. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inUse } from '../wire/bind.ts'
import { isLoopbackHost } from '../wire/endpoint.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { MetricFamily } from './exposition/metric-family.ts'
import { negotiated } from './exposition/negotiate.ts'
import type { WindowsStatus } from './rollup/window-summary.ts'
import type { CollectorStatus } from './status.ts'

export interface HttpAddress {
  readonly host: string
  readonly port: number
}

/** What it answers with, made when it is asked for. */
export interface HttpAnswers {
  status(): CollectorStatus
  metrics(): readonly MetricFamily[]
  windows(service: string | undefined): WindowsStatus
}

export class HttpServer {
  address: HttpAddress
  readonly #server: Server
  readonly #answers: HttpAnswers

  constructor(address: HttpAddress, answers: HttpAnswers) {
    this.address = address
    this.#answers = answers
    // A client that dawdles costs one socket for a while, never more. Node looks at them every 30 s unless told otherwise.
    this.#server = createServer({ connectionsCheckingInterval: 1_000 }, (request, response) => this.#answer(request, response))
    this.#server.headersTimeout = 5_000
    this.#server.requestTimeout = 10_000
    this.#server.maxConnections = 256
    // A connection that cannot be accepted is its client's loss; unheard, the second such error would end the process.
    this.#server.on('error', () => undefined)
  }

  async open(): Promise<void> {
    const { host, port } = this.address
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') reject(inUse(`${host}:${port}`, 'http'))
        else reject(new SpillwayError('SPW_BIND_REFUSED', `http: cannot listen on ${host}:${port}: ${error.message}`, { cause: error }))
      })
      this.#server.listen(port, host, resolve)
    })
    const bound = this.#server.address() as AddressInfo
    this.address = { host, port: bound.port }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    if (!this.#isForUs(request)) return send(response, 403, 'text/plain', 'this server answers requests to its own address only\n')
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405, 'text/plain', 'only GET is answered here\n')
    const [path, query] = (request.url ?? '/').split('?', 2)
    if (path === '/healthz') return send(response, 200, 'text/plain', 'ok\n')
    if (path === '/status.json') return send(response, 200, 'application/json', `${JSON.stringify(this.#answers.status())}\n`)
    if (path === '/metrics') return this.#sendMetrics(request, response)
    if (path === '/windows.json') {
      const service = new URLSearchParams(query).get('service') ?? undefined
      return send(response, 200, 'application/json', `${JSON.stringify(this.#answers.windows(service))}\n`)
    }
    send(response, 404, 'text/plain', 'not here; there are /healthz, /status.json, /metrics and /windows.json\n')
  }

  #sendMetrics(request: IncomingMessage, response: ServerResponse): void {
    const { type, write } = negotiated(request.headers.accept)
    response.setHeader('vary', 'accept')
    send(response, 200, type, write(this.#answers.metrics()))
  }

  /** A web page elsewhere can make a browser send requests here under a name of its own; those carry that name. */
  #isForUs(request: IncomingMessage): boolean {
    if (!isLoopbackHost(this.address.host)) return true
    const name = (request.headers.host ?? '').replace(/:\d+$/, '')
    return isLoopbackHost(name)
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, {
    'content-type': typeof body === 'string' ? `${type}; charset=utf-8` : type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}

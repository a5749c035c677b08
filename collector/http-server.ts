/**
 * The http server: what connections may take of it, which requests are answered at all, and who answers them.
 *
 *   connection ─ bounded ─► request ─ Host, Origin, Sec-Fetch-Site ─► route ─ method, session ─► answer
 *
 * `/healthz`, `/status.json`, `/metrics` and `/windows.json` are here; the page and its API are handed in as routes.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inUse } from '../wire/bind.ts'
import { isLoopbackHost } from '../wire/endpoint.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { MetricFamily } from './exposition/metric-family.ts'
import { negotiated } from './exposition/negotiate.ts'
import { send, sendError, sendJson } from './http/answer.ts'
import { ApiError } from './http/api-error.ts'
import { refusal } from './http/request-guard.ts'
import { type Call, Query, type Route, RouteTable } from './http/route.ts'
import { sessionRoute } from './http/session-route.ts'
import { Sessions } from './http/sessions.ts'
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

export interface HttpOptions {
  /** Must be known by who asks; nobody needs to without it. */
  readonly token?: string | undefined
  /** Names under which it may be asked, beside those of loopback. */
  readonly names?: readonly string[]
  /** The page and its API. */
  readonly routes?: readonly Route[]
}

/** A page that is suspended reads nothing, and asks again when it goes on. */
const idleConnectionMs = 60_000
/** A request and all its headers: a browser's are below 4 KiB, with a long address of a live page beside. */
const headersBytesMax = 49_152
const headersMax = 100

export class HttpServer {
  address: HttpAddress
  readonly #server: Server
  readonly #names: readonly string[]
  readonly #routes: RouteTable
  readonly #sessions: Sessions | undefined

  constructor(address: HttpAddress, answers: HttpAnswers, { names = [], routes = [], token }: HttpOptions = {}) {
    this.address = address
    this.#names = names.map((name) => name.toLowerCase())
    const ends = { port: () => this.address.port, timeMs: () => Date.now() }
    this.#sessions = token === undefined ? undefined : new Sessions({ token, ...ends })
    this.#routes = new RouteTable([...ownRoutes(answers), sessionRoute(this.#sessions), ...routes])
    // A client that dawdles costs one socket for a while, never more. Node looks at them every 30 s unless told otherwise.
    const limits = { connectionsCheckingInterval: 1_000, maxHeaderSize: headersBytesMax }
    this.#server = createServer(limits, (request, response) => void this.#answer(request, response))
    this.#server.headersTimeout = 5_000
    this.#server.requestTimeout = 10_000
    // Neither is one that does not read its answer, however long that is.
    this.#server.timeout = idleConnectionMs
    this.#server.maxConnections = 256
    this.#server.maxHeadersCount = headersMax
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

  /** Never throws, and leaves no answer open that nobody works on. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/', text = ''] = splitUrl(request.url ?? '/')
    try {
      const routes = this.#routes.at(path)
      const why = refusal(request.headers, { host: this.address.host, names: this.#names }, { isPage: routes.some(({ isPage }) => isPage) })
      if (why !== undefined) throw new ApiError('forbidden', why)
      const route = routeFor(request, routes, this.#routes.paths)
      if (!route.isOpen) this.#checkSession(request, route)
      await route.answer({ request, response, query: new Query(text) })
    } catch (error) {
      if (error instanceof ApiError && error.code === 'unauthorised') response.setHeader('www-authenticate', 'Bearer')
      if (path.startsWith('/api/') || response.headersSent || !(error instanceof ApiError)) sendError(response, error)
      else send(response, error.status, 'text/plain', `${error.message}\n`)
    }
  }

  /** @throws {@link ApiError} */
  #checkSession({ headers }: IncomingMessage, { isDashboard }: Route): void {
    if (this.#sessions?.isKnown(headers) === false)
      throw new ApiError('unauthorised', 'expected the header "authorization: Bearer TOKEN", or the cookie that POST /api/v1/session gives')
    if (this.#sessions === undefined && isDashboard && !isLoopbackHost(this.address.host))
      throw new ApiError('forbidden', 'beyond loopback this needs "auth" in the configuration: records would be shown to anybody')
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

function ownRoutes(answers: HttpAnswers): Route[] {
  const get = (path: string, answer: (call: Call) => void): Route => ({ method: 'GET', path, answer })
  return [
    { ...get('/healthz', ({ response }) => send(response, 200, 'text/plain', 'ok\n')), isOpen: true },
    get('/status.json', ({ response }) => sendJson(response, answers.status())),
    get('/metrics', ({ request, response }) => {
      const { type, write } = negotiated(request.headers.accept)
      send(response, 200, type, write(answers.metrics()), { vary: 'accept' })
    }),
    get('/windows.json', ({ query, response }) => sendJson(response, answers.windows(query.all('service')[0]))),
  ]
}

/** @throws {@link ApiError} */
function routeFor({ method }: IncomingMessage, routes: readonly Route[], paths: readonly string[]): Route {
  const asked = method === 'HEAD' ? 'GET' : method
  const route = routes.find((each) => each.method === asked)
  if (route !== undefined) return route
  if (routes.length > 0 || (asked !== 'GET' && asked !== 'POST'))
    throw new ApiError('method_not_allowed', `only ${routes.map((each) => each.method).join(' and ') || 'GET'} is answered here`)
  const known = paths.filter((path) => !path.startsWith('/assets/'))
  throw new ApiError('not_found', `not here; there are ${known.join(', ')}`)
}

function splitUrl(url: string): readonly [path: string, query: string] {
  const at = url.indexOf('?')
  return at === -1 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
}

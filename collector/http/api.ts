/** What is answered under `/api/v1/`, of what happens now; docs/DASHBOARDS.md and docs/openapi.json describe all of it. */
import { version } from '../../wire/version.ts'
import type { CollectorStatus } from '../status.ts'
import { LiveFilter } from '../watch/live-filter.ts'
import type { LivePages } from '../watch/live-pages.ts'
import type { Pulse } from '../watch/pulse.ts'
import { send, sendJson } from './answer.ts'
import { ApiError } from './api-error.ts'
import { apiPrefix } from './api-prefix.ts'
import type { EventStream, EventStreams } from './event-stream.ts'
import { openapi } from './openapi.ts'
import type { Call, Route } from './route.ts'

export interface ApiParts {
  /** Random, new at each start of a collector. */
  readonly run: string
  status(): CollectorStatus
  readonly pulse: Pulse
  readonly live: LivePages
  readonly streams: EventStreams
}

export function apiRoutes({ run, status, pulse, live, streams }: ApiParts): Route[] {
  const get = (path: string, answer: Route['answer']): Route => ({ method: 'GET', path: `${apiPrefix}${path}`, isDashboard: true, answer })
  return [
    get('/openapi.json', ({ query, response }) => {
      query.allow()
      sendJson(response, openapi)
    }),
    get('/status', ({ query, response }) => {
      query.allow()
      sendJson(response, status())
    }),
    get('/overview', ({ query, response }) => {
      query.allow()
      send(response, 200, 'application/json', `${pulse.now().overviewJson}\n`)
    }),
    get('/flow', ({ query, response }) => {
      query.allow()
      send(response, 200, 'application/json', `${pulse.now().flowJson}\n`)
    }),
    get('/events', ({ query, response }) => {
      query.allow()
      let stop: (() => void) | undefined
      const stream = streams.open(response, () => stop?.())
      greet(stream, run, pulse)
      stop = pulse.listen(({ overviewJson, flowJson }) => {
        // Who does not read gets the next one: only the newest is of use.
        if (!stream.isReady) return
        stream.send('overview', overviewJson)
        stream.send('flow', flowJson)
      })
    }),
    get('/live', (call) => openLive(call, { run, pulse, live, streams })),
  ]
}

function openLive({ request, query, response }: Call, { run, pulse, live, streams }: Omit<ApiParts, 'status'>): void {
  query.allow('topic', 'level', 'service', 'where', 'grep', 'ask')
  const filter = new LiveFilter(query)
  // What makes applications log more must be meant: a browser led here by a picture or a link does not say this.
  if (filter.asks.length > 0 && !/\btext\/event-stream\b/.test(request.headers.accept ?? ''))
    throw new ApiError('bad_request', 'ask: only with the header "accept: text/event-stream"')
  const stream = streams.open(response, (closed) => live.closed(closed))
  greet(stream, run, pulse)
  live.open(stream, filter)
}

function greet(stream: EventStream, run: string, pulse: Pulse): void {
  stream.send('hello', JSON.stringify({ version, run, startedAt: pulse.startedAt }))
}

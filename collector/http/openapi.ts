/**
 * The API, described for programs: OpenAPI 3.1, answered under `/api/v1/openapi.json`. A test holds every answer against it,
 * and every route. Objects have the properties that stand here and no others, unless it says so.
 */
import { apiFilterValuesMax, attributeValuesListedMax, eventStreamsMax, livePageRecordsMax, seriesPointsMax } from '../../wire/limits.ts'
import { version } from '../../wire/version.ts'
import { shows } from '../kept/series-query.ts'
import { apiPrefix } from './api-prefix.ts'

type Schema = Readonly<Record<string, unknown>>

const text = (description?: string): Schema => ({ type: 'string', ...(description && { description }) })
const number = (description?: string): Schema => ({ type: 'number', ...(description && { description }) })
const count = (description?: string): Schema => ({ type: 'integer', minimum: 0, ...(description && { description }) })
const time = (description = 'Unix ms'): Schema => ({ type: 'integer', description })
const list = (items: Schema): Schema => ({ type: 'array', items })
const map = (values: Schema): Schema => ({ type: 'object', additionalProperties: values })
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] })
const oneOf = (...values: readonly string[]): Schema => ({ type: 'string', enum: values })
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })

function object(properties: Readonly<Record<string, Schema>>, description?: string): Schema {
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false, ...(description && { description }) }
}

const lossByReason = map(count())
const levelRates = map(number())

const schemas: Readonly<Record<string, Schema>> = {
  Error: {
    ...object({
      error: { ...object({ code: text(), message: text(), column: count('of an expression, from 1') }), required: ['code', 'message'] },
    }),
  },
  Sink: object({
    name: text(),
    type: text(),
    topics: list(text()),
    ratePerSecond: number('records written; 0 in the first answer after nobody looked'),
    written: count('since the start'),
    lagRecords: count('records that wait for it'),
    lagMs: number('age of the oldest of them'),
    rejected: count('refused for good'),
    expired: count('given up by a full spool before it had taken them'),
    state: oneOf('ok', 'stalled', 'failing'),
    lastError: orNull(text()),
    where: text('file, server or stream'),
  }),
  Service: object({
    service: text(),
    origins: object({
      live: count(),
      closed: count('said goodbye'),
      unclean: count('gone without a goodbye'),
      lost: count('three signs of life missed'),
    }),
    rates: levelRates,
    history: object({
      stepMs: number(),
      from: time('beginning of the first step, Unix ms'),
      levels: map(list(number('records a second'))),
    }),
    errorsPerSecond: number('error and fatal'),
    pointsPerSecond: number('of metrics'),
    lost: object({ total: count(), perSecond: number(), byReason: lossByReason }),
    eventLoopP99Ms: orNull(number('of the worst process')),
    cpuCores: orNull(number('of all processes together')),
    rssBytes: orNull(number('of all processes together')),
    problems: list(object({ severity: oneOf('error', 'warn'), text: text() })),
  }),
  Overview: object({
    at: time(),
    intervalMs: count(),
    services: list(ref('Service')),
    collector: object({ version: text(), startedAt: time(), rssBytes: count(), cpuCores: number() }),
    sinks: list(ref('Sink')),
  }),
  Flow: object({
    at: time(),
    apps: list(
      object({
        service: text(),
        origins: count('processes that live'),
        ratePerSecond: number(),
        bytesPerSecond: number(),
        inFlight: count(),
        lost: lossByReason,
      }),
    ),
    collector: object({
      receivedPerSecond: number(),
      spooledPerSecond: number(),
      notDurable: count(),
      spool: object({ bytes: count(), maxBytes: count(), error: orNull(text()) }),
    }),
    sinks: list(ref('Sink')),
    books: object(
      Object.fromEntries(
        ['accepted', 'received', 'lost', 'spooled', 'stored', 'pending', 'rejected', 'expired', 'notDurable', 'inFlight'].map((name) => [
          name,
          count(),
        ]),
      ),
      'accepted = stored + lost + expired + rejected + inFlight',
    ),
  }),
  Hello: object({ version: text(), run: text('another one after each start of the collector'), startedAt: time() }),
  Record: object({
    topic: text(),
    service: text(),
    level: orNull(text()),
    time: number('Unix ms: its own, else that of its frame'),
    host: orNull(text()),
    origin: text(),
    seq: count('its number among those of its origin and topic'),
    line: text('as it was logged, without its line feed'),
  }),
  KeptRecord: object({
    topic: text(),
    service: text(),
    level: text(),
    time: number('Unix ms'),
    host: orNull(text()),
    origin: { type: 'null', description: 'files do not hold it' },
    seq: { type: 'null' },
    line: text('as it was logged, without its line feed'),
  }),
  KeptEnd: object(
    {
      end: { const: true },
      cursor: orNull(text('to be given as "before" for what is older')),
      more: { type: 'boolean', description: 'whether there may be more' },
      unreadable: list(text()),
      tooCostly: count('left out because the condition took too long for them'),
      behind: { type: 'boolean', description: 'records that have been received are not in the files yet, and missing here' },
    },
    'the last line; an answer without it is not whole',
  ),
  LiveCounts: object({
    rate: count('records a second, by topic, level and service'),
    shown: count('since the stream began, as are the following'),
    filtered: count('looked at and not shown'),
    skipped: count(`not looked at: the page did not keep up; ${livePageRecordsMax} wait at most`),
    missed: count('given up before the collector had them'),
    tooCostly: count('not shown because the condition took too long for them'),
  }),
  Metrics: object({
    metrics: list(
      object({
        name: text(),
        type: oneOf('counter', 'updowncounter', 'gauge', 'histogram'),
        unit: text(),
        description: text(),
        services: list(text()),
        attributes: { ...map(list(text())), description: `values of each, at most ${attributeValuesListedMax}` },
      }),
    ),
    truncated: { type: 'boolean', description: 'there are more than are listed' },
    kept: object({
      bytes: count(),
      bytesMax: count(),
      series: count('in the newest file'),
      seriesMax: count(),
      valuesNotKept: count('there was no room for their series'),
      slotsLost: count('could not be written'),
      oldestMs: object({ '10s': orNull(time()), '1m': orNull(time()) }),
      error: orNull(text()),
    }),
  }),
  Series: object({
    stepMs: count(),
    from: time(),
    show: oneOf(...shows),
    times: list(time('beginning of each step, Unix ms')),
    series: list(object({ labels: map(text()), values: list(orNull(number())) })),
    source: oneOf('memory', '10s', '1m'),
    truncated: { type: 'boolean', description: 'there are more series than are answered' },
  }),
  Heatmap: object({
    stepMs: count(),
    from: time(),
    times: list(time()),
    bounds: list(number('ends of the rows, lowest first: one more than rows')),
    counts: list({ ...list(count()), description: 'of one step, from the lowest row; empty when there was nothing' }),
    source: oneOf('memory', '10s', '1m'),
  }),
}

const query = (name: string, description: string, schema: Schema = text(), isMany = false): Schema => ({
  name,
  in: 'query',
  description,
  schema: isMany ? { ...list(schema), maxItems: apiFilterValuesMax } : schema,
  ...(name === 'metric' && { required: true }),
})

const stretch = [
  query('metric', 'name of one'),
  query('service', 'of these services; of all, if not given', text(), true),
  query('from', 'an hour ago, if not given', time()),
  query('to', 'now, if not given', time()),
  query('step', `ms; rounded up to what is kept; at most ${seriesPointsMax} of them`, count()),
  query('where', 'ATTRIBUTE:VALUE; all of them', text(), true),
]
const chosen = [
  query('topic', 'pattern, such as log.error.>', text(), true),
  query('level', 'this one and above', oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal')),
  query('service', 'of one of these', text(), true),
  query('where', 'a condition; docs/QUERY.md'),
  query('grep', 'holds one of these: a text, or a /regular expression/', text(), true),
]

const problem = { description: 'what was wrong', content: { 'application/json': { schema: ref('Error') } } }

function answered(
  summary: string,
  type: string,
  schema: Schema,
  parameters: readonly Schema[] = [],
  failures: readonly string[] = [],
): Schema {
  const codes = ['400', '401', '403', ...failures]
  return {
    get: {
      summary,
      parameters,
      responses: {
        200: { description: summary, content: { [type]: { schema } } },
        ...Object.fromEntries(codes.map((code) => [code, problem])),
      },
    },
  }
}

const json = (summary: string, name: string, parameters?: readonly Schema[], failures?: readonly string[]) =>
  answered(summary, 'application/json', ref(name), parameters, failures)

/** Events by name, and the schema of the data of each. */
function events(summary: string, data: Readonly<Record<string, Schema>>, parameters?: readonly Schema[]): Schema {
  const schema = { type: 'string', description: 'server-sent events; of each name the data are JSON', 'x-events': data }
  return answered(`${summary}; at most ${eventStreamsMax} streams at a time`, 'text/event-stream', schema, parameters, ['503'])
}

const session = {
  post: {
    summary: 'exchanges the token for a cookie',
    security: [],
    requestBody: { required: true, content: { 'application/json': { schema: object({ token: text() }) } } },
    responses: { 204: { description: 'the cookie is set' }, 400: problem, 401: problem, 404: problem, 413: problem },
  },
}

export const openapi: {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Schema>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> } & Schema
} & Schema = {
  openapi: '3.1.0',
  info: { title: 'Spillway collector', version, description: 'What happens now, and metrics of the last week. See docs/DASHBOARDS.md.' },
  servers: [{ url: 'http://127.0.0.1:7700' }],
  security: [{}, { token: [] }, { cookie: [] }],
  paths: {
    [`${apiPrefix}/openapi.json`]: answered('this description', 'application/json', { type: 'object' }),
    [`${apiPrefix}/status`]: answered('the books; docs/STATUS.md', 'application/json', { type: 'object' }),
    [`${apiPrefix}/overview`]: json('services, worst first', 'Overview'),
    [`${apiPrefix}/flow`]: json('rates and books from applications to sinks', 'Flow'),
    [`${apiPrefix}/events`]: events('overview and flow, once a second', {
      hello: ref('Hello'),
      overview: ref('Overview'),
      flow: ref('Flow'),
    }),
    [`${apiPrefix}/live`]: events(
      'records as they come',
      { hello: ref('Hello'), records: list(ref('Record')), counts: ref('LiveCounts') },
      [
        ...chosen,
        query(
          'ask',
          'has the applications log this too while the stream is open; needs "accept: text/event-stream"',
          oneOf('debug', 'trace'),
        ),
      ],
    ),
    [`${apiPrefix}/records`]: answered(
      'records in the files, oldest first, one to a line',
      'application/x-ndjson',
      { anyOf: [ref('KeptRecord'), ref('KeptEnd')] },
      [
        ...chosen,
        query('since', 'Unix ms, an ISO time, or how long ago, such as 10m', text()),
        query('until', 'the same; not included', text()),
        query('last', 'the newest so many; 500 unless since is given', count()),
        query('before', 'the cursor of an earlier answer', text()),
        query('limit', 'at most so many, the oldest, from since on', count()),
        query('tail', 'the name of a live tail that goes on from here', text()),
      ],
      ['503'],
    ),
    [`${apiPrefix}/metrics`]: json('metrics there are', 'Metrics'),
    [`${apiPrefix}/series`]: json(
      'a metric over time',
      'Series',
      [
        ...stretch,
        query('by', 'tells series apart: attributes, or service', text(), true),
        query('show', 'see docs/DASHBOARDS.md', oneOf(...shows)),
      ],
      ['503'],
    ),
    [`${apiPrefix}/heatmap`]: json('counts of a histogram over time', 'Heatmap', stretch, ['503']),
    [`${apiPrefix}/session`]: session,
  },
  components: {
    schemas,
    securitySchemes: { token: { type: 'http', scheme: 'bearer' }, cookie: { type: 'apiKey', in: 'cookie', name: 'spillway-7700' } },
  },
}

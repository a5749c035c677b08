/** One request and what its answer means; over real connections to a server that answers as it is told. */
import { expect, test } from 'vitest'
import type { InfluxTargetConfig } from '../../../collector/sinks/influx/influx-config.ts'
import { InfluxTarget, type WriteOutcome } from '../../../collector/sinks/influx/influx-target.ts'
import { type Answer, ScriptedInflux } from '../../support/scripted-influx.ts'
import { until } from '../../support/until.ts'

const base = {
  version: 'auto',
  org: undefined,
  bucket: undefined,
  database: undefined,
  retentionPolicy: undefined,
  token: undefined,
  user: undefined,
  password: undefined,
  gzip: true,
  timeoutMs: 2_000,
} as const
const never = new AbortController().signal

async function withServer<T>(
  more: Partial<InfluxTargetConfig>,
  run: (target: InfluxTarget, server: ScriptedInflux) => Promise<T>,
): Promise<T> {
  await using server = await ScriptedInflux.start()
  const target = new InfluxTarget({ ...base, url: server.url, ...more })
  try {
    return await run(target, server)
  } finally {
    target.close()
  }
}

/** What becomes of a write that is answered so. */
function outcomeOf(answer: Answer, more: Partial<InfluxTargetConfig> = {}): Promise<WriteOutcome> {
  return withServer({ org: 'acme', bucket: 'b', ...more }, (target, server) => {
    server.answer = () => answer
    return target.write('m f=1 1', never)
  })
}

test.each([
  [{ version: '2', org: 'a c', bucket: 'b&c', token: 't' }, '/api/v2/write?org=a+c&bucket=b%26c&precision=ns', 'Token t'],
  [{ version: '3', database: 'd', token: 't' }, '/api/v2/write?bucket=d&precision=ns', 'Token t'],
  [{ version: 'auto', org: 'a', bucket: 'b', token: 't' }, '/api/v2/write?org=a&bucket=b&precision=ns', 'Token t'],
  [{ version: '1', database: 'd', retentionPolicy: 'week', user: 'u', password: 'p:w' }, '/write?db=d&rp=week', `Basic ${btoa('u:p:w')}`],
  [{ version: '1', database: 'd' }, '/write?db=d', undefined],
  [{ version: 'victoriametrics' }, '/write', undefined],
] as const)('%j is written to %s', async (more, path, authorization) => {
  await withServer(more, async (target, server) => {
    expect(await target.write('m f=1 1', never)).toEqual({ kind: 'written' })
    expect(server.requests).toMatchObject([{ method: 'POST', url: path, lines: ['m f=1 1'], isGzip: false }])
    expect(server.requests[0]?.headers.authorization).toBe(authorization)
    expect(server.requests[0]?.headers['content-type']).toBe('text/plain; charset=utf-8')
  })
})

test.each([
  ['1.8.10', '/write?db=d'],
  ['v2.7.1', '/api/v2/write?bucket=d&precision=ns'],
  ['3.0.0', '/api/v2/write?bucket=d&precision=ns'],
  [undefined, '/write?db=d'],
])('asked what it is, a server that says %s is written to %s', async (version, path) => {
  await withServer({ database: 'd' }, async (target, server) => {
    const headers: Record<string, string> = version === undefined ? {} : { 'X-Influxdb-Version': version }
    server.answer = () => ({ kind: 'status', status: 204, headers })
    expect(await target.write('m f=1 1', never)).toEqual({ kind: 'written' })
    await target.write('m f=1 2', never)
    expect(server.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /ping', `POST ${path}`, `POST ${path}`])
  })
})

test('long bodies are compressed unless that is switched off, over one connection', async () => {
  const body = Array.from({ length: 100 }, (_, n) => `m,host=a f=${n} ${n}`).join('\n')
  for (const gzip of [true, false]) {
    await withServer({ org: 'a', bucket: 'b', gzip }, async (target, server) => {
      for (let i = 0; i < 3; i += 1) expect(await target.write(body, never)).toEqual({ kind: 'written' })
      expect(server.requests).toHaveLength(3)
      for (const request of server.requests) {
        expect(request.isGzip).toBe(gzip)
        expect(request.lines.join('\n')).toBe(body)
      }
      expect(server.sockets.size).toBe(1)
    })
  }
})

test.each([
  [400, 'partial write: field type conflict dropped=2', { kind: 'badLines', dropped: 2 }],
  [400, 'unable to parse', { kind: 'badLines', dropped: undefined }],
  [422, 'failure writing points', { kind: 'badLines' }],
  [401, 'unauthorized access', { kind: 'refused' }],
  [403, 'forbidden', { kind: 'refused' }],
  [404, 'bucket not found', { kind: 'refused' }],
  [405, 'method not allowed', { kind: 'refused' }],
  [413, 'too large', { kind: 'tooLarge' }],
  [408, 'slow', { kind: 'unavailable' }],
  [429, 'too many', { kind: 'unavailable', retryAfterMs: undefined }],
  [500, 'internal', { kind: 'unavailable' }],
  [503, 'unavailable', { kind: 'unavailable' }],
])('%i %s', async (status, error, expected) => {
  for (const body of [JSON.stringify({ error }), JSON.stringify({ code: 'some', message: error }), error]) {
    const outcome = await outcomeOf({
      kind: 'status',
      status,
      body,
      headers: { 'content-type': body.startsWith('{') ? 'application/json' : 'text/plain' },
    })
    expect(outcome).toMatchObject({ ...expected, message: `${status} ${error}` })
  }
})

test.each([
  ['30', 30_000],
  ['100000', 300_000],
  [new Date(Date.now() + 3_600_000).toUTCString(), 300_000],
  ['nonsense', undefined],
])('Retry-After: %s', async (retryAfter, retryAfterMs) => {
  for (const status of [429, 503])
    expect(await outcomeOf({ kind: 'status', status, headers: { 'retry-after': retryAfter } })).toMatchObject({
      kind: 'unavailable',
      retryAfterMs,
    })
})

test('a redirect is not followed', async () => {
  await using elsewhere = await ScriptedInflux.start()
  for (const status of [301, 302, 307, 308]) {
    expect(await outcomeOf({ kind: 'status', status, headers: { location: elsewhere.url } }, { token: 'secret' })).toMatchObject({
      kind: 'refused',
    })
  }
  expect(elsewhere.requests).toEqual([])
})

test.each([
  ['hangs', { kind: 'hang' }],
  ['drips', { kind: 'drip', status: 400, everyMs: 20 }],
  ['drips success', { kind: 'drip', status: 200, everyMs: 20 }],
] as const)('a server that %s is given up in time, and its connection ended', async (_what, answer) => {
  await withServer({ bucket: 'b', org: 'a', timeoutMs: 300 }, async (target, server) => {
    server.answer = () => answer
    expect(await target.write('m f=1 1', never)).toEqual({
      kind: 'unavailable',
      message: 'no whole answer within 300 ms',
      retryAfterMs: undefined,
    })
    await until(() => server.sockets.size === 0, { what: 'the connection is gone' })
    // The next one gets a connection of its own.
    server.answer = () => ({ kind: 'status', status: 204 })
    expect(await target.write('m f=1 1', never)).toEqual({ kind: 'written' })
  })
})

test.each([400, 503, 200])('an answer with %i that is cut off says nothing', async (status) => {
  expect(await outcomeOf({ kind: 'reset', status })).toMatchObject({ kind: 'unavailable' })
})

test('a kept connection that the server has closed meanwhile is no outage', async () => {
  await withServer({ bucket: 'b', org: 'a' }, async (target, server) => {
    expect(await target.write('m f=1 1', never)).toEqual({ kind: 'written' })
    server.answer = (_request, number) => (number === 1 ? { kind: 'slam' } : { kind: 'status', status: 204 })
    expect(await target.write('m f=1 2', never)).toEqual({ kind: 'written' })
    expect(server.requests).toHaveLength(3)
  })
})

test('connections that are reset or refused are an outage', async () => {
  expect(await outcomeOf({ kind: 'slam' })).toMatchObject({ kind: 'unavailable' })
  const gone = await withServer({}, async (_target, server) => server.url)
  const target = new InfluxTarget({ ...base, url: gone, bucket: 'b', org: 'a' })
  expect(await target.write('m f=1 1', never)).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('ECONNREFUSED') })
  target.close()
})

test.each([
  [400, 'application/json', 'badLines'],
  [400, 'text/plain', 'badLines'],
  [413, 'text/html', 'tooLarge'],
  [503, 'application/json', 'unavailable'],
  [200, 'text/plain', 'unavailable'],
])('an answer of 10 MB with %i as %s is not read to its end, and its status counts', async (status, type, kind) => {
  await withServer({ bucket: 'b', org: 'a' }, async (target, server) => {
    server.answer = () => ({ kind: 'long', status, type, bytes: 10_000_000 })
    const outcome = await target.write('m f=1 1', never)
    expect(outcome.kind).toBe(kind)
    if ('message' in outcome) expect(outcome.message.length).toBeLessThan(500)
    await until(() => server.sockets.size === 0, { what: 'the connection is gone' })
    expect(server.bytesSent).toBeLessThan(10_000_000)
  })
})

test('what it says of a failure holds no secret and nothing a terminal would act on', async () => {
  for (const [more, secret] of [
    [{ token: 'my-secret-token' }, 'my-secret-token'],
    [{ user: 'u', password: 'hunter2' }, 'hunter2'],
    [{ user: 'u', password: 'hunter2' }, btoa('u:hunter2')],
  ] as const) {
    const outcome = await outcomeOf({ kind: 'status', status: 401, body: `bad ${secret}\u001b[31m\nred` }, more)
    expect(outcome).toEqual({ kind: 'refused', message: '401 bad *** [31m red' })
  }
})

test('a request that is no longer wanted ends at once', async () => {
  await withServer({ bucket: 'b', org: 'a' }, async (target, server) => {
    server.answer = () => ({ kind: 'hang' })
    const stop = new AbortController()
    const outcome = target.write('m f=1 1', stop.signal)
    await until(() => server.requests.length > 0, { what: 'it has arrived' })
    stop.abort()
    expect((await outcome).kind).toBe('unavailable')
    await until(() => server.sockets.size === 0, { what: 'the connection is gone' })
  })
})

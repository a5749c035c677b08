import { channel } from 'node:diagnostics_channel'
import type { Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { HttpServer } from '../../collector/http-server.ts'
import { startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** One request as it stands, and the whole answer. */
function ask(collector: TestCollector, text: string): Promise<string> {
  const [host = '', port] = collector.http.split(':')
  return new Promise((resolve) => {
    const socket = connect(Number(port), host, () => socket.write(text, 'latin1'))
    let answer = ''
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part
    })
    // A server that has heard enough resets the connection.
    socket.on('error', () => undefined).once('close', () => resolve(answer))
  })
}

const request = (method: string, path: string, host: string | undefined, more = '') =>
  `${method} ${path} HTTP/1.1\r\n${host === undefined ? '' : `Host: ${host}\r\n`}${more}Connection: close\r\n\r\n`

test('answers what it has, and only to GET and HEAD', async () => {
  await using collector = await startCollector()
  const at = (path: string, method = 'GET') => fetch(`http://${collector.http}${path}`, { method })
  const healthz = await at('/healthz')
  expect([healthz.status, await healthz.text()]).toEqual([200, 'ok\n'])
  const status = await at('/status.json?x=1')
  expect(status.headers.get('content-type')).toMatch(/^application\/json/)
  expect(status.headers.get('cache-control')).toBe('no-store')
  expect(status.headers.get('x-content-type-options')).toBe('nosniff')
  expect(status.headers.get('access-control-allow-origin')).toBeNull()
  expect(Object.keys((await status.json()) as object)).toEqual([
    'version',
    'uptimeMs',
    'timeMs',
    'totals',
    'origins',
    'losses',
    'sinks',
    'spool',
    'repairs',
    'demand',
    'ingest',
    'rollup',
  ])
  const metrics = await at('/metrics')
  expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await metrics.text()).toMatch(/^spillway_collector_ingest_frames_total 0$/m)
  expect((await at('/healthz', 'HEAD')).status).toBe(200)
  for (const path of ['/status', '/healthz/', '/../etc/passwd', '/%2e%2e/x', '/__proto__']) expect((await at(path)).status).toBe(404)
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) expect((await at('/status.json', method)).status).toBe(405)
})

test.each([
  ['its own address', (own: string) => own, 200],
  ['localhost', () => 'localhost:1', 200],
  ['another loopback address', () => '127.0.0.2', 200],
  ['IPv6 loopback', () => '[::1]:7700', 200],
  ['a name that leads here', () => 'evil.example', 403],
  ['a name that begins like the address', () => '127.0.0.1.evil.example', 403],
  ['a name that ends like localhost', () => 'evil-localhost', 403],
  ['localhost with something before it', () => 'localhost.evil.example:7700', 403],
  ['another machine', () => '192.168.0.1', 403],
  ['no name', () => '', 403],
])('a request for %s', async (_what, host, code) => {
  await using collector = await startCollector()
  for (const path of ['/status.json', '/metrics', '/healthz', '/nothing']) {
    const answer = await ask(collector, request('GET', path, host(collector.http)))
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${code === 200 && path === '/nothing' ? 404 : code} `))
    if (code === 403) expect(answer).not.toContain('accepted')
  }
})

test('a request without a host, or that is none, is refused', async () => {
  await using collector = await startCollector()
  expect(await ask(collector, request('GET', '/status.json', undefined))).toMatch(/^HTTP\/1\.1 40[03] /)
  expect(await ask(collector, 'GET /status.json HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 40[03] /)
  expect(await ask(collector, 'hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  expect(await ask(collector, request('GET', 'http://evil.example/status.json', 'evil.example'))).toMatch(/^HTTP\/1\.1 403 /)
  expect(await ask(collector, `GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`)).toMatch(
    /^(?:HTTP\/1\.1 431 |$)/,
  )
  expect((await collector.status()).totals.accepted).toBe(0)
})

test('clients that never finish their request are ended, more of them than it serves at once, and others are answered', async () => {
  await using collector = await startCollector()
  const [host = '', port] = collector.http.split(':')
  const dawdlers: Socket[] = []
  let ended = 0
  for (let i = 0; i < 400; i += 1) {
    const socket = connect(Number(port), host)
    socket.on('connect', () => socket.write('GET /status.json HTTP/1.1\r\nX-Slow'))
    socket
      .on('error', () => undefined)
      .once('close', () => {
        ended += 1
      })
    socket.resume()
    dawdlers.push(socket)
  }
  await until(() => ended >= 400 - 256, { what: 'those above the limit are turned away' })
  await until(() => ended === 400, { what: 'the rest is ended too' })
  expect((await fetch(`http://${collector.http}/healthz`)).status).toBe(200)
  for (const socket of dawdlers) socket.destroy()
})

test('connections that cannot be accepted do not end it, however many there are', async () => {
  const notAskedFor = () => {
    throw new Error('not asked for')
  }
  const http = new HttpServer({ host: '127.0.0.1', port: 0 }, { status: notAskedFor, metrics: notAskedFor, windows: notAskedFor })
  await http.open()
  const servers: Server[] = []
  const started = channel('http.server.request.start')
  const listener = (message: unknown) => servers.push((message as { server: Server }).server)
  started.subscribe(listener)
  const healthz = async () => (await fetch(`http://127.0.0.1:${http.address.port}/healthz`)).status
  expect(await healthz()).toBe(200)
  started.unsubscribe(listener)
  // As Node does when the process has no file descriptor left.
  for (let i = 0; i < 3; i += 1) servers[0]?.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
  expect(servers).toHaveLength(1)
  expect(await healthz()).toBe(200)
  await http.close()
})

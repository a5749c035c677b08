/** What stands between a browser that visits anything and what applications have logged. */
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Sessions } from '../../../collector/http/sessions.ts'
import { authTokenChars, eventStreamsMax, sessionMs } from '../../../wire/limits.ts'
import { startCli } from '../../cli/run-cli.ts'
import { startCollector, type TestCollector, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** With any headers, those a browser sets included; resolves with the first bytes of a stream. */
function ask(
  at: string,
  path: string,
  { method = 'GET', body, ...headers }: Record<string, string> & { method?: string; body?: string } = {},
): Promise<Answer> {
  const [host = '', port] = at.split(':')
  return new Promise((resolve, reject) => {
    const asked = request({ host, port: Number(port), path, method, headers: { host: at, ...headers }, agent: false }, (response) => {
      let text = ''
      const end = () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text })
        asked.destroy()
      }
      const isStream = String(response.headers['content-type']).startsWith('text/event-stream')
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
        if (isStream) end()
      })
      response.once('end', end)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

const paths = [
  '/api/v1/status',
  '/api/v1/overview',
  '/api/v1/flow',
  '/api/v1/events',
  '/api/v1/live',
  '/status.json',
  '/metrics',
  '/healthz',
]

describe('pages of other sites', () => {
  test('are refused by every answer, however they ask', async () => {
    await using collector = await startCollector()
    const own = `http://${collector.http}`
    for (const path of paths) {
      expect((await ask(collector.http, path)).status, path).toBe(200)
      expect((await ask(collector.http, path, { origin: own, 'sec-fetch-site': 'same-origin' })).status, path).toBe(200)
      for (const headers of [
        { origin: 'http://evil.example' },
        { origin: 'null' },
        { origin: 'http://127.0.0.1:1' },
        { origin: `${own}.evil.example` },
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site' },
        { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
        { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
        { host: 'evil.example' },
        { host: 'rebound.evil.example:7700', origin: 'http://rebound.evil.example:7700' },
      ]) {
        const answer = await ask(collector.http, path, headers)
        expect(answer.status, `${path} ${JSON.stringify(headers)}`).toBe(403)
        expect(answer.body).not.toMatch(/accepted|ok\n/)
      }
    }
  })

  test('every answer forbids what a page does not need, also one that is an error', async () => {
    await using collector = await startCollector()
    for (const path of [...paths, '/nothing', '/api/v1/nothing', '/api/v1/live?where=(']) {
      const { headers } = await ask(collector.http, path)
      expect(headers['x-content-type-options'], path).toBe('nosniff')
      expect(headers['content-security-policy'], path).toMatch(/^default-src 'self'.*frame-ancestors 'none'/)
      expect(headers['content-security-policy'], path).not.toMatch(/unsafe|\*/)
      expect(headers['access-control-allow-origin'], path).toBeUndefined()
    }
  })

  test('nothing is changed by anything but POST, and only the session is posted', async () => {
    await using collector = await startCollector()
    for (const path of paths)
      for (const method of ['POST', 'PUT', 'DELETE']) expect((await ask(collector.http, path, { method })).status).toBe(405)
    expect((await ask(collector.http, '/api/v1/session')).status).toBe(405)
    expect((await ask(collector.http, '/api/v1/session', { method: 'POST', 'content-type': 'application/json', body: '{}' })).status).toBe(
      404,
    )
    // A picture of another site's page would ask like this, in a browser that says nothing of where it comes from.
    expect((await ask(collector.http, '/api/v1/live?ask=debug', { accept: 'image/*' })).status).toBe(400)
    expect((await ask(collector.http, '/api/v1/live?ask=debug', { accept: 'text/event-stream' })).status).toBe(200)
  })
})

async function withConfig(text: string, args: readonly string[] = []): Promise<TestCollector & { readonly file: string }> {
  const dir = await tempDir()
  const file = join(dir.path, 'spillway.yaml')
  writeFileSync(file, text)
  const collector = await startCollector({ args: ['-c', file, ...args] })
  return Object.assign(collector, { file })
}

const token = 'correct-horse-battery-staple'

describe('with a token', () => {
  test('nothing is told without it but that the collector runs; it is exchanged for a cookie no script can read', async () => {
    await using collector = await withConfig(`auth: { token: ${token} }\n`)
    const at = collector.http
    for (const path of paths) {
      expect((await ask(at, path)).status, path).toBe(path === '/healthz' ? 200 : 401)
      expect((await ask(at, path, { authorization: `Bearer ${token}` })).status, path).toBe(200)
      for (const wrong of [`Bearer ${token}x`, `Bearer ${token.slice(0, -1)}`, 'Bearer', `Basic ${token}`, `Bearer ${'x'.repeat(2_000)}`])
        expect((await ask(at, path, { authorization: wrong })).status).toBe(path === '/healthz' ? 200 : 401)
    }
    const exchange = (body: string, type = 'application/json') => ask(at, '/api/v1/session', { method: 'POST', 'content-type': type, body })
    expect((await exchange(JSON.stringify({ token: 'wrong' }))).status).toBe(401)
    expect((await exchange('{')).status).toBe(400)
    expect((await exchange('{"token":1}')).status).toBe(400)
    expect((await exchange('null')).status).toBe(400)
    expect((await exchange(JSON.stringify({ token }), 'text/plain')).status).toBe(400)
    expect((await exchange(JSON.stringify({ token, more: 'x'.repeat(10_000) }))).status).toBe(413)
    const given = await exchange(JSON.stringify({ token }))
    expect(given.status).toBe(204)
    const [cookie = ''] = given.headers['set-cookie'] ?? []
    expect(cookie).toMatch(/^spillway-\d+=\d+\.[\w-]+; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict$/)
    expect(cookie).not.toContain(token)
    const [pair = ''] = cookie.split(';')
    for (const path of paths) expect((await ask(at, path, { cookie: `a=b; ${pair}` })).status, path).toBe(200)
    for (const broken of [`${pair}x`, pair.replace(/=\d/, '=9'), pair.slice(0, -1), `x${pair}`])
      expect((await ask(at, '/api/v1/flow', { cookie: broken })).status, broken).toBe(401)
    // The right cookie is no pass for a page of another site.
    expect((await ask(at, '/api/v1/flow', { cookie: pair, origin: 'http://evil.example' })).status).toBe(403)
  })

  test('a cookie ends after a week, or with its token', () => {
    let timeMs = 1_800_000_000_000
    const sessions = (own: string) => new Sessions({ token: own, port: () => 7700, timeMs: () => timeMs })
    const [cookie = ''] = sessions(token).cookie().split(';')
    expect(sessions(token).isKnown({ cookie })).toBe(true)
    expect(sessions(`${token}2`).isKnown({ cookie })).toBe(false)
    timeMs += sessionMs - 1
    expect(sessions(token).isKnown({ cookie })).toBe(true)
    timeMs += 1
    expect(sessions(token).isKnown({ cookie })).toBe(false)
  })

  test('commands that ask a collector say it when SPILLWAY_TOKEN has it', async () => {
    await using collector = await withConfig(`auth: { token: ${token} }\n`)
    await using without = startCli(['status', '--http', collector.http])
    await until(() => without.end, { what: 'status without a token ends' })
    expect(without.end?.code).toBe(1)
    expect(without.stderr).toContain('set SPILLWAY_TOKEN')
    await using known = startCli(['status', '--http', collector.http], { env: { SPILLWAY_TOKEN: token } })
    await until(() => known.end, { what: 'status with a token ends' })
    expect(known.end?.code).toBe(0)
  })
})

describe('beyond loopback', () => {
  const start = async (text: string, args: readonly string[]) => {
    const dir = await tempDir()
    const file = join(dir.path, 'spillway.yaml')
    writeFileSync(file, `dir: ${dir.path}/d\nlisten: { data: tcp://127.0.0.1:0, http: 0.0.0.0:0 }\n${text}`)
    return startCli(['collector', '-c', file, ...args])
  }

  test('it does not start without a token, and says what to do', async () => {
    await using refused = await start('', [])
    await until(() => refused.end, { what: 'it ends' })
    expect(refused.end?.code).not.toBe(0)
    expect(refused.stderr).toMatch(/listen\.http: 0\.0\.0\.0 can be reached from other machines.*auth: \{ token/s)
  })

  test('with a token it answers to addresses and configured names only', async () => {
    await using collector = await start(`auth: { token: ${token} }\nhttp: { names: [Logs.example.org] }\n`, [])
    const port = (await collector.says(/http:\/\/0\.0\.0\.0:(\d+)/))[1]
    const status = async (host: string) =>
      (await ask(`127.0.0.1:${port}`, '/api/v1/flow', { host, authorization: `Bearer ${token}` })).status
    for (const host of ['logs.example.org', 'LOGS.example.org:80', '10.1.2.3:7700', '[fe80::1]:7700', 'localhost'])
      expect(await status(host), host).toBe(200)
    for (const host of ['evil.example', 'logs.example.org.evil.example', 'x.logs.example.org']) expect(await status(host), host).toBe(403)
  })

  test('what is meant to be insecure tells what it always told, and no records', async () => {
    await using collector = await start('insecure: true\n', [])
    const at = `127.0.0.1:${(await collector.says(/http:\/\/0\.0\.0\.0:(\d+)/))[1]}`
    for (const path of paths) expect((await ask(at, path)).status, path).toBe(path.startsWith('/api/') ? 403 : 200)
    expect((await ask(at, '/api/v1/live')).body).toContain('needs \\"auth')
  })
})

test.each([
  ['short', 's3cretly'],
  ['one with a blank', 'with a blank in it, and long enough'],
  ['one that is too long', `x${'y'.repeat(authTokenChars.max)}`],
])('%s is no token', async (_what, wrong) => {
  const dir = await tempDir()
  const file = join(dir.path, 'spillway.yaml')
  writeFileSync(file, `auth: { token: '${wrong}' }\n`)
  await using refused = startCli(['validate', file])
  await until(() => refused.end, { what: 'it ends' })
  expect(refused.end?.code).not.toBe(0)
  const said = refused.stdout + refused.stderr
  expect(said).toMatch(/:1:16: auth\.token: expected at least 16 characters/)
  expect(said).not.toContain(wrong)
})

test('there are so many event streams and no more; when a page leaves there is room again', async () => {
  await using collector = await startCollector()
  const pages = Array.from({ length: eventStreamsMax }, () => new AbortController())
  for (const { signal } of pages) expect((await fetch(`http://${collector.http}/api/v1/events`, { signal })).status).toBe(200)
  const refused = await ask(collector.http, '/api/v1/live')
  expect(refused.status).toBe(503)
  expect(JSON.parse(refused.body)).toMatchObject({ error: { code: 'too_many' } })
  // Everybody else is answered.
  expect((await ask(collector.http, '/api/v1/flow')).status).toBe(200)
  pages[0]?.abort()
  await until(async () => (await ask(collector.http, '/api/v1/live')).status === 200, { what: 'there is room' })
  for (const page of pages) page.abort()
})

test('asking for the head of a stream opens none', async () => {
  await using collector = await startCollector()
  for (let i = 0; i <= eventStreamsMax; i += 1) expect((await ask(collector.http, '/api/v1/live', { method: 'HEAD' })).status).toBe(405)
  expect((await ask(collector.http, '/api/v1/live')).status).toBe(200)
})

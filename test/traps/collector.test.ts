/** Traps of ZeroMQ from Node that would take the collector with them, or other people's records. */
import { spawn } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Context, Subscriber, XPublisher, XSubscriber } from 'zeromq'
import { createAgent } from '../../agent/shared.ts'
import { Ingest } from '../../collector/ingest.ts'
import { decodeFrame } from '../../wire/frame.ts'
import { tailPrefixesMax } from '../../wire/limits.ts'
import { openSocket, privateContext } from '../../wire/socket.ts'
import { unreadPipe } from '../agent/unread-output.ts'
import { cli, freePorts, linesWhenKept, RunningProcess, startCollector, startNode, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const numbers = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { n: number }).n)

/** A tail as anybody could write it: a SUB that dials, and a loop that keeps the lines. */
function startTail(endpoint: string, prefixes: readonly string[]) {
  const socket = new Subscriber({ context: new Context(), linger: 0, receiveHighWaterMark: 1 })
  socket.connect(endpoint)
  socket.subscribe(...prefixes)
  const lines: string[] = []
  const read = async () => {
    try {
      for await (const [, bytes] of socket) {
        const decoded = decodeFrame(bytes ?? Buffer.alloc(0))
        if (decoded.ok) lines.push(...Buffer.from(decoded.frame.body).toString('utf8').split('\n').slice(0, -1))
      }
    } catch (error) {
      if (!socket.closed) throw error
    }
  }
  return { socket, lines, loop: undefined as Promise<void> | undefined, read, [Symbol.dispose]: () => socket.close() }
}

/** Logs probes until one of them comes out at a tail. */
async function untilFollowed(agent: ReturnType<typeof createAgent>, tail: { readonly lines: readonly string[] }): Promise<void> {
  const log = pino({ base: null, timestamp: false }, agent.destination())
  await until(
    () => {
      log.error({ n: -1 })
      return tail.lines.length > 0
    },
    { what: 'the tail is followed', everyMs: 30 },
  )
}

test.each<[string, Buffer]>([
  ['random bytes', Buffer.from(range(0, 1_000).map((n) => (n * 167 + 13) & 255))],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ['a TLS hello', Buffer.from('160301020001000001fc0303', 'hex')],
  ['nothing', Buffer.alloc(0)],
])('%s on any port leaves the collector alive, small and useful', async (_name, bytes) => {
  await using collector = await startCollector()
  const rssKib = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${collector.process.pid}/status`, 'utf8'))?.[1])
  const before = rssKib()
  const sockets = range(0, 3).map((offset) => {
    const socket = connect(collector.port + offset, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(bytes)
    return socket
  })
  const agent = createAgent({ service: 'after', collector: collector.data })
  pino(agent.destination()).info('still useful')
  expect(await agent.close()).toEqual({ left: 0 })
  expect(await collector.kept('after', 1)).toHaveLength(1)
  expect(rssKib() - before).toBeLessThan(64 * 1_024)
  for (const socket of sockets) socket.destroy()
})

test.each([
  ['', 0],
  [', and a part of it,', 1_000_000],
])('a header that announces 8 GiB%s ends its connection on any port, and nothing is reserved for it', async (_what, partBytes) => {
  await using collector = await startCollector()
  const peakKib = () => Number(/VmPeak:\s+(\d+)/.exec(readFileSync(`/proc/${collector.process.pid}/status`, 'utf8'))?.[1])
  const before = peakKib()
  const types = ['PUB', 'SUB', 'SUB']
  for (const [offset, type] of types.entries()) {
    const socket = connect(collector.port + offset, '127.0.0.1')
    socket.on('error', () => undefined)
    const [sent, heard] = [zmtpGreeting(type), { bytes: 0 }]
    socket.on('data', (bytes: Buffer) => {
      heard.bytes += bytes.length
    })
    socket.write(sent)
    // Its own READY comes behind its greeting when it has taken ours: the connection is up.
    await until(() => heard.bytes > 64 + 2, { what: `port ${offset} has taken the greeting` })
    expect(socket.closed).toBe(false)
    socket.write(Buffer.concat([Buffer.of(2, 0, 0, 0, 2, 0, 0, 0, 0), Buffer.alloc(partBytes)]))
    await until(() => socket.closed, { what: `port ${offset} has ended the connection`, timeoutMs: 5_000 })
  }
  expect(peakKib() - before).toBeLessThan(1_048_576)
  const agent = createAgent({ service: 'after', collector: collector.data })
  pino(agent.destination()).info('still useful')
  expect(await agent.close()).toEqual({ left: 0 })
  expect(await collector.kept('after', 1)).toHaveLength(1)
})

/** A greeting and a READY of ZMTP 3.0, NULL. */
function zmtpGreeting(type: string): Buffer {
  const greeting = Buffer.alloc(64)
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0])
  greeting.write('NULL', 12)
  const ready = Buffer.from(`\u0005READY\u000bSocket-Type\0\0\0${String.fromCharCode(type.length)}${type}`, 'latin1')
  return Buffer.concat([greeting, Buffer.of(4, ready.length), ready])
}

test('5,000 subscriptions vanish in ZeroMQ beyond its send mark, and all arrive from the collector', async () => {
  const prefixes = range(0, 5_000).map((n) => `log.info.s${n}.`)
  const received = async (endpoint: string) => {
    const agent = new XPublisher({ context: new Context(), linger: 0, receiveHighWaterMark: 0 })
    agent.connect(endpoint)
    const got = new Set<string>()
    const loop = (async () => {
      for await (const [message] of agent) got.add(message?.toString('latin1', 1) ?? '')
    })().catch(() => undefined)
    const close = () => {
      agent.close()
      return loop
    }
    return { got, close }
  }
  const context = privateContext()
  const plain = openSocket(context, XSubscriber, { sendHighWaterMark: 1_000, maxMessageSize: 1_000 })
  for (const prefix of prefixes) await plain.send(`\u0001${prefix}`)
  await plain.bind('tcp://127.0.0.1:*')
  const looks = setInterval(() => plain.readable, 5)
  const fromPlain = await received(plain.lastEndpoint ?? '')
  await until(() => fromPlain.got.size > 0, { what: 'some arrive' })

  const ingest = new Ingest(context, `tcp://127.0.0.1:${await freePorts()}` as never, { frame: () => undefined } as never)
  await ingest.open([...prefixes, 'last.'])
  const fromIngest = await received(ingest.endpoint)
  await until(() => fromIngest.got.has('last.') && fromIngest.got.size === 5_001, { what: 'all arrive' })
  // The fault bites: as much later, the rest has still not come.
  expect(fromPlain.got.size).toBeLessThan(5_000)
  clearInterval(looks)
  plain.close()
  await ingest.close()
  await fromPlain.close()
  await fromIngest.close()
})

test('an agent is told what is wanted even while a sink takes nothing: the collector never stops reading', async () => {
  await using dir = await tempDir()
  await using unread = await unreadPipe()
  const [port, http] = [await freePorts(), await freePorts()]
  const config = join(dir.path, 'spillway.yaml')
  writeFileSync(
    config,
    `sinks:\n  files: { type: file, topics: ['log.>'], path: '${dir.path}/logs/{service}/{date}.ndjson' }\n  screen: { type: stdout, topics: ['log.>'] }\n`,
  )
  const args = [cli, 'collector', '-c', config, '--dir', dir.path, '--listen', `127.0.0.1:${port}`, '--http', `127.0.0.1:${http}`]
  await using collector = new RunningProcess(spawn(process.execPath, args, { stdio: ['ignore', unread.stdio, 'pipe'] }))
  await collector.says(/ready/)
  for (const service of ['first', 'second']) {
    const agent = createAgent({ service, collector: `tcp://127.0.0.1:${port}` })
    const log = pino({ base: null }, agent.destination())
    for (const n of range(0, 2_000)) log.info({ n, filler: 'x'.repeat(200) })
    expect(await agent.close(5_000)).toEqual({ left: 0 })
    expect(numbers(await linesWhenKept(join(dir.path, 'logs', service), 2_000))).toEqual(range(0, 2_000))
  }
})

test('one stuck tail starves nobody: not the files, not another tail', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'flood', collector: collector.data })
  using stuck = startTail(collector.tail, ['log.'])
  using alive = startTail(collector.tail, ['log.'])
  const loop = alive.read()
  await untilFollowed(agent, alive)
  // Stuck from the start: it subscribed, and never reads.
  expect(stuck.lines).toEqual([])
  const log = pino({ base: null, timestamp: false }, agent.destination())
  const filler = 'x'.repeat(10_000)
  const frames = 2_500
  for (const n of range(0, frames)) {
    // A frame each: 25 MB, more than ZeroMQ and the system keep for one that does not read.
    log.fatal({ n, filler })
    if (n % 20 === 19) await until(() => alive.lines.length > n - 200, { what: 'the living tail keeps up', everyMs: 1 })
  }
  expect(await agent.close(5_000)).toEqual({ left: 0 })
  const flooded = (lines: readonly string[]) => numbers(lines).filter((n) => n >= 0)
  await until(() => flooded(alive.lines).length === frames, { what: 'the living tail has all' })
  expect(flooded(alive.lines)).toEqual(range(0, frames))
  await until(() => flooded(collector.lines('flood')).length >= frames, { what: 'the files have all' })
  expect(flooded(collector.lines('flood'))).toEqual(range(0, frames))
  // The fault bites: the stuck one, read at last, has missed some.
  const late = stuck.read()
  await until(() => flooded(stuck.lines).includes(0), { what: 'what was kept for it arrives' })
  const settled = { count: -1 }
  await until(
    () => {
      const isSettled = settled.count === stuck.lines.length
      settled.count = stuck.lines.length
      return isSettled
    },
    { what: 'nothing more comes', everyMs: 200 },
  )
  expect(flooded(stuck.lines).length).toBeLessThan(frames)
  stuck.socket.close()
  alive.socket.close()
  await Promise.all([loop, late])
})

test('a subscription that several share stays until the last of them leaves', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'shared', collector: collector.data })
  using first = startTail(collector.tail, ['log.error.shared.'])
  using second = startTail(collector.tail, ['log.error.shared.'])
  const loops = [first.read(), second.read()]
  await untilFollowed(agent, first)
  await untilFollowed(agent, second)
  first.socket.close()
  const log = pino({ base: null, timestamp: false }, agent.destination())
  for (const n of range(0, 100)) log.error({ n })
  expect(await agent.close()).toEqual({ left: 0 })
  await until(() => second.lines.at(-1)?.includes('"n":99'), { what: 'the other still follows' })
  second.socket.close()
  await Promise.all(loops)
})

test('a tail with more prefixes than are remembered, and one that sends garbage upstream, cost other tails nothing', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'wide', collector: collector.data })
  using tail = startTail(collector.tail, ['log.error.wide.'])
  const loop = tail.read()
  await untilFollowed(agent, tail)
  using wide = startTail(
    collector.tail,
    range(0, tailPrefixesMax + 500).map((n) => `log.info.w${n}.`),
  )
  const rude = new XSubscriber({ context: new Context(), linger: 0 })
  rude.connect(collector.tail)
  for (const parts of [
    [Buffer.from('\u0001log.'), Buffer.from('a second part'), Buffer.alloc(10_000)],
    [Buffer.alloc(0)],
    [Buffer.alloc(60_000, 7)],
    [Buffer.of(1, 255, 0, 255)],
  ]) {
    await rude.send(parts)
  }
  const before = tail.lines.length
  const log = pino({ base: null, timestamp: false }, agent.destination())
  for (const n of range(0, 100)) log.error({ n })
  expect(await agent.close()).toEqual({ left: 0 })
  await until(() => tail.lines.length >= before + 100, { what: 'the first tail has all' })
  rude.close()
  wide.socket.close()
  tail.socket.close()
  await loop
  expect((await collector.status()).totals.delivered).toBeGreaterThan(100)
})

test('multipart messages on the data port are counted and skipped', async () => {
  await using collector = await startCollector()
  const sender = openSocket(privateContext(), XPublisher, { sendTimeout: 0, maxMessageSize: 65_536, linger: 1_000 })
  sender.connect(collector.data)
  await until(() => sender.readable, { what: 'the subscription is there' })
  for (const parts of [['log.info.x.'], ['log.info.x.', 'a', 'b'], ['log.info.x.', 'not a frame'], ['log.nonsense', 'x']])
    await sender.send(parts)
  const { refused } = await until(
    async () => {
      const { ingest } = await collector.status()
      return Object.values(ingest.refused).reduce((sum, count) => sum + count, 0) >= 3 && ingest
    },
    { what: 'they are counted' },
  )
  expect(refused['parts']).toBe(2)
  sender.close()
})

function ipcConfig(dir: string, ...names: string[]): { file: string; path: string } {
  const path = join(dir, ...names)
  const file = join(dir, 'spillway.yaml')
  writeFileSync(
    file,
    `dir: '${dir}/kept'\nlisten: { data: 'ipc://${path}', control: 'ipc://${path}.control', tail: 'ipc://${path}.tail', http: 'off' }\n`,
  )
  return { file, path }
}

test('an ipc path where a regular file stands is refused, and the file is left as it is', async () => {
  await using dir = await tempDir()
  const { file, path } = ipcConfig(dir.path, 'taken')
  writeFileSync(path, 'somebody needs this')
  await using collector = startNode([cli, 'collector', '-c', file])
  expect((await collector.ended).code).not.toBe(0)
  expect(collector.stderr).toContain(path)
  expect(readFileSync(path, 'utf8')).toBe('somebody needs this')
})

test('an ipc path where somebody listens is refused, and they go on listening', async () => {
  await using dir = await tempDir()
  const { file, path } = ipcConfig(dir.path, 'live')
  const server = createServer((socket) => socket.on('error', () => undefined).end('alive'))
  await new Promise<void>((resolve) => server.listen(path, resolve))
  await using collector = startNode([cli, 'collector', '-c', file])
  expect((await collector.ended).code).not.toBe(0)
  expect(collector.stderr).toMatch(/taken|in use|another/)
  const said = await new Promise<string>((resolve, reject) => {
    connect(path)
      .on('error', reject)
      .setEncoding('utf8')
      .on('data', (text: string) => resolve(text))
  })
  expect(said).toBe('alive')
  server.close()
})

test('an ipc path that a killed collector left behind is taken again, in a folder of the user alone, and carries records', async () => {
  await using dir = await tempDir()
  const { file, path } = ipcConfig(dir.path, 'made', 'for', 'it')
  for (const round of [0, 1]) {
    await using collector = startNode([cli, 'collector', '-c', file])
    await collector.says(/ready/)
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700)
    const agent = createAgent({ service: 'ipc', collector: `ipc://${path}` })
    pino({ base: null }, agent.destination()).info({ n: round })
    expect(await agent.close()).toEqual({ left: 0 })
    // Killed before the line is in its file, it would be written by the next one.
    await linesWhenKept(join(dir.path, 'kept', 'logs', 'ipc'), round + 1)
    collector.kill('SIGKILL')
    await collector.ended
    expect(statSync(path).isSocket()).toBe(true)
  }
  expect(numbers(await linesWhenKept(join(dir.path, 'kept', 'logs', 'ipc'), 2))).toEqual([0, 1])
})

test.each(['0.0.0.0', '*', '[::]'])(
  'an address that others can reach (%s) is refused without keys, in words that say what to do',
  async (host) => {
    await using dir = await tempDir()
    const port = await freePorts()
    await using refused = startNode([cli, 'collector', '--dir', dir.path, '--listen', `${host}:${port}`, '--http', 'off'])
    expect(await refused.ended).toEqual({ code: 2, signal: null })
    expect(refused.stderr).toMatch(/no keys.*127\.0\.0\.1.*insecure/s)
    if (host !== '0.0.0.0') return
    await using meant = startNode([cli, 'collector', '--dir', dir.path, '--listen', `${host}:${port}`, '--http', 'off', '--insecure'])
    await meant.says(/ready/)
    meant.kill('SIGTERM')
    expect((await meant.ended).code).toBe(0)
  },
)

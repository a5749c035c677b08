/** Traps of ZeroMQ from Node that would take the application with them, or its records: the agent's side. */
import { type Logger, pino } from 'pino'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Context, Publisher, Subscriber, XPublisher } from 'zeromq'
import type { Agent } from '../../agent/agent.ts'
import { isRejected, receivedHeads } from '../../agent/settled.ts'
import { createAgent } from '../../agent/shared.ts'
import { dataHighWaterMarkFrames, watchdogSilenceMs } from '../../wire/limits.ts'
import { openSocket } from '../../wire/socket.ts'
import { freePorts, runApp, startApp, startCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { BareReceiver } from './bare-receiver.ts'
import { startOversizeServer } from './oversize-server.ts'

const agents: Agent[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const agent of agents.splice(0)) await agent.close(0)
})

function open(service: string, collector: string): { agent: Agent; log: Logger } {
  const agent = createAgent({ service, collector })
  agents.push(agent)
  return { agent, log: pino({ base: null, timestamp: false, level: 'trace' }, agent.destination()) }
}

const endpointOf = async () => `tcp://127.0.0.1:${await freePorts()}`
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const numbers = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { n: number }).n)

describe('sends that nobody awaits', () => {
  test('fail in ZeroMQ with its default send timeout, and 2,000 frames in one turn all arrive from the agent', async () => {
    const plain = new Publisher({ context: new Context(), linger: 0 })
    const attempts = range(0, 1_000).map((n) => {
      try {
        return plain.send(String(n)).then(
          () => 'sent',
          () => 'failed',
        )
      } catch {
        return 'thrown'
      }
    })
    expect(new Set(await Promise.all(attempts)).size).toBeGreaterThan(1)
    plain.close()

    await using receiver = new BareReceiver()
    const endpoint = await endpointOf()
    await receiver.bind(endpoint)
    await receiver.subscribe('log.')
    receiver.read()
    const { agent, log } = open('burst', endpoint)
    await until(() => agent.stats().links[0]?.state === 'connected', { what: 'it is connected' })
    // pino calls flushSync on fatal: each line is a frame.
    for (const n of range(0, 2_000)) log.fatal({ n })
    await until(() => receiver.lines().length >= 2_000, { what: 'all arrive' })
    expect(receiver.frames).toHaveLength(2_000)
    expect(numbers(receiver.lines())).toEqual(range(0, 2_000))
  })

  test('a refused send is seen at once, in the same turn, although the socket still calls itself writable', async () => {
    const context = new Context()
    const receiver = openSocket(context, Subscriber, { receiveHighWaterMark: 1, maxMessageSize: 100_000 })
    await receiver.bind('tcp://127.0.0.1:*')
    receiver.subscribe('')
    // A binding subscriber that is not read sends no subscription: one look is enough.
    const looks = setInterval(() => receiver.readable, 5)
    const sender = openSocket(context, XPublisher, {
      sendTimeout: 0,
      receiveTimeout: 0,
      noDrop: true,
      immediate: true,
      sendHighWaterMark: 2,
      maxMessageSize: 1_000,
    })
    sender.connect(receiver.lastEndpoint ?? '')
    await until(() => sender.readable, { what: 'the subscription is there' })
    clearInterval(looks)
    // A message that has come is seen in the same turn, too.
    expect(receivedHeads(sender.receive())).toEqual([Buffer.of(1)])
    const nothing = sender.receive()
    expect(receivedHeads(nothing)).toBeUndefined()
    await expect(nothing).rejects.toMatchObject({ code: 'EAGAIN' })
    const frame = Buffer.alloc(65_536)
    const sends: Promise<void>[] = []
    const seen: boolean[] = []
    while (seen.at(-1) !== true) {
      expect(sends.length).toBeLessThan(1_000)
      const promise = sender.send(frame)
      sends.push(promise)
      seen.push(isRejected(promise))
    }
    expect(sender.writable).toBe(true)
    const outcomes = await Promise.allSettled(sends)
    expect(outcomes.map(({ status }) => status === 'rejected')).toEqual(seen)
    sender.close()
    receiver.close()
  })
})

describe('a pending receive', () => {
  test('aborts the process in ZeroMQ when its worker thread ends', async () => {
    await using app = await runApp('pending-receive.mjs')
    expect(app.signal).toBe('SIGABRT')
  })

  test('does not exist: a worker that ends while its agent polls does not abort the process', async () => {
    await using collector = await startCollector()
    await using app = await runApp('polling-worker.mjs', { env: collector.env })
    expect([app.code, app.signal, app.stdout]).toEqual([0, null, 'ended well\n'])
    expect(await collector.kept('polls', 5)).toHaveLength(5)
  })

  test('does not exist: an app with an open agent can end, connected or not', async () => {
    await using collector = await startCollector()
    for (const env of [collector.env, { SPILLWAY_COLLECTOR: await endpointOf() }]) {
      await using app = startApp('count.mjs', { args: ['1', 'fall-off'], env })
      const startedAtMs = performance.now()
      expect(await app.ended).toEqual({ code: 0, signal: null })
      expect(performance.now() - startedAtMs).toBeLessThan(2_000)
    }
  })
})

test('a constructor with a bad option crashes the process at its end in ZeroMQ; openSocket leaves nothing behind that does', async () => {
  await using theirs = await runApp('bad-option.mjs', { args: ['theirs'] })
  expect(theirs.stdout).toContain('refused')
  expect(theirs.code).not.toBe(0)
  await using ours = await runApp('bad-option.mjs', { args: ['ours'] })
  expect([ours.code, ours.signal, ours.stdout]).toEqual([0, null, 'refused\nrefused\nrefused\n'])
})

test('10,000 lines and process.exit in the same turn: what the I/O thread has not sent is waited for', async () => {
  await using collector = await startCollector()
  await using app = await runApp('count.mjs', { args: ['10000', 'exit'], env: collector.env })
  expect(app.code).toBe(0)
  expect(numbers(await collector.kept('counted', 10_000))).toEqual(range(0, 10_000))
})

test('a connection that ZeroMQ has given up for good, silently, is built anew by the watchdog', async () => {
  const port = await freePorts()
  const fatal = await startOversizeServer([port, port + 1])
  const { agent, log } = open('given-up', `tcp://127.0.0.1:${port}`)
  for (const n of range(0, 500)) log.info({ n })
  await until(() => fatal.oversizeSent >= 2, { what: 'both sockets were sent more than they take' })
  await fatal[Symbol.asyncDispose]()
  await using collector = await startCollector({ port })
  // The fault bites: a socket that had only lost its connection would be back within 200 ms.
  await until(async () => (await collector.status()).uptimeMs > 500, { what: 'the collector has been up for a while' })
  expect((await collector.status()).origins).toEqual([])
  expect(agent.stats().links[0]?.state).toBe('connecting')
  const now = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => now() + watchdogSilenceMs + 1)
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  expect(numbers(await collector.kept('given-up', 500))).toEqual(range(0, 500))
})

test('a message header that announces 8 GiB ends the connection instead of being believed', async () => {
  const port = await freePorts()
  await using fatal = await startOversizeServer([port, port + 1])
  const { log } = open('announced', `tcp://127.0.0.1:${port}`)
  log.info('here')
  await until(() => fatal.oversizeSent >= 2, { what: 'both sockets were sent more than they take' })
  await until(() => fatal.openSockets === 0, { what: 'both connections were closed from this side' })
})

test('a peer that takes the place of one that was killed gets what it subscribed to itself, nothing the old one wanted', async () => {
  const first = await startCollector()
  const { agent, log } = open('replaced', first.data)
  log.info({ n: 0 })
  expect(await agent.flush()).toEqual({ left: 0 })
  await first[Symbol.asyncDispose]()
  // Into the gap: some of it before the agent can know.
  log.info({ n: 1 })
  log.error({ n: 2 })
  agent.closeBatches()
  await until(() => agent.stats().links[0]?.state === 'lost', { what: 'the loss is noticed' })
  log.info({ n: 3 })
  log.error({ n: 4 })
  agent.closeBatches()
  await using second = new BareReceiver()
  await second.bind(first.data)
  await second.subscribe('log.error.')
  second.read()
  await until(() => second.lines('log.error.').length >= 2, { what: 'the second gets its own' })
  log.info({ n: 5 })
  log.error({ n: 6 })
  await until(() => second.lines('log.error.').length >= 3, { what: 'the second gets its own' })
  expect(numbers(second.lines('log.error.'))).toEqual([2, 4, 6])
  expect(second.frames.map(({ topic }) => topic).filter((topic) => !topic.startsWith('log.error.'))).toEqual([])
})

test('what is sent into the gap between a cut and the next look is reported as sent by ZeroMQ, and sent again by the agent', async () => {
  const endpoint = await endpointOf()
  const first = new BareReceiver()
  await first.bind(endpoint)
  await first.subscribe('log.')
  first.read()
  const { agent, log } = open('gap', endpoint)
  log.fatal({ n: 0 })
  await until(() => first.lines().length === 1, { what: 'it is connected' })
  await first[Symbol.asyncDispose]()
  const { sent } = agent.stats()
  for (const n of range(1, 101)) log.fatal({ n })
  // The fault bites: they went nowhere.
  expect(agent.stats().sent).toBeGreaterThan(sent)
  await using second = new BareReceiver()
  await second.bind(endpoint)
  await second.subscribe('log.')
  second.read()
  await until(() => new Set(numbers(second.lines())).size >= 100, { what: 'all of the gap arrives' })
  const arrived = new Set(numbers(second.lines()))
  expect(range(1, 101).filter((n) => !arrived.has(n))).toEqual([])
})

test('nothing is sent that has no subscription: it waits until one comes', async () => {
  const endpoint = await endpointOf()
  await using receiver = new BareReceiver()
  await receiver.bind(endpoint)
  receiver.read()
  const { agent, log } = open('later', endpoint)
  for (const n of range(0, 1_000)) log.info({ n })
  expect(await agent.flush(200)).toEqual({ left: 1_000 })
  expect(agent.stats().sent).toBe(0)
  await receiver.subscribe('log.info.')
  await until(() => receiver.lines().length === 1_000, { what: 'all arrive' })
  expect(numbers(receiver.lines())).toEqual(range(0, 1_000))
})

test('all subscriptions gone at once is a lost link, not disinterest; one of several gone is disinterest', async () => {
  const endpoint = await endpointOf()
  const receiver = new BareReceiver()
  await receiver.bind(endpoint)
  await receiver.subscribe('log.error.', 'log.info.', 'sys.')
  receiver.read()
  const { agent, log } = open('wanted', endpoint)
  const filtered = () => agent.stats().topics['log.info.wanted.']?.filtered ?? 0
  log.info({ n: 0 })
  await until(() => receiver.lines().length === 1, { what: 'it is connected' })
  await receiver.unsubscribe('log.info.')
  await until(
    () => {
      log.info({ n: 1 })
      agent.closeBatches()
      return filtered() > 0
    },
    { what: 'the disinterest is known' },
  )
  await receiver[Symbol.asyncDispose]()
  await until(() => agent.stats().links[0]?.state === 'lost', { what: 'the loss is noticed' })
  const before = agent.stats()
  log.error({ n: 2 })
  log.info({ n: 3 })
  agent.closeBatches()
  // What was wanted last stays wanted, and nothing else is.
  expect(filtered()).toBe((before.topics['log.info.wanted.']?.filtered ?? 0) + 1)
  expect(agent.stats().topics['log.error.wanted.']).toMatchObject({ accepted: 1, filtered: 0 })
})

test('upstream multipart, empty messages and garbage are ignored; what is meant is understood', async () => {
  const endpoint = await endpointOf()
  await using receiver = new BareReceiver()
  await receiver.bind(endpoint)
  receiver.read()
  const { agent, log } = open('upstream', endpoint)
  log.info({ n: 0 })
  agent.closeBatches()
  const subscription = Buffer.from('\u0001log.error.')
  for (const parts of [
    [Buffer.of(7, 7, 7)],
    [Buffer.alloc(0)],
    [Buffer.of(1, 2), Buffer.from('more')],
    [subscription, Buffer.from('log.'), Buffer.alloc(60_000)],
    [Buffer.alloc(60_000, 9)],
  ]) {
    await receiver.sendUp(...parts)
  }
  await receiver.subscribe('log.info.')
  await until(() => receiver.lines('log.info.').length === 1, { what: 'the subscription is understood' })
  expect(agent.stats().links[0]?.state).toBe('connected')
})

describe('many small frames', () => {
  test('hold what they weigh: bodies are exact, not slices of large buffers', async () => {
    await using app = startApp('small-frames.mjs', { nodeArgs: ['--expose-gc'], env: { SPILLWAY_COLLECTOR: await endpointOf() } })
    expect(await app.ended).toEqual({ code: 0, signal: null })
    const facts = JSON.parse(app.stdout) as Record<'ringBytes' | 'held' | 'ringRecords' | 'arrayBuffers' | 'rssGrown', number>
    expect(facts.ringRecords).toBeGreaterThan(500)
    expect(facts.held).toBeLessThanOrEqual(facts.ringBytes)
    // As slices of 64 KiB buffers the same records would pin over 30 MiB.
    expect(facts.arrayBuffers).toBeLessThan(2 * 1_048_576)
    expect(facts.rssGrown).toBeLessThan(32 * 1_048_576)
  })

  test('are few: errors of one turn leave in one frame, at its end', async () => {
    const endpoint = await endpointOf()
    await using receiver = new BareReceiver()
    await receiver.bind(endpoint)
    await receiver.subscribe('log.')
    receiver.read()
    const { agent, log } = open('one-turn', endpoint)
    await until(() => agent.stats().links[0]?.state === 'connected', { what: 'it is connected' })
    for (const n of range(0, 100)) log.error({ n })
    await new Promise(setImmediate)
    expect(agent.stats()).toMatchObject({ ringRecords: 100 })
    await until(() => receiver.lines().length === 100, { what: 'they arrive' })
    expect(receiver.frames.map(({ frame }) => frame.count)).toEqual([100])
  })
})

test('a frame that was handed over is never written to again, however slowly it is sent', async () => {
  await using collector = await startCollector()
  const { agent, log } = open('untouched', collector.data)
  const filler = (n: number) => String.fromCharCode(97 + (n % 26)).repeat(400)
  let logged = 0
  const logMany = async (count: number) => {
    for (const n of range(logged, logged + count)) {
      log.info({ n, filler: filler(n) })
      if (n % 1_000 === 0) await new Promise(setImmediate)
    }
    logged += count
  }
  // Memory that was acknowledged is used again, while what was sent after it waits in ZeroMQ.
  await logMany(5_000)
  await agent.flush()
  collector.process.kill('SIGSTOP')
  // Twice the ring: frames leave it that have been sent and not been read.
  await logMany(40_000)
  expect(agent.stats().evictedSent).toBeGreaterThan(1_000)
  collector.process.kill('SIGCONT')
  expect(await agent.close(10_000)).toEqual({ left: 0 })
  const lost = agent.stats().shed['ring_full'] ?? 0
  const kept = await collector.kept('untouched', logged - lost)
  expect(kept.length).toBe(logged - lost)
  const wrong = kept.filter((line) => {
    const n = Number(/"n":(\d+)/.exec(line)?.[1])
    return line !== `{"level":30,"n":${n},"filler":"${filler(n)}"}`
  })
  expect(wrong).toEqual([])
  expect(new Set(kept).size).toBe(kept.length)
})

test("an application's own use of ZeroMQ, whatever it did to the global context, does not touch the agent's", async () => {
  await using collector = await startCollector()
  await using app = await runApp('own-zeromq.mjs', { env: collector.env })
  expect([app.code, app.stdout, app.stderr]).toEqual([0, 'left 0\n', ''])
  expect(await collector.kept('own-zeromq', 1)).toHaveLength(1)
})

test('pino(stream) with one argument takes the destination for a stream: nothing goes to stdout', async () => {
  await using collector = await startCollector()
  await using app = await runApp('one-argument.mjs', { env: collector.env })
  expect([app.code, app.stdout, app.stderr]).toEqual([0, '', ''])
  expect(await collector.kept('one-argument', 1)).toHaveLength(1)
})

test('a full pipe is a small one: the high-water mark is few frames, and a refused frame stays in the ring', async () => {
  const endpoint = await endpointOf()
  await using receiver = new BareReceiver({ receiveHighWaterMark: 1 })
  await receiver.bind(endpoint)
  await receiver.subscribe('log.')
  receiver.read()
  const { agent, log } = open('refused', endpoint)
  log.info({ n: 0 })
  await until(() => receiver.lines().length === 1, { what: 'it is connected' })
  // One turn: nobody reads meanwhile. The system takes a few MiB, ZeroMQ 16 frames.
  const filler = 'x'.repeat(60_000)
  let logged = 1
  while ((agent.stats().links[0]?.waitingFrames ?? 0) < 3) {
    expect(logged).toBeLessThan(300)
    log.info({ n: logged++, filler })
    agent.closeBatches()
  }
  expect(logged).toBeGreaterThan(dataHighWaterMarkFrames)
  await until(() => receiver.lines().length >= logged, { what: 'all arrive once it is read' })
  expect(numbers(receiver.lines())).toEqual(range(0, logged))
})

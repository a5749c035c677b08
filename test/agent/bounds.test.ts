/** What a program, a peer or a clock can do to the agent, and that it stays bounded, quiet and counted. */
import { EventEmitter } from 'node:events'
import pino from 'pino'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Publisher, XSubscriber } from 'zeromq'
import { type Agent, createAgent } from '../../agent/index.ts'
import { nameInBindings } from '../../agent/logger-name.ts'
import { encodeControl } from '../../wire/control.ts'
import { decodeFrame, frameKinds } from '../../wire/frame.ts'
import { controlRangesMax, goneRangesMax } from '../../wire/limits.ts'
import { readManifest } from '../../wire/manifest.ts'
import { privateContext } from '../../wire/socket.ts'
import type { Topic } from '../../wire/topic.ts'
import { freePorts, runApp, startCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'

const opened: Agent[] = []

function open(service: string, collector: string | string[], ringBytes?: number): Agent {
  const agent = createAgent({ service, collector, ringBytes })
  opened.push(agent)
  return agent
}

afterEach(async () => {
  vi.restoreAllMocks()
  for (const agent of opened.splice(0)) await agent.close(0)
})

test('a long absence of the collector leaves nothing behind but the ring', async () => {
  const agent = open('absent', `tcp://127.0.0.1:${await freePorts()}`, 262_144)
  const stream = agent.destination()
  const line = `{"level":30,"msg":"${'x'.repeat(3_000)}"}\n`
  for (let frames = 0; frames < 20_000; frames += 1) {
    stream.write(line)
    agent.closeBatches()
  }
  const held = agent.stream('log.info.absent.' as Topic)?.entries.length ?? 0
  expect(agent.stats().shed['ring_full']).toBeGreaterThan(19_000)
  // As many as the ring holds frames of that size, and as many again before they are tidied.
  expect(held).toBeLessThan(2 * (262_144 / 3_000) + 64)
})

test('a collector that asks for what nobody holds, without end, costs a bounded manifest and never the application', async () => {
  const port = await freePorts()
  const context = privateContext()
  const data = new XSubscriber({ context })
  const control = new Publisher({ context })
  await data.send(Buffer.from('\u0001log.'))
  await data.send(Buffer.from('\u0001sys.'))
  await data.send(Buffer.from('\u0001sys.run.asker.'))
  await data.bind(`tcp://127.0.0.1:${port}`)
  await control.bind(`tcp://127.0.0.1:${port + 1}`)
  const gone: number[] = []
  const reading = (async () => {
    for await (const [, bytes] of data) {
      const decoded = decodeFrame(bytes ?? Buffer.alloc(0))
      if (decoded.ok && decoded.frame.kind === frameKinds.manifest) gone.push(readManifest(decoded.frame.body)?.gone.length ?? -1)
    }
  })()
  const agent = open('asked', `tcp://127.0.0.1:${port}`)
  const topic = 'log.info.asked.' as Topic
  // Numbers that exist, held by nobody: shed after the end of the agent's ring.
  const stream = agent.destination()
  for (let n = 0; n < 1_000; n += 1) stream.write('{"level":30}\n')
  await agent.flush(50)
  const known = agent.stats().accepted
  const { origin } = agent
  const upTo = [{ topic, upTo: known }]
  const requests = Array.from({ length: controlRangesMax }, (_, i) => ({ topic, from: i * 2, to: i * 2 + 1 }))
  await until(
    async () => {
      await control.send([origin, encodeControl({ run: 'asker', acknowledgements: upTo, requests: [] })])
      return agent.stats().acknowledged === known
    },
    { what: 'everything is acknowledged, so nothing is held' },
  )
  for (let i = 0; i < 400; i += 1) await control.send([origin, encodeControl({ run: 'asker', acknowledgements: [], requests })])
  await until(() => gone.some((ranges) => ranges > 0), { what: 'it says what is gone' })
  stream.write('{"level":30,"msg":"still here"}\n')
  await until(() => agent.stats().sent === known + 1, { what: 'the application goes on' })
  expect(Math.max(...gone)).toBeLessThanOrEqual(goneRangesMax)
  expect(Math.min(...gone)).toBeGreaterThanOrEqual(0)
  expect(agent.links.map((link) => link.failures)).toEqual([0])
  data.close()
  control.close()
  await reading
})

test('says goodbye to each of two collectors only when it has everything', async () => {
  await using first = await startCollector()
  await using second = await startCollector()
  const agent = open('both', [first.data, second.data], 64 * 2 ** 20)
  const log = pino({ base: null }, agent.destination())
  const filler = 'x'.repeat(400)
  await until(() => agent.links.every((link) => link.state === 'connected'), { what: 'both are connected' })
  for (let n = 0; n < 60_000; n += 1) log.info({ n, filler })
  expect(await agent.close(20_000)).toEqual({ left: 0 })
  for (const collector of [first, second]) {
    expect((await collector.status()).totals).toMatchObject({ accepted: 60_000, delivered: 60_000, lost: {}, inFlight: 0 })
  }
})

test("what an application's own exit handler logs is delivered too", async () => {
  await using collector = await startCollector()
  await using app = await runApp('logs-at-exit.mjs', { env: collector.env })
  expect(app.code).toBe(0)
  await until(() => collector.lines('at-exit').length === 3, { what: 'all three lines are kept' })
  expect(collector.lines('at-exit').map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['before', 'at exit', 'and again'])
  expect((await collector.status()).totals).toMatchObject({ accepted: 3, delivered: 3, lost: {}, inFlight: 0 })
  expect(app.stderr).toBe('')
})

test('an odd clock of the application makes no log call throw and loses no record', async () => {
  await using collector = await startCollector()
  const agent = open('clocked', collector.data)
  const stream = agent.destination()
  for (const [n, now] of [1.5, -1, Number.NaN, Number.MAX_VALUE].entries()) {
    vi.spyOn(Date, 'now').mockReturnValue(now)
    stream.write(`{"level":30,"n":${n}}\n`)
    agent.closeBatches()
  }
  vi.restoreAllMocks()
  expect(await agent.flush()).toEqual({ left: 0 })
  expect(await collector.kept('clocked', 4)).toEqual([0, 1, 2, 3].map((n) => `{"level":30,"n":${n}}`))
})

test("an application's own formatting of stacks never runs into a log call", async () => {
  const agent = open('stacks', `tcp://127.0.0.1:${await freePorts()}`)
  const before = Error.prepareStackTrace
  Error.prepareStackTrace = () => {
    throw new Error('formatting on purpose')
  }
  try {
    const { isRejected } = await import('../../agent/settled.ts')
    const rejected = Promise.reject(new Error('made after the formatter'))
    rejected.catch(() => undefined)
    expect(isRejected(rejected)).toBe(true)
  } finally {
    Error.prepareStackTrace = before
  }
  expect(agent.stats().accepted).toBe(0)
})

test('a collector that asks for more than the one before it at its place is owed nothing it never asked for', async () => {
  const narrow = await startCollector({ args: ['--subscribe', 'log.error.>'] })
  const agent = open('filtered', narrow.data)
  const log = pino({ base: null }, agent.destination())
  log.error({ n: 0 })
  for (let n = 0; n < 300; n += 1) log.info({ n })
  expect(await agent.flush()).toEqual({ left: 0 })
  await until(() => agent.links[0]?.wanted !== undefined, { what: 'what it wants is known' })
  for (let n = 300; n < 600; n += 1) log.info({ n })
  await narrow[Symbol.asyncDispose]()
  await using wide = await startCollector({ port: narrow.port })
  await until(() => agent.links[0]?.wants('log.info.filtered.'), { what: 'the new one is known to want more' })
  log.info({ n: 600 })
  expect(await agent.flush()).toEqual({ left: 0 })
  const { totals } = await until(
    async () => {
      const status = await wide.status()
      return status.totals.inFlight === 0 && status
    },
    { what: 'it is delivered' },
  )
  expect(totals.lost).toEqual({})
  expect(JSON.parse(wide.lines('filtered').at(-1) ?? '{}')).toMatchObject({ n: 600 })
})

describe('the name of a logger', () => {
  test('is the last one on the top level, whatever else its bindings hold', () => {
    expect(nameInBindings(',"pid":1,"name":"db"')).toBe('db')
    expect(nameInBindings(',"name":"db","name":"cache"')).toBe('cache')
    expect(nameInBindings(',"user":{"id":1,"name":"x"},"name":"db"')).toBe('db')
    expect(nameInBindings(',"user":{"id":1,"name":"x"}')).toBeUndefined()
    expect(nameInBindings(',"note":"a ,\\"name\\":\\"no\\" b"')).toBeUndefined()
    expect(nameInBindings(',"list":[{"a":1,"name":"x"}]')).toBeUndefined()
    expect(nameInBindings(',"name":"\\u0064\\"b"')).toBe('d"b')
  })

  test('is looked for in a bounded part of them', () => {
    const items = JSON.stringify(Array.from({ length: 100_000 }, (_, id) => ({ id, name: 'x' })))
    const scanned: string[] = []
    const slice = vi.spyOn(String.prototype, 'slice').mockImplementation(function (this: string, from?: number, to?: number) {
      const part = this.substring(from ?? 0, to ?? this.length)
      scanned.push(part)
      return part
    })
    expect(nameInBindings(`,"items":${items},"name":"late"`)).toBeUndefined()
    slice.mockRestore()
    expect(scanned.map((part) => part.length)).toEqual([4_096])
  })
})

test('the stream is an emitter of events, as pipes expect', async () => {
  const agent = open('piped', `tcp://127.0.0.1:${await freePorts()}`)
  expect(agent.destination()).toBeInstanceOf(EventEmitter)
})

/** The collector's books over real sockets, with agents that do what no good agent would. */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { encode } from '@msgpack/msgpack'
import { describe, expect, test } from 'vitest'
import type { CollectorStatus } from '../../collector/status.ts'
import { encodeLines, frameKinds } from '../../wire/frame.ts'
import { controlRangesMax, originsMax, repairAttemptsMax, spoolBytesMaxDefault } from '../../wire/limits.ts'
import { logTopic, sysTopic, type Topic } from '../../wire/topic.ts'
import { runApp, startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'

const topic = logTopic('info', 'hand')
const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `{"n":${from + i}}`)

async function statusWhen(
  collector: TestCollector,
  what: string,
  condition: (status: CollectorStatus) => boolean,
): Promise<CollectorStatus> {
  return until(
    async () => {
      const status = await collector.status()
      return condition(status) ? status : undefined
    },
    { what },
  )
}

const topicOf = (status: CollectorStatus, agent: HandMadeAgent, name: Topic = topic) =>
  status.origins.find((origin) => origin.origin === agent.origin)?.topics[name]

test('status.json has the documented shape, and nothing of it is missing', async () => {
  await using collector = await startCollector()
  await using agent = await HandMadeAgent.connect(collector)
  await agent.manifest({ topics: { [topic]: { lead: 0 } } })
  await agent.lines(topic, 0, numbered(0, 3))
  const status = await statusWhen(collector, 'delivered', ({ totals }) => totals.delivered === 3)
  const books = {
    accepted: 3,
    delivered: 3,
    lost: {},
    inFlight: 0,
    received: 3,
    spooled: 3,
    notDurable: 0,
    expired: 0,
    rejected: 0,
    pending: 0,
  }
  expect(status).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    uptimeMs: expect.any(Number) as number,
    timeMs: expect.any(Number) as number,
    totals: { ...books, filtered: 0, duplicates: 0 },
    origins: [
      {
        origin: agent.origin,
        service: 'hand',
        host: 'test-host',
        pid: 4_242,
        state: 'live',
        unknownTail: null,
        topics: { [topic]: { ...books, filtered: 0, duplicates: 0, late: 0, shedAtOrigin: 0 } },
      },
    ],
    losses: [],
    sinks: {
      files: {
        type: 'file',
        topics: ['log.>'],
        written: 3,
        dropped: 0,
        expired: 0,
        rejected: 0,
        pendingRecords: 0,
        pendingBytes: 0,
        lagMs: 0,
        where: expect.stringContaining(collector.dir) as string,
        files: {
          ...{ count: 0, bytes: 0, rotated: 0, compressed: 0 },
          ...{ removed: { age: 0, files: 0, bytes: 0, free: 0 }, removedBytes: 0 },
        },
      },
    },
    spool: {
      dir: join(collector.dir, 'spool'),
      bytes: expect.any(Number) as number,
      bytesMax: spoolBytesMaxDefault,
      segments: 1,
      pendingBytes: expect.any(Number) as number,
      syncs: expect.any(Number) as number,
      syncLastMs: expect.any(Number) as number,
      syncMaxMs: expect.any(Number) as number,
      damagedBytes: 0,
      notDurable: 0,
    },
    repairs: { requests: 0, recordsAsked: 0, recordsRepaired: 0, isBreakerOpen: false },
    demand: [],
    rollup: {
      ...{ points: 1, late: 0, ahead: 0, overflow: 0, refused: 0, displaced: 0 },
      ...{ series: expect.any(Number) as number, seriesMax: 10_000, conflicting: 0, hidden: 0 },
    },
    ingest: expect.objectContaining({ frames: 2, bytes: expect.any(Number) as number, refused: {}, turnedAway: 0 }) as unknown,
  })
  expect(Math.abs(status.timeMs - Date.now())).toBeLessThan(60_000)
  expect(status.uptimeMs).toBeGreaterThan(0)
})

// At once: some of these wait for deadlines of seconds.
describe.concurrent('an agent that', () => {
  test('sends frames twice and overlapping: each record is kept once, the rest counted', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    await agent.lines(topic, 0, numbered(0, 10))
    await agent.lines(topic, 0, numbered(0, 10))
    await agent.lines(topic, 5, numbered(5, 20))
    await agent.lines(topic, 12, ['{"other":"bytes"}'])
    const status = await statusWhen(collector, 'all is delivered', ({ totals }) => totals.delivered === 20)
    expect(topicOf(status, agent)).toMatchObject({ accepted: 20, delivered: 20, duplicates: 10 + 5 + 1, inFlight: 0, lost: {} })
    expect(collector.lines('hand')).toEqual(numbered(0, 20))
  })

  test('sends two frames the wrong way round has lost nothing, and is not asked', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    await agent.lines(topic, 10, numbered(10, 20))
    await agent.lines(topic, 0, numbered(0, 10))
    const status = await statusWhen(collector, 'all is delivered', ({ totals }) => totals.delivered === 20)
    expect(status.totals).toMatchObject({ accepted: 20, lost: {}, inFlight: 0, duplicates: 0 })
    expect(agent.asked).toEqual([])
    expect(new Set(collector.lines('hand'))).toEqual(new Set(numbered(0, 20)))
    await until(() => agent.acknowledged(topic) === 20, { what: 'all is acknowledged' })
  })

  test('leaves a hole is asked for exactly that, and what it sends then is kept', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    await agent.lines(topic, 0, numbered(0, 5))
    await agent.lines(topic, 8, numbered(8, 10))
    await until(() => agent.asked.length > 0, { what: 'the collector asks' })
    expect(agent.asked[0]).toEqual({ topic, from: 5, to: 8 })
    // Not one record behind the hole is acknowledged.
    expect(agent.acknowledged(topic)).toBe(5)
    await agent.lines(topic, 5, numbered(5, 8))
    const status = await statusWhen(collector, 'all is delivered', ({ totals }) => totals.delivered === 10)
    expect(status.totals).toMatchObject({ accepted: 10, lost: {}, inFlight: 0 })
    await until(() => agent.acknowledged(topic) === 10, { what: 'all is acknowledged' })
  })

  test('leaves more holes than one message names is asked for all of them at the first try', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    const holes = 2 * controlRangesMax + 10
    for (let n = 0; n < holes; n += 1) await agent.lines(topic, 2 * n + 1, [`{"n":${2 * n + 1}}`])
    // A slow machine needs so long to send them that the first are asked for again before the last have come.
    const asked = () => [...new Set(agent.asked.map(({ from, to }) => `${from} to ${to}`))]
    await until(() => asked().length >= holes, { what: 'the collector asks' })
    expect(asked()).toEqual(Array.from({ length: holes }, (_, n) => `${2 * n} to ${2 * n + 1}`))
  })

  test('says goodbye with more topics than one message names hears of every one before the goodbye is answered', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    const topics = Array.from({ length: controlRangesMax + 10 }, (_, i) => logTopic('info', 'hand', `n${i}`))
    const told = { topics: Object.fromEntries(topics.map((name) => [name, { lead: 1, resume: 0 }])) }
    await agent.manifest(told)
    for (const name of topics) await agent.lines(name, 0, ['x'])
    await until(() => topics.every((name) => agent.acknowledged(name) === 1), { what: 'all is acknowledged' })
    agent.heard.length = 0
    await agent.manifest({ final: true })
    await until(() => agent.byesHeard > 0, { what: 'the goodbye is answered' })
    expect(topics.filter((name) => agent.acknowledged(name) !== 1)).toEqual([])
  })

  test('says that a hole is gone: it is lost at once, as evicted', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    await agent.lines(topic, 0, numbered(0, 5))
    await agent.lines(topic, 8, numbered(8, 10))
    await agent.manifest({ topics: { [topic]: { lead: 10 } }, gone: [{ topic, from: 5, to: 8 }] })
    const status = await statusWhen(collector, 'the loss is booked', ({ totals }) => totals.lost.ring_evicted !== undefined)
    expect(status.totals.lost).toEqual({ ring_evicted: 3 })
    const { firstAtMs = 0, lastAtMs = 0, ...loss } = status.losses[0] ?? {}
    expect(loss).toEqual({ origin: agent.origin, service: 'hand', topic, reason: 'ring_evicted', records: 3 })
    expect(firstAtMs).toBe(lastAtMs)
    expect(firstAtMs).toBeGreaterThan(status.timeMs - status.uptimeMs - 1)
    expect(firstAtMs).toBeLessThanOrEqual(status.timeMs)
    expect(agent.asked).toEqual([])
    // Late, and no longer believed.
    await agent.lines(topic, 5, numbered(5, 8))
    const later = await statusWhen(
      collector,
      'the late ones are counted',
      (now) => topicOf(now, agent)?.late === 3 && now.totals.delivered === 7,
    )
    expect(later.totals).toMatchObject({ accepted: 10, delivered: 7, lost: { ring_evicted: 3 }, inFlight: 0 })
    await until(() => agent.acknowledged(topic) === 10, { what: 'what is final is acknowledged' })
  })

  test('never answers: the hole is lost as unanswered, after five questions', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    await agent.lines(topic, 4, numbered(4, 10))
    const status = await until(
      async () => {
        // It lives, and says so: one that is silent is not given up.
        await agent.manifest()
        const now = await collector.status()
        return now.totals.lost.unanswered !== undefined && now
      },
      { what: 'the loss is booked', everyMs: 500 },
    )
    expect(status.totals).toMatchObject({ accepted: 10, delivered: 6, lost: { unanswered: 4 }, inFlight: 0 })
    expect(agent.asked).toEqual(Array.from({ length: repairAttemptsMax }, () => ({ topic, from: 0, to: 4 })))
  })

  test('says goodbye and is gone: its holes are final two seconds later, and it is finished', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    await agent.lines(topic, 3, numbered(3, 10))
    await agent.manifest({ topics: { [topic]: { lead: 12 } }, final: true })
    const startedAtMs = performance.now()
    await until(() => agent.byesHeard > 0, { what: 'the goodbye is answered' })
    const status = await statusWhen(collector, 'the loss is booked', ({ totals }) => totals.inFlight === 0)
    expect(performance.now() - startedAtMs).toBeGreaterThan(1_500)
    expect(performance.now() - startedAtMs).toBeLessThan(6_000)
    expect(status.totals).toMatchObject({ accepted: 12, delivered: 7, lost: { origin_gone: 3 + 2 } })
    expect(status.origins[0]?.state).toBe('finished')
  })

  test('begins in the middle, before it has introduced itself: what lies before is asked for, not forgotten', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(topic, 100, numbered(100, 105))
    await statusWhen(collector, 'it is delivered', ({ totals }) => totals.delivered === 5)
    expect(agent.acknowledged(topic)).toBeUndefined()
    await agent.manifest({ topics: { [topic]: { lead: 105 } } })
    await until(() => agent.asked.length > 0, { what: 'the collector asks' })
    expect(agent.asked[0]).toEqual({ topic, from: 0, to: 100 })
    expect(agent.acknowledged(topic) ?? 0).toBe(0)
    await agent.lines(topic, 0, numbered(0, 100))
    await until(() => agent.acknowledged(topic) === 105, { what: 'all is acknowledged' })
    expect(new Set(collector.lines('hand'))).toEqual(new Set(numbered(0, 105)))
  })

  test('has a logger called manifest is understood', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(logTopic('info', 'hand', 'manifest'), 0, ['{"msg":"a line like any other"}'])
    await until(() => collector.lines('hand').length === 1, { what: 'the line is kept' })
    expect((await collector.status()).ingest.refused).toEqual({})
  })
})

describe('hostile messages', () => {
  const head = { origin: 'hostile-00000001', seq: 0, count: 1, time: 1, kind: frameKinds.lines, onDemand: false }
  const good = encodeLines(head, 'x\n')
  const array = (...fields: unknown[]) => encode(fields)
  const body = Buffer.from('x\n')
  const mutated = (at: number, byte: number) => {
    const frame = Buffer.from(good)
    frame[at] = byte
    return frame
  }
  /** What is sent, and the counter that must show it. */
  const messages: [string, (string | Uint8Array)[], string][] = [
    ['one part', [topic], 'parts'],
    ['three parts', [topic, good, good], 'parts'],
    ['an empty message', [''], 'parts'],
    ['no topic', ['', good], 'topic'],
    ['a topic without its end', ['log.info.hand', good], 'topic'],
    ['an unknown level', ['log.loud.hand.', good], 'topic'],
    ['a topic that is too long', [`log.info.${'x'.repeat(300)}.`, good], 'topic'],
    ['a topic of control characters', ['log.info.\u001b[2J.', good], 'topic'],
    ['a topic with a path in it', ['log.info.../../etc.', good], 'topic'],
    ['a topic of one kind too many', ['log.info.a.b.c.', good], 'topic'],
    ['lines under a manifest topic', [sysTopic('hand', 'manifest'), good], 'topic'],
    ['a manifest under a log topic', [topic, array(1, head.origin, 0, 1, 1, 4, {})], 'topic'],
    ['an empty frame', [topic, ''], 'truncated'],
    ['half a frame', [topic, good.subarray(0, good.length >> 1)], 'truncated'],
    ['another version', [topic, mutated(1, 2)], 'version'],
    ['a later kind of body', [topic, array(1, head.origin, 0, 1, 1, 2, [{}])], 'version'],
    ['a compressed body', [topic, array(1, head.origin, 0, 1, 1, 1, body, { z: 'zstd' })], 'version'],
    ['no array', [topic, encode({ a: 'a map that is long enough to be a frame' })], 'layout'],
    ['an origin of 15 characters', [topic, array(1, 'x'.repeat(15), 0, 1, 1, 1, Buffer.from('long enough to be a frame\n'))], 'layout'],
    ['an origin that is a path', [topic, array(1, '../../../../etc/', 0, 1, 1, 1, body)], 'layout|bounds'],
    ['no records', [topic, array(1, head.origin, 0, 0, 1, 1, body)], 'bounds'],
    ['too many records', [topic, array(1, head.origin, 0, 4_097, 1, 1, body)], 'bounds'],
    ['a number at 2^53', [topic, array(1, head.origin, 2 ** 53, 1, 1, 1, body)], 'bounds|layout|truncated'],
    [
      'a number of 2^64-1',
      [topic, encode([1, head.origin, 2n ** 64n - 1n, 1, 1, 1, body], { useBigInt64: true })],
      'bounds|layout|truncated',
    ],
    ['a negative number', [topic, array(1, head.origin, -1, 1, 1, 1, body)], 'bounds|layout|truncated'],
    ['half a number', [topic, array(1, head.origin, 0.5, 1, 1, 1, body)], 'bounds|layout|truncated'],
    ['no number', [topic, array(1, head.origin, Number.NaN, 1, 1, 1, body)], 'bounds|layout|truncated'],
    ['fewer lines than it says', [topic, array(1, head.origin, 0, 2, 1, 1, body)], 'lines'],
    ['more lines than it says', [topic, array(1, head.origin, 0, 1, 1, 1, Buffer.from('a\nb\n'))], 'lines'],
    ['a line without its end', [topic, array(1, head.origin, 0, 1, 1, 1, Buffer.from('a'))], 'lines'],
    ['a manifest that is none', [sysTopic('hand', 'manifest'), array(1, head.origin, 0, 1, 1, 4, 'hello')], 'manifest'],
    [
      'a manifest with impossible numbers',
      [sysTopic('hand', 'manifest'), array(1, head.origin, 0, 1, 1, 4, { n: 0, every: 1, topics: { [topic]: [9, 1, 1, 1, 0, 0] } })],
      'manifest',
    ],
    [
      'a manifest with a topic that is none',
      [sysTopic('hand', 'manifest'), array(1, head.origin, 0, 1, 1, 4, { n: 0, every: 1, topics: { '../..': [0, 1, 1, 1, 0, 0] } })],
      'manifest',
    ],
    ['a manifest of arrays in arrays', [sysTopic('hand', 'manifest'), array(1, head.origin, 0, 1, 1, 4, nested(90))], 'layout|manifest'],
  ]

  function nested(depth: number): unknown {
    let value: unknown = 0
    for (let i = 0; i < depth; i += 1) value = [value]
    return value
  }

  test('are counted by what is wrong with them, and change nothing for honest streams', async () => {
    // Everything, so that nothing is held back at its source.
    await using collector = await startCollector({ args: ['--subscribe', '>'] })
    await using honest = await HandMadeAgent.connect(collector, { service: 'honest' })
    await using hostile = await HandMadeAgent.connect(collector, { service: 'hostile' })
    const clean = logTopic('info', 'honest')
    await honest.manifest({ topics: { [clean]: { lead: 0 } } })
    let sent = 0
    for (const [what, parts, fault] of messages) {
      const before = (await collector.status()).ingest.refused
      await hostile.raw(...parts)
      await honest.lines(clean, sent, numbered(sent, sent + 1))
      sent += 1
      const { refused } = (await statusWhen(collector, `it counts ${what}`, ({ ingest }) => sum(ingest.refused) > sum(before))).ingest
      const counted = Object.keys(refused).find((name) => refused[name] !== before[name])
      expect(`${what}: ${counted}`).toMatch(new RegExp(`: (?:${fault})$`))
      expect(sum(refused)).toBe(sum(before) + 1)
    }
    const status = await statusWhen(collector, 'the honest lines are delivered', ({ totals }) => totals.delivered === sent)
    expect(status.origins.map(({ origin }) => origin)).toEqual([honest.origin])
    expect(topicOf(status, honest, clean)).toMatchObject({ accepted: sent, delivered: sent, lost: {}, inFlight: 0, duplicates: 0 })
    expect(collector.lines('honest')).toEqual(numbered(0, sent))
    await until(() => honest.acknowledged(clean) === sent, { what: 'the honest lines are acknowledged' })
  })

  test('believable frames with numbers that are not: only their own origin is affected', async () => {
    await using collector = await startCollector()
    await using honest = await HandMadeAgent.connect(collector, { service: 'honest' })
    await using hostile = await HandMadeAgent.connect(collector, { service: 'hostile' })
    const [clean, dirty] = [logTopic('info', 'honest'), logTopic('info', 'hostile')]
    await honest.manifest({ topics: { [clean]: { lead: 0 } } })
    await honest.lines(clean, 0, numbered(0, 10))
    await hostile.manifest({ topics: { [dirty]: { lead: 0 } } })
    // Too far ahead to be believed; then a hole as wide as is believed; then a hole every other record.
    await hostile.lines(dirty, Number.MAX_SAFE_INTEGER - 5, ['x'])
    await hostile.lines(dirty, 2 ** 52, ['x'])
    await hostile.lines(dirty, 1_000_000_000, ['x'])
    for (let n = 0; n < 5_000; n += 1) await hostile.lines(dirty, 1_000_000_002 + 2 * n, ['x'])
    await hostile.manifest({
      topics: { [dirty]: { lead: Number.MAX_SAFE_INTEGER, sent: Number.MAX_SAFE_INTEGER } },
      everyMs: Number.MAX_SAFE_INTEGER,
    })
    await honest.lines(clean, 10, numbered(10, 20))
    const status = await statusWhen(collector, 'all of it is taken', ({ totals }) => totals.delivered === 20 + 5_001)
    expect(status.ingest.turnedAway).toBe(2)
    expect(topicOf(status, honest, clean)).toMatchObject({ accepted: 20, delivered: 20, lost: {}, inFlight: 0 })
    const books = topicOf(status, hostile, dirty)
    const lost = Object.values(books?.lost ?? {}).reduce((all, records) => all + records, 0)
    expect(books?.accepted).toBe((books?.delivered ?? 0) + lost + (books?.inFlight ?? 0))
    expect(books?.inFlight).toBeGreaterThanOrEqual(0)
    expect(collector.lines('honest')).toEqual(numbered(0, 20))
  })

  test('more origins than are followed: the surplus is turned away, those that were there go on', async () => {
    await using collector = await startCollector()
    await using honest = await HandMadeAgent.connect(collector, { service: 'honest' })
    await using hostile = await HandMadeAgent.connect(collector, { service: 'hostile' })
    const clean = logTopic('info', 'honest')
    await honest.lines(clean, 0, numbered(0, 1))
    await statusWhen(collector, 'the honest one is known', ({ totals }) => totals.delivered === 1)
    for (let i = 0; i < originsMax + 100; i += 1) {
      await hostile.lines(logTopic('info', 'hostile'), 0, ['x'], `hostile-${String(i).padStart(8, '0')}`)
    }
    const full = await statusWhen(collector, 'the surplus is turned away', ({ ingest }) => ingest.turnedAway === 101)
    expect(full.origins).toHaveLength(originsMax)
    await honest.lines(clean, 1, numbered(1, 2))
    await until(() => collector.lines('honest').length === 2, { what: 'the honest line is kept' })
  })
})

describe('strangers on the ports', () => {
  function stranger(port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(socket))
      socket.once('error', reject)
    })
  }

  test('who speak no ZeroMQ, or nothing at all, do not keep applications out', async () => {
    await using collector = await startCollector()
    const sockets: Socket[] = []
    for (const port of [collector.port, collector.port + 1, collector.port + 2]) {
      for (const words of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\0'.repeat(100), '\xff'.repeat(1_000), '', '']) {
        const socket = await stranger(port)
        socket.on('error', () => undefined)
        socket.write(words, 'latin1')
        sockets.push(socket)
      }
    }
    await using app = await runApp('count.mjs', { args: ['100'], env: collector.env })
    expect(app.code).toBe(0)
    await until(() => collector.lines('counted').length === 100, { what: 'the lines are kept' })
    for (const socket of sockets) socket.destroy()
    expect((await collector.status()).totals).toMatchObject({ accepted: 100, delivered: 100 })
  })
})

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((all, count) => all + count, 0)
}

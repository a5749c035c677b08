/** What a collector does with a frame, a tail and its folder; some of it in this process, to set its clock. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { Subscriber } from 'zeromq'
import { type Collector, startCollector as startHere } from '../../collector/collector.ts'
import { type CollectorConfig, requireConfig } from '../../collector/config.ts'
import { Ingest } from '../../collector/ingest.ts'
import { SinkRunner } from '../../collector/sink-runner.ts'
import { FileSink } from '../../collector/sinks/file-sink.ts'
import { Spool } from '../../collector/spool/spool.ts'
import type { Endpoint } from '../../wire/endpoint.ts'
import { decodeFrame, encodeFrame, frameKinds } from '../../wire/frame.ts'
import { frameBytesMax } from '../../wire/limits.ts'
import { privateContext } from '../../wire/socket.ts'
import { logTopic } from '../../wire/topic.ts'
import { startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'

const topic = logTopic('info', 'hand')

afterEach(() => vi.restoreAllMocks())

/** A live tail that keeps the lines it is sent. */
function startTail(endpoint: string) {
  const socket = new Subscriber({ context: privateContext(), linger: 0 })
  socket.connect(endpoint)
  socket.subscribe('log.')
  const lines: string[] = []
  const loop = (async () => {
    try {
      for await (const [, bytes] of socket) {
        const decoded = decodeFrame(bytes ?? Buffer.alloc(0))
        if (decoded.ok) lines.push(...decoded.frame.body.toString('utf8').split('\n').slice(0, -1))
      }
    } catch (error) {
      if (!socket.closed) throw error
    }
  })()
  return {
    lines,
    async [Symbol.asyncDispose]() {
      socket.close()
      await loop
    },
  }
}

/** Sends numbered lines until the tail sees one; returns the next number. */
async function untilFollowed(agent: HandMadeAgent, tail: { readonly lines: readonly string[] }, from = 0): Promise<number> {
  let next = from
  await until(
    async () => {
      await agent.lines(topic, next, [`${next}`])
      next += 1
      return tail.lines.length > 0
    },
    { what: 'the tail is followed' },
  )
  return next
}

/** A collector in this process, on free ports. */
async function startInside(config: CollectorConfig): Promise<Collector & AsyncDisposable> {
  const collector = await startHere(config)
  return Object.assign(collector, { [Symbol.asyncDispose]: () => collector.close(0) })
}

test('a frame of the full size that is partly known and grows by a byte without that part is kept, and ends nothing', async () => {
  await using collector = await startCollector()
  await using agent = await HandMadeAgent.connect(collector)
  await using tail = startTail(collector.tail)
  const first = 65_535
  // In another stream, so that the number stays free.
  await using probes = await HandMadeAgent.connect(collector)
  await untilFollowed(probes, tail)
  await agent.lines(topic, first, [''])
  await until(() => tail.lines.includes(''), { what: 'its first line is known' })
  const head = { origin: agent.origin, seq: first, count: 2, time: 1, kind: frameKinds.lines, onDemand: false }
  const around = encodeFrame(head, Buffer.from(`\n${'x'.repeat(100_000)}\n`)).length - 100_000
  const long = 'x'.repeat(frameBytesMax - around)
  const frame = encodeFrame(head, Buffer.from(`\n${long}\n`))
  expect(frame).toHaveLength(frameBytesMax)
  await agent.raw(topic, frame)
  await agent.lines(topic, first + 2, ['behind it'])
  await until(() => tail.lines.includes('behind it'), { what: 'the tail goes on' })
  expect(tail.lines).not.toContain(long)
  await until(() => collector.lines('hand').includes('behind it'), { what: 'all is kept' })
  expect(collector.lines('hand').filter((line) => line === long)).toHaveLength(1)
  expect((await collector.status()).ingest.refused).toEqual({})
  expect(collector.process.end).toBeUndefined()
})

test('a frame that cannot be handled for a reason nobody thought of is counted, and the next one is taken', async () => {
  const taken: number[] = []
  const ingest = new Ingest(privateContext(), 'tcp://127.0.0.1:0' as Endpoint, {
    frame: (_topic, { seq }) => {
      taken.push(seq)
      if (seq === 0) throw new Error('nobody thought of this')
    },
    roomier: () => undefined,
    freeBuffers: () => undefined,
  })
  await ingest.open(['log.', 'sys.run.test.'])
  await using agent = await HandMadeAgent.connect({ data: ingest.endpoint, control: ingest.endpoint })
  for (const seq of [0, 1]) await agent.lines(topic, seq, ['x'])
  await until(() => taken.length === 2, { what: 'both are handled' })
  expect(Object.fromEntries(ingest.faults)).toEqual({ failed: 1 })
  await ingest.close()
})

test('records made for a live tail only reach the tail and no sink, and are acknowledged; the books add up', async () => {
  await using collector = await startCollector()
  await using agent = await HandMadeAgent.connect(collector)
  await using tail = startTail(collector.tail)
  await agent.manifest({ topics: { [topic]: { lead: 0 } } })
  const next = await untilFollowed(agent, tail)
  await agent.lines(topic, next, ['only shown', 'only shown too'], agent.origin, { onDemand: true })
  await agent.lines(topic, next + 2, ['kept'])
  await until(() => agent.acknowledged(topic) === next + 3, { what: 'all is acknowledged' })
  await until(() => tail.lines.includes('kept'), { what: 'the tail has all' })
  expect(tail.lines.slice(-3)).toEqual(['only shown', 'only shown too', 'kept'])
  expect(await collector.kept('hand', next + 1)).toEqual([...Array.from({ length: next }, (_, n) => `${n}`), 'kept'])
  const { totals, sinks } = await collector.status()
  const received = next + 1
  expect(totals).toEqual({
    accepted: received,
    delivered: received,
    lost: {},
    inFlight: 0,
    received,
    spooled: received,
    notDurable: 0,
    expired: 0,
    rejected: 0,
    pending: 0,
    filtered: 2,
    duplicates: 0,
  })
  expect(sinks['files']?.written).toBe(next + 1)
})

test('a wall clock that jumps an hour ahead makes no living origin silent and gives up nothing it holds', async () => {
  await using dir = await tempDir()
  await using collector = await startInside(requireConfig(undefined, { dir: dir.path, listen: '127.0.0.1:0', http: 'off' }))
  await using agent = await HandMadeAgent.connect(collector.addresses)
  await agent.manifest({ topics: { [topic]: { lead: 10, sent: 0 } } })
  await agent.lines(topic, 2, ['behind a hole'])
  await until(() => collector.status().totals.inFlight === 10 - 1, { what: 'the hole is known' })
  vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000)
  // Asked for after the grace, which takes several ticks.
  await until(() => agent.asked.length > 0, { what: 'the collector asks' })
  const { origins, totals, uptimeMs } = collector.status()
  expect(origins.map(({ state }) => state)).toEqual(['live'])
  expect(totals).toMatchObject({ accepted: 10, lost: {}, inFlight: 9 })
  expect(uptimeMs).toBeLessThan(3_600_000)
})

test('a collector that cannot be made leaves the folder free', async () => {
  await using dir = await tempDir()
  const config = requireConfig(undefined, { dir: dir.path, listen: '127.0.0.1:0', http: 'off' })
  await expect(startHere({ ...config, sinks: { bad: { type: 'stdout', topics: ['log..'] } } })).rejects.toThrow(/log\.\./)
  expect(existsSync(join(dir.path, 'collector.lock'))).toBe(false)
  await using collector = await startInside(config)
  expect(existsSync(join(dir.path, 'collector.lock'))).toBe(true)
  await expect(startHere(config)).rejects.toThrow(/is in use by the collector/)
  expect(collector.status().totals.accepted).toBe(0)
  expect(existsSync(join(dir.path, 'collector.lock'))).toBe(true)
})

test('ends in an order in which nobody writes into what is closed: the runners, their sinks, the spool', async () => {
  await using dir = await tempDir()
  const config = requireConfig(undefined, { dir: dir.path, listen: '127.0.0.1:0', http: 'off' })
  const closes = [SinkRunner, FileSink, Spool].map(({ prototype }) => vi.spyOn(prototype, 'close'))
  const collector = await startHere(config)
  await collector.close()
  const [runners = 0, sinks = 0, spool = 0] = closes.map(({ mock }) => mock.invocationCallOrder[0])
  expect(runners).toBeGreaterThan(0)
  expect(runners).toBeLessThan(sinks)
  expect(sinks).toBeLessThan(spool)
})

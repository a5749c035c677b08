import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import {
  type DestinationStream,
  type Logger,
  type LoggerOptions,
  multistream,
  pino,
  type StreamEntry,
  stdSerializers,
  stdTimeFunctions,
} from 'pino'
import { pinoHttp } from 'pino-http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAgent } from '../../agent/shared.ts'
import { safeSegment } from '../../collector/sinks/log-path.ts'
import { destination } from '../../transports/pino.ts'
import { cutRecordBytes, recordBytesMax } from '../../wire/limits.ts'
import { runApp, startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { keptText, type Recorded, recorded, sortedLines } from './recorded.ts'

let collector: TestCollector
let services = 0

beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector[Symbol.asyncDispose]())

/** A service of its own for each comparison, so that nothing of another test is in its files. */
function nextService(): string {
  services += 1
  return `pino-${services}`
}

const kept = (service: string) => keptText(collector.dir, safeSegment(service))
const linesOf = (service: string) => kept(service).split('\n').slice(0, -1)
const parsed = (service: string) => linesOf(service).map((line) => JSON.parse(line) as Record<string, unknown>)

/** Resolves when the collector's files have what is acknowledged: its spool has it first. */
async function delivered(): Promise<void> {
  await until(async () => (await collector.status()).totals.pending === 0, { what: 'nothing is pending' })
}

/** Records delivered by topic, as the collector's books say. */
async function topics(service: string): Promise<Record<string, number>> {
  await delivered()
  const { origins } = await collector.status()
  const counts: Record<string, number> = {}
  for (const origin of origins.filter((each) => each.service === service)) {
    for (const [topic, books] of Object.entries(origin.topics)) counts[topic] = (counts[topic] ?? 0) + books.delivered
  }
  return counts
}

/** Logs the same through pino into a plain stream in memory and into Spillway, and compares the bytes that were kept. */
async function expectSameBytes<Custom extends string = never>(
  options: LoggerOptions<Custom>,
  use: (log: Logger<Custom>) => void,
): Promise<{ service: string; text: string }> {
  const timed = { timestamp: () => ',"time":1700000000000', ...options }
  const plain: string[] = []
  use(pino(timed, { write: (line) => void plain.push(line) }))
  const service = nextService()
  const stream = destination({ service, collector: collector.data })
  use(pino(timed, stream))
  expect(await stream.close()).toEqual({ left: 0 })
  await delivered()
  expect(plain.length).toBeGreaterThan(0)
  // As UTF-8, like any stream would write it: pino leaves lone surrogates in short strings.
  const text = Buffer.from(plain.join(''), 'utf8').toString('utf8')
  expect(sortedLines(kept(service))).toEqual(sortedLines(text))
  return { service, text }
}

/** Closes a recorded destination and compares what is kept with what was written to it. */
async function expectKept(service: string, { stream, written }: Recorded): Promise<void> {
  expect(await stream.close()).toEqual({ left: 0 })
  await delivered()
  expect(written.length).toBeGreaterThan(0)
  expect(sortedLines(kept(service))).toEqual(sortedLines(written.join('')))
}

describe('what pino makes is what is kept, byte for byte', () => {
  test('with the six levels, each under its topic', async () => {
    const { service } = await expectSameBytes({ level: 'trace' }, (log) => {
      log.trace({ n: 1 }, 'a')
      log.debug({ n: 2 }, 'b')
      log.info({ n: 3 }, 'c')
      log.warn({ n: 4 }, 'd')
      log.error({ n: 5, err: Object.assign(new Error('on purpose'), { stack: 'Error: on purpose\n    at nowhere' }) }, 'e')
      log.fatal({ n: 6 }, 'f')
    })
    expect(await topics(service)).toEqual(
      Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [`log.${level}.${service}.`, 1])),
    )
  })

  test('in the order of the calls within a topic', async () => {
    const { service, text } = await expectSameBytes({}, (log) => {
      for (let n = 0; n < 3_000; n += 1) log.info({ n }, 'line')
    })
    expect(kept(service)).toBe(text)
  })

  test('with named loggers, children and bindings set later, under the name of the logger that wrote', async () => {
    const { service } = await expectSameBytes({ name: 'shop' }, (log) => {
      log.info('shop')
      const db = log.child({ name: 'db', table: 'orders' })
      db.info('db')
      db.child({ span: 1 }).warn('db')
      log.child({ nested: { name: 'not me' } }).info('shop')
      const later = log.child({})
      later.info('shop')
      later.setBindings({ name: 'late' })
      later.info('late')
      log.info('shop')
      log.child({ name: 'pay.ments/ü' }).info('escaped')
      log.info({ name: 'a field of one record' }, 'shop')
    })
    expect(await topics(service)).toEqual({
      [`log.info.${service}.shop.`]: 5,
      [`log.info.${service}.db.`]: 1,
      [`log.warn.${service}.db.`]: 1,
      [`log.info.${service}.late.`]: 1,
      [`log.info.${service}.pay~2Ements~2F~C3~BC.`]: 1,
    })
  })

  test('with custom levels, which go to the nearest standard one below', async () => {
    const customLevels = { chatty: 15, notice: 35, severe: 55, doom: 100 }
    const { service } = await expectSameBytes<keyof typeof customLevels>({ customLevels, level: 'trace' }, (log) => {
      log.chatty('trace')
      log.notice('info')
      log.severe('error')
      log.doom('fatal')
    })
    expect(Object.keys(await topics(service)).sort()).toEqual(
      ['error', 'fatal', 'info', 'trace'].map((level) => `log.${level}.${service}.`),
    )
  })

  test('with only custom levels, written as labels', async () => {
    const { service } = await expectSameBytes<'low' | 'high'>(
      {
        customLevels: { low: 31, high: 45 },
        useOnlyCustomLevels: true,
        level: 'low',
        formatters: { level: (label) => ({ level: label }) },
      },
      (log) => {
        log.low('info')
        log.high('warn')
      },
    )
    expect(await topics(service)).toEqual({ [`log.info.${service}.`]: 1, [`log.warn.${service}.`]: 1 })
  })

  test.each<[string, LoggerOptions]>([
    ['another message key', { messageKey: 'message' }],
    ['an error key', { errorKey: 'problem' }],
    ['no timestamp', { timestamp: false }],
    ['an ISO timestamp', { timestamp: () => `,"time":"${new Date(1_700_000_000_000).toISOString()}"` }],
    ['a timestamp under another key', { timestamp: () => ',"@timestamp":1700000000000' }],
    ['level labels', { formatters: { level: (label) => ({ severity: label.toUpperCase() }) } }],
    ['a log formatter', { formatters: { log: (object) => ({ wrapped: object }) } }],
    ['a bindings formatter', { formatters: { bindings: () => ({ node: 'n1' }) } }],
    ['a nested key', { nestedKey: 'payload' }],
    ['redaction', { redact: { paths: ['secret', 'deep.secret'], censor: '***' } }],
    ['removal of keys', { redact: { paths: ['secret'], remove: true } }],
    ['a message prefix', { msgPrefix: '[shop] ' }],
    ['CRLF', { crlf: true }],
    ['no base', { base: null }],
    ['a mixin', { mixin: () => ({ mixed: 'in' }) }],
    ['serializers', { serializers: { err: stdSerializers.err, secret: () => 'serialised' } }],
    ['depth and edge limits', { depthLimit: 1, edgeLimit: 1 }],
    ['a level key that is not there', { formatters: { level: () => ({}) } }],
  ])('with %s', async (_name, options) => {
    const { service } = await expectSameBytes(options, (log) => {
      log.info({ secret: 's', deep: { secret: 't', open: 'u' } }, 'one %s', 'formatted')
      log.warn({ problem: new RangeError('x').message }, 'two')
      log.error('three')
      log.info({ only: 'an object' })
    })
    // The level is told beside the line: none of this hides it.
    expect(await topics(service)).toEqual({ [`log.info.${service}.`]: 2, [`log.warn.${service}.`]: 1, [`log.error.${service}.`]: 1 })
  })

  test('with any character, in messages, keys, names and services', async () => {
    const odd = [
      'ü',
      '€',
      '日本語',
      '😀🏳️‍🌈',
      '\ud800',
      '\udc00',
      'a\ud83d',
      '\u0000\u0007\u001b[31m',
      '\u2028\u2029',
      '\ufeff',
      '"\\/\b\f\n\r\t',
      '\u202e',
    ]
    const { service } = await expectSameBytes({ name: 'nämé 😀' }, (log) => {
      for (const text of odd) log.info({ [text]: text, long: text.repeat(100) }, text)
    })
    expect(linesOf(service)).toHaveLength(odd.length)
  })

  test('with a service of any name', async () => {
    const service = '@acme/shöp ../x'
    const { stream, written } = recorded({ service, collector: collector.data })
    pino(stream).info('here')
    await expectKept(service, { stream, written })
    expect(await topics(service)).toEqual({ 'log.info.~40acme~2Fsh~C3~B6p~20~2E~2E~2Fx.': 1 })
  })

  test('with a hook that rewrites the line, adds lines or takes its end away', async () => {
    const service = nextService()
    const { stream } = recorded({ service, collector: collector.data })
    const plain = pino({ base: null, timestamp: false }, stream)
    const hook = (rewrite: (line: string) => string) => pino({ base: null, timestamp: false, hooks: { streamWrite: rewrite } }, stream)
    plain.info('plain')
    hook((line) => line.replace('secret', '******')).info('a secret')
    hook((line) => line.trimEnd()).info('no end')
    hook((line) => `${line}{"extra":1}\n`).info('two lines')
    plain.info('plain again')
    expect(await stream.close()).toEqual({ left: 0 })
    await delivered()
    expect(linesOf(service)).toEqual([
      '{"level":30,"msg":"plain"}',
      '{"level":30,"msg":"a ******"}',
      '{"level":30,"msg":"no end"}',
      '{"level":30,"msg":"two lines"}',
      '{"extra":1}',
      '{"level":30,"msg":"plain again"}',
    ])
  })

  test('with multistream: each line where its level lets it, beside a plain stream that gets the same', async () => {
    const [all, severe] = [nextService(), nextService()]
    const plain: string[] = []
    const everything = recorded({ service: all, collector: collector.data })
    const errors = recorded({ service: severe, collector: collector.data })
    const memory: DestinationStream = { write: (line) => void plain.push(line) }
    const streams: StreamEntry[] = [
      { level: 'debug', stream: memory },
      { level: 'debug', stream: everything.stream },
      { level: 'error', stream: errors.stream },
    ]
    const log = pino({ level: 'debug', name: 'multi' }, multistream(streams))
    log.debug('one')
    log.info('two')
    log.child({ name: 'inner' }).error('three')
    log.fatal('four')
    await expectKept(all, everything)
    await expectKept(severe, errors)
    expect(sortedLines(kept(all))).toEqual(sortedLines(plain.join('')))
    expect(await topics(severe)).toEqual({ [`log.error.${severe}.inner.`]: 1, [`log.fatal.${severe}.multi.`]: 1 })
    expect(await topics(all)).toMatchObject({ [`log.debug.${all}.multi.`]: 1, [`log.error.${all}.inner.`]: 1 })
  })

  test('with pino-http', async () => {
    const service = nextService()
    const record = recorded({ service, collector: collector.data })
    const http = pinoHttp({ customLogLevel: (_req, res) => (res.statusCode >= 500 ? 'error' : 'info') }, record.stream)
    const server = createServer((req, res) => {
      http(req, res)
      req.log.info({ url: req.url }, 'inside')
      res.statusCode = req.url === '/bad' ? 500 : 200
      res.end('done')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await fetch(`http://127.0.0.1:${port}/good`)
    await fetch(`http://127.0.0.1:${port}/bad`)
    await new Promise((resolve) => server.close(resolve))
    await expectKept(service, record)
    expect(await topics(service)).toEqual({ [`log.info.${service}.`]: 3, [`log.error.${service}.`]: 1 })
  })

  test.each(['logger: { stream }', 'loggerInstance'])('with Fastify, %s', async (how) => {
    const service = nextService()
    const record = recorded({ service, collector: collector.data })
    const app: FastifyInstance =
      how === 'loggerInstance'
        ? (fastify({ loggerInstance: pino({ name: 'web' }, record.stream) }) as unknown as FastifyInstance)
        : fastify({ logger: { stream: record.stream } })
    app.get('/', async (request) => {
      request.log.warn({ from: 'handler' }, 'inside')
      return { ok: true }
    })
    app.get('/bad', async () => {
      throw new Error('on purpose')
    })
    expect((await app.inject('/')).statusCode).toBe(200)
    expect((await app.inject('/bad')).statusCode).toBe(500)
    await app.close()
    await delivered()
    await expectKept(service, record)
    const name = how === 'loggerInstance' ? 'web.' : ''
    expect(await topics(service)).toEqual({
      [`log.info.${service}.${name}`]: 4,
      [`log.warn.${service}.${name}`]: 1,
      [`log.error.${service}.${name}`]: 1,
    })
  })

  test('with one argument: pino(destination())', async () => {
    const service = nextService()
    const record = recorded({ service, collector: collector.data })
    pino(record.stream).info('taken for a stream')
    await expectKept(service, record)
  })

  test('through agent.pinoOptions and agent.destination, whose custom levels a tee without metadata knows by their labels', async () => {
    const service = nextService()
    const agent = createAgent({ service, collector: collector.data })
    const options: LoggerOptions<'audit'> = { customLevels: { audit: 45 }, formatters: { level: (label) => ({ level: label }) } }
    const composed = agent.pinoOptions(options)
    expect(composed).toMatchObject(options)
    const stream = agent.destination()
    const tee: DestinationStream = { write: (line) => stream.write(line) }
    pino(composed, tee).audit('warn')
    const other: Logger<'verdict'> = pino({ customLevels: { verdict: 65 }, formatters: { level: (label) => ({ level: label }) } }, tee)
    agent.attach(other)
    other.verdict('fatal')
    await agent.close()
    await delivered()
    expect(await topics(service)).toEqual({ [`log.warn.${service}.`]: 1, [`log.fatal.${service}.`]: 1 })
  })

  test('written by others than pino: lines in pieces, in bytes, without a level, without an end', async () => {
    const service = nextService()
    const stream = destination({ service, collector: collector.data })
    stream.write('{"level":50,"msg":"wh')
    stream.write('ole"}\n{"severity":"WARNING?"}\n\n')
    for (const byte of Buffer.from('{"level":"warn","msg":"€😀"}\n')) stream.write(Uint8Array.of(byte))
    stream.write('not JSON at all\n')
    stream.end('the end is missing')
    await stream.close()
    await delivered()
    expect(linesOf(service).sort()).toEqual(
      [
        '{"level":50,"msg":"whole"}',
        '{"severity":"WARNING?"}',
        '{"level":"warn","msg":"€😀"}',
        'not JSON at all',
        'the end is missing',
      ].sort(),
    )
    expect(await topics(service)).toEqual({ [`log.error.${service}.`]: 1, [`log.warn.${service}.`]: 1, [`log.info.${service}.`]: 3 })
  })
})

test('a line over 64 KiB becomes a valid one with its level, time, size and first 4 KiB; one of exactly 64 KiB is kept', async () => {
  const service = nextService()
  const agent = createAgent({ service, collector: collector.data })
  const record: Recorded = { stream: agent.destination(), written: [] }
  const write = record.stream.write.bind(record.stream)
  record.stream.write = (chunk) => {
    record.written.push(String(chunk))
    return write(chunk)
  }
  const log = pino({ timestamp: stdTimeFunctions.isoTime }, record.stream)
  log.error({ blob: '€'.repeat(34_000) }, 'too long')
  const overheadBytes = Buffer.byteLength(record.written[0] ?? '') - 3 * 34_000 - 'too long'.length
  log.info({ blob: 'x'.repeat(recordBytesMax - overheadBytes - 'fits'.length) }, 'fits')
  log.info({ blob: 'x'.repeat(recordBytesMax - overheadBytes - 'fits'.length + 1) }, 'fits')
  expect(record.written.map((line) => Buffer.byteLength(line))).toEqual([expect.any(Number), recordBytesMax, recordBytesMax + 1])
  expect(agent.stats().cut).toBe(2)
  expect(await agent.close()).toEqual({ left: 0 })
  await delivered()
  expect(linesOf(service)).toContain(record.written[1]?.trimEnd())
  const cut = parsed(service).find((line) => line['level'] === 50)
  const original = record.written[0] ?? ''
  expect(cut).toMatchObject({ level: 50, cut: Buffer.byteLength(original), time: (JSON.parse(original) as { time: string }).time })
  const head = String(cut?.['msg'])
  expect(Buffer.byteLength(head)).toBeLessThanOrEqual(cutRecordBytes)
  expect(Buffer.byteLength(head)).toBeGreaterThan(cutRecordBytes - 4)
  expect(original.startsWith(head)).toBe(true)
})

test('flushSync hands a fatal line over without waiting, and flush calls back when it is kept', async () => {
  const service = nextService()
  const agent = createAgent({ service, collector: collector.data })
  const log = pino(agent.destination())
  log.fatal('the last word')
  expect(agent.stats().ringRecords).toBeGreaterThan(0)
  await new Promise<void>((resolve, reject) => log.flush((error) => (error ? reject(error) : resolve())))
  await delivered()
  expect(linesOf(service)).toHaveLength(1)
  await agent.close()
})

test('loggers of the same service and collector share one agent; each has its own lines and names', async () => {
  const service = nextService()
  const [first, second] = [destination({ service, collector: collector.data }), destination({ service, collector: collector.data })]
  expect(second.agent).toBe(first.agent)
  expect(destination({ service: `${service}-other`, collector: collector.data }).agent).not.toBe(first.agent)
  pino({ name: 'a' }, first).info('a')
  pino({ name: 'b' }, second).info('b')
  pino({ name: 'a' }, first).info('a')
  await first.close()
  await delivered()
  const { origins } = await collector.status()
  expect(origins.filter((origin) => origin.service === service)).toHaveLength(1)
  expect(await topics(service)).toEqual({ [`log.info.${service}.a.`]: 2, [`log.info.${service}.b.`]: 1 })
  await createAgent({ service: `${service}-other`, collector: collector.data }).close()
})

describe("pino's worker form", () => {
  test.each([
    ['target', 'fall-off'],
    ['target', 'exit'],
    ['targets', 'fall-off'],
    ['targets', 'exit'],
  ])('with `%s` keeps what pino made, byte for byte, when the process ends by %s', async (form, how) => {
    const service = nextService()
    await using app = await runApp('worker-form.mjs', { args: [service, '300', form, how], env: collector.env })
    expect([app.code, app.stderr]).toEqual([0, ''])
    await delivered()
    // The same lines went to stdout, by another target or by a second logger with the same clock.
    expect(sortedLines(kept(service))).toEqual(sortedLines(app.stdout))
    expect(linesOf(service)).toHaveLength(300)
    expect(await topics(service)).toEqual({ [`log.info.${service}.worker.`]: 200, [`log.error.${service}.worker.`]: 100 })
  })
})

test("CommonJS programs use require('spillway/pino')", async () => {
  const service = nextService()
  await using app = await runApp('require-pino.cjs', { args: [service], env: collector.env })
  expect([app.code, app.stderr]).toEqual([0, ''])
  await delivered()
  expect(linesOf(service)).toEqual(['{"level":30,"msg":"from CommonJS"}'])
})

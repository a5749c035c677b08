/** What a request logs below its logger's level is kept in memory, and sent only when the request ends in an error. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import fastify from 'fastify'
import { type Logger, type LoggerOptions, pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Agent } from '../../agent/agent.ts'
import { createAgent } from '../../agent/shared.ts'
import { startCli } from '../cli/run-cli.ts'
import { startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'

let collector: TestCollector
let services = 0

beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector[Symbol.asyncDispose]())

interface Made {
  readonly service: string
  readonly agent: Agent
  readonly log: Logger
  /** How often a value was serialised. */
  readonly counted: { calls: number }
}

function make(): Made {
  services += 1
  const service = `crossed-${services}`
  const agent = createAgent({ service, collector: collector.data })
  const counted = { calls: 0 }
  const count = (value: unknown) => {
    counted.calls += 1
    return value
  }
  const log = pino(agent.pinoOptions({ base: null, serializers: { n: count } }), agent.destination())
  return { service, agent, log, counted }
}

/** What was kept, as levels and messages, in the order of the files. */
async function kept({ agent, service }: Made, count: number): Promise<string[]> {
  expect(await agent.close()).toEqual({ left: 0 })
  const lines = await collector.kept(service, count)
  return lines.map((line) => {
    const { level, msg } = JSON.parse(line) as { level: number; msg: string }
    return `${level} ${msg}`
  })
}

test('of two requests side by side only the one that fails is sent, with everything it logged and still logs', async () => {
  const made = make()
  const crossed = made.agent.fingersCrossed()
  const request = async (name: string, fails: boolean) => {
    const log = made.log.child({ request: name })
    log.debug(`${name} begins`)
    await sleep(5)
    log.info(`${name} goes on`)
    log.trace('not kept: below debug')
    log.debug(`${name} nearly done`)
    await sleep(5)
    if (fails) log.error(`${name} failed`)
    log.debug(`${name} ends`)
  }
  made.log.debug('outside of every request')
  await Promise.all([crossed.run(() => request('good', false)), crossed.run(() => request('bad', true))])
  expect(made.agent.stats().fingersCrossed).toEqual({ scopes: 0, records: 0, bytes: 0, sent: 2, forgotten: 3, evicted: 0 })
  const lines = await kept(made, 6)
  expect(lines.sort()).toEqual(['20 bad begins', '20 bad ends', '20 bad nearly done', '30 bad goes on', '30 good goes on', '50 bad failed'])
})

test('a request that throws or rejects has ended in an error, too', async () => {
  const made = make()
  const crossed = made.agent.fingersCrossed({ trigger: 'fatal' })
  expect(() =>
    crossed.run(() => {
      made.log.debug('before it threw')
      throw new Error('on purpose')
    }),
  ).toThrow('on purpose')
  await expect(
    crossed.run(async () => {
      made.log.debug('before it rejected')
      await sleep(1)
      throw new Error('on purpose')
    }),
  ).rejects.toThrow('on purpose')
  expect(await kept(made, 2)).toEqual(['20 before it threw', '20 before it rejected'])
})

test("requests of the application's own AsyncLocalStorage; one that is garbage is forgotten", async () => {
  const made = make()
  const scope = new AsyncLocalStorage<{ id: number }>()
  made.agent.fingersCrossed({ scope, trigger: 'warn', level: 'trace' })
  const early = made.log.child({}, { level: 'error' })
  for (const id of [1, 2]) {
    scope.run({ id }, () => {
      early.trace(`trace ${id}`)
      early.info(`info ${id}`)
      if (id === 2) early.warn('below its level, and no trigger')
      if (id === 2) early.error('failed')
    })
  }
  expect(made.agent.stats().fingersCrossed).toMatchObject({ scopes: 1, records: 2, sent: 2 })
  expect(await kept(made, 3)).toEqual(['10 trace 2', '30 info 2', '50 failed'])
})

test('outside of a request nothing is built, and isLevelEnabled says so', async () => {
  const made = make()
  const crossed = made.agent.fingersCrossed()
  made.log.info({ n: 0 }, 'seen')
  const own = made.log.child({}, { level: 'warn' })
  for (const log of [made.log, own]) {
    for (let n = 0; n < 100; n += 1) log.debug({ n }, 'nobody keeps it')
    expect(log.isLevelEnabled('debug')).toBe(false)
  }
  expect(made.counted.calls).toBe(1)
  crossed.run(() => {
    for (const log of [made.log, own, made.log.child({}, { level: 'error' })]) {
      expect(log.isLevelEnabled('debug')).toBe(true)
      expect(log.level).not.toBe('debug')
      log.debug({ n: 1 }, 'kept')
    }
  })
  expect(made.counted.calls).toBe(4)
  expect(made.agent.stats().fingersCrossed).toMatchObject({ scopes: 1, records: 3 })
  await made.agent.close()
})

describe('what is kept is bounded', () => {
  test('in records of one request: the newest', async () => {
    const made = make()
    const crossed = made.agent.fingersCrossed({ keep: 3 })
    crossed.run(() => {
      for (let n = 0; n < 10; n += 1) made.log.debug(`line ${n}`)
      expect(made.agent.stats().fingersCrossed).toMatchObject({ records: 3, evicted: 7 })
      made.log.error('failed')
    })
    expect(await kept(made, 4)).toEqual(['20 line 7', '20 line 8', '20 line 9', '50 failed'])
  })

  test('in bytes of all: the requests that began first give up theirs', async () => {
    const made = make()
    const crossed = made.agent.fingersCrossed({ keep: 1_000, keepBytes: 100_000 })
    for (let request = 0; request < 1_000; request += 1) {
      crossed.run(() => {
        for (let n = 0; n < 10; n += 1) made.log.debug(`request ${request} line ${n} ${'x'.repeat(100)}`)
      })
      expect(made.agent.stats().fingersCrossed?.bytes).toBeLessThanOrEqual(100_000)
    }
    const { records = 0, evicted = 0 } = made.agent.stats().fingersCrossed ?? {}
    expect(records + evicted).toBe(10_000)
    crossed.run(() => {
      made.log.debug('a line longer than everything '.padEnd(60_000, 'x'))
      expect(made.agent.stats().fingersCrossed).toMatchObject({ records: 0, bytes: 0 })
    })
    await made.agent.close()
  })
})

test('in Fastify: a request is what runs behind its hook', async () => {
  const made = make()
  const crossed = made.agent.fingersCrossed()
  const server = fastify({ logger: { ...made.agent.pinoOptions<LoggerOptions>({ base: null }), stream: made.agent.destination() } })
  server.addHook('onRequest', (_request, _reply, done) => crossed.run(done))
  for (const name of ['good', 'bad']) {
    server.get(`/${name}`, async (request) => {
      request.log.debug(`${name} begins`)
      await sleep(5)
      if (name === 'bad') throw new Error('on purpose')
      return 'done'
    })
  }
  const answers = await Promise.all(['/good', '/bad'].map(async (path) => (await server.inject(path)).statusCode))
  expect(answers).toEqual([200, 500])
  await server.close()
  const lines = await kept(made, 6)
  expect(lines.filter((line) => line.includes('begins'))).toEqual(['20 bad begins'])
  expect(lines).toContain('50 on purpose')
})

test('options that cannot be meant, and a second call, are refused', () => {
  const { agent } = make()
  for (const options of [{ trigger: 'loud' }, { keep: 0 }, { keepBytes: 0.5 }, { level: 'error' }, { scope: {} }]) {
    expect(() => agent.fingersCrossed(options as object)).toThrow(/fingersCrossed\.\w+: expected/)
  }
  agent.fingersCrossed()
  expect(() => agent.fingersCrossed()).toThrow(/once/)
})

test('while a live tail asks for debug it gets the lines at once, and the file those of the request that failed', async () => {
  const made = make()
  const crossed = made.agent.fingersCrossed()
  await using tail = startCli(['tail', '--connect', collector.tail, `log.debug.${made.service}.>`])
  await until(
    () => {
      made.log.debug('probe')
      return tail.stdout.includes('probe')
    },
    { what: 'the tail shows lines' },
  )
  crossed.run(() => made.log.debug('kept, and nothing happens'))
  crossed.run(() => {
    made.log.debug('kept, and it fails')
    made.log.error('failed')
  })
  made.log.debug('outside')
  await tail.says(/outside/)
  expect(await kept(made, 2)).toEqual(['20 kept, and it fails', '50 failed'])
})

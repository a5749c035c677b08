/** Levels opened from outside, in loggers of the real packages: pino, Fastify, pino-http. */
import { EventEmitter } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fastify, { type FastifyInstance } from 'fastify'
import { type Logger, type LoggerOptions, pino } from 'pino'
import { pinoHttp } from 'pino-http'
import { describe, expect, test } from 'vitest'
import { LoggerLevels, type PinoLogger } from '../../agent/logger-levels.ts'
import { loggersMax, loggersPerTurn } from '../../wire/limits.ts'
import { until } from '../support/until.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const debugBit = 1 << 1
const traceBit = 1 << 0

class World {
  readonly turns: (() => void)[] = []
  readonly levels = new LoggerLevels({
    afterThisTurn: (callback) => {
      this.turns.push(callback)
      return { cancel: () => undefined }
    },
  })
  readonly lines: Record<string, unknown>[] = []
  readonly stream = { write: (line: string) => void this.lines.push(JSON.parse(line) as Record<string, unknown>) }

  logger<Custom extends string = never>(options: LoggerOptions<Custom> = {}): Logger<Custom> {
    return pino(this.levels.compose({ base: null, ...options }), this.stream)
  }

  attached(options: LoggerOptions = {}): Logger {
    const logger = pino({ base: null, ...options }, this.stream)
    expect(this.levels.attach(logger as unknown as PinoLogger)).toBe(true)
    return logger
  }

  debug(): void {
    this.levels.open(debugBit)
  }

  close(): void {
    this.levels.open(0)
  }

  get messages(): unknown[] {
    return this.lines.splice(0).map(({ msg }) => msg)
  }
}

/** What a logger does at each level, by what comes out. */
function enabled(world: World, logger: Logger): string[] {
  const levels = ['trace', 'debug', 'info', 'warn', 'error'] as const
  world.lines.length = 0
  for (const level of levels) logger[level](level)
  const made = world.messages as string[]
  // isLevelEnabled tells the truth.
  expect(levels.filter((level) => logger.isLevelEnabled(level))).toEqual(made)
  return made
}

const normal = ['info', 'warn', 'error']

describe.each([
  ['made from composed options', (world: World, options?: LoggerOptions) => world.logger(options)],
  ['made elsewhere and attached', (world: World, options?: LoggerOptions) => world.attached(options)],
])('a logger %s', (_how, make) => {
  test('makes what its level says, what is opened beside it, and again what its level says', () => {
    const world = new World()
    const logger = make(world)
    expect(enabled(world, logger)).toEqual(normal)
    world.debug()
    expect(enabled(world, logger)).toEqual(['debug', ...normal])
    expect(logger.level).toBe('info')
    world.levels.open(traceBit)
    expect(enabled(world, logger)).toEqual(['trace', ...normal])
    world.close()
    expect(enabled(world, logger)).toEqual(normal)
  })

  test('also when nothing was ever logged or asked before, and no child made', () => {
    const world = new World()
    const logger = make(world)
    world.debug()
    logger.debug('first of all')
    expect(world.messages).toEqual(['first of all'])
    world.close()
    logger.debug('no more')
    expect(world.messages).toEqual([])
    expect(make(world).isLevelEnabled('debug')).toBe(false)
  })

  test('has children that follow: with and without a level of their own, made before and after, and their children', () => {
    const world = new World()
    const logger = make(world)
    const before = [
      logger.child({ a: 1 }),
      logger.child({ a: 2 }, { level: 'error' }),
      logger.child({ a: 3 }).child({ b: 1 }, { level: 'warn' }),
    ]
    world.debug()
    const after = [logger.child({ a: 4 }), logger.child({ a: 5 }, { level: 'error' }), before[1]?.child({ b: 2 }) ?? logger]
    for (const child of [...before, ...after]) expect(enabled(world, child)).toContain('debug')
    expect(before[1]?.level).toBe('error')
    expect(enabled(world, after[1] ?? logger)).toEqual(['debug', 'error'])
    world.close()
    for (const child of [...before, ...after]) expect(enabled(world, child)).not.toContain('debug')
    expect(enabled(world, before[1] ?? logger)).toEqual(['error'])
  })

  test('takes a level that is set while one is open, and keeps it', () => {
    const world = new World()
    const logger = make(world)
    const child = logger.child({})
    world.debug()
    logger.level = 'error'
    child.level = 'warn'
    expect(enabled(world, logger)).toEqual(['debug', 'error'])
    world.close()
    expect(enabled(world, logger)).toEqual(['error'])
    expect(enabled(world, child)).toEqual(['warn', 'error'])
    logger.level = 'trace'
    expect(enabled(world, logger)).toEqual(['trace', 'debug', ...normal])
    world.debug()
    world.close()
    expect(enabled(world, logger)).toEqual(['trace', 'debug', ...normal])
  })

  test('stays silent when it was made silent', () => {
    const world = new World()
    const logger = make(world, { level: 'silent' })
    const child = make(world).child({}, { level: 'silent' })
    world.debug()
    for (const each of [logger, child, make(world, { enabled: false })]) expect(enabled(world, each)).toEqual([])
  })

  test('tells nobody of a change of level that is none, and keeps what the application put in the place of a method', () => {
    const world = new World()
    const logger = make(world)
    const changes: unknown[] = []
    logger.on('level-change', (level) => changes.push(level))
    const said: unknown[] = []
    logger.info('seen')
    logger.info = ((text: unknown) => said.push(text)) as typeof logger.info
    world.debug()
    world.close()
    logger.info('replaced')
    expect([changes, said]).toEqual([[], ['replaced']])
    logger.level = 'warn'
    expect(changes).toEqual(['warn'])
  })

  test("composes the application's own comparison, hooks and onChild", () => {
    const world = new World()
    const hooked: unknown[] = []
    const children: unknown[] = []
    const logger = make(world, {
      level: 'info',
      levelComparison: (level, threshold) => level >= threshold && level !== 40,
      hooks: {
        logMethod(args, method, level) {
          hooked.push(level)
          method.apply(this, args)
        },
        streamWrite: (text) => text.replace('secret', '******'),
      },
      onChild: (child) => void children.push(child.bindings()),
    })
    expect(enabled(world, logger)).toEqual(['info', 'error'])
    expect(hooked).toEqual([30, 50])
    world.debug()
    expect(enabled(world, logger)).toEqual(['debug', 'info', 'error'])
    logger.child({ a: 1 }).debug('a secret')
    expect(world.messages).toEqual(['a ******'])
    expect(children).toEqual([{ a: 1 }])
    world.close()
    expect(enabled(world, logger)).toEqual(['info', 'error'])
  })

  test('with a comparison the other way round', () => {
    const world = new World()
    const logger = make(world, { level: 'warn', levelComparison: 'DESC' })
    expect(enabled(world, logger)).toEqual(['trace', 'debug', 'info', 'warn'])
    world.levels.open(1 << 4)
    expect(enabled(world, logger)).toEqual(['trace', 'debug', 'info', 'warn', 'error'])
  })
})

test('custom levels open with the nearest standard one below', () => {
  const world = new World()
  const logger = world.logger<'detail' | 'audit'>({ customLevels: { detail: 25, audit: 45 }, level: 'warn' })
  const only = world.logger<'one' | 'two'>({ customLevels: { one: 20, two: 40 }, useOnlyCustomLevels: true, level: 'two' })
  const child = logger.child({}, { customLevels: { deep: 15 }, level: 'error' }) as Logger<'deep'>
  world.debug()
  logger.detail('detail')
  logger.audit('audit')
  only.one('one')
  child.deep('deep')
  expect(world.messages).toEqual(['detail', 'audit', 'one'])
  world.levels.open(traceBit)
  child.deep('deep')
  logger.detail('detail')
  only.one('one')
  expect(world.messages).toEqual(['deep'])
})

test('what pino does not take, it says itself', () => {
  const world = new World()
  expect(() => world.logger({ levelComparison: 'UP' as 'ASC' })).toThrow(/Levels comparison/)
  expect(() => world.logger({ level: 'loud' })).toThrow(/loud/)
  for (const none of [new EventEmitter(), {}, { info() {} }]) expect(world.levels.attach(none as PinoLogger)).toBe(false)
})

test('one set of options makes several loggers, copied or not', () => {
  const world = new World()
  const options = world.levels.compose<LoggerOptions>({ base: null })
  const loggers = [
    pino(options, world.stream),
    pino(options, world.stream),
    pino({ ...options, hooks: { ...options.hooks } }, world.stream),
  ]
  const children = loggers.map((logger) => logger.child({}, { level: 'error' }))
  for (const logger of loggers) expect(enabled(world, logger)).toEqual(normal)
  world.debug()
  for (const logger of [...loggers, ...children]) expect(enabled(world, logger)).toContain('debug')
  world.close()
  for (const logger of [...loggers, ...children]) expect(enabled(world, logger)).not.toContain('debug')
})

test('thousands of loggers are decided anew some at a time, and so many are remembered', () => {
  const world = new World()
  const logger = world.logger()
  logger.info('seen')
  const children = Array.from({ length: loggersMax + 10 }, (_, n) => logger.child({ n }, { level: 'error' }))
  world.debug()
  const count = () => children.filter((child) => child.isLevelEnabled('debug') && child.debug !== child.silent).length
  expect(count()).toBe(loggersPerTurn - 1)
  while (world.turns.length > 0) world.turns.shift()?.()
  expect(count()).toBe(loggersMax - 1)
  expect(world.levels.unreached).toBe(11)
})

test('loggers that are gone are forgotten, however many there were', async () => {
  const world = new World()
  const logger = world.logger()
  logger.info('seen')
  for (let round = 0; round < 5; round += 1) {
    for (let n = 0; n < loggersMax - 1_100; n += 1) logger.child({ n }, { level: 'error' })
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
  }
  expect(world.levels.unreached).toBe(0)
})

describe('in the frameworks', () => {
  test("Fastify: each request's logger, and the level of a route", async () => {
    for (const how of ['options', 'instance'] as const) {
      const world = new World()
      const made =
        how === 'options'
          ? fastify({ logger: { ...world.levels.compose<LoggerOptions>({ level: 'info' }), stream: world.stream } })
          : fastify({ loggerInstance: world.attached() })
      const server = made as unknown as FastifyInstance
      server.get('/plain', async (request) => {
        request.log.debug('in plain')
        return request.log.level
      })
      server.get('/quiet', { logLevel: 'error' }, async (request) => {
        request.log.debug('in quiet')
        return `${request.log.level} ${(request.log as Logger).isLevelEnabled('debug')}`
      })
      const ask = async (path: string) => (await server.inject(path)).body
      const debugs = () => world.messages.filter((msg) => String(msg).startsWith('in '))
      expect([await ask('/plain'), await ask('/quiet'), debugs()]).toEqual(['info', 'error false', []])
      world.debug()
      expect([await ask('/plain'), await ask('/quiet'), debugs()]).toEqual(['info', 'error true', ['in plain', 'in quiet']])
      world.close()
      expect([await ask('/plain'), await ask('/quiet'), debugs()]).toEqual(['info', 'error false', []])
      await server.close()
    }
  })

  test('pino-http: its loggers, given as options or as an instance', async () => {
    for (const how of ['options', 'instance'] as const) {
      const world = new World()
      const middleware =
        how === 'options' ? pinoHttp(world.levels.compose({ level: 'info' }), world.stream) : pinoHttp({ logger: world.logger() })
      const server = createServer((request, response) => {
        middleware(request, response)
        request.log.debug('in request')
        response.end('done')
      }).listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      const { port } = server.address() as AddressInfo
      const request = async () => {
        await (await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } })).text()
        await until(() => world.lines.some(({ msg }) => msg === 'request completed'), { what: 'the request is logged' })
        return world.messages
      }
      expect(await request()).toEqual(['request completed'])
      world.debug()
      expect(await request()).toEqual(['in request', 'request completed'])
      world.close()
      expect(await request()).toEqual(['request completed'])
      server.close()
    }
  })
})

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { resolveOptions } from '../../agent/options.ts'
import { createAgent } from '../../agent/shared.ts'
import { originTopicsMax } from '../../wire/limits.ts'
import { freePorts, root, runApp, startCollector, startNode, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

describe('options', () => {
  test.each<[string, object, NodeJS.ProcessEnv, string]>([
    [
      'an unknown option',
      { colector: 'tcp://127.0.0.1:1' },
      {},
      'colector: expected one of service, collector, control, ringBytes, fallback, metrics',
    ],
    [
      'a bare host and port',
      { collector: '127.0.0.1:7701' },
      {},
      'collector: expected tcp://HOST:PORT or ipc://PATH of at most 107 bytes, got "127.0.0.1:7701"; did you mean "tcp://127.0.0.1:7701"?',
    ],
    ['a port that cannot be', { collector: 'tcp://127.0.0.1:70000' }, {}, 'collector: expected tcp://HOST:PORT'],
    ['no room for the control port', { collector: 'tcp://127.0.0.1:65535' }, {}, 'control: expected tcp://HOST:PORT'],
    ['a number for an endpoint', { collector: 7701 }, {}, 'collector: expected an endpoint or a list of endpoints, got 7701'],
    ['an empty list', { collector: [] }, {}, 'collector: expected 1 to 8 endpoints, got 0'],
    [
      'fewer controls than collectors',
      { collector: 'tcp://a:1,tcp://b:1', control: 'tcp://a:2' },
      {},
      'control: expected as many endpoints as collectors (2), got 1',
    ],
    ['an empty service', { service: '' }, {}, 'service: expected a non-empty string, got ""'],
    ['a service that is no text', { service: 5 }, {}, 'service: expected a non-empty string, got 5'],
    ['a tiny ring', { ringBytes: 1_000 }, {}, 'ringBytes: expected a whole number of bytes from 65536, got 1000'],
    ['half a byte', { ringBytes: 65_536.5 }, {}, 'ringBytes: expected a whole number'],
    ['another fallback', { fallback: 'stderr' }, {}, `fallback: expected 'stdout' or nothing, got "stderr"`],
    ['a bad environment', {}, { SPILLWAY_COLLECTOR: 'localhost:7701' }, 'SPILLWAY_COLLECTOR: expected tcp://HOST:PORT'],
    ['a bad control in the environment', {}, { SPILLWAY_CONTROL: 'udp://x:1' }, 'SPILLWAY_CONTROL: expected tcp://HOST:PORT'],
  ])('%s is refused in words that help', (_name, options, env, message) => {
    let thrown: unknown
    try {
      resolveOptions(options, env)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ name: 'SpillwayError', code: 'SPW_OPTION_INVALID', message: expect.stringContaining(message) })
  })

  test('in code win over the environment, and that over defaults', () => {
    const env = { SPILLWAY_COLLECTOR: 'tcp://env:1, ipc:///tmp/x', SPILLWAY_SERVICE: 'from-env' }
    expect(resolveOptions({}, env)).toMatchObject({
      service: 'from-env',
      links: [
        { data: 'tcp://env:1', control: 'tcp://env:2' },
        { data: 'ipc:///tmp/x', control: 'ipc:///tmp/x.control' },
      ],
    })
    expect(resolveOptions({ service: 'code', collector: 'tcp://code:5' }, env)).toMatchObject({
      service: 'code',
      links: [{ data: 'tcp://code:5', control: 'tcp://code:6' }],
    })
    expect(resolveOptions({}, {}).links).toEqual([{ data: 'tcp://127.0.0.1:7701', control: 'tcp://127.0.0.1:7702' }])
    expect(resolveOptions({ collector: 'tcp://a:1,tcp://a:1' }, {}).links).toHaveLength(1)
  })
})

test('the service is that of the nearest package.json, unless the environment names one', async () => {
  await using collector = await startCollector()
  await using dir = await tempDir()
  const app = join(dir.path, 'src', 'deep', 'app.mjs')
  await mkdir(join(dir.path, 'src', 'deep'), { recursive: true })
  await mkdir(join(dir.path, 'node_modules'))
  await symlink(root, join(dir.path, 'node_modules', 'spillway'))
  await symlink(join(root, 'node_modules', 'pino'), join(dir.path, 'node_modules', 'pino'))
  await writeFile(join(dir.path, 'package.json'), JSON.stringify({ name: '@acme/shop' }))
  await writeFile(app, `import pino from 'pino'\nimport { destination } from 'spillway/pino'\npino(destination()).info('hello')\n`)
  for (const [env, cwd] of [
    [{}, root],
    [{ SPILLWAY_SERVICE: 'named' }, dir.path],
  ] as const) {
    await using running = startNode([app], { env: { ...collector.env, ...env }, cwd })
    expect(await running.ended).toEqual({ code: 0, signal: null })
  }
  const { origins } = await collector.status()
  expect(origins.map((origin) => origin.service).sort()).toEqual(['@acme/shop', 'named'])
})

test('SPILLWAY_DISABLED=1 opens no socket and no thread, takes every call, and ends at once', async () => {
  await using collector = await startCollector()
  const facts = async (env: Record<string, string>) => {
    await using app = await runApp('facts.mjs', { env: { ...collector.env, ...env } })
    expect([app.code, app.stderr]).toEqual([0, ''])
    return JSON.parse(app.stdout) as { threads: number; sockets: number; stats: { accepted: number; links: unknown[] }; left: number }
  }
  const [off, on] = [await facts({ SPILLWAY_DISABLED: '1' }), await facts({})]
  expect(off).toMatchObject({ sockets: 0, left: 0, stats: { accepted: 0, links: [] } })
  expect(on.sockets).toBeGreaterThanOrEqual(2)
  expect(on.threads).toBeGreaterThan(off.threads)
  expect((await collector.status()).totals).toMatchObject({ accepted: 1 })
})

describe('stats, flush and close', () => {
  test('say what was accepted, sent, acknowledged and is left', async () => {
    await using collector = await startCollector()
    const agent = createAgent({ service: 'books', collector: collector.data })
    const log = pino({ level: 'debug' }, agent.destination())
    for (let n = 0; n < 1_000; n += 1) log.info({ n })
    for (let n = 0; n < 10; n += 1) log.debug({ n })
    expect(agent.stats()).toMatchObject({ service: 'books', accepted: 1_010, acknowledged: 0, shed: {}, filtered: 0, cut: 0 })
    expect(await agent.flush()).toEqual({ left: 0 })
    const { sent, acknowledged, ringBytes, ringRecords, topics, links } = agent.stats()
    expect({ sent, acknowledged, ringBytes, ringRecords }).toEqual({ sent: 1_010, acknowledged: 1_010, ringBytes: 0, ringRecords: 0 })
    expect(topics).toEqual({
      'log.info.books.': { accepted: 1_000, shed: {}, filtered: 0 },
      'log.debug.books.': { accepted: 10, shed: {}, filtered: 0 },
    })
    expect(links).toEqual([{ collector: collector.data, state: 'connected', waitingFrames: 0 }])
    expect(await agent.close()).toEqual({ left: 0 })
    const { origins } = await collector.status()
    expect(origins.map(({ origin, state }) => ({ origin, state }))).toEqual([{ origin: agent.origin, state: 'finished' }])
  })

  test('end at their deadline when there is no collector, and say what was left', async () => {
    const agent = createAgent({ service: 'alone', collector: `tcp://127.0.0.1:${await freePorts()}` })
    const log = pino(agent.destination())
    for (let n = 0; n < 7; n += 1) log.info({ n })
    const startedAtMs = performance.now()
    expect(await agent.flush(100)).toEqual({ left: 7 })
    expect(await agent.close(100)).toEqual({ left: 7 })
    expect(performance.now() - startedAtMs).toBeGreaterThan(190)
    expect(performance.now() - startedAtMs).toBeLessThan(1_000)
    expect(agent.stats()).toMatchObject({ accepted: 7, acknowledged: 0, ringBytes: 0, links: [{ state: 'closed' }] })
  })

  test('count what is logged after close as shed, and a new agent takes the place of the closed one', async () => {
    await using collector = await startCollector()
    const options = { service: 'again', collector: collector.data }
    const agent = createAgent(options)
    const log = pino(agent.destination())
    log.info('before')
    expect(await agent.close()).toEqual({ left: 0 })
    log.info('after')
    log.error('after')
    expect(agent.stats()).toMatchObject({ accepted: 3, shed: { closed: 2 } })
    expect(await agent.close()).toEqual({ left: 0 })
    const next = createAgent(options)
    expect(next).not.toBe(agent)
    pino(next.destination()).info('anew')
    expect(await next.close()).toEqual({ left: 0 })
    expect((await collector.kept('again', 2)).map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['before', 'anew'])
  })

  test('two closes at once are one', async () => {
    await using collector = await startCollector()
    const agent = createAgent({ service: 'twice', collector: collector.data })
    pino(agent.destination()).info('once')
    expect(await Promise.all([agent.close(), agent.close()])).toEqual([{ left: 0 }, { left: 0 }])
    expect((await collector.status()).origins.map((origin) => origin.state)).toEqual(['finished'])
  })
})

test('loggers of ever new names fold into ~other after 256 topics; nothing is lost', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'folds', collector: collector.data })
  const log = pino(agent.destination())
  const names = 400
  for (let n = 0; n < names; n += 1) {
    const child = log.child({ name: `n${n}` })
    child.info({ n })
    child.error({ n })
  }
  // Six plain and six shared topics always have a place.
  const namedTopicsMax = originTopicsMax - 12
  expect(agent.stats()).toMatchObject({ accepted: 2 * names, folded: 2 * names - namedTopicsMax })
  expect(await agent.close()).toEqual({ left: 0 })
  const { origins, totals } = await collector.status()
  expect(totals).toMatchObject({ accepted: 2 * names, delivered: 2 * names, lost: {} })
  const topics = origins[0]?.topics ?? {}
  expect(Object.keys(topics)).toHaveLength(namedTopicsMax + 2)
  expect(topics['log.info.folds.~other.']?.delivered).toBe(names - namedTopicsMax / 2)
  expect(new Set(collector.lines('folds').map((line) => (JSON.parse(line) as { n: number }).n)).size).toBe(names)
})

test('a ring smaller than the default holds no more than was asked for; the largest wish of the process wins', async () => {
  const port = await freePorts()
  await using app = await runApp('ring-size.mjs', { env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${port}` } })
  const { small, large } = JSON.parse(app.stdout) as { small: number; large: number }
  expect(small).toBeGreaterThan(65_536 / 2)
  expect(small).toBeLessThanOrEqual(131_072)
  expect(large).toBeGreaterThan(131_072)
  expect(large).toBeLessThanOrEqual(1_048_576)
})

test('every record is in one place of the books while it is on its way', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'adds-up', collector: collector.data })
  const log = pino({ base: null }, agent.destination())
  const logged = 20_000
  for (let n = 0; n < logged; n += 1) {
    log.info({ n })
    if (n % 1_000 === 0) {
      const { totals } = await collector.status()
      const lost = Object.values(totals.lost).reduce((sum, records) => sum + records, 0)
      expect(totals.accepted).toBe(totals.delivered + lost + totals.inFlight)
    }
  }
  await agent.close()
  const { totals } = await until(
    async () => {
      const status = await collector.status()
      return status.totals.inFlight === 0 && status
    },
    { what: 'nothing is in flight' },
  )
  expect(totals).toMatchObject({ accepted: logged, delivered: logged, lost: {}, filtered: 0 })
})

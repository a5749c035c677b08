/** A tail switches debug on in a running application, and its leaving, in whatever way, switches it off again. */

import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { OnDemandStats } from '../../agent/on-demand.ts'
import { createAgent } from '../../agent/shared.ts'
import { startCli } from '../cli/run-cli.ts'
import { calm, startChaosProxy } from '../support/chaos-proxy.ts'
import { type RunningProcess, startApp, startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

/** What test/apps/debugs.mjs says of itself every five rounds. */
interface Said {
  readonly n: number
  readonly serialised: number
  readonly enabled: readonly string[]
  readonly stats: OnDemandStats
}

const off = ['info:false', 'info:false', 'warn:false']
const on = ['info:true', 'info:true', 'warn:true']

let collector: TestCollector
let services = 0

beforeAll(async () => {
  collector = await startCollector()
})
afterAll(() => collector[Symbol.asyncDispose]())

function nextService(): string {
  services += 1
  return `wish-${services}`
}

const linesOf = (process: RunningProcess) => process.stdout.split('\n').slice(0, -1)

/** The last thing it said. */
function lastSaid(app: RunningProcess): Said | undefined {
  const line = linesOf(app).at(-1)
  return line === undefined ? undefined : (JSON.parse(line) as Said)
}

/** What it says next, once that is as expected. */
function says(app: RunningProcess, what: string, isIt: (said: Said) => boolean): Promise<Said> {
  const before = lastSaid(app)?.n ?? 0
  return until(
    () => {
      const said = lastSaid(app)
      return said !== undefined && said.n > before && isIt(said) ? said : undefined
    },
    { what },
  )
}

const isOn = ({ stats }: Said) => stats.levels.includes('debug')
const isOff = ({ stats }: Said) => stats.levels.length === 0

function startDebugs(service: string, options: object = {}, at: Pick<TestCollector, 'env'> = collector): RunningProcess {
  return startApp('debugs.mjs', { args: [service, '20', JSON.stringify(options)], env: at.env })
}

const startTail = (args: readonly string[], at: Pick<TestCollector, 'tail'> = collector) =>
  startCli(['tail', '--connect', at.tail, ...args])

describe('a tail on log.debug.<service>.>', () => {
  test('switches debug on in every logger of the running application, and off again when it leaves', async () => {
    const service = nextService()
    await using app = startDebugs(service)
    expect(await says(app, 'it runs', () => true)).toMatchObject({ serialised: 0, enabled: off })
    await using tail = startTail([`log.debug.${service}.>`])
    const during = await says(app, 'debug is on', isOn)
    // `level` stays what the application set.
    expect(during.enabled).toEqual(on)
    await until(() => linesOf(tail).length >= 50, { what: 'the tail shows lines' })
    const parts = new Set(linesOf(tail).map((line) => (JSON.parse(line) as { msg: string }).msg))
    expect(parts).toEqual(new Set(['root', 'early', 'own', 'late', 'lateOwn']))
    tail.kill('SIGTERM')
    const after = await says(app, 'debug is off again', isOff)
    expect(after.enabled).toEqual(off)
    // Nothing is built when nobody listens.
    const later = await says(app, 'it runs on', () => true)
    expect(later.serialised).toBe(after.serialised)
    expect(app.stderr).toMatch(new RegExp(`spillway: logging debug of ${service} on demand of .+ \\(pid ${tail.pid}\\), since 20`))
    await app.says(/no longer logging on demand, since 20.+: \d+ records were made/)
  })

  test.each([
    ['is killed', 'SIGKILL'],
    ['is stopped, as if its host were gone', 'SIGSTOP'],
  ] as const)('holds only while the tail is there: not when it %s', async (_how, signal) => {
    const service = nextService()
    await using app = startDebugs(service)
    await using tail = startTail([`log.debug.${service}.>`])
    await says(app, 'debug is on', isOn)
    tail.kill(signal)
    await says(app, 'debug is off again', isOff)
    if (signal === 'SIGKILL') return
    tail.kill('SIGCONT')
    await says(app, 'debug is on again', isOn)
  })

  test('holds only while the collector passes it on: not when that is stopped', async () => {
    await using own = await startCollector()
    const service = nextService()
    await using app = startDebugs(service, {}, own)
    await using _tail = startTail([`log.debug.${service}.>`], own)
    await says(app, 'debug is on', isOn)
    own.process.kill('SIGSTOP')
    await says(app, 'debug is off again', isOff)
    own.process.kill('SIGCONT')
    await says(app, 'debug is on again', isOn)
  })

  // The proxy goes on confirming what it holds back, so that TCP notices nothing.
  test('holds only while the network carries it: not when nothing gets through any more, without an end of the connection', async () => {
    const service = nextService()
    await using toTail = await startChaosProxy({ target: collector.port + 2, seed: 1 })
    await using app = startDebugs(service)
    await using _tail = startTail([`log.debug.${service}.>`], { ...collector, tail: `tcp://127.0.0.1:${toTail.port}` })
    await says(app, 'debug is on', isOn)
    toTail.set('both', { isBlackhole: true })
    await says(app, 'debug is off again', isOff)
    expect(toTail.counters.up.blackholed).toBeGreaterThan(0)
    toTail.set('both', calm)
    await says(app, 'debug is on again', isOn)
  })

  test('holds only while the application hears of it: not when the network between it and the collector swallows everything', async () => {
    const service = nextService()
    await using data = await startChaosProxy({ target: collector.port, seed: 2 })
    await using control = await startChaosProxy({ target: collector.port + 1, seed: 3 })
    const options = { collector: `tcp://127.0.0.1:${data.port}`, control: `tcp://127.0.0.1:${control.port}` }
    await using app = startDebugs(service, options)
    await using _tail = startTail([`log.debug.${service}.>`])
    await says(app, 'debug is on', isOn)
    for (const way of [data, control]) way.set('both', { isBlackhole: true })
    await says(app, 'debug is off again', isOff)
    for (const way of [data, control]) way.set('both', calm)
    await says(app, 'debug is on again', isOn)
  })

  test('leaves the files and the books as they were, and they add up', async () => {
    await using own = await startCollector()
    const service = nextService()
    await using app = startDebugs(service, {}, own)
    await using tail = startTail([`log.debug.${service}.>`], own)
    await until(() => linesOf(tail).length >= 100, { what: 'the tail shows lines' })
    const { demand } = await own.status()
    expect(demand).toEqual([
      { level: 'debug', service, by: [expect.stringMatching(`\\(pid ${tail.pid}\\)$`)], sinceMs: expect.any(Number) },
    ])
    app.kill('SIGTERM')
    await app.ended
    await until(async () => (await own.status()).totals.pending === 0, { what: 'all is delivered' })
    const lines = own.lines(service)
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.filter((line) => line.includes('"level":20'))).toEqual([])
    const { totals } = await own.status()
    expect(totals.filtered).toBeGreaterThanOrEqual(100)
    expect(totals).toMatchObject({ accepted: totals.delivered + totals.inFlight, received: lines.length, lost: {} })
  })

  test('reaches a sink that says onDemand: true, and that one alone', async () => {
    await using dir = await tempDir()
    const config = join(dir.path, 'spillway.yaml')
    const paths = { plain: join(dir.path, 'plain.ndjson'), all: join(dir.path, 'all.ndjson') }
    await writeFile(
      config,
      `sinks:\n  plain: { type: file, path: '${paths.plain}' }\n  all: { type: file, path: '${paths.all}', onDemand: true }\n  screen: { type: stdout, topics: ['log.debug.>'], onDemand: true }\n`,
    )
    await using own = await startCollector({ args: ['-c', config] })
    const service = nextService()
    await using app = startDebugs(service, {}, own)
    await using tail = startTail([`log.debug.${service}.>`], own)
    await until(() => linesOf(tail).length >= 100, { what: 'the tail shows lines' })
    tail.kill('SIGTERM')
    await says(app, 'debug is off again', isOff)
    await until(
      async () => {
        const { totals } = await own.status()
        return totals.pending === 0 && totals.delivered > 100 && totals.accepted === totals.delivered + totals.inFlight
      },
      { what: 'all is delivered' },
    )
    const debugsIn = (path: string) =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"level":20')).length
    expect(debugsIn(paths.plain)).toBe(0)
    expect(debugsIn(paths.all)).toBeGreaterThanOrEqual(100)
    expect(own.process.stdout).toContain('"msg":"lateOwn"')
    expect((await own.status()).totals.filtered).toBe(0)
  })
})

describe('nothing is switched on', () => {
  test.each([
    ['log.>', ['log.>']],
    ['a * for the level', ['log.*.SERVICE.>']],
    ['--service', ['--service', 'SERVICE']],
    ['--level info', ['--level', 'info']],
    ['the debug of another service', ['log.debug.SERVICE2.>']],
    ['error', ['log.error.>']],
  ])('by %s', async (_what, args) => {
    const service = nextService()
    await using app = startDebugs(service)
    await using tail = startTail(args.map((arg) => arg.replace('SERVICE', service)))
    await tail.says(/connected to/)
    await says(app, 'it runs', ({ n }) => n > 10)
    const { n } = lastSaid(app) ?? { n: 0 }
    expect(await says(app, 'it runs on', (said) => said.n > n + 20)).toMatchObject({ serialised: 0, enabled: off })
    expect(app.stderr).toBe('')
  })

  test('where the application says onDemand: false, or allows other levels', async () => {
    for (const onDemand of [false, { levels: ['info'] }]) {
      const service = nextService()
      await using app = startDebugs(service, { onDemand })
      await using tail = startTail([`log.debug.${service}.>`])
      await tail.says(/connected to/)
      await says(app, 'it runs', ({ n }) => n > 10)
      const { n } = lastSaid(app) ?? { n: 0 }
      expect(await says(app, 'it runs on', (said) => said.n > n + 20)).toMatchObject({ serialised: 0, enabled: off })
    }
  })
})

describe('the limits of the application', () => {
  test('maxRate: what is past it is made, counted, and not sent', async () => {
    const service = nextService()
    await using app = startDebugs(service, { onDemand: { maxRate: 10 } })
    await using tail = startTail([`log.debug.${service}.>`])
    await says(app, 'records are past the rate', ({ stats }) => stats.overRate > 100)
    tail.kill('SIGTERM')
    await tail.ended
    const { stats } = await says(app, 'debug is off again', isOff)
    expect(linesOf(tail).length).toBeLessThanOrEqual(stats.made - stats.overRate)
    await app.says(/of them past maxRate and not sent/)
  })

  test('maxMinutes: off although somebody still asks, until nobody does and somebody asks anew', async () => {
    const service = nextService()
    await using app = startDebugs(service, { onDemand: { maxMinutes: 0.01 } })
    await using tail = startTail([`log.debug.${service}.>`])
    await says(app, 'debug is on', isOn)
    await says(app, 'debug is off', isOff)
    await app.says(/no longer logging on demand.+\(maxMinutes: 0.01\)/)
    tail.kill('SIGTERM')
    await tail.ended
    await using _again = startTail([`log.debug.${service}.>`])
    await says(app, 'debug is on again', isOn)
  })
})

test("lines made on demand and the application's own share one topic and its numbers, and no frame", async () => {
  const service = nextService()
  const agent = createAgent({ service, collector: collector.data })
  const own = pino(agent.pinoOptions({ base: null, level: 'debug' }), agent.destination())
  const demanded = pino(agent.pinoOptions({ base: null, level: 'info' }), agent.destination())
  await using tail = startTail([`log.debug.${service}.>`])
  let probes = 0
  await until(
    () => {
      own.debug('probe')
      probes += 1
      return tail.stdout.includes('probe') && demanded.isLevelEnabled('debug')
    },
    { what: 'the tail is there' },
  )
  const rounds = 500
  // Some batches long enough to be encoded in pieces.
  for (let n = 0; n < rounds; n += 1) {
    own.debug({ n, text: 'x'.repeat(n) }, 'own')
    for (let i = 0; i <= n % 3; i += 1) demanded.debug({ n, i, text: 'ü'.repeat(2 * n) }, 'demanded')
  }
  expect(await agent.close()).toEqual({ left: 0 })
  const kept = await collector.kept(service, rounds + probes)
  expect(kept.filter((line) => line.includes('"demanded"'))).toEqual([])
  expect(kept.filter((line) => line.includes('"own"')).map((line) => (JSON.parse(line) as { n: number }).n)).toEqual(
    Array.from({ length: rounds }, (_, n) => n),
  )
  const { onDemand, accepted } = agent.stats()
  expect(accepted).toBe(rounds + probes + onDemand.made)
  await until(() => linesOf(tail).filter((line) => line.includes('"demanded"')).length === onDemand.made, { what: 'all are shown' })
  const shown = linesOf(tail).flatMap((line) => {
    const { n, i, msg } = JSON.parse(line) as { n?: number; i?: number; msg: string }
    return n === undefined ? [] : [`${n} ${i ?? '-'} ${msg}`]
  })
  expect(shown).toEqual(
    Array.from({ length: rounds }, (_, n) => [`${n} - own`, ...Array.from({ length: (n % 3) + 1 }, (_, i) => `${n} ${i} demanded`)]).flat(),
  )
})

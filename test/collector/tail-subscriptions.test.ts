/** What live tails want goes up to the applications, and what nobody wants is not sent. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { Subscriber } from 'zeromq'
import { createAgent } from '../../agent/shared.ts'
import { TailSubscriptions } from '../../collector/tail-subscriptions.ts'
import { demandPrefixes } from '../../wire/demand.ts'
import { tailPrefixesMax, tailSubscriptionsMax } from '../../wire/limits.ts'
import { privateContext } from '../../wire/socket.ts'
import { startCli } from '../cli/run-cli.ts'
import { startApp, startCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'

describe('what is forwarded', () => {
  function subscriptions(own: readonly string[]): { readonly tails: TailSubscriptions; readonly up: Set<string> } {
    const up = new Set<string>()
    const tails = new TailSubscriptions(own, { subscribe: (prefix) => up.add(prefix), unsubscribe: (prefix) => up.delete(prefix) })
    return { tails, up }
  }

  test('what the collector does not want anyway, who looks, and what is asked', () => {
    const { tails, up } = subscriptions(['log.error.', 'sys.'])
    const { steady, here } = demandPrefixes('h~1', ['ask.debug.shop.'])
    for (const prefix of ['log.error.shop.', 'log.debug.shop.', 'sys.', ...steady, here, 'x'.repeat(201)]) tails.subscribed(prefix, 0)
    expect([...up].sort()).toEqual(['ask.debug.shop.', 'log.debug.shop.', 'sys.tail.h~1.'])
    for (const prefix of ['log.error.shop.', 'log.debug.shop.', 'sys.', ...steady, here]) tails.unsubscribed(prefix, 0)
    expect([...up]).toEqual([])
  })

  test('what somebody in this process holds stays while anybody wants it, whoever came first and whoever leaves last', () => {
    const prefix = 'log.info.shop.'
    for (const steps of ['+t +p -t -p', '+t +p -p -t', '+p +t -t -p', '+p +t -p -t', '+p +p -p +t -p -t', '+p +t +p -t -p -p']) {
      const { tails, up } = subscriptions([])
      let wanted = 0
      for (const step of steps.split(' ')) {
        wanted += step.startsWith('+') ? 1 : -1
        if (step === '+t') tails.subscribed(prefix, 0)
        else if (step === '-t') tails.unsubscribed(prefix, 0)
        else if (step === '+p') tails.hold(prefix, 0)
        else tails.release(prefix, 0)
        expect([steps, step, [...up], tails.isAskedFor(prefix)]).toEqual([steps, step, wanted > 0 ? [prefix] : [], wanted > 0])
      }
    }
    // Two pages ask as a tail does; the first that leaves ends nothing.
    const { tails } = subscriptions([])
    for (const name of ['browser-1', 'browser-2']) for (const each of demandPrefixes(name, ['ask.debug.shop.']).steady) tails.hold(each, 0)
    expect(tails.asks).toMatchObject([{ prefix: 'ask.debug.shop.', by: ['browser-1', 'browser-2'] }])
    for (const each of demandPrefixes('browser-1', ['ask.debug.shop.']).steady) tails.release(each, 0)
    expect(tails.asks).toMatchObject([{ by: ['browser-2'] }])
    for (const each of demandPrefixes('browser-2', ['ask.debug.shop.']).steady) tails.release(each, 0)
    expect(tails.asks).toEqual([])
  })

  test('at most so many prefixes; those there was no room for follow when there is', () => {
    const { tails, up } = subscriptions([])
    const prefixes = Array.from({ length: tailPrefixesMax + 10 }, (_, i) => `log.info.s${i}.`)
    for (const prefix of prefixes) tails.subscribed(prefix, 0)
    expect(up.size).toBe(tailPrefixesMax)
    expect(tails.notForwarded).toBe(10)
    for (const prefix of prefixes.slice(0, 10)) tails.unsubscribed(prefix, 0)
    expect([...up].sort()).toEqual(prefixes.slice(10).sort())
    expect(tails.notForwarded).toBe(0)
  })

  test('with more subscriptions than are looked at, ZeroMQ alone decides who gets what', () => {
    const { tails } = subscriptions(['log.'])
    for (let i = 0; i < tailSubscriptionsMax; i += 1) tails.subscribed(`log.info.s${i}.`, 0)
    expect(tails.isAskedFor('log.error.shop.')).toBe(false)
    tails.subscribed('log.error.shop.', 0)
    expect(tails.isAskedFor('log.error.shop.')).toBe(true)
    tails.unsubscribed('log.error.shop.', 0)
    expect(tails.isAskedFor('log.error.shop.')).toBe(false)
  })
})

test('what only a tail wants is sent while it is there, is in no book and no file, and does not stay with the application', async () => {
  await using collector = await startCollector({ args: ['--subscribe', 'log.error.>'] })
  const agent = createAgent({ service: 'narrow', collector: collector.data })
  const log = pino({ base: null }, agent.destination())
  await until(() => agent.links[0]?.wanted, { what: 'the collector has said what it wants' })
  const { bytes } = (await collector.status()).ingest
  for (let n = 0; n < 1_000; n += 1) log.info({ n }, 'nobody wants it')
  log.error('kept')
  expect((await agent.flush()).left).toBe(0)
  expect(agent.stats()).toMatchObject({ accepted: 1, filtered: 1_000 })
  expect((await collector.status()).ingest.bytes - bytes).toBeLessThan(5_000)

  await using tail = startCli(['tail', '--connect', collector.tail, 'log.info.narrow.>'])
  let n = 0
  await until(
    () => {
      log.info({ n }, 'wanted')
      n += 1
      return tail.stdout.includes('wanted')
    },
    { what: 'the tail shows lines' },
  )
  for (let i = 0; i < 100; i += 1) log.info({ i }, 'the rest')
  log.info('the end')
  await tail.says(/the end/)
  expect(tail.stdout.split('\n').filter((line) => line.includes('the rest'))).toHaveLength(100)
  expect(tail.stderr).not.toContain('missed')
  expect((await agent.flush()).left).toBe(0)
  expect(agent.stats().ringRecords).toBe(0)

  tail.kill('SIGTERM')
  await until(
    () => {
      const { filtered } = agent.stats()
      log.info('nobody wants it any more')
      return agent.stats().filtered > filtered
    },
    { what: 'it is no longer sent' },
  )
  expect(await agent.close()).toEqual({ left: 0 })
  const { totals } = await collector.status()
  expect(totals).toMatchObject({ accepted: 1, delivered: 1, inFlight: 0, lost: {} })
  expect(await collector.kept('narrow', 1)).toEqual([expect.stringContaining('"msg":"kept"')])
})

test('three tails that have stopped change nothing for the rest', async () => {
  await using collector = await startCollector()
  await using app = startApp('debugs.mjs', { args: ['rest', '5'], env: collector.env })
  const start = () => startCli(['tail', '--connect', collector.tail, 'log.debug.rest.>', 'log.info.rest.>'])
  await using reading = start()
  await using one = start()
  await using two = start()
  await using three = start()
  for (const tail of [reading, one, two, three]) await tail.says(/round/)
  for (const tail of [one, two, three]) tail.kill('SIGSTOP')
  const shown = () => reading.stdout.split('\n').length
  const before = shown()
  await until(() => shown() > before + 2_000, { what: 'the other one reads on' })
  expect(reading.stderr).not.toContain('missed')
  const rounds = reading.stdout.split('\n').flatMap((line) => (line.includes('"round"') ? [(JSON.parse(line) as { n: number }).n] : []))
  expect(rounds).toEqual(rounds.map((_, i) => (rounds[0] ?? 0) + i))
  app.kill('SIGTERM')
  await app.ended
  const { totals } = await collector.status()
  expect(totals.lost).toEqual({})
})

test('tails that come and go without end leave nothing behind', async () => {
  await using collector = await startCollector()
  await using agent = await HandMadeAgent.connect(collector)
  await using app = startApp('debugs.mjs', { args: ['churn', '20'], env: collector.env })
  await app.says(/stats/)
  const context = privateContext()
  const steady = new Set(agent.subscribed)
  const rssOf = async (pid: number) => {
    const { readFile } = await import('node:fs/promises')
    return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024
  }
  const visit = async (i: number) => {
    const tail = new Subscriber({ context, linger: 0 })
    const { steady: prefixes, here } = demandPrefixes(`visitor~${i}`, [`ask.debug.churn${i % 7 === 0 ? '' : i}.`])
    tail.connect(collector.tail)
    tail.subscribe('log.error.>', `log.info.churn${i}.`, ...prefixes, here)
    await sleep(5)
    tail.close()
  }
  const visits = async (from: number, to: number) => {
    for (let i = from; i < to; i += 10) await Promise.all(Array.from({ length: 10 }, (_, at) => visit(i + at)))
  }
  await visits(0, 300)
  const pids = [collector.process.pid, app.pid]
  const before = await Promise.all(pids.map(rssOf))
  await visits(300, 1_000)
  await until(() => [...agent.subscribed].every((prefix) => steady.has(prefix)), { what: 'nothing is forwarded any more' })
  const after = await Promise.all(pids.map(rssOf))
  for (const [i, rss] of after.entries()) expect(rss - (before[i] ?? 0)).toBeLessThan(24)
  await until(async () => (await collector.status()).demand.length === 0, { what: 'nobody asks' })
})

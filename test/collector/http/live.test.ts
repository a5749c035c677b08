/** Records as pages are sent them, and what happens now, through the real server. */
import { connect } from 'node:net'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createAgent } from '../../../agent/shared.ts'
import type { Flow, Overview } from '../../../collector/watch/pulse.ts'
import { livePageBytesMax, livePageRecordsMax } from '../../../wire/limits.ts'
import { startCollector } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { configFile } from './config-file.ts'
import { EventStreamReader } from './event-stream-reader.ts'

interface LiveRecord {
  readonly topic: string
  readonly service: string
  readonly level: string
  readonly time: number
  readonly host: string
  readonly origin: string
  readonly seq: number
  readonly line: string
}

interface Counts {
  readonly shown: number
  readonly filtered: number
  readonly skipped: number
  readonly missed: number
  readonly tooCostly: number
}

const recordsOf = (stream: EventStreamReader) => stream.all<LiveRecord[]>('records').flat()

test('each page is sent what it asked for, as it was logged, once and in order', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'shop', collector: collector.data, metrics: { runtime: false } })
  const log = pino({ base: null, level: 'debug' }, agent.destination())
  const open = (query: string) => EventStreamReader.open(`http://${collector.http}/api/v1/live?${query}`)
  await using all = await open('')
  await using warnings = await open('topic=log.>&level=warn&service=shop&service=other')
  await using other = await open('service=other')
  await using chosen = await open(`where=${encodeURIComponent('n > 90.0')}&level=info`)
  await using texts = await open(`grep=no-such-text&grep=${encodeURIComponent('/N":4[0-4],/i')}`)
  await until(() => [all, warnings, other, chosen, texts].every((stream) => stream.all('hello').length === 1), {
    what: 'all pages are open',
  })
  for (let n = 0; n < 100; n += 1) {
    log.info({ n, odd: '\u2028<script>\u202e' }, 'paid')
    if (n % 10 === 0) log.warn({ n }, 'slow')
  }
  await until(() => recordsOf(all).length === 110, { what: 'all records are shown' })
  const infos = recordsOf(all).filter(({ level }) => level === 'info')
  expect(infos.map(({ seq }) => seq)).toEqual(infos.map((_, i) => i))
  expect(infos.map(({ line }) => (JSON.parse(line) as { n: number }).n)).toEqual(infos.map((_, i) => i))
  expect(infos.map(({ line }) => line)).toEqual((await collector.kept('shop', 110)).filter((line) => line.includes('paid')))
  expect(infos[0]).toMatchObject({
    topic: 'log.info.shop.',
    service: 'shop',
    time: (JSON.parse(infos[0]?.line ?? '') as { time: number }).time,
  })
  expect(infos[0]?.host).not.toBe('')
  await until(() => recordsOf(chosen).length === 9 + 0 && recordsOf(texts).length === 5 + 1, {
    what: 'the others are shown what they want',
  })
  expect(recordsOf(chosen).map(({ line }) => (JSON.parse(line) as { n: number }).n)).toEqual([91, 92, 93, 94, 95, 96, 97, 98, 99])
  await until(() => recordsOf(warnings).length === 10, { what: 'warnings are shown' })
  const counts = await chosen.next<Counts>('counts', ({ shown, filtered }) => shown + filtered === 110)
  expect(counts).toEqual({ rate: expect.any(Number) as number, shown: 9, filtered: 101, skipped: 0, missed: 0, tooCostly: 0 })
  expect(recordsOf(other)).toEqual([])
  await agent.close()
})

test('what the collector itself does not want is sent while a page asks, and debug is made while one asks for it', async () => {
  await using collector = await startCollector({ args: ['--subscribe', 'log.error.>'] })
  const agent = createAgent({ service: 'shop', collector: collector.data, metrics: { runtime: false } })
  const log = pino(agent.pinoOptions({ level: 'info' }), agent.destination())
  const timer = setInterval(() => {
    log.info('told')
    log.debug('seldom')
  }, 5)
  try {
    const url = `http://${collector.http}/api/v1/live?service=shop`
    {
      await using info = await EventStreamReader.open(`${url}&level=info`)
      await using alsoInfo = await EventStreamReader.open(`${url}&level=info`)
      await until(() => recordsOf(info).length > 0 && recordsOf(alsoInfo).length > 0, { what: 'info is shown' })
      await using debug = await EventStreamReader.open(`${url}&ask=debug`)
      await until(() => recordsOf(debug).some(({ level }) => level === 'debug'), { what: 'debug is shown' })
      const { demand } = await collector.status()
      expect(demand).toMatchObject([{ level: 'debug', service: 'shop', by: [expect.stringMatching(/^browser-\d+$/) as string] }])
    }
    await until(async () => (await collector.status()).demand.length === 0, { what: 'nobody asks any more' })
    await until(() => !log.isLevelEnabled('debug'), { what: 'debug is off' })
    // Nothing but what the collector wants is sent any more.
    await until(
      async () => {
        const { frames } = (await collector.status()).ingest
        await new Promise((resolve) => setTimeout(resolve, 300))
        return (await collector.status()).ingest.frames - frames < 3
      },
      { what: 'info is not sent any more' },
    )
  } finally {
    clearInterval(timer)
    await agent.close()
  }
})

test('a page that stops reading costs its bound and no more; it is told what it skipped, and others miss nothing', async () => {
  await using collector = await startCollector({ nodeArgs: ['--max-old-space-size=128'] })
  const agent = createAgent({ service: 'flood', collector: collector.data, metrics: { runtime: false } })
  const log = pino({ base: null }, agent.destination())
  const [host = '', port] = collector.http.split(':')
  const stuck = connect(Number(port), host)
  let text = ''
  let isRead = false
  stuck.setEncoding('utf8').on('data', (part: string) => {
    text += part
    // The first words, and then nothing more is read.
    if (!isRead && text.includes('event: hello')) stuck.pause()
  })
  stuck.write(`GET /api/v1/live HTTP/1.1\r\nHost: ${collector.http}\r\n\r\n`)
  await until(() => text.includes('event: hello'), { what: 'the page is open' })
  await using reading = await EventStreamReader.open(
    `http://${collector.http}/api/v1/live?where=${encodeURIComponent('n % 1000.0 == 0.0')}`,
  )
  const records = 60_000
  const filler = 'x'.repeat(300)
  for (let n = 0; n < records; n += 1) {
    log.info({ n, filler }, 'flood')
    if (n % 1_000 === 0) await until(() => agent.stats().ringBytes < 2 ** 20, { what: 'the collector keeps up' })
  }
  const counts = await reading.next<Counts>('counts', ({ shown, filtered, skipped }) => shown + filtered + skipped === records)
  expect(recordsOf(reading).length).toBe(counts.shown)
  if (counts.skipped === 0) expect(counts.shown).toBe(records / 1_000)
  isRead = true
  stuck.resume()
  const last = () => {
    const found = [...text.matchAll(/event: counts\ndata: (.*)\n/g)].at(-1)?.[1]
    return found === undefined ? undefined : (JSON.parse(found) as Counts)
  }
  await until(() => (last()?.skipped ?? 0) > 0 && (last()?.shown ?? 0) + (last()?.skipped ?? 0) === records, { what: 'it is told' })
  // What the kernel's buffers hold beside is up to the kernel.
  expect(last()?.shown).toBeLessThan(records / 2)
  expect(livePageRecordsMax * (filler.length + 50)).toBeGreaterThan(livePageBytesMax)
  stuck.destroy()
  await agent.close()
})

test('the dearest condition of every page holds nobody else up, and is counted', async () => {
  await using collector = await startCollector()
  const agent = createAgent({ service: 'shop', collector: collector.data, metrics: { runtime: false } })
  const log = pino({ base: null }, agent.destination())
  // Each record takes more steps than one may.
  const dear = encodeURIComponent('list.exists(a, list.exists(b, list.exists(c, a + b + c == -1.0)))')
  const pages = await Promise.all(
    Array.from({ length: 20 }, () => EventStreamReader.open(`http://${collector.http}/api/v1/live?where=${dear}`)),
  )
  await using plain = await EventStreamReader.open(`http://${collector.http}/api/v1/live?grep=marker`)
  const list = Array.from({ length: 100 }, (_, i) => i)
  for (let n = 0; n < 500; n += 1) log.info({ list, n }, 'dear')
  log.info('marker')
  await until(() => recordsOf(plain).length === 1, { what: 'the page with a plain text has its record' })
  expect((await fetch(`http://${collector.http}/healthz`)).status).toBe(200)
  expect(await collector.kept('shop', 501)).toHaveLength(501)
  const counts = await pages[0]?.next<Counts>('counts', ({ tooCostly }) => tooCostly > 0)
  expect(counts?.shown).toBe(0)
  for (const page of pages) await page[Symbol.asyncDispose]()
  await agent.close()
})

test('overview and flow tell of rates, processes and loss, the worst service first, and begin with what was before', async () => {
  await using file = await configFile('rollup: { interval: 1s }\n')
  await using collector = await startCollector({ args: ['-c', file.path] })
  const well = createAgent({ service: 'well', collector: collector.data, metrics: { interval: 200 } })
  const ill = createAgent({ service: 'ill', collector: collector.data, metrics: { runtime: false } })
  const wellLog = pino({ base: null }, well.destination())
  const illLog = pino({ base: null }, ill.destination())
  const timer = setInterval(() => {
    for (let i = 0; i < 10; i += 1) wellLog.info('fine')
    illLog.error('not fine')
  }, 10)
  try {
    await using stream = await EventStreamReader.open(`http://${collector.http}/api/v1/events`)
    const overview = await stream.next<Overview>(
      'overview',
      ({ services }) =>
        services.length === 2 && services.every(({ rates }) => (rates.info ?? rates.error ?? 0) > 10) && services[1]?.rssBytes !== null,
    )
    expect(overview.services.map(({ service }) => service)).toEqual(['ill', 'well'])
    const [first, second] = overview.services
    expect(first).toMatchObject({ origins: { live: 1, closed: 0, unclean: 0, lost: 0 }, lost: { total: 0, perSecond: 0, byReason: {} } })
    expect(first?.errorsPerSecond).toBeCloseTo(first?.rates.error ?? 0, 6)
    expect(first?.problems).toMatchObject([{ severity: 'warn', text: expect.stringMatching(/errors a second$/) as string }])
    expect(second?.problems).toEqual([])
    expect(second?.rssBytes).toBeGreaterThan(10_000_000)
    const flow = await stream.next<Flow>('flow', ({ sinks }) => (sinks[0]?.ratePerSecond ?? 0) > 0)
    const { accepted, stored, lost, expired, rejected, inFlight } = flow.books
    expect(accepted).toBe(stored + lost + expired + rejected + inFlight)
    expect(flow.apps.map(({ service }) => service).sort()).toEqual(['ill', 'well'])
    expect(flow.sinks).toMatchObject([{ name: 'files', type: 'file', state: 'ok', lastError: null }])
    // A second page begins with the steps there were before it was opened.
    await until(
      async () => {
        const { services } = (await (await fetch(`http://${collector.http}/api/v1/overview`)).json()) as Overview
        return (services.find(({ service }) => service === 'well')?.history.levels.info?.some((rate) => rate > 100) ?? false) || undefined
      },
      { what: 'there is a history', everyMs: 200 },
    )
    await ill.close()
    await until(
      async () =>
        ((await (await fetch(`http://${collector.http}/api/v1/overview`)).json()) as Overview).services.some(
          ({ origins }) => origins.closed === 1,
        ),
      { what: 'the process that ended is shown as such', everyMs: 200 },
    )
  } finally {
    clearInterval(timer)
    await well.close()
    await ill.close()
  }
})

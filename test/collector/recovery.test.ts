/** What a start finds: the books as they were, every line in its file once, and nothing that was never written. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Ledger, Totals } from '../../collector/ledger.ts'
import { segmentHeadBytes } from '../../collector/spool/spool-record.ts'
import { logTopic, type Topic } from '../../wire/topic.ts'
import { tempDir } from '../support/processes.ts'
import { anySeed, SeededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { type BooksInTest, openBooksIn } from './books-in-test.ts'
import { segmentsOf } from './spooling.ts'

const origins = ['origin-000000001', 'origin-000000002'] as const
const topics = [logTopic('info', 'shop'), logTopic('warn', 'bank')] as const
const services = ['shop', 'bank']

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('lines' as const),
      who: fc.nat(1),
      what: fc.nat(1),
      skip: fc.constantFrom(0, 0, 0, 3, -4),
      count: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('manifest' as const),
      who: fc.nat(1),
      ahead: fc.constantFrom(0, 0, 5),
      trail: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('checkpoint' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('segment' as const), who: fc.nat(1), what: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('final' as const), who: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

const totalsByTopic = (ledger: Ledger) => ({
  totals: ledger.totals(),
  missing: [...ledger.origins.values()].flatMap(({ origin, topics: books }) =>
    [...books].map(([topic, book]) => `${origin} ${topic} ${JSON.stringify(book.ledger.missingBelow(1e12))} of ${book.ledger.horizon}`),
  ),
})

const linesIn = (dir: string, service: string, sink = 'files'): string[] => {
  const folder = join(dir, sink)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name === `${service}.ndjson` || name.startsWith(`${service}.`))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
}

test('the books after a start are the books before it, and every line is in its file once: after any sequence of events', async () => {
  let restarts = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), fc.constantFrom(1e9, 300), async (steps, rotateBytes) => {
      await using dir = await tempDir()
      let it: BooksInTest = await openBooksIn(dir.path, { rotateBytes })
      const next = new Map<string, number>()
      const sent = new Map<string, Set<string>>(services.map((service) => [service, new Set()]))
      const send = (who: number, what: number, seq: number, lines: readonly string[]) => {
        for (const line of lines) sent.get(services[what] ?? '')?.add(line)
        it.lines(origins[who] ?? '', topics[what] as Topic, seq, lines)
      }
      for (const one of steps) {
        switch (one.do) {
          case 'lines': {
            const key = `${one.who} ${one.what}`
            const seq = Math.max(0, (next.get(key) ?? 0) + one.skip)
            send(
              one.who,
              one.what,
              seq,
              Array.from({ length: one.count }, (_, i) => `${key} ${seq + i}`),
            )
            next.set(key, Math.max(next.get(key) ?? 0, seq + one.count))
            break
          }
          case 'manifest':
          case 'final': {
            const told = Object.fromEntries(
              topics.flatMap((topic, what) => {
                const lead = next.get(`${one.who} ${what}`)
                if (lead === undefined) return []
                const isFinal = one.do === 'final'
                return [[topic, { lead: lead + (isFinal ? 0 : one.ahead), sent: lead, trail: isFinal ? 0 : Math.floor(one.trail * lead) }]]
              }),
            )
            it.manifest(origins[one.who] ?? '', told, one.do === 'final')
            break
          }
          case 'commit':
            await it.books.intake.commit()
            break
          case 'checkpoint':
            await it.checkpoint()
            break
          case 'segment': {
            // A frame of a megabyte: the next record begins a new segment.
            const key = `${one.who} ${one.what}`
            const seq = next.get(key) ?? 0
            send(
              one.who,
              one.what,
              seq,
              Array.from({ length: 16 }, (_, i) => `${key} ${seq + i} ${'x'.repeat(63_000)}`),
            )
            next.set(key, seq + 16)
            break
          }
          case 'restart': {
            await it.idle()
            const before = totalsByTopic(it.books.ledger)
            await it.abandon()
            it = await openBooksIn(dir.path, { rotateBytes })
            const after = totalsByTopic(it.books.ledger)
            // How far the sinks are is known as of the last checkpoint.
            expect({ ...after.totals, ...pendings }).toEqual({ ...before.totals, ...pendings })
            expect(after.missing.toSorted()).toEqual(before.missing.toSorted())
            restarts += 1
          }
        }
        it.books.intake.tick()
      }
      await it.idle()
      const before = totalsByTopic(it.books.ledger)
      expect(before.totals.pending).toBe(0)
      await it.abandon()
      const last = await openBooksIn(dir.path, { rotateBytes })
      await last.idle()
      expect(last.books.ledger.totals()).toEqual(before.totals)
      for (const service of services) {
        if ((sent.get(service)?.size ?? 0) === 0) continue
        // Those that came when they had been given up are not kept.
        const kept = linesIn(dir.path, service)
        expect(new Set(kept).size).toBe(kept.length)
        for (const line of kept) expect(sent.get(service)?.has(line)).toBe(true)
      }
      const keptCount = services.reduce(
        (sum, service) => sum + ((sent.get(service)?.size ?? 0) > 0 ? linesIn(dir.path, service).length : 0),
        0,
      )
      expect(keptCount).toBe(before.totals.delivered)
      expect(last.troubles).toEqual([])
      await last.abandon()
    }),
    { numRuns: 80, timeout: 30_000 },
  )
  expect(restarts).toBeGreaterThan(20)
})

/** Not compared: what is on its way to the sinks. */
const pendings: Partial<Totals> = { delivered: 0, pending: 0, inFlight: 0 }

const count = 400
const text = (n: number) => `{"n":${n},"pad":"${'p'.repeat(9_000)}"}`

/** A folder with everything in its spool and nothing in its files: where they should be, there are folders. */
async function withEverythingPending(dir: string): Promise<void> {
  mkdirSync(join(dir, 'files', 'shop.ndjson'), { recursive: true })
  const it = await openBooksIn(dir)
  it.manifest(origins[0], { [topics[0]]: { lead: 0 } })
  for (let seq = 0; seq < count; seq += 4)
    it.lines(
      origins[0],
      topics[0],
      seq,
      [0, 1, 2, 3].map((i) => text(seq + i)),
    )
  await it.books.intake.commit()
  expect(it.acknowledged.get(`${origins[0]} ${topics[0]}`)).toBe(count)
  expect(it.books.ledger.totals()).toMatchObject({ received: count, pending: count })
  await it.abandon()
  rmSync(join(dir, 'files'), { recursive: true })
}

test('bits flipped anywhere in a spool, many times: the start never fails, every line that is not hit is written, once, and the books come out even', async () => {
  const seed = Number(process.env['SPILLWAY_TEST_SEED'] ?? anySeed())
  console.log(`seed ${seed}`)
  const random = new SeededRandom(seed)
  await using dir = await tempDir()
  await withEverythingPending(join(dir.path, 'whole'))
  const segments = segmentsOf(join(dir.path, 'whole', 'spool'))
  expect(segments.length).toBeGreaterThanOrEqual(4)
  let hit = 0
  let unknowns = 0
  for (let run = 0; run < 60; run += 1) {
    const at = join(dir.path, String(run))
    cpSync(join(dir.path, 'whole'), at, { recursive: true })
    for (const path of segmentsOf(join(at, 'spool'))) {
      const bytes = readFileSync(path)
      // Some of them where the books stand.
      for (let flips = random.integer(0, 6); flips > 0; flips -= 1) {
        const where = random.next() < 0.2 ? random.integer(0, 400) : random.integer(0, bytes.length - 1)
        bytes[where] = (bytes[where] ?? 0) ^ (1 << random.integer(0, 7))
      }
      writeFileSync(path, bytes)
    }
    const it = await openBooksIn(at)
    it.manifest(origins[0], { [topics[0]]: { lead: count, sent: count, trail: count, resume: count } })
    await it.idle()
    await until(
      () => {
        it.books.intake.tick()
        return it.books.ledger.totals().inFlight === 0
      },
      { what: `run ${run} of seed ${seed} comes out even: ${JSON.stringify(it.books.ledger.totals())}` },
    )
    const kept = linesIn(at, 'shop')
    const numbers = kept.map((line) => (JSON.parse(line) as { n: number }).n)
    for (const [i, line] of kept.entries()) expect(line).toBe(text(numbers[i] ?? -1))
    expect({ run, seed, lines: numbers.length }).toEqual({ run, seed, lines: new Set(numbers).size })
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
    const { accepted, delivered, lost, expired } = it.books.ledger.totals()
    const lostRecords = Object.values(lost).reduce((sum, records) => sum + records, 0)
    // With the beginning hit and all books behind it too, nothing says what came before the first frame that is there.
    const unknown = accepted === count ? 0 : (numbers[0] ?? 0)
    if (unknown > 0) unknowns += 1
    expect({ run, seed, accepted, delivered, gone: lostRecords + expired }).toEqual({
      run,
      seed,
      accepted: count - unknown,
      delivered: kept.length,
      gone: count - unknown - kept.length,
    })
    if (kept.length < count) hit += 1
    await it.abandon()
    rmSync(at, { recursive: true })
  }
  expect(hit).toBeGreaterThan(30)
  expect(unknowns).toBeLessThan(5)
})

test('a spool whose oldest segment has no head any more: what was pending there is counted, and not called delivered', async () => {
  await using dir = await tempDir()
  await withEverythingPending(dir.path)
  const [oldest = ''] = segmentsOf(join(dir.path, 'spool'))
  writeFileSync(oldest, Buffer.concat([Buffer.alloc(segmentHeadBytes), readFileSync(oldest).subarray(segmentHeadBytes)]))
  const it = await openBooksIn(dir.path)
  await it.idle()
  await until(() => it.books.ledger.totals().inFlight === 0, { what: 'the books come out even' })
  const kept = linesIn(dir.path, 'shop')
  expect(kept.length).toBeLessThan(count - 50)
  expect(it.books.ledger.totals()).toMatchObject({ accepted: count, delivered: kept.length, expired: count - kept.length })
  await it.abandon()
})

test('a spool whose oldest segments are gone begins with the books at the head of the first that is there', async () => {
  await using dir = await tempDir()
  await withEverythingPending(dir.path)
  const segments = segmentsOf(join(dir.path, 'spool'))
  for (const path of segments.slice(0, 2)) rmSync(path)
  const it = await openBooksIn(dir.path)
  await it.idle()
  const kept = linesIn(dir.path, 'shop')
  expect(kept.at(-1)).toBe(text(count - 1))
  expect(new Set(kept).size).toBe(kept.length)
  expect(it.books.ledger.totals()).toMatchObject({ accepted: count, received: count })
  await it.abandon()
})

test('two sinks are each where they were', async () => {
  await using dir = await tempDir()
  const sinks = ['files', 'others']
  mkdirSync(join(dir.path, 'others', 'shop.ndjson'), { recursive: true })
  const first = await openBooksIn(dir.path, { sinks })
  first.manifest(origins[0], { [topics[0]]: { lead: 0 } })
  for (let seq = 0; seq < 300; seq += 1) first.lines(origins[0], topics[0], seq, [text(seq)])
  await until(() => linesIn(dir.path, 'shop').length === 300, { what: 'one has everything' })
  await first.checkpoint()
  await first.books.intake.commit()
  expect(first.books.ledger.totals()).toMatchObject({ delivered: 0, pending: 300 })
  await first.abandon()
  rmSync(join(dir.path, 'others'), { recursive: true })
  const second = await openBooksIn(dir.path, { sinks })
  await second.idle()
  for (const sink of sinks) expect(linesIn(dir.path, 'shop', sink)).toEqual(Array.from({ length: 300 }, (_, n) => text(n)))
  expect(second.books.ledger.totals()).toMatchObject({ delivered: 300, pending: 0 })
  await second.abandon()
})

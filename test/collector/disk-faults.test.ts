/** What a spool's disk does to a running collector, and what becomes of the records meanwhile and after. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { logTopic } from '../../wire/topic.ts'
import { type FaultyDisk, faultyDisk, smallFileSystem } from '../support/faulty-disk.ts'
import { startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'
import { configFor, missingAndTwice, segmentsOf, settled, startSteady, stopSteady } from './spooling.ts'

/** A disk that can be made to fail. */
interface BadDisk extends AsyncDisposable {
  /** Where the spool is. */
  readonly spoolDir: string
  readonly env: Record<string, string>
  begin(): void
  end(): void
  /** What status says meanwhile. */
  readonly error: RegExp
}

async function withCalls(set: (disk: FaultyDisk, spoolDir: string) => void, error: RegExp): Promise<BadDisk> {
  const dir = await tempDir()
  const disk = await faultyDisk()
  const spoolDir = join(dir.path, 'spool')
  return {
    spoolDir,
    env: disk.env,
    begin: () => set(disk, spoolDir),
    end: () => disk.set(),
    error,
    async [Symbol.asyncDispose]() {
      await dir[Symbol.asyncDispose]()
      await disk[Symbol.asyncDispose]()
    },
  }
}

async function fullDisk(): Promise<BadDisk> {
  const disk = await smallFileSystem(65_536)
  return {
    spoolDir: join(disk.path, 'spool'),
    env: {},
    begin: () => disk.resize(Math.ceil(segmentsOf(join(disk.path, 'spool')).length * 1_100 + 40)),
    end: () => disk.resize(65_536),
    error: /ENOSPC/,
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  }
}

const badDisks: readonly (readonly [string, () => Promise<BadDisk>])[] = [
  ['is full', fullDisk],
  ['answers every write with EIO', () => withCalls((disk, dir) => disk.set(['write', dir, 'EIO']), /EIO/)],
  ['answers every fsync with EIO', () => withCalls((disk, dir) => disk.set(['sync', dir, 'EIO']), /EIO/)],
  [
    'becomes read-only',
    () => withCalls((disk, dir) => disk.set(['write', dir, 'EROFS'], ['open', dir, 'EROFS'], ['sync', dir, 'EIO']), /EROFS|EIO/),
  ],
]

const totalsOf = async (collector: TestCollector) => (await collector.status()).totals

describe.each(badDisks)('a spool whose disk %s', (_what, openDisk) => {
  test('is said on stderr and in status; records go on to the files and count as not durable; it comes back by itself', async () => {
    await using dir = await tempDir()
    await using disk = await openDisk()
    const args = configFor(dir.path, { spoolDir: disk.spoolDir })
    const first = await startCollector({ dir: dir.path, args, env: disk.env })
    await using app = await startSteady(first, { padBytes: 200 })
    await until(async () => (await totalsOf(first)).delivered > 500, { what: 'records are delivered' })
    expect((await totalsOf(first)).notDurable).toBe(0)
    disk.begin()
    const error = await until(async () => (await first.status()).spool.error, { what: 'the error is shown' })
    expect(error).toMatch(disk.error)
    const before = await totalsOf(first)
    await until(async () => (await totalsOf(first)).delivered > before.delivered + 1_000, { what: 'records are delivered all the same' })
    await until(async () => (await totalsOf(first)).notDurable > 500, { what: 'they count as not durable' })
    expect(first.process.end).toBeUndefined()
    disk.end()
    await until(async () => (await first.status()).spool.error === undefined, { what: 'the error is gone' })
    const after = await totalsOf(first)
    await until(async () => (await totalsOf(first)).spooled > after.spooled + 1_000, { what: 'records are spooled again' })
    const said = first.process.stderr.split('\n').filter((line) => line.includes('spool: '))
    // Each failed segment that is given up leaves a little room, so it may go to and fro; each turn is told once.
    expect(said.length % 2).toBe(0)
    for (const [n, line] of said.entries())
      expect(line).toMatch(n % 2 === 0 ? /it keeps trying, and counts what is not durable/ : /keeping again/)
    expect(said.length).toBeGreaterThan(0)
    const logged = await stopSteady(app)
    const { totals } = await settled(first, logged)
    expect(totals).toMatchObject({ accepted: logged, delivered: logged, pending: 0, expired: 0 })
    expect(totals.lost).toEqual({})
    expect(totals.notDurable).toBeGreaterThan(500)
    expect(missingAndTwice(first.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
    first.process.kill('SIGKILL')
    await first.process.ended
    await using second = await startCollector({ dir: dir.path, args, port: first.port })
    expect((await settled(second, logged)).totals).toMatchObject({ delivered: logged, notDurable: totals.notDurable })
    expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
  })

  test.each(['goes on', 'is over'])(
    'and its collector is killed: when the next one starts and the fault %s, nothing is missing or twice',
    async (when) => {
      await using dir = await tempDir()
      await using disk = await openDisk()
      const args = configFor(dir.path, { spoolDir: disk.spoolDir })
      const first = await startCollector({ dir: dir.path, args, env: disk.env })
      await using app = await startSteady(first, { padBytes: 200 })
      await until(async () => (await totalsOf(first)).delivered > 500, { what: 'records are delivered' })
      disk.begin()
      await until(async () => (await totalsOf(first)).notDurable > 500, { what: 'records count as not durable' })
      first.process.kill('SIGKILL')
      await first.process.ended
      if (when === 'is over') disk.end()
      await using second = await startCollector({ dir: dir.path, args, port: first.port, env: disk.env })
      const { delivered } = await totalsOf(second)
      await until(async () => (await totalsOf(second)).delivered > delivered + 1_000, { what: 'records are delivered' })
      if (when === 'goes on') {
        expect((await second.status()).spool.error).toMatch(disk.error)
        disk.end()
      }
      await until(async () => (await second.status()).spool.error === undefined, { what: 'the error is gone' })
      const logged = await stopSteady(app)
      const { totals } = await settled(second, logged)
      expect(totals).toMatchObject({ accepted: logged, delivered: logged, pending: 0 })
      expect(totals.lost).toEqual({})
      expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
    },
  )
})

test('what is lost while the disk fails is lost after a kill too: the applications hold it for the next collector', async () => {
  await using dir = await tempDir()
  await using disk = await withCalls((faulty, part) => faulty.set(['write', part, 'EIO']), /EIO/)
  const args = configFor(dir.path, { spoolDir: disk.spoolDir })
  const [topic, other] = [logTopic('info', 'hand'), logTopic('warn', 'hand')]
  const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => JSON.stringify({ n: from + n }))
  const first = await startCollector({ dir: dir.path, args, env: disk.env })
  const agent = await HandMadeAgent.connect(first)
  await agent.manifest({ topics: { [topic]: { lead: 0 } } })
  await agent.lines(topic, 0, lines(0, 10))
  await until(() => agent.acknowledged(topic) === 10, { what: 'the first lines are acknowledged' })
  disk.begin()
  await agent.lines(topic, 10, lines(10, 20))
  await agent.lines(topic, 25, lines(25, 30))
  await agent.lines(other, 0, lines(0, 7))
  await agent.manifest({ topics: { [topic]: { lead: 30 }, [other]: { lead: 10, trail: 10 } }, gone: [{ topic, from: 20, to: 25 }] })
  const books = { accepted: 40, delivered: 32, lost: { ring_evicted: 8 } }
  await until(async () => (await totalsOf(first)).lost.ring_evicted === 8, { what: 'the losses are booked' })
  await agent.manifest({ topics: { [topic]: { lead: 30 } } })
  await until(() => agent.acknowledged(topic) === 30 && agent.acknowledged(other) === 10, { what: 'everything is acknowledged' })
  expect(await totalsOf(first)).toMatchObject({ ...books, notDurable: 22 })
  first.process.kill('SIGKILL')
  await first.process.ended
  disk.end()
  const note = (of: string) =>
    agent.heard.flatMap(({ acknowledgements }) => acknowledgements.filter((ack) => ack.topic === of)).at(-1)?.note
  await using second = await startCollector({ dir: dir.path, args, env: disk.env })
  await using again = await HandMadeAgent.connect(second, { origin: agent.origin })
  const told = { [topic]: { lead: 30, resume: 30, note: note(topic) }, [other]: { lead: 10, resume: 10, note: note(other) } }
  await again.manifest({ topics: told })
  await until(async () => (await totalsOf(second)).accepted === 40 && (await totalsOf(second)).pending === 0, {
    what: 'the next one has heard of it',
  })
  expect(await totalsOf(second)).toMatchObject({ ...books, notDurable: 22 })
  await again.manifest({ topics: told, final: true })
  await until(() => again.byesHeard > 0, { what: 'goodbye is answered' })
  expect(await totalsOf(second)).toMatchObject({ ...books, inFlight: 0 })
  await agent[Symbol.asyncDispose]()
})

test('the segment that is written to is deleted: it is noticed, a new one begins, and nothing is missing or twice', async () => {
  await using dir = await tempDir()
  const args = configFor(dir.path)
  const first = await startCollector({ dir: dir.path, args })
  await using app = await startSteady(first, { padBytes: 200 })
  await until(async () => (await totalsOf(first)).delivered > 500, { what: 'records are delivered' })
  for (const path of segmentsOf(join(dir.path, 'spool'))) rmSync(path)
  await until(() => /somebody deleted/.test(first.process.stderr), { what: 'it is said' })
  await until(() => /keeping again/.test(first.process.stderr), { what: 'a new one begins' })
  const { spooled } = await totalsOf(first)
  await until(async () => (await totalsOf(first)).spooled > spooled + 200, { what: 'records are spooled again' })
  first.process.kill('SIGKILL')
  await first.process.ended
  await using second = await startCollector({ dir: dir.path, args, port: first.port })
  const { delivered } = await totalsOf(second)
  await until(async () => (await totalsOf(second)).delivered > delivered + 500, { what: 'it goes on' })
  const logged = await stopSteady(app)
  expect((await settled(second, logged)).totals).toMatchObject({ accepted: logged, delivered: logged })
  expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

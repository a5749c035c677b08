/** What is done to a spool while its collector is stopped, or has a sink that is behind, and what becomes of its records. */
import { cpSync, existsSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { logTopic } from '../../wire/topic.ts'
import { smallFileSystem } from '../support/faulty-disk.ts'
import { startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { anySeed, SeededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'
import { configFor, missingAndTwice, numbersOf, segmentsOf, settled, startSteady, stopSteady, upTo } from './spooling.ts'

const topic = logTopic('info', 'hand')
const totalsOf = async (collector: TestCollector) => (await collector.status()).totals

const count = 1_500
const perFrame = 5
const line = (n: number) => `{"n":${n},"pad":"${'p'.repeat(2_000)}"}`

/** A collector whose files cannot be written, with three megabytes in its spool, all acknowledged; killed. */
async function withFullSpool(dir: string): Promise<{ args: readonly string[]; port: number; release(): void; agent: HandMadeAgent }> {
  const args = configFor(dir)
  const blocker = join(dir, 'logs')
  writeFileSync(blocker, 'in the way')
  await using collector = await startCollector({ dir, args })
  const agent = await HandMadeAgent.connect(collector)
  await agent.manifest({ topics: { [topic]: { lead: 0 } } })
  for (let seq = 0; seq < count; seq += perFrame)
    await agent.lines(
      topic,
      seq,
      upTo(perFrame).map((i) => line(seq + i)),
    )
  await until(() => agent.acknowledged(topic) === count, { what: 'all is acknowledged' })
  expect(await totalsOf(collector)).toMatchObject({ accepted: count, delivered: 0, pending: count })
  expect(segmentsOf(join(dir, 'spool')).length).toBeGreaterThanOrEqual(3)
  collector.process.kill('SIGKILL')
  await collector.process.ended
  return { args, port: collector.port, release: () => rmSync(blocker), agent }
}

/** An agent says what it still has: nothing of what was acknowledged. */
async function stillThere(agent: HandMadeAgent): Promise<void> {
  await agent.manifest({ topics: { [topic]: { lead: count, sent: count, trail: count, resume: count } } })
}

describe('with every line still to be written', () => {
  test('a segment deleted: the others are written, once; what it held is counted as expired', async () => {
    await using dir = await tempDir()
    const { args, port, release, agent } = await withFullSpool(dir.path)
    await using _agent = agent
    rmSync(segmentsOf(join(dir.path, 'spool'))[1] ?? '')
    release()
    await using collector = await startCollector({ dir: dir.path, args, port })
    await stillThere(agent)
    const { totals } = await settled(collector)
    const kept = numbersOf(collector.lines('hand'))
    expect(kept.length).toBeGreaterThan(count / 2)
    expect(missingAndTwice(collector.lines('hand'), count).twice).toBe('')
    expect(totals).toMatchObject({ accepted: count, delivered: kept.length, expired: count - kept.length })
  })

  test('a segment replaced by a symlink: its target is not touched, the others are written, the rest is counted', async () => {
    await using dir = await tempDir()
    const { args, port, release, agent } = await withFullSpool(dir.path)
    await using _agent = agent
    const path = segmentsOf(join(dir.path, 'spool'))[1] ?? ''
    const target = join(dir.path, 'target')
    renameSync(path, target)
    symlinkSync(target, path)
    const bytes = readFileSync(target)
    release()
    await using collector = await startCollector({ dir: dir.path, args, port })
    expect(collector.process.stderr).toMatch(/cannot use .*; it is left alone/)
    await stillThere(agent)
    const { totals } = await settled(collector)
    const kept = numbersOf(collector.lines('hand'))
    expect(new Set(kept).size).toBe(kept.length)
    expect(totals).toMatchObject({ accepted: count, delivered: kept.length, expired: count - kept.length })
    expect(readFileSync(target).equals(bytes)).toBe(true)
  })

  test.each(upTo(4))('bits flipped all over it (%d): what they hit is counted, all else is written, once, and as it was', async () => {
    const seed = Number(process.env['SPILLWAY_TEST_SEED'] ?? anySeed())
    console.log(`seed ${seed}`)
    const random = new SeededRandom(seed)
    await using dir = await tempDir()
    const { args, port, release, agent } = await withFullSpool(dir.path)
    await using _agent = agent
    for (const path of segmentsOf(join(dir.path, 'spool'))) {
      const bytes = readFileSync(path)
      for (let flips = 0; flips < 10; flips += 1) {
        const at = Math.floor(random.next() * bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random.next() * 8))
      }
      writeFileSync(path, bytes)
    }
    release()
    await using collector = await startCollector({ dir: dir.path, args, port })
    await stillThere(agent)
    const status = await settled(collector)
    const lines = collector.lines('hand')
    const kept = numbersOf(lines)
    expect(new Set(kept).size).toBe(kept.length)
    for (const text of lines) expect(text).toBe(line((JSON.parse(text) as { n: number }).n))
    const lost = Object.values(status.totals.lost).reduce((sum, records) => sum + records, 0)
    expect(kept.length).toBeGreaterThan(count / 2)
    expect(kept.length).toBeLessThan(count)
    expect(status.totals).toMatchObject({ accepted: count, delivered: kept.length })
    expect(lost + status.totals.expired).toBe(count - kept.length)
    expect(status.spool.damagedBytes).toBeGreaterThan(0)
    expect(collector.process.stderr).toMatch(/bytes of .*\.spool cannot be read; what they held counts as missing/)
  })

  test('its folder copied to where every file has another number: everything is written, once', async () => {
    await using dir = await tempDir()
    const home = join(dir.path, 'home')
    const { args, port, release, agent } = await withFullSpool(home)
    await using _agent = agent
    cpSync(home, join(dir.path, 'copy'), { recursive: true })
    rmSync(home, { recursive: true })
    renameSync(join(dir.path, 'copy'), home)
    release()
    await using collector = await startCollector({ dir: home, args, port })
    await stillThere(agent)
    expect((await settled(collector)).totals).toMatchObject({ accepted: count, delivered: count, expired: 0 })
    expect(missingAndTwice(collector.lines('hand'), count)).toEqual({ missing: '', twice: '' })
  })
})

test('a segment deleted while a sink is behind: the others are written, and the books come out even', async () => {
  await using dir = await tempDir()
  const { args, port, release, agent } = await withFullSpool(dir.path)
  await using _agent = agent
  await using collector = await startCollector({ dir: dir.path, args, port })
  await until(async () => (await collector.status()).sinks['files']?.error, { what: 'the sink is stuck' })
  // Beyond what the sink holds in memory for a file that cannot be written.
  const path = segmentsOf(join(dir.path, 'spool'))[2] ?? ''
  expect(existsSync(path)).toBe(true)
  rmSync(path)
  release()
  const { totals } = await settled(collector)
  const kept = numbersOf(collector.lines('hand'))
  expect(new Set(kept).size).toBe(kept.length)
  expect(kept.length).toBeLessThan(count)
  expect(totals).toMatchObject({ accepted: count, delivered: kept.length, expired: count - kept.length })
  expect(collector.process.stderr).toMatch(/ENOENT.* cannot be read/)
  expect(collector.process.end).toBeUndefined()
})

test('the last segments deleted after a kill: nothing that is in the files is written again, and what comes then is kept', async () => {
  await using dir = await tempDir()
  const args = configFor(dir.path)
  const first = await startCollector({ dir: dir.path, args })
  await using app = await startSteady(first)
  const lastBytes = () => statSync(segmentsOf(join(dir.path, 'spool')).at(-1) ?? '').size
  await until(() => segmentsOf(join(dir.path, 'spool')).length >= 2 && lastBytes() > 500_000, {
    what: 'there is much in the last of some segments',
  })
  first.process.kill('SIGKILL')
  await first.process.ended
  for (const path of segmentsOf(join(dir.path, 'spool')).slice(-1)) rmSync(path)
  await using second = await startCollector({ dir: dir.path, args, port: first.port })
  const { delivered } = await totalsOf(second)
  await until(async () => (await totalsOf(second)).delivered > delivered + 500, { what: 'it goes on' })
  const logged = await stopSteady(app)
  const { totals } = await settled(second, logged)
  const { missing, twice } = missingAndTwice(second.lines('steady'), logged)
  expect(twice).toBe('')
  // What had been acknowledged counts as not durable: the files have it. What was not written yet when it was killed is
  // missing, milliseconds of it; nobody can tell it from the rest any more.
  expect(totals).toMatchObject({ accepted: logged, delivered: logged })
  expect(totals.notDurable).toBeGreaterThan(0)
  const missingCount = logged - new Set(numbersOf(second.lines('steady'))).size
  expect(missingCount, missing).toBeLessThan(500)
})

test('a spool on a file system that is read-only at the start: what it holds is written, what comes counts as not durable, until it can be written', async () => {
  await using dir = await tempDir()
  await using disk = await smallFileSystem(65_536)
  const args = configFor(dir.path, { spoolDir: join(disk.path, 'spool') })
  const blocker = join(dir.path, 'logs')
  writeFileSync(blocker, 'in the way')
  const first = await startCollector({ dir: dir.path, args })
  await using app = await startSteady(first, { padBytes: 200 })
  await until(async () => (await totalsOf(first)).pending > 500, { what: 'records wait in the spool' })
  first.process.kill('SIGKILL')
  await first.process.ended
  disk.setReadOnly(true)
  rmSync(blocker)
  await using second = await startCollector({ dir: dir.path, args, port: first.port })
  await until(async () => (await totalsOf(second)).notDurable > 500, { what: 'records count as not durable' })
  expect((await second.status()).spool.error).toMatch(/EROFS/)
  expect(second.lines('steady').length).toBeGreaterThan(1_000)
  disk.setReadOnly(false)
  await until(async () => (await second.status()).spool.error === undefined, { what: 'the error is gone' })
  const logged = await stopSteady(app)
  expect((await settled(second, logged)).totals).toMatchObject({ accepted: logged, delivered: logged })
  expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
  expect(statSync(join(disk.path, 'spool')).isDirectory()).toBe(true)
})

/** What happens to the files under a running collector, and what becomes of the records meanwhile. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openFilesMax, sinkCrowdedBytes } from '../../wire/limits.ts'
import { logTopic } from '../../wire/topic.ts'
import { keptLines, type RunningProcess, root, startCollector, startNode, type TestCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'
import { smallDisks } from './small-disk.ts'

const topic = logTopic('info', 'hand')
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)
const numbers = (lines: readonly string[]) => lines.map((line) => (JSON.parse(line) as { n: number }).n)

async function steady(collector: TestCollector, args: readonly string[] = []): Promise<RunningProcess> {
  const app = startNode([join(root, 'test/collector/apps/steady.mjs'), 'steady', ...args], { env: collector.env })
  await app.says(/ready/)
  return app
}

/** Ends the application and returns how many lines it has logged. */
async function stopSteady(app: RunningProcess): Promise<number> {
  app.kill('SIGTERM')
  expect((await app.ended).code).toBe(0)
  return Number(/logged (\d+)/.exec(app.stdout)?.[1])
}

const sinkError = async (collector: TestCollector) => (await collector.status()).sinks['files']?.error
const today = () => new Date().toISOString().slice(0, 10)

describe('lines', () => {
  test('are kept byte for byte, whatever their text and length; nothing but kept lines ends in .ndjson', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    const lines = [
      '{"msg":"grüße 世界 🎉 \\u001b"}',
      `{"msg":"${'é'.repeat(32_000)}"}`,
      '{"a":1}\r',
      '',
      '\u0007\u202e',
      JSON.stringify({ msg: 'x'.repeat(65_000) }),
    ]
    await agent.lines(topic, 0, lines)
    await until(() => collector.lines('hand').length === lines.length, { what: 'the lines are kept' })
    expect(readFileSync(join(collector.dir, 'logs', 'hand', `${today()}.ndjson`))).toEqual(
      Buffer.from(lines.map((line) => `${line}\n`).join('')),
    )
    const all = readdirSync(collector.dir, { recursive: true, encoding: 'utf8' })
    expect(all.filter((name) => name.endsWith('.ndjson'))).toEqual([join('logs', 'hand', `${today()}.ndjson`)])
  })

  test('of hostile services stay under the folder', async () => {
    await using parent = await tempDir()
    await using collector = await startCollector({ dir: join(parent.path, 'data') })
    await using agent = await HandMadeAgent.connect(collector)
    const services = ['..', '../..', '/etc', '.', '', 'a\0b', 'x'.repeat(300), 'ünï/cödé', 'CON', 'a/../../b']
    for (const service of services) await agent.lines(logTopic('info', service), 0, [JSON.stringify({ service })])
    await until(async () => (await collector.status()).totals.delivered === services.length, { what: 'all lines are delivered' })
    expect(readdirSync(parent.path)).toEqual(['data'])
    expect(readdirSync(collector.dir).sort()).toEqual(['collector.lock', 'logs', 'spool'])
    const folders = readdirSync(join(collector.dir, 'logs'))
    expect(folders).toHaveLength(services.length)
    const kept = folders.flatMap((folder) => keptLines(join(collector.dir, 'logs', folder)))
    expect(kept.sort()).toEqual(services.map((service) => JSON.stringify({ service })).sort())
  })

  test('follow what an earlier run has kept, with what a crash tore off cut away', async () => {
    await using dir = await tempDir()
    mkdirSync(join(dir.path, 'logs', 'hand'), { recursive: true })
    writeFileSync(join(dir.path, 'logs', 'hand', `${today()}.ndjson`), '{"old":1}\n{"tor')
    await using collector = await startCollector({ dir: dir.path })
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(topic, 0, ['{"new":1}'])
    await until(() => collector.lines('hand').length === 2, { what: 'the line is kept' })
    expect(collector.lines('hand')).toEqual(['{"old":1}', '{"new":1}'])
  })

  test.skipIf(process.platform !== 'linux')('of three hundred services at once are all kept, under the cap of open files', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    let openMost = 0
    const open = () =>
      readdirSync(`/proc/${collector.process.pid}/fd`).filter((fd) =>
        readLink(`/proc/${collector.process.pid}/fd/${fd}`).endsWith('.ndjson'),
      ).length
    const rounds = 5
    for (let round = 0; round < rounds; round += 1) {
      for (let i = 0; i < 300; i += 1) {
        // An origin may number 256 topics; so there are three.
        await agent.lines(logTopic('info', `s${i}`), round, [`${round} of ${i}`], `origin-${String(i % 3).padStart(9, '0')}`)
        if (i % 20 === 0) openMost = Math.max(openMost, open())
      }
      await until(
        async () => {
          openMost = Math.max(openMost, open())
          return (await collector.status()).totals.delivered === 300 * (round + 1)
        },
        { what: 'the round is delivered' },
      )
    }
    expect(openMost).toBeGreaterThan(openFilesMax / 2)
    expect(openMost).toBeLessThanOrEqual(openFilesMax)
    for (let i = 0; i < 300; i += 1) expect(collector.lines(`s${i}`)).toEqual(upTo(rounds).map((round) => `${round} of ${i}`))
  })
})

describe('a file that', () => {
  test('is moved under load and reopened with SIGHUP: no line is lost, split or doubled', async () => {
    await using collector = await startCollector()
    await using app = await steady(collector)
    const folder = join(collector.dir, 'logs', 'steady')
    const current = join(folder, `${today()}.ndjson`)
    const moves = 8
    for (let i = 1; i <= moves; i += 1) {
      await until(() => existsSync(current) && readFileSync(current).length > 2_000, { what: 'lines are kept under the name' })
      renameSync(current, join(folder, `moved-${i}`))
      collector.process.kill('SIGHUP')
    }
    const logged = await stopSteady(app)
    await until(async () => (await collector.status()).totals.delivered === logged, { what: 'everything is delivered' })
    const texts = [...upTo(moves).map((i) => `moved-${i + 1}`), `${today()}.ndjson`].map((name) => readFileSync(join(folder, name), 'utf8'))
    for (const text of texts) expect(text.endsWith('\n')).toBe(true)
    expect(numbers(texts.join('').split('\n').slice(0, -1))).toEqual(upTo(logged))
  })

  test('is deleted with all its folders: it is made anew, and what comes after is kept', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(topic, 0, ['before'])
    await until(() => collector.lines('hand').length === 1, { what: 'the line is kept' })
    rmSync(join(collector.dir, 'logs'), { recursive: true })
    await agent.lines(topic, 1, ['after', 'and more'])
    await until(() => collector.lines('hand').length === 2, { what: 'the lines are kept' })
    expect(collector.lines('hand')).toEqual(['after', 'and more'])
    await until(async () => (await collector.status()).totals.delivered === 3, { what: 'all is delivered' })
  })

  test('is a symlink: its target is not touched, status says so, other services are kept and acknowledged', async () => {
    await using collector = await startCollector()
    const target = join(collector.dir, 'target')
    const link = join(collector.dir, 'logs', 'hand', `${today()}.ndjson`)
    writeFileSync(target, 'precious')
    mkdirSync(join(collector.dir, 'logs', 'hand'), { recursive: true })
    symlinkSync(target, link)
    await using agent = await HandMadeAgent.connect(collector)
    const other = logTopic('info', 'other')
    await agent.manifest({ topics: { [topic]: { lead: 0 }, [other]: { lead: 0 } } })
    for (let n = 0; n < 20; n += 1) {
      await agent.lines(topic, n, [`{"n":${n}}`])
      await agent.lines(other, n, [`{"n":${n}}`])
    }
    await until(() => agent.acknowledged(other) === 20, { what: 'the other service is acknowledged' })
    await until(() => sinkError(collector), { what: 'the error is shown' })
    // The spool holds them.
    await until(() => agent.acknowledged(topic) === 20, { what: 'the stuck service is acknowledged too' })
    expect(await sinkError(collector)).toMatch(/ELOOP/)
    expect(readFileSync(target, 'utf8')).toBe('precious')
    await until(async () => (await collector.status()).totals.pending === 20, { what: 'the other service is delivered' })
    expect((await collector.status()).totals).toMatchObject({ accepted: 40, delivered: 20, inFlight: 20, pending: 20, spooled: 40 })
    expect(collector.process.stderr.split('\n').filter((line) => line.includes('sink files'))).toHaveLength(1)
    // More than what slows the intake down when it merely waits to be written, and more than is held in memory.
    const large = Array<string>(10).fill('x'.repeat(6_000))
    const frames = Math.ceil((1.3 * sinkCrowdedBytes) / (10 * 6_001))
    for (let i = 0; i < frames; i += 1) await agent.lines(topic, 20 + 10 * i, large)
    const startedAtMs = performance.now()
    for (let n = 20; n < 1_020; n += 1) await agent.lines(other, n, [`{"n":${n}}`])
    await until(() => agent.acknowledged(other) === 1_020, { what: 'the other service goes on' })
    expect(performance.now() - startedAtMs).toBeLessThan(10_000)
    await until(() => agent.acknowledged(topic) === 20 + 10 * frames, { what: 'the stuck service goes on' })
    rmSync(link)
    expect(numbers((await collector.kept('hand', 20 + 10 * frames)).slice(0, 20))).toEqual(upTo(20))
    expect(collector.lines('hand').slice(20)).toEqual(Array<string[]>(frames).fill(large).flat())
    await until(async () => (await collector.status()).totals.inFlight === 0, { what: 'all is delivered' })
    const { totals } = await collector.status()
    expect(totals).toMatchObject({ delivered: 20 + 10 * frames + 1_020, pending: 0, spooled: 20 + 10 * frames + 1_020 })
    expect(totals.lost).toEqual({})
    expect(await sinkError(collector)).toBeUndefined()
  })
})

describe('a disk that takes nothing', () => {
  test('the collector stays, says so, and when it takes again nothing is lost or doubled', async () => {
    await using dir = await tempDir()
    const blocker = join(dir.path, 'logs')
    writeFileSync(blocker, 'a file where the folder should be')
    await using collector = await startCollector({ dir: dir.path })
    await using app = await steady(collector)
    const error = await until(() => sinkError(collector), { what: 'the error is shown' })
    expect(error).toMatch(/ENOTDIR|EEXIST/)
    await until(async () => (await collector.status()).totals.accepted > 1_000, { what: 'records come in all the same' })
    expect((await collector.status()).totals).toMatchObject({ delivered: 0, lost: {} })
    rmSync(blocker)
    await until(async () => (await collector.status()).totals.delivered > 1_000, { what: 'it writes again' })
    const logged = await stopSteady(app)
    await until(async () => (await collector.status()).totals.delivered === logged, { what: 'everything is delivered' })
    expect(numbers(collector.lines('steady'))).toEqual(upTo(logged))
    expect((await collector.status()).totals).toMatchObject({ accepted: logged, lost: {}, inFlight: 0 })
    expect(await sinkError(collector)).toBeUndefined()
    expect(collector.process.stderr).toMatch(/it keeps trying[\s\S]*writing again/)
    expect(collector.process.stderr.split('\n').length).toBeLessThan(5)
  })

  test.each(['goes on', 'is killed meanwhile', 'is stopped meanwhile'])(
    'what a file cannot take is acknowledged and pending, and in the file, once, when it can: the collector %s',
    async (how) => {
      await using dir = await tempDir()
      const blocker = join(dir.path, 'logs')
      writeFileSync(blocker, 'in the way')
      const first = await startCollector({ dir: dir.path })
      await using agent = await HandMadeAgent.connect(first)
      // Four times what is held in memory for a file that cannot be written.
      const frames = 160
      const perFrame = 10
      const line = (n: number) => `{"n":${n},"pad":"${'p'.repeat(6_500)}"}`
      const records = upTo(frames * perFrame)
      await agent.manifest({ topics: { [topic]: { lead: 0 } } })
      for (let at = 0; at < records.length; at += perFrame) await agent.lines(topic, at, records.slice(at, at + perFrame).map(line))
      await until(() => agent.acknowledged(topic) === records.length, { what: 'everything is acknowledged' })
      await until(() => sinkError(first), { what: 'the error is shown' })
      const held = { accepted: records.length, delivered: 0, pending: records.length, inFlight: records.length, spooled: records.length }
      expect((await first.status()).totals).toMatchObject(held)
      if (how !== 'goes on') {
        first.process.kill(how === 'is killed meanwhile' ? 'SIGKILL' : 'SIGTERM')
        await first.process.ended
      }
      await using collector = how === 'goes on' ? first : await startCollector({ dir: dir.path, port: first.port })
      expect((await collector.status()).totals).toMatchObject(held)
      await until(() => sinkError(collector), { what: 'the error is shown' })
      rmSync(blocker)
      await until(async () => (await collector.status()).totals.delivered === records.length, { what: 'everything is delivered' })
      expect(collector.lines('hand')).toEqual(records.map(line))
      const { totals } = await collector.status()
      expect(totals).toMatchObject({ accepted: records.length, delivered: records.length, pending: 0, inFlight: 0 })
      expect(totals.lost).toEqual({})
    },
  )

  test.each(smallDisks)('a full %s: whole lines only, and when there is room again everything, once, in order', async (_what, openDisk) => {
    await using disk = await openDisk(512)
    await using collector = await startCollector({ dir: disk.path })
    disk.limit(collector.process.pid)
    await using app = await steady(collector, ['5', '300'])
    const error = await until(() => sinkError(collector), { what: 'the disk is full' })
    expect(error).toMatch(disk.error)
    const { accepted, delivered } = (await collector.status()).totals
    await until(async () => (await collector.status()).totals.accepted > accepted + 1_000, { what: 'records come in all the same' })
    const kept = readFileSync(join(disk.path, 'logs', 'steady', `${today()}.ndjson`), 'utf8')
    expect(kept.endsWith('\n')).toBe(true)
    expect(kept.split('\n').length - 1).toBeGreaterThanOrEqual(delivered)
    disk.grow(65_536)
    await until(async () => (await collector.status()).totals.inFlight < 200, { what: 'it has caught up' })
    const logged = await stopSteady(app)
    await until(async () => (await collector.status()).totals.delivered === logged, { what: 'everything is delivered' })
    expect(numbers(collector.lines('steady'))).toEqual(upTo(logged))
    expect((await collector.status()).totals).toMatchObject({ accepted: logged, lost: {}, inFlight: 0 })
  })
})

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

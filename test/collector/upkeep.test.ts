/** What becomes of files nothing is written to any more, in a running collector: rotated, compressed, removed. */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { safeSegment } from '../../collector/sinks/log-path.ts'
import { logTopic } from '../../wire/topic.ts'
import { faultyDisk } from '../support/faulty-disk.ts'
import { keptFiles, root, startCollector, type TestCollector, tempDir, textOf } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeAgent } from './hand-made-agent.ts'
import { configFor, missingAndTwice, numbersOf, settled, startSteady, stopSteady, upTo } from './spooling.ts'

const topic = logTopic('info', 'steady')
const today = () => new Date().toISOString().slice(0, 10)
const filesOf = async (collector: TestCollector) => (await collector.status()).sinks['files']?.files
const rotatedIn = (folder: string) => readdirSync(folder).filter((name) => /\.\d+\.ndjson/.test(name))
const isDone = (folder: string) =>
  rotatedIn(folder).every((name) => name.endsWith('.gz')) && !readdirSync(folder).some((name) => name.endsWith('.tmp'))

/** Numbers of the lines; undefined when a file was removed or compressed between the look and the reading. */
function linesIfAll(collector: TestCollector): number[] | undefined {
  try {
    return numbersOf(collector.lines('steady'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

test('rotated files are compressed while lines come: all lines are there once, gzip reads them, and `current` is the newest', async () => {
  await using dir = await tempDir()
  await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { rotate: '64KiB', upkeep: 'compress: gzip' }) })
  await using app = await startSteady(collector)
  const folder = join(dir.path, 'logs', 'steady')
  await until(async () => ((await filesOf(collector))?.compressed ?? 0) >= 5, { what: 'some files are compressed', timeoutMs: 40_000 })
  const logged = await stopSteady(app)
  await settled(collector, logged)
  await until(() => isDone(folder), { what: 'all are compressed' })
  expect(missingAndTwice(collector.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
  const compressed = rotatedIn(folder)
  expect(compressed.length).toBeGreaterThan(5)
  execFileSync('gzip', ['--test', ...compressed.map((name) => join(folder, name))])
  for (const name of compressed) expect(statSync(join(folder, name)).mode & 0o777).toBe(0o640 & ~process.umask())
  expect(readlinkSync(join(folder, 'current'))).toBe(`${today()}.ndjson`)
  const status = await until(async () => ((await filesOf(collector))?.count === compressed.length + 1 ? filesOf(collector) : undefined), {
    what: 'the status counts them',
  })
  expect(status).toMatchObject({ rotated: compressed.length, compressed: compressed.length, removedBytes: 0 })
  const bytes = [...compressed, 'current'].reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
  expect(status?.bytes).toBe(bytes)
  const metrics = await (await fetch(`http://${collector.http}/metrics`)).text()
  expect(metrics).toContain(`spillway_collector_files_compressed_total{sink="files"} ${compressed.length}\n`)
})

describe('with a new file every second', () => {
  test('a file that gets no more lines is given a number and compressed by itself', async () => {
    await using dir = await tempDir()
    const sinks = `files: { type: file, path: '${dir.path}/logs/{service}.ndjson', rotate: { every: 1s }, compress: gzip }`
    await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { sinks }) })
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(topic, 0, ['{"n":0}'])
    const compressed = join(dir.path, 'logs', 'steady.1.ndjson.gz')
    await until(() => existsSync(compressed), { what: 'it is compressed' })
    expect(textOf(compressed)).toBe('{"n":0}\n')
    await agent.lines(topic, 1, ['{"n":1}'])
    await until(() => existsSync(join(dir.path, 'logs', 'steady.2.ndjson.gz')), { what: 'the next one is' })
    const left = ['steady.1.ndjson.gz', 'steady.2.ndjson.gz']
    await until(() => readdirSync(join(dir.path, 'logs')).sort().join() === left.join(), { what: 'nothing else is left' })
  })

  test('killed again and again, it writes every line once', async () => {
    await using dir = await tempDir()
    const args = configFor(dir.path, {
      sinks: `files: { type: file, path: '${dir.path}/logs/{service}/{date}.ndjson', rotate: { every: 1s }, compress: gzip }`,
    })
    let collector = await startCollector({ dir: dir.path, args })
    await using app = await startSteady(collector)
    const folder = join(dir.path, 'logs', 'steady')
    for (let kill = 1; kill <= 4; kill += 1) {
      const files = existsSync(folder) ? rotatedIn(folder).length : 0
      await until(() => existsSync(folder) && rotatedIn(folder).length >= files + 2, { what: 'two more files are rotated' })
      collector.process.kill('SIGKILL')
      await collector.process.ended
      collector = await startCollector({ dir: dir.path, args, port: collector.port })
    }
    await using last = collector
    const logged = await stopSteady(app)
    await settled(last, logged)
    await until(() => isDone(folder), { what: 'all are compressed' })
    expect(missingAndTwice(last.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
    expect(rotatedIn(folder).length).toBeGreaterThan(4)
  })
})

describe('what is left from before', () => {
  /** A folder with files of earlier days, and others that are none. */
  function oldFolder(dir: string, names: readonly string[]): string {
    const folder = join(dir, 'logs', 'steady')
    mkdirSync(folder, { recursive: true, mode: 0o750 })
    for (const [i, name] of names.entries()) {
      writeFileSync(join(folder, name), name.endsWith('.gz') ? gzipSync(`{"n":${i}}\n`) : `{"n":${i}}\n`)
      utimesSync(join(folder, name), 1_577_836_800 + i, 1_577_836_800 + i)
    }
    return folder
  }

  test('of earlier days is compressed, with its time, and what was broken off is done again', async () => {
    await using dir = await tempDir()
    const names = [
      '2020-01-01.ndjson',
      '2020-01-02.1.ndjson',
      '2020-01-02.1.ndjson.gz',
      '2020-01-02.2.ndjson.gz.tmp',
      '2020-01-03.4.ndjson.gz',
    ]
    const folder = oldFolder(dir.path, names)
    const later = readFileSync(join(folder, '2020-01-03.4.ndjson.gz'))
    await using _collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { upkeep: 'compress: gzip' }) })
    const left = ['2020-01-01.1.ndjson.gz', '2020-01-02.1.ndjson.gz', '2020-01-03.4.ndjson.gz']
    await until(() => readdirSync(folder).sort().join() === left.join(), { what: 'all is compressed' })
    expect(left.map((name) => textOf(join(folder, name)))).toEqual(['{"n":0}\n', '{"n":1}\n', '{"n":4}\n'])
    expect(left.map((name) => statSync(join(folder, name)).mtimeMs / 1_000)).toEqual([0, 1, 4].map((i) => 1_577_836_800 + i))
    expect(readFileSync(join(folder, '2020-01-03.4.ndjson.gz'))).toEqual(later)
  })

  test('and is too old is removed, told and counted; its index, its folder and its link go too; what is not ours stays', async () => {
    await using dir = await tempDir()
    const ours = ['2020-01-01.1.ndjson.gz', '2020-01-02.3.ndjson', '2020-01-03.ndjson']
    const foreign = ['2020-01-01.ndjson.1', '2020-01-01.ndjson.gz', 'notes.txt', 'x-2020-01-01.1.ndjson', '2020-01-01.1.ndjson.bak']
    const folder = oldFolder(dir.path, [...ours, ...foreign, '.2020-01-01.1.ndjson.gz.index'])
    const gone = join(dir.path, 'logs', 'gone')
    mkdirSync(gone, { mode: 0o750 })
    writeFileSync(join(gone, '2020-01-01.ndjson'), '{}\n')
    utimesSync(join(gone, '2020-01-01.ndjson'), 1_577_836_800, 1_577_836_800)
    symlinkSync('2020-01-01.ndjson', join(gone, 'current'))
    // Named like ours, and no plain files.
    mkdirSync(join(folder, '2020-02-01.1.ndjson'))
    symlinkSync('notes.txt', join(folder, '2020-02-02.1.ndjson'))
    await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { upkeep: 'keep: { days: 14 }' }) })
    await until(() => !existsSync(gone), { what: 'the folder that is empty is removed' })
    await until(() => ours.every((name) => !existsSync(join(folder, name))), { what: 'the files are removed' })
    expect(readdirSync(folder).sort()).toEqual([...foreign, '2020-02-01.1.ndjson', '2020-02-02.1.ndjson'].sort())
    await until(async () => (await filesOf(collector))?.removed.age === 4, { what: 'they are counted' })
    await collector.process.says(/sink files: removed \d files?, \d+ B, older than 14 d 0 h: \S+/)
  })
})

describe('of files that are closed', () => {
  const bounds = [
    ['files', 'keep: { files: 3 }', /removed \d+ files?, .*, more than 3 of a stream: \S+\.\d+\.ndjson/],
    ['bytes', 'keep: { bytes: 200KiB }', /removed \d+ files?, .*, more than 200 KiB in all: \S+\.\d+\.ndjson/],
    // More than any disk has free.
    ['free', 'keep: { free: 900TiB }', /less than 900 TiB of the disk were free: \S+\.\d+\.ndjson/],
    ['age', 'keep: { age: 1s }', /older than 1 s: \S+\.\d+\.ndjson/],
  ] as const

  test.each(bounds)(
    'the oldest are removed by %s, also after a kill, and never the one that is written to',
    async (reason, upkeep, told) => {
      await using dir = await tempDir()
      const args = configFor(dir.path, { rotate: '32KiB', upkeep })
      const crashing = { nodeArgs: ['--import', join(root, 'test/support/crash-at.mjs')], env: { SPILLWAY_TEST_CRASH: 'before-removal:5' } }
      const first = await startCollector({ dir: dir.path, args, ...crashing })
      await using app = await startSteady(first)
      const end = await until(() => first.process.end, { what: 'some are removed', timeoutMs: 40_000 })
      expect(end).toEqual({ code: null, signal: 'SIGKILL' })
      await using second = await startCollector({ dir: dir.path, args, port: first.port })
      await until(async () => ((await filesOf(second))?.removed[reason] ?? 0) >= 3, { what: 'files are removed', timeoutMs: 40_000 })
      await until(() => told.test(second.process.stderr), { what: 'it is told' })
      const logged = await stopSteady(app)
      const { totals } = await settled(second, logged)
      expect(totals).toMatchObject({ delivered: logged, pending: 0 })
      // What is left are the last lines, each once. More may be removed while they are read.
      const left = await until(() => linesIfAll(second), { what: 'the files are read' })
      expect(left.length).toBeGreaterThan(0)
      expect(left).toEqual(upTo(left.length).map((i) => logged - left.length + i))
      const metrics = await (await fetch(`http://${second.http}/metrics`)).text()
      expect(metrics).toMatch(new RegExp(`files_removed_total\\{sink="files",reason="${reason}"\\} [1-9]`))
    },
  )

  test('one that somebody reads stays readable to its end, though it is compressed and removed meanwhile', async () => {
    await using dir = await tempDir()
    const args = configFor(dir.path, { rotate: '32KiB', upkeep: 'compress: gzip, keep: { files: 1 }' })
    await using collector = await startCollector({ dir: dir.path, args })
    await using app = await startSteady(collector)
    const folder = join(dir.path, 'logs', 'steady')
    const path = await until(() => existsSync(folder) && keptFiles(folder).find((name) => name.endsWith(`${today()}.ndjson`)), {
      what: 'there is a file',
    })
    const file = openSync(join(folder, path), 'r')
    const before = numbersOf(readFileSync(file, 'utf8').split('\n').slice(0, -1))
    await until(async () => ((await filesOf(collector))?.removed.files ?? 0) >= 3, { what: 'files are removed', timeoutMs: 40_000 })
    const all = [...before, ...numbersOf(readFileSync(file, 'utf8').split('\n').slice(0, -1))]
    expect(all.length).toBeGreaterThan(20)
    expect(all).toEqual(all.map((_, i) => (all[0] ?? 0) + i))
    await stopSteady(app)
  })
})

test('while the spool cannot keep that they are not needed, no file is compressed or removed', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { rotate: '32KiB', upkeep: 'compress: gzip' })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  await using app = await startSteady(collector)
  await until(async () => ((await filesOf(collector))?.compressed ?? 0) >= 1, { what: 'files are compressed' })
  disk.set(['sync', join(dir.path, 'spool'), 'EIO'])
  await until(async () => (await collector.status()).spool.error, { what: 'the spool fails' })
  // What is under way goes on to its end.
  let compressed = -1
  let rotated = 0
  await until(
    async () => {
      const files = await filesOf(collector)
      if (files?.compressed !== compressed) rotated = files?.rotated ?? 0
      compressed = files?.compressed ?? 0
      return (files?.rotated ?? 0) >= rotated + 10
    },
    { what: 'ten files are rotated and none is compressed', timeoutMs: 60_000 },
  )
  disk.set()
  await until(async () => ((await filesOf(collector))?.compressed ?? 0) > compressed, {
    what: 'files are compressed again',
    timeoutMs: 40_000,
  })
  const logged = await stopSteady(app)
  await settled(collector, logged)
  await until(() => isDone(join(dir.path, 'logs', 'steady')), { what: 'all are compressed' })
  expect(missingAndTwice(collector.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

test('two sinks whose names could meet keep to their own files', async () => {
  await using dir = await tempDir()
  const sinks = `all: { type: file, path: '${dir.path}/logs/{service}/{date}.ndjson', rotate: { size: 1KiB }, keep: { files: 1 } },
    errors: { type: file, topics: ['log.error.>'], path: '${dir.path}/logs/errors/{date}.ndjson', rotate: { size: 1KiB } }`
  await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { sinks }) })
  await using agent = await HandMadeAgent.connect(collector)
  const hostile = logTopic('error', 'errors')
  for (let n = 0; n < 50; n += 1) await agent.lines(hostile, n, [`{"n":${n},"pad":"${'x'.repeat(200)}"}`])
  await until(async () => ((await collector.status()).sinks['all']?.files?.removed.files ?? 0) > 3, { what: 'files are removed' })
  await until(async () => (await collector.status()).totals.delivered === 50, { what: 'all is delivered' })
  expect(numbersOf(collector.lines('errors'))).toEqual(upTo(50))
  const own = numbersOf(collector.lines('%_1errors'))
  expect(own).toEqual(own.map((_, i) => 50 - own.length + i))
})

test('a file that is larger than what is compressed at a time is whole', async () => {
  await using dir = await tempDir()
  const args = configFor(dir.path, { rotate: '3MiB', upkeep: 'compress: gzip' })
  await using collector = await startCollector({ dir: dir.path, args })
  await using app = await startSteady(collector, { perTick: 20, padBytes: 2_000 })
  const folder = join(dir.path, 'logs', 'steady')
  const path = await until(() => existsSync(folder) && rotatedIn(folder).find((name) => name.endsWith('.gz')), {
    what: 'one is compressed',
  })
  const bytes = readFileSync(join(folder, path))
  expect(numbersOf(gunzipSync(bytes).toString().split('\n').slice(0, -1))).toEqual(
    upTo(gunzipSync(bytes).toString().split('\n').length - 1),
  )
  await stopSteady(app)
})

test('with the host in the path, a collector that is killed writes every line once, where it belongs', async () => {
  await using dir = await tempDir()
  const sinks = `files: { type: file, path: '${dir.path}/logs/{service}/{host}-{date}T{hour}.ndjson', rotate: { size: 64KiB } }`
  const args = configFor(dir.path, { sinks })
  const first = await startCollector({ dir: dir.path, args })
  await using app = await startSteady(first)
  await until(async () => (await first.status()).totals.delivered > 500, { what: 'lines are delivered' })
  first.process.kill('SIGKILL')
  await first.process.ended
  await using second = await startCollector({ dir: dir.path, args, port: first.port })
  await until(async () => (await second.status()).totals.delivered > 1_000, { what: 'it goes on' })
  const logged = await stopSteady(app)
  await settled(second, logged)
  const folder = join(dir.path, 'logs', 'steady')
  expect(readlinkSync(join(folder, `current-${safeSegment(hostname())}`))).toMatch(/T\d\d\.ndjson$/)
  expect(keptFiles(folder).every((name) => name.startsWith(`${safeSegment(hostname())}-`))).toBe(true)
  expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

test('a folder that cannot be opened is told; the lines wait, and follow when it can', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { rotate: '64KiB', upkeep: 'compress: gzip, keep: { days: 1 }' })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  await using app = await startSteady(collector)
  await until(async () => ((await filesOf(collector))?.compressed ?? 0) > 0, { what: 'files are kept' })
  disk.set(['open', join(dir.path, 'logs'), 'EIO'])
  await until(async () => (await collector.status()).sinks['files']?.error, { what: 'the error is shown' })
  expect(collector.process.stderr).toMatch(/sink files: EIO/)
  disk.set()
  await until(async () => (await collector.status()).sinks['files']?.error === undefined, { what: 'the error is gone' })
  const logged = await stopSteady(app)
  await settled(collector, logged)
  await until(() => isDone(join(dir.path, 'logs', 'steady')), { what: 'all are compressed' })
  expect(missingAndTwice(collector.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

test('while the disk does not take rotated files, that is told and none is compressed; then nothing is missing or twice', async () => {
  await using dir = await tempDir()
  await using disk = await faultyDisk()
  const args = configFor(dir.path, { rotate: '32KiB', upkeep: 'compress: gzip' })
  await using collector = await startCollector({ dir: dir.path, args, env: disk.env })
  await using app = await startSteady(collector)
  await until(async () => ((await filesOf(collector))?.compressed ?? 0) >= 1, { what: 'files are compressed' })
  disk.set(['sync', join(dir.path, 'logs'), 'EIO'])
  await until(async () => (await collector.status()).sinks['files']?.error, { what: 'the error is shown', timeoutMs: 40_000 })
  const { delivered } = (await collector.status()).totals
  disk.set()
  await until(async () => (await collector.status()).totals.delivered > delivered + 500, { what: 'it goes on', timeoutMs: 40_000 })
  await until(async () => (await collector.status()).sinks['files']?.error === undefined, { what: 'the error is gone', timeoutMs: 40_000 })
  const logged = await stopSteady(app)
  const { totals } = await settled(collector, logged)
  expect(totals).toMatchObject({ delivered: logged, rejected: 0, expired: 0 })
  await until(() => isDone(join(dir.path, 'logs', 'steady')), { what: 'all are compressed' })
  expect(missingAndTwice(collector.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

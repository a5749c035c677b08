/** What others can put into the folder of a sink, and how time turns its files. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FileSink } from '../../../collector/sinks/file-sink.ts'
import { LogPath, type LogPathOptions } from '../../../collector/sinks/log-path.ts'
import type { Entry } from '../../../collector/sinks/sink.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { distinctFilesMax, openFilesMax } from '../../../wire/limits.ts'
import { compilePatterns } from '../../../wire/pattern.ts'
import { logTopic } from '../../../wire/topic.ts'
import { tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

function sinkAt(template: string, options: LogPathOptions = {}) {
  const troubles: string[] = []
  const sink = new FileSink({
    name: 'files',
    topics: ['log.>'],
    patterns: compilePatterns(['log.>']),
    path: new LogPath(template, options),
    rotateBytes: 1e9,
    onTrouble: (message) => troubles.push(message),
  })
  let end = 0
  const write = (service: string, line: string, receivedAtMs = Date.now(), host?: string) => {
    const lines = Buffer.from(`${line}\n`)
    const entry: Entry = {
      position: end,
      end: end + lines.length,
      topic: logTopic('info', service),
      kind: frameKinds.lines,
      origin: 'origin',
      seq: 0,
      timeMs: 0,
      lines,
      count: 1,
      receivedAtMs,
      host,
      isSpooled: true,
    }
    end = entry.end
    sink.write(entry)
  }
  const flushed = () => until(() => sink.pendingBytes === 0, { what: 'everything is written', everyMs: 1 })
  return { sink, troubles, write, flushed }
}

describe('somebody else has put there', () => {
  test('a link in place of a folder: nothing is written through it, the others go on, and all follows when it is gone', async () => {
    await using dir = await tempDir()
    const elsewhere = join(dir.path, 'elsewhere')
    const logs = join(dir.path, 'logs')
    for (const folder of [elsewhere, logs]) mkdirSync(folder)
    symlinkSync(elsewhere, join(logs, 'shop'))
    const { sink, troubles, write, flushed } = sinkAt(join(logs, '{service}', 'a.ndjson'))
    write('shop', 'one')
    write('other', 'two')
    await until(() => troubles.length > 0 && sink.status().written === 1, { what: 'it is told and the other is written' })
    expect(troubles[0]).toMatch(/^sink files: \S+shop is a link; log files are kept in folders only/)
    expect(readdirSync(elsewhere)).toEqual([])
    rmSync(join(logs, 'shop'))
    await flushed()
    expect(readFileSync(join(logs, 'shop', 'a.ndjson'), 'utf8')).toBe('one\n')
    await sink.close(1_000)
  })

  test('the root may be a link: that is for whoever configures it', async () => {
    await using dir = await tempDir()
    mkdirSync(join(dir.path, 'disk'))
    symlinkSync('disk', join(dir.path, 'logs'))
    const { sink, write, flushed } = sinkAt(join(dir.path, 'logs', '{service}', 'a.ndjson'))
    write('shop', 'one')
    await flushed()
    expect(readFileSync(join(dir.path, 'disk', 'shop', 'a.ndjson'), 'utf8')).toBe('one\n')
    await sink.close(1_000)
  })

  // Only root can give files away.
  test.skipIf(process.getuid?.() !== 0)(
    'a file of his own: nothing is written into it; one of the owner of the folder is fine',
    async () => {
      await using dir = await tempDir()
      const path = join(dir.path, 'a.ndjson')
      writeFileSync(path, '')
      chownSync(path, 12_345, 12_345)
      const { sink, troubles, write, flushed } = sinkAt(path)
      write('shop', 'one')
      await until(() => troubles.length > 0, { what: 'it is told' })
      expect(troubles[0]).toMatch(/a\.ndjson belongs to user 12345, neither to user 0 nor to the owner of its folder; move it away/)
      expect(readFileSync(path, 'utf8')).toBe('')
      chownSync(dir.path, 12_345, 12_345)
      await flushed()
      expect(readFileSync(path, 'utf8')).toBe('one\n')
      await sink.close(1_000)
    },
  )

  test.each(['folder', 'file'])('a %s called like the link: it stays, that is told once, and lines are kept', async (what) => {
    await using dir = await tempDir()
    const link = join(dir.path, 'shop', 'current')
    mkdirSync(join(dir.path, 'shop'))
    if (what === 'folder') mkdirSync(link)
    else writeFileSync(link, 'precious')
    const { sink, troubles, write, flushed } = sinkAt(join(dir.path, '{service}', '{date}.ndjson'))
    write('shop', 'one')
    await flushed()
    sink.reopen()
    write('shop', 'two')
    await flushed()
    expect(troubles).toEqual([`sink files: ${link} is no link, and stays as it is`])
    expect(lstatSync(link).isSymbolicLink()).toBe(false)
    await sink.close(1_000)
  })
})

test.each([
  [0o777, /^sink files: \S+ can be written by everybody \(mode 777\), who can change and remove what is kept there; chmod go-w /],
  [0o770, /^sink files: \S+ can be written by its group \(mode 770\)/],
])('a root of mode %o is told, once', async (mode, message) => {
  await using dir = await tempDir()
  const logs = join(dir.path, 'logs')
  mkdirSync(logs)
  chmodSync(logs, mode)
  const { sink, troubles, write, flushed } = sinkAt(join(logs, '{service}', 'a.ndjson'))
  await sink.restore([], 0)
  await until(() => troubles.length > 0, { what: 'it is told' })
  write('shop', 'one')
  await flushed()
  expect(troubles).toEqual([expect.stringMatching(message)])
  expect(sink.status().files?.error).toMatch(/can be written by/)
  await sink.close(1_000)
})

test('a root that is no folder is told, by whoever writes and whoever looks after files; when it can be made, all is well', async () => {
  await using dir = await tempDir()
  const logs = join(dir.path, 'logs')
  writeFileSync(logs, '')
  const { sink, troubles, write, flushed } = sinkAt(join(logs, '{service}', 'a.ndjson'))
  await sink.restore([], 0)
  write('shop', 'one')
  await until(() => sink.status().error, { what: 'writing fails' })
  await until(() => sink.status().files?.error, { what: 'looking fails' })
  expect(troubles.length).toBe(2)
  expect(troubles.some((message) => message.includes('ENOTDIR'))).toBe(true)
  rmSync(logs)
  await flushed()
  await until(() => sink.status().files?.error === undefined, { what: 'looking works' })
  expect(sink.status()).toMatchObject({ written: 1, error: undefined, files: { count: 1, bytes: 4 } })
  await sink.close(1_000)
})

test('more names than there may be files: the rest shares one, and none of it is lost', async () => {
  await using dir = await tempDir()
  const { sink, write, flushed } = sinkAt(join(dir.path, '{service}.ndjson'))
  const path = new LogPath(join(dir.path, '{service}.ndjson'))
  for (let n = 0; n < distinctFilesMax - 3; n += 1) path.remember(join(dir.path, `s${n}.ndjson`))
  for (let n = 0; n < distinctFilesMax - 3; n += 1) writeFileSync(join(dir.path, `s${n}.ndjson`), '')
  await sink.restore([], 0)
  for (let n = 0; n < 50; n += 1) write(`new${n}`, `${n}`)
  await flushed()
  expect(readdirSync(dir.path).length).toBe(distinctFilesMax + 1)
  expect(readFileSync(join(dir.path, '%_other.ndjson'), 'utf8')).toBe(Array.from({ length: 47 }, (_, i) => `${i + 3}\n`).join(''))
  expect(openFilesMax).toBeLessThan(distinctFilesMax)
  await sink.close(1_000)
})

describe('time', () => {
  const startMs = Date.UTC(2026, 4, 31, 12)
  const names = (folder: string) =>
    readdirSync(folder)
      .filter((name) => name !== 'current')
      .sort()

  test('turns the file exactly between two periods, however the lines are written', async () => {
    await using dir = await tempDir()
    const { sink, write, flushed } = sinkAt(join(dir.path, 'a.ndjson'), { every: 'hour' })
    for (let minute = 0; minute < 240; minute += 7) write('shop', String(minute), startMs + minute * 60_000)
    await flushed()
    await sink.close(1_000)
    expect(names(dir.path)).toEqual(['a.1.ndjson', 'a.2.ndjson', 'a.3.ndjson', 'a.ndjson'])
    for (const [i, name] of names(dir.path).entries()) {
      const minutes = readFileSync(join(dir.path, name), 'utf8').trim().split('\n').map(Number)
      expect(minutes).toEqual(Array.from({ length: 240 }, (_, minute) => minute).filter((m) => m % 7 === 0 && Math.floor(m / 60) === i))
    }
  })

  test('that goes back turns nothing: what comes late follows in the file there is', async () => {
    await using dir = await tempDir()
    const { sink, write, flushed } = sinkAt(join(dir.path, 'a.ndjson'), { every: 'hour' })
    for (const hour of [1, 0, 1, 2]) write('shop', String(hour), startMs + hour * 3_600_000)
    await flushed()
    await sink.close(1_000)
    expect(readFileSync(join(dir.path, 'a.1.ndjson'), 'utf8')).toBe('1\n0\n1\n')
    expect(readFileSync(join(dir.path, 'a.ndjson'), 'utf8')).toBe('2\n')
  })

  test('after a restart, the file of an earlier period is not gone on with', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    writeFileSync(path, 'before\n')
    const { sink, write, flushed } = sinkAt(path, { every: 'hour' })
    write('shop', 'after', Date.now() + 3_600_000)
    await flushed()
    await sink.close(1_000)
    expect(readFileSync(join(dir.path, 'a.1.ndjson'), 'utf8')).toBe('before\n')
    expect(readFileSync(path, 'utf8')).toBe('after\n')
  })

  test('moves the link on, never back', async () => {
    await using dir = await tempDir()
    const { sink, write, flushed } = sinkAt(join(dir.path, '{service}', '{date}T{hour}.ndjson'))
    const link = join(dir.path, 'shop', 'current')
    const target: string[] = []
    for (const hour of [1, 0, 2]) {
      write('shop', String(hour), startMs + hour * 3_600_000)
      await flushed()
      target.push(readlinkSync(link))
    }
    expect(target).toEqual(['2026-05-31T13.ndjson', '2026-05-31T13.ndjson', '2026-05-31T14.ndjson'])
    expect(existsSync(`${link}.tmp`)).toBe(false)
    await sink.close(1_000)
  })
})

test('the host decides about the file, and one that is not known is `unknown`', async () => {
  await using dir = await tempDir()
  const { sink, write, flushed } = sinkAt(join(dir.path, '{host}', '{service}.ndjson'))
  write('shop', 'one', Date.now(), 'web-1')
  write('shop', 'two', Date.now(), '../../etc')
  write('shop', 'three')
  await flushed()
  await sink.close(1_000)
  expect(readdirSync(dir.path).sort()).toEqual(['%2E%2E%2F.%2E%2Fetc', 'unknown', 'web-1'])
  expect(readFileSync(join(dir.path, 'web-1', 'shop.ndjson'), 'utf8')).toBe('one\n')
  expect(readFileSync(join(dir.path, 'unknown', 'shop.ndjson'), 'utf8')).toBe('three\n')
})

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ClosingFile } from '../../../collector/sinks/closing-files.ts'
import { LogFile } from '../../../collector/sinks/log-file.ts'
import type { Entry, LostRecords } from '../../../collector/sinks/sink.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { recordBytesMax } from '../../../wire/limits.ts'
import { logTopic } from '../../../wire/topic.ts'
import { tempDir } from '../../support/processes.ts'
import { smallDisks } from '../small-disk.ts'
import { fileHandlePrototype } from '../spool/spool-in-test.ts'

const topic = logTopic('info', 'shop')
const large = 1e9

/** A file whose entries follow each other in the spool, each as long there as its lines. */
function logFile(path: string, rotateBytes: number = large, startOf?: (ms: number) => number) {
  const written = { bytes: 0, records: 0, lost: 0 }
  const events = {
    wrote(bytes: number) {
      written.bytes += bytes
    },
    done({ count }: Entry) {
      written.records += count
    },
    lost({ records }: LostRecords) {
      written.lost += records
    },
    note: async () => true,
    oldest: () => 0,
    newest: () => 0,
    opened: async () => undefined,
    closing: ({ handle }: ClosingFile) => handle.close(),
    rotated() {},
  }
  const file = new LogFile({ path, rotateBytes, startOf }, events)
  let end = 0
  const appendBytes = (lines: Buffer, count: number) => {
    const position = end
    end += lines.length
    file.append({
      position,
      end,
      topic,
      kind: frameKinds.lines,
      origin: 'origin-000000000',
      seq: 0,
      timeMs: 0,
      lines,
      count,
      receivedAtMs: 0,
      isSpooled: true,
    })
  }
  const append = (...lines: readonly string[]) => appendBytes(Buffer.from(lines.map((line) => `${line}\n`).join('')), lines.length)
  return { file, append, appendBytes, written }
}

test('keeps lines byte for byte, whatever is in them, in the order they came', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a.ndjson')
  const { file, append, appendBytes, written } = logFile(path)
  const lines = ['{"msg":"grüße, 世界 🎉"}', 'x'.repeat(recordBytesMax - 1), '', '\u0000\u001b[31m', '{"a":1}\r', 'y'.repeat(9_000)]
  const expected = Buffer.from(lines.map((line) => `${line}\n`).join(''))
  for (const line of lines) append(line)
  // No valid text, and still not ours to change.
  const bytes = Buffer.from([0xff, 0xfe, 0x80, 0x0a])
  appendBytes(bytes, 1)
  await file.flush()
  await file.close()
  expect(readFileSync(path)).toEqual(Buffer.concat([expected, bytes]))
  expect(written).toEqual({ bytes: expected.length + bytes.length, records: lines.length + 1, lost: 0 })
  expect(file.pendingBytes).toBe(0)
})

test('appends to what an earlier run has kept', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a.ndjson')
  for (const line of ['first', 'second']) {
    const { file, append } = logFile(path)
    append(line)
    await file.flush()
    await file.close()
  }
  expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n')
})

test('cuts a line torn by a crash at any of its bytes, and only that', async () => {
  await using dir = await tempDir()
  const whole = '{"n":1}\n{"n":2}\n'
  const last = '{"n":3,"msg":"ü"}\n'
  const bytes = Buffer.from(whole + last)
  for (let length = 0; length <= bytes.length; length += 1) {
    const path = join(dir.path, `${length}.ndjson`)
    writeFileSync(path, bytes.subarray(0, length))
    const { file, append } = logFile(path)
    append('new')
    await file.flush()
    await file.close()
    const kept = bytes.subarray(0, bytes.subarray(0, length).lastIndexOf(10) + 1)
    expect(readFileSync(path)).toEqual(Buffer.concat([kept, Buffer.from('new\n')]))
  }
})

test.each([recordBytesMax + 1, 1_048_576, 2 * 1_048_576])(
  'does not cut %d bytes without an end, which no crash of ours tore, and begins a line of its own behind them',
  async (bytes) => {
    await using dir = await tempDir()
    const path = join(dir.path, 'foreign')
    writeFileSync(path, 'z'.repeat(bytes))
    const { file, append } = logFile(path)
    append('new')
    await file.flush()
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe(`${'z'.repeat(bytes)}\nnew\n`)
  },
)

test('cuts the longest line a crash can tear, and keeps the one before it', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'torn')
  writeFileSync(path, `kept\n${'z'.repeat(recordBytesMax)}`)
  const { file, append } = logFile(path)
  append('new')
  await file.flush()
  await file.close()
  expect(readFileSync(path, 'utf8')).toBe('kept\nnew\n')
})

describe('rotation by size', () => {
  async function rotated(rotateBytes: number, lines: readonly string[], perFlush: number) {
    await using dir = await tempDir()
    const path = join(dir.path, '2026-03-01.ndjson')
    const { file, append } = logFile(path, rotateBytes)
    for (let i = 0; i < lines.length; i += perFlush) {
      append(...lines.slice(i, i + perFlush))
      await file.flush()
    }
    await file.close()
    const names = readdirSync(dir.path)
    const number = (name: string) => Number(/\.(\d+)\.ndjson$/.exec(name)?.[1] ?? Number.POSITIVE_INFINITY)
    names.sort((a, b) => number(a) - number(b))
    return { names, texts: names.map((name) => readFileSync(join(dir.path, name), 'utf8')) }
  }

  test.each([
    [1, 'one line at a time'],
    [7, 'a few lines at a time'],
    [1_000, 'all at once'],
  ])('splits no line, exceeds the size nowhere and keeps the order, %d per write (%s)', async (perFlush) => {
    const lines = Array.from({ length: 1_000 }, (_, n) => JSON.stringify({ n, pad: 'é'.repeat(n % 90) }))
    const { names, texts } = await rotated(4_096, lines, perFlush)
    expect(names.length).toBeGreaterThan(20)
    expect(names.slice(0, -1)).toEqual(names.slice(0, -1).map((_, i) => `2026-03-01.${i + 1}.ndjson`))
    expect(names.at(-1)).toBe('2026-03-01.ndjson')
    for (const text of texts) {
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096)
      expect(text.endsWith('\n')).toBe(true)
    }
    expect(texts.join('')).toBe(lines.map((line) => `${line}\n`).join(''))
  })

  test('gives a line longer than the size a file of its own', async () => {
    const lines = ['short', 'L'.repeat(5_000), 'M'.repeat(6_000), 'short again']
    const { texts } = await rotated(1_024, lines, 4)
    expect(texts).toEqual(lines.map((line) => `${line}\n`))
  })

  test('fills a file to its last byte, and no further', async () => {
    const line = 'x'.repeat(99)
    const { texts } = await rotated(
      1_000,
      Array.from({ length: 21 }, () => line),
      21,
    )
    expect(texts.map((text) => text.length)).toEqual([1_000, 1_000, 100])
  })

  test('goes on with the next free number after a restart, and writes over nothing', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'app.ndjson')
    writeFileSync(join(dir.path, 'app.7.ndjson'), 'old\n')
    writeFileSync(join(dir.path, 'app.x.ndjson'), 'other\n')
    writeFileSync(path, `${'a'.repeat(1_020)}\n`)
    const { file, append } = logFile(path, 1_024)
    append('bbbbbb')
    await file.flush()
    await file.close()
    expect(readFileSync(join(dir.path, 'app.8.ndjson'), 'utf8')).toBe(`${'a'.repeat(1_020)}\n`)
    expect(readFileSync(path, 'utf8')).toBe('bbbbbb\n')
    expect(readFileSync(join(dir.path, 'app.7.ndjson'), 'utf8')).toBe('old\n')
  })
})

describe('what others do to the file', () => {
  test('a symlink at the path is refused and its target stays as it was', async () => {
    await using dir = await tempDir()
    const target = join(dir.path, 'target')
    const path = join(dir.path, 'a.ndjson')
    writeFileSync(target, 'precious')
    symlinkSync(target, path)
    const { file, append, written } = logFile(path)
    append('line')
    await expect(file.flush()).rejects.toThrow(/ELOOP/)
    expect(readFileSync(target, 'utf8')).toBe('precious')
    expect(written).toEqual({ bytes: 0, records: 0, lost: 0 })
    rmSync(path)
    await file.flush()
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('line\n')
  })

  test('a folder at the path is refused', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    mkdirSync(path)
    const { file, append } = logFile(path)
    append('line')
    await expect(file.flush()).rejects.toThrow(/EISDIR/)
    expect(file.pendingBytes).toBe('line\n'.length)
  })

  test('moved and reopened, it loses and splits nothing', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    const { file, append } = logFile(path)
    append('one')
    await file.flush()
    renameSync(path, `${path}.moved`)
    append('two')
    await file.flush()
    file.reopen()
    append('three')
    await file.flush()
    await file.close()
    expect(readFileSync(`${path}.moved`, 'utf8')).toBe('one\ntwo\n')
    expect(readFileSync(path, 'utf8')).toBe('three\n')
  })

  test('deleted with its folder, it is made anew for the next line', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'logs', 'a.ndjson')
    const { file, append } = logFile(path)
    append('one')
    await file.flush()
    rmSync(dirname(path), { recursive: true })
    append('two')
    await file.flush()
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('two\n')
  })

  test('copied and truncated, it goes on at the beginning, without a hole, and counts its size anew', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    const { file, append } = logFile(path, 1_024)
    append('x'.repeat(1_000))
    await file.flush()
    truncateSync(path, 0)
    append('y'.repeat(1_000))
    await file.flush()
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe(`${'y'.repeat(1_000)}\n`)
    expect(readdirSync(dir.path)).toEqual(['a.ndjson'])
  })

  test('moved away at the moment of rotation, the next try goes on', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    const { file, append } = logFile(path, 1_024)
    append('x'.repeat(1_000))
    await file.flush()
    renameSync(path, join(dir.path, 'elsewhere'))
    append('y'.repeat(1_000))
    await file.flush().catch(() => file.flush())
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe(`${'y'.repeat(1_000)}\n`)
    expect(readFileSync(join(dir.path, 'elsewhere'), 'utf8')).toBe(`${'x'.repeat(1_000)}\n`)
  })
})

test('a folder that cannot be made keeps the lines pending until it can', async () => {
  await using dir = await tempDir()
  const blocker = join(dir.path, 'logs')
  writeFileSync(blocker, 'a file where the folder should be')
  const path = join(blocker, 'a.ndjson')
  const { file, append, written } = logFile(path)
  append('one')
  await expect(file.flush()).rejects.toThrow(/ENOTDIR|EEXIST/)
  append('two')
  await expect(file.flush()).rejects.toThrow(/ENOTDIR|EEXIST/)
  expect(file.pendingBytes).toBe('one\ntwo\n'.length)
  expect(file.lowest).toBe(0)
  rmSync(blocker)
  await file.flush()
  await file.close()
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
  expect(written).toEqual({ bytes: 8, records: 2, lost: 0 })
  expect(file.lowest).toBe(Number.POSITIVE_INFINITY)
})

test.each(smallDisks)('a full %s leaves no torn line behind, and what did not fit follows when there is room', async (_what, openDisk) => {
  await using disk = await openDisk(256)
  disk.limit(process.pid)
  const path = join(disk.path, 'a.ndjson')
  const { file, append } = logFile(path)
  const lines = Array.from({ length: 60 }, (_, n) => `${n} ${'x'.repeat(9_990)}`)
  append(...lines)
  await expect(file.flush()).rejects.toThrow(disk.error)
  const kept = readFileSync(path, 'utf8')
  // The disk was filled in the middle of a line.
  expect(kept.length).toBeGreaterThan(100_000)
  expect(
    lines
      .map((line) => `${line}\n`)
      .join('')
      .startsWith(kept),
  ).toBe(true)
  expect(kept.endsWith('\n')).toBe(true)
  // Moved while the disk was full: still no line is in two pieces.
  renameSync(path, `${path}.moved`)
  file.reopen()
  disk.grow(2_048)
  await file.flush()
  await file.close()
  expect(readFileSync(`${path}.moved`, 'utf8')).toBe(kept)
  expect(kept + readFileSync(path, 'utf8')).toBe(lines.map((line) => `${line}\n`).join(''))
})

test('lines appended while a write is under way follow it', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a.ndjson')
  const { file, append } = logFile(path)
  const flushes: Promise<void>[] = []
  for (let n = 0; n < 500; n += 1) {
    append(String(n), 'p'.repeat((n * 37) % 12_000))
    if (n % 3 === 0) flushes.push(file.flush())
  }
  await Promise.all([...flushes, file.flush()])
  await file.close()
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  expect(lines.filter((_, i) => i % 2 === 0)).toEqual(Array.from({ length: 500 }, (_, n) => String(n)))
})

describe('a sync that fails', () => {
  afterEach(() => vi.restoreAllMocks())
  const failure = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })

  test('is not believed the next time: what was written since the last good one is written again, in its place, first', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    const { file, append, written } = logFile(path)
    append('on the disk')
    await file.flush()
    await file.sync()
    append('one')
    await file.flush()
    append('two', 'three')
    await file.flush()
    const prototype = await fileHandlePrototype()
    const datasync = vi.spyOn(prototype, 'datasync').mockRejectedValueOnce(failure)
    const write = vi.spyOn(prototype, 'write')
    await expect(file.sync()).rejects.toThrow('EIO')
    append('after it')
    await file.flush()
    expect(write).not.toHaveBeenCalled()
    await file.sync()
    const unsynced = 'one\ntwo\nthree\nafter it\n'
    const [[bytes, from, length, at] = []] = write.mock.calls as unknown as [bytes: Buffer, from: number, length: number, at: number][]
    expect([from, length, at]).toEqual([0, unsynced.length, 'on the disk\n'.length])
    expect(bytes?.toString('utf8', 0, length)).toBe(unsynced)
    expect(write.mock.invocationCallOrder[0]).toBeLessThan(datasync.mock.invocationCallOrder[1] ?? 0)
    await file.sync()
    expect(write).toHaveBeenCalledTimes(1)
    expect(datasync).toHaveBeenCalledTimes(2)
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe(`on the disk\n${unsynced}`)
    expect(written).toMatchObject({ records: 5, lost: 0 })
  })

  test('and has left other bytes in the file than were written: their records are lost, and counted, once', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'a.ndjson')
    const { file, append, written } = logFile(path)
    append('on the disk')
    await file.flush()
    await file.sync()
    append('one', 'two')
    await file.flush()
    const datasync = vi.spyOn(await fileHandlePrototype(), 'datasync').mockRejectedValueOnce(failure)
    await expect(file.sync()).rejects.toThrow('EIO')
    // As a page that was dropped reads.
    writeFileSync(path, Buffer.concat([Buffer.from('on the disk\n'), Buffer.alloc(8)]))
    datasync.mockRejectedValueOnce(failure)
    await expect(file.sync()).rejects.toThrow('EIO')
    await file.sync()
    expect(written).toMatchObject({ records: 3, lost: 2 })
    await file.close()
  })
})

test('moved away and opened anew: what was written into it is on the disk before it is closed', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'a.ndjson')
  const { file, append } = logFile(path)
  append('before')
  await file.flush()
  renameSync(path, join(dir.path, 'moved'))
  file.reopen()
  const datasync = vi.spyOn(await fileHandlePrototype(), 'datasync')
  append('after')
  await file.flush()
  expect(datasync).toHaveBeenCalledTimes(1)
  vi.restoreAllMocks()
  await file.close()
  expect(readFileSync(path, 'utf8')).toBe('after\n')
})

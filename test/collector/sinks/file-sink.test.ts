import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { FileSink } from '../../../collector/sinks/file-sink.ts'
import { LogPath } from '../../../collector/sinks/log-path.ts'
import type { Entry } from '../../../collector/sinks/sink.ts'
import { frameKinds } from '../../../wire/frame.ts'
import { openFilesMax, sinkCrowdedBytes, sinkFlushMs, sinkPendingBytesMax } from '../../../wire/limits.ts'
import { compilePatterns } from '../../../wire/pattern.ts'
import { logTopic, type Topic } from '../../../wire/topic.ts'
import { tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

/** A sink whose entries follow each other in the spool, each as long there as its lines. */
function fileSink(dir: string, rotateBytes: number = 1e9) {
  const troubles: string[] = []
  const done: Entry[] = []
  const sink = new FileSink({
    name: 'files',
    topics: ['log.>'],
    patterns: compilePatterns(['log.>']),
    path: new LogPath(join(dir, '{service}', 'kept.ndjson')),
    rotateBytes,
    onTrouble: (message) => troubles.push(message),
  })
  sink.events = { ...sink.events, done: (entry) => done.push(entry) }
  const entries: Entry[] = []
  const writeBytes = (topic: Topic, lines: Buffer, { isSpooled = true }: { readonly isSpooled?: boolean } = {}) => {
    const position = entries.at(-1)?.end ?? 0
    const count = lines.toString('latin1').split('\n').length - 1
    const of = { topic, kind: frameKinds.lines, origin: 'origin-000000000', seq: 0, timeMs: 0 }
    const entry: Entry = { position, end: position + lines.length, ...of, lines, count, receivedAtMs: Date.now(), isSpooled }
    entries.push(entry)
    sink.write(entry)
    return entry
  }
  const write = (topic: Topic, ...lines: readonly string[]) => writeBytes(topic, Buffer.from(lines.map((line) => `${line}\n`).join('')))
  const flushed = () => until(() => sink.pendingBytes === 0, { what: 'everything is written', everyMs: 1 })
  const kept = (service: string) => readFileSync(join(dir, service, 'kept.ndjson'), 'utf8')
  return { sink, troubles, entries, done, write, writeBytes, flushed, kept }
}

const service = (i: number) => logTopic('info', `s${i}`)

/** How many files under a folder this process holds open. */
function openUnder(dir: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(dir)
    } catch {
      return false
    }
  }).length
}

test.skipIf(process.platform !== 'linux')(
  'three hundred services at once stay under the cap of open files, and nothing is lost',
  async () => {
    await using dir = await tempDir()
    const { sink, write, flushed, kept } = fileSink(dir.path)
    let openMost = 0
    const rounds = 12
    for (let round = 0; round < rounds; round += 1) {
      for (let i = 0; i < 300; i += 1) write(service(i), `${round} of ${i}`)
      while (sink.pendingBytes > 0) {
        openMost = Math.max(openMost, openUnder(dir.path))
        await turn()
      }
      await flushed()
    }
    expect(openMost).toBeGreaterThan(openFilesMax / 2)
    expect(openMost).toBeLessThanOrEqual(openFilesMax)
    await sink.close(1_000)
    expect(openUnder(dir.path)).toBe(0)
    for (let i = 0; i < 300; i += 1) {
      expect(kept(`s${i}`)).toBe(Array.from({ length: rounds }, (_, round) => `${round} of ${i}\n`).join(''))
    }
    expect(sink.status()).toMatchObject({ written: 300 * rounds, pendingBytes: 0, error: undefined })
  },
)

test('writes by itself, soon, without being told to', async () => {
  await using dir = await tempDir()
  const { sink, write, kept } = fileSink(dir.path)
  write(service(1), 'line')
  await until(() => sink.status().written === 1, { what: 'the line is written' })
  expect(kept('s1')).toBe('line\n')
  await sink.close(1_000)
})

describe('one file that cannot be written', () => {
  async function withSymlink(dir: string) {
    const target = join(dir, 'target')
    writeFileSync(target, 'precious')
    mkdirSync(join(dir, 's0'))
    symlinkSync(target, join(dir, 's0', 'kept.ndjson'))
    return { ...fileSink(dir), target }
  }

  test('holds up no other, and is told once, not with every try', async () => {
    await using dir = await tempDir()
    const { sink, write, kept, troubles, target } = await withSymlink(dir.path)
    const [first] = [write(service(0), 'bad'), write(service(0), 'bad too')]
    for (let round = 0; round < 50; round += 1) {
      write(service(1), `good ${round}`)
      await until(() => sink.status().written === round + 1, { what: 'the good line is written', everyMs: 1 })
    }
    expect(kept('s1').split('\n')).toHaveLength(50 + 1)
    expect(troubles).toHaveLength(1)
    expect(troubles[0]).toMatch(/^sink files: ELOOP/)
    expect(sink.status()).toMatchObject({ written: 50, error: expect.stringContaining('ELOOP') as string })
    expect(sink.lowest).toBe(first?.position)
    expect(readFileSync(target, 'utf8')).toBe('precious')
    await sink.close(1_000)
  })

  test('is written whole and in order once it can be, and that is told', async () => {
    await using dir = await tempDir()
    const { sink, write, flushed, kept, troubles } = await withSymlink(dir.path)
    const expected: string[] = []
    for (let round = 0; round < 20; round += 1) {
      expected.push(`line ${round}`)
      write(service(0), `line ${round}`)
    }
    await until(() => troubles.length > 0, { what: 'the sink fails' })
    rmSync(join(dir.path, 's0', 'kept.ndjson'))
    await flushed()
    expect(kept('s0')).toBe(expected.map((line) => `${line}\n`).join(''))
    expect(troubles).toEqual([expect.stringContaining('ELOOP'), 'sink files: writing again'])
    expect(sink.status()).toMatchObject({ written: 20, pendingBytes: 0, error: undefined })
    expect(sink.lowest).toBe(Number.POSITIVE_INFINITY)
    await sink.close(1_000)
  })

  test('is not counted as moving, so that nothing waits for it', async () => {
    await using dir = await tempDir()
    const { sink, write, writeBytes, kept, troubles } = await withSymlink(dir.path)
    const lines = Buffer.from(`${'x'.repeat(99)}\n`.repeat((2 * sinkCrowdedBytes) / 100))
    writeBytes(service(0), lines)
    expect(sink.movingBytes).toBe(lines.length)
    await until(() => troubles.length > 0, { what: 'the sink fails' })
    expect(sink.status().pendingBytes).toBe(lines.length)
    expect(sink.movingBytes).toBe(0)
    write(service(1), 'good')
    await until(() => sink.status().written === 1, { what: 'the good line is written' })
    expect(kept('s1')).toBe('good\n')
    await sink.close(0)
  })

  test('is not tried again after the sink was closed', async () => {
    await using dir = await tempDir()
    const timers = vi.spyOn(globalThis, 'setTimeout')
    const { sink, write, troubles } = await withSymlink(dir.path)
    write(service(0), 'never kept')
    await until(() => troubles.length > 0, { what: 'the sink fails' })
    await sink.close(1_000)
    const path = join(dir.path, 's0', 'kept.ndjson')
    rmSync(path)
    const retries = timers.mock.calls.filter(([, delayMs]) => (delayMs ?? 0) > sinkFlushMs)
    timers.mockRestore()
    expect(retries.length).toBeGreaterThan(0)
    for (const [retry] of retries) retry()
    // A sink that comes after it has the file to itself.
    const next = fileSink(dir.path)
    next.write(service(0), 'kept')
    await next.flushed()
    await next.sink.close(1_000)
    expect(next.kept('s0')).toBe('kept\n')
  })

  const megabyte = Buffer.alloc(1_048_576, 'x')
  megabyte[megabyte.length - 1] = 10

  test('is full for its own topic before the sink is full for all; what is nowhere else is held all the same', async () => {
    await using dir = await tempDir()
    const { sink, writeBytes, troubles } = await withSymlink(dir.path)
    writeBytes(service(0), megabyte)
    await until(() => troubles.length > 0, { what: 'the sink fails' })
    let taken = 1
    for (; !sink.isFullFor(service(0)); taken += 1) writeBytes(service(0), megabyte)
    expect(sink.isFullFor(service(1))).toBe(false)
    expect(sink.status().pendingBytes).toBe(taken * megabyte.length)
    expect(taken * megabyte.length).toBeLessThan(sinkPendingBytesMax / 2)
    writeBytes(service(0), megabyte, { isSpooled: false })
    expect(sink.status().pendingBytes).toBe((taken + 1) * megabyte.length)
    writeBytes(service(0), megabyte)
    expect(sink.status().pendingBytes).toBe((taken + 1) * megabyte.length)
    await sink.close(0)
  })

  test('misses what it cannot hold, says so when it can take it again, and gets it in order, once', async () => {
    await using dir = await tempDir()
    const { sink, write, writeBytes, flushed, kept, troubles, entries, done } = await withSymlink(dir.path)
    writeBytes(service(0), megabyte)
    await until(() => troubles.length > 0, { what: 'the sink fails' })
    while (!sink.isFullFor(service(0))) writeBytes(service(0), megabyte)
    const held = entries.length
    for (let n = 0; n < 20; n += 1) {
      write(service(0), `missed ${n}`)
      write(service(1), `good ${n}`)
    }
    await until(() => sink.status().written === 20, { what: 'the others are written' })
    expect(sink.missedFrom).toBeUndefined()
    expect(entries.filter((entry) => sink.hasMissed(entry)).map(({ topic }) => topic)).toEqual(Array(20).fill(service(0)))
    rmSync(join(dir.path, 's0', 'kept.ndjson'))
    await until(() => sink.missedFrom, { what: 'it can take again' })
    expect(sink.missedFrom).toBe(entries[held]?.position)
    expect(sink.lowest).toBe(entries[held]?.position)
    sink.beginMissed()
    // Read from further ahead than it needs, as the spool is.
    for (const entry of entries) sink.writeMissed(entry)
    sink.caughtUp(entries.at(-1)?.end ?? 0)
    expect(sink.missedFrom).toBeUndefined()
    write(service(0), 'after')
    await flushed()
    expect(kept('s0')).toBe(`${megabyte.toString().repeat(held)}${Array.from({ length: 20 }, (_, n) => `missed ${n}\n`).join('')}after\n`)
    expect(kept('s1')).toBe(Array.from({ length: 20 }, (_, n) => `good ${n}\n`).join(''))
    expect(done.length).toBe(new Set(done).size)
    expect(new Set(done)).toEqual(new Set(entries))
    expect(sink.lowest).toBe(Number.POSITIVE_INFINITY)
    await sink.close(1_000)
  })
})

test('reopened while it writes, it splits no line and loses none', async () => {
  await using dir = await tempDir()
  const { sink, write, flushed } = fileSink(dir.path)
  let moved = 0
  const folder = join(dir.path, 's1')
  for (let n = 0; n < 3_000; n += 1) {
    write(service(1), `${n} ${'x'.repeat(n % 500)}`)
    if (n % 300 !== 299) continue
    if (n > 300) {
      moved += 1
      renameSync(join(folder, 'kept.ndjson'), join(folder, `moved-${moved}`))
      sink.reopen()
    }
    await flushed()
  }
  await flushed()
  await sink.close(1_000)
  expect(moved).toBe(9)
  const texts = [...Array.from({ length: moved }, (_, i) => `moved-${i + 1}`), 'kept.ndjson'].map((name) =>
    readFileSync(join(folder, name), 'utf8'),
  )
  for (const text of texts) expect(text === '' || text.endsWith('\n')).toBe(true)
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1))
  expect(lines).toEqual(Array.from({ length: 3_000 }, (_, n) => `${n} ${'x'.repeat(n % 500)}`))
})

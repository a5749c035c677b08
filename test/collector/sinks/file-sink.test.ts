import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { FileSink } from '../../../collector/sinks/file-sink.ts'
import { LogPath } from '../../../collector/sinks/log-path.ts'
import { openFilesMax, sinkCrowdedBytes, sinkPendingBytesMax } from '../../../wire/limits.ts'
import { compilePatterns } from '../../../wire/pattern.ts'
import { logTopic, type Topic } from '../../../wire/topic.ts'
import { tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

function fileSink(dir: string, rotateBytes: number = 1e9) {
  const troubles: string[] = []
  const sink = new FileSink({
    name: 'files',
    topics: ['log.>'],
    patterns: compilePatterns(['log.>']),
    path: new LogPath(join(dir, '{service}', 'kept.ndjson')),
    rotateBytes,
    onTrouble: (message) => troubles.push(message),
  })
  const write = (topic: Topic, ...lines: readonly string[]) =>
    sink.write(topic, Buffer.from(lines.map((line) => `${line}\n`).join('')), lines.length)
  const kept = (service: string) => readFileSync(join(dir, service, 'kept.ndjson'), 'utf8')
  return { sink, troubles, write, kept }
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
    const { sink, write, kept } = fileSink(dir.path)
    let openMost = 0
    const rounds = 12
    for (let round = 0; round < rounds; round += 1) {
      for (let i = 0; i < 300; i += 1) write(service(i), `${round} of ${i}`)
      let isDone = false
      const flushed = sink.flush().then((stuck) => {
        isDone = true
        return stuck
      })
      while (!isDone) {
        openMost = Math.max(openMost, openUnder(dir.path))
        await turn()
      }
      expect(await flushed).toEqual(new Set())
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

  test('is named by its topics, holds up no other, and is told once, not with every try', async () => {
    await using dir = await tempDir()
    const { sink, write, kept, troubles, target } = await withSymlink(dir.path)
    for (let round = 0; round < 50; round += 1) {
      write(service(0), `bad ${round}`)
      write(service(1), `good ${round}`)
      expect(await sink.flush()).toEqual(new Set([service(0)]))
    }
    expect(kept('s1').split('\n')).toHaveLength(50 + 1)
    expect(troubles).toHaveLength(1)
    expect(troubles[0]).toMatch(/^sink files: ELOOP/)
    expect(sink.status()).toMatchObject({ written: 50, error: expect.stringContaining('ELOOP') as string })
    expect(readFileSync(target, 'utf8')).toBe('precious')
    await sink.close(1_000)
  })

  test('is written whole and in order once it can be, and that is told', async () => {
    await using dir = await tempDir()
    const { sink, write, kept, troubles } = await withSymlink(dir.path)
    const expected: string[] = []
    for (let round = 0; round < 20; round += 1) {
      expected.push(`line ${round}`)
      write(service(0), `line ${round}`)
      await sink.flush()
    }
    rmSync(join(dir.path, 's0', 'kept.ndjson'))
    await until(async () => (await sink.flush()).size === 0, { what: 'the sink writes again' })
    expect(kept('s0')).toBe(expected.map((line) => `${line}\n`).join(''))
    expect(troubles).toEqual([expect.stringContaining('ELOOP'), 'sink files: writing again'])
    expect(sink.status()).toMatchObject({ written: 20, pendingBytes: 0, error: undefined })
    await sink.close(1_000)
  })

  test('does not make the sink crowded for the others', async () => {
    await using dir = await tempDir()
    const { sink, write, kept } = await withSymlink(dir.path)
    const lines = Buffer.from(`${'x'.repeat(99)}\n`.repeat((2 * sinkCrowdedBytes) / 100))
    sink.write(service(0), lines, lines.length / 100)
    expect(sink.roomier()).toBeInstanceOf(Promise)
    await sink.flush()
    expect(sink.status().pendingBytes).toBe(lines.length)
    expect(sink.roomier()).toBeUndefined()
    write(service(1), 'good')
    await sink.flush()
    expect(kept('s1')).toBe('good\n')
    await sink.close(0)
  })

  test('is full for its own topic before the sink is full for all', async () => {
    await using dir = await tempDir()
    const { sink } = await withSymlink(dir.path)
    const megabyte = Buffer.alloc(1_048_576, 'x')
    megabyte[megabyte.length - 1] = 10
    sink.write(service(0), megabyte, 1)
    await sink.flush()
    let taken = 1
    for (; !sink.isFullFor(service(0)); taken += 1) sink.write(service(0), megabyte, 1)
    expect(sink.isFullFor(service(1))).toBe(false)
    expect(sink.status().pendingBytes).toBe(taken * megabyte.length)
    expect(taken * megabyte.length).toBeLessThan(sinkPendingBytesMax / 2)
    await sink.close(0)
  })
})

test('reopened while it writes, it splits no line and loses none', async () => {
  await using dir = await tempDir()
  const { sink, write } = fileSink(dir.path)
  let moved = 0
  const folder = join(dir.path, 's1')
  for (let n = 0; n < 3_000; n += 1) {
    write(service(1), `${n} ${'x'.repeat(n % 500)}`)
    if (n % 300 !== 299) continue
    const flushed = sink.flush()
    if (n > 300) {
      moved += 1
      renameSync(join(folder, 'kept.ndjson'), join(folder, `moved-${moved}`))
      sink.reopen()
    }
    await flushed
  }
  await sink.flush()
  await sink.close(1_000)
  expect(moved).toBe(9)
  const texts = [...Array.from({ length: moved }, (_, i) => `moved-${i + 1}`), 'kept.ndjson'].map((name) =>
    readFileSync(join(folder, name), 'utf8'),
  )
  for (const text of texts) expect(text === '' || text.endsWith('\n')).toBe(true)
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1))
  expect(lines).toEqual(Array.from({ length: 3_000 }, (_, n) => `${n} ${'x'.repeat(n % 500)}`))
})

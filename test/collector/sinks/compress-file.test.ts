import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import zlib from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { type Compression, compressFile, compressions } from '../../../collector/sinks/compress-file.ts'
import { Compressor } from '../../../collector/sinks/compressor.ts'
import { root, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'

/** What this Node has. */
const here = compressions.filter((compression) => compression === 'gzip' || 'zstdDecompressSync' in zlib)

function decompressed(bytes: Buffer, compression: Compression): Buffer {
  const { zstdDecompressSync } = zlib as unknown as { zstdDecompressSync: (bytes: Buffer) => Buffer }
  return compression === 'gzip' ? zlib.gunzipSync(bytes) : zstdDecompressSync(bytes)
}

const lines = (count: number, padBytes: number) =>
  Array.from({ length: count }, (_, n) => `{"n":${n},"pad":"${'é'.repeat((n * 37) % padBytes)}"}\n`).join('')

describe.each(here)('%s', (compression) => {
  test.each([
    ['nothing', ''],
    ['one line', '{}\n'],
    ['several blocks', lines(20_000, 200)],
    ['a line that is longer than a block', `${'x'.repeat(3_000_000)}\n{}\n`],
    ['a last line without an end', `{}\n${'y'.repeat(1_048_576)}`],
  ])('of %s gives back every byte, with the mode and the time of the file', async (_what, text) => {
    await using dir = await tempDir()
    const [source, target] = [join(dir.path, 'a.1.ndjson'), join(dir.path, 'a.tmp')]
    writeFileSync(source, text)
    chmodSync(source, 0o600)
    utimesSync(source, 1_577_836_800, 1_577_836_800)
    compressFile(source, target, compression)
    expect(decompressed(readFileSync(target), compression).toString()).toBe(text)
    expect(readFileSync(source, 'utf8')).toBe(text)
    expect([statSync(target).mode & 0o777, statSync(target).mtimeMs]).toEqual([0o600, 1_577_836_800_000])
  })

  test('writes over nothing and follows no link', async () => {
    await using dir = await tempDir()
    const [source, target] = [join(dir.path, 'a.1.ndjson'), join(dir.path, 'a.tmp')]
    writeFileSync(source, '{}\n')
    writeFileSync(target, 'precious')
    expect(() => compressFile(source, target, compression)).toThrow(/EEXIST/)
    symlinkSync(source, join(dir.path, 'link'))
    expect(() => compressFile(join(dir.path, 'link'), join(dir.path, 'b.tmp'), compression)).toThrow(/ELOOP/)
    expect(readFileSync(target, 'utf8')).toBe('precious')
  })
})

test('every gzip member begins with a line', async () => {
  await using dir = await tempDir()
  const [source, target] = [join(dir.path, 'a.1.ndjson'), join(dir.path, 'a.gz')]
  const text = lines(40_000, 200)
  writeFileSync(source, text)
  compressFile(source, target, 'gzip')
  execFileSync('gzip', ['--test', target])
  const bytes = readFileSync(target)
  let members = 0
  let lineCount = 0
  // What Node says it has used of its input is one member.
  for (let at = 0; at < bytes.length; members += 1) {
    const { buffer, engine } = zlib.inflateRawSync(bytes.subarray(at + 10), { info: true } as zlib.ZlibOptions) as unknown as {
      buffer: Buffer
      engine: { bytesWritten: number }
    }
    expect(buffer.toString('utf8').startsWith('{"n":')).toBe(true)
    expect(buffer.at(-1)).toBe(10)
    lineCount += buffer.toString('latin1').split('\n').length - 1
    at += 10 + engine.bytesWritten + 8
  }
  expect(members).toBeGreaterThan(4)
  expect(lineCount).toBe(40_000)
})

describe('the thread', () => {
  const workerUrl = new URL(`file://${root}/dist/collector/sinks/compress-worker.js`)
  const compression = 'gzip'

  test('compresses one file at a time, and goes on behind one that fails', async () => {
    await using dir = await tempDir()
    const compressor = new Compressor(workerUrl)
    const path = (n: number) => join(dir.path, `a.${n}.ndjson`)
    for (const n of [1, 2, 4]) writeFileSync(path(n), lines(20_000, 200))
    const jobs = [1, 2, 3, 4].map((n) => compressor.compress({ source: path(n), target: `${path(n)}.gz.tmp`, compression }))
    // The next one is not begun before the last one has its end.
    const order: number[] = []
    for (const [i, job] of jobs.entries()) {
      const ended = () => {
        for (const later of [1, 2, 3, 4].slice(i + 1)) if (existsSync(`${path(later)}.gz.tmp`)) order.push(later)
      }
      job.then(ended, ended)
    }
    expect((await Promise.allSettled(jobs)).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
    expect(order).toEqual([])
    await expect(jobs[2]).rejects.toThrow(/ENOENT/)
    await compressor.close()
  })

  test.skipIf(process.platform !== 'linux')('leaves the processor to others', async () => {
    await using dir = await tempDir()
    const compressor = new Compressor(workerUrl)
    const source = join(dir.path, 'a.1.ndjson')
    for (let i = 0; i < 10; i += 1) appendFileSync(source, lines(20_000, 200))
    const done = compressor.compress({ source, target: `${source}.tmp`, compression })
    const nice = (task: string) => {
      try {
        return Number(readFileSync(`/proc/self/task/${task}/stat`, 'utf8').split(') ')[1]?.split(' ')[16])
      } catch {
        return 0
      }
    }
    await until(() => readdirSync('/proc/self/task').some((task) => nice(task) > 0), { what: 'a thread has low priority', everyMs: 1 })
    expect(nice(String(process.pid))).toBe(0)
    await done
    await compressor.close()
  })

  test('is given up with what it does, and takes nothing after that', async () => {
    await using dir = await tempDir()
    const compressor = new Compressor(workerUrl)
    const source = join(dir.path, 'a.1.ndjson')
    for (let i = 0; i < 20; i += 1) appendFileSync(source, lines(20_000, 200))
    const outcome = compressor.compress({ source, target: `${source}.tmp`, compression }).catch((error: Error) => error.message)
    await until(() => existsSync(`${source}.tmp`), { what: 'it has begun', everyMs: 1 })
    await compressor.close()
    expect(await outcome).toBe('the thread has ended')
    await expect(compressor.compress({ source, target: `${source}.gz`, compression })).rejects.toThrow('closed')
  })
})

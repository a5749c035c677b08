import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { recordBytes, recordTypes, segmentHeadBytes } from '../../../collector/spool/spool-record.ts'
import { spoolSegmentBytes } from '../../../wire/limits.ts'
import { tempDir } from '../../support/processes.ts'
import { anySeed, SeededRandom } from '../../support/seeded-random.ts'
import { until } from '../../support/until.ts'
import { fileHandlePrototype, openSpool, readAll, type SpoolInTest, textsOf } from './spool-in-test.ts'

afterEach(() => vi.restoreAllMocks())

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)
const segmentsOf = (dir: string) =>
  readdirSync(dir)
    .filter((name) => name.endsWith('.spool'))
    .sort()
    .map((name) => join(dir, name))
/** Eleven of these fill a segment. */
const large = (n: number) => `${n} ${'x'.repeat(100_000)}`
/** What tells them apart. */
const short = (texts: readonly string[]) => texts.map((text) => text.slice(0, 20))

/** Fills a spool with several segments and closes it. Returns what is in it. */
async function filled(dir: string, records = 50): Promise<string[]> {
  await using it = await openSpool(dir)
  const texts = upTo(records).map(large)
  for (const text of texts) {
    it.append(text)
    await it.spool.wrote()
  }
  expect(await it.spool.sync()).toBe(true)
  return texts
}

async function recovers(it: SpoolInTest): Promise<void> {
  let n = 0
  await until(
    () => {
      n += 1
      return it.append(`tried ${n}`) !== undefined
    },
    { what: 'the spool keeps again' },
  )
}

describe('what is appended', () => {
  test('has positions one behind the other, is read in order from any of them, and is durable after a sync', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    const texts = upTo(500).map((n) => `${n} ${'y'.repeat((n * 37) % 900)}`)
    const places = texts.map((text) => it.append(text))
    for (const [i, place] of places.entries()) if (i > 0) expect(place?.position).toBe(places[i - 1]?.end)
    expect(it.spool.written).toBe(0)
    expect(await it.spool.sync()).toBe(true)
    expect([it.spool.written, it.spool.durable]).toEqual([it.spool.end, it.spool.end])
    expect(textsOf(await readAll(it.spool))).toEqual(texts)
    for (const i of [0, 1, 250, 499]) expect(textsOf(await readAll(it.spool, places[i]?.position))).toEqual(texts.slice(i))
    expect(it.spool.status()).toMatchObject({ segments: 1, damagedBytes: 0, error: undefined })
    expect(it.spool.pendingBytes).toBe(0)
  })

  test('fills segments that each begin with the books, are sealed when the next begins, and have the access rights of nobody else', async () => {
    await using dir = await tempDir()
    const texts = await filled(join(dir.path, 'spool'))
    const files = segmentsOf(join(dir.path, 'spool'))
    expect(files.length).toBe(Math.ceil((50 * 100_000) / spoolSegmentBytes.min))
    expect(statSync(join(dir.path, 'spool')).mode & 0o777).toBe(0o700)
    await using it = await openSpool(join(dir.path, 'spool'))
    expect(it.spool.sealed.length).toBe(files.length)
    for (const [i, file] of files.entries()) {
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(statSync(file).size - segmentHeadBytes).toBeLessThan(spoolSegmentBytes.min + recordBytes(large(0).length + 10))
      const { position } = it.spool.sealed[i] ?? { position: -1 }
      expect(Number(/(\d+)\.spool$/.exec(file)?.[1])).toBe(position)
      expect((await it.spool.read(position)).records[0]).toMatchObject({ type: recordTypes.state, position })
    }
    expect(textsOf(await readAll(it.spool))).toEqual(texts)
  })

  test('is read while more is written, each record once and in order, by several readers at their own pace', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    const count = 3_000
    const texts = upTo(count).map((n) => `${n} ${'z'.repeat((n * 7_919) % 5_000)}`)
    let isDone = false
    const reader = async (pauseMs: number) => {
      const found: string[] = []
      for (let at = 0; !isDone || at < it.spool.written; ) {
        if (at >= it.spool.written) await new Promise(setImmediate)
        else {
          const { records, next } = await it.spool.read(at)
          found.push(...textsOf(records))
          at = next
          if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
        }
      }
      return found
    }
    const readers = [reader(0), reader(0), reader(5)]
    for (const [n, text] of texts.entries()) {
      it.append(text)
      if (n % 40 === 0) await it.spool.sync()
      else if (n % 7 === 0) await new Promise(setImmediate)
    }
    await it.spool.sync()
    isDone = true
    for (const found of await Promise.all(readers)) expect(found).toEqual(texts)
    expect(it.troubles).toEqual([])
    expect(it.spool.status().segments).toBeGreaterThan(5)
  })

  test('is made durable however many ask for it at once, also while segments end', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    const asked: Promise<boolean>[] = []
    for (const n of upTo(400)) {
      const place = it.append(large(n))
      asked.push(it.spool.sync().then((isKept) => isKept && it.spool.durable >= (place?.end ?? Number.POSITIVE_INFINITY)))
      if (n % 3 === 0) asked.push(it.spool.sync())
      if (n % 5 === 0) await Promise.race([asked.at(-1), new Promise(setImmediate)])
    }
    expect(new Set(await Promise.all(asked))).toEqual(new Set([true]))
    expect(it.troubles).toEqual([])
    expect(short(textsOf(await readAll(it.spool)))).toEqual(short(upTo(400).map(large)))
  })
})

describe('after a restart', () => {
  test('positions go on, in a new segment, and everything is read', async () => {
    await using dir = await tempDir()
    const texts: string[] = []
    let end = 0
    for (const round of upTo(4)) {
      await using it = await openSpool(dir.path)
      expect(it.spool.end).toBeGreaterThanOrEqual(end)
      texts.push(`round ${round}`)
      it.append(`round ${round}`)
      await it.spool.sync()
      end = it.spool.end
      expect(textsOf(await readAll(it.spool))).toEqual(texts)
    }
    expect(segmentsOf(dir.path)).toHaveLength(4)
  })

  test('a last segment cut at any byte of its last records gives back those that are whole; cut off, what comes next follows them', async () => {
    await using dir = await tempDir()
    const texts = upTo(6).map((n) => `record ${n}`)
    await using first = await openSpool(join(dir.path, 'whole'))
    const places = texts.map((text) => first.append(text))
    await first.spool.sync()
    const [whole = ''] = segmentsOf(join(dir.path, 'whole'))
    const { size } = statSync(whole)
    for (let length = 0; length < size; length += 1) {
      const at = join(dir.path, `cut-${length}`)
      mkdirSync(at)
      const path = join(at, whole.slice(whole.lastIndexOf('/') + 1))
      copyFileSync(whole, path)
      truncateSync(path, length)
      await using it = await openSpool(at)
      const kept = texts.filter((_, i) => segmentHeadBytes + (places[i]?.end ?? 0) <= length)
      const records = await readAll(it.spool)
      expect(textsOf(records)).toEqual(kept)
      await it.spool.cutTail(records.at(-1)?.end ?? it.spool.oldest)
      it.append('next')
      expect(await it.spool.sync()).toBe(true)
      expect(textsOf(await readAll(it.spool))).toEqual([...kept, 'next'])
      // That is how a process that was killed leaves it.
      expect(it.spool.status().damagedBytes).toBe(0)
      rmSync(at, { recursive: true })
    }
  })

  test('bits flipped anywhere cost what they are in, are counted, and never end anything: 1,000 times', async () => {
    const seed = Number(process.env['SPILLWAY_TEST_SEED'] ?? anySeed())
    console.log(`seed ${seed}`)
    const random = new SeededRandom(seed)
    await using dir = await tempDir()
    const texts = upTo(40).map((n) => `record ${n} ${'r'.repeat((n * 31) % 300)}`)
    await using first = await openSpool(join(dir.path, 'whole'))
    const places = texts.map((text) => first.append(text))
    await first.spool.sync()
    const [whole = ''] = segmentsOf(join(dir.path, 'whole'))
    const bytes = readFileSync(whole)
    const path = join(dir.path, 'flipped', whole.slice(whole.lastIndexOf('/') + 1))
    mkdirSync(join(dir.path, 'flipped'))
    let lost = 0
    for (const run of upTo(1_000)) {
      const flipped = Buffer.from(bytes)
      const touched = upTo(1 + Math.floor(random.next() * 3)).map(() => Math.floor(random.next() * bytes.length))
      for (const at of touched) flipped[at] = (flipped[at] ?? 0) ^ (1 << Math.floor(random.next() * 8))
      writeFileSync(path, flipped)
      await using it = await openSpool(join(dir.path, 'flipped'))
      const isTouched = (i: number) =>
        touched.some((at) => at >= segmentHeadBytes + (places[i]?.position ?? 0) && at < segmentHeadBytes + (places[i]?.end ?? 0))
      const found = textsOf(await readAll(it.spool))
      const inHead = touched.filter((at) => at < segmentHeadBytes).length
      // Both copies of the head may be hit; then nobody knows whose the segment is.
      if (inHead > 1 && found.length === 0) continue
      expect(
        found.filter((text) => !isTouched(texts.indexOf(text))),
        `run ${run}`,
      ).toEqual(texts.filter((_, i) => !isTouched(i)))
      for (const text of found) expect(texts).toContain(text)
      lost += texts.length - found.length
      // Behind the last whole record there may be anything.
      const wholeTo = segmentHeadBytes + (places[texts.indexOf(found.at(-1) ?? '')]?.end ?? 0)
      const [read, written] = [flipped, bytes].map((all) => all.subarray(segmentHeadBytes, wholeTo))
      expect(it.spool.status().damagedBytes > 0).toBe(written !== undefined && !read?.equals(written))
    }
    expect(lost).toBeGreaterThan(500)
  })
})

describe('room', () => {
  test('is made by whole segments that end before a position; reading from before it goes on at the oldest', async () => {
    await using dir = await tempDir()
    await filled(dir.path)
    await using it = await openSpool(dir.path)
    const [, second, third] = it.spool.sealed
    await it.spool.dropBefore((third?.position ?? 0) - 1)
    expect(it.spool.oldest).toBe(second?.position)
    await it.spool.dropBefore(third?.position ?? 0)
    expect(it.spool.oldest).toBe(third?.position)
    expect(segmentsOf(dir.path)).toHaveLength(it.spool.status().segments)
    const { records } = await it.spool.read(0)
    expect(records[0]?.position).toBe(third?.position)
    expect(it.troubles).toEqual([])
  })

  test('is not made of the segment that is written to', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    it.append('one')
    await it.spool.sync()
    await it.spool.dropBefore(it.spool.end)
    expect(it.spool.sealed).toEqual([])
    expect(textsOf(await readAll(it.spool))).toEqual(['one'])
  })

  test('of a segment that somebody else has deleted is there already', async () => {
    await using dir = await tempDir()
    await filled(dir.path)
    await using it = await openSpool(dir.path)
    rmSync(segmentsOf(dir.path)[0] ?? '')
    await it.spool.dropBefore(it.spool.sealed[1]?.position ?? 0)
    expect(it.troubles).toEqual([])
    expect(segmentsOf(dir.path)).toHaveLength(it.spool.status().segments)
  })
})

describe('what others do to the folder', () => {
  test('a segment deleted while it runs is told, counted once, and the others are read', async () => {
    await using dir = await tempDir()
    const texts = await filled(dir.path)
    await using it = await openSpool(dir.path)
    const gone = it.spool.sealed[1] ?? { position: 0, end: 0 }
    rmSync(segmentsOf(dir.path)[1] ?? '')
    const found = textsOf(await readAll(it.spool))
    expect(short(textsOf(await readAll(it.spool)))).toEqual(short(found))
    expect(found.length).toBeGreaterThan(30)
    expect(short(texts.filter((text) => found.includes(text)))).toEqual(short(found))
    expect(it.spool.status().damagedBytes).toBe(gone.end - gone.position)
    expect(it.troubles).toEqual([expect.stringMatching(/^spool: \d+ bytes of .*ENOENT.* cannot be read/)])
  })

  test('a segment deleted before the start is not missed by the others', async () => {
    await using dir = await tempDir()
    const texts = await filled(dir.path)
    rmSync(segmentsOf(dir.path)[1] ?? '')
    await using it = await openSpool(dir.path)
    const found = textsOf(await readAll(it.spool))
    expect(found.length).toBeGreaterThan(30)
    expect(short(texts.filter((text) => found.includes(text)))).toEqual(short(found))
  })

  test.each(['while it runs', 'before the start'])(
    'a segment replaced by a symlink %s is not followed, and its target not touched',
    async (when) => {
      await using dir = await tempDir()
      const spoolDir = join(dir.path, 'spool')
      const texts = await filled(spoolDir)
      const before = when === 'while it runs' ? await openSpool(spoolDir) : undefined
      const path = segmentsOf(spoolDir)[1] ?? ''
      const target = join(dir.path, 'target')
      renameSync(path, target)
      const bytes = readFileSync(target)
      symlinkSync(target, path)
      await using it = before ?? (await openSpool(spoolDir))
      const found = textsOf(await readAll(it.spool))
      expect(found.length).toBeGreaterThan(30)
      expect(found.length).toBeLessThan(texts.length)
      expect(it.troubles.join()).toContain('ELOOP')
      it.append('goes on')
      expect(await it.spool.sync()).toBe(true)
      await it.spool.dropBefore(it.spool.end)
      expect(readFileSync(target).equals(bytes)).toBe(true)
    },
  )

  test('a segment of another spool, and what only has the name of one, is left alone, and ours are read', async () => {
    await using dir = await tempDir()
    const texts = await filled(join(dir.path, 'ours'))
    await filled(join(dir.path, 'theirs'), 80)
    const theirs = segmentsOf(join(dir.path, 'theirs'))
    copyFileSync(theirs[0] ?? '', join(dir.path, 'ours', '0000077777777777.spool'))
    copyFileSync(theirs.at(-1) ?? '', join(dir.path, 'ours', '0000099999999999.spool'))
    writeFileSync(join(dir.path, 'ours', '0000088888888888.spool'), 'n'.repeat(1_000))
    writeFileSync(join(dir.path, 'ours', 'notes.spool'), 'short')
    mkdirSync(join(dir.path, 'ours', '0000066666666666.spool'))
    const others = ['0000077777777777.spool', '0000099999999999.spool', '0000088888888888.spool', 'notes.spool', '0000066666666666.spool']
    for (const _round of upTo(2)) {
      await using it = await openSpool(join(dir.path, 'ours'))
      expect(short(textsOf(await readAll(it.spool)))).toEqual(short(texts))
      for (const name of others.filter((each) => each !== 'notes.spool')) expect(it.troubles.join('\n')).toContain(name)
      it.append(`round ${texts.length}`)
      texts.push(`round ${texts.length}`)
      await it.spool.sync()
      await it.spool.dropBefore(0)
    }
    for (const name of others) expect(existsSync(join(dir.path, 'ours', name))).toBe(true)
  })

  test('the segment that is written to is deleted: what it held is given up at the next sync, and a new one begins', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    it.append('one')
    await it.spool.sync()
    rmSync(segmentsOf(dir.path)[0] ?? '')
    it.append('two')
    expect(await it.spool.sync()).toBe(false)
    expect(it.spool.status().error).toMatch(/somebody deleted/)
    expect(it.append('three')).toBeUndefined()
    await recovers(it)
    expect(await it.spool.sync()).toBe(true)
    expect(it.spool.status().error).toBeUndefined()
    expect(textsOf(await readAll(it.spool))).toEqual([expect.stringMatching(/^tried/)])
    expect(it.troubles.filter((trouble) => /keeps trying|keeping again/.test(trouble))).toHaveLength(2)
  })
})

describe('a folder that cannot be used at the start', () => {
  test('is tried until it can; nothing is kept before, and what comes then has positions that nothing else had', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'spool')
    writeFileSync(path, 'in the way')
    await using it = await openSpool(path)
    expect(it.append('lost')).toBeUndefined()
    expect(await it.spool.sync()).toBe(false)
    expect(it.spool.status().error).toMatch(/EEXIST|ENOTDIR/)
    rmSync(path)
    await recovers(it)
    expect(await it.spool.sync()).toBe(true)
    expect(textsOf(await readAll(it.spool))).toHaveLength(1)
    expect(it.troubles).toEqual([expect.stringMatching(/^spool: (EEXIST|ENOTDIR)/), 'spool: keeping again'])
  })

  test('and holds segments when it can: not one of them is deleted or written over', async () => {
    await using dir = await tempDir()
    const texts = await filled(join(dir.path, 'away'), 15)
    const path = join(dir.path, 'spool')
    writeFileSync(path, 'in the way')
    await using it = await openSpool(path)
    rmSync(path)
    renameSync(join(dir.path, 'away'), path)
    const before = segmentsOf(path).map((file) => readFileSync(file))
    const names = segmentsOf(path)
    await recovers(it)
    expect(await it.spool.sync()).toBe(true)
    expect(names.every((file, i) => readFileSync(file).equals(before[i] ?? Buffer.alloc(0)))).toBe(true)
    await it.spool.close()
    // What it did not know then is found by the next start; of two spools in one folder the larger is taken up.
    await using next = await openSpool(path)
    expect(short(textsOf(await readAll(next.spool)))).toEqual(short(texts))
    expect(next.troubles.length).toBeGreaterThan(0)
    for (const trouble of next.troubles) expect(trouble).toMatch(/is from another spool; it is left alone$/)
  })
})

describe('a disk that fails', () => {
  test('gives back what was not written, writes nothing more into that segment, and keeps again in a new one', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    it.append('kept')
    await it.spool.sync()
    const [path = ''] = segmentsOf(dir.path)
    const size = statSync(path).size
    const prototype = await fileHandlePrototype()
    const writev = vi.spyOn(prototype, 'writev').mockRejectedValue(Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' }))
    const place = it.append('given back')
    expect(await it.spool.sync()).toBe(false)
    expect(it.abandoned).toEqual([place?.position])
    expect(it.spool.status()).toMatchObject({ error: 'EIO: i/o error, write' })
    expect(it.spool.pendingBytes).toBe(0)
    expect(it.append('refused')).toBeUndefined()
    expect(await it.spool.sync()).toBe(false)
    await until(
      () => {
        if (it.spool.needsRoll(performance.now())) it.spool.roll(Buffer.from('books'))
        return writev.mock.calls.length >= 3
      },
      { what: 'it tries again' },
    )
    writev.mockRestore()
    await until(
      () => {
        if (it.spool.isFailing && it.spool.needsRoll(performance.now())) it.spool.roll(Buffer.from('books'))
        return !it.spool.isFailing
      },
      { what: 'a try succeeds' },
    )
    // The books at the head are those of the try: behind them a record would say more than there is.
    expect(it.spool.append(recordTypes.sink, Buffer.from('place'))).toBeUndefined()
    await recovers(it)
    expect(await it.spool.sync()).toBe(true)
    expect(statSync(path).size).toBe(size)
    expect(textsOf(await readAll(it.spool))).toEqual(['kept', expect.stringMatching(/^tried/)])
    expect(it.troubles).toEqual([expect.stringMatching(/EIO.*keeps trying/), 'spool: keeping again'])
    // Tries that came to nothing leave nothing.
    // The first, the one it was tried with, and one that begins with the books of when it worked.
    expect(segmentsOf(dir.path)).toHaveLength(3)
  })

  test('at fsync: it is not tried again on that file, and what was written there is still read', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    it.append('one')
    const prototype = await fileHandlePrototype()
    const datasync = vi
      .spyOn(prototype, 'datasync')
      .mockRejectedValueOnce(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
    expect(await it.spool.sync()).toBe(false)
    const [path = ''] = segmentsOf(dir.path)
    const size = statSync(path).size
    expect(datasync).toHaveBeenCalledTimes(1)
    expect(it.append('refused')).toBeUndefined()
    await recovers(it)
    expect(await it.spool.sync()).toBe(true)
    expect(statSync(path).size).toBe(size)
    expect(textsOf(await readAll(it.spool))).toEqual(['one', expect.stringMatching(/^tried/)])
  })

  test('in the middle of a write: nothing torn is left, and a reader sees none of it', async () => {
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    it.append('whole')
    await it.spool.sync()
    const prototype = await fileHandlePrototype()
    const writev = prototype.writev
    vi.spyOn(prototype, 'writev').mockImplementationOnce(async function (this: typeof prototype, buffers) {
      const [first] = buffers as readonly Buffer[]
      await writev.call(this, [first?.subarray(0, 10) ?? Buffer.alloc(0)])
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    })
    it.append('torn')
    expect(await it.spool.sync()).toBe(false)
    await recovers(it)
    expect(await it.spool.sync()).toBe(true)
    const found = await readAll(it.spool)
    expect(textsOf(found)).toEqual(['whole', expect.stringMatching(/^tried/)])
    expect(it.spool.status().damagedBytes).toBe(0)
    await it.spool.close()
    await using next = await openSpool(dir.path)
    expect(textsOf(await readAll(next.spool))).toEqual(textsOf(found))
    expect(next.spool.status().damagedBytes).toBe(0)
  })

  test('for a while, again and again, under load: every record is read once or was given back', async () => {
    const seed = Number(process.env['SPILLWAY_TEST_SEED'] ?? anySeed())
    console.log(`seed ${seed}`)
    const random = new SeededRandom(seed)
    await using dir = await tempDir()
    await using it = await openSpool(dir.path)
    const prototype = await fileHandlePrototype()
    const [writev, datasync] = [prototype.writev, prototype.datasync]
    let isBad = false
    const fail = () => isBad && random.next() < 0.5
    const broken = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
    vi.spyOn(prototype, 'writev').mockImplementation(function (this: typeof prototype, buffers, position) {
      return fail() ? broken() : writev.call(this, buffers, position)
    })
    vi.spyOn(prototype, 'datasync').mockImplementation(function (this: typeof prototype) {
      return fail() ? broken() : datasync.call(this)
    })
    const places = new Map<number, string>()
    const givenBack = new Set<number>()
    it.spool.events = {
      written() {},
      abandoned(position) {
        for (const at of places.keys()) if (at >= position) givenBack.add(at)
      },
    }
    let faults = 0
    for (let n = 0; faults < 6; n += 1) {
      if (isBad && it.spool.isFailing) {
        faults += 1
        isBad = false
      } else if (!isBad && !it.spool.isFailing && n % 200 === 0) isBad = true
      const place = it.append(`${n} ${'w'.repeat(Math.floor(random.next() * 20_000))}`)
      if (place !== undefined) places.set(place.position, `${n}`)
      if (random.next() < 0.2) void it.spool.sync()
      await new Promise(setImmediate)
    }
    isBad = false
    await until(
      () => {
        if (it.spool.needsRoll(performance.now())) it.spool.roll(Buffer.from('books'))
        return !it.spool.isFailing
      },
      { what: 'the spool keeps again' },
    )
    expect(await it.spool.sync()).toBe(true)
    const found = (await readAll(it.spool)).filter(({ type }) => type === recordTypes.loss)
    expect(new Set(found.map(({ position }) => position)).size).toBe(found.length)
    for (const { position, body } of found) expect(body.toString('utf8', 1).split(' ')[0]).toBe(places.get(position))
    const read = new Set(found.map(({ position }) => position))
    for (const position of places.keys()) if (!read.has(position)) expect(givenBack.has(position)).toBe(true)
    expect(it.spool.status()).toMatchObject({ error: undefined, damagedBytes: 0 })
  })
})

test('closed, it holds no file open and leaves no timer that opens one', async () => {
  await using dir = await tempDir()
  const it = await openSpool(dir.path)
  it.append('one')
  await it.spool.close()
  await it.spool.close()
  const open = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`) && statSync(`/proc/self/fd/${fd}`).ino === statSync(segmentsOf(dir.path)[0] ?? '').ino
    } catch {
      return false
    }
  })
  expect(open).toEqual([])
})

test('what a killed process has left to the kernel is synced before anybody may call it durable; a disk that cannot is said', async () => {
  await using dir = await tempDir()
  await filled(dir.path, 3)
  const datasync = vi.spyOn(await fileHandlePrototype(), 'datasync')
  await using it = await openSpool(dir.path)
  const records = await readAll(it.spool)
  await it.spool.cutTail(records.at(-1)?.end ?? 0)
  expect(datasync).toHaveBeenCalledTimes(1)
  expect(it.spool.isFailing).toBe(false)
  datasync.mockRejectedValueOnce(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }))
  await it.spool.cutTail(records.at(-1)?.end ?? 0)
  expect(it.spool.status().error).toMatch(/EIO/)
})

test('books larger than a segment do not make every record begin one', async () => {
  await using dir = await tempDir()
  await using it = await openSpool(dir.path)
  it.spool.roll(Buffer.alloc(2 * it.spool.segmentBytes))
  expect(it.spool.needsRoll(performance.now())).toBe(false)
  for (const n of upTo(5)) it.append(`record ${n}`)
  await it.spool.sync()
  expect(it.spool.status().segments).toBe(1)
  expect(textsOf(await readAll(it.spool))).toEqual(upTo(5).map((n) => `record ${n}`))
  // It is as many bytes of records as any other.
  for (const n of upTo(11)) it.append(large(n))
  expect(it.spool.needsRoll(performance.now())).toBe(true)
})

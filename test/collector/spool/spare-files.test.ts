/** Files of the spool that are written over: what they held before is never taken for what they hold now. */
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { segmentHeadBytes } from '../../../collector/spool/spool-record.ts'
import { spoolBytesMaxMin, spoolSparesMax } from '../../../wire/limits.ts'
import { tempDir } from '../../support/processes.ts'
import { openSpool, readAll, type SpoolInTest, textsOf } from './spool-in-test.ts'

const filesOf = (dir: string, suffix: string) => readdirSync(dir).filter((name) => name.endsWith(suffix))
const bytesIn = (dir: string) => readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)
/** Eleven of these fill a segment. */
const large = (n: number) => `${n} ${'x'.repeat(100_000)}`

async function fill(it: SpoolInTest, from: number, count: number): Promise<string[]> {
  const texts = Array.from({ length: count }, (_, i) => large(from + i))
  for (const text of texts) {
    expect(it.append(text)).toBeDefined()
    await it.spool.wrote()
  }
  expect(await it.spool.sync()).toBe(true)
  return texts
}

/** Fills segments and gives them up: there are spare files then. */
async function withSpares(dir: string): Promise<SpoolInTest> {
  const it = await openSpool(dir)
  await fill(it, 0, 60)
  await it.spool.dropBefore(it.spool.sealed.at(-1)?.end ?? 0)
  expect(filesOf(dir, '.spare')).toHaveLength(spoolSparesMax)
  return it
}

test('what is written over is read as it is now, and a sealed segment is as long as what is in it', async () => {
  await using dir = await tempDir()
  await using it = await withSpares(dir.path)
  const oldest = it.spool.end
  const texts = await fill(it, 100, 40)
  expect(filesOf(dir.path, '.spare')).toEqual([])
  expect(textsOf(await readAll(it.spool, oldest))).toEqual(texts)
  expect(it.spool.status()).toMatchObject({ damagedBytes: 0 })
  const sizes = filesOf(dir.path, '.spool').map((name) => [Number.parseInt(name, 10), statSync(join(dir.path, name)).size])
  for (const { position, end } of it.spool.sealed) expect(sizes).toContainEqual([position, segmentHeadBytes + end - position])
})

test('what a file held before is not found in it by whoever finds it half written over', async () => {
  await using dir = await tempDir()
  const spool = join(dir.path, 'spool')
  await using it = await withSpares(spool)
  const before = it.spool.sealed.length
  // Into a file that was used again, and not to its end.
  while (it.spool.sealed.length === before) await fill(it, 200, 1)
  await fill(it, 300, 3)
  // As a process that is killed leaves it.
  const left = join(dir.path, 'left')
  cpSync(spool, left, { recursive: true })
  const [last = ''] = filesOf(left, '.spool').slice(-1)
  expect(statSync(join(left, last)).size).toBeGreaterThan(1_000_000)
  const [found, kept] = [await openSpool(left), textsOf(await readAll(it.spool))]
  await using _found = found
  expect(found.spool.end).toBe(it.spool.end)
  const records = await readAll(found.spool)
  expect(textsOf(records)).toEqual(kept)
  expect(found.spool.status()).toMatchObject({ damagedBytes: 0 })
  await found.spool.cutTail(records.at(-1)?.end ?? 0)
  expect(statSync(join(left, last)).size).toBeLessThan(500_000)
  const more = await fill(found, 400, 20)
  expect(textsOf(await readAll(found.spool))).toEqual([...kept, ...more])
  // Those of the run before are of no use to anybody.
  expect(filesOf(left, '.spare')).toEqual([])
})

test('spare files and segments together take no more room than the spool may', async () => {
  await using dir = await tempDir()
  await using it = await openSpool(dir.path)
  for (let n = 0; n < 300; n += 10) {
    await fill(it, n, 10)
    while (it.spool.bytes > spoolBytesMaxMin) await it.spool.dropBefore(it.spool.sealed[0]?.end ?? 0)
    // A segment is begun before the oldest is given up.
    expect(bytesIn(dir.path)).toBeLessThan(spoolBytesMaxMin + 1_500_000)
  }
  expect(it.spool.bytes).toBeGreaterThan(spoolBytesMaxMin - 2_500_000)
})

test.each(['a symlink', 'a folder', 'nothing'])('%s in the place of a spare file is not written to; a new file is made', async (what) => {
  await using dir = await tempDir()
  await using it = await withSpares(join(dir.path, 'spool'))
  const target = join(dir.path, 'target')
  writeFileSync(target, 'not ours')
  for (const name of filesOf(join(dir.path, 'spool'), '.spare')) {
    const path = join(dir.path, 'spool', name)
    renameSync(path, join(dir.path, name))
    if (what === 'a symlink') symlinkSync(target, path)
    if (what === 'a folder') mkdirSync(path)
  }
  const oldest = it.spool.end
  const texts = await fill(it, 500, 30)
  expect(textsOf(await readAll(it.spool, oldest))).toEqual(texts)
  expect(readFileSync(target, 'utf8')).toBe('not ours')
  expect(it.troubles).toEqual([])
})

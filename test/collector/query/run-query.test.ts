/** Queries over real folders, held against a plain filter over the same lines. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { buildIndex } from '../../../collector/query/build-index.ts'
import type { LineConditions } from '../../../collector/query/line-query.ts'
import { lineBytesMax } from '../../../collector/query/log-blocks.ts'
import { indexPath } from '../../../collector/query/log-index.ts'
import { type QueryOptions, type QueryReport, runQuery } from '../../../collector/query/run-query.ts'
import { compileExpression } from '../../../wire/expression/expression.ts'
import { compilePatterns } from '../../../wire/pattern.ts'
import { tempDir } from '../../support/processes.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { indexesIn, type KeptLine, keep, linesOf, padding, startMs, textOf } from './kept-files.ts'

interface Answer {
  readonly lines: readonly string[]
  readonly numbers: readonly unknown[]
  readonly report: QueryReport
}

async function ask(dir: string, conditions: Partial<LineConditions> = {}, options: Partial<QueryOptions> = {}): Promise<Answer> {
  const lines: string[] = []
  const report = await runQuery(
    { template: join(dir, '{service}/{date}.ndjson'), conditions: { texts: [], ...conditions }, isOrdered: true, ...options },
    { use: (match) => lines.push(match.line) },
  )
  return { lines, numbers: lines.filter((line) => line.startsWith('{')).map((line) => (JSON.parse(line) as KeptLine).n), report }
}

const padded = () => ({ pad: padding })
const numbersOf = (lines: readonly KeptLine[], isWanted: (line: KeptLine) => boolean = () => true) =>
  lines.filter(isWanted).map(({ n }) => n)
const minutes = (count: number) => startMs + count * 60_000

describe.each([
  ['plain', 'shop/2026-05-31.ndjson', {}],
  ['gzip of members', 'shop/2026-05-31.ndjson.gz', { linesPerMember: 900 }],
  ['gzip of one member, as gzip makes it', 'shop/2026-05-31.ndjson.gz', {}],
  ['gzip of members that end within lines', 'shop/2026-05-31.ndjson.gz', 'uneven'],
] as const)('a file as %s', (_, name, how) => {
  const lines = linesOf(6_000, padded)
  const text = textOf(lines)
  const content = () => {
    if (how !== 'uneven') return text
    const bytes = Buffer.from(text)
    return Buffer.concat([0, 1, 2, 3, 4].map((i) => gzipSync(bytes.subarray(i * 1_300_001, (i + 1) * 1_300_001))))
  }

  test('is read whole, line by line as it was kept', async () => {
    await using dir = await tempDir()
    keep(dir.path, name, content(), how === 'uneven' ? {} : how)
    const { lines: found } = await ask(dir.path)
    expect(found.map((line) => `${line}\n`).join('') === text).toBe(true)
  })

  test('gives the same answer without an index, with one, and read only where it must be', async () => {
    await using dir = await tempDir()
    const path = keep(dir.path, name, content(), how === 'uneven' ? {} : how)
    const conditions: Partial<LineConditions> = { sinceMs: minutes(20), untilMs: minutes(25) }
    const expected = numbersOf(lines, ({ time }) => time >= minutes(20) && time < minutes(25))
    const first = await ask(dir.path, conditions)
    expect(first.numbers).toEqual(expected)
    const isLarge = statSync(path).size >= 1_048_576
    expect(indexesIn(dir.path)).toHaveLength(isLarge ? 1 : 0)
    const second = await ask(dir.path, conditions)
    expect(second.numbers).toEqual(expected)
    if (isLarge && name.endsWith('.ndjson')) expect(second.report.bytes).toBeLessThan(first.report.bytes / 2)
    // Nothing of another day is read at all.
    const none = await ask(dir.path, { sinceMs: startMs + 86_400_000 })
    expect([none.numbers, isLarge ? none.report.bytes : 0]).toEqual([[], 0])
  })

  test('is filtered by level, text and condition', async () => {
    await using dir = await tempDir()
    keep(dir.path, name, content(), how === 'uneven' ? {} : how)
    for (let round = 0; round < 2; round += 1) {
      expect((await ask(dir.path, { rankMin: 4 })).numbers).toEqual(numbersOf(lines, ({ level }) => level >= 50))
      expect((await ask(dir.path, { texts: ['"n":77'] })).numbers).toEqual(numbersOf(lines, ({ n }) => String(n).startsWith('77')))
      expect((await ask(dir.path, { where: compileExpression('n >= 5990 && level == "info"') })).numbers).toEqual(
        numbersOf(lines, ({ n, level }) => n >= 5_990 && level === 30),
      )
      expect((await ask(dir.path, {}, { limit: 3 })).numbers).toEqual([0, 1, 2])
      expect((await ask(dir.path, { rankMin: 4 }, { isOrdered: false, isCounting: true })).report.matched).toBe(600)
    }
  })
})

test('members of gzip are read alone: a search for some minutes decompresses little', async () => {
  await using dir = await tempDir()
  // Random, so that it stays large.
  const random = new SeededRandom(7)
  const lines = linesOf(6_000, () => ({ pad: Array.from({ length: 60 }, () => random.integer(0, 2 ** 30).toString(36)).join('') }))
  const path = keep(dir.path, 'shop/2026-05-31.ndjson.gz', textOf(lines), { linesPerMember: 1_000 })
  expect(statSync(path).size).toBeGreaterThan(1_048_576)
  const all = await ask(dir.path)
  expect(all.numbers).toEqual(numbersOf(lines))
  const some = await ask(dir.path, { sinceMs: minutes(20), untilMs: minutes(21) })
  expect(some.numbers).toEqual(numbersOf(lines, ({ time }) => time >= minutes(20) && time < minutes(21)))
  expect(some.report.bytes).toBeLessThan(all.report.bytes / 5)
  // With an index, counting reads nothing.
  const counted = await ask(dir.path, {}, { isOrdered: false, isCounting: true })
  expect([counted.report.matched, counted.report.bytes]).toEqual([6_000, 0])
})

describe('several files', () => {
  test('are merged by time, each in its own order', async () => {
    await using dir = await tempDir()
    const services = ['a', 'b', 'c', 'd']
    for (const [i, service] of services.entries())
      keep(
        dir.path,
        `${service}/2026-05-31.ndjson${i % 2 === 0 ? '' : '.gz'}`,
        textOf(linesOf(3_000, (n) => ({ n: n * 4 + i, time: startMs + n * 1_000 + i * 100, pad: padding }))),
      )
    keep(dir.path, 'a/2026-06-01.ndjson', textOf([{ level: 30, time: startMs + 86_400_000, n: 12_000 }]))
    const { numbers, report } = await ask(dir.path)
    expect(numbers).toEqual(Array.from({ length: 12_001 }, (_, n) => n))
    expect(report.isOrderExact).toBe(true)
    expect((await ask(dir.path, { services: new Set(['c']) })).numbers).toEqual(Array.from({ length: 3_000 }, (_, n) => n * 4 + 2))
    expect((await ask(dir.path, { where: compileExpression('service == "b" && n < 10') })).numbers).toEqual([1, 5, 9])
    expect((await ask(dir.path, { patterns: compilePatterns(['log.error.d.>']), untilMs: startMs + 30_000 })).numbers).toEqual([3, 43, 83])
  })

  test('so many that their lines cannot all wait for each other are given whole, and that the order is not exact is said', async () => {
    await using dir = await tempDir()
    const services = Array.from({ length: 40 }, (_, i) => `s${i}`)
    // The first MiB of each has to be read before the first line of any can be given.
    for (const [i, service] of services.entries())
      keep(
        dir.path,
        `${service}/2026-05-31.ndjson`,
        textOf(linesOf(1_000, (n) => ({ n: n * services.length + i, time: startMs + n * 1_000 + i, pad: padding }))),
      )
    const { numbers, report } = await ask(dir.path)
    expect(report.isOrderExact).toBe(false)
    expect(numbers.toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 40_000 }, (_, n) => n))
    // What fits is in order.
    const few = await ask(dir.path, { where: compileExpression('n % 10 == 0') })
    expect(few.report.isOrderExact).toBe(true)
    expect(few.numbers).toEqual(Array.from({ length: 4_000 }, (_, n) => n * 10))
  })

  test('one that is both there plain and compressed, as in the middle of compressing, counts once', async () => {
    await using dir = await tempDir()
    const text = textOf(linesOf(100))
    keep(dir.path, 'shop/2026-05-31.1.ndjson', text)
    keep(dir.path, 'shop/2026-05-31.1.ndjson.gz', text)
    expect((await ask(dir.path)).numbers).toHaveLength(100)
  })

  test('names of services are read back from paths', async () => {
    await using dir = await tempDir()
    keep(dir.path, 'a%2Fb%C3%A4/2026-05-31.ndjson', textOf(linesOf(1)))
    keep(dir.path, 'other/2026-05-31.2.ndjson', textOf(linesOf(1)))
    expect((await ask(dir.path, { services: new Set(['a/bä']) })).numbers).toEqual([0])
    expect((await ask(dir.path, { where: compileExpression('service == "other"') })).numbers).toEqual([0])
  })
})

describe('what does not belong there', () => {
  test('other files, links, folders and pipes are passed over, and said', async () => {
    await using dir = await tempDir()
    await using outside = await tempDir()
    const secret = keep(outside.path, 'secret.ndjson', textOf([{ level: 30, time: startMs, n: 99 }]))
    keep(dir.path, 'shop/2026-05-31.ndjson', textOf(linesOf(3)))
    keep(dir.path, 'shop/notes.txt', 'nothing')
    keep(dir.path, 'shop/.hidden.ndjson', textOf(linesOf(3)))
    symlinkSync(secret, join(dir.path, 'shop/link.ndjson'))
    symlinkSync(outside.path, join(dir.path, 'linked'))
    const { numbers, report } = await ask(dir.path)
    expect(numbers).toEqual([0, 1, 2])
    expect([report.foreign, report.unreadable]).toEqual([1, []])
  })

  test('lines that are no JSON, too long, or unfinished are counted', async () => {
    await using dir = await tempDir()
    const [a, b] = linesOf(2)
    const long = JSON.stringify({ level: 30, time: startMs, n: 5, pad: 'x'.repeat(lineBytesMax) })
    keep(dir.path, 'shop/2026-05-31.ndjson', `${JSON.stringify(a)}\nnot json\n${long}\n\n${JSON.stringify(b)}\n{"level":30,"ti`)
    const { lines, report } = await ask(dir.path, {}, {})
    expect(lines).toEqual([JSON.stringify(a), 'not json', JSON.stringify(b)])
    expect([report.invalid, report.longLines, report.torn]).toEqual([1, 1, 1])
    expect((await ask(dir.path, { sinceMs: 0 })).numbers).toEqual([0, 1])
  })

  test('a last line that only lacks its line feed is given', async () => {
    await using dir = await tempDir()
    keep(dir.path, 'shop/2026-05-31.ndjson', textOf(linesOf(3)).trimEnd())
    expect((await ask(dir.path)).numbers).toEqual([0, 1, 2])
  })

  test('lines in other orders, with dates as text or with twisted names, are understood', async () => {
    await using dir = await tempDir()
    const lines = [
      `{"time":${startMs},"n":0,"level":60}`,
      `{"level":"error","time":"2026-05-31T12:00:01.000Z","n":1}`,
      `{ "level": 50, "time": ${startMs + 2_000}, "n": 2 }`,
      `{"level":50,"time":${startMs + 3_000}.5,"n":3}`,
      `{"level":50,"time":${startMs + 4_000},"n":4,"__proto__":{"level":10}}`,
      `{"severity":"ERROR","time":${startMs + 5_000},"n":5}`,
      `{"level":30,"time":${startMs + 6_000},"n":6,"msg":"\\"level\\":50"}`,
      `{"level":50,"time":${startMs + 7_000},"n":7,"re\\u0073":{"statusCod\\u0065":503}}`,
    ]
    keep(dir.path, 'shop/2026-05-31.ndjson', `${lines.join('\n')}\n`)
    expect((await ask(dir.path, { rankMin: 4, sinceMs: startMs, untilMs: startMs + 60_000 })).numbers).toEqual([0, 1, 2, 3, 4, 5, 7])
    expect((await ask(dir.path, { where: compileExpression('res.statusCode >= 500') })).numbers).toEqual([7])
  })

  test('a cut or damaged gzip gives what can be read, and is said', async () => {
    await using dir = await tempDir()
    const path = keep(dir.path, 'shop/2026-05-31.ndjson.gz', textOf(linesOf(3_000, padded)), { linesPerMember: 100 })
    truncateSync(path, Math.floor(statSync(path).size / 2))
    const cut = await ask(dir.path)
    expect(cut.numbers.length).toBeGreaterThan(1_000)
    expect(cut.numbers).toEqual(Array.from({ length: cut.numbers.length }, (_, n) => n))
    expect(cut.report.unreadable).toHaveLength(1)
    expect(cut.report.unreadable[0]).toContain(path)
    const bytes = readFileSync(path)
    const middle = Math.floor(bytes.length / 2)
    bytes.fill(0xff, middle, middle + 200)
    writeFileSync(path, bytes)
    const damaged = await ask(dir.path)
    expect(damaged.numbers.length).toBeGreaterThan(500)
    expect(damaged.report.unreadable).toHaveLength(1)
  })

  test('what decompresses to a thousand times its size is read in pieces', async () => {
    await using dir = await tempDir()
    keep(
      dir.path,
      'shop/2026-05-31.ndjson.gz',
      gzipSync(Buffer.concat([Buffer.alloc(60_000_000, 120), Buffer.from(`\n${textOf(linesOf(2))}`)])),
    )
    const { numbers, report } = await ask(dir.path)
    expect(numbers).toEqual([0, 1])
    expect(report.longLines).toBe(1)
  })
})

describe('an index', () => {
  const lines = linesOf(4_000, padded)
  const conditions: Partial<LineConditions> = { sinceMs: minutes(10), untilMs: minutes(12) }
  const expected = numbersOf(lines, ({ time }) => time >= minutes(10) && time < minutes(12))

  async function indexed(dir: string): Promise<{ path: string; index: string }> {
    const path = keep(dir, 'shop/2026-05-31.ndjson', textOf(lines))
    expect((await ask(dir, conditions)).numbers).toEqual(expected)
    const index = indexPath(path)
    expect(existsSync(index)).toBe(true)
    // It is used: with it, most is not read.
    expect((await ask(dir, conditions)).report.bytes).toBeLessThan(textOf(lines).length / 2)
    return { path, index }
  }

  test('is made for a file that rests, and never beside one that was just written', async () => {
    await using dir = await tempDir()
    keep(dir.path, 'shop/2026-05-31.ndjson', textOf(lines), { isActive: true })
    expect((await ask(dir.path, conditions)).numbers).toEqual(expected)
    expect(indexesIn(dir.path)).toEqual([])
  })

  test.each([
    ['emptied', () => ''],
    ['cut', (text: string) => text.slice(0, text.length / 2)],
    ['made of noise', () => '\u0000\uffff{]'],
    ['changed in one digit', (text: string) => text.replace(/\[\[0,1/, '[[0,2')],
    ['of another version', (text: string) => text.replace('"version":1', '"version":2')],
    ['deep', () => `${'['.repeat(100_000)}\n00000000\n`],
  ])('that was %s is not believed, and made anew', async (_, change) => {
    await using dir = await tempDir()
    const { index } = await indexed(dir.path)
    const good = readFileSync(index, 'utf8')
    writeFileSync(index, change(good), { mode: 0o600 })
    expect((await ask(dir.path, conditions)).numbers).toEqual(expected)
    expect(readFileSync(index, 'utf8')).toBe(good)
  })

  test('made when a file is closed serves the first query, whatever its path says of levels', async () => {
    await using dir = await tempDir()
    const untold = linesOf(4_000, () => ({ level: undefined, pad: padding }))
    const path = keep(dir.path, 'error/2026-05-31.ndjson.gz', textOf(untold), { linesPerMember: 500 })
    expect(await buildIndex(path)).toBe(true)
    const template = join(dir.path, '{level}/{date}.ndjson')
    const errors = await ask(dir.path, { ...conditions, rankMin: 4 }, { template })
    expect([errors.numbers, errors.report.bytes < textOf(untold).length / 2]).toEqual([expected, true])
    expect((await ask(dir.path, { rankMin: 4 })).report.bytes).toBe(0)
    expect(await buildIndex(keep(dir.path, 'x/2026-05-31.ndjson.gz', Buffer.from('no gzip')))).toBe(false)
  })

  test('of a file that has changed since is not believed', async () => {
    await using dir = await tempDir()
    const { path, index } = await indexed(dir.path)
    const before = readFileSync(index, 'utf8')
    const late = { level: 30, time: minutes(11), n: 4_711 }
    writeFileSync(path, textOf([late, ...lines]))
    utimesSync(path, new Date(), new Date(Date.now() - 3_000_000))
    expect((await ask(dir.path, conditions)).numbers).toEqual([4_711, ...expected])
    expect(readFileSync(index, 'utf8')).not.toBe(before)
  })

  test('that others can write, or that is a link, is not believed', async () => {
    await using dir = await tempDir()
    const { index } = await indexed(dir.path)
    const size = textOf(lines).length
    chmodSync(index, 0o666)
    expect((await ask(dir.path, conditions)).report.bytes).toBe(size)
    chmodSync(index, 0o666)
    const elsewhere = join(dir.path, 'elsewhere')
    writeFileSync(elsewhere, readFileSync(index), { mode: 0o600 })
    rmSync(index)
    symlinkSync(elsewhere, index)
    expect((await ask(dir.path, conditions)).report.bytes).toBe(size)
  })

  test('is not needed by other tools, and where it cannot be written answers are the same', async () => {
    await using dir = await tempDir()
    const path = keep(dir.path, 'shop/2026-05-31.ndjson.gz', textOf(lines), { linesPerMember: 500 })
    expect(gunzipSync(readFileSync(path)).toString()).toBe(textOf(lines))
    // A folder stands where the index would be.
    mkdirSync(indexPath(path))
    expect((await ask(dir.path, conditions)).numbers).toEqual(expected)
    expect((await ask(dir.path, conditions)).numbers).toEqual(expected)
  })
})

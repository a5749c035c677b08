import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type RetainedFile, removals } from '../../../collector/sinks/retention.ts'

const nowMs = 1_000_000
const file = (path: string, writtenAtMs: number, more: Partial<RetainedFile> = {}): RetainedFile => ({
  path,
  stream: path.split('/')[0] ?? '',
  bytes: 10,
  writtenAtMs,
  isClosed: true,
  ...more,
})
const some = [file('a/1', 1), file('b/1', 2), file('a/2', 3), file('a/3', 4), file('b/2', 5), file('a/now', 6, { isClosed: false })]
const removed = (keep: Parameters<typeof removals>[1], freeBytes?: number) =>
  removals(some, keep, { nowMs, freeBytes }).map(({ file: { path }, reason }) => `${path} ${reason}`)

describe('removed are', () => {
  test('none without a bound', () => expect(removed({})).toEqual([]))
  test('those nothing was written to for too long', () => expect(removed({ ageMs: nowMs - 3 })).toEqual(['a/1 age', 'b/1 age']))
  test('the oldest of each stream that has too many', () => expect(removed({ files: 1 })).toEqual(['a/1 files', 'b/1 files', 'a/2 files']))
  test('the oldest of all while there are too many bytes, those that are written to included', () =>
    expect(removed({ bytes: 35 })).toEqual(['a/1 bytes', 'b/1 bytes', 'a/2 bytes']))
  test('the oldest of all while too little is free', () =>
    expect(removed({ freeBytes: 100 }, 75)).toEqual(['a/1 free', 'b/1 free', 'a/2 free']))
  test('none when it is not known what is free', () => expect(removed({ freeBytes: 100 })).toEqual([]))
  test('each for one reason, and what goes for one counts for the others', () =>
    expect(removed({ ageMs: nowMs - 2, files: 2, bytes: 45, freeBytes: 100 }, 80)).toEqual(['a/1 age', 'b/1 bytes']))
})

test('whatever the bounds: never one that is written to, the oldest first, and none too many', () => {
  const files = fc.array(
    fc.record({ stream: fc.constantFrom('a', 'b', 'c'), bytes: fc.nat(100), writtenAtMs: fc.nat(1_000), isClosed: fc.boolean() }),
    { maxLength: 30 },
  )
  const bound = fc.option(fc.integer({ min: 1, max: 800 }), { nil: undefined })
  const keep = fc.record({ ageMs: bound, files: bound, bytes: bound, freeBytes: bound })
  fc.assert(
    fc.property(files, keep, fc.nat(800), (made, bounds, freeBytes) => {
      const all = made.map((one, i) => ({ ...one, path: `${one.stream}/${i}` }))
      const gone = removals(all, bounds, { nowMs: 1_000, freeBytes })
      expect(gone.every(({ file: { isClosed } }) => isClosed)).toBe(true)
      expect(new Set(gone.map(({ file: { path } }) => path)).size).toBe(gone.length)
      const times = gone.map(({ file: { writtenAtMs } }) => writtenAtMs)
      expect(times).toEqual([...times].sort((a, b) => a - b))
      const left = all.filter((one) => !gone.some((removal) => removal.file === one))
      const closed = left.filter(({ isClosed }) => isClosed)
      const sum = left.reduce((bytes, one) => bytes + one.bytes, 0)
      if (closed.length > 0) {
        for (const one of closed) expect(1_000 - one.writtenAtMs).toBeLessThanOrEqual(bounds.ageMs ?? Number.POSITIVE_INFINITY)
        expect(sum).toBeLessThanOrEqual(bounds.bytes ?? Number.POSITIVE_INFINITY)
        for (const stream of ['a', 'b', 'c'])
          expect(closed.filter((one) => one.stream === stream).length).toBeLessThanOrEqual(bounds.files ?? Number.POSITIVE_INFINITY)
      }
      // The last one removed for room was needed.
      const last = gone.at(-1)
      if (last?.reason === 'bytes') expect(sum + last.file.bytes).toBeGreaterThan(bounds.bytes ?? 0)
    }),
    { numRuns: 500 },
  )
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Range, RangeSet } from '../../wire/range-set.ts'

const numbersMax = 48

/** The same set as one boolean per number. */
class Bitmap {
  readonly bits: boolean[] = new Array(numbersMax).fill(false)

  set(from: number, to: number, isIn: boolean): void {
    for (let i = from; i < to; i += 1) this.bits[i] = isIn
  }

  /** Stretches of `[from, to)` whose numbers are in, or not in, the set. */
  stretches(from: number, to: number, isIn: boolean): Range[] {
    const found: Range[] = []
    for (let i = from; i < to; i += 1) {
      if (this.bits[i] !== isIn) continue
      const last = found.at(-1)
      if (last?.to === i) found[found.length - 1] = { from: last.from, to: i + 1 }
      else found.push({ from: i, to: i + 1 })
    }
    return found
  }
}

// Ends before beginnings are in it on purpose: they mean the empty range.
const anyRange = fc.record({ from: fc.nat(numbersMax - 1), to: fc.nat(numbersMax) })
const anyChange = fc.record({ range: anyRange, isAdded: fc.boolean() })

function filled(...ranges: readonly (readonly [number, number])[]): RangeSet {
  const set = new RangeSet()
  for (const [from, to] of ranges) set.add(from, to)
  return set
}

describe('against a bitmap', () => {
  test('holds the same numbers after any changes, as sorted ranges that never touch', () => {
    fc.assert(
      fc.property(fc.array(anyChange, { maxLength: 30 }), (changes) => {
        const set = new RangeSet()
        const bitmap = new Bitmap()
        for (const { range, isAdded } of changes) {
          const absent = bitmap.stretches(range.from, range.to, false)
          if (isAdded) expect(set.add(range.from, range.to)).toEqual(absent)
          else set.remove(range.from, range.to)
          bitmap.set(range.from, range.to, isAdded)
          const expected = bitmap.stretches(0, numbersMax, true)
          expect([...set]).toEqual(expected)
          expect(set.rangeCount).toBe(expected.length)
          expect(set.first).toEqual(expected[0])
          expect(set.last).toEqual(expected.at(-1))
          expect(set.size).toBe(bitmap.bits.filter(Boolean).length)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('answers has, missing and within for any window', () => {
    fc.assert(
      fc.property(fc.array(anyChange, { maxLength: 12 }), fc.array(anyRange, { minLength: 1, maxLength: 12 }), (changes, windows) => {
        const set = new RangeSet()
        const bitmap = new Bitmap()
        for (const { range, isAdded } of changes) {
          if (isAdded) set.add(range.from, range.to)
          else set.remove(range.from, range.to)
          bitmap.set(range.from, range.to, isAdded)
        }
        for (let i = 0; i < numbersMax; i += 1) expect(set.has(i)).toBe(bitmap.bits[i])
        for (const { from, to } of windows) {
          expect(set.within(from, to)).toEqual(bitmap.stretches(from, to, true))
          expect(set.missing(from, to)).toEqual(bitmap.stretches(from, to, false))
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('by example', () => {
  test('joins what touches', () => {
    const set = filled([0, 10], [20, 30])
    expect(set.add(10, 20)).toEqual([{ from: 10, to: 20 }])
    expect([...set]).toEqual([{ from: 0, to: 30 }])
  })

  test('tells what was not there before', () => {
    expect(filled([5, 10], [15, 20]).add(0, 30)).toEqual([
      { from: 0, to: 5 },
      { from: 10, to: 15 },
      { from: 20, to: 30 },
    ])
  })

  test('splits a range it takes the middle of', () => {
    const set = filled([0, 30])
    set.remove(10, 20)
    expect([...set]).toEqual([
      { from: 0, to: 10 },
      { from: 20, to: 30 },
    ])
  })

  test('within: a window that ends before it begins is empty, even inside a range', () => {
    expect(filled([0, 20]).within(10, 5)).toEqual([])
    expect(filled([0, 20]).within(5, 5)).toEqual([])
  })

  test('counts exactly up to 2^53-1', () => {
    const end = Number.MAX_SAFE_INTEGER
    const set = filled([end - 10, end])
    expect(set.size).toBe(10)
    expect(set.has(end - 1)).toBe(true)
    expect(set.has(end)).toBe(false)
    set.remove(end - 5, end)
    expect(set.last).toEqual({ from: end - 10, to: end - 5 })
    expect(set.missing(0, end)).toEqual([
      { from: 0, to: end - 10 },
      { from: end - 5, to: end },
    ])
  })

  test('twenty thousand ranges are added, joined and searched in well under a second', () => {
    const set = new RangeSet()
    const startedAtMs = performance.now()
    for (let i = 20_000; i > 0; i -= 1) set.add(i * 2, i * 2 + 1)
    expect(set.rangeCount).toBe(20_000)
    for (let i = 0; i < 20_000; i += 1) set.has(i)
    set.add(0, 40_002)
    expect(set.rangeCount).toBe(1)
    expect(performance.now() - startedAtMs).toBeLessThan(1_000)
  })
})

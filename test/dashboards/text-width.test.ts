import { describe, expect, test } from 'vitest'
import { cutMiddle, padEnd, textWidth } from '../../dashboards/text-width.ts'

describe('the width of a text', () => {
  test.each([
    ['', 0],
    ['abc', 3],
    ['über', 4],
    ['商品サービス', 12],
    ['한국어', 6],
    ['ＡＢ', 4],
    ['🚀', 2],
    ['e\u0301', 1],
    ['a\u200db', 2],
    ['𠮷野家', 6],
    ['…–≤', 3],
    ['\u2764\ufe0f', 2],
  ])('of %j is %i', (text, columns) => {
    expect(textWidth(text)).toBe(columns)
  })
})

describe('a text cut in the middle', () => {
  test('stays as it is when it fits', () => {
    expect(cutMiddle('checkout', 8)).toBe('checkout')
    expect(cutMiddle('商品', 4)).toBe('商品')
  })

  test('keeps its beginning and its end', () => {
    expect(cutMiddle('log.info.checkout.payments.', 11)).toBe('log.i…ents.')
    expect(cutMiddle('0123456789', 2)).toBe('0…')
    expect(cutMiddle('0123456789', 1)).toBe('…')
    expect(cutMiddle('0123456789', 0)).toBe('')
  })

  test.each([
    ['wide characters', '商品サービス'.repeat(20)],
    ['astral characters', '🚀𠮷'.repeat(50)],
    ['flags', '🇩🇪'.repeat(50)],
    ['joined emoji', '👩‍👩‍👧‍👦'.repeat(50)],
    ['letters with a mark each', 'e\u0301'.repeat(200)],
    ['wide and narrow by turns', 'a商'.repeat(50)],
    ['a very long one', 'x'.repeat(1_000_000)],
  ])('never takes more than it may: %s', (_what, text) => {
    for (let columns = 0; columns < 60; columns += 1) {
      const cut = cutMiddle(text, columns)
      expect(textWidth(cut)).toBeLessThanOrEqual(columns)
      expect(textWidth(cut)).toBeGreaterThanOrEqual(Math.max(0, columns - 4))
      expect(cut).not.toMatch(/\p{Cs}/u)
    }
  })

  test('does not carry thousands of marks stacked on one letter', () => {
    const cut = cutMiddle(`a${'\u0301'.repeat(100_000)}b`, 20)
    expect(cut.length).toBeLessThanOrEqual(2 * 4 * 20)
  })
})

test('padding counts columns', () => {
  expect(padEnd('商品', 6)).toBe('商品  ')
  expect(padEnd('longer', 3)).toBe('longer')
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { visibleText } from '../../dashboards/visible-text.ts'

/** Everything that could act on a terminal, or hide: by code point, not by the categories the code uses. */
function isUnsafe(code: number): boolean {
  const ranges: readonly (readonly [number, number])[] = [
    [0x00, 0x1f], // C0: escape, bell, carriage return, line feed
    [0x7f, 0x9f], // DEL and C1: 8-bit CSI, OSC, DCS
    [0xad, 0xad], // soft hyphen
    [0x061c, 0x061c], // Arabic letter mark
    [0x200b, 0x200b], // zero-width space
    [0x200e, 0x200f], // left-to-right and right-to-left mark
    [0x2028, 0x202e], // separators, bidirectional embeddings and overrides
    [0x2060, 0x2064], // word joiner, invisible operators
    [0x2066, 0x206f], // bidirectional isolates
    [0xd800, 0xdfff], // half a pair
    [0xfeff, 0xfeff], // byte order mark
    [0xfff9, 0xfffb], // interlinear annotation
    [0xe0001, 0xe007f], // tags
  ]
  return ranges.some(([from, to]) => code >= from && code <= to && code !== 0xe0002 && !(code > 0xe0001 && code < 0xe0020))
}

test('shows every unsafe code point as an escape that JSON understands, wherever it stands', () => {
  for (let code = 0; code <= 0x10ffff; code += 1) {
    if (!isUnsafe(code)) continue
    const char = String.fromCodePoint(code)
    const shown = visibleText(`a${char}b`)
    expect(shown).toMatch(/^a(?:\\u[0-9a-f]{4})+b$/)
    expect(JSON.parse(`"${shown}"`)).toBe(`a${char}b`)
  }
})

test.each(['plain', 'grüße', '日本語', 'עברית', 'हिन्दी', '🎉', '👩‍👩‍👧', 'می‌خواهم', 'tab-less \\u001b as text', '', ' ', '\u00a0', '…'])(
  'leaves %j as it is',
  (text) => {
    expect(visibleText(text)).toBe(text)
  },
)

describe('for any text', () => {
  test('nothing unsafe is left, what was safe stays in its place, and showing twice changes nothing', () => {
    const unit = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.constantFrom('\u001b[2J', '\u009b', '\u202e', '\ud800', '\udc00', '\r\n', '\u200d', 'x'),
    )
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 20 }), (units) => {
        const text = units.join('')
        const shown = visibleText(text)
        for (const char of shown) expect(isUnsafe(char.codePointAt(0) ?? 0)).toBe(false)
        expect(visibleText(shown)).toBe(shown)
        const safe = (from: string) => [...from].filter((char) => !isUnsafe(char.codePointAt(0) ?? 0)).join('')
        if (!/[^ -~]/.test(text)) expect(shown).toBe(safe(text))
      }),
      { numRuns: 2_000 },
    )
  })

  test('a megabyte of escapes takes no time to speak of', () => {
    const startedAtMs = performance.now()
    expect(visibleText('\u001b'.repeat(1_048_576))).toHaveLength(6 * 1_048_576)
    expect(performance.now() - startedAtMs).toBeLessThan(2_000)
  })
})

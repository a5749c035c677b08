/**
 * How many columns a text takes on a terminal, and texts cut to fit. Where terminals disagree (flags, keycaps, emoji
 * joined into one) the larger width is taken: a line may then end early, but never wraps.
 */

/** Beyond this per column it is not a name but something that stacks marks on one letter. */
const unitsPerColumnMax = 4
/** East Asian wide and fullwidth, from Unicode 16, blocks with gaps taken whole. */
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2329, 0x232a],
  [0x2e80, 0x303e],
  [0x3041, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18dff],
  [0x1aff0, 0x1b2ff],
  [0x1d300, 0x1d37f],
  [0x1f000, 0x1f0ff],
  [0x1f100, 0x1faff],
  [0x20000, 0x3fffd],
]
const mark = /^\p{M}$/u
const emoji = /^\p{Emoji_Presentation}$/u
const zeroWidthJoiners = new Set([0x200c, 0x200d])
/** Asks for the emoji form of the character before it, which is wide. */
const emojiVariation = 0xfe0f

/** Columns of a text that holds no control characters; see visible-text.ts. */
export function textWidth(text: string): number {
  let columns = 0
  for (const char of text) columns += charWidth(char)
  return columns
}

/** Columns of one character: 0, 1 or 2. */
export function charWidth(char: string): number {
  const code = char.codePointAt(0) ?? 0
  if (code < 0x300) return 1
  if (code === emojiVariation) return 1
  if (zeroWidthJoiners.has(code) || mark.test(char)) return 0
  return wideRanges.some(([from, to]) => code >= from && code <= to) || emoji.test(char) ? 2 : 1
}

/** The text, or its beginning and its end with `…` between them, in at most `columns`. */
export function cutMiddle(text: string, columns: number): string {
  if (text.length <= unitsPerColumnMax * columns && textWidth(text) <= columns) return text
  if (columns < 1) return ''
  // Longer than anything that could fit need not be looked at.
  const chars = [...(text.length > 16 * columns ? text.slice(0, 8 * columns) + text.slice(-8 * columns) : text)]
  const tailColumns = Math.floor((columns - 1) / 2)
  const head = taken(chars, columns - 1 - tailColumns)
  const tail = taken(chars.reverse(), tailColumns).reverse()
  // A mark without its letter would sit on the ellipsis.
  while (tail[0] !== undefined && charWidth(tail[0]) === 0) tail.shift()
  return `${head.join('')}…${tail.join('')}`
}

function taken(chars: readonly string[], columns: number): string[] {
  const kept: string[] = []
  let width = 0
  let units = 0
  for (const char of chars) {
    width += charWidth(char)
    units += char.length
    if (width > columns || units > unitsPerColumnMax * columns) break
    kept.push(char)
  }
  return kept
}

/** Filled up with blanks to `columns`; longer texts stay as they are. */
export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - textWidth(text)))
}

/**
 * Text from elsewhere on a terminal: what could move the cursor, change colours, open links, write the clipboard or
 * turn the reading direction is shown as an escape, never sent. By category, not by list of known sequences: C0, DEL,
 * C1, line and paragraph separators, bidirectional controls, zero-width and other format characters, lone surrogates.
 */
const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu
const unsafeTest = new RegExp(unsafe.source, 'u')
/** Needed inside emoji and several scripts, and harmless on its own. */
const zeroWidthJoiners = new Set(['\u200c', '\u200d'])

/** The same text with every unsafe character as `\uXXXX`, which is what JSON would write inside a string. */
export function visibleText(text: string): string {
  if (!unsafeTest.test(text)) return text
  return text.replaceAll(unsafe, (char) => (zeroWidthJoiners.has(char) ? char : escaped(char)))
}

function escaped(char: string): string {
  let out = ''
  for (let i = 0; i < char.length; i += 1) out += `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`
  return out
}

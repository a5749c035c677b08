/** What a terminal in raw mode sends, as keys. */

/** A character as it was typed, or the name of a key that makes none. */
export type Key = string

const names: Readonly<Record<string, Key>> = {
  '\u0003': 'ctrl-c',
  '\u0004': 'ctrl-d',
  '\u000c': 'ctrl-l',
  '\u001a': 'ctrl-z',
  '\u001b': 'escape',
  '\r': 'enter',
  '\n': 'enter',
  '\t': 'tab',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u001b[A': 'up',
  '\u001b[B': 'down',
  '\u001b[5~': 'page-up',
  '\u001b[6~': 'page-down',
  '\u001b[H': 'home',
  '\u001b[F': 'end',
}
// An escape sequence as terminals send them for keys without a character, an escape alone, or any one character.
const introducer = '\u001b'
const tokens = new RegExp(`${introducer}(?:\\[[0-9;]*[A-Za-z~]|O[A-Za-z])|[\\s\\S]`, 'gu')

/** Unknown sequences and control characters are left out. */
export function keysIn(text: string): Key[] {
  const keys: Key[] = []
  for (const [token] of text.matchAll(tokens)) {
    const key = names[token] ?? names[token.replace('\u001bO', '\u001b[')]
    if (key !== undefined) keys.push(key)
    else if (!/^\p{C}/u.test(token)) keys.push(token)
  }
  return keys
}

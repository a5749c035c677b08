/**
 * InfluxDB's line protocol, written so that no name and no text can become anything else:
 *
 *   measurement,tag=value,tag=value field=1,field="text" 1700000000000000000
 *
 * Servers disagree about a backslash outside of quotes: some take `\\,` for an escaped comma behind a backslash, some
 * for a backslash and the end of the value. So none is ever written but in front of a comma, an equals sign or a space;
 * those of a name become `/`. Some split the text at every LF, quoted or not: control characters never leave here as
 * they are. In names they become `_`, in texts they are written as JSON writes them.
 * https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
 */

/** Longer names and tags are cut. InfluxDB 1.x refuses a series whose name and tags take 64 KiB together. */
export const nameCharsMax = 256
const cutHashChars = 9

const unsafeInName = /[\p{Cc}\\,= \ud800-\udfff\u2028\u2029]/u
const unsafeInText = /[\p{Cc}"\\]/u

/** A measurement, as it stands at the beginning of a line. */
export function measurementText(name: string): string {
  // A line that begins with a hash is a comment.
  const text = nameText(name).replace(/^#/, '_')
  return text === '' ? '_' : text
}

/** Key of a tag or field, or value of a tag. Empty when there is nothing to write: the line protocol has no empty ones. */
export function nameText(name: string): string {
  const short = name.length <= nameCharsMax ? name : cut(name)
  if (!unsafeInName.test(short)) return short
  return short
    .replaceAll('\\', '/')
    .replaceAll(/\p{Cc}|\u2028|\u2029/gu, '_')
    .replaceAll(/[\ud800-\udfff]/gu, '\ufffd')
    .replaceAll(/[,= ]/g, (char) => `\\${char}`)
}

/** `,key=value`; nothing for an empty key or value. */
export function tagText(key: string, value: string): string {
  const [keyText, valueText] = [nameText(key), nameText(value)]
  return keyText === '' || valueText === '' ? '' : `,${keyText}=${valueText}`
}

/** A text field's value, quotes included. */
export function stringText(text: string): string {
  if (!unsafeInText.test(text)) return `"${text}"`
  const plain = text.replaceAll(/\p{Cc}/gu, controlText)
  return `"${plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** A float field's value; undefined when there is none that the line protocol has. */
export function floatText(value: number): string | undefined {
  return Number.isFinite(value) ? String(value) : undefined
}

/** An integer field's value, never unsigned, which 1.x refuses; undefined for what is no whole number of at most 2^53. */
export function integerText(value: number): string | undefined {
  return Number.isSafeInteger(value) ? `${Object.is(value, -0) ? 0 : value}i` : undefined
}

function controlText(char: string): string {
  if (char === '\n') return '\\n'
  if (char === '\r') return '\\r'
  return char === '\t' ? '\\t' : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Two long names that differ behind the cut stay two. */
function cut(name: string): string {
  return `${name.slice(0, nameCharsMax - cutHashChars)}~${hashOf(name).toString(16).padStart(8, '0')}`
}

/** FNV-1a, 32 bits, over UTF-16 units. http://www.isthe.com/chongo/tech/comp/fnv/ */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** A text's UTF-8, one character per byte, as `buffer.toString('latin1')` gives it without decoding. */
export function bytesAsText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/**
 * A reader of the line protocol of its own, written from its description. Servers take a backslash outside of quotes
 * in two ways; `escapes` says which: 'pairs' takes it together with whatever follows, 'specials' only with a comma, an
 * equals sign or a space. Text is cut into lines first, as the least careful servers do.
 */
export interface ParsedPoint {
  readonly measurement: string
  readonly tags: readonly (readonly [key: string, value: string])[]
  readonly fields: readonly (readonly [key: string, value: string | number | bigint | boolean])[]
  readonly time: bigint
}

export function parseLines(text: string, escapes: 'pairs' | 'specials'): ParsedPoint[] {
  return text
    .split(/\r\n|\n|\r/)
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => new LineReader(line, escapes).point())
}

class LineReader {
  readonly #line: string
  readonly #escapes: 'pairs' | 'specials'
  #at = 0

  constructor(line: string, escapes: 'pairs' | 'specials') {
    this.#line = line
    this.#escapes = escapes
  }

  point(): ParsedPoint {
    const measurement = this.#name(', ')
    const tags: [string, string][] = []
    while (this.#takes(',')) {
      const key = this.#name('=')
      this.#expect('=')
      tags.push([key, this.#name(', ')])
    }
    this.#expect(' ')
    const fields: ParsedPoint['fields'][number][] = []
    do {
      const key = this.#name('=')
      this.#expect('=')
      fields.push([key, this.#value()])
    } while (this.#takes(','))
    this.#expect(' ')
    const time = this.#line.slice(this.#at)
    if (!/^-?\d{1,19}$/.test(time)) throw new Error(`no time: ${JSON.stringify(time)}`)
    return { measurement, tags, fields, time: BigInt.asIntN(64, BigInt(time)) }
  }

  #name(ends: string): string {
    let name = ''
    for (; this.#at < this.#line.length; this.#at += 1) {
      const char = this.#line[this.#at] ?? ''
      const next = this.#line[this.#at + 1] ?? ''
      if (char === '\\' && (',= '.includes(next) || this.#escapes === 'pairs') && next !== '') {
        name += ',= '.includes(next) ? next : char + next
        this.#at += 1
      } else if (ends.includes(char)) break
      else name += char
    }
    if (name === '') throw new Error(`an empty name at ${this.#at} of ${JSON.stringify(this.#line)}`)
    return name
  }

  #value(): string | number | bigint | boolean {
    if (this.#takes('"')) return this.#text()
    const start = this.#at
    while (this.#at < this.#line.length && !', '.includes(this.#line[this.#at] ?? '')) this.#at += 1
    const value = this.#line.slice(start, this.#at)
    if (value === 'true' || value === 'false') return value === 'true'
    if (/^-?\d+i$/.test(value)) return BigInt(value.slice(0, -1))
    if (/^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/.test(value)) return Number(value)
    throw new Error(`no value: ${JSON.stringify(value)}`)
  }

  #text(): string {
    let text = ''
    for (; ; this.#at += 1) {
      const char = this.#line[this.#at]
      if (char === undefined) throw new Error('a text without an end')
      if (char === '\\' && '"\\'.includes(this.#line[this.#at + 1] ?? ' ')) {
        this.#at += 1
        text += this.#line[this.#at]
      } else if (char === '"') break
      else text += char
    }
    this.#at += 1
    return text
  }

  #takes(char: string): boolean {
    if (this.#line[this.#at] !== char) return false
    this.#at += 1
    return true
  }

  #expect(char: string): void {
    if (!this.#takes(char)) throw new Error(`expected ${JSON.stringify(char)} at ${this.#at} of ${JSON.stringify(this.#line)}`)
  }
}

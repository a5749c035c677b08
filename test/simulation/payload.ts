/** Lines that say which record they are and could be no other: a pure function of seed, origin, topic and number. */
import { hashText } from './random.ts'

/** How much the lines of an origin hold beside their number. */
export type LineSize = 'short' | 'mixed' | 'long'

const filler = 'x'.repeat(4_096)

export class PayloadOf {
  readonly #key: number
  readonly #size: LineSize

  constructor(seed: number, origin: string, topic: string, size: LineSize) {
    this.#key = hashText(`${seed} ${origin} ${topic}`)
    this.#size = size
  }

  line(number: number): string {
    let mixed = Math.imul(this.#key ^ number, 0x9e3779b1)
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b) >>> 0
    return `{"n":${number},"is":"${mixed.toString(36)}","msg":"${filler.slice(0, this.#fillerChars(mixed))}"}\n`
  }

  #fillerChars(mixed: number): number {
    if (this.#size === 'short') return mixed & 7
    if (this.#size === 'long') return 150 + (mixed & 63)
    return mixed % 61 === 0 ? 2_000 : mixed % 13 === 0 ? 300 : mixed & 31
  }
}

/** The number the first of some lines says it has. */
export function numberIn(lines: string): number {
  return Number(/^\{"n":(\d+),/.exec(lines)?.[1])
}

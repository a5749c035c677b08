/** Which attribute strings are what they should be. Each is read once; the same few thousand come again and again. */
import type { PointsBody } from '../../wire/points.ts'
import { decodeAttributes } from '../../wire/points.ts'

/** Characters remembered: some 80,000 series of the usual length. */
const knownCharsMax = 8_388_608

export class KnownAttributes {
  readonly #known = new Set<string>()
  #knownChars = 0

  /** Whether every point's attributes are one JSON object in its one form, as docs/WIRE.md says. */
  areGood({ instruments }: PointsBody): boolean {
    for (const { points } of instruments) for (const { attributes } of points) if (!this.#isGood(attributes)) return false
    return true
  }

  #isGood(text: string): boolean {
    if (this.#known.has(text)) return true
    if (decodeAttributes(text) === undefined) return false
    // Names come without end; the cache starts over.
    if (this.#knownChars + text.length > knownCharsMax) {
      this.#known.clear()
      this.#knownChars = 0
    }
    this.#known.add(text)
    this.#knownChars += text.length
    return true
  }
}

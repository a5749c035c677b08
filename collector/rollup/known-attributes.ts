/** Which attribute strings are what they should be. Each is read once; the same few thousand come again and again. */
import type { PointsBody } from '../../wire/points.ts'
import { decodeAttributes } from '../../wire/points.ts'

/** Strings remembered; at 100 to 200 bytes each a few MiB. */
const knownMax = 32_768

export class KnownAttributes {
  readonly #known = new Set<string>()

  /** Whether every point's attributes are one JSON object in its one form, as docs/WIRE.md says. */
  areGood({ instruments }: PointsBody): boolean {
    for (const { points } of instruments) for (const { attributes } of points) if (!this.#isGood(attributes)) return false
    return true
  }

  #isGood(text: string): boolean {
    if (this.#known.has(text)) return true
    if (decodeAttributes(text) === undefined) return false
    // Names come without end; the cache starts over.
    if (this.#known.size >= knownMax) this.#known.clear()
    this.#known.add(text)
    return true
  }
}

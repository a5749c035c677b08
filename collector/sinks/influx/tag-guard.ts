/** Keeps a tag from making series without end: what a tag may have beside its first values becomes `~other`, counted. */
import { hashOf } from './line-protocol.ts'

const otherValue = '~other'
/** Tags whose values are followed; later ones get no value of their own. */
const guardedTagsMax = 1_000

export class TagGuard {
  /** Values that were folded, each time one was. */
  folded = 0
  readonly #valuesMax: number
  readonly #onFirst: (tag: string) => void
  /** Hashes: a value may be long, and two that share one only share a place. */
  readonly #values = new Map<string, Set<number>>()
  readonly #full = new Set<string>()

  /** @param onFirst - Told once for each tag that has too many. */
  constructor(valuesMax: number, onFirst: (tag: string) => void) {
    this.#valuesMax = valuesMax
    this.#onFirst = onFirst
  }

  value(tag: string, value: string): string {
    let values = this.#values.get(tag)
    if (values === undefined) {
      if (this.#values.size >= guardedTagsMax) return this.#fold(tag)
      values = new Set()
      this.#values.set(tag, values)
    }
    const hash = hashOf(value)
    if (values.has(hash)) return value
    if (values.size >= this.#valuesMax) return this.#fold(tag)
    values.add(hash)
    return value
  }

  #fold(tag: string): string {
    this.folded += 1
    if (!this.#full.has(tag) && this.#full.size < guardedTagsMax) {
      this.#full.add(tag)
      this.#onFirst(tag)
    }
    return otherValue
  }
}

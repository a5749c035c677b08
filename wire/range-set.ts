/**
 * A set of whole numbers as sorted, disjoint, never touching half-open ranges `[from, to)`.
 * Pure; every change costs one binary search and the ranges it joins.
 */
export interface Range {
  readonly from: number
  /** Exclusive. */
  readonly to: number
}

export class RangeSet {
  readonly #froms: number[] = []
  readonly #tos: number[] = []

  get rangeCount(): number {
    return this.#froms.length
  }

  get first(): Range | undefined {
    return this.#at(0)
  }

  get last(): Range | undefined {
    return this.#at(this.#froms.length - 1)
  }

  /** How many numbers are in the set. */
  get size(): number {
    let size = 0
    for (let i = 0; i < this.#froms.length; i += 1) size += (this.#tos[i] ?? 0) - (this.#froms[i] ?? 0)
    return size
  }

  /** Adds `[from, to)` and returns what was not there before, ascending. */
  add(from: number, to: number): Range[] {
    if (to <= from) return []
    // The common case of a stream: directly behind the last range.
    const lastIndex = this.#froms.length - 1
    if (lastIndex >= 0 && this.#tos[lastIndex] === from) {
      this.#tos[lastIndex] = to
      return [{ from, to }]
    }
    const fresh = this.missing(from, to)
    const start = this.#firstEndingAtOrAfter(from)
    let end = start
    let joinedFrom = from
    let joinedTo = to
    while (end < this.#froms.length && (this.#froms[end] ?? 0) <= to) {
      joinedFrom = Math.min(joinedFrom, this.#froms[end] ?? joinedFrom)
      joinedTo = Math.max(joinedTo, this.#tos[end] ?? joinedTo)
      end += 1
    }
    this.#froms.splice(start, end - start, joinedFrom)
    this.#tos.splice(start, end - start, joinedTo)
    return fresh
  }

  /** Takes `[from, to)` out. */
  remove(from: number, to: number): void {
    if (to <= from) return
    const start = this.#firstEndingAtOrAfter(from + 1)
    const keptFroms: number[] = []
    const keptTos: number[] = []
    let end = start
    while (end < this.#froms.length && (this.#froms[end] ?? 0) < to) {
      const rangeFrom = this.#froms[end] ?? 0
      const rangeTo = this.#tos[end] ?? 0
      if (rangeFrom < from) {
        keptFroms.push(rangeFrom)
        keptTos.push(from)
      }
      if (rangeTo > to) {
        keptFroms.push(to)
        keptTos.push(rangeTo)
      }
      end += 1
    }
    this.#froms.splice(start, end - start, ...keptFroms)
    this.#tos.splice(start, end - start, ...keptTos)
  }

  has(value: number): boolean {
    const index = this.#firstEndingAtOrAfter(value + 1)
    return index < this.#froms.length && (this.#froms[index] ?? 0) <= value
  }

  /** The parts of `[from, to)` that are not in the set, ascending. */
  missing(from: number, to: number): Range[] {
    const missing: Range[] = []
    let at = from
    for (let i = this.#firstEndingAtOrAfter(from + 1); i < this.#froms.length && at < to; i += 1) {
      const rangeFrom = this.#froms[i] ?? 0
      if (rangeFrom >= to) break
      if (rangeFrom > at) missing.push({ from: at, to: rangeFrom })
      at = Math.max(at, this.#tos[i] ?? at)
    }
    if (at < to) missing.push({ from: at, to })
    return missing
  }

  /** The parts of `[from, to)` that are in the set, ascending. */
  within(from: number, to: number): Range[] {
    const parts: Range[] = []
    if (to <= from) return parts
    for (let i = this.#firstEndingAtOrAfter(from + 1); i < this.#froms.length; i += 1) {
      const range = this.#at(i)
      if (range === undefined || range.from >= to) break
      parts.push({ from: Math.max(range.from, from), to: Math.min(range.to, to) })
    }
    return parts
  }

  *[Symbol.iterator](): Generator<Range> {
    for (let i = 0; i < this.#froms.length; i += 1) {
      const range = this.#at(i)
      if (range) yield range
    }
  }

  #at(index: number): Range | undefined {
    const from = this.#froms[index]
    const to = this.#tos[index]
    return from === undefined || to === undefined ? undefined : { from, to }
  }

  /** Index of the first range whose end is at or behind `value`. */
  #firstEndingAtOrAfter(value: number): number {
    let low = 0
    let high = this.#tos.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#tos[middle] ?? 0) < value) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Count, least, most and quantiles of numbers: exact up to some thousand, beyond that to within half a percent, in bounded memory. */

const exactMax = 4_096
/** Each bucket is a hundredth wide, so its middle is half of that away at most. */
const bucketRatio = Math.log(1.01)

export class Distribution {
  count = 0
  sum = 0
  min: number = Number.POSITIVE_INFINITY
  max: number = Number.NEGATIVE_INFINITY
  #exact: number[] | undefined = []
  /** Numbers above zero and below, by the logarithm of their size; zeros. At most some 140,000 buckets for all doubles. */
  readonly #above = new Map<number, number>()
  readonly #below = new Map<number, number>()
  #zeros = 0

  add(value: number): void {
    this.count += 1
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
    if (this.#exact === undefined) return this.#bucket(value)
    this.#exact.push(value)
    if (this.#exact.length <= exactMax) return
    for (const each of this.#exact) this.#bucket(each)
    this.#exact = undefined
  }

  #bucket(value: number): void {
    if (value === 0) {
      this.#zeros += 1
      return
    }
    const buckets = value > 0 ? this.#above : this.#below
    const index = Math.floor(Math.log(Math.abs(value)) / bucketRatio)
    buckets.set(index, (buckets.get(index) ?? 0) + 1)
  }

  /** The value below which this share of all are, by nearest rank; NaN when there are none. */
  quantile(share: number): number {
    if (this.count === 0) return Number.NaN
    const rank = Math.max(1, Math.ceil(share * this.count))
    if (this.#exact !== undefined) return [...this.#exact].sort((a, b) => a - b)[rank - 1] ?? Number.NaN
    let seen = 0
    for (const [middle, count] of this.#inOrder()) {
      seen += count
      if (seen >= rank) return Math.min(this.max, Math.max(this.min, middle))
    }
    return this.max
  }

  #inOrder(): (readonly [number, number])[] {
    const middle = (index: number) => Math.exp((index + 0.5) * bucketRatio)
    const below = [...this.#below].sort(([a], [b]) => b - a).map(([index, count]) => [-middle(index), count] as const)
    const above = [...this.#above].sort(([a], [b]) => a - b).map(([index, count]) => [middle(index), count] as const)
    return [...below, [0, this.#zeros], ...above]
  }
}

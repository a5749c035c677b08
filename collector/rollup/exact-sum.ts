/** A sum whose value does not show the order of its parts: what each addition rounds away is kept beside it. */
import { finiteSum } from '../../wire/exponential-histogram.ts'

export class ExactSum {
  #sum = 0
  #rest = 0

  add(value: number): void {
    // Knuth's two-sum.
    const sum = this.#sum + value
    const taken = sum - this.#sum
    this.#rest += this.#sum - (sum - taken) + (value - taken)
    this.#sum = sum
  }

  /** The nearest double; the largest there is for a sum beyond. */
  get value(): number {
    return finiteSum(this.#sum, this.#rest)
  }
}

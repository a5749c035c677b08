/** Random choices that can be made again: the same seed gives the same row. Not for secrets. */
export class SeededRandom {
  readonly seed: number
  #state: number

  constructor(seed: number) {
    this.seed = seed >>> 0
    this.#state = this.seed
  }

  /** From 0 up to, not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from `from` to `to`, both included. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1))
  }

  /** Another row, which does not move when this one is used more or less often. */
  branch(): SeededRandom {
    return new SeededRandom(this.integer(0, 0xffffffff))
  }
}

/** A seed for a run that was not given one; to be printed, so that the run can be made again. */
export function anySeed(): number {
  return Math.floor(Math.random() * 2 ** 32)
}

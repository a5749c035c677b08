/**
 * How full a queue is, and how full it has been: a queue that fills up and drains between two looks looks empty in
 * both. Setting it costs a comparison.
 */
export class Depth {
  now = 0
  #peak = 0

  set(value: number): void {
    this.now = value
    if (value > this.#peak) this.#peak = value
  }

  /** The most since this was last called, at least what it is now. Two who call it by turns each see half of the time. */
  takePeak(): number {
    const peak = this.#peak
    this.#peak = this.now
    return peak
  }
}

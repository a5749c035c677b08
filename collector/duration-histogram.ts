/** Durations counted in buckets, as Prometheus wants them: quantiles then merge over collectors and over time. */

/** Seconds. From a write into a battery-backed cache to a disk that is dying. */
const boundsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

export interface DurationCounts {
  /** Ascending bounds in seconds, and how many took at most so long. */
  readonly buckets: readonly (readonly [boundSeconds: number, count: number])[]
  readonly count: number
  readonly sumSeconds: number
  readonly maxSeconds: number
}

export class DurationHistogram {
  readonly #counts = boundsSeconds.map(() => 0)
  #count = 0
  #sumMs = 0
  #maxMs = 0

  observe(ms: number): void {
    const bucket = boundsSeconds.findIndex((bound) => ms <= bound * 1_000)
    if (bucket !== -1) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#count += 1
    this.#sumMs += ms
    this.#maxMs = Math.max(this.#maxMs, ms)
  }

  counts(): DurationCounts {
    let below = 0
    const buckets = boundsSeconds.map((bound, i): [number, number] => {
      below += this.#counts[i] ?? 0
      return [bound, below]
    })
    return { buckets, count: this.#count, sumSeconds: this.#sumMs / 1_000, maxSeconds: this.#maxMs / 1_000 }
  }
}

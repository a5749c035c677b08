/** What a scenario of the torture is, and what it is given. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { Findings } from './findings.ts'

/** `short` belongs to the tests, `long` to `npm run torture`. */
type Length = 'short' | 'long'

export interface Scenario {
  readonly name: string
  /** What has to hold, as one sentence. */
  readonly promise: string
  run(context: TortureContext, length: Length): Promise<Findings>
}

export class TortureContext {
  /** The only source of choices. */
  readonly random: SeededRandom
  readonly #signal: AbortSignal | undefined
  readonly #used: AsyncDisposable[] = []

  constructor(random: SeededRandom, signal?: AbortSignal) {
    this.random = random
    this.#signal = signal
  }

  /** Processes, folders and proxies: released when the scenario ends, the last one first. */
  use<T extends AsyncDisposable>(thing: T): T {
    this.#used.push(thing)
    return thing
  }

  async release(): Promise<void> {
    for (let thing = this.#used.pop(); thing !== undefined; thing = this.#used.pop()) await thing[Symbol.asyncDispose]()
  }

  /** Waits for a condition; throws when the run is interrupted. */
  until: typeof until = (condition, options) =>
    until(() => {
      this.#signal?.throwIfAborted()
      return condition()
    }, options)

  /** For faults that have a duration; throws when the run is interrupted. */
  async lasts(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#signal })
  }
}

/** A scenario from its two lengths. */
export function scenario<Parameters>(parts: {
  readonly name: string
  readonly promise: string
  readonly short: Parameters
  readonly long: Parameters
  readonly run: (context: TortureContext, findings: Findings, parameters: Parameters) => Promise<void>
}): Scenario {
  return {
    name: parts.name,
    promise: parts.promise,
    async run(context, length) {
      const findings = new Findings()
      try {
        await parts.run(context, findings, parts[length])
      } finally {
        await context.release()
      }
      return findings
    },
  }
}

import { sayOnStderr } from '../agent/unblocked-output.ts'
import { metricWarningsMax } from '../wire/limits.ts'

/** What an adapter says on stderr: once for each name, and of so many names; never waits. */
export class Warnings {
  readonly #who: string
  readonly #names = new Set<string>()

  constructor(who: string) {
    this.#who = who
  }

  say(name: string, text: string): void {
    const key = name.slice(0, 100)
    if (this.#names.has(key) || this.#names.size >= metricWarningsMax) return
    this.#names.add(key)
    sayOnStderr(`spillway: ${this.#who}: ${JSON.stringify(key)} ${text}\n`)
  }
}

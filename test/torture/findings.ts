/** What a scenario found: facts to be read, and numbers beside what they have to be. */
import { isDeepStrictEqual } from 'node:util'

export interface Check {
  readonly what: string
  readonly found: string
  readonly expected: string
  readonly isMet: boolean
}

export class Findings {
  readonly facts: (readonly [name: string, value: string])[] = []
  readonly checks: Check[] = []

  note(name: string, value: unknown): void {
    this.facts.push([name, shown(value)])
  }

  equal(what: string, found: unknown, expected: unknown): void {
    this.checks.push({ what, found: shown(found), expected: shown(expected), isMet: isDeepStrictEqual(found, expected) })
  }

  atLeast(what: string, found: number, least: number): void {
    this.checks.push({ what, found: shown(found), expected: `≥ ${shown(least)}`, isMet: found >= least })
  }

  atMost(what: string, found: number, most: number): void {
    this.checks.push({ what, found: shown(found), expected: `≤ ${shown(most)}`, isMet: found <= most })
  }

  /** One sentence per check that is not met. */
  get failures(): string[] {
    return this.checks.filter(({ isMet }) => !isMet).map(({ what, found, expected }) => `${what}: expected ${expected}, found ${found}`)
  }
}

function shown(value: unknown): string {
  return typeof value === 'number' ? value.toLocaleString('en-US') : typeof value === 'string' ? value : JSON.stringify(value)
}

/** Which attributes a rolled-up series keeps. What differs in nothing else becomes one series. */
import { type Attributes, decodeAttributes, encodeAttributes } from '../../wire/points.ts'

export interface GroupConfig {
  /** Attributes that stay, `service` among them; undefined for all. */
  readonly keep: readonly string[] | undefined
  /** Attributes that do not. */
  readonly drop: readonly string[]
}

export class GroupRules {
  /** False when the services of all applications are made one. */
  readonly keepsService: boolean
  readonly #keep: ReadonlySet<string> | undefined
  readonly #drop: ReadonlySet<string>

  constructor({ keep, drop }: GroupConfig) {
    this.#keep = keep === undefined ? undefined : new Set(keep)
    this.#drop = new Set(drop)
    this.keepsService = (this.#keep?.has('service') ?? true) && !this.#drop.has('service')
  }

  /** The attributes of the series that a point with these belongs to, as a text in the form points have. */
  group(text: string): string {
    if (this.#keep === undefined && this.#drop.size === 0) return text
    const attributes = decodeAttributes(text) ?? {}
    const kept: Record<string, Attributes[string]> = Object.create(null)
    for (const [key, value] of Object.entries(attributes)) if (this.#isKept(key)) kept[key] = value
    return encodeAttributes(kept)
  }

  #isKept(key: string): boolean {
    return (this.#keep?.has(key) ?? true) && !this.#drop.has(key)
  }
}

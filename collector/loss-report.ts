/**
 * When records were lost, not only how many: for each origin, topic and reason the first and the last time, as Aeron's
 * loss report has it. Pure; times are passed in.
 *
 * The number of entries is bounded. Beyond it the entry that was last added to the longest ago is folded into one entry
 * per reason, whose origin and topic are null, and whose times span those of all it holds. No record is ever outside
 * its entry's times; so whoever asks what was lost since some moment, and counts every entry that ends after it, counts
 * too much at most, never too little.
 */
import { lossEntriesMax } from '../wire/limits.ts'
import { asCount, asMap, type WireMap, type WireValue } from '../wire/msgpack.ts'
import { type LossReason, lossReasons } from '../wire/stream-ledger.ts'

/** Why a record will not be delivered: it never came, or it came and was given up. */
export type GivenUpReason = LossReason | 'expired' | 'rejected'

export interface Loss {
  readonly origin: string
  /** Null until the origin has introduced itself. */
  readonly service: string | null
  readonly topic: string
  readonly reason: GivenUpReason
  readonly records: number
  /** Unix ms. */
  readonly atMs: number
}

export interface LossEntry {
  /** Null, like service and topic, in an entry into which others were folded. */
  readonly origin: string | null
  readonly service: string | null
  readonly topic: string | null
  readonly reason: GivenUpReason
  readonly records: number
  /** Unix ms. */
  readonly firstAtMs: number
  readonly lastAtMs: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export class LossReport {
  readonly #entriesMax: number
  /** In the order in which they were last added to: the first is the one to fold. */
  readonly #entries = new Map<string, Mutable<LossEntry>>()
  readonly #folded = new Map<GivenUpReason, Mutable<LossEntry>>()

  /** @param entriesMax - Entries beside the folded ones, of which there is one per reason. @defaultValue 1,024 */
  constructor(entriesMax: number = lossEntriesMax) {
    this.#entriesMax = entriesMax
  }

  /** Takes what was just booked as lost, at a cost that does not depend on the number of entries. Nothing is nothing. */
  booked({ origin, service, topic, reason, records, atMs }: Loss): void {
    if (records <= 0) return
    // None of the three holds a space.
    const key = `${origin} ${topic} ${reason}`
    const entry = this.#entries.get(key) ?? { origin, service, topic, reason, records: 0, firstAtMs: atMs, lastAtMs: atMs }
    entry.service ??= service
    add(entry, { records, firstAtMs: atMs, lastAtMs: atMs })
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    if (this.#entries.size > this.#entriesMax) this.#foldOldest()
  }

  #foldOldest(): void {
    const [oldest] = this.#entries
    if (oldest === undefined) return
    const [key, entry] = oldest
    this.#entries.delete(key)
    const folded = this.#folded.get(entry.reason)
    if (folded === undefined) this.#folded.set(entry.reason, { ...entry, origin: null, service: null, topic: null })
    else add(folded, entry)
  }

  /** Everything, to be kept on disk. */
  state(): WireValue {
    // Oldest first: the order in which they would be folded.
    return this.entries()
      .reverse()
      .map((entry) => ({ ...entry }))
  }

  /** Takes over what {@link state} said once, instead of what there is. */
  restore(state: WireValue | undefined): void {
    this.#entries.clear()
    this.#folded.clear()
    for (const value of Array.isArray(state) ? state : []) {
      const entry = readEntry(asMap(value) ?? {})
      if (entry === undefined) continue
      const { origin, topic, reason } = entry
      if (origin === null || topic === null) this.#folded.set(reason, entry)
      else this.#entries.set(`${origin} ${topic} ${reason}`, entry)
    }
  }

  /** The last added to comes first, what was folded last. */
  entries(): LossEntry[] {
    return [...[...this.#entries.values()].reverse(), ...this.#folded.values()].map((entry) => ({ ...entry }))
  }
}

function readEntry(map: WireMap): Mutable<LossEntry> | undefined {
  const text = (key: string) => (typeof map[key] === 'string' ? map[key] : null)
  const reason = [...lossReasons, 'expired' as const, 'rejected' as const].find((known) => known === map['reason'])
  const [records, firstAtMs, lastAtMs] = [asCount(map['records']), asCount(map['firstAtMs']), asCount(map['lastAtMs'])]
  if (reason === undefined || records === undefined || firstAtMs === undefined || lastAtMs === undefined) return undefined
  return { origin: text('origin'), service: text('service'), topic: text('topic'), reason, records, firstAtMs, lastAtMs }
}

/** Clocks are set back now and then; a later loss may carry an earlier time. */
function add(entry: Mutable<LossEntry>, more: { readonly records: number; readonly firstAtMs: number; readonly lastAtMs: number }): void {
  entry.records += more.records
  entry.firstAtMs = Math.min(entry.firstAtMs, more.firstAtMs)
  entry.lastAtMs = Math.max(entry.lastAtMs, more.lastAtMs)
}

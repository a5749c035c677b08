/** A slot that is not on disk yet: series of all instruments, and what they were. */
import { type KeptInstrument, KeptSum, type KeptValue, kindOf } from './kept-value.ts'

interface Held {
  readonly instrument: KeptInstrument
  readonly series: Map<string, KeptValue | KeptSum>
}

export class MemorySlot {
  readonly startMs: number
  readonly endMs: number
  readonly #byKey = new Map<string, Held>()

  constructor(startMs: number, endMs: number) {
    this.startMs = startMs
    this.endMs = endMs
  }

  add(instrument: KeptInstrument, attributes: string, value: KeptValue): void {
    const key = instrumentKey(instrument)
    let held = this.#byKey.get(key)
    if (held === undefined) {
      held = { instrument, series: new Map() }
      this.#byKey.set(key, held)
    }
    const known = held.series.get(attributes)
    if (known === undefined) held.series.set(attributes, value)
    else if (known instanceof KeptSum) known.add(value)
    else {
      const sum = new KeptSum(kindOf(instrument.type))
      sum.add(known)
      sum.add(value)
      held.series.set(attributes, sum)
    }
  }

  addAll(other: MemorySlot): void {
    for (const { instrument, values } of other.instruments())
      for (const [attributes, value] of values) this.add(instrument, attributes, value)
  }

  *instruments(): Generator<{
    readonly instrument: KeptInstrument
    readonly values: Iterable<readonly [attributes: string, value: KeptValue]>
  }> {
    for (const { instrument, series } of this.#byKey.values()) yield { instrument, values: valuesOf(series) }
  }

  get isEmpty(): boolean {
    return this.#byKey.size === 0
  }
}

function* valuesOf(series: Held['series']): Generator<readonly [attributes: string, value: KeptValue]> {
  for (const [attributes, held] of series) yield [attributes, held instanceof KeptSum ? held.value() : held]
}

const keys = new WeakMap<KeptInstrument, string>()

/** What tells instruments apart. Each part may hold anything; their lengths say where one ends. */
export function instrumentKey(instrument: KeptInstrument): string {
  let key = keys.get(instrument)
  if (key === undefined) {
    const { service, unit, type, name } = instrument
    key = `${service?.length}.${unit.length}.${type}.${service}${unit}${name}`
    keys.set(instrument, key)
  }
  return key
}

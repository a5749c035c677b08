/**
 * Metrics of the last days, for pages that have no other place to look them up: windows of the roll-up as they are closed.
 *
 *   window closed ─► slot of 10 s ─► 10s-….kept   six hours
 *                         └ six of them ─► slot of a minute ─► 1m-….kept   a week
 *
 * - Bounded: series per file, bytes of all files, time. What there is no room for is counted.
 * - A killed process loses the windows that were open (40 s) and nothing that was closed: what it left half written is cut
 *   off, and the minute that was not over is put together again from the slots of 10 s.
 * - After an orderly end the rest of a window comes as a second slot of the same time. Readers add them up.
 */
import { join } from 'node:path'
import { keptTiers } from '../../wire/limits.ts'
import { KeptTier, type ReadRange, type VisitValue } from './kept-tier.ts'
import type { KeptInstrument, KeptValue } from './kept-value.ts'
import { MemorySlot } from './memory-slot.ts'

export interface KeptConfig {
  /** Of one file; 0 keeps nothing. */
  readonly seriesMax: number
  readonly bytesMax: number
}

export interface KeptOptions extends KeptConfig {
  /** The collector's folder; files are in `metrics/` there. */
  readonly dir: string
  /** Length of a window, ms. */
  readonly intervalMs: number
  readonly onTrouble: (message: string) => void
}

/** A value of a window that is still open, or is just being closed. */
export interface WindowValue {
  readonly instrument: KeptInstrument
  readonly attributes: string
  /** Unix ms. */
  readonly startMs: number
  readonly value: KeptValue
}

export interface KeptStatus {
  readonly bytes: number
  readonly bytesMax: number
  /** In the newest file. */
  readonly series: number
  readonly seriesMax: number
  /** Values of series there was no room for, and slots that could not be written, since the start. */
  readonly valuesNotKept: number
  readonly slotsLost: number
  /** Beginning of the oldest slot, Unix ms; null when there is none. */
  readonly oldestMs: Readonly<Record<'10s' | '1m', number | null>>
  /** Why it could not be written last; null while all is well. */
  readonly error: string | null
}

/** Over a longer time than this, and by the minute, six times fewer slots are read. */
const coarseFromMs = 3_600_000
/** Files of one tier, at least; the bound on all bytes is kept by removing whole files. */
const segmentsMin = 8

export class KeptMetrics {
  readonly #options: KeptOptions
  readonly #fine: KeptTier
  readonly #coarse: KeptTier
  readonly #open = new Map<number, MemorySlot>()
  /** Slots of the minute that is not over. */
  #minute: MemorySlot[] = []
  /** Length of a slot, ms. */
  readonly fineMs: number
  readonly coarseMs: number

  constructor(options: KeptOptions) {
    this.#options = options
    const { dir, seriesMax, bytesMax, intervalMs, onTrouble } = options
    const common = { dir: join(dir, 'metrics'), seriesMax, segmentBytesMax: bytesMax / (2 * segmentsMin), onTrouble }
    const [fine, coarse] = keptTiers
    if (fine === undefined || coarse === undefined) throw new RangeError('there are two tiers')
    this.fineMs = Math.max(fine.stepMs, intervalMs)
    this.coarseMs = Math.max(coarse.stepMs, intervalMs)
    this.#fine = new KeptTier({ ...common, tier: fine, isSynced: false })
    this.#coarse = new KeptTier({ ...common, tier: coarse, isSynced: true })
  }

  get isOn(): boolean {
    return this.#options.seriesMax > 0
  }

  async open(): Promise<void> {
    if (!this.isOn) return
    try {
      await this.#fine.open()
      await this.#coarse.open()
      await this.#restoreMinute()
    } catch (error) {
      this.#options.onTrouble(`metrics: ${error instanceof Error ? error.message : error}; newer ones are tried again`)
    }
  }

  /** Slots of 10 s that no minute was made of: the process before this one did not get to it. */
  async #restoreMinute(): Promise<void> {
    const fromMs = this.#coarse.newestMs ?? 0
    const slots = new Map<number, MemorySlot>()
    const range = { fromMs, toMs: Number.MAX_SAFE_INTEGER, wants: () => true, signal: new AbortController().signal }
    await this.#fine.read(range, [], ({ startMs, endMs }, instrument, attributes, value) => {
      if (startMs < fromMs) return
      let slot = slots.get(startMs)
      if (slot === undefined) {
        slot = new MemorySlot(startMs, endMs)
        slots.set(startMs, slot)
        // Hours of them are put together as they come: memory holds a minute.
        const left = new Set(this.#mergeMinutes([...slots.values()], startMs))
        for (const each of slots.values()) if (!left.has(each)) slots.delete(each.startMs)
      }
      slot.add(instrument, attributes, value)
    })
    this.#minute = [...slots.values()]
  }

  /** Takes the value of a window that is closed. */
  take({ instrument, attributes, startMs, value }: WindowValue): void {
    if (!this.isOn) return
    addTo(this.#open, { instrument, attributes, startMs, value }, this.fineMs)
  }

  /** No window that ends until `upToMs` will be told any more. */
  seal(upToMs: number, nowMs: number): void {
    if (this.#open.size === 0 && this.#minute.length === 0) return
    const done = [...this.#open.values()].filter(({ endMs }) => endMs <= upToMs).sort((a, b) => a.startMs - b.startMs)
    for (const slot of done) {
      this.#open.delete(slot.startMs)
      this.#fine.append(slot)
      this.#minute.push(slot)
    }
    this.#minute = this.#mergeMinutes(this.#minute, upToMs)
    if (done.length > 0) this.#bound(nowMs)
  }

  /** Makes slots of all minutes that are over. Returns those that belong to others. */
  #mergeMinutes(slots: readonly MemorySlot[], upToMs: number): MemorySlot[] {
    const left: MemorySlot[] = []
    // A minute is never there without what it was made of.
    const { written } = this.#fine
    const merged = new Map<number, MemorySlot>()
    for (const slot of slots) {
      const startMs = Math.floor(slot.startMs / this.coarseMs) * this.coarseMs
      if (startMs + this.coarseMs > upToMs) {
        left.push(slot)
        continue
      }
      const minute = merged.get(startMs) ?? new MemorySlot(startMs, startMs + this.coarseMs)
      merged.set(startMs, minute)
      minute.addAll(slot)
    }
    for (const minute of [...merged.values()].sort((a, b) => a.startMs - b.startMs)) this.#coarse.append(minute, written)
    return left
  }

  #bound(nowMs: number): void {
    this.#fine.expire(nowMs)
    this.#coarse.expire(nowMs)
    while (this.#fine.bytes + this.#coarse.bytes > this.#options.bytesMax) {
      const [larger, smaller] = this.#fine.bytes > this.#coarse.bytes ? [this.#fine, this.#coarse] : [this.#coarse, this.#fine]
      if (!larger.removeOldest() && !smaller.removeOldest()) return
    }
  }

  /** Which slots to read for a stretch of time: the fine ones where they reach back so far and the coarse ones would not do. */
  tierFor({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }, stepMs: number): '10s' | '1m' {
    const oldestFineMs = this.#fine.oldestMs ?? 0
    const oldestCoarseMs = this.#coarse.oldestMs ?? Number.POSITIVE_INFINITY
    // The minute in which the fine ones begin reaches back no further than they do.
    const isInFine = fromMs >= oldestFineMs || oldestCoarseMs > oldestFineMs - this.coarseMs
    const isCoarseEnough = stepMs % this.coarseMs === 0 && toMs - fromMs > coarseFromMs
    return isInFine && !isCoarseEnough ? '10s' : '1m'
  }

  /**
   * Every value in a stretch of time, in the order of beginnings.
   *
   * @param open - Of windows that are not closed yet.
   */
  async read(tier: '10s' | '1m', range: ReadRange, open: Iterable<WindowValue>, visit: VisitValue): Promise<void> {
    const slots = new Map<number, MemorySlot>()
    for (const value of open) if (range.wants(value.instrument)) addTo(slots, value, this.fineMs)
    const inMemory = [...this.#open.values(), ...slots.values()]
    if (tier === '10s') return this.#fine.read(range, inMemory, visit)
    return this.#coarse.read(range, [...this.#minute, ...inMemory], visit)
  }

  /** Every series that is kept; often more than once. */
  *names(): Generator<readonly [instrument: KeptInstrument, attributes: string]> {
    yield* this.#coarse.names()
    yield* this.#fine.names()
  }

  status(): KeptStatus {
    const { seriesMax, bytesMax } = this.#options
    return {
      bytes: this.#fine.bytes + this.#coarse.bytes,
      bytesMax,
      series: this.#fine.series,
      seriesMax,
      valuesNotKept: this.#fine.valuesNotKept,
      slotsLost: this.#fine.slotsLost + this.#coarse.slotsLost,
      oldestMs: { '10s': this.#fine.oldestMs ?? null, '1m': this.#coarse.oldestMs ?? null },
      error: this.#fine.error ?? this.#coarse.error ?? null,
    }
  }

  /** @param open - Of windows that are not closed yet: what they have so far is kept. */
  async close(open: Iterable<WindowValue>): Promise<void> {
    if (!this.isOn) return
    for (const value of open) this.take(value)
    for (const slot of [...this.#open.values()].sort((a, b) => a.startMs - b.startMs)) this.#fine.append(slot)
    this.#open.clear()
    await this.#fine.close()
    await this.#coarse.close()
  }
}

function addTo(slots: Map<number, MemorySlot>, { instrument, attributes, startMs, value }: WindowValue, slotMs: number): void {
  const slotStartMs = Math.floor(startMs / slotMs) * slotMs
  let slot = slots.get(slotStartMs)
  if (slot === undefined) {
    slot = new MemorySlot(slotStartMs, slotStartMs + slotMs)
    slots.set(slotStartMs, slot)
  }
  slot.add(instrument, attributes, value)
}

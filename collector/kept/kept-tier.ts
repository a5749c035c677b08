/**
 * All files of one length of slots: the newest is appended to, the oldest are removed.
 *
 *   10s-1780000000000.kept   10s-1780003600000.kept   10s-1780007200000.kept ◄─ append
 *
 * A file that could not be written is not written to again: what it holds stays, and another one begins. What could not
 * be written is given up and counted; it is in the sinks. Nothing here is waited for.
 */
import { type FileHandle, mkdir, open, readdir, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { keptAttributesCharsMax, keptPendingBytesMax, keptRecordBytesMax, type keptTiers } from '../../wire/limits.ts'
import { writeFully } from '../write-buffer.ts'
import type { KeptInstrument, KeptKind, KeptValue } from './kept-value.ts'
import { kindOf } from './kept-value.ts'
import { instrumentKey, type MemorySlot } from './memory-slot.ts'
import {
  encodeNames,
  encodeRecord,
  readAt,
  readSegment,
  recordBody,
  type SegmentNames,
  type SegmentSeries,
  type SlotPlace,
  segmentMagic,
  segmentRecordTypes,
} from './segment-file.ts'
import { decodeSlot, encodeSlot } from './slot-codec.ts'

type Tier = (typeof keptTiers)[number]

interface Segment extends SegmentNames {
  readonly path: string
  /** From its name. */
  readonly startMs: number
  readonly slots: SlotPlace[]
  /** On disk. */
  bytes: number
  /** The same, with what is on its way there. */
  takenBytes: number
  /** End of its newest slot, one on its way included, Unix ms. */
  endMs: number
}

/** The segment that is appended to. */
interface Current {
  readonly segment: Segment
  readonly instrumentNumbers: Map<string, number>
  readonly seriesNumbers: Map<string, number>
  handle: FileHandle | undefined
  isBroken: boolean
}

export interface TierOptions {
  readonly dir: string
  readonly tier: Tier
  readonly seriesMax: number
  /** Of one file; a longer one is followed by another. */
  readonly segmentBytesMax: number
  /** Whether what was written is on the disk before it is said to be. */
  readonly isSynced: boolean
  readonly onTrouble: (message: string) => void
}

export interface ReadRange {
  readonly fromMs: number
  readonly toMs: number
  wants(instrument: KeptInstrument): boolean
  /** Read no further when this is. */
  readonly signal: AbortSignal
}

export type VisitValue = (
  slot: { readonly startMs: number; readonly endMs: number },
  instrument: KeptInstrument,
  attributes: string,
  value: KeptValue,
) => void

const readBytes = 262_144
/** Names between two slots are read along with them. */
const gapBytesMax = 65_536

export class KeptTier {
  readonly #options: TierOptions
  readonly #segments: Segment[] = []
  #current: Current | undefined
  #writing: Promise<void> = Promise.resolve()
  #pendingBytes = 0
  /** On their way to the disk. */
  readonly #unwritten: MemorySlot[] = []
  #isTroubleTold = false
  error: string | undefined
  /** Slots given up because they could not be written, and values of series there is no room for. */
  slotsLost = 0
  valuesNotKept = 0

  constructor(options: TierOptions) {
    this.#options = options
  }

  /** Reads what is there, cuts off what was left half written, and goes on where an earlier run ended. */
  async open(): Promise<void> {
    const { dir, tier } = this.#options
    const shape = new RegExp(`^${tier.name}-(\\d{1,16})\\.kept$`)
    const names = (await namesIn(dir)).flatMap((name) => {
      const startMs = shape.exec(name)?.[1]
      return startMs === undefined ? [] : [{ path: join(dir, name), startMs: Number(startMs) }]
    })
    names.sort((a, b) => a.startMs - b.startMs)
    for (const { path, startMs } of names) {
      const segment = await this.#readFile(path, startMs)
      if (segment !== undefined) this.#segments.push(segment)
    }
    const last = this.#segments.at(-1)
    if (last !== undefined) this.#current = currentOf(last)
  }

  async #readFile(path: string, startMs: number): Promise<Segment | undefined> {
    try {
      const handle = await open(path, 'r')
      try {
        const { end, ...contents } = await readSegment(handle)
        const { size } = await handle.stat()
        if (end < size && end >= segmentMagic.length) await truncate(path, end)
        if (end >= segmentMagic.length)
          return { path, startMs, bytes: end, takenBytes: end, endMs: contents.slots.at(-1)?.endMs ?? startMs, ...contents }
      } finally {
        await handle.close()
      }
      await unlink(path)
    } catch (error) {
      this.#trouble(`cannot read ${path}`, error)
    }
    return undefined
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { takenBytes }) => sum + takenBytes, 0)
  }

  get oldestMs(): number | undefined {
    return this.#segments.find(({ slots }) => slots.length > 0)?.slots[0]?.startMs
  }

  /** End of the newest slot there is. */
  get newestMs(): number | undefined {
    const ends = this.#segments.filter(({ slots }) => slots.length > 0).map(({ endMs }) => endMs)
    return ends.length === 0 ? undefined : Math.max(...ends)
  }

  /** Series of the newest file. */
  get series(): number {
    return this.#current?.seriesNumbers.size ?? 0
  }

  /** Every series there is in some file; often more than once. */
  *names(): Generator<readonly [instrument: KeptInstrument, attributes: string]> {
    for (const { instruments, series } of this.#segments) {
      for (const { instrument, attributes } of series.values()) {
        const known = instruments.get(instrument)
        if (known !== undefined) yield [known, attributes]
      }
    }
  }

  /** Resolves when everything taken so far is written, or given up. Never rejects. */
  get written(): Promise<void> {
    return this.#writing
  }

  /**
   * Takes a slot, to be written as soon as the disk has taken those before it. Never waits.
   *
   * @param after - Is not written before this has resolved.
   */
  append(slot: MemorySlot, after?: Promise<void>): void {
    if (slot.isEmpty) return
    const current = this.#currentFor(slot)
    const chunks = this.#encode(slot, current)
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (bytes > keptRecordBytesMax || this.#pendingBytes + bytes > keptPendingBytesMax) {
      this.slotsLost += 1
      current.isBroken = true
      return
    }
    this.#pendingBytes += bytes
    current.segment.takenBytes += bytes
    current.segment.endMs = Math.max(current.segment.endMs, slot.endMs)
    this.#unwritten.push(slot)
    this.#writing = this.#writing.then(() => after).then(() => this.#write(slot, current, chunks, bytes))
  }

  #currentFor({ startMs }: MemorySlot): Current {
    const { tier, dir, segmentBytesMax } = this.#options
    const current = this.#current
    const isOver = current === undefined || current.isBroken || startMs >= current.segment.startMs + tier.segmentMs
    if (!isOver && current.segment.takenBytes < segmentBytesMax) return current
    const begunMs = Math.max(startMs, (current?.segment.startMs ?? 0) + 1)
    const path = join(dir, `${tier.name}-${begunMs}.kept`)
    const segment: Segment = {
      path,
      startMs: begunMs,
      slots: [],
      bytes: 0,
      takenBytes: segmentMagic.length,
      endMs: begunMs,
      instruments: new Map(),
      series: new Map(),
    }
    this.#segments.push(segment)
    const next = currentOf(segment)
    if (current !== undefined) this.#writing = this.#writing.then(() => close(current))
    this.#current = next
    return next
  }

  /** Names that are new in the file, if any, then the slot. */
  #encode(slot: MemorySlot, current: Current): readonly Buffer[] {
    const { segment, instrumentNumbers, seriesNumbers } = current
    const newInstruments: (readonly [number, KeptInstrument])[] = []
    const newSeries: (readonly [number, SegmentSeries])[] = []
    const sections: { instrument: number; values: (readonly [number, KeptValue])[] }[] = []
    for (const { instrument, values: all } of slot.instruments()) {
      const key = instrumentKey(instrument)
      let number = instrumentNumbers.get(key)
      const values: (readonly [number, KeptValue])[] = []
      for (const [attributes, value] of all) {
        const seriesKey = `${number ?? instrumentNumbers.size} ${attributes}`
        let series = number === undefined ? undefined : seriesNumbers.get(seriesKey)
        if (series === undefined) {
          if (seriesNumbers.size >= this.#options.seriesMax || attributes.length > keptAttributesCharsMax) {
            this.valuesNotKept += 1
            continue
          }
          if (number === undefined) {
            number = instrumentNumbers.size
            instrumentNumbers.set(key, number)
            segment.instruments.set(number, instrument)
            newInstruments.push([number, instrument])
          }
          series = seriesNumbers.size
          seriesNumbers.set(seriesKey, series)
          segment.series.set(series, { instrument: number, attributes })
          newSeries.push([series, { instrument: number, attributes }])
        }
        values.push([series, value])
      }
      if (number !== undefined && values.length > 0) sections.push({ instrument: number, values })
    }
    const names = newSeries.length > 0 ? [encodeNames(newInstruments, newSeries)] : []
    return [...names, encodeRecord(segmentRecordTypes.slot, encodeSlot(slot.startMs, slot.endMs, sections))]
  }

  async #write(slot: MemorySlot, current: Current, chunks: readonly Buffer[], bytes: number): Promise<void> {
    const { segment } = current
    try {
      // What came behind a slot that is not there may use names that are not there either.
      if (current.isBroken) throw new Error('what is before it could not be written')
      if (current.handle === undefined) {
        await mkdir(this.#options.dir, { recursive: true, mode: 0o700 })
        current.handle = await open(segment.path, 'a', 0o600)
        if (segment.bytes === 0) {
          await current.handle.appendFile(segmentMagic)
          segment.bytes = segmentMagic.length
        }
      }
      const { error } = await writeFully(current.handle, chunks)
      if (error !== undefined) throw error
      if (this.#options.isSynced) await current.handle.datasync()
      const record = chunks.at(-1)?.length ?? 0
      segment.slots.push({ startMs: slot.startMs, endMs: slot.endMs, offset: segment.bytes + bytes - record, bytes: record })
      segment.bytes += bytes
      this.error = undefined
      this.#isTroubleTold = false
    } catch (error) {
      current.isBroken = true
      this.slotsLost += 1
      // The next process would cut it off; a reader of this one never looks behind what it knows.
      if (segment.bytes > 0) await truncate(segment.path, segment.bytes).catch(() => undefined)
      this.#trouble('cannot write kept metrics', error)
    } finally {
      this.#pendingBytes -= bytes
      this.#unwritten.splice(this.#unwritten.indexOf(slot), 1)
    }
  }

  #trouble(what: string, error: unknown): void {
    this.error = error instanceof Error ? error.message : String(error)
    if (this.#isTroubleTold) return
    this.#isTroubleTold = true
    this.#options.onTrouble(`metrics: ${what}: ${this.error}; newer ones are tried again`)
  }

  /** Removes files whose slots are all older than they are kept. */
  expire(nowMs: number): void {
    const { keepMs } = this.#options.tier
    while (this.#segments.length > 1) {
      if ((this.#segments[0]?.endMs ?? 0) > nowMs - keepMs) return
      this.removeOldest()
    }
  }

  /** @returns False when there is only the one that is written to. */
  removeOldest(): boolean {
    if (this.#segments.length < 2) return false
    const oldest = this.#segments.shift()
    if (oldest !== undefined) this.#writing = this.#writing.then(() => unlink(oldest.path).catch(() => undefined))
    return true
  }

  /**
   * Tells of every value in a stretch of time, in the order of slots' beginnings; those in memory that are given among them.
   * Reads a part at a time, so that nothing else waits long.
   */
  async read({ fromMs, toMs, wants, signal }: ReadRange, inMemory: readonly MemorySlot[], visit: VisitValue): Promise<void> {
    const overlaps = (slot: { readonly startMs: number; readonly endMs: number }) => slot.endMs > fromMs && slot.startMs < toMs
    const places = this.#segments.flatMap((segment) => segment.slots.filter(overlaps).map((place) => ({ segment, place })))
    places.sort((a, b) => a.place.startMs - b.place.startMs)
    const slots = [...this.#unwritten, ...inMemory].filter(overlaps).sort((a, b) => a.startMs - b.startMs)
    const handles = new Map<Segment, FileHandle | undefined>()
    let told = 0
    const tellUpTo = (startMs: number) => {
      for (; told < slots.length; told += 1) {
        const slot = slots[told]
        if (slot === undefined || slot.startMs >= startMs) return
        tellSlot(slot, wants, visit)
      }
    }
    try {
      for (let i = 0; i < places.length && !signal.aborted; ) {
        const run = runFrom(places, i)
        i += run.length
        const first = run[0]
        if (first === undefined) break
        if (!handles.has(first.segment)) handles.set(first.segment, await open(first.segment.path, 'r').catch(() => undefined))
        const handle = handles.get(first.segment)
        if (handle === undefined) continue
        const from = first.place.offset
        const last = run.at(-1)?.place ?? first.place
        const bytes = await readAt(handle, from, last.offset + last.bytes - from)
        for (const { segment, place } of run) {
          tellUpTo(place.startMs)
          const body = recordBody(bytes.subarray(place.offset - from, place.offset - from + place.bytes))
          if (body !== undefined) tellBody(body, place, segment, wants, visit)
        }
      }
    } finally {
      for (const handle of handles.values()) await handle?.close()
    }
    tellUpTo(Number.POSITIVE_INFINITY)
  }

  /** Resolves when everything that was taken is written, or given up. */
  async close(): Promise<void> {
    await this.#writing
    if (this.#current !== undefined) await close(this.#current)
  }
}

/** None, when the folder is not there yet: it is made with the first file. */
async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function currentOf(segment: Segment): Current {
  const instrumentNumbers = new Map([...segment.instruments].map(([number, instrument]) => [instrumentKey(instrument), number]))
  const seriesNumbers = new Map([...segment.series].map(([number, { instrument, attributes }]) => [`${instrument} ${attributes}`, number]))
  return { segment, instrumentNumbers, seriesNumbers, handle: undefined, isBroken: false }
}

async function close(current: Current): Promise<void> {
  await current.handle?.close().catch(() => undefined)
  current.handle = undefined
}

interface Placed {
  readonly segment: Segment
  readonly place: SlotPlace
}

/** Slots that stand one after the other, to be read at one go. */
function runFrom(places: readonly Placed[], from: number): readonly Placed[] {
  const first = places[from]
  if (first === undefined) return []
  let to = from + 1
  let end = first.place.offset + first.place.bytes
  for (; to < places.length; to += 1) {
    const next = places[to]
    if (next === undefined || next.segment !== first.segment) break
    const { offset, bytes } = next.place
    if (offset < end || offset - end > gapBytesMax || offset + bytes - first.place.offset > readBytes) break
    end = offset + bytes
  }
  return places.slice(from, to)
}

function tellSlot(slot: MemorySlot, wants: ReadRange['wants'], visit: VisitValue): void {
  for (const { instrument, values } of slot.instruments())
    if (wants(instrument)) for (const [attributes, value] of values) visit(slot, instrument, attributes, value)
}

function tellBody(body: Buffer, place: SlotPlace, { instruments, series }: Segment, wants: ReadRange['wants'], visit: VisitValue): void {
  const wanted = new Map<number, KeptKind | undefined>()
  try {
    decodeSlot(body, {
      kindOf(number) {
        if (wanted.has(number)) return wanted.get(number)
        const instrument = instruments.get(number)
        const kind = instrument !== undefined && wants(instrument) ? kindOf(instrument.type) : undefined
        wanted.set(number, kind)
        return kind
      },
      value(number, of, value) {
        const instrument = instruments.get(number)
        const attributes = series.get(of)?.attributes
        if (instrument !== undefined && attributes !== undefined) visit(place, instrument, attributes, value)
      },
    })
  } catch (error) {
    // Its checksum is right: an earlier version wrote it otherwise. The rest is told.
    if (!(error instanceof RangeError)) throw error
  }
}

/**
 * A keeping sink in virtual time, brought along by hand instead of by a runner. What it has is with its kernel; when
 * the power goes it is cut back to the place that was written down last. What comes again after a kill and is there
 * already is passed over, as a file sink does.
 */
import type { IntakeRunner } from '../../collector/intake.ts'
import type { QueuedEntry } from '../../collector/sink-runner.ts'
import { readKept, type SinkPlace } from '../../collector/spool/spool-bodies.ts'
import { recordTypes, type SpoolRecord } from '../../collector/spool/spool-record.ts'
import { type CompiledPatterns, compilePatterns } from '../../wire/pattern.ts'
import { RangeSet } from '../../wire/range-set.ts'
import type { Topic } from '../../wire/topic.ts'
import type { VirtualTime } from './virtual-time.ts'

/** Lines of one frame, and where they stood in the spool. */
export interface Batch {
  readonly position: number
  readonly origin: string
  readonly topic: Topic
  readonly from: number
  readonly to: number
}

export type ReadLines = (
  origin: string,
  topic: Topic,
  lines: Buffer,
  count: number,
) => { readonly from: number; readonly isGenuine: boolean }

/** What a sink has written, run after run. */
export class SinkContent {
  /** Records that were there already. */
  duplicates = 0
  /** Batches that are not what their origin wrote. */
  forged = 0
  readonly #read: ReadLines
  readonly #kept = new Map<string, RangeSet>()
  /** Since the place that was written down last. */
  #sincePlace: Batch[] = []
  /** What an earlier run may have written behind its place, and this one has not been given yet. */
  readonly #passable = new Map<string, RangeSet>()
  /** The power was gone since the last start. */
  #isCutBack = false

  constructor(read: ReadLines) {
    this.#read = read
  }

  kept(origin: string, topic: Topic): RangeSet {
    const key = `${origin} ${topic}`
    let kept = this.#kept.get(key)
    if (kept === undefined) {
      kept = new RangeSet()
      this.#kept.set(key, kept)
    }
    return kept
  }

  write({ origin, topic, lines, count, position }: Pick<QueuedEntry, 'origin' | 'topic' | 'lines' | 'count' | 'position'>): void {
    const { from, isGenuine } = this.#read(origin, topic, lines, count)
    if (!isGenuine) this.forged += 1
    let fresh = 0
    for (const range of this.kept(origin, topic).add(from, from + count)) fresh += range.to - range.from
    const passable = this.#passable.get(`${origin} ${topic}`)
    const passableRecords = passable?.size ?? 0
    passable?.remove(from, from + count)
    this.duplicates += count - fresh - (passableRecords - (passable?.size ?? 0))
    this.#sincePlace.push({ position, origin, topic, from, to: from + count })
  }

  /** A place is written down: what stands before it will not be cut back. */
  placed(position: number): void {
    this.#sincePlace = this.#sincePlace.filter((batch) => batch.position >= position)
  }

  /** The power goes: what no place has been written down for is gone. */
  losePower(): void {
    this.#isCutBack = true
  }

  /** A run goes on at a place. */
  goOn(position: number): void {
    if (this.#isCutBack) this.#cutBack(position)
    this.#isCutBack = false
    for (const { origin, topic, from, to, ...batch } of this.#sincePlace) {
      const key = `${origin} ${topic}`
      const passable = this.#passable.get(key) ?? new RangeSet()
      this.#passable.set(key, passable)
      if (batch.position >= position) passable.add(from, to)
    }
  }

  #cutBack(position: number): void {
    for (const batch of this.#sincePlace) if (batch.position >= position) this.kept(batch.origin, batch.topic).remove(batch.from, batch.to)
    this.#sincePlace = this.#sincePlace.filter((batch) => batch.position < position)
  }
}

export interface SinkOptions {
  readonly time: VirtualTime
  readonly content: SinkContent
  readonly patterns: readonly string[]
  readonly writeMs: number
  /** What has been given to the sink is done. */
  done(origin: string, topic: Topic, count: number): void
  /** How far the spool is written. */
  written(): number
}

type Waiting = Pick<QueuedEntry, 'position' | 'end' | 'origin' | 'topic' | 'lines' | 'count'> & { letGo(): void }

export class SimulatedSink implements IntakeRunner {
  readonly name = 'files'
  readonly sink: { readonly name: string; readonly patterns: CompiledPatterns }
  stuckUntilMs = 0
  readonly #options: SinkOptions
  #queue: Waiting[] = []
  #isWriting = false
  #isUp = true

  constructor(options: SinkOptions) {
    this.#options = options
    this.sink = { name: this.name, patterns: compilePatterns(options.patterns) }
  }

  /** Takes up the place that was written down last. */
  restore(places: readonly SinkPlace[], oldest: number): Promise<number> {
    const position = Math.max(oldest, places.at(-1)?.position ?? 0)
    this.#options.content.goOn(position)
    return Promise.resolve(position)
  }

  /** What the spool holds behind the place it goes on at. */
  takeUp(records: readonly SpoolRecord[]): void {
    for (const { type, body, position, end } of records) {
      const kept = type === recordTypes.frame ? readKept(body) : undefined
      if (kept === undefined || !this.sink.patterns.matches(kept.topic)) continue
      const { origin, body: lines, count } = kept.frame
      this.#queue.push({ position, end, topic: kept.topic, origin, lines, count, letGo: () => undefined })
    }
    this.pump()
  }

  offer(entry: QueuedEntry): void {
    const letGo = () => {
      entry.holders -= 1
      if (entry.holders === 0) entry.block?.release()
    }
    const { position, end, topic, origin, lines, count } = entry
    this.#queue.push({ position, end, topic, origin, lines, count, letGo })
    this.pump()
  }

  canTakeUnspooled(): boolean {
    return this.#options.time.nowMs >= this.stuckUntilMs
  }

  /** Everything before is done. */
  get lowest(): number {
    return Math.min(this.#options.written(), this.#queue[0]?.position ?? Number.POSITIVE_INFINITY)
  }

  pump(): void {
    const { content, done, time, writeMs, written } = this.#options
    if (this.#isWriting || (this.#queue[0]?.end ?? Number.POSITIVE_INFINITY) > written()) return
    this.#isWriting = true
    time.after(writeMs + Math.max(0, this.stuckUntilMs - time.nowMs), () => {
      this.#isWriting = false
      if (!this.#isUp) return
      const upTo = written()
      while (this.#queue.length > 0 && (this.#queue[0]?.end ?? 0) <= upTo) {
        const entry = this.#queue.shift()
        if (entry === undefined) break
        content.write(entry)
        done(entry.origin, entry.topic, entry.count)
        entry.letGo()
      }
      this.pump()
    })
  }

  crash(): void {
    this.#isUp = false
  }
}

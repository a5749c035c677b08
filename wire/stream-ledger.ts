/**
 * What a receiver knows about one topic of one origin: the accounting of docs/WIRE.md, pure.
 *
 *      join          frontier                      horizon
 *   ────┼──────────────┼────────┬─────────┬───────────┼──────►  record numbers
 *       │  all final   │ missing│ received│  missing  │ unknown
 *
 * Everything below the frontier is final: received once, or lost with a reason. A number that is not missing and lies
 * below the horizon is a duplicate. Holes are in grace first (a receiver that binds reads the old and the new
 * connection interleaved after a reconnect), then asked for with back-off, then lost.
 */
import { holeGraceMs, holeRecordsMax, rangesPerTopicMax, repairAttemptsMax, repairTimeoutMs, sequenceMax } from './limits.ts'
import { type Range, RangeSet } from './range-set.ts'

/** Why a record will never arrive. Closed list; docs/WIRE.md says what each means. */
export const lossReasons = ['ring_evicted', 'unanswered', 'origin_gone', 'overload', 'transit', 'spool_damaged'] as const
export type LossReason = (typeof lossReasons)[number]

/** How a receiver treats holes. A live tail asks for nothing: `attemptsMax` 0. */
export interface HolePolicy {
  readonly graceMs: number
  readonly attemptsMax: number
}

export const repairingPolicy: HolePolicy = { graceMs: holeGraceMs, attemptsMax: repairAttemptsMax }
/** Twice the grace: a tail is a second hop behind the collector. */
export const countingPolicy: HolePolicy = { graceMs: 2 * holeGraceMs, attemptsMax: 0 }

/** What of a {@link StreamLedger} outlives its process. */
export interface StreamLedgerState {
  /** Join point, horizon, lead, received, duplicates, late, trail. */
  readonly numbers: readonly number[]
  /** Reason, records, reason, records. */
  readonly lost: readonly (string | number)[]
  readonly missing: readonly number[]
  readonly lostRanges: readonly number[]
}

/** A stretch in which holes were seen at one moment, and when to look at it again. */
interface Watch {
  readonly from: number
  to: number
  readonly seenAtMs: number
  dueAtMs: number
  attempts: number
}

/** Holes seen this close together are watched as one, so a stream of reordered frames keeps few watches. */
const watchMergeMs = 20

export class StreamLedger {
  /** First number this receiver answers for. */
  joinAt: number
  /** Behind the highest number known to have been sent. */
  horizon: number
  /** Behind the highest number the origin says it accepted; what lies above the horizon is still with the origin. */
  lead: number
  received = 0
  duplicates = 0
  /** Records that came after they were booked as lost. */
  late = 0
  /** Records that came after they were missed. */
  repaired = 0
  readonly lost: Map<LossReason, number> = new Map()
  readonly #policy: HolePolicy
  readonly #onLost: ((range: Range, reason: LossReason) => void) | undefined
  readonly #missing = new RangeSet()
  readonly #lostRanges = new RangeSet()
  #watches: Watch[] = []
  #trail = 0

  /** @param onLost - Told of every range that is booked as lost. */
  constructor(joinAt: number, policy: HolePolicy, onLost?: (range: Range, reason: LossReason) => void) {
    this.joinAt = joinAt
    this.horizon = joinAt
    this.lead = joinAt
    this.#policy = policy
    this.#onLost = onLost
  }

  /** Everything it knows, to be kept on disk. Ranges are flat: from, to, from, to. */
  get state(): StreamLedgerState {
    return this.stateWithout([])
  }

  /** The same as if these, which have been received, had not come. */
  stateWithout(ranges: readonly Range[]): StreamLedgerState {
    const { joinAt, horizon, lead, duplicates, late } = this
    const missing = new RangeSet()
    for (const { from, to } of this.#missing) missing.add(from, to)
    for (const { from, to } of ranges) missing.add(from, to)
    const received = this.received - (missing.size - this.#missing.size)
    return {
      numbers: [joinAt, horizon, lead, received, duplicates, late, this.#trail],
      lost: [...this.lost].flat(),
      missing: flat(missing),
      lostRanges: flat(this.#lostRanges),
    }
  }

  /** Takes over what {@link state} said once; what is missing is watched anew. Only for a ledger that has booked nothing. */
  restore(state: StreamLedgerState, nowMs: number): void {
    const [joinAt = 0, horizon = 0, lead = 0, received = 0, duplicates = 0, late = 0, trail = 0] = state.numbers
    Object.assign(this, { joinAt, horizon, lead, received, duplicates, late })
    this.#trail = trail
    for (let i = 0; i + 1 < state.lost.length; i += 2) {
      const reason = lossReasons.find((known) => known === state.lost[i])
      if (reason !== undefined) this.lost.set(reason, Number(state.lost[i + 1]))
    }
    for (let i = 0; i + 1 < state.missing.length; i += 2) this.#missing.add(state.missing[i] ?? 0, state.missing[i + 1] ?? 0)
    for (let i = 0; i + 1 < state.lostRanges.length; i += 2) this.#lostRanges.add(state.lostRanges[i] ?? 0, state.lostRanges[i + 1] ?? 0)
    const { first, last } = this.#missing
    if (first !== undefined && last !== undefined) this.#watches = [this.#watch(first.from, last.to, nowMs)]
  }

  /** Everything below is final. */
  get frontier(): number {
    return this.#missing.first?.from ?? this.horizon
  }

  get lostRecords(): number {
    let records = 0
    for (const count of this.lost.values()) records += count
    return records
  }

  get accepted(): number {
    return Math.max(this.lead, this.horizon) - this.joinAt
  }

  get hasHoles(): boolean {
    return this.#missing.rangeCount > 0
  }

  /**
   * Books a frame of records `[seq, seq + count)`.
   *
   * @returns The parts not seen before, ascending: these are to be delivered, nothing else.
   *   Undefined when the number is too far ahead to be believed; nothing is booked then.
   */
  receive(seq: number, count: number, nowMs: number): Range[] | undefined {
    const end = seq + count
    if (end > sequenceMax || seq - this.horizon > holeRecordsMax) return undefined
    const fresh: Range[] = []
    let freshRecords = 0
    if (seq < this.horizon) {
      for (const part of this.#missing.within(seq, Math.min(end, this.horizon))) {
        this.#missing.remove(part.from, part.to)
        fresh.push(part)
        freshRecords += part.to - part.from
      }
      this.repaired += freshRecords
    }
    if (end > this.horizon) {
      const from = Math.max(seq, this.horizon)
      if (seq > this.horizon) this.#open(this.horizon, seq, nowMs)
      fresh.push({ from, to: end })
      freshRecords += end - from
      this.horizon = end
    }
    this.received += freshRecords
    // A frame that falls into the middle of a hole makes two of it.
    this.#keepFewHoles()
    if (freshRecords < count) this.#countRepeated(seq, end, count - freshRecords)
    return fresh
  }

  /** Takes what a manifest says: what was sent, what was accepted, and the oldest record the origin still holds. */
  announce(told: { readonly sent: number; readonly lead: number; readonly trail: number }, nowMs: number): void {
    this.#trail = Math.max(this.#trail, told.trail)
    if (told.lead > this.lead && told.lead - this.horizon <= holeRecordsMax) this.lead = told.lead
    if (told.sent > this.horizon && told.sent - this.horizon <= holeRecordsMax && told.sent <= sequenceMax) {
      this.#open(this.horizon, told.sent, nowMs)
      this.horizon = told.sent
    }
  }

  /** Moves the join point down to `joinAt`: records came before the manifest that says where to begin. */
  joinEarlier(joinAt: number, nowMs: number): void {
    if (joinAt >= this.joinAt || this.joinAt - joinAt > holeRecordsMax) return
    this.#missing.add(joinAt, this.joinAt)
    // First in the list: the last one is the only one that may grow, and must be the highest for that.
    this.#watches.unshift(this.#watch(joinAt, this.joinAt, nowMs))
    this.joinAt = joinAt
    this.#keepFewHoles()
  }

  /** Books what is still missing in `[from, to)` as lost for good. Returns the records booked. */
  lose(from: number, to: number, reason: LossReason): number {
    const records = this.#book(from, to, reason)
    this.#keepFewHoles()
    return records
  }

  #book(from: number, to: number, reason: LossReason): number {
    let records = 0
    for (const part of this.#missing.within(from, to)) {
      this.#missing.remove(part.from, part.to)
      this.#lostRanges.add(part.from, part.to)
      this.#onLost?.(part, reason)
      records += part.to - part.from
    }
    // Only tells late records from duplicates; the oldest may be forgotten.
    while (this.#lostRanges.rangeCount > rangesPerTopicMax) {
      const first = this.#lostRanges.first
      if (first) this.#lostRanges.remove(first.from, first.to)
    }
    if (records > 0) this.lost.set(reason, (this.lost.get(reason) ?? 0) + records)
    return records
  }

  /** Holes below `end`. */
  missingBelow(end: number): Range[] {
    return this.#missing.within(this.joinAt, end)
  }

  /** Books every hole as lost: nothing more will come. */
  loseAll(reason: LossReason): number {
    this.#watches = []
    return this.lose(this.joinAt, this.horizon, reason)
  }

  /**
   * Looks at the holes that are due.
   *
   * @param room - Ranges and records that may be asked for. The rest stays due, and no attempt of it is counted.
   * @returns Ranges to ask the origin for now; each counts as one attempt. What was asked for too often, or is no
   *   longer with the origin, has been booked as lost.
   */
  due(nowMs: number, room: { ranges: number; records: number } = unlimited()): Range[] {
    const asks: Range[] = []
    if (this.#watches.length === 0) return asks
    const kept: Watch[] = []
    for (const watch of this.#watches) {
      if (watch.dueAtMs > nowMs || room.ranges <= asks.length || room.records <= 0) kept.push(watch)
      else kept.push(...this.#look(watch, nowMs, asks, room))
    }
    this.#watches = kept
    return asks
  }

  /** Records that were asked for and may still be answered. */
  outstanding(nowMs: number): number {
    let records = 0
    for (const { from, to, attempts, dueAtMs } of this.#watches) {
      if (attempts === 0 || dueAtMs <= nowMs) continue
      for (const hole of this.#missing.within(from, to)) records += hole.to - hole.from
    }
    return records
  }

  /** Gives up holes that were seen before `seenBeforeMs`. Returns the records booked. */
  loseOlder(seenBeforeMs: number, reason: LossReason): number {
    let records = 0
    for (const { from, to, seenAtMs } of this.#watches) if (seenAtMs < seenBeforeMs) records += this.lose(from, to, reason)
    return records
  }

  /** The origin speaks again after a silence, in which nobody heard the requests: they count as not made. */
  askAnew(nowMs: number): void {
    for (const watch of this.#watches) {
      watch.attempts = 0
      // The answers may be right behind.
      watch.dueAtMs = nowMs + this.#policy.graceMs
    }
  }

  /** What is still to be watched of a watch that is due. */
  #look(watch: Watch, nowMs: number, asks: Range[], room: { ranges: number; records: number }): Watch[] {
    if (this.#policy.attemptsMax === 0) {
      this.lose(watch.from, watch.to, 'transit')
      return []
    }
    this.lose(watch.from, Math.min(watch.to, this.#trail), 'ring_evicted')
    const holes = this.#missing.within(watch.from, watch.to)
    if (holes.length === 0) return []
    if (watch.attempts >= this.#policy.attemptsMax) {
      this.lose(watch.from, watch.to, 'unanswered')
      return []
    }
    let askedTo = watch.from
    for (const hole of holes) {
      if (room.records <= 0) break
      const to = Math.min(hole.to, hole.from + room.records)
      asks.push({ from: hole.from, to })
      room.records -= to - hole.from
      askedTo = to
    }
    const end = watch.to
    const isAll = askedTo >= (holes.at(-1)?.to ?? end)
    // What there was no room to ask for keeps its attempt.
    const rest: Watch[] = isAll ? [] : [{ ...watch, from: askedTo }]
    watch.to = isAll ? end : askedTo
    watch.dueAtMs = nowMs + repairTimeoutMs * 2 ** watch.attempts
    watch.attempts += 1
    return [watch, ...rest]
  }

  #open(from: number, to: number, nowMs: number): void {
    this.#missing.add(from, to)
    const last = this.#watches.at(-1)
    if (last !== undefined && last.attempts === 0 && from >= last.to && nowMs - last.seenAtMs <= watchMergeMs) last.to = to
    else this.#watches.push(this.#watch(from, to, nowMs))
    this.#keepFewHoles()
  }

  #watch(from: number, to: number, nowMs: number): Watch {
    return { from, to, seenAtMs: nowMs, dueAtMs: nowMs + this.#policy.graceMs, attempts: 0 }
  }

  /** A sender that leaves holes without end costs a bounded amount of memory. */
  #keepFewHoles(): void {
    while (this.#missing.rangeCount > rangesPerTopicMax) {
      const first = this.#missing.first
      if (first) this.#book(first.from, first.to, 'overload')
    }
  }

  #countRepeated(from: number, to: number, records: number): void {
    let late = 0
    for (const part of this.#lostRanges.within(from, to)) late += part.to - part.from
    this.late += late
    this.duplicates += records - late
  }
}

function unlimited(): { ranges: number; records: number } {
  return { ranges: Number.POSITIVE_INFINITY, records: Number.POSITIVE_INFINITY }
}

function flat(ranges: RangeSet): number[] {
  const numbers: number[] = []
  for (const { from, to } of ranges) numbers.push(from, to)
  return numbers
}

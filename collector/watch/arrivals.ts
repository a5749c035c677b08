/**
 * What comes, per service and level: counted by the frame, since that is all that is ever known of most records. The
 * history is there whoever looks, so that a page begins with the last five minutes.
 *
 * Services are those that have series of their own under `/metrics` (service-counters.ts), so their number is bounded.
 */
import { type Level, levels } from '../../wire/level.ts'
import { rateHistoryStepMs, rateHistorySteps } from '../../wire/limits.ts'

/** Of one service and one level; `level` is `metric` for points. */
interface Row {
  readonly service: string
  readonly level: string
  records: number
  bytes: number
  recordsBefore: number
  bytesBefore: number
  perSecond: number
  bytesPerSecond: number
  /** Records of the step that is under way, and of those before it: a ring. */
  step: number
  readonly steps: Float64Array
}

export interface RateHistory {
  readonly stepMs: number
  /** When the first step began, Unix ms. */
  readonly from: number
  /** Records per second, oldest first, of levels that had any. */
  readonly levels: Partial<Record<Level, readonly number[]>>
}

export interface ArrivalRates {
  readonly service: string
  /** Records per second in the last second. */
  readonly levels: Partial<Record<Level, number>>
  readonly pointsPerSecond: number
  readonly recordsPerSecond: number
  readonly bytesPerSecond: number
  readonly history: RateHistory
}

const knownTopicsMax = 100_000

export class Arrivals {
  readonly #placeOf: (topic: string) => { readonly service: string; readonly level: string }
  readonly #rows = new Map<string, Row>()
  readonly #rowsByTopic = new Map<string, Row>()
  #tickedAtMs: number | undefined
  /** Number of the step that is under way, by the wall clock. */
  #step: number | undefined
  /** Steps that are over, at most a ring full. */
  #steps = 0

  constructor(placeOf: (topic: string) => { readonly service: string; readonly level: string }) {
    this.#placeOf = placeOf
  }

  /** Counts records of one frame. */
  add(topic: string, records: number, bytes: number): void {
    const row = this.#rowsByTopic.get(topic) ?? this.#find(topic)
    row.records += records
    row.bytes += bytes
  }

  #find(topic: string): Row {
    const { service, level } = this.#placeOf(topic)
    const key = `${level} ${service}`
    let row = this.#rows.get(key)
    if (row === undefined) {
      const counts = { records: 0, bytes: 0, recordsBefore: 0, bytesBefore: 0, perSecond: 0, bytesPerSecond: 0, step: 0 }
      row = { service, level, ...counts, steps: new Float64Array(rateHistorySteps) }
      this.#rows.set(key, row)
    }
    if (this.#rowsByTopic.size >= knownTopicsMax) this.#rowsByTopic.clear()
    this.#rowsByTopic.set(topic, row)
    return row
  }

  /**
   * Makes rates of what was counted since the last time. To be called about once a second.
   *
   * @param nowMs - Of a clock that only goes forward; `timeMs` is Unix ms.
   */
  tick({ nowMs, timeMs }: { readonly nowMs: number; readonly timeMs: number }): void {
    const passedMs = nowMs - (this.#tickedAtMs ?? nowMs - rateHistoryStepMs / 5)
    this.#tickedAtMs = nowMs
    const step = Math.floor(timeMs / rateHistoryStepMs)
    const begun = this.#step === undefined ? 0 : step - this.#step
    this.#step = step
    // A clock that was set tells nothing of what was when; the history begins anew.
    const isSet = begun < 0 || begun > rateHistorySteps
    this.#steps = isSet ? 0 : Math.min(rateHistorySteps, this.#steps + begun)
    for (const row of this.#rows.values()) {
      const records = row.records - row.recordsBefore
      row.perSecond = passedMs > 0 ? (1_000 * records) / passedMs : 0
      row.bytesPerSecond = passedMs > 0 ? (1_000 * (row.bytes - row.bytesBefore)) / passedMs : 0
      row.recordsBefore = row.records
      row.bytesBefore = row.bytes
      row.step += records
      if (isSet) row.steps.fill(0)
      else {
        for (let i = 1; i <= begun; i += 1) {
          row.steps[(step - i) % rateHistorySteps] = i === begun ? row.step : 0
          if (i === begun) row.step = 0
        }
      }
    }
  }

  /** Of every service that something ever came from. */
  rates(): ArrivalRates[] {
    const services = new Map<string, Row[]>()
    for (const row of this.#rows.values()) {
      const rows = services.get(row.service)
      if (rows === undefined) services.set(row.service, [row])
      else rows.push(row)
    }
    return [...services].map(([service, rows]) => this.#ratesOf(service, rows))
  }

  #ratesOf(service: string, rows: readonly Row[]): ArrivalRates {
    const now: Partial<Record<Level, number>> = {}
    const before: Partial<Record<Level, readonly number[]>> = {}
    const sums = { pointsPerSecond: 0, recordsPerSecond: 0, bytesPerSecond: 0 }
    const step = this.#step ?? 0
    for (const row of rows) {
      sums.bytesPerSecond += row.bytesPerSecond
      sums.recordsPerSecond += row.perSecond
      const level = levels.find((each) => each === row.level)
      if (level === undefined) {
        if (row.level === 'metric') sums.pointsPerSecond += row.perSecond
        continue
      }
      now[level] = row.perSecond
      const values: number[] = []
      for (let i = this.#steps; i >= 1; i -= 1)
        values.push((row.steps[(step - i + rateHistorySteps) % rateHistorySteps] ?? 0) / (rateHistoryStepMs / 1_000))
      before[level] = values
    }
    const history = { stepMs: rateHistoryStepMs, from: (step - this.#steps) * rateHistoryStepMs, levels: before }
    return { service, levels: now, ...sums, history }
  }
}

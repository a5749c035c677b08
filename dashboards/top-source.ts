/** Where `spillway top` looks: a collector's status, again and again, one question at a time. */
import { topMetricsBytesMax, topMetricsEveryMs } from '../wire/limits.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { eventLoopDelays } from './event-loop-delays.ts'
import { readStatus, type StatusDocument } from './status-document.ts'
import { requestStatus } from './status-request.ts'
import { type Snapshot, snapshotOf } from './top-rates.ts'

const metricsWaitMs = 2_000

export class TopSource {
  readonly #address: string
  #before: StatusDocument | undefined
  #delays: ReadonlyMap<string, number> = new Map()
  #delaysAtMs = Number.NEGATIVE_INFINITY

  constructor(address: string) {
    this.#address = address
  }

  /**
   * The rates since the last call; at the first one all are 0. Waits at most 12 s.
   *
   * @throws {@link SpillwayError} as `requestStatus` and `readStatus` do.
   */
  async next(): Promise<Snapshot> {
    const { status } = readStatus(await requestStatus(this.#address), this.#address)
    if (performance.now() - this.#delaysAtMs >= topMetricsEveryMs) await this.#askDelays()
    const snapshot = snapshotOf(status, this.#before, this.#delays)
    this.#before = status
    return snapshot
  }

  /** Event loops are worth a look, and not a failure: an older collector does not tell them. */
  async #askDelays(): Promise<void> {
    this.#delaysAtMs = performance.now()
    try {
      this.#delays = eventLoopDelays(
        await requestStatus(this.#address, { bytesMax: topMetricsBytesMax, waitMs: metricsWaitMs, path: '/metrics' }),
      )
    } catch (error) {
      if (!(error instanceof SpillwayError)) throw error
      this.#delays = new Map()
    }
  }
}

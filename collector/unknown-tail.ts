/**
 * How many records a process may have accepted that nobody will ever hear of, because it was killed. Pure; one per
 * origin, told of every frame and manifest, at a constant cost.
 *
 *   accepted ──┬── heard of: frames, and manifests, which say how far the numbers went
 *              └── not heard of when the process ended: the unknown tail
 *                    · the open batches: 20 ms after its first record, 512 records or 64 KiB a batch is closed
 *                    · full batches that wait for the turn's end, and frames in ZeroMQ's pipe (16 of them)
 *                    · what the ring held because the pipe was full
 *
 * What the kernel of the process's side has taken arrives as a rule, because the connection of a killed process is closed
 * behind its last byte; where the connection is reset instead, it does not. What the kernel of this side has taken arrives
 * in any case. So either nothing much lay in either, or the last record heard of came late, and tells by how much.
 *
 * **How old the oldest unknown record can be.** A process that is being read sends a record 20 ms after it accepted it
 * (`batchAgeMaxMs`); a pipe that was full is tried again after 100 ms at most (`retrySendMaxMs`); timers of a busy event
 * loop, the way, and a busy collector get another 100 ms. Behind a collector that does not keep up, frames come late:
 * each says when its first record was accepted, so that delay is seen, as the difference to the quickest frame of this
 * origin (which cancels what the two clocks differ by), and is added. The unknown tail was accepted within that time
 * before the process ended.
 *
 * **How many records that is.** As many as were ever accepted in a stretch as long: the most that were seen in the last
 * minutes, counted by the time of acceptance, so that a burst counts as the burst it was however slowly it came. Longer
 * stretches are taken as several. On top come as many full batches as topics may be open (`batchRecordsMax`,
 * `openBatchesMax`), for a process that has only begun, or was just beginning to log more than before.
 *
 * **What it does not promise.** A burst right before the end, larger than all in the last five minutes by more than the
 * batches hold, is not in it. Nor is what a process accepted that was killed only after it had been cut off for a while:
 * of that time nobody has heard anything. Nor, when its ring was overflowing, what it accepted before the time above
 * and shed without being able to say so.
 */
import { agentPollMs, batchAgeMaxMs, batchRecordsMax, manifestDelaysMs, openBatchesMax, retrySendMaxMs } from '../wire/limits.ts'

export interface UnknownTailBound {
  readonly recordsMax: number
  /** From the acceptance of the last record heard of to the last moment the process may have lived unheard. */
  readonly windowMs: number
}

/** Clocks of one message. */
export interface HeardTimes {
  /** When its first record was accepted, or the manifest was made: the origin's wall clock, ms. */
  readonly timeMs: number
  /** When it came: any clock of this side that is not set, ms. */
  readonly nowMs: number
}

/** Timers that fire late on a busy event loop, a busy processor, the way, and this side's own queue. */
const lateMs = 100
/** Age of the oldest record that is not sent, while the origin is being read. */
const unsentMs = batchAgeMaxMs + retrySendMaxMs + lateMs
/** Delays up to here need no second stretch; a batch alone makes for 20 ms. */
const delayFreeMs = 120
const stretchMs = unsentMs + delayFreeMs
/**
 * Records are counted in buckets of 60 ms by the time of their frame's first record, up to 20 ms before their own. A
 * stretch of 340 ms, and those 20, touch at most seven buckets: so the sum of seven is never less than the stretch held.
 */
const bucketMs = 60
const bucketCount = Math.ceil((stretchMs + batchAgeMaxMs) / bucketMs) + 1
/** The most is kept for one to two of these. */
const generationMs = 300_000
/** A clock that goes back by more was set; frames of several topics go back by less. */
const clockSetMs = 1_000
const everyMsMax = 60_000

export class UnknownTail {
  readonly #buckets: number[] = Array.from({ length: bucketCount }, () => 0)
  /** Number of the newest bucket: time over its width. */
  #newest = Number.NEGATIVE_INFINITY
  #inStretch = 0
  #peak = 0
  #peakBefore = 0
  #generationAtMs = Number.NEGATIVE_INFINITY
  /** Difference of the two clocks, as the quickest message has shown it. */
  #offsetMs = Number.POSITIVE_INFINITY
  #lastTimeMs = Number.NEGATIVE_INFINITY
  #delayMs = 0
  #nextWordMs: number = manifestDelaysMs[0] ?? 0

  /**
   * A frame has come.
   *
   * @param records - Records it brought that were not known to be accepted; 0 for one that was sent again.
   */
  frame(records: number, times: HeardTimes): void {
    // What is sent again says nothing about how long the way takes.
    if (records <= 0) return
    this.#heard(records, times)
    this.#nextWordMs = manifestDelaysMs[0] ?? 0
  }

  /**
   * A manifest has come.
   *
   * @param records - Records it was the first to tell of, over all topics.
   * @param everyMs - When it says the next one comes.
   */
  manifest(records: number, times: HeardTimes, everyMs: number): void {
    this.#heard(Math.max(0, records), times)
    this.#nextWordMs = Math.min(Math.max(0, everyMs), everyMsMax)
  }

  #heard(records: number, { timeMs, nowMs }: HeardTimes): void {
    if (timeMs < this.#lastTimeMs - clockSetMs) {
      this.#offsetMs = Number.POSITIVE_INFINITY
      this.#newest = Number.NEGATIVE_INFINITY
    }
    this.#lastTimeMs = timeMs
    this.#offsetMs = Math.min(this.#offsetMs, nowMs - timeMs)
    this.#delayMs = nowMs - timeMs - this.#offsetMs
    if (records > 0) this.#count(records, timeMs, nowMs)
  }

  #count(records: number, timeMs: number, nowMs: number): void {
    const bucket = Math.floor(timeMs / bucketMs)
    this.#advance(bucket)
    // Topics are sent one after the other, so a frame may be older than the newest one; never by more than is kept.
    const age = Math.min(this.#newest - bucket, bucketCount - 1)
    const slot = slotOf(this.#newest - age)
    this.#buckets[slot] = (this.#buckets[slot] ?? 0) + records
    this.#inStretch += records
    if (nowMs - this.#generationAtMs >= generationMs) {
      this.#peakBefore = nowMs - this.#generationAtMs >= 2 * generationMs ? 0 : this.#peak
      this.#peak = 0
      this.#generationAtMs = nowMs
    }
    this.#peak = Math.max(this.#peak, this.#inStretch)
  }

  #advance(bucket: number): void {
    if (bucket <= this.#newest) return
    if (bucket - this.#newest >= bucketCount) {
      this.#buckets.fill(0)
      this.#inStretch = 0
    } else {
      for (let n = this.#newest + 1; n <= bucket; n += 1) {
        const slot = slotOf(n)
        this.#inStretch -= this.#buckets[slot] ?? 0
        this.#buckets[slot] = 0
      }
    }
    this.#newest = bucket
  }

  /**
   * What may be unknown if nothing more comes from this origin.
   *
   * @param topics - Topics the origin is known to have.
   */
  bound(topics: number): UnknownTailBound {
    const stretches = Math.max(1, Math.ceil((unsentMs + this.#delayMs) / stretchMs))
    const inBatches = batchRecordsMax * Math.min(Math.max(topics, 1), openBatchesMax)
    const records = Math.max(this.#peak, this.#peakBefore) * stretches + inBatches
    return {
      recordsMax: Math.min(Math.ceil(records), Number.MAX_SAFE_INTEGER),
      windowMs: Math.ceil(this.#delayMs + this.#nextWordMs + agentPollMs + retrySendMaxMs + lateMs),
    }
  }
}

/** Times before 1970, or of no clock at all, have buckets too. */
function slotOf(bucket: number): number {
  return ((bucket % bucketCount) + bucketCount) % bucketCount
}

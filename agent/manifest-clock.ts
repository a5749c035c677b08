/**
 * When a link's next manifest is due: soon after the last frame, then ever later; pure.
 * Loss at the end of a burst is thus seen within 50 ms, and an idle link costs one small message every 2 s.
 */
import { fullManifestEveryMs, manifestDelaysMs } from '../wire/limits.ts'

/** While frames flow without a pause. */
const busyEveryMs = 1_000

export class ManifestClock {
  isUrgent = false
  #step = 0
  #lastFrameAtMs = 0
  #lastManifestAtMs = 0
  #lastFullAtMs = Number.NEGATIVE_INFINITY
  #hasNewFrames = false

  /** A connection begins: a full manifest goes first. */
  begin(): void {
    this.#lastFullAtMs = Number.NEGATIVE_INFINITY
    this.isUrgent = true
  }

  sendUrgently(): void {
    this.isUrgent = true
  }

  frameSent(nowMs: number): void {
    this.#hasNewFrames = true
    this.#lastFrameAtMs = nowMs
  }

  manifestSent(nowMs: number, isFull: boolean): void {
    this.#step = this.#hasNewFrames ? 1 : Math.min(this.#step + 1, manifestDelaysMs.length - 1)
    this.#hasNewFrames = false
    this.isUrgent = false
    this.#lastManifestAtMs = nowMs
    if (isFull) this.#lastFullAtMs = nowMs
  }

  /** Distance to the next manifest, ms. */
  get everyMs(): number {
    return manifestDelaysMs[this.#step] ?? busyEveryMs
  }

  isFullDue(nowMs: number): boolean {
    return nowMs - this.#lastFullAtMs >= fullManifestEveryMs
  }

  isDue(nowMs: number): boolean {
    if (this.isUrgent) return true
    const sinceManifestMs = nowMs - this.#lastManifestAtMs
    if (!this.#hasNewFrames) return sinceManifestMs >= this.everyMs
    return nowMs - this.#lastFrameAtMs >= (manifestDelaysMs[0] ?? 0) || sinceManifestMs >= busyEveryMs
  }
}

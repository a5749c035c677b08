/**
 * The last words of applications that have ended. A live tail whose queue was full at that moment has missed them, and
 * without them it cannot know that the end of a burst did not reach it; nobody else will ever say them again. So they
 * are repeated, at growing distances, until the application is forgotten.
 */
import { farewellBytesMax, finishedShownMs } from '../wire/limits.ts'

export interface Farewell {
  readonly topic: string
  readonly topicBytes: Buffer
  /** The final manifest. */
  readonly frame: Buffer
}

interface Repeated {
  readonly farewell: Farewell
  readonly saidAtMs: number
  dueAtMs: number
  distanceMs: number
}

const firstDistanceMs = 1_000

export class Farewells {
  /** By origin, the one that ended first first. */
  readonly #repeated = new Map<string, Repeated>()
  #bytes = 0

  /** @param farewell - Copied: it is kept for minutes. */
  add(origin: string, { topic, topicBytes, frame }: Farewell, nowMs: number): void {
    const farewell = { topic, topicBytes: Buffer.from(topicBytes), frame: Buffer.from(frame) }
    this.#forget(origin)
    this.#repeated.set(origin, { farewell, saidAtMs: nowMs, dueAtMs: nowMs + firstDistanceMs, distanceMs: firstDistanceMs })
    this.#bytes += frame.length
    for (const oldest of this.#repeated.keys()) {
      if (this.#bytes <= farewellBytesMax) break
      this.#forget(oldest)
    }
  }

  #forget(origin: string): void {
    this.#bytes -= this.#repeated.get(origin)?.farewell.frame.length ?? 0
    this.#repeated.delete(origin)
  }

  /** Those that are to be said again now. */
  takeDue(nowMs: number): Farewell[] {
    const due: Farewell[] = []
    for (const [origin, repeated] of this.#repeated) {
      if (nowMs - repeated.saidAtMs > finishedShownMs) this.#forget(origin)
      else if (repeated.dueAtMs <= nowMs) {
        due.push(repeated.farewell)
        repeated.distanceMs *= 2
        repeated.dueAtMs = nowMs + repeated.distanceMs
      }
    }
    return due
  }
}

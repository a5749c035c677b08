/**
 * What Spillway says about itself: the first thing at once, then at most one line every 30 s, and a total at the end.
 * Never on the stack of a log call.
 */
import { noticeEveryMs } from '../wire/limits.ts'

export class Notices {
  readonly #say: (line: string) => void
  #lastAtMs = Number.NEGATIVE_INFINITY

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  /** Whether a line may be said now. */
  isDue(nowMs: number): boolean {
    return nowMs - this.#lastAtMs >= noticeEveryMs
  }

  /** Says one line, if one is due. */
  say(text: string, nowMs: number): void {
    if (!this.isDue(nowMs)) return
    this.#lastAtMs = nowMs
    this.sayNow(text)
  }

  /** Says a line whenever the last one was. */
  sayNow(text: string): void {
    this.#say(`spillway: ${text}\n`)
  }
}

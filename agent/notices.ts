/**
 * What Spillway says about itself, on stderr: the first thing at once, then at most one line every 30 s, and a total
 * at the end. Never on the stack of a log call, and never by a write that can block: a full pipe behind stderr must
 * not stop the application either.
 */
import { writeSync } from 'node:fs'
import { noticeEveryMs } from '../wire/limits.ts'
import { openUnblocked } from './unblocked-output.ts'

const stderrFd = 2

export class Notices {
  #lastAtMs = Number.NEGATIVE_INFINITY

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

  /** Says a line whenever the last one was: written at once or not at all. */
  sayNow(text: string): void {
    const line = `spillway: ${text}\n`
    const stderr = openUnblocked(stderrFd)
    if (stderr === undefined) {
      // In a worker thread, by way of the main one.
      process.stderr.write(line)
      return
    }
    try {
      writeSync(stderr.fd, line)
    } catch {
      // stderr is closed or full: there is nobody to tell.
    } finally {
      stderr.close()
    }
  }
}

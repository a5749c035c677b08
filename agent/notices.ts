/**
 * What Spillway says about itself, on stderr: the first thing at once, then at most one line every 30 s, and a total
 * at the end. Never on the stack of a log call, and never by a write that can block: a full pipe behind stderr must
 * not stop the application either.
 */
import { closeSync, constants, openSync, write, writeSync } from 'node:fs'
import { noticeEveryMs } from '../wire/limits.ts'

const stderrFd = 2
/** Lines on their way to a stderr nobody reads. More than this are left out. */
const writesPendingMax = 4

export class Notices {
  #lastAtMs = Number.NEGATIVE_INFINITY
  #writesPending = 0

  /** Whether a line may be said now. */
  isDue(nowMs: number): boolean {
    return nowMs - this.#lastAtMs >= noticeEveryMs
  }

  /** Says one line, if one is due. Written by a thread of libuv's, not by this one. */
  say(text: string, nowMs: number): void {
    if (!this.isDue(nowMs) || this.#writesPending >= writesPendingMax) return
    this.#lastAtMs = nowMs
    this.#writesPending += 1
    write(stderrFd, `spillway: ${text}\n`, () => {
      this.#writesPending -= 1
    })
  }

  /** The last line, from the process's exit handler: written at once or not at all. */
  sayAtExit(text: string): void {
    const line = `spillway: ${text}\n`
    let fd: number | undefined
    try {
      // A second, non-blocking opening of the same pipe or terminal; where there is none, the plain write must do.
      fd = openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_APPEND)
      writeSync(fd, line)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') tryWrite(line)
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  }
}

function tryWrite(line: string): void {
  try {
    writeSync(stderrFd, line)
  } catch {
    // stderr is closed or full: there is nobody left to tell.
  }
}

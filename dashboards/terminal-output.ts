/**
 * A terminal that is written to without waiting for it. Node's own stream for a terminal waits in the write: one that has
 * been stopped (Ctrl-S), or is at the end of a slow line, would leave no key and no signal heard.
 */
import { closeSync, constants, openSync, write, writeSync } from 'node:fs'
import { Writable } from 'node:stream'

/** A terminal that takes no more is tried again after this. */
const retryMs = 10
const lastWordsMs = 300
const sleeper = new Int32Array(new SharedArrayBuffer(4))

export class TerminalOutput extends Writable {
  readonly #fd: number
  #timer: NodeJS.Timeout | undefined

  private constructor(fd: number) {
    super({ decodeStrings: true })
    this.#fd = fd
  }

  /** Opens the terminal behind standard output anew, with flags of its own. Undefined where that cannot be done. */
  static open(): TerminalOutput | undefined {
    try {
      return new TerminalOutput(openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY))
    } catch {
      return undefined
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#writeRest(chunk, done)
  }

  #writeRest(rest: Buffer, done: (error?: Error | null) => void): void {
    write(this.#fd, rest, (error, written) => {
      if (error !== null && error.code !== 'EAGAIN') return done(error)
      const left = error === null ? rest.subarray(written) : rest
      if (left.length === 0) return done()
      if (this.destroyed) return done()
      if (error === null) this.#writeRest(left, done)
      else this.#timer = setTimeout(() => this.#writeRest(left, done), retryMs)
    })
  }

  /** Before it returns, or not at all: for the last words of a process. Waits for a slow terminal, for a moment. */
  writeNow(text: string): void {
    let rest = Buffer.from(text, 'latin1')
    for (let tries = lastWordsMs / retryMs; rest.length > 0 && tries > 0; tries -= 1) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest))
      } catch (error) {
        // Else it is gone.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        Atomics.wait(sleeper, 0, 0, retryMs)
      }
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer)
    try {
      closeSync(this.#fd)
    } catch {
      // Closed already.
    }
    done(error)
  }
}

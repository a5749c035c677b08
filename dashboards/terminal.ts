/**
 * The terminal of a command that listens to keys: raw while it runs, and as it was afterwards, however the command ends.
 *
 *   open ──► raw, keys are read ──► restore: at close, at the process's exit, and while it is suspended (Ctrl-Z)
 */
import type { Writable } from 'node:stream'
import type { ReadStream, WriteStream } from 'node:tty'
import { type Key, keysIn } from './keys.ts'
import { TerminalOutput } from './terminal-output.ts'

export interface TerminalEvents {
  key(key: Key): void
  /** Its size has changed, or it has come back to the foreground: everything is to be drawn anew. */
  redraw(): void
  /** It is gone. */
  closed(): void
}

export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

export interface TerminalOptions {
  /** A screen of its own, which disappears at the end. */
  readonly isFullScreen: boolean
}

const sizeWithout: TerminalSize = { columns: 80, rows: 24 }
const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
const fullScreen = '\u001b[?1049h'
const normalScreen = '\u001b[?1049l'
const eraseRow = '\r\u001b[J'
const resetColours = '\u001b[0m'

export class Terminal {
  readonly output: Writable
  readonly #input: ReadStream = process.stdin as ReadStream
  readonly #standard: WriteStream = process.stdout as WriteStream
  readonly #events: TerminalEvents
  readonly #isFullScreen: boolean
  #isRaw = false

  constructor(events: TerminalEvents, options: TerminalOptions) {
    this.#events = events
    this.#isFullScreen = options.isFullScreen
    this.output = TerminalOutput.open() ?? this.#standard
  }

  /** Whether there are keys to be read and something to draw on. */
  static isThere(): boolean {
    return process.stdin.isTTY === true && process.stdout.isTTY === true && process.env['TERM'] !== 'dumb'
  }

  open(): void {
    this.#listen()
    this.#enter()
  }

  /** As it is now, also when the signal that says so has not come yet. */
  get size(): TerminalSize {
    try {
      const [columns, rows] = this.#standard.getWindowSize()
      if (columns > 0 && rows > 0) return { columns, rows }
    } catch {
      // It is gone.
    }
    return sizeWithout
  }

  readonly #onData = (text: string) => {
    for (const key of keysIn(text)) {
      if (key === 'ctrl-z') this.#suspend()
      else this.#events.key(key)
    }
  }
  readonly #onEnd = () => this.#events.closed()
  readonly #onResize = () => this.#events.redraw()
  readonly #onContinue = () => {
    this.#enter()
    this.#events.redraw()
  }
  readonly #onExit = () => this.#leave()

  #listen(): void {
    this.#input.setEncoding('utf8').on('data', this.#onData)
    this.#input.on('end', this.#onEnd).on('error', this.#onEnd)
    this.output.on('error', this.#onEnd)
    this.#standard.on('error', this.#onEnd).on('resize', this.#onResize)
    process.on('SIGCONT', this.#onContinue)
    process.on('exit', this.#onExit)
    // Before the error is printed, so that it can be read.
    process.on('uncaughtExceptionMonitor', this.#onExit)
  }

  #enter(): void {
    this.#setRaw(true)
    this.#writeNow(`${this.#isFullScreen ? fullScreen : ''}${hideCursor}`)
  }

  #leave(): void {
    if (!this.#isRaw) return
    this.#writeNow(`${resetColours}${this.#isFullScreen ? normalScreen : eraseRow}${showCursor}`)
    this.#setRaw(false)
  }

  #setRaw(isRaw: boolean): void {
    this.#isRaw = isRaw
    try {
      this.#input.setRawMode(isRaw)
    } catch {
      // The terminal is gone; its input ends.
    }
  }

  #writeNow(text: string): void {
    if (this.output instanceof TerminalOutput) this.output.writeNow(text)
    else this.output.write(text)
  }

  /** As Ctrl-Z does when no command has taken the keys. */
  #suspend(): void {
    this.#leave()
    process.kill(process.pid, 'SIGSTOP')
  }

  /** Safe to call twice. */
  close(): void {
    this.#leave()
    process.off('SIGCONT', this.#onContinue)
    process.off('exit', this.#onExit)
    process.off('uncaughtExceptionMonitor', this.#onExit)
    this.#standard.off('resize', this.#onResize)
    this.#input.off('data', this.#onData)
    this.#input.pause()
    if (this.output instanceof TerminalOutput) this.output.destroy()
  }
}

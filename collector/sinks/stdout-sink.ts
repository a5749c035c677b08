/** Lines to standard output. A reader that stops or leaves never holds up the collector: what it misses is counted. */
import type { Writable } from 'node:stream'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import { entryText } from './points-lines.ts'
import type { Entry, Sink, SinkStatus } from './sink.ts'

const pendingBytesMax = 4_194_304
/** A reader that has stopped for good is not waited for longer than this at the end. */
const lastWriteMs = 1_000

export class StdoutSink implements Sink {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly takesOnDemand?: boolean | undefined
  readonly #topics: readonly string[]
  readonly #out: Writable
  #written = 0
  #dropped = 0
  #error: string | undefined

  constructor(options: Pick<StdoutSink, 'name' | 'patterns' | 'takesOnDemand'> & { readonly topics: readonly string[] }, out: Writable) {
    this.name = options.name
    this.patterns = options.patterns
    this.takesOnDemand = options.takesOnDemand
    this.#topics = options.topics
    this.#out = out
    out.on('error', (error: Error) => {
      this.#error = error.message
    })
  }

  write(entry: Entry): boolean {
    const { count } = entry
    const lines = entryText(entry)
    if (this.#error !== undefined || this.#out.writableLength + lines.length > pendingBytesMax) {
      this.#dropped += count
      return false
    }
    // The frame may be freed before a slow terminal has taken the lines; a pipe gets its own copy.
    this.#out.write(Buffer.from(lines), (error) => {
      if (error) this.#dropped += count
      else this.#written += count
    })
    return true
  }

  reopen(): void {}

  status(): SinkStatus {
    return {
      type: 'stdout',
      topics: this.#topics,
      written: this.#written,
      dropped: this.#dropped,
      pendingBytes: this.#out.writableLength,
      error: this.#error,
      where: 'standard output',
    }
  }

  async close(deadlineMs: number): Promise<void> {
    if (this.#error !== undefined || this.#out.writableLength === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(deadlineMs, lastWriteMs))
      // Comes back when everything before it has been taken.
      this.#out.write('', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

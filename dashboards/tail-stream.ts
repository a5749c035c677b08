/** A tail into a pipe or a file, or to a terminal without keys: records to one stream, words about them to another. */
import type { Writable } from 'node:stream'
import { painted, type StyledText } from './styled-text.ts'
import type { TailReader } from './tail.ts'

/** What a reader that does not keep up may leave in its stream. */
const unreadBytesMax = 1_048_576

export class TailStream implements TailReader {
  readonly kind = 'reader'
  readonly waiting: TailReader['waiting'] = { bytesMax: 4_194_304, recordsMax: 100_000 }
  readonly #out: Writable
  readonly #words: Writable
  readonly #hasColour: boolean
  readonly #isForPeople: boolean

  /** @param ended - Called when the reader has left: the normal end of `spillway tail | head`. */
  constructor(
    out: Writable,
    words: Writable,
    options: { readonly hasColour: boolean; readonly isForPeople: boolean; readonly ended: () => void },
  ) {
    this.#out = out.on('error', options.ended)
    this.#words = words.on('error', () => undefined)
    this.#hasColour = options.hasColour
    this.#isForPeople = options.isForPeople
  }

  get isReady(): boolean {
    return this.#out.writableLength <= unreadBytesMax
  }

  whenReady(then: () => void): void {
    this.#out.once('drain', then)
  }

  show(rows: readonly StyledText[]): void {
    this.#out.write(`${rows.map((row) => painted(row, this.#hasColour)).join('\n')}\n`)
  }

  /** What is missing stands in the stream for people, where it is missing; beside it for programs. */
  say(text: string, isInStream: boolean): void {
    if (isInStream && this.#isForPeople) this.#out.write(`${text}\n`)
    else this.#words.write(`spillway tail: ${text}\n`)
  }
}

/** `spillway tail`: records to standard output, words about them to standard error, until told to stop. */
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { defaultTailEndpoint, type Endpoint, parseEndpoint } from '../wire/endpoint.ts'
import { formatCount } from '../wire/quantity.ts'
import { formatLine } from './line-format.ts'
import { tailAsks, tailPatterns } from './tail-patterns.ts'
import { type TailEvents, TailSubscriber } from './tail-subscriber.ts'
import { visibleText } from './visible-text.ts'

export interface TailOptions {
  readonly patterns: readonly string[]
  readonly connect?: string | undefined
  readonly level?: string | undefined
  readonly service?: string | undefined
  /** Lines as they were logged, also on a terminal. */
  readonly isRaw: boolean
  /** For people, also into a pipe. */
  readonly isPretty: boolean
  readonly hasColour: boolean
  /** Ends after this many records. */
  readonly limit?: number | undefined
  /** Ends after this long, ms. */
  readonly forMs?: number | undefined
}

/** Without a connection for this long, whoever looks at an empty screen is told why it is empty. */
const waitingNoticeMs = 1_000
/** What a terminal that does not keep up may leave waiting. */
const waitingBytesMax = 4_194_304

/** Runs until the limit, the time, the signal or the end of the reader. */
export class Tail {
  readonly #options: TailOptions
  readonly #out: Writable
  readonly #words: Writable
  readonly #endpoint: Endpoint
  readonly #subscriber: TailSubscriber
  readonly #ended = new AbortController()
  #shown = 0
  #dropped = 0
  #awaitsDrain = false

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID` or `SPW_PATTERN_INVALID` for options that cannot be meant. */
  constructor(options: TailOptions, out: Writable, words: Writable) {
    this.#options = options
    this.#out = out
    this.#words = words
    this.#endpoint = options.connect === undefined ? defaultTailEndpoint : parseEndpoint(options.connect, '--connect')
    const events: TailEvents = {
      lines: (parts, frame, lines, count) => {
        const { kind, service } = parts
        if (kind === 'log') this.#show({ service, level: parts.level, name: parts.name, timeMs: frame.time }, lines, count)
        // What an agent says about its own losses.
        else if (kind === 'sys') this.#show({ service, level: 'warn', name: undefined, timeMs: frame.time }, lines, count)
      },
      missed: (count) => this.#say(`… ${formatCount(count)} records missed here`),
      connection: (state) => this.#connection(state),
    }
    this.#subscriber = new TailSubscriber(tailPatterns(options), events, tailAsks(options))
  }

  async run(signal: AbortSignal): Promise<void> {
    // A reader that leaves is the normal end of `spillway tail | head`.
    this.#out.on('error', () => this.#end())
    this.#words.on('error', () => undefined)
    signal.addEventListener('abort', () => this.#end())
    const timer = this.#options.forMs === undefined ? undefined : setTimeout(() => this.#end(), this.#options.forMs)
    await this.#subscriber.open(this.#endpoint)
    const waiting = setTimeout(() => {
      if (!this.#isConnected) this.#words.write(`spillway tail: waiting for a collector at ${this.#endpoint}\n`)
    }, waitingNoticeMs)
    if (!this.#hasEnded) await once(this.#ended.signal, 'abort')
    clearTimeout(timer)
    clearTimeout(waiting)
    await this.#subscriber.close()
  }

  #show(context: Parameters<typeof formatLine>[1], lines: Buffer, count: number): void {
    if (this.#hasEnded) return
    if (this.#out.writableLength > waitingBytesMax) {
      // Said when the reader has caught up, even if nothing more comes.
      if (!this.#awaitsDrain) this.#out.once('drain', () => this.#drained())
      this.#awaitsDrain = true
      this.#dropped += count
      return
    }
    this.#sayDropped()
    const left = (this.#options.limit ?? Number.POSITIVE_INFINITY) - this.#shown
    let texts = lines.toString('utf8', 0, lines.length - 1).split('\n')
    if (texts.length > left) texts = texts.slice(0, left)
    this.#shown += texts.length
    const shown = this.#isForPeople ? texts.map((text) => formatLine(text, context, this.#options.hasColour)) : texts.map(visibleText)
    this.#out.write(`${shown.join('\n')}\n`)
    if (texts.length >= left) this.#end()
  }

  #drained(): void {
    this.#awaitsDrain = false
    this.#sayDropped()
  }

  #sayDropped(): void {
    if (this.#dropped > 0) this.#say(`… ${formatCount(this.#dropped)} records dropped here (slow reader)`)
    this.#dropped = 0
  }

  get #isForPeople(): boolean {
    return this.#options.isPretty && !this.#options.isRaw
  }

  /** In the stream for people, so that it stands where the records are missing; beside it for programs. */
  #say(text: string): void {
    if (this.#isForPeople) this.#out.write(`${text}\n`)
    else this.#words.write(`spillway tail: ${text}\n`)
  }

  #isConnected = false

  #connection(state: 'connected' | 'lost'): void {
    if (this.#hasEnded || this.#isConnected === (state === 'connected')) return
    this.#isConnected = state === 'connected'
    const text = state === 'connected' ? `connected to ${this.#endpoint}` : `lost the collector at ${this.#endpoint}; trying again`
    this.#words.write(`spillway tail: ${text}\n`)
  }

  get #hasEnded(): boolean {
    return this.#ended.signal.aborted
  }

  #end(): void {
    this.#ended.abort()
  }
}

/**
 * The stream pino writes to. It tells pino that it reads metadata, so the level and the logger of a line come beside
 * it and the line itself is never looked at; they are cleared after each write, because a stale one would lie.
 */
import { EventEmitter } from 'node:events'
import { StringDecoder } from 'node:string_decoder'
import type { Rank } from '../wire/level.ts'
import { levels, rankOfNumber } from '../wire/level.ts'
import { loggerNamesMax } from '../wire/limits.ts'
import type { Batcher } from './batcher.ts'
import type { AgentStats, FlushResult } from './books.ts'
import type { ExtraLines } from './extra-lines.ts'
import { scanName, scanRank } from './line-head.ts'
import { nameInBindings } from './logger-name.ts'
import type { AgentStream } from './stream.ts'

const metadata = Symbol.for('pino.metadata')

/** The parts of a pino logger that are looked at; symbols, because pino keeps them under its own. */
type Logger = Record<symbol, unknown>

/** What a destination needs from its agent, and what it offers of it. */
export interface LineTaker {
  readonly isDisabled: boolean
  /** Numbers of custom levels by their names. */
  readonly levelLabels: ReadonlyMap<string, number>
  readonly batcher: Batcher
  readonly extra: ExtraLines
  logStream(rank: Rank, name: string | undefined): AgentStream
  stats(): AgentStats
  flush(deadlineMs?: number): Promise<FlushResult>
  close(deadlineMs?: number): Promise<FlushResult>
}

type Streams = (AgentStream | undefined)[]

/** Longer bindings are read again each time their logger is another one; a thousand of them would be the ring again. */
const rememberedBindingsChars = 1_024
const partialCharsMax = 1_048_576

/** A Writable as pino, pino-http, Fastify and `multistream` use it; not a Node stream, because those queue. */
export class LogDestination extends EventEmitter {
  /** pino takes its one argument for a stream only when this is true. */
  readonly writable = true
  // Set by pino before each write. What is not needed is not kept: three stores of young objects cost 5 % of a call.
  lastLevel = 0
  lastLogger: Logger | undefined = undefined
  set lastObj(_value: unknown) {}
  set lastMsg(_value: unknown) {}
  set lastTime(_value: unknown) {}

  readonly agent: LineTaker
  readonly #batcher: Batcher
  readonly #extra: ExtraLines
  readonly #isDisabled: boolean
  /** Streams by rank of loggers without a name, and of each name. */
  readonly #plain: Streams = levels.map(() => undefined)
  readonly #named = new Map<string, Streams>()
  /** Names already read from bindings. */
  readonly #names = new Map<string, string | undefined>()
  #bindings: string | undefined
  #streams: Streams = this.#plain
  #hooks: unknown
  #mayRewrite = false
  #bindingsKey: symbol | undefined
  #hooksKey: symbol | undefined
  /** The beginning of a line whose end has not come yet; only from writers other than pino. */
  #partial = ''
  readonly #decoder = new StringDecoder('utf8')

  constructor(agent: LineTaker) {
    super()
    Object.defineProperty(this, metadata, { value: true })
    this.agent = agent
    this.#batcher = agent.batcher
    this.#extra = agent.extra
    this.#isDisabled = agent.isDisabled
  }

  /**
   * Takes one line from pino, or any text of lines from others. Returns at once, always true: what does not fit is
   * shed and counted, never queued without bound.
   */
  write(chunk: string | Uint8Array): boolean {
    if (this.#isDisabled) return true
    const level = this.lastLevel
    const logger = this.lastLogger
    this.lastLevel = 0
    this.lastLogger = undefined
    if (level === 0 || typeof chunk !== 'string') {
      this.#writeText(typeof chunk === 'string' ? chunk : this.#decoder.write(Buffer.from(chunk)))
      return true
    }
    if (logger !== undefined) this.#follow(logger)
    const rank = level === 30 ? 2 : rankOfNumber(level)
    const stream = this.#streams[rank] ?? this.#stream(rank)
    if (this.#extra.isOn && !this.#extra.passes(logger, level, stream, chunk)) return true
    if (this.#mayRewrite) this.#appendLines(stream, chunk)
    else this.#batcher.append(stream, chunk)
    return true
  }

  /** Finds the name of the logger that writes. Almost always the one that wrote before. */
  #follow(logger: Logger): void {
    if (this.#bindingsKey === undefined) this.#findKeys(logger)
    // Two loggers with the same bindings may differ in their hooks.
    const hooks = this.#hooksKey === undefined ? undefined : logger[this.#hooksKey]
    if (hooks !== this.#hooks) {
      this.#hooks = hooks
      this.#mayRewrite = (hooks as { streamWrite?: unknown } | undefined)?.streamWrite !== undefined
    }
    const bindings = this.#bindingsKey === undefined ? undefined : logger[this.#bindingsKey]
    if (bindings === this.#bindings || typeof bindings !== 'string') return
    this.#bindings = bindings
    const name = this.#nameOf(bindings)
    if (name === undefined) this.#streams = this.#plain
    else {
      let streams = this.#named.get(name)
      if (streams === undefined) {
        streams = levels.map(() => undefined)
        if (this.#named.size < loggerNamesMax) this.#named.set(name, streams)
      }
      this.#streams = streams
    }
    this.#name = name
  }

  #name: string | undefined

  #nameOf(bindings: string): string | undefined {
    if (!bindings.includes('"name"')) return undefined
    if (this.#names.has(bindings)) return this.#names.get(bindings)
    const name = nameInBindings(bindings)
    // A program with a child logger per request brings new bindings for ever.
    if (this.#names.size >= loggerNamesMax) this.#names.clear()
    if (bindings.length <= rememberedBindingsChars) this.#names.set(bindings, name)
    return name
  }

  #findKeys(logger: Logger): void {
    for (let object: object | null = logger; object !== null; object = Object.getPrototypeOf(object)) {
      for (const key of Object.getOwnPropertySymbols(object)) {
        if (key.description === 'pino.chindings') this.#bindingsKey ??= key
        else if (key.description === 'pino.hooks') this.#hooksKey ??= key
      }
    }
  }

  #stream(rank: Rank): AgentStream {
    const stream = this.agent.logStream(rank, this.#name)
    this.#streams[rank] = stream
    return stream
  }

  /** Text that is not known to be one line of pino's: from a tee, from the worker thread, from anyone. */
  #writeText(text: string): void {
    let from = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', from)) {
      const line = this.#partial + text.slice(from, end + 1)
      this.#partial = ''
      from = end + 1
      if (line !== '\n') this.#batcher.append(this.agent.logStream(scanRank(line, this.agent.levelLabels), scanName(line)), line)
    }
    this.#partial += text.slice(from)
    if (this.#partial.length > partialCharsMax) this.#endPartial()
  }

  /** What a `streamWrite` hook made of pino's line: it may have lost its end, or gained line feeds. */
  #appendLines(stream: AgentStream, text: string): void {
    for (const line of text.split('\n')) if (line !== '') this.#batcher.append(stream, `${line}\n`)
  }

  #endPartial(): void {
    if (this.#partial !== '') this.#writeText('\n')
  }

  /** Hands open batches over; pino calls it on fatal. Never waits. */
  flushSync(): void {
    if (this.#isDisabled) return
    this.#endPartial()
    this.#batcher.closeBatches()
  }

  /** Calls back once everything is acknowledged or two seconds have passed. */
  flush(done?: (error?: Error) => void): void {
    this.flushSync()
    this.agent.flush().then(() => done?.(), done)
  }

  /** Writes a last chunk and flushes. The agent stays open: other loggers may share it. */
  end(chunk?: string | Uint8Array): this {
    if (chunk !== undefined) this.write(chunk)
    this.flush(() => {
      this.emit('finish')
      this.emit('close')
    })
    return this
  }

  /** Closes the agent behind this destination; see `agent.close`. */
  async close(deadlineMs?: number): Promise<FlushResult> {
    this.#endPartial()
    return this.agent.close(deadlineMs)
  }
}

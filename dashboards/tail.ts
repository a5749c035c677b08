/**
 * `spillway tail`: records to standard output, words about them to standard error, until told to stop.
 *
 *   subscriber ──► queue ──► filter ──► format ──► reader
 *                  bounded; waits while the reader is slow or has paused, and sheds the oldest
 *
 * received = shown + filtered + dropped + waiting. What never came is `missed`, by its numbers.
 */
import { once } from 'node:events'
import { defaultTailEndpoint, type Endpoint, parseEndpoint } from '../wire/endpoint.ts'
import type { DecodedFrame } from '../wire/frame.ts'
import type { Level } from '../wire/level.ts'
import { formatCount } from '../wire/quantity.ts'
import { parseTextSearch } from '../wire/text-search.ts'
import { parseTopic, type TopicParts } from '../wire/topic.ts'
import { pointLines } from './point-lines.ts'
import { type RecordForm, type RecordFormat, recordFormat } from './record-format.ts'
import type { TimeForm } from './shown-time.ts'
import type { StyledText } from './styled-text.ts'
import { RecordFilter } from './tail-filter.ts'
import { type HistoryRecord, openTailHistory, type TailHistoryOptions } from './tail-history.ts'
import { tailAsks, tailPatterns } from './tail-patterns.ts'
import { TailQueue } from './tail-queue.ts'
import { type RecordContext, TailRecord } from './tail-record.ts'
import { type TailEvents, TailSubscriber } from './tail-subscriber.ts'

export interface TailOptions {
  readonly patterns: readonly string[]
  readonly connect?: string | undefined
  readonly level?: string | undefined
  readonly service?: string | undefined
  /** Points of metrics instead of lines. */
  readonly isMetrics: boolean
  readonly where?: string | undefined
  readonly grep: readonly string[]
  readonly exclude: readonly string[]
  readonly highlight: readonly string[]
  readonly form: RecordForm
  readonly fields?: string | undefined
  readonly template?: string | undefined
  readonly time: TimeForm
  /** Ends after this many records. */
  readonly limit?: number | undefined
  /** Ends after this long, ms. */
  readonly forMs?: number | undefined
  /** Records that are shown first, from the collector's files. */
  readonly history?: TailHistoryOptions | undefined
}

/** Whoever looks at the tail. */
export interface TailReader {
  /** What this reader is called when it is too slow. */
  readonly kind: 'reader' | 'terminal'
  /** Most bytes and records that wait for it. */
  readonly waiting: { readonly bytesMax: number; readonly recordsMax: number }
  /** Whether it should be given more. */
  readonly isReady: boolean
  /** Called once when it is ready again. */
  whenReady(then: () => void): void
  /** Rows of records, and of words that stand where records are missing. */
  show(rows: readonly StyledText[]): void
  /** Words about the tail; `isInStream` when they say what is missing at this place. */
  say(text: string, isInStream: boolean): void
}

export interface TailCounts {
  received: number
  shown: number
  filtered: number
  /** Will not come any more. */
  missed: number
  /** Given up here: the reader did not keep up, or has paused. */
  dropped: number
}

/** Without a connection for this long, whoever looks at an empty screen is told why it is empty. */
const waitingNoticeMs = 1_000
/** Between two looks at keys, signals and sockets. */
const sliceMs = 8
/** Handed to the reader at once. */
const sliceChars = 262_144
const entriesMax = 50_000

/** Runs until the limit, the time, the signal or the end of the reader. */
export class Tail {
  readonly counts: TailCounts = { received: 0, shown: 0, filtered: 0, missed: 0, dropped: 0 }
  readonly filter: RecordFilter
  readonly #options: TailOptions
  readonly #reader: TailReader
  readonly #endpoint: Endpoint
  readonly #subscriber: TailSubscriber
  readonly #format: RecordFormat
  readonly #queue: TailQueue
  readonly #ended = new AbortController()
  /** While records of the files are shown, those that come wait. */
  #isReadingHistory: boolean
  /** Records of the files that may come live as well, and how often: by service and line. */
  readonly #seam = new Map<string, number>()
  #historyFault: unknown
  #isPaused = false
  #isWaiting = false
  #isScheduled = false
  #isConnected = false
  #level: Level | undefined
  #dropReason: string

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID`, `SPW_PATTERN_INVALID` or `SPW_EXPRESSION_INVALID` for options that cannot be meant. */
  constructor(options: TailOptions, reader: TailReader) {
    this.#options = options
    this.#isReadingHistory = options.history !== undefined
    this.#reader = reader
    this.#dropReason = `slow ${reader.kind}`
    this.#endpoint = options.connect === undefined ? defaultTailEndpoint : parseEndpoint(options.connect, '--connect')
    this.filter = new RecordFilter(options)
    const highlights = options.highlight.map((source) => parseTextSearch(source, '--highlight'))
    this.#format = recordFormat({ ...options, highlights })
    this.#queue = new TailQueue({ ...reader.waiting, entriesMax })
    const events: TailEvents = {
      lines: (parts, frame, lines, count, topic) => this.#take(contextOf(parts, frame, topic), lines, count),
      points: (parts, frame, fresh, topic) => {
        const lines = pointLines(frame.body, frame.count, fresh)
        if (lines !== undefined) this.#take(contextOf(parts, frame, topic), lines, fresh.to - fresh.from)
      },
      missed: (count) => {
        this.counts.missed += count
        this.#queue.push({ kind: 'missed', count })
        this.#pump()
      },
      connection: (state) => this.#connection(state),
    }
    this.#subscriber = new TailSubscriber(tailPatterns(options), events, tailAsks(options))
  }

  /** Records that wait to be looked at. */
  get waiting(): number {
    return this.#queue.records
  }

  /** Records given up, and not yet told where they are missing. */
  get shed(): number {
    return this.#queue.shed
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  set isPaused(isPaused: boolean) {
    if (this.#isPaused && this.#queue.shed > 0) this.#dropReason = 'paused'
    this.#isPaused = isPaused
    if (!isPaused) this.#pump()
  }

  /** The lowest level that is asked for. */
  get level(): Level | undefined {
    return this.#level ?? (this.#options.level as Level | undefined)
  }

  /** Asks for this level and above from now on. @throws {@link SpillwayError} `SPW_OPTION_INVALID` when nothing can match. */
  set level(level: Level) {
    const wanted = { ...this.#options, level }
    this.#subscriber.change(tailPatterns(wanted), tailAsks(wanted))
    this.#level = level
    this.filter.level = level
  }

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.end())
    if (signal.aborted) this.end()
    const timer = this.#options.forMs === undefined ? undefined : setTimeout(() => this.end(), this.#options.forMs)
    const { history } = this.#options
    const records = history === undefined ? undefined : await this.#askForHistory(history)
    await this.#subscriber.open(this.#endpoint)
    if (records !== undefined) void this.#showHistory(records)
    const waiting = setTimeout(() => {
      if (!this.#isConnected) this.#reader.say(`waiting for a collector at ${this.#endpoint}`, false)
    }, waitingNoticeMs)
    if (!this.#hasEnded) await once(this.#ended.signal, 'abort')
    clearTimeout(timer)
    clearTimeout(waiting)
    await this.#subscriber.close()
    this.#sayRest()
    if (this.#historyFault !== undefined) throw this.#historyFault
  }

  /** Asks for records of the files, before there are subscriptions: see tail-history.ts. */
  async #askForHistory(history: TailHistoryOptions): Promise<AsyncGenerator<HistoryRecord>> {
    const { level, service } = this.#options
    const filter = new URLSearchParams(tailPatterns(this.#options).map((pattern): [string, string] => ['topic', pattern]))
    if (level !== undefined) filter.set('level', level)
    if (service !== undefined) filter.set('service', service)
    return await openTailHistory(history, this.#subscriber.name, filter, this.#ended.signal)
  }

  async #showHistory(records: AsyncGenerator<HistoryRecord>): Promise<void> {
    try {
      for await (const { topic, service, level, time: timeMs, line, seam } of records) {
        if (this.#hasEnded) return
        const key = seamKey(service, line)
        if (seam) this.#seam.set(key, (this.#seam.get(key) ?? 0) + 1)
        this.counts.received += 1
        const rows: StyledText[] = []
        this.#showRecord(new TailRecord(line, { topic, service, level, name: nameOf(topic), timeMs }), rows)
        this.#showRows(rows)
        if (!this.#reader.isReady) await new Promise<void>((resolve) => this.#reader.whenReady(resolve))
      }
      this.#isReadingHistory = false
      this.#pump()
    } catch (error) {
      if (this.#hasEnded) return
      this.#historyFault = error
      this.end()
    }
  }

  #showRecord(record: TailRecord, rows: StyledText[]): void {
    if (!this.filter.matches(record)) {
      this.counts.filtered += 1
      return
    }
    rows.push(...this.#format(record))
    this.counts.shown += 1
    if (!this.#hasReachedLimit) return
    this.#showRows(rows)
    this.end()
  }

  /** Whether a record that came live stands in what the files were asked for; each of them once. */
  #isAtSeam({ line, context }: TailRecord): boolean {
    if (this.#seam.size === 0) return false
    const key = seamKey(context.service, line)
    const left = this.#seam.get(key)
    if (left === undefined) return false
    if (left === 1) this.#seam.delete(key)
    else this.#seam.set(key, left - 1)
    return true
  }

  end(): void {
    this.#ended.abort()
  }

  #take(context: RecordContext, lines: Buffer, count: number): void {
    if (this.#hasEnded) return
    this.counts.received += count
    this.#queue.push({ kind: 'lines', context, lines, count })
    this.#pump()
  }

  /** Shows what waits for a while, then lets others have their turn. */
  #pump(): void {
    if (this.#hasEnded || this.#isReadingHistory || this.#isPaused || this.#isWaiting || this.#isScheduled) return
    if (!this.#reader.isReady) return this.#waitForReader()
    const endsAtMs = performance.now() + sliceMs
    const rows: StyledText[] = []
    let chars = 0
    for (let taken = 0; !this.#queue.isEmpty && !this.#hasEnded; taken += 1) {
      if (chars > sliceChars || (taken % 16 === 15 && performance.now() > endsAtMs)) break
      const told = this.#queue.takeShed()
      if (told.shed > 0 || told.missed > 0) {
        this.#showRows(rows)
        this.#sayMissed(told.missed)
        this.#sayDropped(told.shed)
        continue
      }
      const next = this.#queue.take()
      if (next === undefined) break
      if ('missed' in next) {
        this.#showRows(rows)
        this.#sayMissed(next.missed)
        continue
      }
      const record = new TailRecord(next.line, next.context)
      chars += next.line.length
      // Shown already, from the files.
      if (this.#isAtSeam(record)) this.counts.received -= 1
      else this.#showRecord(record, rows)
    }
    this.#showRows(rows)
    if (this.#queue.isEmpty || this.#hasEnded) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #showRows(rows: StyledText[]): void {
    if (rows.length > 0) this.#reader.show(rows.splice(0))
  }

  #waitForReader(): void {
    this.#isWaiting = true
    this.#reader.whenReady(() => {
      this.#isWaiting = false
      this.#pump()
    })
  }

  #sayMissed(count: number): void {
    if (count > 0) this.#reader.say(`… ${formatCount(count)} records missed here`, true)
  }

  #sayDropped(count: number): void {
    if (count === 0) return
    this.counts.dropped += count
    this.#reader.say(`… ${formatCount(count)} records dropped here (${this.#dropReason})`, true)
    this.#dropReason = `slow ${this.#reader.kind}`
  }

  /** At the end nothing is left that is not told. */
  #sayRest(): void {
    const { shed, missed } = this.#queue.takeShed()
    const rest = this.#hasReachedLimit ? 0 : shed + this.#queue.clear()
    this.counts.dropped += rest
    if (missed > 0) this.#reader.say(`… ${formatCount(missed)} records missed here`, true)
    if (rest > 0) this.#reader.say(`… ${formatCount(rest)} records had come and are not shown`, true)
    const { tooCostly } = this.filter
    if (tooCostly > 0) this.#reader.say(`--where took too long for ${formatCount(tooCostly)} records; they are not shown`, false)
  }

  get #hasReachedLimit(): boolean {
    return this.counts.shown >= (this.#options.limit ?? Number.POSITIVE_INFINITY)
  }

  #connection(state: 'connected' | 'lost'): void {
    if (this.#hasEnded || this.#isConnected === (state === 'connected')) return
    this.#isConnected = state === 'connected'
    const text = state === 'connected' ? `connected to ${this.#endpoint}` : `lost the collector at ${this.#endpoint}; trying again`
    this.#reader.say(text, false)
  }

  get #hasEnded(): boolean {
    return this.#ended.signal.aborted
  }
}

function seamKey(service: string, line: string): string {
  return `${service}\n${line}`
}

/** The logger's, in a topic. */
function nameOf(topic: string): string | undefined {
  const parts = parseTopic(topic)
  return parts?.kind === 'log' ? parts.name : undefined
}

function contextOf(parts: TopicParts, frame: DecodedFrame, topic: string): RecordContext {
  const { kind, service } = parts
  const { time: timeMs } = frame
  if (kind === 'log') return { topic, service, level: parts.level, name: parts.name, timeMs }
  // What an agent says about its own losses is a warning.
  return { topic, service, level: kind === 'sys' ? 'warn' : undefined, name: undefined, timeMs }
}

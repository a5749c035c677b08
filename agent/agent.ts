/**
 * The agent: takes records, keeps them in the ring and hands them to its links, until they are acknowledged.
 * A call does bounded work and returns; nothing here waits, throws because of load, or keeps the process alive.
 */
import type { ControlMessage } from '../wire/control.ts'
import type { Rank } from '../wire/level.ts'
import { agentPollMs, closeDeadlineMs } from '../wire/limits.ts'
import type { Topic } from '../wire/topic.ts'
import { AgentWords, type Spoken } from './agent-words.ts'
import { Batcher, type BatchOwner } from './batcher.ts'
import { type AgentStats, agentStats, type FlushResult, leftRecords } from './books.ts'
import { BoundPublisher, type PublisherOwner } from './bound-publisher.ts'
import type { Leaving } from './exit.ts'
import { ExtraLines } from './extra-lines.ts'
import type { FingersCrossed, FingersCrossedOptions } from './fingers-crossed.ts'
import { Link, type LinkOwner, type ManifestKind } from './link.ts'
import { type LineTaker, LogDestination } from './log-destination.ts'
import type { PinoLogger } from './logger-levels.ts'
import { encodeLossNotice } from './loss-notice.ts'
import type { InstrumentOptions } from './metrics/instrument-definition.ts'
import type { Counter, Gauge, Histogram, Observable } from './metrics/instruments.ts'
import { Metrics, type MetricsOwner } from './metrics/metrics.ts'
import type { ResolvedOptions } from './options.ts'
import { encodeManifest, type ManifestLink, type Origin } from './origin-manifest.ts'
import type { RingEntry } from './ring.ts'
import type { AgentRuntime, Pending } from './runtime.ts'
import { StdoutFallback } from './stdout-fallback.ts'
import type { AgentStream, ShedReason, StreamEvents } from './stream.ts'
import { Streams } from './streams.ts'

export interface LoggerLike {
  readonly levels?: { readonly values?: Readonly<Record<string, number>> }
}

export class Agent implements Origin, LinkOwner, BatchOwner, StreamEvents, LineTaker, MetricsOwner, Spoken, Leaving, PublisherOwner {
  readonly origin: string
  readonly service: string
  /** `SPILLWAY_DISABLED=1`: every call returns at once and nothing is opened. */
  readonly isDisabled: boolean
  readonly links: readonly Link[]
  /** For live tails that connect to this process. */
  readonly publisher: BoundPublisher | undefined
  /** Numbers of custom levels, for lines whose level is found in their text. */
  readonly levelLabels: Map<string, number> = new Map()
  readonly streams: Streams
  readonly batcher: Batcher
  /** What the methods named `create…` make; for whoever feeds what was aggregated elsewhere. */
  readonly metrics: Metrics
  /** Lines beyond the application's own levels. */
  readonly extra: ExtraLines
  readonly #runtime: AgentRuntime
  readonly #startedAtMs: number
  readonly #words: AgentWords
  readonly #fallback: StdoutFallback | undefined
  #pollTimer: Pending | undefined
  #acknowledged = 0

  constructor(options: ResolvedOptions, runtime: AgentRuntime) {
    this.#runtime = runtime
    this.#startedAtMs = runtime.nowMs()
    this.origin = runtime.newOrigin()
    this.service = options.service
    this.isDisabled = options.isDisabled
    this.streams = new Streams(options.service, this, (topic) => this.#isWanted(topic))
    this.batcher = new Batcher(this, runtime)
    this.metrics = new Metrics(this, runtime, options.metrics)
    this.extra = new ExtraLines(options.onDemand, options.service, this.batcher, runtime)
    this.#words = new AgentWords(this, runtime)
    if (options.fallback === 'stdout') this.#fallback = new StdoutFallback()
    if (this.isDisabled) {
      this.links = []
      return
    }
    runtime.ring.bytesMax = Math.max(runtime.ring.bytesMax, options.ringBytes)
    const network = runtime.network()
    this.links = options.links.map((endpoints, index) => new Link(this, runtime, { network, endpoints, index }))
    for (const link of this.links) link.open(this.#startedAtMs)
    if (options.bind !== undefined) this.publisher = new BoundPublisher(this, runtime, options.bind)
    this.#pollTimer = runtime.every(agentPollMs, () => this.#poll())
    this.#pollSoon()
    runtime.stayUntilExit(this)
  }

  get isClosed(): boolean {
    return this.batcher.isClosed
  }

  /**
   * A stream for `pino(...)`: `write` takes a line and returns at once. Never waits, never throws, never grows beyond
   * the ring. Several may be open on one agent.
   */
  destination(): LogDestination {
    return new LogDestination(this)
  }

  /**
   * The user's own pino options, composed so that a live tail can switch levels on in the logger made from them and in
   * its children: `levelComparison`, `hooks` and `onChild` are the user's and do one thing more. `level` stays what it
   * is. Pass them on to `pino` with {@link destination}. Custom levels are learned from them.
   */
  pinoOptions<T extends object>(options?: T): T {
    const composed = { ...options } as T
    const custom: unknown = 'customLevels' in composed ? composed.customLevels : undefined
    if (custom !== null && typeof custom === 'object') this.#learnLevels(custom as Record<string, number>)
    return this.isDisabled ? composed : this.extra.levels.compose(composed)
  }

  /**
   * Makes a logger that was made elsewhere known, so that a live tail can switch levels on in it and in the children it
   * makes from now on, and its custom levels are understood by their names. It should write to this agent's destination.
   * Safe to call twice; what is no pino logger is left alone.
   */
  attach(logger: LoggerLike): void {
    this.#learnLevels(logger.levels?.values ?? {})
    if (!this.isDisabled) this.extra.levels.attach(logger as unknown as PinoLogger)
  }

  /**
   * Keeps in memory what each request logs below its logger's level, and sends it only when the request ends in an error:
   * the detail that explains a failure, without the rest. For loggers made with {@link pinoOptions} or given to {@link attach}.
   *
   * @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an option that cannot be meant, and the second time.
   */
  fingersCrossed(options: FingersCrossedOptions = {}): FingersCrossed {
    return this.extra.crossFingers(options)
  }

  #learnLevels(values: Readonly<Record<string, number>>): void {
    for (const [label, number] of Object.entries(values)) if (typeof number === 'number') this.levelLabels.set(label, number)
  }

  #isWanted(topic: Topic): boolean {
    return this.links.some((link) => link.wants(topic)) || this.publisher?.wants(topic) === true
  }

  /** The stream of a level and a logger's name; after 256 topics, the one they share. */
  logStream(rank: Rank, name: string | undefined): AgentStream {
    return this.streams.log(rank, name)
  }

  /** Hands everything over that was taken. Never waits. */
  closeBatches(): void {
    this.batcher.closeBatches()
  }

  // ── metrics ──

  /**
   * Counts what only goes up: requests, bytes, failures.
   *
   * @param name - Such as `http.requests`; what stands before the first `.` groups instruments under one topic. The same
   *   name again gives the same instrument.
   * @throws {@link SpillwayError} `SPW_METRIC_INVALID` for a name, unit or description that cannot be;
   *   `SPW_METRIC_CONFLICT` when the name is another instrument's. So do all the methods below.
   */
  createCounter(name: string, options?: InstrumentOptions): Counter {
    return this.metrics.createCounter(name, options)
  }

  /** Counts what goes up and down: connections, jobs in a queue. */
  createUpDownCounter(name: string, options?: InstrumentOptions): Counter {
    return this.metrics.createUpDownCounter(name, options)
  }

  /** Takes values as they are now; of each interval the last, the least and the greatest are kept. */
  createGauge(name: string, options?: InstrumentOptions): Gauge {
    return this.metrics.createGauge(name, options)
  }

  /** Takes values whose distribution matters: durations, sizes. */
  createHistogram(name: string, options?: InstrumentOptions): Histogram {
    return this.metrics.createHistogram(name, options)
  }

  /** A counter whose total somebody else keeps; asked at the end of each interval. */
  createObservableCounter(name: string, options?: InstrumentOptions): Observable {
    return this.metrics.createObservableCounter(name, options)
  }

  /** An up-down counter whose value somebody else keeps; asked at the end of each interval. */
  createObservableUpDownCounter(name: string, options?: InstrumentOptions): Observable {
    return this.metrics.createObservableUpDownCounter(name, options)
  }

  /** A gauge that is read at the end of each interval. */
  createObservableGauge(name: string, options?: InstrumentOptions): Observable {
    return this.metrics.createObservableGauge(name, options)
  }

  wantsPoints(group: string): boolean {
    return this.streams.wantsMetric(group)
  }

  takePoints(group: string, body: Buffer, count: number): void {
    this.batcher.takePoints(this.streams.metric(group), body, count)
  }

  // ── loss ──

  shed(stream: AgentStream, reason: ShedReason, records: number): void {
    stream.addShed(reason, records)
    this.#words.lost(records)
  }

  isFlowing(): boolean {
    return this.links.some((link) => link.isFlowing)
  }

  evicted(stream: AgentStream, entry: RingEntry, frame: Buffer): void {
    stream.movedAtMs = this.#runtime.nowMs()
    if (entry.acknowledged !== 0) return
    if (entry.sent !== 0) stream.evictedSent += entry.count
    else if (!this.#print(stream, entry, frame)) this.shed(stream, 'ring_full', entry.count)
    else stream.addShed('printed', entry.count)
  }

  #print(stream: AgentStream, { count }: RingEntry, frame: Buffer): boolean {
    if (this.#fallback === undefined) return false
    return this.#fallback.print(frame, () => {
      stream.addShed('printed', -count)
      this.shed(stream, 'ring_full', count)
    })
  }

  // ── what the links tell ──

  stream(topic: Topic): AgentStream | undefined {
    return this.streams.get(topic)
  }

  owed(link: Link): RingEntry[] {
    return this.streams.entries((entry) => (entry.waiting & link.bit) !== 0)
  }

  acknowledge(link: Link, message: ControlMessage): void {
    // A second way to the same collector hears the same answer, while its own copies may still wait in its socket.
    const isOneOfSeveralWays = this.links.some((other) => other !== link && other.lastRun === message.run)
    for (const { topic, upTo, note } of message.acknowledgements) {
      const stream = this.streams.get(topic)
      if (stream === undefined || upTo > stream.next) continue
      const before = stream.acknowledged[link.index] ?? 0
      if (upTo >= before) stream.notes[link.index] = note
      stream.acknowledged[link.index] = Math.max(upTo, before)
      for (const entry of stream.entries) {
        if (entry.seq + entry.count > upTo) break
        if (entry.frame === undefined || (entry.waiting & link.bit) === 0) continue
        if (entry.acknowledged === 0) this.#acknowledged += entry.count
        entry.acknowledged |= link.bit
        if (isOneOfSeveralWays) entry.isSentSeveralWays = true
        this.#releaseFrom(entry, link)
      }
    }
  }

  unwanted(link: Link, entry: RingEntry): void {
    const stream = entry.owner as AgentStream
    stream.acknowledged[link.index] = Math.max(entry.seq + entry.count, stream.acknowledged[link.index] ?? 0)
    this.#releaseFrom(entry, link)
    if (entry.frame === undefined && entry.sent === 0) stream.filtered += entry.count
  }

  #releaseFrom(entry: RingEntry, link: Link): void {
    entry.waiting &= ~link.bit
    if (entry.waiting === 0) this.#runtime.ring.release(entry)
  }

  wantedChanged(): void {
    this.streams.wantedChanged()
  }

  manifest(link: Link, kind: ManifestKind): [Buffer, Buffer] {
    return encodeManifest(this, link, kind, this.#runtime)
  }

  tailManifest(link: ManifestLink, isFull: boolean, isFinal: boolean): [Buffer, Buffer] {
    return encodeManifest(this, link, { isFull, isFinal, isUrgent: false }, this.#runtime)
  }

  get lostRecords(): number {
    return this.#words.lostRecords
  }

  lossNotice(link: Link): [Buffer, Buffer] {
    const { origin, service, shed } = this.stats()
    return encodeLossNotice({ origin, service, shed, number: link.lossNotices, ...this.#words.loss }, this.#runtime)
  }

  // ── time ──

  #poll(): void {
    const nowMs = this.#runtime.nowMs()
    for (const link of this.links) link.poll(nowMs)
    this.publisher?.poll(nowMs)
    this.extra.look(
      [...this.links, ...(this.publisher === undefined ? [] : [this.publisher])].flatMap((way) => way.asks(nowMs)),
      nowMs,
    )
    this.#words.look(nowMs)
  }

  /** The first connection takes a few milliseconds; a program of one line should not wait a whole poll for it. */
  #pollSoon(): void {
    this.#runtime.after(agentPollMs / 10, () => {
      if (this.isClosed || this.links.every((link) => link.state !== 'connecting')) return
      this.#poll()
      if (this.#runtime.nowMs() - this.#startedAtMs < 20 * agentPollMs) this.#pollSoon()
    })
  }

  // ── ends ──

  /**
   * Hands everything over and waits until it is acknowledged, at most `deadlineMs`.
   *
   * @param deadlineMs - Milliseconds. @defaultValue 2,000
   */
  async flush(deadlineMs: number = closeDeadlineMs): Promise<FlushResult> {
    if (this.isDisabled) return { left: 0 }
    const untilMs = this.#runtime.nowMs() + deadlineMs
    const preparation = this.metrics.prepare(() => undefined)
    while (preparation?.isDone === false && this.#runtime.nowMs() < untilMs) await this.#lookAgain()
    this.metrics.collectNow({ isLast: false })
    this.closeBatches()
    for (const link of this.links) link.hurry()
    while (this.leftRecords() > 0 && this.#runtime.nowMs() < untilMs) await this.#lookAgain()
    return { left: this.leftRecords() }
  }

  /**
   * Flushes, says goodbye to the collectors and closes the sockets, within `deadlineMs`. Safe to call twice. What is
   * logged afterwards is counted as shed.
   *
   * @param deadlineMs - Milliseconds. @defaultValue 2,000
   */
  async close(deadlineMs: number = closeDeadlineMs): Promise<FlushResult> {
    if (this.isDisabled || this.isClosed) return { left: 0 }
    const untilMs = this.#runtime.nowMs() + deadlineMs
    await this.flush(deadlineMs)
    this.metrics.collectNow({ isLast: true })
    this.metrics.end()
    this.closeBatches()
    this.batcher.isClosed = true
    for (;;) {
      const open = this.links.filter((link) => link.state === 'connected' && !(link.sayBye() && link.isByeAnswered))
      if (open.length === 0 || this.#runtime.nowMs() >= untilMs) break
      for (const link of open) link.pump()
      await this.#lookAgain()
    }
    await this.publisher?.close()
    const left = this.leftRecords()
    this.#end()
    this.#words.sayTotal('at close', left)
    return { left }
  }

  /** One turn of waiting: keeps the process alive for it, unlike every timer here. */
  async #lookAgain(): Promise<void> {
    await this.#runtime.pause(agentPollMs / 10)
    const nowMs = this.#runtime.nowMs()
    for (const link of this.links) link.poll(nowMs)
  }

  /** Records no collector has acknowledged. */
  leftRecords(): number {
    return leftRecords(this.streams, this.links)
  }

  #end(): void {
    this.#runtime.leaveAtExit(this)
    this.#pollTimer?.cancel()
    this.metrics.end()
    this.batcher.end()
    for (const link of this.links) link.close()
    for (const stream of this.streams) for (const entry of stream.entries) this.#runtime.ring.release(entry)
  }

  beginExit(): void {
    for (const link of this.links) link.takeByeBack()
    this.metrics.collectNow({ isLast: true })
    this.closeBatches()
  }

  exitStep(): boolean {
    const nowMs = this.#runtime.nowMs()
    let isDone = this.publisher?.exitStep() ?? true
    for (const link of this.links) if (!link.exitStep() && link.mayStillConnect(nowMs)) isDone = false
    return isDone
  }

  endExit(): void {
    this.batcher.isLate = true
    if (this.leftRecords() > 0) this.#printLeft()
    this.#words.sayTotal('at exit', this.leftRecords())
  }

  takenLate(): void {
    this.#runtime.leaveLate(this)
  }

  /** At the very end, what nobody was ever sent goes to stdout, if that takes it at once. */
  #printLeft(): void {
    if (this.#fallback === undefined) return
    for (const entry of this.streams.entries(({ sent }) => sent === 0)) {
      if (entry.frame === undefined || !this.#fallback.printNow(entry.frame)) return
      const stream = entry.owner as AgentStream
      stream.addShed('printed', entry.count)
      this.#runtime.ring.release(entry)
    }
  }

  /** The agent's own books, now. Costs a walk over its topics. */
  stats(): AgentStats {
    const { origin, service, streams, batcher, links, extra, publisher } = this
    return agentStats({
      origin,
      service,
      streams,
      batcher,
      links,
      acknowledged: this.#acknowledged,
      ring: this.#runtime.ring,
      metrics: this.metrics.stats(),
      extra,
      publisher,
    })
  }
}

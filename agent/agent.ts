/**
 * The agent: takes records, numbers them, batches them by topic, keeps them in the ring and hands them to its links.
 * A call does bounded work and returns; nothing here waits, throws because of load, or keeps the process alive.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Context } from 'zeromq'
import type { ControlMessage } from '../wire/control.ts'
import { decodeFrame, encodeFrame, encodeLines, frameKinds } from '../wire/frame.ts'
import { errorRank, levelNumbers, levels, type Rank } from '../wire/level.ts'
import {
  agentPollMs,
  batchAgeMaxMs,
  batchRecordsMax,
  closeDeadlineMs,
  fullBatchesMax,
  openBatchesMax,
  originTopicsMax,
  recordBytesMax,
  sequenceMax,
} from '../wire/limits.ts'
import { type Manifest, type ManifestTopic, manifestBody } from '../wire/manifest.ts'
import { privateContext } from '../wire/socket.ts'
import { isCutToken, isOtherTopic, logTopic, otherTopic, sysTopic, type Topic } from '../wire/topic.ts'
import { version } from '../wire/version.ts'
import { AgentWords, type Spoken } from './agent-words.ts'
import type { AgentStats, FlushResult, TopicStats } from './books.ts'
import { leaveAtExit, leaveLate, stayUntilExit } from './exit.ts'
import { cutLine } from './line-head.ts'
import { Link, type LinkOwner } from './link.ts'
import { type LineTaker, LogDestination } from './log-destination.ts'
import type { ResolvedOptions } from './options.ts'
import { printLines, printLinesNow } from './print-lines.ts'
import { processRing, type RingEntry } from './ring.ts'
import { AgentStream, type ShedReason, type StreamEvents } from './stream.ts'

interface FullBatch {
  readonly stream: AgentStream
  readonly seq: number
  readonly count: number
  readonly frame: Buffer
  readonly waiting: number
}

export interface LoggerLike {
  readonly levels?: { readonly values?: Readonly<Record<string, number>> }
}

/** UTF-8 takes at most three bytes for a UTF-16 unit; up to here no line needs to be measured. */
const longLineChars = Math.floor(recordBytesMax / 3)
/** A topic that moved this recently is in every manifest, so that one lost manifest hides nothing. */
const recentlyMovedMs = 5_000
const fallbackBytesMax = 1_048_576

export class Agent implements LinkOwner, StreamEvents, LineTaker, Spoken {
  readonly origin: string = randomBytes(12).toString('base64url')
  readonly service: string
  /** `SPILLWAY_DISABLED=1`: every call returns at once and nothing is opened. */
  readonly isDisabled: boolean
  readonly links: readonly Link[]
  /** Numbers of custom levels, for lines whose level is found in their text. */
  readonly levelLabels: Map<string, number> = new Map()
  readonly #options: ResolvedOptions
  readonly #context: Context | undefined
  readonly #streams = new Map<Topic, AgentStream>()
  readonly #open = new Set<AgentStream>()
  /** Batches that are numbered and wait for the end of the turn. */
  #full: FullBatch[] = []
  #fullTurnEnd: NodeJS.Immediate | undefined
  #ageTimer: NodeJS.Timeout | undefined
  #turnEnd: NodeJS.Immediate | undefined
  #textTurnEnd: NodeJS.Immediate | undefined
  #pollTimer: NodeJS.Timeout | undefined
  readonly #startedAtMs = performance.now()
  readonly #words = new AgentWords(this)
  #isClosed = false
  #hasLeft = false
  #cut = 0
  #cutTopics = 0
  #acknowledged = 0
  #fallbackBytesPending = 0

  constructor(options: ResolvedOptions) {
    this.#options = options
    this.service = options.service
    this.isDisabled = options.isDisabled
    if (this.isDisabled) {
      this.links = []
      return
    }
    processRing.bytesMax = Math.max(processRing.bytesMax, options.ringBytes)
    this.#context = privateContext()
    const context = this.#context
    this.links = options.links.map((endpoints, i) => new Link(this, context, endpoints, i))
    for (const link of this.links) link.open(this.#startedAtMs)
    this.#pollTimer = setInterval(() => this.#poll(), agentPollMs)
    this.#pollTimer.unref()
    this.#pollSoon()
    stayUntilExit(this)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * A stream for `pino(...)`: `write` takes a line and returns at once. Never waits, never throws, never grows beyond
   * the ring. Several may be open on one agent.
   */
  destination(): LogDestination {
    return new LogDestination(this)
  }

  /** The user's own pino options, which this agent learns custom levels from. Pass them on to `pino` with {@link destination}. */
  pinoOptions<T extends object>(options?: T): T {
    const composed = { ...options } as T
    const custom: unknown = 'customLevels' in composed ? composed.customLevels : undefined
    if (custom !== null && typeof custom === 'object') this.#learnLevels(custom as Record<string, number>)
    return composed
  }

  /** Makes a logger that was made elsewhere known, so that its custom levels are understood by their names. */
  attach(logger: LoggerLike): void {
    this.#learnLevels(logger.levels?.values ?? {})
  }

  #learnLevels(values: Readonly<Record<string, number>>): void {
    for (const [label, number] of Object.entries(values)) if (typeof number === 'number') this.levelLabels.set(label, number)
  }

  /** The stream of a level and a logger's name; after 256 topics, the one they share. */
  logStream(rank: Rank, name: string | undefined): AgentStream {
    const level = levels[rank] ?? 'info'
    let topic = logTopic(level, this.service, name)
    const known = this.#streams.get(topic)
    if (known !== undefined) return known
    // The six plain topics and the six shared ones always have a place.
    if (name !== undefined) {
      if (this.#streams.size >= originTopicsMax - 2 * levels.length) {
        topic = otherTopic(topic)
        const other = this.#streams.get(topic)
        if (other !== undefined) return other
      } else if (isCutToken(topic.slice(0, -1))) this.#cutTopics += 1
    }
    const stream = new AgentStream(topic, rank, this)
    stream.wanted = this.#isWanted(topic)
    this.#streams.set(topic, stream)
    return stream
  }

  /** Takes one line, ended by LF. The way of every record: no promise, no closure, no copy of the line's bytes. */
  append(stream: AgentStream, line: string): void {
    const fits = stream.count > 0 && line.length <= longLineChars && stream.text.length + line.length <= stream.textCharsMax
    if (!fits || !stream.wanted) return this.#appendElse(stream, line)
    stream.text += line
    stream.count += 1
    if (stream.count >= batchRecordsMax) this.#closeBatch(stream)
  }

  /** The first line of a batch, a long one, and one that is not taken. */
  #appendElse(stream: AgentStream, line: string): void {
    if (!stream.wanted) {
      stream.filtered += 1
      return
    }
    if (this.#isClosed) return this.#shedOne(stream, 'closed')
    const text = line.length > longLineChars ? this.#shortened(stream, line) : line
    if (stream.text.length + text.length > stream.textCharsMax) this.#makeRoom(stream, text.length)
    if (stream.count === 0) this.#openBatch(stream)
    stream.text += text
    stream.count += 1
    if (stream.count >= batchRecordsMax) this.#closeBatch(stream)
    // Logged by an `exit` handler that ran after ours: no timer will come for it.
    if (this.#hasLeft) leaveLate(this)
  }

  /** Text has come together: it is encoded when the turn ends, or now if the turn goes on logging. */
  #makeRoom(stream: AgentStream, chars: number): void {
    if (!stream.isTextDue) {
      stream.expectText()
      this.#textTurnEnd ??= setImmediate(() => this.#encodeDueTexts())
    }
    if (stream.text.length + chars > stream.textCharsMax) this.#encodeText(stream)
  }

  #encodeDueTexts(): void {
    this.#textTurnEnd = undefined
    for (const stream of this.#open) if (stream.isTextDue) this.#encodeText(stream)
  }

  #shortened(stream: AgentStream, line: string): string {
    const bytes = Buffer.byteLength(line, 'utf8')
    if (bytes <= recordBytesMax) return line
    this.#cut += 1
    return cutLine(line, bytes, levelNumbers[levels[stream.rank] ?? 'info'])
  }

  #openBatch(stream: AgentStream): void {
    stream.firstAtMs = wallClockMs()
    if (this.#open.size >= openBatchesMax) this.closeBatches()
    this.#open.add(stream)
    // Errors leave at the end of the turn, with everything logged before them.
    if (stream.rank >= errorRank) this.#turnEnd ??= setImmediate(() => this.closeBatches())
    if (this.#ageTimer !== undefined) return
    this.#ageTimer = setTimeout(() => this.closeBatches(), batchAgeMaxMs)
    this.#ageTimer.unref()
  }

  /** Hands everything over that was taken. Never waits. */
  closeBatches(): void {
    clearTimeout(this.#ageTimer)
    this.#ageTimer = undefined
    clearImmediate(this.#turnEnd)
    this.#turnEnd = undefined
    for (const stream of this.#open) this.#closeBatch(stream)
    this.#sendFull()
    for (const link of this.links) link.pump()
  }

  /** Encodes the text of the open batch. When it no longer fits, what was encoded before leaves as a batch of its own. */
  #encodeText(stream: AgentStream): void {
    if (stream.text === '') return
    const bytes = Buffer.byteLength(stream.text, 'utf8')
    if (!stream.encoded.fits(bytes)) {
      this.#finish(stream, stream.encoded.count)
      stream.firstAtMs = wallClockMs()
    }
    stream.encoded.write(stream.text, bytes, stream.count - stream.encoded.count)
    stream.clearText()
  }

  #closeBatch(stream: AgentStream): void {
    this.#open.delete(stream)
    if (stream.encoded.count > 0) this.#encodeText(stream)
    this.#finish(stream, stream.count)
  }

  /** Numbers the first `count` lines of the open batch. They are sent at the end of the turn, unless too much waits for that already. */
  #finish(stream: AgentStream, count: number): void {
    const isEncoded = stream.encoded.count > 0
    const text = isEncoded ? '' : stream.text
    stream.count -= count
    if (!isEncoded) stream.clearText()
    const waiting = this.#linksWanting(stream)
    if (waiting === 0) {
      // Its collectors have spoken since the batch was opened. What nobody wants gets no number.
      stream.filtered += count
      stream.encoded.clear()
      return
    }
    const seq = stream.next
    stream.next = seq + count
    stream.movedAtMs = performance.now()
    // Should it be wanted one day by a link that does not want it now, it begins there behind what was not.
    for (const link of this.links) if ((waiting & link.bit) === 0) stream.acknowledged[link.index] = stream.next
    const head = { origin: this.origin, seq, count, time: stream.firstAtMs, kind: frameKinds.lines, onDemand: false } as const
    let frame: Buffer
    try {
      frame = isEncoded ? stream.encoded.finish(head) : encodeLines(head, text)
    } catch {
      stream.encoded.clear()
      this.#shed(stream, 'failed', count)
      return
    }
    this.#full.push({ stream, seq, count, frame, waiting })
    this.#fullTurnEnd ??= setImmediate(() => this.#sendFull())
    const surplus = this.#full.length > fullBatchesMax ? this.#full.shift() : undefined
    if (surplus !== undefined) this.#hold(surplus)
  }

  #sendFull(): void {
    clearImmediate(this.#fullTurnEnd)
    this.#fullTurnEnd = undefined
    for (const batch of this.#full.splice(0)) this.#hold(batch)
  }

  /** Puts a batch into the ring and offers it to the links that want it. */
  #hold({ stream, seq, count, frame, waiting }: FullBatch): void {
    const entry = processRing.push(stream, frame, { seq, count, waiting })
    if (entry.frame !== undefined) stream.hold(entry)
    for (const link of this.links) if ((waiting & link.bit) !== 0) link.offer(entry)
  }

  #linksWanting(stream: AgentStream): number {
    let bits = 0
    for (const link of this.links) if (link.wants(stream.topic)) bits |= link.bit
    return bits
  }

  #isWanted(topic: Topic): boolean {
    return this.links.some((link) => link.wants(topic))
  }

  #shedOne(stream: AgentStream, reason: ShedReason): void {
    stream.next += 1
    stream.movedAtMs = performance.now()
    this.#shed(stream, reason, 1)
  }

  #shed(stream: AgentStream, reason: ShedReason, records: number): void {
    stream.addShed(reason, records)
    this.#words.lost(records)
  }

  // ── what the ring tells ──

  isFlowing(): boolean {
    return this.links.some((link) => link.isFlowing)
  }

  evicted(stream: AgentStream, entry: RingEntry, frame: Buffer): void {
    stream.movedAtMs = performance.now()
    if (entry.acknowledged !== 0) return
    if (entry.sent !== 0) stream.evictedSent += entry.count
    else if (!this.#printed(stream, frame)) this.#shed(stream, 'ring_full', entry.count)
    else stream.addShed('printed', entry.count)
  }

  /** The last resort of `fallback: 'stdout'`: lines nobody took go to stdout, if that can still take them. */
  #printed(stream: AgentStream, frame: Buffer): boolean {
    if (this.#options.fallback !== 'stdout' || this.#fallbackBytesPending > fallbackBytesMax) return false
    const decoded = decodeFrame(frame)
    if (!decoded.ok) return false
    const lines = Buffer.from(decoded.frame.body)
    this.#fallbackBytesPending += lines.length
    const { count } = decoded.frame
    printLines(lines, (isPrinted) => {
      this.#fallbackBytesPending -= lines.length
      if (isPrinted) return
      stream.addShed('printed', -count)
      this.#shed(stream, 'ring_full', count)
    })
    return true
  }

  // ── what the links tell ──

  stream(topic: Topic): AgentStream | undefined {
    return this.#streams.get(topic)
  }

  owed(link: Link): RingEntry[] {
    const owed: RingEntry[] = []
    for (const stream of this.#streams.values()) {
      for (const entry of stream.entries) if (entry.frame !== undefined && (entry.waiting & link.bit) !== 0) owed.push(entry)
    }
    return owed.sort((a, b) => a.id - b.id)
  }

  acknowledge(link: Link, message: ControlMessage): void {
    for (const { topic, upTo } of message.acknowledgements) {
      const stream = this.#streams.get(topic)
      if (stream === undefined || upTo > stream.next) continue
      stream.acknowledged[link.index] = Math.max(upTo, stream.acknowledged[link.index] ?? 0)
      for (const entry of stream.entries) {
        if (entry.seq + entry.count > upTo) break
        if (entry.frame === undefined || (entry.waiting & link.bit) === 0) continue
        if (entry.acknowledged === 0) this.#acknowledged += entry.count
        entry.acknowledged |= link.bit
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
    if (entry.waiting === 0) processRing.release(entry)
  }

  wantedChanged(): void {
    for (const stream of this.#streams.values()) stream.wanted = this.#isWanted(stream.topic)
  }

  manifest(link: Link, kind: { readonly isFull: boolean; readonly isFinal: boolean; readonly isUrgent: boolean }): [Buffer, Buffer] {
    const nowMs = performance.now()
    const firstUnsent = new Map<AgentStream, number>()
    for (const entry of link.unsent()) {
      const stream = entry.owner as AgentStream
      if (!firstUnsent.has(stream)) firstUnsent.set(stream, entry.seq)
    }
    const firstFull = new Map<AgentStream, number>()
    for (const { stream, seq } of this.#full) if (!firstFull.has(stream)) firstFull.set(stream, seq)
    const topics = new Map<Topic, ManifestTopic>()
    for (const stream of this.#streams.values()) {
      if (!kind.isFull && nowMs - stream.movedAtMs > recentlyMovedMs) continue
      const encoded = firstFull.get(stream) ?? stream.next
      topics.set(stream.topic, {
        trail: Math.min(stream.trail, encoded),
        lead: stream.next,
        sent: firstUnsent.get(stream) ?? encoded,
        resume: stream.acknowledged[link.index] ?? 0,
        filtered: stream.filtered,
        shed: stream.shedRecords,
      })
    }
    const manifest: Manifest = {
      number: link.manifestNumber,
      final: kind.isFinal,
      urgent: kind.isUrgent,
      everyMs: link.manifestEveryMs,
      topics,
      gone: link.repairs.gone,
      who: kind.isFull ? { service: this.service, host: hostname(), pid: process.pid, node: process.version, version } : undefined,
    }
    const head = {
      origin: this.origin,
      seq: link.manifestNumber,
      count: 1,
      time: wallClockMs(),
      kind: frameKinds.manifest,
      onDemand: false,
    } as const
    return [Buffer.from(sysTopic(this.service, 'manifest'), 'latin1'), encodeFrame(head, manifestBody(manifest))]
  }

  // ── time ──

  #poll(): void {
    const nowMs = performance.now()
    for (const link of this.links) link.poll(nowMs)
    this.#words.look(nowMs)
  }

  /** The first connection takes a few milliseconds; a program of one line should not wait a whole poll for it. */
  #pollSoon(): void {
    const timer = setTimeout(() => {
      if (this.#isClosed || this.links.every((link) => link.state !== 'connecting')) return
      this.#poll()
      if (performance.now() - this.#startedAtMs < 20 * agentPollMs) this.#pollSoon()
    }, agentPollMs / 10)
    timer.unref()
  }

  // ── ends ──

  /**
   * Hands everything over and waits until it is acknowledged, at most `deadlineMs`.
   *
   * @param deadlineMs - Milliseconds. @defaultValue 2,000
   */
  async flush(deadlineMs: number = closeDeadlineMs): Promise<FlushResult> {
    if (this.isDisabled) return { left: 0 }
    this.closeBatches()
    const untilMs = performance.now() + deadlineMs
    for (const link of this.links) link.hurry()
    while (this.leftRecords() > 0 && performance.now() < untilMs) await this.#lookAgain()
    return { left: this.leftRecords() }
  }

  /**
   * Flushes, says goodbye to the collectors and closes the sockets, within `deadlineMs`. Safe to call twice. What is
   * logged afterwards is counted as shed.
   *
   * @param deadlineMs - Milliseconds. @defaultValue 2,000
   */
  async close(deadlineMs: number = closeDeadlineMs): Promise<FlushResult> {
    if (this.isDisabled || this.#isClosed) return { left: 0 }
    const untilMs = performance.now() + deadlineMs
    await this.flush(deadlineMs)
    this.closeBatches()
    this.#isClosed = true
    for (;;) {
      const open = this.links.filter((link) => link.state === 'connected' && !(link.sayBye() && link.isByeAnswered))
      if (open.length === 0 || performance.now() >= untilMs) break
      for (const link of open) link.pump()
      await this.#lookAgain()
    }
    const left = this.leftRecords()
    this.#end()
    this.#words.sayTotal('at close', left)
    return { left }
  }

  /** One turn of waiting: keeps the process alive for it, unlike every other timer here. */
  async #lookAgain(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, agentPollMs / 10))
    const nowMs = performance.now()
    for (const link of this.links) link.poll(nowMs)
  }

  /** Records no collector has acknowledged. */
  leftRecords(): number {
    // Whoever answered the last manifest keeps everything it was sent.
    let answered = 0
    for (const link of this.links) if (link.isByeAnswered) answered |= link.bit
    let records = 0
    for (const stream of this.#streams.values()) {
      for (const { frame, acknowledged, sent, count } of stream.entries) {
        if (frame !== undefined && (acknowledged | (sent & answered)) === 0) records += count
      }
    }
    return records
  }

  #end(): void {
    leaveAtExit(this)
    clearInterval(this.#pollTimer)
    clearTimeout(this.#ageTimer)
    clearImmediate(this.#turnEnd)
    clearImmediate(this.#fullTurnEnd)
    clearImmediate(this.#textTurnEnd)
    for (const link of this.links) link.close()
    for (const stream of this.#streams.values()) for (const entry of stream.entries) processRing.release(entry)
  }

  beginExit(): void {
    for (const link of this.links) link.takeByeBack()
    this.closeBatches()
  }

  exitStep(): boolean {
    const nowMs = performance.now()
    let isDone = true
    for (const link of this.links) if (!link.exitStep() && link.mayStillConnect(nowMs)) isDone = false
    return isDone
  }

  endExit(): void {
    this.#hasLeft = true
    if (this.leftRecords() > 0) this.#printLeft()
    this.#words.sayTotal('at exit', this.leftRecords())
  }

  /** The last resort at the very end: what nobody was ever sent goes to stdout, if that takes it at once. */
  #printLeft(): void {
    if (this.#options.fallback !== 'stdout') return
    for (const entry of this.#unsentEntries()) {
      const decoded = entry.frame === undefined ? undefined : decodeFrame(entry.frame)
      if (!decoded?.ok || !printLinesNow(decoded.frame.body)) return
      const stream = entry.owner as AgentStream
      stream.addShed('printed', entry.count)
      processRing.release(entry)
    }
  }

  #unsentEntries(): RingEntry[] {
    const unsent: RingEntry[] = []
    for (const stream of this.#streams.values()) {
      for (const entry of stream.entries) if (entry.frame !== undefined && entry.sent === 0) unsent.push(entry)
    }
    return unsent.sort((a, b) => a.id - b.id)
  }

  #accepted(): number {
    let records = 0
    for (const stream of this.#streams.values()) records += stream.next + stream.count
    return records
  }

  /** The agent's own books, now. Costs a walk over its topics. */
  stats(): AgentStats {
    const shed: Record<string, number> = {}
    const topics: Record<string, TopicStats> = Object.create(null)
    let [sent, filtered, evictedSent, folded] = [0, 0, 0, 0]
    for (const stream of this.#streams.values()) {
      for (const [reason, records] of stream.shed) shed[reason] = (shed[reason] ?? 0) + records
      filtered += stream.filtered
      evictedSent += stream.evictedSent
      topics[stream.topic] = { accepted: stream.next + stream.count, shed: Object.fromEntries(stream.shed), filtered: stream.filtered }
      if (isOtherTopic(stream.topic)) folded += stream.next + stream.count
      let unsent = stream.count
      for (const batch of this.#full) if (batch.stream === stream) unsent += batch.count
      for (const entry of stream.entries) if (entry.frame !== undefined && entry.sent === 0) unsent += entry.count
      sent += stream.next + stream.count - unsent - stream.shedRecords
    }
    return {
      origin: this.origin,
      service: this.service,
      accepted: this.#accepted(),
      sent,
      acknowledged: this.#acknowledged,
      shed,
      filtered,
      cut: this.#cut,
      evictedSent,
      folded,
      cutTopics: this.#cutTopics,
      ringBytes: processRing.bytes,
      ringRecords: processRing.records,
      topics,
      links: this.links.map((link) => ({ collector: link.endpoints.data, state: link.state, waitingFrames: link.waitingFrames })),
    }
  }
}

/** Whole Unix milliseconds, whatever the application has made of its clock. */
function wallClockMs(): number {
  const ms = Math.trunc(Date.now())
  return ms >= 0 && ms <= sequenceMax ? ms : 0
}

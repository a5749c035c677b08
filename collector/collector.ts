/**
 * The collector: ingest → ledger → sinks and tails, and back to the agents what is kept and what is missing.
 *
 * A record is acknowledged, and booked as delivered, only after every keeping sink has written it.
 */
import { randomBytes } from 'node:crypto'
import type { Context } from 'zeromq'
import { type DecodedFrame, encodeFrame, frameKinds, sliceLines } from '../wire/frame.ts'
import { acknowledgeEveryMs, drainMaxMs, holeGraceMs } from '../wire/limits.ts'
import { readManifest } from '../wire/manifest.ts'
import { compilePatterns } from '../wire/pattern.ts'
import type { Range } from '../wire/range-set.ts'
import { privateContext } from '../wire/socket.ts'
import type { Topic } from '../wire/topic.ts'
import { version } from '../wire/version.ts'
import { checkBindAddress, checkBindEndpoint } from './bind.ts'
import type { CollectorConfig } from './config.ts'
import { ControlPublisher } from './control-publisher.ts'
import { type FolderLock, lockFolder } from './folder-lock.ts'
import { HttpServer } from './http-server.ts'
import { Ingest } from './ingest.ts'
import { Ledger, type OriginBook, type TopicBook } from './ledger.ts'
import { openSink } from './open-sink.ts'
import type { Sink } from './sinks/sink.ts'
import { type CollectorStatus, collectorStatus } from './status.ts'
import { TailPublisher } from './tail-publisher.ts'

/** Where a running collector can be reached. */
export interface CollectorAddresses {
  readonly data: string
  readonly control: string
  readonly tail: string
  /** `host:port`, or undefined when it is off. */
  readonly http: string | undefined
}

const tickEveryMs = holeGraceMs / 5
/** Acknowledged at once after this much: agents hold 8 MiB, and what is acknowledged early is memory they use again. */
const commitBytes = 1_048_576
const beaconEveryMs = 2_000
const beaconOriginsMax = 50

/**
 * Starts a collector and resolves once it listens.
 *
 * @throws {@link SpillwayError} `SPW_BIND_REFUSED`, `SPW_ENDPOINT_IN_USE`, `SPW_DIR_LOCKED`, `SPW_DIR_UNUSABLE`;
 *   nothing is left open then.
 */
export async function startCollector(config: CollectorConfig): Promise<Collector> {
  checkBindEndpoint(config.listen.data, 'listen.data', config.insecure)
  checkBindEndpoint(config.listen.control, 'listen.control', config.insecure)
  checkBindEndpoint(config.listen.tail, 'listen.tail', config.insecure)
  if (config.listen.http !== 'off') checkBindAddress(config.listen.http.host, 'listen.http', config.insecure)
  const collector = new Collector(config)
  try {
    await collector.open()
  } catch (error) {
    await collector.close(0)
    throw error
  }
  return collector
}

export class Collector {
  readonly #config: CollectorConfig
  readonly #run = randomBytes(12).toString('base64url')
  readonly #context: Context
  #lock: FolderLock | undefined
  readonly #ledger: Ledger
  readonly #sinks: readonly Sink[]
  readonly #ingest: Ingest
  readonly #control: ControlPublisher
  readonly #tail: TailPublisher
  readonly #http: HttpServer | undefined
  readonly #startedAtMs = performance.now()
  #turnedAway = 0
  #uncommittedBytes = 0
  #commitTimer: NodeJS.Timeout | undefined
  #commitsSoon = false
  #commitsAgain = false
  #committing: Promise<void> | undefined
  #tickTimer: NodeJS.Timeout | undefined
  #beaconTimer: NodeJS.Timeout | undefined
  #isClosing = false

  constructor(config: CollectorConfig) {
    this.#config = config
    this.#context = privateContext()
    this.#ledger = new Ledger(compilePatterns(config.subscribe))
    this.#sinks = Object.entries(config.sinks).map(([name, sink]) => openSink(name, sink, config.onTrouble))
    this.#ingest = new Ingest(this.#context, config.listen.data, {
      frame: (topic, frame, parts) => this.#take(topic, frame, parts),
      roomier: () => this.#roomier(),
      freeBuffers: () => config.freeBuffers?.(),
    })
    this.#control = new ControlPublisher(this.#context, config.listen.control, this.#run)
    this.#tail = new TailPublisher(this.#context, config.listen.tail)
    if (config.listen.http !== 'off') this.#http = new HttpServer(config.listen.http, () => this.status())
  }

  async open(): Promise<void> {
    // Not before there is something that can be closed: whoever has the lock must be able to give it back.
    this.#lock = lockFolder(this.#config.dir)
    await this.#http?.open()
    await this.#tail.open()
    await this.#control.open()
    const { prefixes } = compilePatterns(this.#config.subscribe)
    await this.#ingest.open([...prefixes, 'sys.', `sys.run.${this.#run}.`])
    this.#tickTimer = setInterval(() => this.#tick(), tickEveryMs)
    this.#beaconTimer = setInterval(() => this.#beacon(), beaconEveryMs)
  }

  get addresses(): CollectorAddresses {
    const http = this.#http?.address
    return {
      data: this.#ingest.endpoint,
      control: this.#control.endpoint,
      tail: this.#tail.endpoint,
      http: http === undefined ? undefined : `${http.host.includes(':') ? `[${http.host}]` : http.host}:${http.port}`,
    }
  }

  status(): CollectorStatus {
    return collectorStatus(
      { ledger: this.#ledger, ingest: this.#ingest, sinks: this.#sinks, turnedAway: this.#turnedAway },
      Math.round(performance.now() - this.#startedAtMs),
    )
  }

  /** Opens log files anew, after somebody moved them. */
  reopen(): void {
    for (const sink of this.#sinks) sink.reopen()
  }

  #take(topic: Topic, frame: DecodedFrame, parts: { readonly topic: Buffer; readonly frame: Buffer }): void {
    if (frame.kind === frameKinds.manifest) return this.#announce(topic, frame, parts)
    // Loss notices and kinds of later versions are not kept here yet.
    if (frame.kind !== frameKinds.lines) return this.#ingest.fault('version')
    if (this.#isRefused(topic)) {
      this.#turnedAway += 1
      return
    }
    const fresh = this.#ledger.receive(frame.origin, topic, frame, performance.now())
    this.#uncommittedBytes += parts.frame.length
    this.#commitLater(this.#uncommittedBytes > commitBytes)
    if (fresh === undefined) return
    for (const range of fresh) this.#deliver(topic, frame, range, parts)
  }

  #deliver(topic: Topic, frame: DecodedFrame, range: Range, parts: { readonly topic: Buffer; readonly frame: Buffer }): void {
    const count = range.to - range.from
    const isWhole = count === frame.count
    const lines = isWhole ? frame.body : sliceLines(frame.body, range.from - frame.seq, count)
    // What only a live tail made the application log is not kept; see TopicBook.onDemand for how it is booked.
    if (!frame.onDemand) for (const sink of this.#sinks) if (sink.patterns.matches(topic)) sink.write(topic, lines, count)
    if (!this.#tail.isAskedFor(topic)) return
    // A frame that was partly known already is passed on as what was new of it.
    const passed = isWhole ? parts.frame : encodedPart(frame, range, lines)
    if (passed !== undefined) this.#tail.publish(topic, parts.topic, passed)
  }

  #announce(topic: Topic, frame: DecodedFrame, parts: { readonly topic: Buffer; readonly frame: Buffer }): void {
    const manifest = readManifest(frame.body)
    if (manifest === undefined) return this.#ingest.fault('manifest')
    const isUrgent = this.#ledger.announce(frame.origin, manifest, performance.now())
    this.#commitLater(isUrgent || manifest.final)
    // Without them a tail could not know that the end of a burst did not reach it.
    this.#tail.publish(topic, parts.topic, parts.frame)
  }

  #isRefused(topic: Topic): boolean {
    return this.#sinks.some((sink) => sink.isKeeping && sink.isFullFor(topic) && sink.patterns.matches(topic))
  }

  #roomier(): Promise<void> | undefined {
    const crowded = this.#sinks.flatMap((sink) => (sink.isKeeping ? (sink.roomier() ?? []) : []))
    return crowded.length === 0 ? undefined : Promise.all(crowded).then(() => undefined)
  }

  // ── keeping and acknowledging ──

  #commitLater(isSoon: boolean): void {
    if (isSoon && !this.#commitsSoon) {
      this.#commitsSoon = true
      clearTimeout(this.#commitTimer)
      this.#commitTimer = undefined
    }
    this.#commitTimer ??= setTimeout(() => this.#startCommit(), this.#commitsSoon ? 0 : acknowledgeEveryMs)
  }

  #startCommit(): void {
    this.#commitTimer = undefined
    // One at a time; what came meanwhile is in the next one.
    if (this.#committing !== undefined) {
      this.#commitsAgain = true
      return
    }
    this.#commitsSoon = false
    this.#commitsAgain = false
    this.#committing = this.#commit().then((isAllKept) => {
      this.#committing = undefined
      if (!this.#isClosing && (this.#commitsAgain || !isAllKept)) this.#commitLater(false)
    })
  }

  /** What one topic's file cannot take holds up that topic's acknowledgements, nobody else's. Returns whether all is kept. */
  async #commit(): Promise<boolean> {
    const commits = this.#ledger.takeCommits()
    const byes = this.#ledger.takeByes()
    this.#uncommittedBytes = 0
    const stuck = new Set<Topic>()
    for (const topics of await Promise.all(this.#sinks.filter((sink) => sink.isKeeping).map((sink) => sink.flush()))) {
      for (const topic of topics) stuck.add(topic)
    }
    const isStuck = (book: TopicBook) => stuck.has(book.topic)
    const hasStuck = (origin: OriginBook) => [...origin.topics.values()].some(isStuck)
    this.#ledger.committed(commits.filter(({ book }) => !isStuck(book)))
    this.#ledger.postpone(
      commits.filter(({ book }) => isStuck(book)),
      byes.filter(hasStuck),
    )
    this.#control.acknowledge(this.#ledger.takeAcknowledgements())
    for (const book of byes) if (!hasStuck(book)) this.#control.answerBye(book)
    return stuck.size === 0
  }

  #tick(): void {
    const asks = this.#ledger.tick(performance.now(), (topic) => this.#isRefused(topic))
    if (asks.length > 0) this.#control.ask(asks)
  }

  #beacon(): void {
    const origins = [...this.#ledger.origins.values()]
    this.#control.beacon({
      version,
      originCount: origins.length,
      origins: origins.slice(-beaconOriginsMax).map(({ who, state }) => ({
        service: who?.service ?? '',
        host: who?.host ?? '',
        pid: who?.pid ?? 0,
        state,
      })),
    })
  }

  /**
   * Stops taking records, writes and acknowledges what was taken, and closes; at most `deadlineMs`. Safe to call twice.
   *
   * @param deadlineMs - Milliseconds. @defaultValue 5,000
   */
  async close(deadlineMs: number = drainMaxMs): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    const startedAtMs = performance.now()
    clearInterval(this.#tickTimer)
    clearInterval(this.#beaconTimer)
    clearTimeout(this.#commitTimer)
    await this.#ingest.close()
    await Promise.race([this.#drain(startedAtMs + deadlineMs), after(deadlineMs)])
    const leftMs = Math.max(0, deadlineMs - (performance.now() - startedAtMs))
    await Promise.all(this.#sinks.map((sink) => sink.close(leftMs)))
    await this.#control.close()
    await this.#tail.close()
    await this.#http?.close()
    this.#lock?.release()
  }

  async #drain(untilMs: number): Promise<void> {
    await this.#committing
    while (!(await this.#commit()) && performance.now() < untilMs) await after(acknowledgeEveryMs)
  }
}

/** Undefined when it does not fit: a higher first number takes more bytes, and may take more than the known lines leave. */
function encodedPart(frame: DecodedFrame, { from, to }: Range, lines: Buffer): Buffer | undefined {
  try {
    return encodeFrame({ ...frame, seq: from, count: to - from }, lines)
  } catch {
    return undefined
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

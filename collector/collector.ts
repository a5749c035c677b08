/**
 * The collector: sockets, timers and what they set in motion. What becomes of a frame is told in `intake.ts`.
 *
 * A record is acknowledged when the spool has it on disk, and booked as delivered when every keeping sink has written it.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Context } from 'zeromq'
import { checkBindAddress, checkBindEndpoint } from '../wire/bind.ts'
import { type Ask, tailNamePrefix } from '../wire/demand.ts'
import { type DecodedFrame, frameKinds } from '../wire/frame.ts'
import {
  checkpointEveryMs,
  demandRenewMs,
  demandTickMaxMs,
  drainMaxMs,
  historyWaitMs,
  holeGraceMs,
  sinkCrowdedBytes,
  spoolReleaseBytes,
} from '../wire/limits.ts'
import { readManifest } from '../wire/manifest.ts'
import { compilePatterns } from '../wire/pattern.ts'
import type { Range } from '../wire/range-set.ts'
import { privateContext } from '../wire/socket.ts'
import type { Topic } from '../wire/topic.ts'
import { version } from '../wire/version.ts'
import { checkpoint } from './checkpoint.ts'
import type { CollectorConfig } from './config.ts'
import { ControlPublisher } from './control-publisher.ts'
import type { MetricFamily } from './exposition/metric-family.ts'
import { Farewells } from './farewells.ts'
import { type FolderLock, lockFolder } from './folder-lock.ts'
import { type HistoryPorts, historyRoutes } from './history/history-route.ts'
import { apiRoutes } from './http/api.ts'
import { EventStreams } from './http/event-stream.ts'
import { type MetricsParts, metricsRoutes } from './http/metrics-api.ts'
import type { Route } from './http/route.ts'
import { staticRoutes } from './http/static-files.ts'
import { HttpServer } from './http-server.ts'
import { Ingest } from './ingest.ts'
import { Intake, type IntakePorts, type Parts } from './intake.ts'
import { KeptMetrics } from './kept/kept-metrics.ts'
import { Ledger, type OriginBook, type SinkBook, type TopicBook } from './ledger.ts'
import { ledgerState } from './ledger-state.ts'
import { type GivenUpReason, LossReport } from './loss-report.ts'
import { collectorFamilies, processGauges } from './metrics.ts'
import { openSinks } from './open-sink.ts'
import { recover } from './recovery.ts'
import { ApplicationMetrics } from './rollup/application-metrics.ts'
import type { WindowsStatus } from './rollup/window-summary.ts'
import { ServiceCounters, type ServiceCounts } from './service-counters.ts'
import { SinkRunner } from './sink-runner.ts'
import type { Compressor } from './sinks/compressor.ts'
import type { KeepingSink, Sink } from './sinks/sink.ts'
import { Spool } from './spool/spool.ts'
import { encodeSinkPlace, encodeState, type SinkPlace } from './spool/spool-bodies.ts'
import { recordTypes } from './spool/spool-record.ts'
import { type CollectorStatus, collectorStatus, sinksStatus, topicStatus } from './status.ts'
import { TailPublisher } from './tail-publisher.ts'
import { TailSubscriptions } from './tail-subscriptions.ts'
import { Arrivals } from './watch/arrivals.ts'
import { LivePages } from './watch/live-pages.ts'
import { Pulse, type PulseBooks } from './watch/pulse.ts'

/** Where a running collector can be reached. */
export interface CollectorAddresses {
  readonly data: string
  readonly control: string
  readonly tail: string
  /** `host:port`, or undefined when it is off. */
  readonly http: string | undefined
}

/** Between two looks at what is left to do at the end. */
const drainStepMs = 20
/** The spool's own end is given this much when the deadline has passed. */
const lastStepMs = 500
/** An answer that is awaited waits this long for the sinks. Applications wait for theirs for 100 ms at their end. */
const hurryMs = 40
const tickEveryMs = holeGraceMs / 5
/** Acknowledged at once after this much: agents hold 8 MiB, and what is acknowledged early is memory they use again. */
const commitBytes = 1_048_576
const beaconEveryMs = 2_000
/** Windows of the roll-up are closed at most so late. */
const rollUpTickMs = 1_000
const arrivalsTickMs = 1_000
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
  if (config.listen.http !== 'off' && config.http.token === undefined) checkHttpAddress(config.listen.http.host, config.insecure)
  const collector = new Collector(config)
  try {
    await collector.open()
  } catch (error) {
    await collector.close(0)
    throw error
  }
  return collector
}

/** @throws {@link SpillwayError} `SPW_BIND_REFUSED` */
function checkHttpAddress(host: string, isInsecureMeant: boolean): void {
  const advice = 'add "auth: { token: … }" to the config file, or set "insecure: true" there (or --insecure), without dashboards,'
  checkBindAddress(host, 'listen.http', isInsecureMeant, advice)
}

/** Whether a sink keeps every log line. */
function takesLines(topics: readonly string[]): boolean {
  return compilePatterns(topics).prefixes.some((prefix) => 'log.'.startsWith(prefix))
}

/** Looks until it is so, but not for long. */
async function waitUntil(isSo: () => boolean): Promise<boolean> {
  for (const untilMs = performance.now() + historyWaitMs; !isSo(); await after(drainStepMs)) if (performance.now() > untilMs) return false
  return true
}

export class Collector {
  readonly #config: CollectorConfig
  /** What it subscribes to whoever looks. */
  readonly #prefixes: readonly string[]
  readonly #run = randomBytes(12).toString('base64url')
  readonly #context: Context
  readonly #keepingSinks: readonly KeepingSink[]
  readonly #passingSinks: readonly Sink[]
  /** By the name of the sink. */
  readonly #compressors: ReadonlyMap<string, Compressor>
  readonly #ingest: Ingest
  readonly #control: ControlPublisher
  readonly #tail: TailPublisher
  readonly #tailSubscriptions: TailSubscriptions
  readonly #farewells = new Farewells()
  readonly #http: HttpServer | undefined
  readonly #streams = new EventStreams()
  readonly #live: LivePages
  readonly #pulse: Pulse
  readonly #startedAtMs = performance.now()
  /** What stands and falls with the folder; undefined before it is open. */
  #books: Books | undefined
  #commitTimer: NodeJS.Timeout | undefined
  #commitsSoon = false
  #commitsAgain = false
  /** Somebody waits for the next answer. */
  #isAwaited = false
  #committing: Promise<void> | undefined
  #demandTimer: NodeJS.Timeout | undefined
  #demandSaidAtMs = 0
  #saidAsks: readonly Ask[] = []
  #tickTimer: NodeJS.Timeout | undefined
  #beaconTimer: NodeJS.Timeout | undefined
  #checkpointTimer: NodeJS.Timeout | undefined
  #rollUpTimer: NodeJS.Timeout | undefined
  #arrivalsTimer: NodeJS.Timeout | undefined
  #checkpointing: Promise<void> | undefined
  #isRoomWaited: (() => void)[] = []
  #isClosing = false

  constructor(config: CollectorConfig) {
    this.#config = config
    this.#prefixes = [...compilePatterns(config.subscribe).prefixes, 'sys.']
    this.#context = privateContext()
    const { keeping, passing, compressors } = openSinks(config.sinks, config.onTrouble)
    this.#compressors = compressors
    this.#keepingSinks = keeping
    this.#passingSinks = passing
    this.#ingest = new Ingest(this.#context, config.listen.data, {
      frame: (topic, frame, parts) => this.#take(topic, frame, parts),
      roomier: () => this.#roomier(),
      freeBuffers: () => config.freeBuffers?.(),
    })
    this.#control = new ControlPublisher(this.#context, config.listen.control, this.#run)
    this.#tailSubscriptions = new TailSubscriptions(this.#prefixes, this.#ingest)
    this.#tail = new TailPublisher(this.#context, config.listen.tail, this.#tailSubscriptions)
    this.#live = new LivePages(this.#tailSubscriptions)
    this.#pulse = new Pulse(this.#pulseBooks(), { nowMs: () => performance.now(), timeMs: () => Date.now() })
    if (config.listen.http !== 'off') {
      const answers = {
        status: () => this.status(),
        metrics: () => this.metrics(),
        windows: (service: string | undefined) => this.windows(service),
      }
      this.#http = new HttpServer(config.listen.http, answers, { ...config.http, routes: this.#routes() })
    }
  }

  async open(): Promise<void> {
    // Not before there is something that can be closed: whoever has the lock must be able to give it back.
    const lock = lockFolder(this.#config.dir)
    try {
      this.#books = await openBooks(
        this.#config,
        lock,
        this.#keepingSinks,
        this.#control,
        () => this.#moved(),
        (topic, records) => this.#live.lost(topic, records),
      )
    } catch (error) {
      lock.release()
      throw error
    }
    await this.#http?.open()
    await this.#tail.open()
    await this.#control.open()
    await this.#ingest.open([...this.#prefixes, `sys.run.${this.#run}.`])
    this.#demandTimer = setInterval(() => this.#renewDemand(), demandTickMaxMs / 2)
    this.#tickTimer = setInterval(() => this.#books?.intake.tick(), tickEveryMs)
    this.#checkpointTimer = setInterval(() => this.#checkpointSoon(), checkpointEveryMs)
    this.#rollUpTimer = setInterval(() => this.#books?.metrics.tick(Date.now()), rollUpTickMs)
    this.#arrivalsTimer = setInterval(() => this.#books?.arrivals.tick({ nowMs: performance.now(), timeMs: Date.now() }), arrivalsTickMs)
    // What an earlier run left is made durable and acknowledged.
    this.#commitLater(true)
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
    const { ledger, intake, losses, spool, runners, metrics } = this.#openBooks
    const { turnedAway } = intake
    return collectorStatus(
      {
        ledger,
        ingest: this.#ingest,
        losses,
        spool,
        runners,
        passing: this.#passingSinks,
        turnedAway,
        rollup: metrics.status(),
        tails: this.#tailSubscriptions,
      },
      { uptimeMs: Math.round(performance.now() - this.#startedAtMs), nowMs: performance.now(), timeMs: Date.now() },
    )
  }

  /** The same and more for Prometheus, and the applications' own metrics rolled up. */
  metrics(): readonly MetricFamily[] {
    const { spool, runners, metrics, services } = this.#openBooks
    const rows = this.#serviceRows()
    const queues = [
      { name: 'spool', unit: 'bytes' as const, depth: spool.depth.now, peak: spool.depth.takePeak() },
      ...runners.map(({ sink, depth }) => ({
        name: `sink_${sink.name}`,
        unit: 'bytes' as const,
        depth: depth.now,
        peak: depth.takePeak(),
      })),
    ]
    const applications = metrics.families(Date.now())
    const own = collectorFamilies(this.status(), rows, {
      queues,
      unclean: services.unclean(),
      syncs: spool.syncDurations.counts(),
      process: processGauges(),
    })
    return [...own, ...applications]
  }

  /** The last windows of the roll-up that are closed. */
  windows(service?: string): WindowsStatus {
    return this.#openBooks.metrics.windows(service)
  }

  get #openBooks(): Books {
    assert(this.#books !== undefined, 'a collector that is not open has no books')
    return this.#books
  }

  /** Opens log files anew, after somebody moved them. */
  reopen(): void {
    for (const sink of [...this.#keepingSinks, ...this.#passingSinks]) sink.reopen()
  }

  /** Everything that is answered under a path of its own, beside what `http-server.ts` has always answered. */
  #routes(): Route[] {
    const { run, pulse, live, streams } = { run: this.#run, pulse: this.#pulse, live: this.#live, streams: this.#streams }
    return [
      ...staticRoutes(),
      ...apiRoutes({ run, pulse, live, streams, status: () => this.status() }),
      ...metricsRoutes(this.#metricsParts()),
      ...historyRoutes(this.#historyPorts()),
    ]
  }

  #historyPorts(): HistoryPorts {
    const files = Object.entries(this.#config.sinks).find(([, sink]) => sink.type === 'file' && takesLines(sink.topics))
    const [name, sink] = files ?? []
    return {
      template: sink?.type === 'file' ? sink.path : undefined,
      written: async () => {
        const { spool, runners } = this.#openBooks
        const runner = runners.find((each) => each.sink.name === name)
        const { end } = spool
        return await waitUntil(() => runner === undefined || runner.lowest >= end || !runner.hasWork)
      },
      holdFiles: () => this.#compressors.get(name ?? '')?.hold() ?? (() => undefined),
      tailIsHere: (tail) => waitUntil(() => this.#tailSubscriptions.has(`${tailNamePrefix}${tail}.`)),
    }
  }

  #metricsParts(): MetricsParts {
    return {
      kept: () => this.#openBooks.kept,
      openWindows: (wants) => this.#openBooks.metrics.openWindows(Date.now(), wants),
      names: () => this.#openBooks.metrics.names(),
      timeMs: () => Date.now(),
    }
  }

  #pulseBooks(): PulseBooks {
    const of = () => this.#openBooks
    return {
      origins: () => of().ledger.origins.values(),
      nameOf: (service) => of().services.nameOf(service),
      services: () => this.#serviceRows(),
      totals: () => of().ledger.totals(),
      sinks: () => sinksStatus({ ledger: of().ledger, runners: of().runners, passing: this.#passingSinks }, Date.now()),
      spool: () => of().spool.status(),
      arrivals: () => of().arrivals.rates(),
      vitals: () => of().metrics.vitals(Date.now()),
      rssBytes: () => process.memoryUsage.rss(),
      cpuSeconds: () => processGauges().cpuSeconds,
    }
  }

  #serviceRows(): readonly ServiceCounts[] {
    const { ledger, services } = this.#openBooks
    const books = [...ledger.origins.values()].flatMap((origin) => [...origin.topics.values()])
    return services.rows(books.map((book) => [book.topic, topicStatus(book)]))
  }

  #hostOf(origin: string): string | undefined {
    return this.#openBooks.ledger.origins.get(origin)?.who?.host
  }

  #take(topic: Topic, frame: DecodedFrame, parts: Parts): void {
    if (frame.kind === frameKinds.manifest) return this.#announce(topic, frame, parts)
    // Kinds of later versions are not kept here yet.
    if (frame.kind === frameKinds.records) return this.#ingest.fault('version')
    if (topic.startsWith('sys.')) return this.#passNotice(topic, frame, parts)
    const { intake, spool, metrics, arrivals } = this.#openBooks
    const points = frame.kind === frameKinds.points ? metrics.read(frame) : undefined
    if (frame.kind === frameKinds.points && points === undefined) return this.#ingest.fault('points')
    const fresh = intake.take(topic, frame, parts)
    this.#commitLater(intake.uncommittedBytes > commitBytes)
    const isWatched = fresh.length > 0 && this.#tailSubscriptions.isAskedFor(topic)
    for (const part of fresh) {
      const { range, lines, frame: passed, receivedAtMs, isForSinks } = part
      if (isForSinks && !frame.onDemand) metrics.take(topic, frame, part, points)
      const { kind, origin, time: timeMs } = frame
      const at = { position: spool.end, end: spool.end, isSpooled: false }
      const entry = { ...at, topic, kind, origin, seq: range.from, timeMs, lines, count: range.to - range.from, receivedAtMs }
      arrivals.add(topic, entry.count, lines.length)
      if (this.#live.isWatched) this.#live.take({ ...entry, host: this.#hostOf(origin) })
      if (isForSinks) {
        for (const sink of this.#passingSinks)
          if (sink.patterns.matches(topic) && (sink.takesOnDemand || !frame.onDemand)) sink.write(entry)
      }
      if (isWatched && passed !== undefined) this.#tail.publish(topic, parts.topic, passed)
    }
  }

  /** What an agent says about itself is in no books: it is passed on to whoever watches. */
  #passNotice(topic: Topic, frame: DecodedFrame, parts: Parts): void {
    const { body: lines, count, kind, origin, seq, time: timeMs } = frame
    const entry = { position: 0, end: 0, isSpooled: false, topic, kind, origin, seq, timeMs, lines, count, receivedAtMs: Date.now() }
    for (const sink of this.#passingSinks) if (sink.patterns.matches(topic)) sink.write(entry)
    if (this.#live.isWatched && kind === frameKinds.lines) this.#live.take({ ...entry, host: this.#hostOf(origin) })
    this.#tail.publish(topic, parts.topic, parts.frame)
  }

  #announce(topic: Topic, frame: DecodedFrame, parts: Parts): void {
    const manifest = readManifest(frame.body)
    if (manifest === undefined) return this.#ingest.fault('manifest')
    const isUrgent = this.#openBooks.intake.announce(frame, manifest)
    this.#isAwaited ||= isUrgent
    this.#commitLater(isUrgent)
    // Without them a tail could not know that the end of a burst did not reach it.
    this.#tail.publish(topic, parts.topic, parts.frame)
    if (manifest.final) this.#farewells.add(frame.origin, { topic, topicBytes: parts.topic, frame: parts.frame }, performance.now())
  }

  /**
   * The pressure of a disk reaches the agents' rings through ZeroMQ, which loses nothing, and memory that is still in
   * the processor's cache is used again.
   */
  #roomier(): Promise<void> | undefined {
    if (!this.#isCrowded) return undefined
    return new Promise((resolve) => this.#isRoomWaited.push(resolve))
  }

  get #isCrowded(): boolean {
    const { spool, runners } = this.#openBooks
    return spool.pendingBytes >= sinkCrowdedBytes || runners.some(({ crowdingBytes }) => crowdingBytes >= sinkCrowdedBytes)
  }

  /** The spool or a sink has written something. */
  #moved(): void {
    if (this.#isRoomWaited.length > 0 && !this.#isCrowded) for (const resolve of this.#isRoomWaited.splice(0)) resolve()
    if (this.#books !== undefined && this.#books.spool.sealedBytes > this.#books.releaseBytes) this.#checkpointSoon()
  }

  // ── keeping and acknowledging ──

  #commitLater(isSoon: boolean): void {
    if (isSoon && !this.#commitsSoon) {
      this.#commitsSoon = true
      clearTimeout(this.#commitTimer)
      this.#commitTimer = undefined
    }
    this.#commitTimer ??= setTimeout(() => this.#startCommit(), this.#commitsSoon ? 0 : this.#config.spool.fsyncMs)
  }

  #startCommit(): void {
    this.#commitTimer = undefined
    // One at a time; what came meanwhile is in the next one.
    if (this.#committing !== undefined) {
      this.#commitsAgain = true
      return
    }
    const isAwaited = this.#isAwaited
    this.#commitsSoon = false
    this.#commitsAgain = false
    this.#isAwaited = false
    this.#committing = this.#openBooks.intake
      .commit(isAwaited)
      .catch((error: unknown) => {
        this.#config.onTrouble(`acknowledging: ${error instanceof Error ? error.message : error}; it is tried again`)
        return false
      })
      .then((isAllKept) => {
        this.#committing = undefined
        if (!this.#isClosing && (this.#commitsAgain || !isAllKept)) this.#commitLater(false)
      })
  }

  #checkpointSoon(): void {
    this.#checkpointing ??= checkpoint(this.#openBooks)
      .catch((error: unknown) => this.#config.onTrouble(`spool: ${error instanceof Error ? error.message : error}`))
      .finally(() => {
        this.#checkpointing = undefined
      })
  }

  #beacon(): void {
    for (const { topic, topicBytes, frame } of this.#farewells.takeDue(performance.now())) this.#tail.publish(topic, topicBytes, frame)
    const origins = [...this.#openBooks.ledger.origins.values()]
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

  /** Agents are told again and again while somebody asks: should this process stop, they hear nothing, and nobody asks. */
  #renewDemand(): void {
    const nowMs = performance.now()
    this.#tailSubscriptions.tick(nowMs)
    const { asks } = this.#tailSubscriptions
    const isNew = asks !== this.#saidAsks
    if (asks.length === 0 || (!isNew && nowMs - this.#demandSaidAtMs < demandRenewMs - demandTickMaxMs / 4)) return
    this.#demandSaidAtMs = nowMs
    this.#saidAsks = asks
    this.#control.demand(asks)
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
    clearInterval(this.#demandTimer)
    clearInterval(this.#beaconTimer)
    clearInterval(this.#checkpointTimer)
    clearInterval(this.#rollUpTimer)
    clearInterval(this.#arrivalsTimer)
    this.#pulse.close()
    this.#live.close()
    this.#streams.close()
    clearTimeout(this.#commitTimer)
    await this.#ingest.close()
    const books = this.#books
    if (books !== undefined) {
      await Promise.race([this.#drain(books, startedAtMs + deadlineMs), after(deadlineMs)])
      const leftMs = Math.max(0, deadlineMs - (performance.now() - startedAtMs))
      // Whoever still reads from the spool must not write into a sink that is closed.
      await Promise.race([Promise.all(books.runners.map((runner) => runner.close())), after(lastStepMs)])
      await Promise.all([...this.#keepingSinks, ...this.#passingSinks].map((sink) => sink.close(leftMs)))
      await Promise.race([books.close(), after(Math.max(lastStepMs, leftMs))])
    }
    await this.#control.close()
    await this.#tail.close()
    await this.#http?.close()
    books?.lock.release()
  }

  async #drain({ intake, runners }: Books, untilMs: number): Promise<void> {
    await this.#committing
    while (!(await intake.commit()) && performance.now() < untilMs) await after(drainStepMs)
    // What the sinks do not get to now, they do after the next start.
    while (runners.some(({ hasWork }) => hasWork) && performance.now() < untilMs) await after(drainStepMs)
    // What is on its way to a server: written down as done, it is not sent once more after the next start.
    await Promise.race([Promise.all(runners.map((runner) => runner.hurry())), after(Math.max(0, untilMs - performance.now()))])
    await this.#checkpointing
    for (const runner of runners) await runner.checkpoint()
  }
}

/** What is kept in the collector's folder, and what keeps it. */
export interface Books {
  readonly lock: FolderLock
  readonly spool: Spool
  readonly ledger: Ledger
  readonly losses: LossReport
  readonly services: ServiceCounters
  readonly arrivals: Arrivals
  readonly metrics: ApplicationMetrics
  readonly kept: KeptMetrics
  readonly intake: Intake
  readonly runners: readonly SinkRunner[]
  /** Done segments are given up when there are more bytes of them than this. */
  readonly releaseBytes: number
  /** The spool's oldest records expire when it has more bytes than this. */
  readonly bytesMax: number
  close(): Promise<void>
}

const nothingKept = { seriesMax: 0, bytesMax: 0 }

/** Takes up what an earlier run left in the spool, and what the sinks do with it goes on. */
export async function openBooks(
  config: Pick<CollectorConfig, 'subscribe' | 'spool' | 'rollUp' | 'logMetrics' | 'onTrouble'> &
    Partial<Pick<CollectorConfig, 'dir' | 'keptMetrics'>>,
  lock: FolderLock,
  sinks: readonly KeepingSink[],
  control: IntakePorts['control'],
  onMoved: () => void,
  onLost: (topic: Topic, records: number) => void = () => undefined,
): Promise<Books> {
  const wanted = compilePatterns(config.subscribe)
  const spool = await Spool.open({ dir: config.spool.dir, bytesMax: config.spool.bytesMax, onTrouble: config.onTrouble })
  const losses = new LossReport()
  const services = new ServiceCounters()
  const { ledger, positions, gaveUpTo, isDamaged } = await recover({
    spool,
    sinks,
    losses,
    newLedger: () =>
      new Ledger(
        wanted,
        sinks.length,
        (book) => services.retire(book.topic, topicStatus(book)),
        ({ who }) => services.countUnclean(who?.service),
      ),
    nowMs: performance.now(),
  })
  const names = sinks.map(({ name }) => name)
  const state = (unkept: ReadonlyMap<TopicBook, readonly Range[]>) => {
    const unreadable = new Map(runners.flatMap((runner) => [...runner.statedNow()]))
    const gaveUp = runners.map((runner) => runner.gaveUpTo)
    return encodeState({ ...ledgerState(ledger, { sinks: names, gaveUpTo: gaveUp, unkept, unreadable }), losses: losses.state() })
  }
  const gaveUp = (origin: string, topic: Topic, reason: GivenUpReason, records: number) => {
    const service = ledger.origins.get(origin)?.who?.service ?? null
    onLost(topic, records)
    losses.booked({ origin, service, topic, reason, records, atMs: Date.now() })
  }
  const note = async (place: SinkPlace) => {
    intake.settle()
    const noted = spool.append(recordTypes.sink, encodeSinkPlace(place))
    await spool.wrote()
    return noted !== undefined && noted.position >= spool.trustedFrom
  }
  const runners = sinks.map(
    (sink, i) =>
      new SinkRunner({
        sink,
        spool,
        bookOf: (origin, topic) => ledger.origins.get(origin)?.topics.get(topic)?.sinks[i],
        note,
        moved: onMoved,
        gaveUp,
        hostOf: (origin) => ledger.origins.get(origin)?.who?.host,
        books: () => sinkBooks(ledger, i),
        gaveUpTo: gaveUpTo[i] ?? 0,
      }),
  )
  const intake = new Intake({
    ledger,
    spool,
    runners,
    control,
    state,
    async hurrySinks() {
      await Promise.race([Promise.all(runners.map((runner) => runner.hurry())), after(hurryMs)])
    },
    lost: ({ origin, topic, from, to, reason }) => gaveUp(origin.origin, topic, reason, to - from),
    nowMs: () => performance.now(),
    wallClockMs: () => Date.now(),
  })
  spool.events = {
    written() {
      for (const runner of runners) runner.pump()
      onMoved()
    },
    abandoned(position, durable) {
      const entries = intake.spoolAbandoned(position, durable)
      for (const runner of runners) runner.abandoned(entries)
    },
  }
  if (spool.needsRoll(performance.now())) spool.roll(state(new Map()))
  // Places of an earlier run are about to be read from: they are there again should this one be killed at once.
  for (const [i, runner] of runners.entries()) runner.start(positions[i] ?? spool.oldest, isDamaged)
  const kept = new KeptMetrics({
    ...nothingKept,
    ...config.keptMetrics,
    dir: config.dir ?? '',
    intervalMs: config.rollUp.intervalMs,
    onTrouble: config.onTrouble,
  })
  await kept.open()
  const metrics = new ApplicationMetrics(config.rollUp, config.logMetrics, {
    endedAtMs: (origin) => endedAtMs(ledger.origins.get(origin)),
    onTrouble: config.onTrouble,
    kept,
  })
  return {
    lock,
    spool,
    ledger,
    losses,
    services,
    arrivals: new Arrivals((topic) => services.placeOf(topic)),
    metrics,
    kept,
    intake,
    runners,
    releaseBytes: Math.min(spoolReleaseBytes, config.spool.bytesMax / 4),
    bytesMax: config.spool.bytesMax,
    async close() {
      await kept.close(metrics.openWindows(Date.now()))
      for (const runner of runners) await runner.close()
      if (runners.some((runner) => runner.areBooksBehind)) await intake.writeBooks()
      await spool.close()
    },
  }
}

/** When an origin ended, or was heard of last when it is unclean, Unix ms; infinite while it lives, 0 when it is not known. */
function endedAtMs(origin: OriginBook | undefined): number {
  if (origin === undefined) return 0
  if (origin.state === 'live' || origin.state === 'silent') return Number.POSITIVE_INFINITY
  const endedAtMs = origin.state === 'finished' ? origin.finishedAtMs : origin.lastHeardAtMs
  return Date.now() - (performance.now() - endedAtMs)
}

function* sinkBooks(ledger: Ledger, index: number): Generator<{ readonly origin: string; readonly topic: Topic; readonly book: SinkBook }> {
  for (const { origin, topics } of ledger.origins.values()) {
    for (const [topic, { sinks }] of topics) {
      const book = sinks[index]
      if (book !== undefined) yield { origin, topic, book }
    }
  }
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

/**
 * A collector in virtual time: the real ledger, intake and recovery, driven as collector/collector.ts drives them,
 * between a simulated network, disk and sink. A crash leaves what the kernel had of the spool, or what the disk had;
 * the next run begins with that.
 */

import { acknowledgementOf } from '../../collector/control-publisher.ts'
import { Intake, type IntakePorts } from '../../collector/intake.ts'
import { type Ask, Ledger, type OriginBook, type TopicBook } from '../../collector/ledger.ts'
import { ledgerState } from '../../collector/ledger-state.ts'
import { LossReport } from '../../collector/loss-report.ts'
import { type RecoveryOptions, recover } from '../../collector/recovery.ts'
import { encodeSinkPlace, encodeState } from '../../collector/spool/spool-bodies.ts'
import { recordTypes } from '../../collector/spool/spool-record.ts'
import { type Acknowledgement, beaconTopic, byeSuffix, type ControlMessage, encodeBeacon, encodeControl } from '../../wire/control.ts'
import { decodeFrame, frameKinds } from '../../wire/frame.ts'
import { checkpointEveryMs, controlRangesMax, holeGraceMs, repairAttemptsMax } from '../../wire/limits.ts'
import { readManifest } from '../../wire/manifest.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import type { Host, Listener, Message, SimulatedNetwork } from './simulated-network.ts'
import { type ReadLines, SimulatedSink, SinkContent } from './simulated-sink.ts'
import { type DiskTraits, SimulatedDisk, SimulatedSpool } from './simulated-spool.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface CollectorCounts {
  crashes: number
  /** Spooled records of which a crash left nothing. */
  rolledBack: number
  /** After its disk had failed. */
  crashesOnBadDisk: number
  turnedAway: number
  notDurable: number
  requests: number
  requestedRecords: number
  duplicates: number
  late: number
  refusedFrames: number
}

export interface CollectorWorld {
  readonly time: VirtualTime
  readonly network: SimulatedNetwork
  readonly addresses: readonly string[]
  readonly disk: DiskTraits
  readonly syncEveryMs: number
  readonly sinkMs: number
  readonly read: ReadLines
  readonly withoutNotes?: boolean
  /** How far an origin knows its records to be kept by the collector at these addresses. */
  readonly toldUpTo?: (origin: string, topic: Topic, addresses: readonly string[]) => number
}

const tickEveryMs = holeGraceMs / 5
const beaconEveryMs = 2_000

/** A place where collectors run, one after the other, with one disk. */
export class SimulatedCollector {
  readonly name: string
  readonly patterns: readonly string[]
  readonly disk: SimulatedDisk
  readonly content: SinkContent
  readonly counts: CollectorCounts = {
    crashes: 0,
    rolledBack: 0,
    crashesOnBadDisk: 0,
    turnedAway: 0,
    notDurable: 0,
    requests: 0,
    requestedRecords: 0,
    duplicates: 0,
    late: 0,
    refusedFrames: 0,
  }
  /** Records at the sink that a run knew alone when it was killed while its disk failed: by origin and topic. */
  readonly forgotten = new Map<string, number>()
  run: CollectorRun | undefined
  readonly #world: CollectorWorld
  #runs = 0

  constructor(name: string, patterns: readonly string[], world: CollectorWorld) {
    this.name = name
    this.patterns = patterns
    this.disk = new SimulatedDisk(world.disk)
    this.content = new SinkContent(world.read)
    this.#world = world
  }

  get addresses(): readonly string[] {
    return this.#world.addresses
  }

  wants(topic: Topic): boolean {
    return compilePatterns(this.patterns).matches(topic)
  }

  start(): void {
    this.run ??= new CollectorRun(this, this.#world, `${this.name}-${this.#runs++}`)
  }

  /** The process is killed, or the power goes. */
  crash(what: 'process' | 'machine'): void {
    if (this.run === undefined) return
    this.counts.crashes += 1
    if (this.disk.failures > 0) {
      this.counts.crashesOnBadDisk += 1
      this.#forget(this.run)
    }
    this.run.crash()
    this.run = undefined
    const before = this.disk.records.length
    if (what === 'machine') {
      this.disk.loseUnsynced()
      this.content.losePower()
    }
    this.counts.rolledBack += before - this.disk.records.length
  }

  #forget({ ledger }: CollectorRun): void {
    for (const { origin, topics } of ledger?.origins.values() ?? []) {
      for (const topic of topics.keys()) {
        const key = `${origin} ${topic}`
        const toldUpTo = this.#world.toldUpTo?.(origin, topic, this.addresses) ?? 0
        let untold = 0
        for (const { from, to } of this.content.kept(origin, topic).within(toldUpTo, Number.POSITIVE_INFINITY)) untold += to - from
        this.forgotten.set(key, (this.forgotten.get(key) ?? 0) + untold)
      }
    }
  }
}

/** What there is once the spool has been read. */
interface Books {
  readonly ledger: Ledger
  readonly intake: Intake
  readonly listener: Listener
}

export class CollectorRun implements Host {
  readonly prefixes: readonly string[]
  /** A hole that was asked for more often than it may be. */
  mostAskedFor: string | undefined
  /** Between two ticks. */
  tickEveryMs = tickEveryMs
  readonly sink: SimulatedSink
  readonly #place: SimulatedCollector
  readonly #world: CollectorWorld
  readonly #name: string
  readonly #spool: SimulatedSpool
  #books: Books | undefined
  /** How often each hole was asked for since its origin was last silent: by origin, then by topic and first number. */
  readonly #attempts = new Map<string, Map<string, number>>()
  #commitAtMs = Number.POSITIVE_INFINITY
  #isCommitting = false
  #commitsAgain = false
  #isUp = true

  constructor(place: SimulatedCollector, world: CollectorWorld, name: string) {
    this.#place = place
    this.#world = world
    this.#name = name
    this.prefixes = [...compilePatterns(place.patterns).prefixes, 'sys.', `sys.run.${name}.`]
    this.#spool = new SimulatedSpool(world.time, place.disk)
    this.sink = new SimulatedSink({
      time: world.time,
      content: place.content,
      patterns: ['>'],
      writeMs: world.sinkMs,
      done: (origin, topic, count) => {
        const book = this.#books?.ledger.origins.get(origin)?.topics.get(topic)?.sinks[0]
        if (book !== undefined) book.pending = Math.max(0, book.pending - count)
      },
      written: () => this.#spool.written,
    })
    world.time.finish(this.#open())
  }

  /** Undefined while it still reads its spool. */
  get ledger(): Ledger | undefined {
    return this.#books?.ledger
  }

  get listener(): Listener | undefined {
    return this.#books?.listener
  }

  async #open(): Promise<void> {
    const { time, network, addresses } = this.#world
    const wanted = compilePatterns(this.#place.patterns)
    const sinks = [{ name: this.sink.name, patterns: this.sink.sink.patterns, restore: this.sink.restore.bind(this.sink) }]
    const losses = new LossReport()
    const { ledger, positions } = await recover({
      // As much of a spool and of a sink as is asked for here.
      spool: this.#spool as unknown as RecoveryOptions['spool'],
      sinks: sinks as unknown as RecoveryOptions['sinks'],
      losses,
      newLedger: () => new Ledger(wanted, sinks.length),
      nowMs: time.nowMs,
    })
    const state: IntakePorts['state'] = (unkept) =>
      encodeState({
        ...ledgerState(ledger, { sinks: [this.sink.name], gaveUpTo: [0], unkept, unreadable: new Map() }),
        losses: losses.state(),
      })
    const intake = new Intake({
      ledger,
      spool: this.#spool,
      runners: [this.sink],
      control: {
        acknowledge: (books) => this.#acknowledge(books),
        ask: (asks) => this.#ask(asks),
        answerBye: (origin) => this.#answerBye(origin),
      },
      state,
      lost: ({ origin, topic, from, to, reason }) => {
        losses.booked({ origin: origin.origin, service: null, topic, reason, records: to - from, atMs: time.nowMs })
      },
      hurrySinks: async () => undefined,
      nowMs: () => time.nowMs,
      wallClockMs: () => Math.trunc(time.nowMs),
    })
    this.#spool.events = {
      written: () => {
        this.sink.pump()
      },
      abandoned: (position, durable) => void intake.spoolAbandoned(position, durable),
    }
    if (this.#spool.needsRoll(time.nowMs)) this.#spool.roll(state(new Map()))
    const [position = 0] = positions
    this.sink.takeUp(this.#place.disk.records.filter((record) => record.position >= position))
    this.#books = { ledger, intake, listener: network.listen(addresses, this) }
    this.#commitLater(true)
    this.#tickLater()
    this.#beaconLater()
    this.#checkpointLater()
  }

  crash(): void {
    this.#isUp = false
    this.#spool.crash()
    this.sink.crash()
    this.#bookCounts()
    this.listener?.close()
  }

  #bookCounts(): void {
    const { counts } = this.#place
    if (this.#books === undefined) return
    const { ledger, intake } = this.#books
    counts.refusedFrames += ledger.refusedFrames
    counts.turnedAway += intake.turnedAway
    const { notDurable } = ledger.totals()
    counts.notDurable = Math.max(counts.notDurable, notDurable)
    for (const { topics } of ledger.origins.values()) {
      for (const book of topics.values()) {
        counts.duplicates += book.ledger.duplicates
        counts.late += book.ledger.late
      }
    }
  }

  arrived({ topic: topicBytes, frame: bytes }: Message): void {
    if (this.#books === undefined) return
    const { ledger, intake } = this.#books
    const topic = topicBytes.toString('latin1') as Topic
    const decoded = decodeFrame(bytes)
    if (!decoded.ok) throw new Error(`a frame on ${topic} cannot be read: ${decoded.fault}`)
    const { frame } = decoded
    const state = ledger.origins.get(frame.origin)?.state
    // Nobody heard the requests of the silence.
    if (state === 'silent' || state === 'unclean') this.#attempts.delete(frame.origin)
    if (frame.kind === frameKinds.manifest) {
      const manifest = readManifest(frame.body)
      if (manifest === undefined) throw new Error(`a manifest on ${topic} cannot be read`)
      this.#commitLater(intake.announce(frame, manifest))
      return
    }
    // What an agent says about itself is in no books.
    if (topic.startsWith('sys.')) return
    intake.take(topic, frame, { topic: topicBytes, frame: bytes })
    this.#commitLater(false)
  }

  #commitLater(isSoon: boolean): void {
    const { time, syncEveryMs } = this.#world
    const atMs = time.nowMs + (isSoon ? 0 : syncEveryMs)
    if (atMs >= this.#commitAtMs) return
    this.#commitAtMs = atMs
    time.after(atMs - time.nowMs, () => {
      if (!this.#isUp || time.nowMs < this.#commitAtMs) return
      this.#commitAtMs = Number.POSITIVE_INFINITY
      this.#commit()
    })
  }

  #commit(): void {
    if (this.#isCommitting) {
      this.#commitsAgain = true
      return
    }
    this.#isCommitting = true
    this.#commitsAgain = false
    void this.#books?.intake.commit().then((isAllKept) => {
      this.#isCommitting = false
      if (this.#isUp && (this.#commitsAgain || !isAllKept)) this.#commitLater(false)
    })
    this.#world.time.letPromisesRun()
  }

  // ── what it says ──

  #acknowledge(books: readonly TopicBook[]): void {
    for (const [origin, list] of grouped(books, (book) => book.origin)) {
      for (const part of slices(list)) {
        this.#say(origin.origin, { acknowledgements: part.map((book) => this.#acknowledgementOf(book)) })
      }
    }
  }

  #ask(asks: readonly Ask[]): void {
    const { counts } = this.#place
    for (const [origin, list] of grouped(asks, ({ book }) => book.origin)) {
      const requests = list.flatMap(({ book, ranges }) => ranges.map(({ from, to }) => ({ topic: book.topic, from, to })))
      for (const part of slices(requests)) this.#say(origin.origin, { requests: part })
      for (const { topic, from, to } of requests) {
        this.#noteAttempt(origin.origin, `${topic} ${from}`)
        counts.requests += 1
        counts.requestedRecords += to - from
      }
    }
  }

  #answerBye({ origin, topics }: OriginBook): void {
    this.#say(origin + byeSuffix, { acknowledgements: [...topics.values()].map((book) => this.#acknowledgementOf(book)) })
  }

  #acknowledgementOf(book: TopicBook): Acknowledgement {
    const acknowledgement = acknowledgementOf(book)
    return this.#world.withoutNotes === true ? { ...acknowledgement, note: undefined } : acknowledgement
  }

  #say(topic: string, { acknowledgements = [], requests = [] }: Partial<ControlMessage>): void {
    if (this.#isUp) this.listener?.publish(topic, encodeControl({ run: this.#name, acknowledgements, requests }))
  }

  #noteAttempt(origin: string, hole: string): void {
    const attempts = this.#attempts.get(origin) ?? new Map<string, number>()
    this.#attempts.set(origin, attempts)
    const count = (attempts.get(hole) ?? 0) + 1
    attempts.set(hole, count)
    if (count > repairAttemptsMax) this.mostAskedFor = `${origin} ${hole}`
  }

  // ── time ──

  #tickLater(): void {
    this.#world.time.after(this.tickEveryMs, () => {
      if (!this.#isUp) return
      this.#books?.intake.tick()
      this.#tickLater()
    })
  }

  #beaconLater(): void {
    this.#world.time.after(beaconEveryMs, () => {
      if (!this.#isUp) return
      this.listener?.publish(beaconTopic, encodeBeacon({ run: this.#name, version: '0', originCount: 0, origins: [] }))
      this.#beaconLater()
    })
  }

  /** How far the sink is, written down; and what of the spool nobody needs any more, given up. */
  #checkpointLater(): void {
    this.#world.time.after(Math.max(checkpointEveryMs, this.tickEveryMs), () => {
      if (!this.#isUp) return
      const { lowest } = this.sink
      this.#books?.intake.settle()
      const place = this.#spool.append(recordTypes.sink, encodeSinkPlace({ sink: this.sink.name, position: lowest, files: [] }))
      void this.#spool.sync().then((isDurable) => {
        if (!this.#isUp || !isDurable || place === undefined) return
        this.#place.content.placed(lowest)
        this.#spool.dropBefore(Math.min(lowest, place.position))
      })
      this.#world.time.letPromisesRun()
      this.#checkpointLater()
    })
  }

  /** The end of the simulation, for the counts. */
  end(): void {
    this.#isUp = false
    this.#bookCounts()
  }
}

function grouped<K, T>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}

function* slices<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += controlRangesMax) yield items.slice(at, at + controlRangesMax)
}

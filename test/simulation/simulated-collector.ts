/**
 * A collector in virtual time: the real ledger, driven as collector/collector.ts drives it, with a disk that takes its
 * time. Records are appended at once and durable only when the disk has answered; a crash loses what was not, and the
 * next run begins with the books that were written down.
 */
import { Ledger } from '../../collector/ledger.ts'
import { byeSuffix, type ControlMessage, encodeBeacon, encodeControl } from '../../wire/control.ts'
import { decodeFrame, frameKinds, sliceLines } from '../../wire/frame.ts'
import { acknowledgeEveryMs, controlRangesMax, holeGraceMs, repairAttemptsMax } from '../../wire/limits.ts'
import { readManifest } from '../../wire/manifest.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import { DurableBooks, type Records } from './durable-books.ts'
import type { Random } from './random.ts'
import type { Host, Listener, Message, SimulatedNetwork } from './simulated-network.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Disk {
  readonly flushMs: number
}

export interface CollectorCounts {
  crashes: number
  /** Records that were taken and not durable when the collector crashed. */
  rolledBack: number
  turnedAway: number
  requests: number
  requestedRecords: number
  duplicates: number
  late: number
  refusedFrames: number
}

const tickEveryMs = holeGraceMs / 5
const beaconEveryMs = 2_000

/** A place where collectors run, one after the other, with one disk. */
export class SimulatedCollector {
  readonly name: string
  readonly patterns: readonly string[]
  readonly disk = new DurableBooks()
  readonly counts: CollectorCounts = {
    crashes: 0,
    rolledBack: 0,
    turnedAway: 0,
    requests: 0,
    requestedRecords: 0,
    duplicates: 0,
    late: 0,
    refusedFrames: 0,
  }
  /** Lines that are not what their origin wrote. */
  forged = 0
  run: CollectorRun | undefined
  readonly #world: CollectorWorld
  #runs = 0

  constructor(name: string, patterns: readonly string[], world: CollectorWorld) {
    this.name = name
    this.patterns = patterns
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

  crash(): void {
    if (this.run === undefined) return
    this.counts.crashes += 1
    this.run.crash()
    this.run = undefined
  }
}

export interface CollectorWorld {
  readonly time: VirtualTime
  readonly network: SimulatedNetwork
  readonly random: Random
  readonly addresses: readonly string[]
  readonly disk: Disk
  /** Whether these lines are what the origin wrote under these numbers. */
  isGenuine(records: Records, lines: Buffer): boolean
}

export class CollectorRun implements Host {
  readonly prefixes: readonly string[]
  readonly ledger: Ledger
  readonly listener: Listener
  /** A hole that was asked for more often than it may be. */
  mostAskedFor: string | undefined
  /** Between two ticks; holes are looked for this often. */
  tickEveryMs = tickEveryMs
  readonly #place: SimulatedCollector
  readonly #world: CollectorWorld
  readonly #name: string
  /** How often each hole was asked for since its origin was last silent: by origin, then by topic and first number. */
  readonly #attempts = new Map<string, Map<string, number>>()
  #appended: Records[] = []
  #stuckUntilMs = 0
  #commitAtMs = Number.POSITIVE_INFINITY
  #isCommitting = false
  #commitsAgain = false
  #isUp = true

  constructor(place: SimulatedCollector, world: CollectorWorld, name: string) {
    this.#place = place
    this.#world = world
    this.#name = name
    const wanted = compilePatterns(place.patterns)
    this.prefixes = [...wanted.prefixes, 'sys.', `sys.run.${name}.`]
    this.ledger = new Ledger(wanted)
    place.disk.restore(this.ledger, world.time.nowMs)
    this.listener = world.network.listen(world.addresses, this)
    this.#tickLater()
    this.#beaconLater()
  }

  crash(): void {
    this.#isUp = false
    for (const { from, to } of this.#appended) this.#place.counts.rolledBack += to - from
    this.#bookCounts()
    this.listener.close()
  }

  #bookCounts(): void {
    const { counts } = this.#place
    counts.refusedFrames += this.ledger.refusedFrames
    for (const { topics } of this.ledger.origins.values()) {
      for (const { ledger } of topics.values()) {
        counts.duplicates += ledger.duplicates
        counts.late += ledger.late
      }
    }
  }

  /** Its disk takes nothing for a while. */
  stickFor(ms: number): void {
    this.#stuckUntilMs = this.#world.time.nowMs + ms
  }

  get #isStuck(): boolean {
    return this.#world.time.nowMs < this.#stuckUntilMs
  }

  arrived({ topic: topicBytes, frame: bytes }: Message): void {
    const topic = topicBytes.toString('latin1') as Topic
    const decoded = decodeFrame(bytes)
    if (!decoded.ok) throw new Error(`a frame on ${topic} cannot be read: ${decoded.fault}`)
    const { frame } = decoded
    const { nowMs } = this.#world.time
    const state = this.ledger.origins.get(frame.origin)?.state
    // Nobody heard the requests of the silence.
    if (state === 'silent' || state === 'unclean') this.#attempts.delete(frame.origin)
    if (frame.kind === frameKinds.manifest) {
      const manifest = readManifest(frame.body)
      if (manifest === undefined) throw new Error(`a manifest on ${topic} cannot be read`)
      const isUrgent = this.ledger.announce(frame.origin, manifest, nowMs)
      this.#commitLater(isUrgent || manifest.final)
      return
    }
    if (this.#isStuck) {
      this.#place.counts.turnedAway += 1
      return
    }
    const fresh = this.ledger.receive(frame.origin, topic, frame, nowMs)
    this.#commitLater(false)
    for (const { from, to } of fresh ?? []) {
      const records = { origin: frame.origin, topic, from, to }
      if (!this.#world.isGenuine(records, sliceLines(frame.body, from - frame.seq, to - from))) this.#place.forged += 1
      this.#appended.push(records)
    }
  }

  #commitLater(isSoon: boolean): void {
    const { time } = this.#world
    const atMs = time.nowMs + (isSoon ? 0 : acknowledgeEveryMs)
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
    const { time, disk } = this.#world
    this.#isCommitting = true
    this.#commitsAgain = false
    const commits = this.ledger.takeCommits()
    const byes = this.ledger.takeByes()
    const appendedCount = this.#appended.length
    const writeBooks = this.#place.disk.prepare(this.ledger)
    time.after(disk.flushMs + Math.max(0, this.#stuckUntilMs - time.nowMs), () => {
      if (!this.#isUp) return
      this.#isCommitting = false
      for (const records of this.#appended.splice(0, appendedCount)) this.#place.disk.keep(records)
      writeBooks()
      this.ledger.committed(commits)
      for (const [origin, books] of grouped(this.ledger.takeAcknowledgements(), (book) => book.origin)) {
        for (const part of slices(books)) {
          this.#say(origin.origin, { acknowledgements: part.map(({ topic, kept }) => ({ topic, upTo: kept })) })
        }
      }
      for (const { origin, topics } of byes) {
        this.#say(origin + byeSuffix, { acknowledgements: [...topics.values()].map(({ topic, kept }) => ({ topic, upTo: kept })) })
      }
      if (this.#commitsAgain) this.#commitLater(false)
    })
  }

  #say(topic: string, { acknowledgements = [], requests = [] }: Partial<ControlMessage>): void {
    this.listener.publish(topic, encodeControl({ run: this.#name, acknowledgements, requests }))
  }

  #tickLater(): void {
    this.#world.time.after(this.tickEveryMs, () => {
      if (!this.#isUp) return
      this.#tick()
      this.#tickLater()
    })
  }

  #tick(): void {
    const { counts } = this.#place
    const asks = this.ledger.tick(this.#world.time.nowMs, () => this.#isStuck)
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

  #noteAttempt(origin: string, hole: string): void {
    const attempts = this.#attempts.get(origin) ?? new Map<string, number>()
    this.#attempts.set(origin, attempts)
    const count = (attempts.get(hole) ?? 0) + 1
    attempts.set(hole, count)
    if (count > repairAttemptsMax) this.mostAskedFor = `${origin} ${hole}`
  }

  #beaconLater(): void {
    this.#world.time.after(beaconEveryMs, () => {
      if (!this.#isUp) return
      this.listener.publish('beacon.', encodeBeacon({ run: this.#name, version: '0', originCount: 0, origins: [] }))
      this.#beaconLater()
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

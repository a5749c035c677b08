/**
 * A network that loses, delays and breaks, as ZeroMQ shows it to both sides:
 *
 *   agent ── pipe, at most so many frames ──► │ cut here ──► receiver's queue ── read fairly with the others ──► collector
 *
 * What stands in the pipe when the connection breaks is lost. What has come to the receiver's queue is read, and from
 * the queues of the old and the new connection in turn: a receiver that binds sees them interleaved.
 */
import type { Random } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Message {
  readonly topic: Buffer
  readonly frame: Buffer
}

/** A collector, to the network. */
export interface Host {
  /** What it subscribes to, in order. */
  readonly prefixes: readonly string[]
  arrived(message: Message): void
}

/** How the network is; of one seed. */
export interface Weather {
  readonly pipeFrames: number
  readonly queueFrames: number
  readonly latencyMs: number
  /** One frame takes so long; the next waits for it. */
  readonly frameMs: number
  readonly readMs: number
  /** Chance of each to vanish. */
  frameLoss: number
  manifestLoss: number
  controlLoss: number
  /** Chance of a collector's crash to go unseen, as a pulled plug does. */
  readonly unseenCrashes: number
  /** Manifests are never delivered at all: to see what they are for. */
  readonly withoutManifests: boolean
}

/** What has happened, so that it can be seen that faults were faults. */
export interface NetworkCounts {
  cuts: number
  controlCuts: number
  halfOpen: number
  refusals: number
  framesLostInPipes: number
  framesLost: number
  manifestsLost: number
  controlsLost: number
  intoNothing: number
  bytes: number
  /** Frames sent again on the same connection, and their bytes: answers to requests, nearly all. */
  repairs: number
  repairBytes: number
  interleavings: number
}

export class SimulatedNetwork {
  readonly weather: Weather
  readonly random: Random
  readonly counts: NetworkCounts = {
    cuts: 0,
    controlCuts: 0,
    halfOpen: 0,
    refusals: 0,
    framesLostInPipes: 0,
    framesLost: 0,
    manifestsLost: 0,
    controlsLost: 0,
    intoNothing: 0,
    bytes: 0,
    repairs: 0,
    repairBytes: 0,
    interleavings: 0,
  }
  readonly #time: VirtualTime
  readonly #listening = new Map<string, Listener>()

  constructor(time: VirtualTime, random: Random, weather: Weather) {
    this.#time = time
    this.random = random
    this.weather = weather
  }

  /** Lets a host be found at these addresses. Several are several ways to the one. */
  listen(addresses: readonly string[], host: Host): Listener {
    const listener = new Listener(this.#time, this, host)
    for (const address of addresses) this.#listening.set(address, listener)
    return listener
  }

  at(address: string): Listener | undefined {
    const listener = this.#listening.get(address)
    return listener?.isUp ? listener : undefined
  }

  /** Nothing is lost any more. */
  calm(): void {
    this.weather.frameLoss = 0
    this.weather.manifestLoss = 0
    this.weather.controlLoss = 0
  }
}

/** One run of a collector, as the network sees it: its queues, and who listens to its control channel. */
export class Listener {
  readonly host: Host
  isUp = true
  readonly connections = new Set<{ cutByPeer(): void }>()
  readonly #time: VirtualTime
  readonly #network: SimulatedNetwork
  #queues: Queue[] = []
  #nextQueue = 0
  #isReading = false
  #pausedUntilMs = 0
  readonly #controls = new Set<(topic: string, body: Buffer) => void>()

  constructor(time: VirtualTime, network: SimulatedNetwork, host: Host) {
    this.#time = time
    this.#network = network
    this.host = host
  }

  /** It is gone, as a killed process is: what it had not read is lost, and its peers are told by the system. */
  close(): void {
    this.isUp = false
    this.#queues = []
    for (const connection of [...this.connections]) connection.cutByPeer()
    this.#controls.clear()
  }

  /** Does not read for a while. */
  pauseFor(ms: number): void {
    this.#pausedUntilMs = this.#time.nowMs + ms
  }

  openQueue(roomier: () => void): Queue {
    const queue: Queue = { messages: [], roomier, isCut: false }
    this.#queues.push(queue)
    return queue
  }

  /** False when the queue is full. */
  offer(queue: Queue, message: Message): boolean {
    if (queue.messages.length >= this.#network.weather.queueFrames) return false
    if (this.#queues.some((other) => other.isCut && other.messages.length > 0)) this.#network.counts.interleavings += 1
    // The receiver has a copy of its own; the sender's memory is the sender's again.
    queue.messages.push({ topic: message.topic, frame: Buffer.from(message.frame) })
    this.#read()
    return true
  }

  #read(): void {
    if (this.#isReading) return
    this.#isReading = true
    this.#time.after(this.#network.weather.readMs + Math.max(0, this.#pausedUntilMs - this.#time.nowMs), () => {
      this.#isReading = false
      if (!this.isUp) return
      if (this.#time.nowMs < this.#pausedUntilMs) return this.#read()
      this.#readOne()
      if (this.#queues.some((queue) => queue.messages.length > 0)) this.#read()
    })
  }

  #readOne(): void {
    for (let looked = 0; looked < this.#queues.length; looked += 1) {
      this.#nextQueue = (this.#nextQueue + 1) % this.#queues.length
      const queue = this.#queues[this.#nextQueue]
      const message = queue?.messages.shift()
      if (queue === undefined || message === undefined) continue
      this.host.arrived(message)
      queue.roomier()
      if (queue.isCut && queue.messages.length === 0) this.#queues = this.#queues.filter((other) => other !== queue)
      return
    }
  }

  listenToControl(heard: (topic: string, body: Buffer) => void): () => void {
    this.#controls.add(heard)
    return () => this.#controls.delete(heard)
  }

  publish(topic: string, body: Buffer): void {
    for (const heard of this.#controls) heard(topic, body)
  }
}

/** What has come to the collector over one connection and is not read yet. */
export interface Queue {
  readonly messages: Message[]
  /** It has room again. */
  readonly roomier: () => void
  isCut: boolean
}

/** A link's two sockets in the simulated network, with what is known of ZeroMQ's: see docs/ARCHITECTURE.md. */
import type { Heads, LinkHears, LinkSockets } from '../../agent/link-network.ts'
import type { LinkEndpoints } from '../../agent/options.ts'
import { beaconTopic } from '../../wire/control.ts'
import { controlsPerPollMax, reconnectFirstMs, reconnectMaxMs, subscriptionsPerPollMax } from '../../wire/limits.ts'
import type { Listener, Message, Queue, SimulatedNetwork } from './simulated-network.ts'
import type { VirtualTime } from './virtual-time.ts'

const headBytes = 50
const controlInboxMax = 64
/** Heartbeats notice a connection that is open on one side only. */
const noticedAfterMs = { from: 500, to: 15_000 }

/** What happens to the data socket until it is looked at. */
type Command =
  | { readonly kind: 'subscribe'; readonly connection: DataConnection; readonly prefix: string }
  | { readonly kind: 'detach'; readonly connection: DataConnection }

export class SimulatedSockets implements LinkSockets {
  isOpen = false
  readonly #time: VirtualTime
  readonly #network: SimulatedNetwork
  readonly #origin: string
  readonly #endpoints: LinkEndpoints
  readonly #hears: LinkHears
  /** Counts openings: what was under way for an older one means nothing. */
  #opening = 0
  #data: DataConnection | undefined
  /** The connection the socket sends on, once it knows of it. */
  #attached: DataConnection | undefined
  #commands: Command[] = []
  readonly #prefixes = new Map<string, number>()
  #subscriptions: Buffer[] = []
  #control: ControlConnection | undefined
  #controls: Buffer[][] = []
  #isAllReadDue = false

  constructor(time: VirtualTime, network: SimulatedNetwork, origin: string, endpoints: LinkEndpoints, hears: LinkHears) {
    this.#time = time
    this.#network = network
    this.#origin = origin
    this.#endpoints = endpoints
    this.#hears = hears
  }

  open(): void {
    this.isOpen = true
    this.#opening += 1
    this.#dialData(1)
    this.#dialControl(1)
  }

  close(): void {
    this.isOpen = false
    this.#opening += 1
    this.#data?.end()
    this.#control?.end()
    this.#data = undefined
    this.#attached = undefined
    this.#control = undefined
    this.#commands = []
    this.#prefixes.clear()
    this.#subscriptions = []
    this.#controls = []
  }

  // ── data ──

  #dialData(delayMs: number): void {
    const opening = this.#opening
    this.#time.after(delayMs, () => {
      if (opening !== this.#opening) return
      const listener = this.#network.at(this.#endpoints.data)
      if (listener === undefined) return this.#dialData(this.#redialMs())
      const connection = new DataConnection(this.#time, this.#network, listener, () => this.#lostData(connection, opening))
      this.#data = connection
      // Prefixes come one by one.
      let atMs = this.#network.weather.latencyMs
      for (const prefix of listener.host.prefixes) {
        atMs += this.#network.random.chance(0.1) ? this.#network.random.between(0, 60) : 0.1
        this.#time.after(atMs, () => {
          if (!connection.isCut) this.#commands.push({ kind: 'subscribe', connection, prefix })
          // The collector sends them in one write: what vanishes without a word does so before or after them.
          connection.isGreeted = prefix === listener.host.prefixes.at(-1)
        })
      }
    })
  }

  #redialMs(): number {
    return this.#network.random.chance(0.7)
      ? reconnectFirstMs * this.#network.random.between(1, 2)
      : this.#network.random.between(reconnectFirstMs, reconnectMaxMs)
  }

  #lostData(connection: DataConnection, opening: number): void {
    if (opening !== this.#opening) return
    this.#data = undefined
    this.#commands.push({ kind: 'detach', connection })
    this.#dialData(this.#redialMs())
  }

  /** What ZeroMQ does whenever the socket is touched. Additions come before removals when both have come to pass. */
  #runCommands(): void {
    if (this.#commands.length === 0) return
    const commands = this.#commands
    this.#commands = []
    for (const command of commands) if (command.kind === 'subscribe') this.#subscribe(command.connection, command.prefix)
    for (const command of commands) if (command.kind === 'detach') this.#detach(command.connection)
  }

  #subscribe(connection: DataConnection, prefix: string): void {
    this.#attached = connection
    connection.prefixes.push(prefix)
    const count = (this.#prefixes.get(prefix) ?? 0) + 1
    this.#prefixes.set(prefix, count)
    if (count === 1) this.#subscriptions.push(Buffer.from(`\u0001${prefix}`, 'latin1'))
  }

  #detach(connection: DataConnection): void {
    if (this.#attached === connection) this.#attached = undefined
    for (const prefix of connection.prefixes.splice(0)) {
      const count = (this.#prefixes.get(prefix) ?? 0) - 1
      if (count > 0) this.#prefixes.set(prefix, count)
      else {
        this.#prefixes.delete(prefix)
        this.#subscriptions.push(Buffer.from(`\u0000${prefix}`, 'latin1'))
      }
    }
  }

  send(topic: Buffer, frame: Buffer): boolean {
    this.#runCommands()
    const text = topic.toString('latin1')
    const connection = this.#attached
    // Nobody there, or nobody who wants it: taken, and gone.
    if (connection === undefined || !connection.prefixes.some((prefix) => text.startsWith(prefix))) {
      this.#network.counts.intoNothing += 1
      return true
    }
    return connection.push({ topic, frame })
  }

  // ── control ──

  #dialControl(delayMs: number): void {
    const opening = this.#opening
    this.#time.after(delayMs, () => {
      if (opening !== this.#opening) return
      const listener = this.#network.at(this.#endpoints.control)
      if (listener === undefined) return this.#dialControl(this.#redialMs())
      this.#control = new ControlConnection(this.#time, this.#network, listener, {
        heard: (topic, body) => this.#heard(topic, body),
        lost: () => {
          if (opening !== this.#opening) return
          this.#control = undefined
          this.#dialControl(this.#redialMs())
        },
      })
    })
  }

  #heard(topic: string, body: Buffer): void {
    if (!topic.startsWith(this.#origin) && !topic.startsWith(beaconTopic)) return
    if (this.#controls.length < controlInboxMax) this.#controls.push([Buffer.from(topic, 'latin1'), body])
    else this.#network.counts.controlsLost += 1
  }

  // ── reading ──

  read(): boolean {
    this.#runCommands()
    const subscriptions = this.#subscriptions.splice(0, subscriptionsPerPollMax)
    const controls = this.#controls.splice(0, controlsPerPollMax)
    for (const message of subscriptions) this.#time.soon(() => this.#tell(() => this.#hears.subscription([message])))
    for (const message of controls) this.#time.soon(() => this.#tell(() => this.#hears.controlled(message)))
    return subscriptions.length + controls.length > 0
  }

  #tell(hear: () => void): void {
    hear()
    if (this.#isAllReadDue) return
    this.#isAllReadDue = true
    this.#time.soon(() => {
      this.#isAllReadDue = false
      this.#hears.allRead()
    })
  }

  readHeads(): Heads {
    this.#runCommands()
    const heads = (parts: readonly Buffer[]) => parts.map((part) => part.subarray(0, headBytes))
    return {
      subscriptions: this.#subscriptions.splice(0, subscriptionsPerPollMax).map((message) => heads([message])),
      controls: this.#controls.splice(0, subscriptionsPerPollMax).map(heads),
    }
  }

  // ── faults ──

  cutData(how: 'seen' | 'unseen'): void {
    this.#data?.cut(how)
  }

  cutControl(how: 'seen' | 'unseen'): void {
    this.#control?.cut(how)
  }
}

/** One connection for data, seen from the agent. */
class DataConnection {
  /** What its peer has subscribed to, as far as the socket knows. */
  readonly prefixes: string[] = []
  isCut = false
  /** All subscriptions have come. */
  isGreeted = false
  /** The peer is gone and nobody has said so: the pipe fills and nothing comes out. */
  isHalfOpen = false
  readonly #time: VirtualTime
  readonly #network: SimulatedNetwork
  readonly #listener: Listener
  readonly #queue: Queue
  readonly #lost: () => void
  readonly #pipe: Message[] = []
  readonly #sent = new Set<Buffer>()
  #isMoving = false
  #isFull = false

  constructor(time: VirtualTime, network: SimulatedNetwork, listener: Listener, lost: () => void) {
    this.#time = time
    this.#network = network
    this.#listener = listener
    this.#lost = lost
    this.#queue = listener.openQueue(() => this.#move(0))
    listener.connections.add(this)
  }

  push(message: Message): boolean {
    const { counts, weather } = this.#network
    // Once full it takes nothing before half of it has gone.
    if (this.#isFull && this.#pipe.length > weather.pipeFrames / 2) {
      counts.refusals += 1
      return false
    }
    this.#pipe.push(message)
    counts.bytes += message.frame.length
    this.#isFull = this.#pipe.length >= weather.pipeFrames
    if (this.#sent.has(message.frame)) {
      counts.repairs += 1
      counts.repairBytes += message.frame.length
    } else this.#sent.add(message.frame)
    this.#move(weather.latencyMs)
    return true
  }

  #move(delayMs: number): void {
    if (this.#isMoving || this.isCut || this.isHalfOpen || this.#pipe.length === 0) return
    this.#isMoving = true
    this.#time.after(delayMs + this.#network.weather.frameMs, () => {
      this.#isMoving = false
      if (this.isCut || this.isHalfOpen) return
      const [message] = this.#pipe
      if (message === undefined) return
      if (!this.#isLost(message) && !this.#listener.offer(this.#queue, message)) return
      this.#pipe.shift()
      this.#move(0)
    })
  }

  #isLost(message: Message): boolean {
    const { counts, random, weather } = this.#network
    const isManifest = message.topic.toString('latin1', 0, 4) === 'sys.'
    if (isManifest && weather.withoutManifests) return true
    if (!random.chance(isManifest ? weather.manifestLoss : weather.frameLoss)) return false
    if (isManifest) counts.manifestsLost += 1
    else counts.framesLost += 1
    return true
  }

  cut(how: 'seen' | 'unseen'): void {
    if (this.isCut || this.isHalfOpen) return
    if (how === 'seen' || !this.isGreeted) return this.#cutNow()
    this.#network.counts.halfOpen += 1
    this.isHalfOpen = true
    this.#time.after(this.#network.random.between(noticedAfterMs.from, noticedAfterMs.to), () => this.#cutNow())
  }

  cutByPeer(): void {
    // Pulled plugs say nothing.
    this.cut(this.#network.random.chance(this.#network.weather.unseenCrashes) ? 'unseen' : 'seen')
  }

  #cutNow(): void {
    if (this.isCut) return
    this.#network.counts.cuts += 1
    this.end()
    this.#time.after(this.#network.random.chance(0.5) ? 0 : this.#network.random.between(0, 20), this.#lost)
  }

  /** Its process has closed it, or is gone: the system may still send what it has. */
  end(): void {
    if (this.isCut) return
    if (!this.isHalfOpen && this.#listener.isUp) {
      const { random } = this.#network
      for (let kept = random.chance(0.5) ? 0 : random.below(4); kept > 0; kept -= 1) {
        const message = this.#pipe[0]
        if (message === undefined || this.#isLost(message) || !this.#listener.offer(this.#queue, message)) break
        this.#pipe.shift()
      }
    }
    this.#network.counts.framesLostInPipes += this.#pipe.length
    this.isCut = true
    this.#queue.isCut = true
    this.#listener.connections.delete(this)
  }
}

interface ControlEvents {
  heard(topic: string, body: Buffer): void
  lost(): void
}

/** One connection for what the collector says. */
class ControlConnection {
  readonly #time: VirtualTime
  readonly #network: SimulatedNetwork
  readonly #listener: Listener
  readonly #events: ControlEvents
  #isCut = false
  #isHalfOpen = false
  #stopListening: (() => void) | undefined

  constructor(time: VirtualTime, network: SimulatedNetwork, listener: Listener, events: ControlEvents) {
    this.#time = time
    this.#network = network
    this.#listener = listener
    this.#events = events
    listener.connections.add(this)
    // Its subscription has to arrive before anything is sent to it.
    time.after(network.weather.latencyMs, () => {
      if (!this.#isCut && listener.isUp) this.#stopListening = listener.listenToControl((topic, body) => this.#said(topic, body))
    })
  }

  #said(topic: string, body: Buffer): void {
    const { counts, random, weather } = this.#network
    if (this.#isHalfOpen || random.chance(weather.controlLoss)) {
      counts.controlsLost += 1
      return
    }
    this.#time.after(weather.latencyMs, () => {
      if (!this.#isCut) this.#events.heard(topic, body)
    })
  }

  cut(how: 'seen' | 'unseen'): void {
    if (this.#isCut || this.#isHalfOpen) return
    if (how === 'seen') return this.#cutNow()
    this.#network.counts.halfOpen += 1
    this.#isHalfOpen = true
    this.#time.after(this.#network.random.between(noticedAfterMs.from, noticedAfterMs.to), () => this.#cutNow())
  }

  cutByPeer(): void {
    this.cut('seen')
  }

  #cutNow(): void {
    if (this.#isCut) return
    this.#network.counts.controlCuts += 1
    this.end()
    this.#events.lost()
  }

  end(): void {
    this.#isCut = true
    this.#stopListening?.()
    this.#listener.connections.delete(this)
  }
}

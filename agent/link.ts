/**
 * The way from one agent to one collector: the only place that sends, and the only one that reads what comes back.
 *
 * Data goes out on an XPUB with one peer that refuses instead of dropping; a refused frame stays in the ring.
 * Subscriptions, acknowledgements and repair requests are polled: nothing here ever waits, nothing keeps the process
 * alive, and no operation is pending when a worker thread ends.
 */
import { type Context, type Message, Subscriber, XPublisher } from 'zeromq'
import { beaconTopic, byeSuffix, type ControlMessage, readControl } from '../wire/control.ts'
import {
  agentPollMs,
  controlBytesMax,
  dataHighWaterMarkFrames,
  rebuildBackoffMs,
  repairBytesPerSecond,
  repairLingerMs,
  retrySendMs,
  subscriptionPrefixesMax,
  subscriptionsPerPollMax,
  wantedSettleMs,
  watchdogSilenceMs,
} from '../wire/limits.ts'
import type { GoneRange } from '../wire/manifest.ts'
import { allowAddress, openSocket } from '../wire/socket.ts'
import type { Topic } from '../wire/topic.ts'
import { Fifo } from './fifo.ts'
import type { LinkState } from './link-state.ts'
import { ManifestClock } from './manifest-clock.ts'
import type { LinkEndpoints } from './options.ts'
import type { RingEntry } from './ring.ts'
import { isRejected, receivedHeads } from './settled.ts'
import type { AgentStream } from './stream.ts'

/** What a link needs from its agent. */
export interface LinkOwner {
  readonly origin: string
  stream(topic: Topic): AgentStream | undefined
  /** Entries this link still owes its collector, in the order they were accepted. */
  owed(link: Link): RingEntry[]
  acknowledge(link: Link, message: ControlMessage): void
  /** Nobody at this link wants the entry. */
  unwanted(link: Link, entry: RingEntry): void
  wantedChanged(): void
  /** A manifest for this link, ready to send. */
  manifest(link: Link, kind: { readonly isFull: boolean; readonly isFinal: boolean; readonly isUrgent: boolean }): [Buffer, Buffer]
}

const unreadPrefix = 'sys.run.'
const sendsPerPumpMax = 64
const tidyFromFrames = 256

export class Link {
  readonly bit: number
  readonly index: number
  readonly endpoints: LinkEndpoints
  state: LinkState = 'connecting'
  /** What the collector last asked for; undefined until it has spoken. */
  wanted: readonly string[] | undefined
  /** Whether the last frame was taken. */
  isFlowing = false
  manifestNumber = 0
  sentFrames = 0
  refusedSends = 0
  readonly gone: GoneRange[] = []
  readonly #owner: LinkOwner
  readonly #context: Context
  #data: XPublisher | undefined
  #control: Subscriber | undefined
  readonly #prefixes = new Set<string>()
  #run: string | undefined
  #changedAtMs = 0
  #isSettled = false
  #mustRebuildQueue = false
  readonly #queue = new Fifo<RingEntry>()
  #tidyAtFrames = tidyFromFrames
  readonly #repairs = new Fifo<RingEntry>()
  #repairBudgetBytes = repairBytesPerSecond
  #repairRefilledAtMs = 0
  #retryTimer: NodeJS.Timeout | undefined
  readonly #manifests = new ManifestClock()
  #builtAtMs = 0
  #controlHeardAtMs = 0
  #rebuildDelayMs = rebuildBackoffMs.first
  #isByeAnswered = false

  constructor(owner: LinkOwner, context: Context, endpoints: LinkEndpoints, index: number) {
    this.#owner = owner
    this.#context = context
    this.endpoints = endpoints
    this.index = index
    this.bit = 1 << index
  }

  /** Opens the sockets. Throws what ZeroMQ throws for an address it cannot take. */
  open(nowMs: number): void {
    this.#builtAtMs = nowMs
    const data = openSocket(this.#context, XPublisher, {
      sendTimeout: 0,
      receiveTimeout: 0,
      noDrop: true,
      immediate: true,
      sendHighWaterMark: dataHighWaterMarkFrames,
      maxMessageSize: controlBytesMax,
    })
    this.#data = data
    const control = openSocket(this.#context, Subscriber, { receiveTimeout: 0, receiveHighWaterMark: 64, maxMessageSize: controlBytesMax })
    this.#control = control
    allowAddress(data, this.endpoints.data)
    allowAddress(control, this.endpoints.control)
    data.connect(this.endpoints.data)
    control.subscribe(this.#owner.origin, beaconTopic)
    control.connect(this.endpoints.control)
  }

  close(): void {
    this.state = 'closed'
    clearTimeout(this.#retryTimer)
    this.#closeSockets()
    this.#queue.clear()
    this.#repairs.clear()
  }

  get waitingFrames(): number {
    return this.#queue.length
  }

  /** Frames not yet handed to this link. */
  *unsent(): Generator<RingEntry> {
    for (const entry of this.#queue) if (entry.frame !== undefined) yield entry
  }

  /** Whether the collector has asked for records under this topic. Unknown, so true, until it has spoken. */
  wants(topic: string): boolean {
    return this.wanted === undefined || covers(this.wanted, topic)
  }

  /** A new frame in the ring. */
  offer(entry: RingEntry): void {
    // Without a connection the ring alone remembers; the queue is made from it when one begins.
    if (this.state !== 'connected') return
    this.#queue.push(entry)
    if (this.#queue.length > this.#tidyAtFrames) {
      // With a full pipe the oldest leave the ring from here.
      this.#queue.retain((kept) => kept.frame !== undefined)
      this.#tidyAtFrames = 2 * this.#queue.length + tidyFromFrames
    }
    // At once, though waiting for more would save a wake-up: a process that is killed must not lose what is closed.
    this.pump()
  }

  /** The regular look at both sockets. */
  poll(nowMs: number): void {
    if (this.state === 'closed') return
    this.#read()
    this.#settle(nowMs)
    if (nowMs - this.#builtAtMs > this.#rebuildDelayMs && this.#isSilent(nowMs)) this.#rebuild(nowMs)
    else this.pump()
  }

  /** Sends what waits until the pipe is full. Bounded work; never waits. */
  pump(): void {
    if (this.state !== 'connected') return
    // Something has come in: it may be the end of the connection. It is known a microtask later; then go on.
    if (this.#read()) return
    const nowMs = Date.now()
    if (this.#run === undefined && !this.#isSettled) return
    if (this.#mustRebuildQueue) this.#rebuildQueue()
    if (this.#manifests.isDue(nowMs) && !this.#sendManifest(nowMs, { isFinal: false, isUrgent: false })) return this.#retryLater()
    for (let sends = 0; sends < sendsPerPumpMax; sends += 1) {
      const entry = this.#nextToSend(nowMs)
      if (entry === undefined) return
      if (!this.#sendEntry(entry, nowMs)) break
    }
    this.#retryLater()
  }

  /** Asks the collector to acknowledge at once. */
  hurry(): void {
    this.#manifests.sendUrgently()
    this.pump()
  }

  #nextToSend(nowMs: number): RingEntry | undefined {
    const repair = peekHeld(this.#repairs)
    if (repair?.frame !== undefined && this.#takeRepairBudget(repair.frame.byteLength, nowMs)) return repair
    for (;;) {
      const entry = peekHeld(this.#queue)
      if (entry === undefined) return undefined
      const topic = (entry.owner as AgentStream).topic
      if (covers(this.#prefixes, topic)) return entry
      // More prefixes may be on their way; what is sent without one goes nowhere and is not missed.
      if (!this.#isSettled) return undefined
      this.#queue.shift()
      this.#owner.unwanted(this, entry)
    }
  }

  #sendEntry(entry: RingEntry, nowMs: number): boolean {
    if (entry.frame === undefined) return true
    const isRepair = this.#repairs.peek() === entry
    if (!this.#send((entry.owner as AgentStream).topicBytes, entry.frame)) return false
    if (isRepair) this.#repairs.shift()
    else this.#queue.shift()
    entry.sent |= this.bit
    entry.sends += 1
    this.sentFrames += 1
    this.#manifests.frameSent(nowMs)
    return true
  }

  #send(topic: Buffer, frame: Buffer): boolean {
    if (this.#data === undefined) return false
    const promise = this.#data.send([topic, frame])
    const isTaken = !isRejected(promise)
    promise.catch(ignore)
    this.isFlowing = isTaken
    if (!isTaken) this.refusedSends += 1
    return isTaken
  }

  #sendManifest(nowMs: number, kind: { readonly isFinal: boolean; readonly isUrgent: boolean }): boolean {
    const isFull = this.#manifests.isFullDue(nowMs) || kind.isFinal
    const isUrgent = kind.isUrgent || this.#manifests.isUrgent
    const [topic, frame] = this.#owner.manifest(this, { isFull, isFinal: kind.isFinal, isUrgent })
    if (!this.#send(topic, frame)) return false
    this.#manifests.manifestSent(nowMs, isFull)
    this.manifestNumber += 1
    this.gone.length = 0
    return true
  }

  /** How long until the next manifest, as receivers are told. */
  get manifestEveryMs(): number {
    return this.#manifests.everyMs
  }

  #retryLater(): void {
    if (this.#retryTimer !== undefined || this.state !== 'connected') return
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.pump()
    }, retrySendMs)
    this.#retryTimer.unref()
  }

  /** Starts reading what has arrived; handled in the microtasks that follow. Returns whether there was anything. */
  #read(): boolean {
    const data = this.#data
    const control = this.#control
    let reads = 0
    for (; data?.readable && reads < subscriptionsPerPollMax; reads += 1) this.#handle(data.receive(), (parts) => this.#subscription(parts))
    for (; control?.readable && reads < subscriptionsPerPollMax; reads += 1)
      this.#handle(control.receive(), (parts) => this.#controlled(parts))
    return reads > 0
  }

  #handle(promise: Promise<Message[]>, handler: (parts: Buffer[]) => void): void {
    promise.then((parts) => {
      if (this.state === 'closed') return
      handler(parts)
      this.#scheduleAfterRead()
    }, ignore)
  }

  #isAfterReadScheduled = false

  /** Once per batch of messages, after the last of them. */
  #scheduleAfterRead(): void {
    if (this.#isAfterReadScheduled) return
    this.#isAfterReadScheduled = true
    queueMicrotask(() => {
      this.#isAfterReadScheduled = false
      this.#settle(Date.now())
      this.pump()
    })
  }

  /** One subscription (1) or its end (0); anything else a peer sends up is ignored. */
  #subscription(parts: Buffer[]): void {
    const [message] = parts
    if (message === undefined || parts.length !== 1 || message.length === 0) return
    const prefix = message.toString('latin1', 1)
    if (message[0] === 1) this.#subscribed(prefix)
    else if (message[0] === 0) this.#unsubscribed(prefix)
  }

  #subscribed(prefix: string): void {
    const nowMs = Date.now()
    // Beyond what is remembered, everything counts as asked for: too much is sent, nothing is missed.
    const remembered = this.#prefixes.size < subscriptionPrefixesMax ? prefix : ''
    if (this.state !== 'connected') {
      this.state = 'connected'
      this.#controlHeardAtMs = nowMs
      this.#begin()
    }
    this.#prefixes.add(remembered)
    this.#changed(nowMs)
    if (!prefix.startsWith(unreadPrefix)) return
    const run = prefix.slice(unreadPrefix.length, -1)
    // A collector replaced between two looks shows only here.
    if (this.#run !== undefined && this.#run !== run) this.#begin()
    this.#run = run
  }

  #unsubscribed(prefix: string): void {
    this.#prefixes.delete(prefix)
    this.#changed(Date.now())
    if (this.#prefixes.size > 0) return
    // Everything gone at once is a lost connection, not disinterest: what was wanted stays wanted.
    this.state = 'lost'
    this.#run = undefined
    this.isFlowing = false
    this.#isSettled = false
  }

  /** A connection begins: what the last one took and nobody acknowledged is sent again; receivers drop what they have. */
  #begin(): void {
    this.#mustRebuildQueue = true
    this.#manifests.begin()
    this.#rebuildDelayMs = rebuildBackoffMs.first
  }

  #changed(nowMs: number): void {
    this.#changedAtMs = nowMs
    this.#isSettled = false
  }

  #settle(nowMs: number): void {
    if (this.#isSettled || this.state !== 'connected' || nowMs - this.#changedAtMs < wantedSettleMs) return
    this.#isSettled = true
    const wanted = [...this.#prefixes].filter((prefix) => !isMeaningOnly(prefix))
    this.wanted = wanted
    this.#owner.wantedChanged()
  }

  #rebuildQueue(): void {
    this.#mustRebuildQueue = false
    this.#queue.clear()
    this.#repairs.clear()
    for (const entry of this.#owner.owed(this)) this.#queue.push(entry)
  }

  #controlled(parts: Buffer[]): void {
    const [topic, body] = parts
    if (topic === undefined || body === undefined) return
    this.#controlHeardAtMs = Date.now()
    const name = topic.toString('latin1')
    if (name === beaconTopic) return
    if (name === this.#owner.origin + byeSuffix) this.#isByeAnswered = true
    const message = readControl(body)
    // An answer of a collector that has been replaced says nothing about the new one.
    if (message === undefined || (this.#run !== undefined && message.run !== this.#run)) return
    this.#owner.acknowledge(this, message)
    for (const request of message.requests) this.#repair(request)
  }

  #repair(request: GoneRange): void {
    const stream = this.#owner.stream(request.topic)
    if (stream === undefined) return
    const nowMs = Date.now()
    let at = request.from
    for (const entry of stream.entries) {
      if (entry.frame === undefined || entry.seq + entry.count <= at) continue
      if (entry.seq >= request.to) break
      if (entry.seq > at) this.#sayGone(request.topic, at, entry.seq)
      at = entry.seq + entry.count
      // Not sent yet: it is coming anyway. Sent again a moment ago: it is on its way.
      if ((entry.sent & this.bit) === 0 || nowMs - entry.resentAtMs < repairLingerMs) continue
      entry.resentAtMs = nowMs
      this.#repairs.push(entry)
    }
    const end = Math.min(request.to, stream.next)
    if (at < end) this.#sayGone(request.topic, at, end)
  }

  #sayGone(topic: Topic, from: number, to: number): void {
    this.gone.push({ topic, from, to })
    this.#manifests.sendUrgently()
  }

  #takeRepairBudget(bytes: number, nowMs: number): boolean {
    const refill = ((nowMs - this.#repairRefilledAtMs) * repairBytesPerSecond) / 1_000
    this.#repairBudgetBytes = Math.min(repairBytesPerSecond, this.#repairBudgetBytes + refill)
    this.#repairRefilledAtMs = nowMs
    if (this.#repairBudgetBytes < bytes) return false
    this.#repairBudgetBytes -= bytes
    return true
  }

  #isSilent(nowMs: number): boolean {
    if (this.state === 'connected') return this.#controlHeardAtMs !== 0 && nowMs - this.#controlHeardAtMs > watchdogSilenceMs
    return true
  }

  /** ZeroMQ gives up some connections for good and says nothing; only a new socket helps. */
  #rebuild(nowMs: number): void {
    this.#closeSockets()
    this.#prefixes.clear()
    this.#run = undefined
    this.isFlowing = false
    if (this.state === 'connected') this.state = 'lost'
    this.#rebuildDelayMs = Math.min(this.#rebuildDelayMs * 2, rebuildBackoffMs.max)
    try {
      this.open(nowMs)
    } catch {
      // Out of file descriptors, say: the next turn of the watchdog tries again.
      this.#closeSockets()
    }
  }

  #closeSockets(): void {
    this.#data?.close()
    this.#control?.close()
    this.#data = undefined
    this.#control = undefined
  }

  /** Whether it is worth the process's last milliseconds to wait for this link. */
  mayStillConnect(nowMs: number): boolean {
    return this.state === 'connected' || (this.state === 'connecting' && nowMs - this.#builtAtMs < 10 * agentPollMs)
  }

  /**
   * One step of the process's end, where no promise is ever continued: reads and sends what it can at once.
   *
   * @returns True when the collector has answered the final manifest: everything it wanted has arrived.
   */
  exitStep(): boolean {
    const data = this.#data
    if (data === undefined) return true
    for (let reads = 0; data.readable && reads < subscriptionsPerPollMax; reads += 1) {
      const heads = receivedHeads(data.receive())
      if (heads !== undefined) this.#subscription(heads)
    }
    for (let reads = 0; this.#control?.readable && reads < subscriptionsPerPollMax; reads += 1) {
      const topic = receivedHeads(this.#control.receive())?.[0]?.toString('latin1')
      if (topic === this.#owner.origin + byeSuffix) this.#isByeAnswered = true
    }
    if (this.#isByeAnswered) return true
    if (this.state !== 'connected' || (this.#run === undefined && Date.now() - this.#changedAtMs < retrySendMs)) return false
    if (this.#mustRebuildQueue) this.#rebuildQueue()
    for (let entry = peekHeld(this.#queue); entry !== undefined; entry = peekHeld(this.#queue)) {
      if (!this.#sendEntry(entry, Date.now())) return false
    }
    if (!this.#isByeSent) this.#isByeSent = this.#sendManifest(Date.now(), { isFinal: true, isUrgent: true })
    return false
  }

  #isByeSent = false

  /** Sends the final manifest, once. False while the pipe is full or there is no connection. */
  sayBye(): boolean {
    if (this.state === 'connected') this.#isByeSent ||= this.#sendManifest(Date.now(), { isFinal: true, isUrgent: true })
    return this.#isByeSent
  }

  get isByeAnswered(): boolean {
    return this.#isByeAnswered
  }
}

/** Oldest entry that is still in the ring; what left it meanwhile is passed over. */
function peekHeld(queue: Fifo<RingEntry>): RingEntry | undefined {
  while (queue.length > 0 && queue.peek()?.frame === undefined) queue.shift()
  return queue.peek()
}

function covers(prefixes: Iterable<string>, topic: string): boolean {
  for (const prefix of prefixes) if (topic.startsWith(prefix)) return true
  return false
}

/** Subscriptions that carry a meaning upstream and match no record. */
function isMeaningOnly(prefix: string): boolean {
  return prefix.startsWith('sys.') || prefix.startsWith('ask.')
}

function ignore(): void {
  // Told by the promise's state when it mattered; what is left is the rejection nobody else handles.
}

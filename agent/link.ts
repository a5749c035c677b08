/**
 * The way from one agent to one collector: the only place that sends, and the only one that reads what comes back.
 *
 * Data goes out on an XPUB with one peer that refuses instead of dropping; a refused frame stays in the ring.
 * Subscriptions, acknowledgements and repair requests are polled: nothing here ever waits, nothing keeps the process
 * alive, and no operation is pending when a worker thread ends.
 */
import { type Context, type Message, Subscriber, XPublisher } from 'zeromq'
import { beaconTopic, byeSuffix, type ControlMessage, readControl } from '../wire/control.ts'
import { Fifo } from '../wire/fifo.ts'
import {
  agentPollMs,
  controlBytesMax,
  controlsPerPollMax,
  dataHighWaterMarkFrames,
  rebuildBackoffMs,
  retrySendMaxMs,
  retrySendMs,
  subscriptionsPerPollMax,
  wantedSettleMs,
  watchdogSilenceMs,
} from '../wire/limits.ts'
import { allowAddress, openSocket } from '../wire/socket.ts'
import type { Topic } from '../wire/topic.ts'
import type { LinkState } from './link-state.ts'
import { ManifestClock } from './manifest-clock.ts'
import type { LinkEndpoints } from './options.ts'
import { Repairs } from './repairs.ts'
import type { RingEntry } from './ring.ts'
import { isRejected, receivedHeads } from './settled.ts'
import type { AgentStream } from './stream.ts'
import { covers, Subscriptions } from './subscriptions.ts'

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

const sendsPerPumpMax = 64
const tidyFromFrames = 256
const refusedPauseMs = 1

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
  /** Errors of our own that were caught here instead of in the application. */
  failures = 0
  readonly repairs: Repairs
  readonly #owner: LinkOwner
  readonly #context: Context
  #data: XPublisher | undefined
  #control: Subscriber | undefined
  readonly #subscriptions = new Subscriptions()
  #mustRebuildQueue = false
  readonly #queue = new Fifo<RingEntry>()
  #tidyAtFrames = tidyFromFrames
  /** The pipe was full at the last try. */
  #isRefused = false
  #refusedAtMs = 0
  #retryTimer: NodeJS.Timeout | undefined
  #retryDelayMs = retrySendMs
  readonly #manifests = new ManifestClock()
  #builtAtMs = 0
  #controlHeardAtMs = 0
  #rebuildDelayMs = rebuildBackoffMs.first
  #isAfterReadScheduled = false
  #isByeSent = false
  #isByeAnswered = false

  constructor(owner: LinkOwner, context: Context, endpoints: LinkEndpoints, index: number) {
    this.#owner = owner
    this.#context = context
    this.endpoints = endpoints
    this.index = index
    this.bit = 1 << index
    this.repairs = new Repairs(this.bit)
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
    this.repairs.clear()
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
    // While frames are refused the pipe is asked every millisecond at most; but soon, because there is more to come.
    if (!this.#isRefused) this.pump()
    else if (performance.now() - this.#refusedAtMs >= refusedPauseMs) {
      this.#retryDelayMs = retrySendMs
      clearTimeout(this.#retryTimer)
      this.#retryTimer = undefined
      this.pump()
    }
  }

  /** The regular look at both sockets. */
  poll(nowMs: number): void {
    if (this.state === 'closed') return
    this.#read()
    this.#settle(nowMs)
    if (nowMs - this.#builtAtMs > this.#rebuildDelayMs && this.#isSilent(nowMs)) this.#rebuild(nowMs)
    else if (this.#retryTimer === undefined) this.pump()
  }

  /** Sends what waits until the pipe is full. Bounded work; never waits, never throws. */
  pump(): void {
    this.#guarded(() => {
      const nowMs = performance.now()
      // Something has come in: it may be the end of the connection. It is known a microtask later; then go on.
      if (this.state !== 'connected' || this.#read() || !this.#subscriptions.isReady(nowMs, wantedSettleMs)) return
      this.#sendWaiting(nowMs, sendsPerPumpMax)
    })
  }

  /** A defect of ours is counted here; it must not become an exception of the application's. */
  #guarded(work: () => void): void {
    try {
      work()
    } catch {
      this.failures += 1
    }
  }

  /** Asks the collector to acknowledge at once. */
  hurry(): void {
    this.#manifests.sendUrgently()
    this.pump()
  }

  /** Sends due manifests and waiting frames, in the one order there is. Returns whether nothing waits any more. */
  #sendWaiting(nowMs: number, sendsMax: number): boolean {
    if (this.#mustRebuildQueue) this.#rebuildQueue()
    // With a full pipe a manifest would be made only to be refused: a frame that exists asks first.
    const isManifestFirst = !this.#isRefused || peekHeld(this.#queue) === undefined
    if (isManifestFirst && !this.#sendDueManifest(nowMs)) return this.#retryLater()
    for (let sends = 0; sends < sendsMax; sends += 1) {
      const repair = this.repairs.next(nowMs)
      const entry = repair ?? this.#nextInQueue()
      if (entry === undefined) return this.#sendDueManifest(nowMs) ? this.isDrained : this.#retryLater()
      if (!this.#sendEntry(entry, nowMs)) return this.#retryLater()
      if (repair !== undefined) this.repairs.sent(repair)
      else this.#queue.shift()
    }
    return this.#retryLater()
  }

  /** Whether everything this link owes has been handed to the socket. */
  get isDrained(): boolean {
    return !this.#mustRebuildQueue && peekHeld(this.#queue) === undefined && this.repairs.isEmpty
  }

  #nextInQueue(): RingEntry | undefined {
    for (;;) {
      const entry = peekHeld(this.#queue)
      if (entry === undefined) return undefined
      if (this.#subscriptions.covers((entry.owner as AgentStream).topic)) return entry
      // More prefixes may be on their way; what is sent without one goes nowhere and is not missed.
      if (!this.#subscriptions.isSettled) return undefined
      this.#queue.shift()
      this.#owner.unwanted(this, entry)
    }
  }

  #sendEntry(entry: RingEntry, nowMs: number): boolean {
    if (entry.frame === undefined) return true
    if (!this.#send((entry.owner as AgentStream).topicBytes, entry.frame)) return false
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
    this.#isRefused = !isTaken
    if (isTaken) this.#retryDelayMs = retrySendMs
    else this.#refusedAtMs = performance.now()
    return isTaken
  }

  #sendDueManifest(nowMs: number): boolean {
    return !this.#manifests.isDue(nowMs) || this.#sendManifest(nowMs, { isFinal: false, isUrgent: false })
  }

  #sendManifest(nowMs: number, kind: { readonly isFinal: boolean; readonly isUrgent: boolean }): boolean {
    const isFull = this.#manifests.isFullDue(nowMs) || kind.isFinal
    const isUrgent = kind.isUrgent || this.#manifests.isUrgent
    const [topic, frame] = this.#owner.manifest(this, { isFull, isFinal: kind.isFinal, isUrgent })
    if (!this.#send(topic, frame)) return false
    this.#manifests.manifestSent(nowMs, isFull)
    this.manifestNumber += 1
    this.repairs.goneSaid()
    return true
  }

  /** How long until the next manifest, as receivers are told. */
  get manifestEveryMs(): number {
    return this.#manifests.everyMs
  }

  /** Comes back soon, and ever later while frames are refused. Always false: something waits. */
  #retryLater(): false {
    if (this.#retryTimer !== undefined || this.state !== 'connected') return false
    const delayMs = this.#retryDelayMs
    if (this.#isRefused) this.#retryDelayMs = Math.min(2 * delayMs, retrySendMaxMs)
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined
      this.pump()
    }, delayMs)
    this.#retryTimer.unref()
    return false
  }

  /** Starts reading what has arrived; handled in the microtasks that follow. Returns whether there was anything. */
  #read(): boolean {
    const data = this.#data
    const control = this.#control
    let subscriptions = 0
    for (; data?.readable && subscriptions < subscriptionsPerPollMax; subscriptions += 1) {
      this.#handle(data.receive(), (parts) => this.#subscription(parts))
    }
    let controls = 0
    for (; control?.readable && controls < controlsPerPollMax; controls += 1) {
      this.#handle(control.receive(), (parts) => this.#controlled(parts))
    }
    return subscriptions + controls > 0
  }

  #handle(promise: Promise<Message[]>, handler: (parts: Buffer[]) => void): void {
    promise.then((parts) => {
      if (this.state === 'closed') return
      this.#guarded(() => handler(parts))
      this.#scheduleAfterRead()
    }, ignore)
  }

  /** Once per batch of messages, after the last of them. */
  #scheduleAfterRead(): void {
    if (this.#isAfterReadScheduled) return
    this.#isAfterReadScheduled = true
    queueMicrotask(() => {
      this.#isAfterReadScheduled = false
      this.#settle(performance.now())
      // What is left to read waits for the next look, so that a flood of messages is no endless chain of microtasks.
      this.#guarded(() => {
        const nowMs = performance.now()
        if (this.state === 'connected' && this.#subscriptions.isReady(nowMs, wantedSettleMs)) this.#sendWaiting(nowMs, sendsPerPumpMax)
      })
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
    const nowMs = performance.now()
    if (this.state !== 'connected') {
      this.state = 'connected'
      this.#controlHeardAtMs = nowMs
      this.#begin()
    }
    // A collector replaced between two looks shows only in the name of its run.
    if (this.#subscriptions.add(prefix, nowMs)) this.#begin()
  }

  #unsubscribed(prefix: string): void {
    this.#subscriptions.remove(prefix, performance.now())
    // Everything gone at once is a lost connection, not disinterest: what was wanted stays wanted.
    if (this.#subscriptions.isEmpty) this.#lost()
  }

  #lost(): void {
    this.state = 'lost'
    this.isFlowing = false
    this.#isRefused = false
  }

  /** A connection begins: what the last one took and nobody acknowledged is sent again; receivers drop what they have. */
  #begin(): void {
    this.#mustRebuildQueue = true
    this.#manifests.begin()
    this.#rebuildDelayMs = rebuildBackoffMs.first
  }

  #settle(nowMs: number): void {
    const wanted = this.state === 'connected' ? this.#subscriptions.settled(nowMs) : undefined
    if (wanted === undefined) return
    this.wanted = wanted
    this.#owner.wantedChanged()
  }

  #rebuildQueue(): void {
    this.#mustRebuildQueue = false
    this.#queue.clear()
    this.repairs.clear()
    for (const entry of this.#owner.owed(this)) this.#queue.push(entry)
  }

  #controlled(parts: Buffer[]): void {
    const [topic, body] = parts
    if (topic === undefined || body === undefined) return
    const nowMs = performance.now()
    this.#controlHeardAtMs = nowMs
    const name = topic.toString('latin1')
    if (name === beaconTopic) return
    const message = readControl(body)
    const { run } = this.#subscriptions
    // An answer of a collector that has been replaced says nothing about the new one.
    if (message === undefined || (run !== undefined && message.run !== run)) return
    this.#owner.acknowledge(this, message)
    for (const request of message.requests) {
      const stream = this.#owner.stream(request.topic)
      if (stream !== undefined) this.repairs.request(stream, request, nowMs)
    }
    if (this.repairs.gone.length > 0) this.#manifests.sendUrgently()
    if (name === this.#owner.origin + byeSuffix) this.#isByeAnswered = true
  }

  #isSilent(nowMs: number): boolean {
    if (this.state === 'connected') return this.#controlHeardAtMs !== 0 && nowMs - this.#controlHeardAtMs > watchdogSilenceMs
    return true
  }

  /** ZeroMQ gives up some connections for good and says nothing; only a new socket helps. */
  #rebuild(nowMs: number): void {
    this.#closeSockets()
    this.#subscriptions.clear()
    if (this.state === 'connected') this.#lost()
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
    this.#guarded(() => this.#exitStep())
    return this.#isByeAnswered || this.#data === undefined
  }

  #exitStep(): void {
    this.repairs.spendFreely()
    const data = this.#data
    for (let reads = 0; data?.readable && reads < subscriptionsPerPollMax; reads += 1) {
      const heads = receivedHeads(data.receive())
      if (heads !== undefined) this.#subscription(heads)
    }
    for (let reads = 0; this.#control?.readable && reads < subscriptionsPerPollMax; reads += 1) {
      const topic = receivedHeads(this.#control.receive())?.[0]?.toString('latin1')
      if (topic === this.#owner.origin + byeSuffix) this.#isByeAnswered = true
    }
    const nowMs = performance.now()
    if (this.#isByeAnswered || this.state !== 'connected' || !this.#subscriptions.isReady(nowMs, retrySendMs)) return
    if (this.#sendWaiting(nowMs, Number.POSITIVE_INFINITY)) this.sayBye()
  }

  /** There is something to say after the final manifest: another one will be needed. */
  takeByeBack(): void {
    this.#isByeSent = false
    this.#isByeAnswered = false
  }

  /** Sends the final manifest, once everything else is sent. False while that cannot be. */
  sayBye(): boolean {
    if (this.state === 'connected' && this.isDrained) {
      this.#isByeSent ||= this.#sendManifest(performance.now(), { isFinal: true, isUrgent: true })
    }
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

function ignore(): void {
  // Told by the promise's state when it mattered; what is left is the rejection nobody else handles.
}

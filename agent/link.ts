/**
 * The way from one agent to one collector: what is sent when, and what follows from what comes back.
 *
 * A frame the socket refuses stays in the ring. Subscriptions, acknowledgements and repair requests are polled.
 */
import { beaconTopic, byeSuffix, type ControlMessage, demandTopic, readControl, readDemand } from '../wire/control.ts'
import type { Ask } from '../wire/demand.ts'
import { agentPollMs, rebuildBackoffMs, retrySendMaxMs, retrySendMs, wantedSettleMs, watchdogSilenceMs } from '../wire/limits.ts'
import type { Topic } from '../wire/topic.ts'
import { DemandLease } from './demand-lease.ts'
import type { LinkHears, LinkNetwork, LinkSockets } from './link-network.ts'
import type { LinkState } from './link-state.ts'
import { ManifestClock } from './manifest-clock.ts'
import type { LinkEndpoints } from './options.ts'
import { Repairs } from './repairs.ts'
import type { RingEntry } from './ring.ts'
import type { AgentRuntime, Pending } from './runtime.ts'
import { SendQueue } from './send-queue.ts'
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
  manifest(link: Link, kind: ManifestKind): [Buffer, Buffer]
  /** Records lost since the agent began. */
  readonly lostRecords: number
  /** What there is to say about them, ready to send. */
  lossNotice(link: Link): [Buffer, Buffer]
}

export interface ManifestKind {
  readonly isFull: boolean
  readonly isFinal: boolean
  readonly isUrgent: boolean
}

const sendsPerPumpMax = 64
/** Between two loss notices. */
const lossNoticeEveryMs = 1_000
const refusedPauseMs = 1

export class Link implements LinkHears {
  readonly bit: number
  readonly index: number
  readonly endpoints: LinkEndpoints
  state: LinkState = 'connecting'
  /** What the collector last asked for; undefined until it has spoken. */
  wanted: readonly string[] | undefined
  /** Whether the last frame was taken. */
  isFlowing = false
  manifestNumber = 0
  /** Loss notices sent, and the loss the last one told of. */
  lossNotices = 0
  #toldRecords = 0
  #toldAtMs = Number.NEGATIVE_INFINITY
  sentFrames = 0
  /** Errors of our own that were caught here instead of in the application. */
  failures = 0
  readonly repairs: Repairs
  readonly #owner: LinkOwner
  readonly #runtime: AgentRuntime
  readonly #sockets: LinkSockets
  readonly #subscriptions = new Subscriptions()
  readonly #demandLease = new DemandLease()
  #mustRebuildQueue = false
  /** What is wanted has settled since the connection began. */
  #hasSettled = false
  readonly #queue = new SendQueue()
  /** The pipe was full at the last try. */
  #isRefused = false
  #refusedAtMs = 0
  #retryTimer: Pending | undefined
  #retryDelayMs = retrySendMs
  readonly #manifests = new ManifestClock()
  #builtAtMs = 0
  #controlHeardAtMs = 0
  #rebuildDelayMs = rebuildBackoffMs.first
  #isByeSent = false
  #isByeAnswered = false

  constructor(
    owner: LinkOwner,
    runtime: AgentRuntime,
    { network, endpoints, index }: { readonly network: LinkNetwork; readonly endpoints: LinkEndpoints; readonly index: number },
  ) {
    this.#owner = owner
    this.#runtime = runtime
    this.#sockets = network.sockets(owner.origin, endpoints, this)
    this.endpoints = endpoints
    this.index = index
    this.bit = 1 << index
    this.repairs = new Repairs(this.bit)
  }

  /** Opens the sockets. Throws what ZeroMQ throws for an address it cannot take. */
  open(nowMs: number): void {
    this.#builtAtMs = nowMs
    this.#sockets.open()
  }

  close(): void {
    this.state = 'closed'
    this.#retryTimer?.cancel()
    this.#sockets.close()
    this.#queue.clear()
    this.repairs.clear()
  }

  /** The run of the collector at its end, or of the last one that was. */
  get lastRun(): string | undefined {
    return this.#subscriptions.lastRun
  }

  get waitingFrames(): number {
    return this.#queue.length
  }

  /** Frames not yet handed to this link. */
  unsent(): Iterable<RingEntry> {
    return this.#queue
  }

  /** Whether the collector has asked for records under this topic. Unknown, so true, until it has spoken. */
  wants(topic: string): boolean {
    return this.wanted === undefined || covers(this.wanted, topic)
  }

  /** What live tails ask for through this collector, as far as that still holds. */
  asks(nowMs: number): readonly Ask[] {
    const { demand } = this.#subscriptions
    demand.tick(nowMs)
    this.#demandLease.tick(nowMs)
    const asks = demand.asks()
    if (asks.length === 0) this.#demandLease.end()
    return this.#demandLease.holding(asks)
  }

  /** A new frame in the ring. */
  offer(entry: RingEntry): void {
    // Without a connection the ring alone remembers; the queue is made from it when one begins.
    if (this.state !== 'connected') return
    this.#queue.push(entry)
    // While frames are refused the pipe is asked every millisecond at most; but soon, because there is more to come.
    if (!this.#isRefused) this.pump()
    else if (this.#runtime.nowMs() - this.#refusedAtMs >= refusedPauseMs) {
      this.#retryDelayMs = retrySendMs
      this.#retryTimer?.cancel()
      this.#retryTimer = undefined
      this.pump()
    }
  }

  /** The regular look at both sockets. */
  poll(nowMs: number): void {
    if (this.state === 'closed') return
    // What has just been read is not handled yet. After a long turn it may be the rest of what is wanted.
    if (!this.#sockets.read()) this.#settle(nowMs)
    if (nowMs - this.#builtAtMs > this.#rebuildDelayMs && this.#isSilent(nowMs)) this.#rebuild(nowMs)
    else if (this.#retryTimer === undefined) this.pump()
  }

  /** Sends what waits until the pipe is full. Bounded work; never waits, never throws. */
  pump(): void {
    this.#guarded(() => {
      const nowMs = this.#runtime.nowMs()
      // Something has come in: it may be the end of the connection. It is known a microtask later; then go on.
      if (this.state !== 'connected' || this.#sockets.read() || !this.#subscriptions.isReady(nowMs, wantedSettleMs)) return
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
    const isManifestFirst = !this.#isRefused || this.#queue.peek() === undefined
    if (isManifestFirst && !this.#sendDueManifest(nowMs)) return this.#retryLater()
    for (let sends = 0; sends < sendsMax; sends += 1) {
      const repair = this.repairs.next(nowMs)
      const entry = repair ?? this.#nextInQueue()
      if (entry === undefined) return this.#sendDueManifest(nowMs) ? this.isDrained : this.#retryLater()
      if (!this.#sendEntry(entry, nowMs)) return this.#retryLater()
      if (repair !== undefined) this.repairs.sent(repair)
      else this.#queue.shift()
      // Behind a full pipe every look begins with a refusal; this is the place where there was room.
      if (!this.#sendDueManifest(nowMs)) return this.#retryLater()
    }
    return this.#retryLater()
  }

  /** Whether everything this link owes has been handed to the socket. */
  get isDrained(): boolean {
    return !this.#mustRebuildQueue && this.#queue.peek() === undefined && this.repairs.isEmpty
  }

  #nextInQueue(): RingEntry | undefined {
    for (;;) {
      const entry = this.#queue.peek()
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
    if (!this.#sockets.isOpen) return false
    const isTaken = this.#sockets.send(topic, frame)
    this.isFlowing = isTaken
    this.#isRefused = !isTaken
    if (isTaken) this.#retryDelayMs = retrySendMs
    else this.#refusedAtMs = this.#runtime.nowMs()
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
    this.#tellLoss(nowMs)
    return true
  }

  /** Loss is told as soon as there is somebody to tell. A notice that is refused is made anew with the next manifest. */
  #tellLoss(nowMs: number): void {
    const { lostRecords } = this.#owner
    if (lostRecords === this.#toldRecords || nowMs - this.#toldAtMs < lossNoticeEveryMs) return
    const [topic, frame] = this.#owner.lossNotice(this)
    if (!this.#send(topic, frame)) return
    this.lossNotices += 1
    this.#toldRecords = lostRecords
    this.#toldAtMs = nowMs
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
    this.#retryTimer = this.#runtime.after(delayMs, () => {
      this.#retryTimer = undefined
      this.pump()
    })
    return false
  }

  subscription(parts: readonly Buffer[]): void {
    if (this.state !== 'closed') this.#guarded(() => this.#subscription(parts))
  }

  controlled(parts: readonly Buffer[]): void {
    if (this.state !== 'closed') this.#guarded(() => this.#controlled(parts))
  }

  allRead(): void {
    if (this.state === 'closed') return
    this.#settle(this.#runtime.nowMs())
    // What is left to read waits for the next look, so that a flood of messages is no endless chain of them.
    this.#guarded(() => {
      const nowMs = this.#runtime.nowMs()
      if (this.state === 'connected' && this.#subscriptions.isReady(nowMs, wantedSettleMs)) this.#sendWaiting(nowMs, sendsPerPumpMax)
    })
  }

  /** One subscription (1) or its end (0); anything else a peer sends up is ignored. */
  #subscription(parts: readonly Buffer[]): void {
    const [message] = parts
    if (message === undefined || parts.length !== 1 || message.length === 0) return
    const prefix = message.toString('latin1', 1)
    if (message[0] === 1) this.#subscribed(prefix)
    else if (message[0] === 0) this.#unsubscribed(prefix)
  }

  #subscribed(prefix: string): void {
    const nowMs = this.#runtime.nowMs()
    if (this.state !== 'connected') {
      this.state = 'connected'
      this.#controlHeardAtMs = nowMs
      this.#begin()
    }
    // A collector replaced between two looks shows only in the name of its run.
    if (this.#subscriptions.add(prefix, nowMs)) this.#begin()
  }

  #unsubscribed(prefix: string): void {
    this.#subscriptions.remove(prefix, this.#runtime.nowMs())
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
    this.#hasSettled = false
    // A goodbye without an answer went to somebody who is gone.
    this.#isByeSent = false
    this.#demandLease.end()
    this.#manifests.begin()
    this.#rebuildDelayMs = rebuildBackoffMs.first
  }

  #settle(nowMs: number): void {
    const wanted = this.state === 'connected' ? this.#subscriptions.settled(nowMs) : undefined
    if (wanted === undefined) return
    // What a collector itself wants stays the same; another one may want less, and the first one come back.
    const isLess = this.#hasSettled && this.wanted?.some((prefix) => !covers(wanted, prefix)) === true
    this.#hasSettled = true
    this.wanted = wanted
    this.#owner.wantedChanged()
    if (isLess) this.#forgetUnwanted(wanted)
  }

  /** What was sent when a live tail had just left reached nobody, and nobody will acknowledge it. */
  #forgetUnwanted(wanted: readonly string[]): void {
    for (const entry of this.#owner.owed(this)) {
      const isSent = (entry.sent & this.bit) !== 0
      if (isSent && !covers(wanted, (entry.owner as AgentStream).topic)) this.#owner.unwanted(this, entry)
    }
  }

  #rebuildQueue(): void {
    this.#mustRebuildQueue = false
    this.repairs.clear()
    this.#queue.refill(this.#owner.owed(this))
  }

  #controlled(parts: readonly Buffer[]): void {
    const [topic, body] = parts
    if (topic === undefined || body === undefined) return
    const nowMs = this.#runtime.nowMs()
    this.#controlHeardAtMs = nowMs
    const name = topic.toString('latin1')
    if (name === beaconTopic) return
    if (name === demandTopic) return this.#demanded(body)
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

  #demanded(body: Buffer): void {
    const notice = readDemand(body)
    const { run } = this.#subscriptions
    if (notice !== undefined && (run === undefined || notice.run === run)) this.#demandLease.heard(notice)
  }

  #isSilent(nowMs: number): boolean {
    if (this.state === 'connected') return this.#controlHeardAtMs !== 0 && nowMs - this.#controlHeardAtMs > watchdogSilenceMs
    return true
  }

  /** ZeroMQ gives up some connections for good and says nothing; only a new socket helps. */
  #rebuild(nowMs: number): void {
    this.#sockets.close()
    this.#subscriptions.clear()
    if (this.state === 'connected') this.#lost()
    this.#rebuildDelayMs = Math.min(this.#rebuildDelayMs * 2, rebuildBackoffMs.max)
    try {
      this.open(nowMs)
    } catch {
      // Out of file descriptors, say: the next turn of the watchdog tries again.
      this.#sockets.close()
    }
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
    return this.#isByeAnswered || !this.#sockets.isOpen
  }

  #exitStep(): void {
    this.repairs.spendFreely()
    const { subscriptions, controls } = this.#sockets.readHeads()
    for (const parts of subscriptions) this.#subscription(parts)
    for (const [topic] of controls) if (topic?.toString('latin1') === this.#owner.origin + byeSuffix) this.#isByeAnswered = true
    const nowMs = this.#runtime.nowMs()
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
      this.#isByeSent ||= this.#sendManifest(this.#runtime.nowMs(), { isFinal: true, isUrgent: true })
    }
    return this.#isByeSent
  }

  get isByeAnswered(): boolean {
    return this.#isByeAnswered
  }
}

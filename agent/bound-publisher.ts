/**
 * An application that live tails connect to directly, without a collector. Lossy: a tail that does not keep up misses
 * frames and counts them by their numbers, and by the manifests that follow; nobody else notices. Nothing is kept for
 * anybody here, nothing is acknowledged or sent again.
 */
import type { Ask } from '../wire/demand.ts'
import type { Endpoint } from '../wire/endpoint.ts'
import { bindRetryMs } from '../wire/limits.ts'
import { ManifestClock } from './manifest-clock.ts'
import type { ManifestLink } from './origin-manifest.ts'
import type { AgentRuntime, Pending } from './runtime.ts'
import { Subscriptions } from './subscriptions.ts'
import type { TailSocket } from './tail-socket.ts'

/** What it needs from its agent. */
export interface PublisherOwner {
  wantedChanged(): void
  /** A manifest for live tails, ready to send. */
  tailManifest(link: ManifestLink, isFull: boolean, isFinal: boolean): [Buffer, Buffer]
}

export interface BindStats {
  readonly endpoint: string
  readonly state: 'opening' | 'listening' | 'failed' | 'closed'
  /** Why it could not be bound; it is tried again. */
  readonly error: string | undefined
}

/** Of five milliseconds each: what tails that keep up take to be sent the rest. */
const exitSteps = 4
const closePauseMs = 20

export class BoundPublisher implements ManifestLink {
  readonly index = undefined
  manifestNumber = 0
  readonly repairs: ManifestLink['repairs'] = { gone: [] }
  readonly #owner: PublisherOwner
  readonly #runtime: AgentRuntime
  readonly #endpoint: Endpoint
  readonly #socket: TailSocket
  readonly #subscriptions = new Subscriptions()
  readonly #manifests = new ManifestClock()
  #state: BindStats['state'] = 'opening'
  #error: string | undefined
  #retry: Pending | undefined
  #exitSteps = 0

  constructor(owner: PublisherOwner, runtime: AgentRuntime, endpoint: Endpoint) {
    this.#owner = owner
    this.#runtime = runtime
    this.#endpoint = endpoint
    this.#socket = runtime.tailSocket(endpoint)
    this.#open()
  }

  #open(): void {
    this.#socket.open().then(
      () => {
        if (this.#state !== 'closed') this.#state = 'listening'
        this.#error = undefined
      },
      (error: unknown) => this.#failed(error),
    )
  }

  /** The last process of the application may still be there; so it is tried again. Said once. */
  #failed(error: unknown): void {
    if (this.#state === 'closed') return
    const message = error instanceof Error ? error.message : String(error)
    if (this.#error !== message) this.#runtime.say(`spillway: ${message}; trying again every ${bindRetryMs / 1_000} s\n`)
    this.#state = 'failed'
    this.#error = message
    this.#retry = this.#runtime.after(bindRetryMs, () => this.#open())
  }

  /** Whether some tail asks for a topic. */
  wants(topic: string): boolean {
    return this.#subscriptions.covers(topic)
  }

  /** Sends a frame to whoever asks for its topic. Its memory may stay with ZeroMQ for as long as a tail is slow. */
  publish(topic: Buffer, frame: Buffer): void {
    this.#send(topic, frame)
    this.#manifests.frameSent(this.#runtime.nowMs())
  }

  #send(topic: Buffer, frame: Buffer): void {
    this.#socket.send(topic, frame)
  }

  /** The regular look: who has come or gone, and whether tails are to be told how far the numbers have come. */
  poll(nowMs: number): void {
    this.#socket.read((message) => this.#heard(message))
    if (!this.#subscriptions.isEmpty && this.#manifests.isDue(nowMs)) this.#sendManifest(nowMs, false)
  }

  #heard(message: Buffer): void {
    if (message.length === 0 || this.#state === 'closed') return
    const nowMs = this.#runtime.nowMs()
    const prefix = message.toString('latin1', 1)
    if (message[0] === 1) this.#subscriptions.add(prefix, nowMs)
    else if (message[0] === 0) this.#subscriptions.remove(prefix, nowMs)
    this.#owner.wantedChanged()
  }

  #sendManifest(nowMs: number, isFinal: boolean): void {
    const isFull = isFinal || this.#manifests.isFullDue(nowMs)
    this.#send(...this.#owner.tailManifest(this, isFull, isFinal))
    this.#manifests.manifestSent(nowMs, isFull)
    this.manifestNumber += 1
  }

  get manifestEveryMs(): number {
    return this.#manifests.everyMs
  }

  /** Everything is handed over when it is numbered. */
  unsent(): [] {
    return []
  }

  /** What live tails ask for, as far as they are there. */
  asks(nowMs: number): readonly Ask[] {
    const { demand } = this.#subscriptions
    demand.tick(nowMs)
    return demand.asks()
  }

  /** A step of the process's end: true when tails that are there have had a moment to be sent the rest. */
  exitStep(): boolean {
    if (this.#subscriptions.isEmpty || this.#state !== 'listening') return true
    if (this.#exitSteps === 0) this.#sendManifest(this.#runtime.nowMs(), true)
    this.#exitSteps += 1
    return this.#exitSteps > exitSteps
  }

  /** Says goodbye to tails, gives ZeroMQ a moment, and closes. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    if (!this.#subscriptions.isEmpty) {
      this.#sendManifest(this.#runtime.nowMs(), true)
      await this.#runtime.pause(closePauseMs)
    }
    this.#state = 'closed'
    this.#retry?.cancel()
    this.#socket.close()
  }

  stats(): BindStats {
    return { endpoint: this.#endpoint, state: this.#state, error: this.#error }
  }
}

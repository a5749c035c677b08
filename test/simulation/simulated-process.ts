/** A process with an agent in it, in virtual time: it can be stopped for a while, killed, or at its end. */
import type { Leaving } from '../../agent/exit.ts'
import type { InstrumentMaker } from '../../agent/metrics/instrument-maker.ts'
import type { LinkEndpoints } from '../../agent/options.ts'
import { Ring } from '../../agent/ring.ts'
import type { AgentRuntime, Pending } from '../../agent/runtime.ts'
import type { ManifestWho } from '../../wire/manifest.ts'
import type { Random } from './random.ts'
import type { SimulatedNetwork } from './simulated-network.ts'
import { SimulatedSockets } from './simulated-sockets.ts'
import type { VirtualTime } from './virtual-time.ts'

const originCharacters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const wallClockAtStartMs = 1_700_000_000_000

export class SimulatedProcess implements AgentRuntime {
  readonly ring = new Ring(0)
  readonly sockets: SimulatedSockets[] = []
  /** What is at the process's end, while the process is. */
  leaving: Leaving | undefined
  said = 0
  readonly #time: VirtualTime
  readonly #random: Random
  readonly #network: SimulatedNetwork
  /** running: callbacks come; leaving: only its end is still run, synchronously; gone: nothing is. */
  #state: 'running' | 'leaving' | 'gone' = 'running'
  #stoppedUntilMs = 0

  constructor(time: VirtualTime, network: SimulatedNetwork, random: Random) {
    this.#time = time
    this.#network = network
    this.#random = random
  }

  /** SIGSTOP and, later, SIGCONT. */
  stopFor(ms: number): void {
    this.#stoppedUntilMs = this.#time.nowMs + ms
  }

  leave(): void {
    this.#state = 'leaving'
  }

  /** Nothing of it runs any more; its connections end as the system ends them. */
  end(): void {
    this.#state = 'gone'
    for (const sockets of this.sockets) sockets.close()
  }

  /** Something the program itself does, when it can. */
  run(callback: () => void): void {
    if (this.#state !== 'running') return
    if (this.#time.nowMs < this.#stoppedUntilMs) this.after(0, callback)
    else callback()
  }

  nowMs(): number {
    return this.#time.nowMs
  }

  wallClockMs(): number {
    return wallClockAtStartMs + Math.trunc(this.#time.nowMs)
  }

  newOrigin(): string {
    return Array.from({ length: 16 }, () => originCharacters[this.#random.below(originCharacters.length)]).join('')
  }

  who(service: string): ManifestWho {
    return { service, host: 'simulated', pid: 1, node: 'v0', version: '0' }
  }

  tailSocket(): never {
    throw new Error('applications that bind are not simulated')
  }

  network(): {
    sockets(origin: string, endpoints: LinkEndpoints, hears: ConstructorParameters<typeof SimulatedSockets>[4]): SimulatedSockets
  } {
    return {
      sockets: (origin, endpoints, hears) => {
        const sockets = new SimulatedSockets(this.#time, this.#network, origin, endpoints, hears)
        this.sockets.push(sockets)
        return sockets
      },
    }
  }

  after(ms: number, callback: () => void): Pending {
    let pending = this.#time.after(ms, () => {
      if (this.#state !== 'running') return
      const stoppedMs = this.#stoppedUntilMs - this.#time.nowMs
      if (stoppedMs > 0) pending = this.after(stoppedMs, callback)
      else callback()
    })
    return { cancel: () => pending.cancel() }
  }

  every(ms: number, callback: () => void): Pending {
    let pending: Pending
    const again = () => {
      pending = this.after(ms, again)
      callback()
    }
    pending = this.after(ms, again)
    return { cancel: () => pending.cancel() }
  }

  atTurnEnd(callback: () => void): Pending {
    return this.after(0, callback)
  }

  afterThisTurn(callback: () => void): Pending {
    return this.after(0, callback)
  }

  async pause(ms: number): Promise<void> {
    await this.#time.pause(ms)
    while (this.#state === 'running' && this.#time.nowMs < this.#stoppedUntilMs) {
      await this.#time.pause(this.#stoppedUntilMs - this.#time.nowMs)
    }
    // A process that is gone waits for ever.
    if (this.#state !== 'running') await new Promise(() => undefined)
  }

  /** A simulated process has no event loop of its own to measure. */
  measureItself(_metrics: InstrumentMaker): Pending {
    return { cancel: () => undefined }
  }

  say(): void {
    this.said += 1
  }

  stayUntilExit(agent: Leaving): void {
    this.leaving = agent
  }

  leaveAtExit(): void {
    this.leaving = undefined
  }

  leaveLate(): void {
    throw new Error('nothing is logged behind the end here')
  }
}

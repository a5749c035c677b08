/** The world of a real agent: this process, its clocks and timers, and ZeroMQ. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { version } from '../wire/version.ts'
import { isEnding, leaveAtExit, leaveLate, stayUntilExit } from './exit.ts'
import { ZeroMqNetwork } from './link-sockets.ts'
import { measureProcess } from './metrics/process-metrics.ts'
import { processRing } from './ring.ts'
import type { AgentRuntime, Pending } from './runtime.ts'
import { ZeroMqTailSocket } from './tail-socket.ts'
import { sayOnStderr } from './unblocked-output.ts'

/** The latest moment a `Date` can say; a frame's time goes a little further. */
const latestMs = 8_640_000_000_000_000

// Clocks are looked up at each call: an application, or its tests, may replace them at any time.
export const processRuntime: AgentRuntime = {
  ring: processRing,
  nowMs: () => performance.now(),
  wallClockMs: () => {
    const ms = Math.trunc(Date.now())
    return ms >= 0 && ms <= latestMs ? ms : 0
  },
  newOrigin: () => randomBytes(12).toString('base64url'),
  who: (service) => ({ service, host: hostname(), pid: process.pid, node: process.version, version }),
  network: () => new ZeroMqNetwork(),
  tailSocket: (endpoint) => new ZeroMqTailSocket(endpoint),
  after: (ms, callback) => new PendingTimer(setTimeout(callback, ms).unref()),
  every: (ms, callback) => new PendingTimer(setInterval(callback, ms).unref()),
  atTurnEnd: (callback) => new PendingTurnEnd(isEnding() ? setImmediate(callback).unref() : setImmediate(callback)),
  afterThisTurn: (callback) => new PendingTurnEnd(setImmediate(callback).unref()),
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  measureItself: measureProcess,
  say: sayOnStderr,
  stayUntilExit,
  leaveAtExit,
  leaveLate,
}

class PendingTimer implements Pending {
  readonly #timer: NodeJS.Timeout

  constructor(timer: NodeJS.Timeout) {
    this.#timer = timer
  }

  cancel(): void {
    clearTimeout(this.#timer)
  }
}

class PendingTurnEnd implements Pending {
  readonly #immediate: NodeJS.Immediate

  constructor(immediate: NodeJS.Immediate) {
    this.#immediate = immediate
  }

  cancel(): void {
    clearImmediate(this.#immediate)
  }
}

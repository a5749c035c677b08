/**
 * A TCP proxy that does to connections what networks do, and counts what it did.
 *
 *   application ──up──►  proxy  ──up──►  collector
 *               ◄─down──        ◄─down──
 *
 * Each direction has its own weather, which may change at any time. Bytes are never lost or changed inside a connection,
 * because TCP does not lose them either: a blackhole holds them back, as packets that have to be sent again are held
 * back, and what does not fit into the proxy waits with the sender. A connection that is reset loses what was on its way.
 *
 * Jitter and the sizes of slices come from the seed. When bytes arrive, and in what pieces, is up to the system.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { SeededRandom } from './seeded-random.ts'

/** `up`: from the one who dialled to the target. */
type Direction = 'up' | 'down'

export interface Weather {
  readonly delayMs: number
  /** Up to this much more than the delay; the order of bytes stays. */
  readonly jitterMs: number
  /** Of all connections together. */
  readonly bytesPerSecond: number
  /** Nothing gets through, an end or a reset of a connection neither. */
  readonly isBlackhole: boolean
  /** Longest write. Each is a piece of 1 to so many bytes, sent by itself. */
  readonly sliceBytes: number
  /** A connection is reset when exactly so many bytes of its life have gone this way. */
  readonly cutAfterBytes: number
}

export const calm: Weather = {
  delayMs: 0,
  jitterMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  isBlackhole: false,
  sliceBytes: Number.POSITIVE_INFINITY,
  cutAfterBytes: Number.POSITIVE_INFINITY,
}

interface DirectionCounters {
  /** Passed on. */
  bytes: number
  writes: number
  /** Writes that were pieces of what had come. */
  slices: number
  /** Chunks that waited for their delay. */
  delayed: number
  /** Times the rate was used up. */
  throttled: number
  /** Bytes a blackhole held back, or still does. */
  blackholed: number
}

interface ChaosCounters {
  connections: number
  /** Connections reset by {@link ChaosProxy.reset} and {@link ChaosProxy.moveTo}. */
  resets: number
  /** Connections reset by {@link Weather.cutAfterBytes}. */
  cuts: number
  halfCloses: number
  readonly up: DirectionCounters
  readonly down: DirectionCounters
}

export interface ChaosProxy extends AsyncDisposable {
  readonly port: number
  readonly counters: ChaosCounters
  /** Connections there are now. */
  readonly openConnections: number
  /** Changes the weather of one direction or both, for the connections there are too. */
  set(direction: Direction | 'both', weather: Partial<Weather>): void
  /** Resets every connection (RST) and returns how many there were. */
  reset(): number
  /** Ends one direction of every connection; the other goes on. */
  halfClose(direction: Direction): void
  /** Sends further connections elsewhere and resets those there are. */
  moveTo(port: number): void
}

/** What the proxy itself holds per direction of a connection, so that pressure reaches the sender. */
const heldBytesMax = 1_048_576
/** The longest the rate may be saved up: a burst after a pause is as long as this. */
const rateSavedMs = 50
const rateLookMs = 5
/** Between the last bytes before a cut and the cut, which would overtake them. */
const beforeCutMs = 20

export async function startChaosProxy(options: { readonly target: number; readonly seed?: number }): Promise<ChaosProxy> {
  const random = new SeededRandom(options.seed ?? 1)
  const lanes = { up: new Lane(), down: new Lane() }
  const connections = new Set<Connection>()
  const counters: ChaosCounters = {
    connections: 0,
    resets: 0,
    cuts: 0,
    halfCloses: 0,
    up: lanes.up.counters,
    down: lanes.down.counters,
  }
  let target = options.target
  const server = createServer({ allowHalfOpen: true }, (near) => {
    counters.connections += 1
    const connection = new Connection(near, connect({ port: target, host: '127.0.0.1', allowHalfOpen: true }), lanes, random.branch(), {
      cut: () => {
        counters.cuts += 1
      },
      closed: () => connections.delete(connection),
    })
    connections.add(connection)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const reset = () => {
    const count = connections.size
    for (const connection of [...connections]) connection.reset()
    return count
  }
  return {
    port,
    counters,
    get openConnections() {
      return connections.size
    },
    set(direction, weather) {
      for (const name of direction === 'both' ? (['up', 'down'] as const) : [direction]) {
        lanes[name].weather = { ...lanes[name].weather, ...weather }
        for (const connection of connections) connection[name].pump()
      }
    },
    reset() {
      const count = reset()
      counters.resets += count
      return count
    },
    halfClose(direction) {
      for (const connection of connections) if (connection[direction].end()) counters.halfCloses += 1
    },
    moveTo(newTarget) {
      target = newTarget
      counters.resets += reset()
    },
    async [Symbol.asyncDispose]() {
      reset()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** One direction of all connections: its weather, its rate and what was counted. */
class Lane {
  weather: Weather = calm
  readonly counters: DirectionCounters = { bytes: 0, writes: 0, slices: 0, delayed: 0, throttled: 0, blackholed: 0 }
  #savedBytes = 0
  #savedAtMs = 0

  /** Bytes that may go now, of `wanted`; they count as gone. */
  takeRate(wanted: number): number {
    const { bytesPerSecond } = this.weather
    if (bytesPerSecond === Number.POSITIVE_INFINITY) return wanted
    const nowMs = performance.now()
    const savedMax = Math.max(1, (bytesPerSecond * rateSavedMs) / 1_000)
    this.#savedBytes = Math.min(savedMax, this.#savedBytes + ((nowMs - this.#savedAtMs) * bytesPerSecond) / 1_000)
    this.#savedAtMs = nowMs
    const taken = Math.min(wanted, Math.floor(this.#savedBytes))
    this.#savedBytes -= taken
    return taken
  }
}

interface ConnectionEvents {
  cut(): void
  closed(): void
}

class Connection {
  readonly up: Pipe
  readonly down: Pipe
  readonly #sockets: readonly Socket[]
  #openSockets = 2

  constructor(
    near: Socket,
    far: Socket,
    lanes: { readonly up: Lane; readonly down: Lane },
    random: SeededRandom,
    events: ConnectionEvents,
  ) {
    this.#sockets = [near, far]
    const cut = () => {
      events.cut()
      this.reset()
    }
    this.up = new Pipe(near, far, lanes.up, random.branch(), cut)
    this.down = new Pipe(far, near, lanes.down, random.branch(), cut)
    for (const socket of this.#sockets) {
      socket.setNoDelay(true)
      socket.on('close', () => {
        this.#openSockets -= 1
        if (this.#openSockets === 0) events.closed()
      })
    }
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
    this.up.forget()
    this.down.forget()
  }
}

/** What ends the bytes of a pipe: the sender has finished, or its end of the connection is gone. */
type PipeEnd = 'none' | 'finished' | 'gone'

/** One direction of one connection. */
class Pipe {
  readonly #from: Socket
  readonly #to: Socket
  readonly #lane: Lane
  readonly #random: SeededRandom
  readonly #cut: () => void
  #queue: { bytes: Buffer; readonly dueAtMs: number; isCounted: boolean }[] = []
  #queuedBytes = 0
  #passedBytes = 0
  #end: PipeEnd = 'none'
  #isEnded = false
  #isPumping = false
  #awaitsDrain = false
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, lane: Lane, random: SeededRandom, cut: () => void) {
    this.#from = from
    this.#to = to
    this.#lane = lane
    this.#random = random
    this.#cut = cut
    from.on('data', (bytes: Buffer) => this.#take(bytes))
    from.on('end', () => this.#endWith('finished'))
    from.on('error', () => this.#endWith('gone'))
    // A target that cannot be reached, or a peer that is killed with something unread.
    from.on('close', (hadError) => this.#endWith(hadError ? 'gone' : 'finished'))
    to.on('drain', () => {
      this.#awaitsDrain = false
      this.pump()
    })
  }

  #take(bytes: Buffer): void {
    const { delayMs, jitterMs } = this.#lane.weather
    const waitMs = delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0)
    const dueAtMs = Math.max(this.#queue.at(-1)?.dueAtMs ?? 0, waitMs > 0 ? performance.now() + waitMs : 0)
    if (waitMs > 0) this.#lane.counters.delayed += 1
    this.#queue.push({ bytes, dueAtMs, isCounted: false })
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes >= heldBytesMax) this.#from.pause()
    this.pump()
  }

  #endWith(end: PipeEnd): void {
    if (this.#end === 'gone' || end === this.#end) return
    this.#end = end
    this.pump()
  }

  /** Ends this direction now, whatever is on its way. False when it has ended already. */
  end(): boolean {
    if (this.#isEnded) return false
    this.#stop()
    this.#to.end()
    return true
  }

  /** What still comes is read and goes nowhere. */
  #stop(): void {
    this.forget()
    this.#isEnded = true
    this.#from.removeAllListeners('data').resume()
  }

  forget(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#queue = []
    this.#queuedBytes = 0
  }

  /** Passes on what may go. */
  pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (this.#step());
    this.#isPumping = false
    if (this.#queuedBytes < heldBytesMax && this.#from.isPaused()) this.#from.resume()
  }

  /** One write, or the end. False when there is something to wait for. */
  #step(): boolean {
    const { weather, counters } = this.#lane
    const [head] = this.#queue
    if (weather.isBlackhole) {
      for (const chunk of this.#queue) {
        if (!chunk.isCounted) counters.blackholed += chunk.bytes.length
        chunk.isCounted = true
      }
      return false
    }
    if (head === undefined) return this.#passEndOn()
    if (this.#to.destroyed) return this.#refuse()
    if (this.#awaitsDrain || !this.#to.writable) return false
    const waitMs = head.dueAtMs - performance.now()
    if (waitMs > 0) return this.#comeBackIn(waitMs)
    const isSliced = weather.sliceBytes < head.bytes.length
    const piece = isSliced ? this.#random.integer(1, weather.sliceBytes) : head.bytes.length
    const wanted = Math.min(piece, weather.cutAfterBytes - this.#passedBytes)
    if (wanted <= 0) return this.#cutSoon()
    const bytes = this.#lane.takeRate(wanted)
    const isThrottled = bytes < wanted
    if (isThrottled) counters.throttled += 1
    if (bytes === 0) return this.#comeBackIn(Math.max(rateLookMs, 1_000 / weather.bytesPerSecond))
    this.#write(head.bytes.subarray(0, bytes))
    if (bytes === head.bytes.length) this.#queue.shift()
    else {
      counters.slices += 1
      head.bytes = head.bytes.subarray(bytes)
    }
    if (this.#passedBytes >= weather.cutAfterBytes) return this.#cutSoon()
    if (isThrottled) return this.#comeBackIn(rateLookMs)
    // A write of its own is a segment of its own only when the system has had time to send the one before.
    return isSliced ? this.#comeBackIn(0) : true
  }

  #write(bytes: Buffer): void {
    const { counters } = this.#lane
    this.#queuedBytes -= bytes.length
    this.#passedBytes += bytes.length
    counters.bytes += bytes.length
    counters.writes += 1
    this.#awaitsDrain = !this.#to.write(bytes)
  }

  #passEndOn(): false {
    if (this.#end === 'gone') this.#to.resetAndDestroy()
    else if (this.#end === 'finished' && !this.#isEnded) this.#to.end()
    this.#isEnded ||= this.#end !== 'none'
    return false
  }

  #cutSoon(): false {
    this.#stop()
    setTimeout(this.#cut, beforeCutMs)
    return false
  }

  /** Nobody is there any more to whom these bytes could go; a system answers them with a reset. */
  #refuse(): false {
    this.forget()
    this.#from.resetAndDestroy()
    return false
  }

  #comeBackIn(ms: number): false {
    this.#timer = setTimeout(() => this.pump(), ms)
    return false
  }
}

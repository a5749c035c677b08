/**
 * Brings lines to one server, in batches, from a queue that is bounded in lines and bytes:
 *
 *   offer ─► queue ─► batch ─► request ─┬─ written ──────────────► done
 *                       ▲               ├─ too large, bad lines ─► in halves, down to the line, which is rejected
 *                       └───── wait ◄───┴─ unavailable, refused
 *
 * A batch is sent until it is written or the writer is closed; batches are the same lines each time. While a request
 * fails, no further one is begun: those that were ask whether the server is back.
 */
import { Fifo } from '../../../wire/fifo.ts'
import { formatCount, formatDuration } from '../../../wire/quantity.ts'
import type { WriteOutcome } from './influx-target.ts'
import type { Reject } from './reject-file.ts'
import { retryDelayMs } from './retry-policy.ts'

/** Records that go to the server together and are done together. */
export interface Chunk {
  readonly count: number
  /** About what it takes in memory. */
  readonly bytes: number
  /** Its lines, made when its batch is. */
  lines(): readonly string[]
}

export interface InfluxWriterOptions<T extends Chunk> {
  readonly target: { write(body: string, signal: AbortSignal): Promise<WriteOutcome> }
  /** Says where it writes, for messages. */
  readonly where: string
  /** Requests the target makes at one time; it lets others wait. */
  readonly inFlight: number
  readonly batch: { readonly linesMax: number; readonly bytesMax: number; readonly lingerMs: number }
  readonly queue: { readonly linesMax: number; readonly bytesMax: number }
  /** Everything of a chunk is where it belongs, or rejected. So many lines were made of it, and so many of them rejected. */
  done(chunk: T, lines: number, rejected: number): void
  /** Something was written, or failed. */
  moved(): void
  /** Records that wait to be written, wherever they are; for messages. */
  waiting(): number
  /** Keeps what the server will not have; resolves when it has tried. */
  reject(rejects: readonly Reject[]): Promise<void>
  /** Told once when writing begins to fail and once when it works again. */
  onTrouble(message: string): void
  /** From 0 to 1. */
  random(): number
}

export interface InfluxWriterStatus {
  /** Requests that were answered with success, … */
  readonly requests: number
  /** … the bytes of lines in them, … */
  readonly bytesWritten: number
  /** … and requests that failed and were, or will be, made again. */
  readonly retries: number
  /** Lines. */
  readonly rejected: number
  /** The last failure, also when all is well again; times are Unix ms. */
  readonly lastError: { readonly message: string; readonly atMs: number } | undefined
  readonly lastSuccessAtMs: number | undefined
  /** Why it does not write now. */
  readonly error: string | undefined
}

interface Batch<T> {
  readonly chunks: { readonly chunk: T; readonly from: number; rejected: number }[]
  readonly lines: string[]
}

interface Trouble {
  readonly sinceMs: number
  message: string
  failures: number
  isRefusalTold: boolean
}

export class InfluxWriter<T extends Chunk> {
  readonly #options: InfluxWriterOptions<T>
  readonly #queue = new Fifo<T>()
  #queueLines = 0
  #queueBytes = 0
  readonly #sending = new Set<Batch<T>>()
  #sendingBytes = 0
  #sendingLines = 0
  #trouble: Trouble | undefined
  #lingerTimer: NodeJS.Timeout | undefined
  /** What waits is sent, however little it is. */
  #isHurried = false
  readonly #stop = new AbortController()
  /** Ends the waits between two attempts. */
  readonly #waits = new Set<() => void>()
  /** Waits until nothing is being sent, or it fails. */
  #idle: { readonly promise: Promise<void>; resolve(): void } | undefined
  #requests = 0
  #bytesWritten = 0
  #retries = 0
  #rejected = 0
  #lastError: InfluxWriterStatus['lastError']
  #lastSuccessAtMs: number | undefined
  #isClosed = false

  constructor(options: InfluxWriterOptions<T>) {
    this.#options = options
  }

  get isFull(): boolean {
    const { linesMax, bytesMax } = this.#options.queue
    return this.#queueLines + this.#sendingLines >= linesMax || this.#queueBytes + this.#sendingBytes >= bytesMax
  }

  get pendingBytes(): number {
    return this.#queueBytes + this.#sendingBytes
  }

  get isFailing(): boolean {
    return this.#trouble !== undefined
  }

  /** What is being sent, and the oldest of what waits behind it. */
  *pending(): Generator<T> {
    yield* this.#batched()
    const next = this.#queue.peek()
    if (next !== undefined) yield next
  }

  *all(): Generator<T> {
    yield* this.#batched()
    yield* this.#queue
  }

  *#batched(): Generator<T> {
    for (const { chunks } of this.#sending) for (const { chunk } of chunks) yield chunk
  }

  status(): InfluxWriterStatus {
    return {
      requests: this.#requests,
      bytesWritten: this.#bytesWritten,
      retries: this.#retries,
      rejected: this.#rejected,
      lastError: this.#lastError,
      lastSuccessAtMs: this.#lastSuccessAtMs,
      error: this.#trouble?.message,
    }
  }

  /** Takes a chunk. Never waits, and never refuses: {@link isFull} says when it should not be asked to. */
  offer(chunk: T): void {
    this.#queue.push(chunk)
    this.#queueLines += chunk.count
    this.#queueBytes += chunk.bytes
    this.#pump()
  }

  /** Asks again now, whatever it is waiting for. */
  retryNow(): void {
    for (const end of this.#waits) end()
  }

  /** Sends what it holds. Resolves when that is done, or has failed. */
  async flush(): Promise<void> {
    this.#isHurried = true
    this.#pump()
    if (this.#sending.size === 0 || this.#trouble !== undefined) return
    this.#idle ??= newIdle()
    await this.#idle.promise
  }

  /** Tries to write what it holds, at most `deadlineMs`; what is left is nowhere but where it came from. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#isClosed) return
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([this.flush(), deadline])
    clearTimeout(timer)
    this.#isClosed = true
    clearTimeout(this.#lingerTimer)
    this.#stop.abort()
    this.retryNow()
  }

  // ── batches ──

  #pump(): void {
    while (this.#canSend) {
      const batch = this.#nextBatch()
      if (batch === undefined) break
      this.#sending.add(batch)
      void this.#run(batch)
    }
    if (this.#queue.length === 0) this.#isHurried = false
    if (this.#sending.size === 0) this.#tellIdle()
  }

  /**
   * One more than there are requests at one time: it is compressed, and waits for a connection, while the server is at
   * work on those before. While a request fails, no other is begun.
   */
  get #canSend(): boolean {
    if (this.#isClosed || this.#sending.size > this.#options.inFlight) return false
    return this.#trouble === undefined || this.#sending.size === 0
  }

  /** Of what waits, when that is enough or has waited long enough. */
  #nextBatch(): Batch<T> | undefined {
    const { batch } = this.#options
    if (this.#queue.length === 0) return undefined
    const isEnough = this.#queueLines >= batch.linesMax || this.#queueBytes >= batch.bytesMax
    if (!isEnough && !this.#isHurried) {
      this.#lingerTimer ??= setTimeout(() => this.#hurry(), batch.lingerMs)
      return undefined
    }
    clearTimeout(this.#lingerTimer)
    this.#lingerTimer = undefined
    return this.#takeBatch()
  }

  #tellIdle(): void {
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #hurry(): void {
    this.#lingerTimer = undefined
    this.#isHurried = true
    this.#pump()
  }

  #takeBatch(): Batch<T> {
    const { linesMax, bytesMax } = this.#options.batch
    const batch: Batch<T> = { chunks: [], lines: [] }
    let bytes = 0
    for (let chunk = this.#queue.peek(); chunk !== undefined; chunk = this.#queue.peek()) {
      if (batch.chunks.length > 0 && (batch.lines.length + chunk.count > linesMax || bytes >= bytesMax)) break
      this.#queue.shift()
      this.#queueLines -= chunk.count
      this.#queueBytes -= chunk.bytes
      this.#sendingLines += chunk.count
      this.#sendingBytes += chunk.bytes
      batch.chunks.push({ chunk, from: batch.lines.length, rejected: 0 })
      for (const line of chunk.lines()) {
        batch.lines.push(line)
        bytes += line.length + 1
      }
    }
    return batch
  }

  /** Brings one batch to its end. Never rejects. */
  async #run(batch: Batch<T>): Promise<void> {
    const isDone = await this.#deliver(batch, 0, batch.lines.length)
    // What was not delivered when the writer was closed is not done; it comes again.
    if (!isDone) return
    this.#sending.delete(batch)
    for (const [i, { chunk, from, rejected }] of batch.chunks.entries()) {
      this.#sendingLines -= chunk.count
      this.#sendingBytes -= chunk.bytes
      this.#options.done(chunk, (batch.chunks[i + 1]?.from ?? batch.lines.length) - from, rejected)
    }
    this.#pump()
    this.#options.moved()
  }

  /** Sends lines until they are written or rejected. False when the writer was closed before that. */
  async #deliver(batch: Batch<T>, from: number, to: number): Promise<boolean> {
    if (from === to) return true
    const body = (from === 0 && to === batch.lines.length ? batch.lines : batch.lines.slice(from, to)).join('\n')
    for (;;) {
      const outcome = this.#isClosed ? undefined : await this.#options.target.write(body, this.#stop.signal)
      if (outcome === undefined || (this.#isClosed && outcome.kind !== 'written')) return false
      switch (outcome.kind) {
        case 'written':
          this.#succeeded(body.length)
          return true
        case 'tooLarge':
        case 'badLines': {
          // The server is there and works.
          this.#answered()
          const areAllBad = outcome.kind === 'badLines' && outcome.dropped === to - from
          if (to - from > 1 && !areAllBad) {
            const middle = from + Math.floor((to - from) / 2)
            return (await this.#deliver(batch, from, middle)) && (await this.#deliver(batch, middle, to))
          }
          await this.#reject(batch, from, to, outcome.message)
          return true
        }
        case 'unavailable':
        case 'refused':
          this.#retries += 1
          await this.#failed(outcome)
      }
    }
  }

  async #reject(batch: Batch<T>, from: number, to: number, reason: string): Promise<void> {
    await this.#options.reject(batch.lines.slice(from, to).map((line) => ({ line, reason })))
    this.#rejected += to - from
    this.#lastError = { message: reason, atMs: Date.now() }
    let at = from
    for (const [i, part] of batch.chunks.entries()) {
      const end = batch.chunks[i + 1]?.from ?? batch.lines.length
      const until = Math.min(to, end)
      if (at < part.from || until <= at) continue
      part.rejected += until - at
      at = until
    }
  }

  #succeeded(bytes: number): void {
    this.#requests += 1
    this.#bytesWritten += bytes
    this.#lastSuccessAtMs = Date.now()
    this.#answered()
  }

  #answered(): void {
    const trouble = this.#trouble
    if (trouble === undefined) return
    this.#trouble = undefined
    const { where, onTrouble, waiting } = this.#options
    const lasted = formatDuration(performance.now() - trouble.sinceMs)
    const times = trouble.failures === 1 ? 'one request' : `${formatCount(trouble.failures)} requests`
    onTrouble(`writing to ${where} again after ${lasted}, in which ${times} failed; ${formatCount(waiting())} records waited`)
    this.#pump()
    this.#options.moved()
  }

  /** Tells of it and waits until it is time to try again. */
  async #failed(outcome: Extract<WriteOutcome, { kind: 'unavailable' | 'refused' }>): Promise<void> {
    const { where, onTrouble, random } = this.#options
    const { message } = outcome
    this.#lastError = { message, atMs: Date.now() }
    this.#trouble ??= { sinceMs: performance.now(), message, failures: 0, isRefusalTold: false }
    const trouble = this.#trouble
    trouble.message = message
    trouble.failures += 1
    if (outcome.kind === 'refused') {
      if (!trouble.isRefusalTold) {
        onTrouble(`${where} refuses what it is sent: ${message}. Somebody has to look at it; it keeps asking, the spool holds what comes`)
      }
      trouble.isRefusalTold = true
    } else if (trouble.failures === 1) onTrouble(`${where}: ${message}; it keeps trying, the spool holds what comes`)
    this.#tellIdle()
    this.#options.moved()
    await this.#wait(retryDelayMs(trouble.failures, random(), outcome.kind === 'unavailable' ? outcome.retryAfterMs : undefined))
  }

  #wait(ms: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#waits.delete(end)
        resolve()
      }
      const timer = setTimeout(end, ms)
      this.#waits.add(end)
    })
  }
}

function newIdle(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

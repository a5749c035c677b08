/** Keeps lines in plain files, byte for byte. Many services at once; a bounded number of open files. */
import { openFilesMax, sinkCrowdedBytes, sinkFlushMs, sinkPendingBytesMax, sinkWriteBytes } from '../../wire/limits.ts'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import { LogFile } from './log-file.ts'
import type { LogPath } from './log-path.ts'
import type { Sink, SinkStatus } from './sink.ts'

const retryFirstMs = 100
const retryMaxMs = 5_000
/** Files written at the same time. Node's pool has four threads; a few more keep them busy. */
const writersMax = 8
/** What one file that cannot be written may hold back, so that it does not use up what the others need. */
const failingPendingBytesMax = sinkPendingBytesMax / 8

export interface FileSinkOptions {
  readonly name: string
  readonly topics: readonly string[]
  readonly patterns: CompiledPatterns
  readonly path: LogPath
  readonly rotateBytes: number
  /** Told once when writing begins to fail and once when all of it works again. */
  readonly onTrouble: (message: string) => void
}

interface Failure {
  readonly message: string
  readonly delayMs: number
  readonly retryAtMs: number
}

export class FileSink implements Sink {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly isKeeping = true
  readonly #options: FileSinkOptions
  readonly #files = new Map<string, LogFile>()
  readonly #dirty = new Set<LogFile>()
  readonly #failing = new Map<LogFile, Failure>()
  /** Flushes that wait for their turn; whatever is appended before it comes is written with it. */
  readonly #queued = new Map<LogFile, Promise<boolean>>()
  readonly #turns: (() => void)[] = []
  readonly #waiting: (() => void)[] = []
  #writers = 0
  #pendingBytes = 0
  #written = 0
  #timer: NodeJS.Timeout | undefined
  #isClosing = false

  constructor(options: FileSinkOptions) {
    this.name = options.name
    this.patterns = options.patterns
    this.#options = options
  }

  isFullFor(topic: Topic): boolean {
    if (this.#pendingBytes >= sinkPendingBytesMax) return true
    if (this.#failing.size === 0) return false
    const file = this.#files.get(this.#options.path.of(topic, Date.now()))
    return file !== undefined && this.#failing.has(file) && file.pendingBytes >= failingPendingBytesMax
  }

  write(topic: Topic, lines: Buffer, count: number): void {
    const file = this.#file(this.#options.path.of(topic, Date.now()))
    file.append(topic, lines, count)
    file.usedAtMs = performance.now()
    this.#pendingBytes += lines.length
    this.#dirty.add(file)
    if (file.pendingBytes >= sinkWriteBytes && !file.isWriting && !this.#failing.has(file)) void this.#flushFile(file)
    else this.#timer ??= setTimeout(() => this.#flushDirty(), sinkFlushMs)
  }

  #file(path: string): LogFile {
    let file = this.#files.get(path)
    if (file === undefined) {
      file = new LogFile(path, this.#options.rotateBytes, (bytes, records) => this.#wrote(bytes, records))
      this.#files.set(path, file)
    }
    return file
  }

  #wrote(bytes: number, records: number): void {
    this.#pendingBytes -= bytes
    this.#written += records
    this.#letOn()
  }

  #letOn(): void {
    if (this.#waiting.length > 0 && this.#crowdingBytes < sinkCrowdedBytes) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  roomier(): Promise<void> | undefined {
    if (this.#crowdingBytes < sinkCrowdedBytes) return undefined
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** What waits to be written, less what cannot be: one bad file would slow down every other for as long as it is bad. */
  get #crowdingBytes(): number {
    let bytes = this.#pendingBytes
    for (const file of this.#failing.keys()) bytes -= file.pendingBytes
    return bytes
  }

  #flushDirty(): void {
    this.#timer = undefined
    for (const file of this.#dirty) void this.#flushFile(file)
  }

  /** Writes one file when its turn comes; true when that went well. Never rejects: trouble is told, and what is pending stays. */
  #flushFile(file: LogFile): Promise<boolean> {
    let flushed = this.#queued.get(file)
    if (flushed === undefined) {
      flushed = this.#flushInTurn(file)
      this.#queued.set(file, flushed)
    }
    return flushed
  }

  async #flushInTurn(file: LogFile): Promise<boolean> {
    if (this.#writers >= writersMax) await new Promise<void>((resolve) => this.#turns.push(resolve))
    else {
      this.#writers += 1
      // So that the caller has put this flush among the queued ones.
      await undefined
    }
    this.#queued.delete(file)
    try {
      return await this.#tryFlush(file)
    } finally {
      const next = this.#turns.shift()
      if (next === undefined) this.#writers -= 1
      else next()
    }
  }

  async #tryFlush(file: LogFile): Promise<boolean> {
    const failure = this.#failing.get(file)
    if (failure !== undefined && performance.now() < failure.retryAtMs && !this.#isClosing) return false
    try {
      if (!file.isOpen) await this.#makeRoom()
      await file.flush()
    } catch (error) {
      this.#failed(file, error instanceof Error ? error.message : String(error), failure)
      return false
    }
    if (this.#failing.delete(file) && this.#failing.size === 0) this.#options.onTrouble(`sink ${this.name}: writing again`)
    if (file.pendingBytes === 0) this.#dirty.delete(file)
    return true
  }

  #failed(file: LogFile, message: string, before: Failure | undefined): void {
    if (this.#failing.size === 0) {
      this.#options.onTrouble(`sink ${this.name}: ${message}; it keeps trying, agents hold what it cannot take`)
    }
    const delayMs = before === undefined ? retryFirstMs : Math.min(2 * before.delayMs, retryMaxMs)
    this.#failing.set(file, { message, delayMs, retryAtMs: performance.now() + delayMs })
    this.#letOn()
  }

  /** Closes the files that took lines least recently, so that with one more per writer no more than allowed are open. */
  async #makeRoom(): Promise<void> {
    const open = [...this.#files.values()].filter((file) => file.isOpen)
    const surplus = open.length - (openFilesMax - writersMax)
    if (surplus <= 0) return
    open.sort((a, b) => a.usedAtMs - b.usedAtMs)
    for (const file of open.filter(({ isWriting }) => !isWriting).slice(0, surplus)) {
      if (file.isWriting) continue
      if (file.isIdle && this.#files.get(file.path) === file) this.#files.delete(file.path)
      await file.close()
    }
  }

  async flush(): Promise<ReadonlySet<Topic>> {
    const stuck = new Set<Topic>()
    await Promise.all(
      [...this.#dirty].map(async (file) => {
        if (!(await this.#flushFile(file))) for (const topic of file.topics) stuck.add(topic)
      }),
    )
    return stuck
  }

  reopen(): void {
    for (const file of this.#files.values()) file.reopen()
  }

  status(): SinkStatus {
    const [failure] = this.#failing.values()
    return {
      type: 'file',
      topics: this.#options.topics,
      written: this.#written,
      dropped: 0,
      pendingBytes: this.#pendingBytes,
      error: failure?.message,
      where: this.#options.path.template,
    }
  }

  async close(deadlineMs: number): Promise<void> {
    clearTimeout(this.#timer)
    this.#isClosing = true
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([this.flush(), deadline])
    clearTimeout(timer)
    for (const file of this.#files.values()) if (!file.isWriting) await file.close()
  }
}

/** Keeps lines in plain files, byte for byte. Many services at once; a bounded number of open files. */
import { setTimeout as sleep } from 'node:timers/promises'
import { openFilesMax, sinkFlushMs, sinkPendingBytesMax, sinkWriteBytes } from '../../wire/limits.ts'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import { LogFile } from './log-file.ts'
import type { LogPath } from './log-path.ts'
import type { Sink, SinkStatus } from './sink.ts'

const retryFirstMs = 100
const retryMaxMs = 5_000
/** Topics whose file is known without working it out again. */
const cachedPathsMax = 10_000

export interface FileSinkOptions {
  readonly name: string
  readonly topics: readonly string[]
  readonly patterns: CompiledPatterns
  readonly path: LogPath
  readonly rotateBytes: number
  /** Told once when writing begins to fail and once when it works again. */
  readonly onTrouble: (message: string) => void
}

export class FileSink implements Sink {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly isKeeping = true
  readonly #options: FileSinkOptions
  readonly #files = new Map<string, LogFile>()
  readonly #dirty = new Set<LogFile>()
  readonly #paths = new Map<Topic, LogFile>()
  #pendingBytes = 0
  #written = 0
  #error: string | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #closing = new AbortController()

  constructor(options: FileSinkOptions) {
    this.name = options.name
    this.patterns = options.patterns
    this.#options = options
  }

  get isFull(): boolean {
    return this.#pendingBytes >= sinkPendingBytesMax
  }

  write(topic: Topic, lines: Buffer, count: number): void {
    const nowMs = Date.now()
    const file = this.#file(topic, nowMs)
    file.append(lines, count)
    file.usedAtMs = nowMs
    this.#pendingBytes += lines.length
    this.#dirty.add(file)
    if (file.pendingBytes >= sinkWriteBytes && this.#error === undefined) void this.#flushFile(file)
    else this.#timer ??= setTimeout(() => this.#flushDirty(), sinkFlushMs)
  }

  #file(topic: Topic, nowMs: number): LogFile {
    const path = this.#options.path.of(topic, nowMs)
    const cached = this.#paths.get(topic)
    if (cached?.path === path) return cached
    let file = this.#files.get(path)
    if (file === undefined) {
      file = new LogFile(path, this.#options.rotateBytes, (bytes, records) => {
        this.#pendingBytes -= bytes
        this.#written += records
      })
      this.#files.set(path, file)
    }
    if (this.#paths.size >= cachedPathsMax) this.#paths.clear()
    this.#paths.set(topic, file)
    return file
  }

  #flushDirty(): void {
    this.#timer = undefined
    for (const file of this.#dirty) void this.#flushFile(file)
  }

  /** Writes one file; true when it had nothing left. Never rejects: trouble is told, and what is pending stays. */
  async #flushFile(file: LogFile): Promise<boolean> {
    try {
      await file.flush()
      if (this.#error !== undefined) this.#options.onTrouble(`sink ${this.name}: writing again`)
      this.#error = undefined
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (this.#error === undefined)
        this.#options.onTrouble(`sink ${this.name}: ${message}; it keeps trying, agents hold what it cannot take`)
      this.#error = message
      return false
    }
    if (file.pendingBytes > 0) return true
    this.#dirty.delete(file)
    await this.#closeSurplus()
    return true
  }

  /** Closes the files that took lines least recently, down to the number that may be open. */
  async #closeSurplus(): Promise<void> {
    const open = [...this.#files.values()].filter((file) => file.isOpen)
    if (open.length <= openFilesMax) return
    open.sort((a, b) => a.usedAtMs - b.usedAtMs)
    for (const file of open.slice(0, open.length - openFilesMax)) {
      if (!file.isIdle) continue
      this.#files.delete(file.path)
      for (const [topic, cached] of this.#paths) if (cached === file) this.#paths.delete(topic)
      await file.close()
    }
  }

  async flush(): Promise<boolean> {
    let delayMs = retryFirstMs
    for (;;) {
      const results = await Promise.all([...this.#dirty].map((file) => this.#flushFile(file)))
      if (results.every(Boolean)) return true
      if (this.#closing.signal.aborted) return false
      await sleep(delayMs, undefined, { signal: this.#closing.signal }).catch(() => undefined)
      delayMs = Math.min(2 * delayMs, retryMaxMs)
    }
  }

  reopen(): void {
    for (const file of this.#files.values()) file.reopen()
  }

  status(): SinkStatus {
    return {
      type: 'file',
      topics: this.#options.topics,
      written: this.#written,
      dropped: 0,
      pendingBytes: this.#pendingBytes,
      error: this.#error,
      where: this.#options.path.template,
    }
  }

  async close(deadlineMs: number): Promise<void> {
    clearTimeout(this.#timer)
    const timer = setTimeout(() => this.#closing.abort(), deadlineMs)
    await this.flush()
    clearTimeout(timer)
    for (const file of this.#files.values()) if (file.isIdle) await file.close()
  }
}

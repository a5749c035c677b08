/**
 * Records to InfluxDB and to servers that speak its line protocol. What a server has not said to have waits in the
 * spool; written again it is the same point, so nothing is there twice.
 */
import { frameKinds } from '../../../wire/frame.ts'
import type { CompiledPatterns } from '../../../wire/pattern.ts'
import type { SinkPlace } from '../../spool/spool-bodies.ts'
import { type Entry, type KeepingSink, type KeepingSinkEvents, noEvents, type SinkStatus } from '../sink.ts'
import type { InfluxSinkConfig } from './influx-config.ts'
import { InfluxTarget } from './influx-target.ts'
import { type Chunk, InfluxWriter } from './influx-writer.ts'
import { LogPoints } from './log-points.ts'
import { MetricPoints } from './metric-points.ts'
import { RejectFile } from './reject-file.ts'
import { TagGuard } from './tag-guard.ts'

export interface InfluxSinkOptions {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly config: InfluxSinkConfig
  /** Told once when writing begins to fail and once when it works again. */
  readonly onTrouble: (message: string) => void
}

/** An entry on its way. */
interface EntryChunk extends Chunk {
  readonly entry: Entry
}

export class InfluxSink implements KeepingSink {
  readonly name: string
  readonly patterns: CompiledPatterns
  readonly takesOnDemand?: boolean | undefined
  events: KeepingSinkEvents = noEvents
  readonly missedFrom = undefined
  /** A server may be anywhere, and slower than a disk. */
  readonly isNeverWaitedFor = true
  readonly #config: InfluxSinkConfig
  readonly #target: InfluxTarget
  readonly #writer: InfluxWriter<EntryChunk>
  readonly #logs: LogPoints
  readonly #metrics: MetricPoints
  readonly #guard: TagGuard
  #written = 0

  constructor({ name, patterns, config, onTrouble }: InfluxSinkOptions) {
    const say = (message: string) => onTrouble(`sink ${name}: ${message}`)
    this.name = name
    this.patterns = patterns
    this.takesOnDemand = config.onDemand
    this.#config = config
    this.#guard = new TagGuard(config.tagValuesMax, (tag) => {
      say(`tag ${JSON.stringify(tag)} has more than ${config.tagValuesMax} values; further ones become ~other`)
    })
    const { origin, tags: constant } = config
    this.#logs = new LogPoints({ ...config.logs, origin, constant }, this.#guard)
    this.#metrics = new MetricPoints({ ...config.metrics, origin, constant }, this.#guard)
    this.#target = new InfluxTarget(config, config.inFlight)
    const rejects = new RejectFile(config.rejects.path, config.rejects.bytesMax, say)
    this.#writer = new InfluxWriter<EntryChunk>({
      target: this.#target,
      where: this.#target.where,
      inFlight: config.inFlight,
      batch: config.batch,
      queue: config.queue,
      done: ({ entry }, lines, refused) => this.#done(entry, lines, refused),
      moved: () => this.events.moved(),
      waiting: () => this.events.pendingRecords(),
      reject: (lines) => rejects.append(lines),
      onTrouble: say,
      random: Math.random,
    })
  }

  get isFull(): boolean {
    return this.#writer.isFull
  }

  isFullFor(): boolean {
    return this.#writer.isFull
  }

  get pendingBytes(): number {
    return this.#writer.pendingBytes
  }

  get movingBytes(): number {
    return this.#writer.isFailing ? 0 : this.#writer.pendingBytes
  }

  get oldestAtMs(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const { entry } of this.#writer.pending()) oldest = Math.min(oldest, entry.receivedAtMs)
    return oldest
  }

  get lowest(): number {
    let lowest = Number.POSITIVE_INFINITY
    for (const { entry } of this.#writer.pending()) lowest = Math.min(lowest, entry.position)
    return lowest
  }

  *unwritten(): ReturnType<KeepingSink['unwritten']> {
    for (const { entry } of this.#writer.all()) yield { entry, records: entry.count }
  }

  write(entry: Entry): boolean {
    this.#writer.offer({ entry, count: entry.count, bytes: entry.lines.length, lines: () => this.#linesOf(entry) })
    return true
  }

  #linesOf(entry: Entry): readonly string[] {
    const host = this.events.hostOf(entry.origin)
    if (entry.kind === frameKinds.lines) return this.#logs.lines(entry, host)
    const points = entry.kind === frameKinds.points ? this.#metrics.lines(entry, host) : undefined
    return points ?? []
  }

  #done(entry: Entry, lines: number, refused: number): void {
    // What no line could be made of is refused here.
    const rejected = refused + entry.count - lines
    this.#written += entry.count - rejected
    if (rejected > 0) this.events.rejected(entry, rejected)
    this.events.done(entry)
  }

  // ── there is one place where everything goes: it cannot be stuck for some and not for others ──

  beginMissed(): void {}

  writeMissed(): boolean {
    return false
  }

  caughtUp(): void {}

  hasMissed(): boolean {
    return false
  }

  forgetBefore(): void {}

  takeMoved(): SinkPlace['files'] {
    return []
  }

  /** What a server has said to have is its own to keep. */
  async sync(): Promise<void> {}

  async restore(places: readonly SinkPlace[], oldest: number): Promise<number> {
    return Math.max(places.at(-1)?.position ?? oldest, oldest)
  }

  flush(): Promise<void> {
    return this.#writer.flush()
  }

  /** Asks a server that was away again now. */
  reopen(): void {
    this.#writer.retryNow()
  }

  status(): SinkStatus {
    const writer = this.#writer.status()
    return {
      type: 'influxdb',
      topics: this.#config.topics,
      written: this.#written,
      dropped: 0,
      pendingBytes: this.#writer.pendingBytes,
      error: writer.error,
      where: this.#target.where,
      requests: writer.requests,
      retries: writer.retries,
      bytesWritten: writer.bytesWritten,
      lastError: writer.lastError?.message,
      lastErrorAtMs: writer.lastError?.atMs,
      lastSuccessAtMs: writer.lastSuccessAtMs,
      fieldsConverted: this.#logs.converted,
      fieldsOmitted: this.#logs.omitted,
      tagValuesFolded: this.#guard.folded,
    }
  }

  async close(deadlineMs: number): Promise<void> {
    await this.#writer.close(deadlineMs)
    this.#target.close()
  }
}

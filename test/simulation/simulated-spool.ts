/** The spool's port in virtual time: a disk that takes its time, fails for a while, and outlives the collector's crash. */
import type { IntakeSpool } from '../../collector/intake.ts'
import { Block, BlockPool } from '../../collector/spool/block.ts'
import { type RecordType, recordBytes, recordTypes, type SpoolRecord } from '../../collector/spool/spool-record.ts'
import { spoolPendingBytesMax, spoolRetryMs } from '../../wire/limits.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface DiskTraits {
  readonly writeMs: number
  readonly syncMs: number
  readonly segmentBytes: number
}

/** What is on a disk, run after run. */
export class SimulatedDisk {
  readonly traits: DiskTraits
  /** In the kernel at least; the disk has those before `durable`. */
  records: SpoolRecord[] = []
  durable = 0
  segments: number[] = []
  stuckUntilMs = 0
  failingUntilMs = 0
  /** Times that what was to be written was given up. */
  failures = 0

  constructor(traits: DiskTraits) {
    this.traits = traits
  }

  /** The power goes: what was not synced is gone. */
  loseUnsynced(): void {
    this.records = this.records.filter(({ end }) => end <= this.durable)
  }
}

export interface SpoolEvents {
  written(): void
  abandoned(position: number, durable: number): void
}

const noEvents: SpoolEvents = { written: () => undefined, abandoned: () => undefined }
/** Everything is read by few of these. */
const recordsPerRead = 64
const pool = new BlockPool()

export class SimulatedSpool implements IntakeSpool {
  end: number
  written: number
  /** Behind what the disk has, or has been given up. */
  durable: number
  events: SpoolEvents = noEvents
  /** Told after each step. */
  #waiting: (() => void)[] = []
  readonly #time: VirtualTime
  readonly #disk: SimulatedDisk
  #unwritten: SpoolRecord[] = []
  #segmentFrom: number | undefined
  #isWriting = false
  #isSyncing = false
  #retryAtMs: number | undefined
  /** The books at the head of the last segment are those of when it was tried. */
  #areBooksOld = false
  #failures = 0
  #isUp = true

  constructor(time: VirtualTime, disk: SimulatedDisk) {
    this.#time = time
    this.#disk = disk
    this.end = disk.records.at(-1)?.end ?? 0
    this.written = this.end
    this.durable = this.end
    disk.durable = this.end
    disk.segments = disk.segments.filter((position) => position < this.end)
  }

  /** Its process is gone. */
  crash(): void {
    this.#isUp = false
  }

  get oldest(): number {
    return this.#disk.records[0]?.position ?? this.end
  }

  get isFailing(): boolean {
    return this.#retryAtMs !== undefined
  }

  /** A disk that does not answer looks like one on which much waits. */
  get pendingBytes(): number {
    return this.#time.nowMs < this.#disk.stuckUntilMs ? spoolPendingBytesMax : this.end - this.written
  }

  needsRoll(nowMs: number): boolean {
    if (this.#retryAtMs !== undefined) return this.#unwritten.length === 0 && nowMs >= this.#retryAtMs
    return this.#segmentFrom === undefined || this.#areBooksOld || this.end - this.#segmentFrom >= this.#disk.traits.segmentBytes
  }

  roll(state: Buffer): void {
    if (this.#retryAtMs === undefined) this.#areBooksOld = false
    this.#segmentFrom = this.end
    this.#disk.segments.push(this.end)
    this.#append(recordTypes.state, state)
  }

  append(type: RecordType, first: Buffer, rest?: Buffer): ReturnType<IntakeSpool['append']> {
    if (this.#segmentFrom === undefined || this.isFailing || this.#areBooksOld) return undefined
    // The memory of `rest` is the caller's again.
    return this.#append(type, rest === undefined ? first : Buffer.concat([first, rest]), rest?.length)
  }

  #append(type: RecordType, body: Buffer, restBytes = 0): ReturnType<IntakeSpool['append']> {
    const position = this.end
    this.end += recordBytes(body.length)
    this.#unwritten.push({ type, body, position, end: this.end })
    this.#write()
    return { position, end: this.end, block: new Block(pool, body), rest: body.subarray(body.length - restBytes) }
  }

  #write(): void {
    if (this.#isWriting) return
    this.#isWriting = true
    const stuckMs = Math.max(0, this.#disk.stuckUntilMs - this.#time.nowMs)
    this.#time.after(this.#disk.traits.writeMs + stuckMs, () => {
      this.#isWriting = false
      if (!this.#isUp || this.#unwritten.length === 0) return
      if (this.#time.nowMs < this.#disk.failingUntilMs) return this.#fail()
      this.#disk.records.push(...this.#unwritten.splice(0))
      this.written = this.end
      this.#retryAtMs = undefined
      this.#letOn()
    })
  }

  #fail(): void {
    this.#areBooksOld = true
    this.#failures += 1
    this.#disk.failures += 1
    this.#retryAtMs = this.#time.nowMs + spoolRetryMs.first
    const from = this.written
    this.#unwritten = []
    this.#disk.segments = this.#disk.segments.filter((position) => position < from)
    this.#segmentFrom = undefined
    this.written = this.end
    const { durable } = this
    this.durable = this.end
    this.events.abandoned(from, durable)
    this.#letOn()
  }

  #letOn(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.events.written()
    this.#time.letPromisesRun()
  }

  async sync(): Promise<boolean> {
    const target = this.end
    const failures = this.#failures
    while (this.durable < target || this.isFailing) {
      if (this.#failures !== failures || this.isFailing) return false
      if (this.written >= target) this.#sync()
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    return this.#failures === failures
  }

  #sync(): void {
    if (this.#isSyncing) return
    this.#isSyncing = true
    const upTo = this.written
    this.#time.after(this.#disk.traits.syncMs + Math.max(0, this.#disk.stuckUntilMs - this.#time.nowMs), () => {
      this.#isSyncing = false
      if (!this.#isUp) return
      this.durable = Math.max(this.durable, upTo)
      this.#disk.durable = Math.max(this.#disk.durable, upTo)
      this.#letOn()
    })
  }

  async read(at: number): Promise<{ readonly records: readonly SpoolRecord[]; readonly next: number; readonly damagedBytes: number }> {
    const { records } = this.#disk
    const first = records.findIndex(({ position }) => position >= at)
    const read = first === -1 ? [] : records.slice(first, first + recordsPerRead)
    return { records: read, next: read.at(-1)?.end ?? this.end, damagedBytes: 0 }
  }

  async cutTail(): Promise<void> {
    // Nothing is torn here: a record is on the disk or is not.
  }

  /** Deletes segments that end at or before `position`; the one that is written to stays. */
  dropBefore(position: number): void {
    const { segments } = this.#disk
    while (segments.length > 1 && (segments[1] ?? this.end) <= Math.min(position, this.durable)) segments.shift()
    const [oldest = 0] = segments
    this.#disk.records = this.#disk.records.filter((record) => record.position >= oldest)
  }
}

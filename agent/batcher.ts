/**
 * From lines to frames: the open batch of each topic, closed by age, size or importance, numbered, put into the ring
 * and offered to the links. A call does bounded work and returns.
 */
import { encodeFrame, encodeLines, type FrameHead, frameKinds } from '../wire/frame.ts'
import { errorRank, levelNumbers, levels } from '../wire/level.ts'
import { batchAgeMaxMs, batchRecordsMax, fullBatchesMax, openBatchesMax, recordBytesMax } from '../wire/limits.ts'
import { cutLine } from './line-head.ts'
import type { RingEntry } from './ring.ts'
import type { AgentRuntime, Pending } from './runtime.ts'
import type { AgentStream, ShedReason } from './stream.ts'

/** What a batcher needs from its agent. */
export interface BatchOwner {
  readonly origin: string
  readonly links: readonly BatchLink[]
  /** For live tails that are connected to this process. */
  readonly publisher: { wants(topic: string): boolean; publish(topic: Buffer, frame: Buffer): void } | undefined
  shed(stream: AgentStream, reason: ShedReason, records: number): void
  /** Something was taken after the end, when no timer comes any more. */
  takenLate(): void
}

/** Where batches go. */
interface BatchLink {
  readonly bit: number
  readonly index: number
  wants(topic: string): boolean
  offer(entry: RingEntry): void
  pump(): void
}

interface FullBatch {
  readonly stream: AgentStream
  readonly seq: number
  readonly count: number
  readonly frame: Buffer
  readonly waiting: number
}

/** UTF-8 takes at most three bytes for a UTF-16 unit; up to here no line needs to be measured. */
const longLineChars = Math.floor(recordBytesMax / 3)

export class Batcher {
  /** Lines that were longer than a record may be. */
  cut = 0
  /** What is logged from now on is shed. */
  isClosed = false
  /** The process is at its end: what is taken now is handed over at once. */
  isLate = false
  readonly #owner: BatchOwner
  readonly #runtime: AgentRuntime
  readonly #open = new Set<AgentStream>()
  /** Batches that are numbered and wait for the end of the turn. */
  readonly #full: FullBatch[] = []
  #fullTurnEnd: Pending | undefined
  #textTurnEnd: Pending | undefined
  #turnEnd: Pending | undefined
  #ageTimer: Pending | undefined

  constructor(owner: BatchOwner, runtime: AgentRuntime) {
    this.#owner = owner
    this.#runtime = runtime
  }

  /** Takes one line, ended by LF. The way of every record: no promise, no closure, no copy of the line's bytes. */
  append(stream: AgentStream, line: string): void {
    const fits = stream.count > 0 && line.length <= longLineChars && stream.text.length + line.length <= stream.textCharsMax
    if (!fits || !stream.wanted || stream.isOnDemand) return this.#appendElse(stream, line)
    stream.text += line
    stream.count += 1
    if (stream.count >= batchRecordsMax) this.#closeBatch(stream)
  }

  /** Takes a line that is made only because a live tail asks for it. A batch holds such lines, or others. */
  appendOnDemand(stream: AgentStream, line: string): void {
    if (!stream.isOnDemand && stream.count > 0) this.#closeBatch(stream)
    stream.isOnDemand = true
    this.#take(stream, line)
    if (stream.count === 0) stream.isOnDemand = false
  }

  /** The first line of a batch, a long one, and one that is not taken. */
  #appendElse(stream: AgentStream, line: string): void {
    if (stream.isOnDemand) this.#closeBatch(stream)
    this.#take(stream, line)
  }

  #take(stream: AgentStream, line: string): void {
    if (!stream.wanted) {
      stream.filtered += 1
      return
    }
    if (this.isClosed) return this.#shedOne(stream)
    const text = line.length > longLineChars ? this.#shortened(stream, line) : line
    if (stream.text.length + text.length > stream.textCharsMax) this.#makeRoom(stream, text.length)
    if (stream.count === 0) this.#openBatch(stream)
    stream.text += text
    stream.count += 1
    if (stream.count >= batchRecordsMax) this.#closeBatch(stream)
    if (this.isLate) this.#owner.takenLate()
  }

  #shedOne(stream: AgentStream): void {
    stream.next += 1
    stream.movedAtMs = this.#runtime.nowMs()
    this.#owner.shed(stream, 'closed', 1)
  }

  /** Text has come together: it is encoded when the turn ends, or now if the turn goes on logging. */
  #makeRoom(stream: AgentStream, chars: number): void {
    if (!stream.isTextDue) {
      stream.expectText()
      this.#textTurnEnd ??= this.#runtime.atTurnEnd(() => this.#encodeDueTexts())
    }
    if (stream.text.length + chars > stream.textCharsMax) this.#encodeText(stream)
  }

  #encodeDueTexts(): void {
    this.#textTurnEnd = undefined
    for (const stream of this.#open) if (stream.isTextDue) this.#encodeText(stream)
  }

  #shortened(stream: AgentStream, line: string): string {
    const bytes = Buffer.byteLength(line, 'utf8')
    if (bytes <= recordBytesMax) return line
    this.cut += 1
    return cutLine(line, { bytes, levelNumber: levelNumbers[levels[stream.rank] ?? 'info'], timeMs: this.#runtime.wallClockMs() })
  }

  #openBatch(stream: AgentStream): void {
    stream.firstAtMs = this.#runtime.wallClockMs()
    if (this.#open.size >= openBatchesMax) this.closeBatches()
    this.#open.add(stream)
    // Errors leave at the end of the turn, with everything logged before them.
    if (stream.rank >= errorRank) this.#turnEnd ??= this.#runtime.atTurnEnd(() => this.closeBatches())
    this.#ageTimer ??= this.#runtime.after(batchAgeMaxMs, () => this.closeBatches())
  }

  /** Hands everything over that was taken. Never waits. */
  closeBatches(): void {
    this.#ageTimer?.cancel()
    this.#ageTimer = undefined
    this.#turnEnd?.cancel()
    this.#turnEnd = undefined
    for (const stream of this.#open) this.#closeBatch(stream)
    this.#sendFull()
    for (const link of this.#owner.links) link.pump()
  }

  /** Encodes the text of the open batch. When it no longer fits, what was encoded before leaves as a batch of its own. */
  #encodeText(stream: AgentStream): void {
    if (stream.text === '') return
    const bytes = Buffer.byteLength(stream.text, 'utf8')
    if (!stream.encoded.fits(bytes)) {
      this.#finish(stream, stream.encoded.count)
      stream.firstAtMs = this.#runtime.wallClockMs()
    }
    stream.encoded.write(stream.text, bytes, stream.count - stream.encoded.count)
    stream.clearText()
  }

  #closeBatch(stream: AgentStream): void {
    this.#open.delete(stream)
    if (stream.encoded.count > 0) this.#encodeText(stream)
    this.#finish(stream, stream.count)
  }

  /** Numbers the first `count` lines of the open batch. They are sent at the end of the turn, unless too much waits for that already. */
  #finish(stream: AgentStream, count: number): void {
    const isEncoded = stream.encoded.count > 0
    const text = isEncoded ? '' : stream.text
    stream.count -= count
    const { isOnDemand } = stream
    if (stream.count === 0) stream.isOnDemand = false
    if (!isEncoded) stream.clearText()
    const batch = { time: stream.firstAtMs, count, kind: frameKinds.lines, onDemand: isOnDemand }
    const isNumbered = this.#number(stream, batch, (head) => (isEncoded ? stream.encoded.finish(head) : encodeLines(head, text)))
    if (!isNumbered) stream.encoded.clear()
  }

  /** Takes an encoded body of points. It is numbered and sent like a batch of lines that is full. */
  takePoints(stream: AgentStream, body: Buffer, count: number): void {
    if (this.isClosed) {
      stream.next += count
      stream.movedAtMs = this.#runtime.nowMs()
      this.#owner.shed(stream, 'closed', count)
      return
    }
    this.#number(stream, { time: this.#runtime.wallClockMs(), count, kind: frameKinds.points, onDemand: false }, (head) =>
      encodeFrame(head, body),
    )
  }

  /** Numbers the next `count` records of a stream and puts their frame among the full ones; false when there is none after all. */
  #number(
    stream: AgentStream,
    { count, ...rest }: Pick<FrameHead, 'time' | 'count' | 'kind' | 'onDemand'>,
    encode: (head: FrameHead) => Buffer,
  ): boolean {
    const waiting = this.#linksWanting(stream)
    if (waiting === 0 && !this.#owner.publisher?.wants(stream.topic)) {
      // Its collectors have spoken since the batch was opened. What nobody wants gets no number.
      stream.filtered += count
      return false
    }
    const seq = stream.next
    stream.next = seq + count
    stream.movedAtMs = this.#runtime.nowMs()
    // Should it be wanted one day by a link that does not want it now, it begins there behind what was not.
    for (const link of this.#owner.links) if ((waiting & link.bit) === 0) stream.acknowledged[link.index] = stream.next
    let frame: Buffer
    try {
      frame = encode({ origin: this.#owner.origin, seq, count, ...rest })
    } catch {
      this.#owner.shed(stream, 'failed', count)
      return false
    }
    this.#full.push({ stream, seq, count, frame, waiting })
    this.#fullTurnEnd ??= this.#runtime.atTurnEnd(() => this.#sendFull())
    const surplus = this.#full.length > fullBatchesMax ? this.#full.shift() : undefined
    if (surplus !== undefined) this.#hold(surplus)
    return true
  }

  #linksWanting(stream: AgentStream): number {
    let bits = 0
    for (const link of this.#owner.links) if (link.wants(stream.topic)) bits |= link.bit
    return bits
  }

  #sendFull(): void {
    this.#fullTurnEnd?.cancel()
    this.#fullTurnEnd = undefined
    // One by one: a manifest may go out between two of them, and must not take the second for sent and gone.
    for (let batch = this.#full.shift(); batch !== undefined; batch = this.#full.shift()) this.#hold(batch)
  }

  /** Puts a batch into the ring and offers it to the links that want it. */
  #hold({ stream, seq, count, frame, waiting }: FullBatch): void {
    const { publisher } = this.#owner
    const isWatched = publisher?.wants(stream.topic) === true
    // Kept for collectors; what only a live tail wants is sent and forgotten.
    if (waiting !== 0) {
      const entry = this.#runtime.ring.push(stream, frame, { seq, count, waiting })
      entry.isSentSeveralWays ||= isWatched
      if (entry.frame !== undefined) stream.hold(entry)
      for (const link of this.#owner.links) if ((waiting & link.bit) !== 0) link.offer(entry)
    }
    if (isWatched) publisher?.publish(stream.topicBytes, frame)
  }

  /** First record of a stream that is numbered and not in the ring yet; what is behind it is not either. */
  firstFull(stream: AgentStream): number | undefined {
    return this.#full.find((batch) => batch.stream === stream)?.seq
  }

  /** Records of a stream that are numbered and not in the ring yet. */
  fullRecords(stream: AgentStream): number {
    let records = 0
    for (const batch of this.#full) if (batch.stream === stream) records += batch.count
    return records
  }

  /** Nothing of it comes any more. */
  end(): void {
    for (const pending of [this.#ageTimer, this.#turnEnd, this.#fullTurnEnd, this.#textTurnEnd]) pending?.cancel()
  }
}

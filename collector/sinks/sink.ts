/** Where records go. A sink takes them without waiting and writes them in its own time. */
import type { FrameKind } from '../../wire/frame.ts'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'
import type { SinkPlace } from '../spool/spool-bodies.ts'

export interface SinkStatus {
  readonly type: string
  readonly topics: readonly string[]
  /** Records written. */
  readonly written: number
  /** Records this sink could not take: it was full, or its reader had gone. */
  readonly dropped: number
  readonly pendingBytes: number
  /** Why the last write failed; undefined while all is well. */
  readonly error: string | undefined
  readonly where: string
  /** Of a sink that writes to a server; undefined for others. Requests that went well, … */
  readonly requests?: number
  /** … and those that did not and were, or will be, made again. */
  readonly retries?: number
  /** Of lines, before they are compressed. */
  readonly bytesWritten?: number
  /** The last failure, be it over or not. */
  readonly lastError?: string | undefined
  /** Unix ms. */
  readonly lastErrorAtMs?: number | undefined
  readonly lastSuccessAtMs?: number | undefined
  /** Fields of records that were given the configured type, … */
  readonly fieldsConverted?: number
  /** … and those that could not be, and were left out. */
  readonly fieldsOmitted?: number
  /** Tag values written as `~other` because their tag has too many. */
  readonly tagValuesFolded?: number
  /** Of a sink that keeps files. */
  readonly files?: FilesStatus | undefined
}

/** What became of files nothing is written to any more, since the start. */
export interface FilesStatus {
  /** All there are, compressed ones and those that are written to included, and their bytes, when they were last looked at. */
  readonly count: number
  readonly bytes: number
  readonly rotated: number
  readonly compressed: number
  /** Files removed, by the bound they were over. */
  readonly removed: Readonly<Record<RemovalReason, number>>
  readonly removedBytes: number
  /** Why files could last not be compressed or removed; undefined while all is well. */
  readonly error: string | undefined
}

export const removalReasons = ['age', 'files', 'bytes', 'free'] as const
export type RemovalReason = (typeof removalReasons)[number]

/** Records of one frame on their way to the sinks. */
export interface Entry {
  /** Where it stands in the spool, and the position behind it. Both the same when it is not spooled. */
  readonly position: number
  readonly end: number
  readonly topic: Topic
  /** `lines` or `points`. */
  readonly kind: FrameKind
  readonly origin: string
  /** Number of its first record. */
  readonly seq: number
  /** When the first record of its frame was accepted, Unix ms by the origin's clock. */
  readonly timeMs: number
  /** Lines: each ended by LF. Points: the frame's body, see wire/points.ts. A view into a received frame; not written to, held until it is done with. */
  readonly lines: Buffer
  readonly count: number
  /** Unix ms. */
  readonly receivedAtMs: number
  /** Of the application it came from; undefined when that had not said it. */
  readonly host?: string | undefined
  /** False when it is nowhere but in memory. */
  isSpooled: boolean
}

export interface LostRecords {
  readonly origin: string
  readonly topic: Topic
  readonly records: number
}

export interface Sink {
  readonly name: string
  readonly patterns: CompiledPatterns
  /** Whether it takes also what an application logged only because a live tail asked for it. */
  readonly takesOnDemand?: boolean | undefined
  /** Takes whole lines. Never waits. False when it has not taken them: it cannot now, or never will. */
  write(entry: Entry): boolean
  /** Opens its files anew, after somebody moved them. */
  reopen(): void
  status(): SinkStatus
  /** Tries once more to write what it holds, for at most `deadlineMs`, and closes. */
  close(deadlineMs: number): Promise<void>
}

/** Whether a sink takes a frame that is kept in the spool. */
export function isFor(
  sink: Pick<Sink, 'patterns' | 'takesOnDemand'>,
  kept: { readonly topic: string; readonly frame: { readonly onDemand: boolean } },
): boolean {
  return sink.patterns.matches(kept.topic) && (sink.takesOnDemand || !kept.frame.onDemand)
}

/** Records that were done and are not on the disk. */
export interface LostRecords {
  readonly origin: string
  readonly topic: Topic
  readonly records: number
}

export interface KeepingSinkEvents {
  /** Every line of an entry is where it belongs. */
  done(entry: Entry): void
  /** Records that were done are not on the disk, and cannot be written again. */
  lost(lost: LostRecords): void
  /** Some records of an entry are refused for good; told before it is {@link done}. */
  rejected(entry: Entry, records: number): void
  /** The host an origin says it runs on. */
  hostOf(origin: string): string | undefined
  /** Records that wait for the sink, wherever they are. */
  pendingRecords(): number
  /** There is room for more, or something that was stuck moves again. */
  moved(): void
  /** Writes down how far a file is before the first byte goes there; resolves when that is on its way to the disk, or false when it is not. */
  note(files: SinkPlace['files']): Promise<boolean>
  /** Oldest position of the spool that counts: what was written down before it may be gone. */
  oldest(): number
  /** Position behind everything in the spool. */
  newest(): number
  /** Makes durable what was written down. False when it could not be. */
  keep(): Promise<boolean>
  /** Whether everything an earlier run left in the spool is done. */
  isAllBack(): boolean
}

/** Of a sink nobody has set up yet. */
export const noEvents: KeepingSinkEvents = {
  done() {},
  lost() {},
  rejected() {},
  hostOf: () => undefined,
  pendingRecords: () => 0,
  moved() {},
  note: async () => true,
  oldest: () => 0,
  newest: () => 0,
  keep: async () => true,
  isAllBack: () => true,
}

/** A sink whose records wait in the spool until they are done: after a restart it goes on where it was. */
export interface KeepingSink extends Sink {
  /** Set once, before the first write. */
  events: KeepingSinkEvents
  /** Whether it holds as much as it may. Nothing is written to it then. */
  readonly isFull: boolean
  /** Whether something of a topic cannot be written now, and no more of it can be held. */
  isFullFor(topic: Topic): boolean
  readonly pendingBytes: number
  /** Whether nothing that is received waits for it: what it cannot take as fast as it comes, it reads from the spool later. */
  readonly isNeverWaitedFor?: boolean
  /** What waits and will be written soon; not what cannot be written now. */
  readonly movingBytes: number
  /** When the oldest entry it holds or has missed was received, Unix ms; infinite when there is none. */
  readonly oldestAtMs: number
  /** Lowest position of what was given to it and is not done; infinite when all is. */
  readonly lowest: number
  /** What was given to it and is not done, in no order, and how many records of each. */
  unwritten(): Iterable<{ readonly entry: Entry; readonly records: number }>
  /** Files that could not take what was theirs and can again, and the first position they have not been given. */
  readonly missedFrom: number | undefined
  /** Entries from {@link missedFrom} on follow. */
  beginMissed(): void
  /** Like `write`, for entries it may have missed: takes what belongs to a file that missed it. */
  writeMissed(entry: Entry): boolean
  /** Everything before `position` has been offered with {@link writeMissed}. */
  caughtUp(position: number): void
  /** Whether an entry it was once offered is still owed to a file that was stuck. */
  hasMissed(entry: Pick<Entry, 'position' | 'topic' | 'receivedAtMs' | 'host'>): boolean
  /** What is before `end` is gone from the spool. */
  forgetBefore(end: number): void
  /** Tries to write everything it holds. Resolves when that has been tried; never rejects. */
  flush(): Promise<void>
  /** Places of files that moved since the last call. */
  takeMoved(): SinkPlace['files']
  /** Makes durable what was written. Returns once the disk has it; throws when it has not. */
  sync(): Promise<void>
  /** Takes up what an earlier run wrote down, oldest first. Returns where to go on reading. */
  restore(places: readonly SinkPlace[], oldest: number): Promise<number>
}

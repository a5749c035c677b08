/** Where records go. A sink takes them without waiting and writes them in its own time. */
import type { CompiledPatterns } from '../../wire/pattern.ts'
import type { Topic } from '../../wire/topic.ts'

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
}

export interface Sink {
  readonly name: string
  readonly patterns: CompiledPatterns
  /** Whether an acknowledgement waits for this sink. */
  readonly isKeeping: boolean
  /** Whether it has as much as it may hold of a topic; a keeping sink must not be offered more of it then. */
  isFullFor(topic: Topic): boolean
  /** Resolves when it holds little enough that more is welcome; undefined when it does already. */
  roomier(): Promise<void> | undefined
  /**
   * Takes whole lines. Never waits.
   *
   * @param lines - Each ended by LF. A view into a received frame; not written to, held until it is on disk.
   */
  write(topic: Topic, lines: Buffer, count: number): void
  /**
   * Writes what was taken before.
   *
   * @returns Topics of which something could not be written. It stays, and is tried again with a later flush.
   */
  flush(): Promise<ReadonlySet<Topic>>
  /** Opens its files anew, after somebody moved them. */
  reopen(): void
  status(): SinkStatus
  /** Tries once more to write what it holds, for at most `deadlineMs`, and closes. */
  close(deadlineMs: number): Promise<void>
}

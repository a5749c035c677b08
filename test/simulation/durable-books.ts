/**
 * What a collector of the simulation has on its disk: the records its sink keeps, and how far its books had come when
 * they were last written. A collector that is started anew begins with them.
 */
import type { Ledger, TopicBook } from '../../collector/ledger.ts'
import type { GoneRange, ManifestTopic } from '../../wire/manifest.ts'
import { type Range, RangeSet } from '../../wire/range-set.ts'
import type { Topic } from '../../wire/topic.ts'

interface TopicOnDisk {
  readonly kept: RangeSet
  /** Undefined while nobody has said where the topic begins. */
  cursor: { readonly joinAt: number; readonly frontier: number; readonly horizon: number; readonly lead: number } | undefined
}

interface OriginOnDisk {
  readonly topics: Map<Topic, TopicOnDisk>
  everyMs: number
  isFinished: boolean
}

/** A range of records of one topic. */
export interface Records extends Range {
  readonly origin: string
  readonly topic: Topic
}

export class DurableBooks {
  /** Records that came to the sink a second time. */
  duplicates = 0
  readonly #origins = new Map<string, OriginOnDisk>()

  kept(origin: string, topic: Topic): RangeSet {
    return this.#topic(origin, topic).kept
  }

  #origin(name: string): OriginOnDisk {
    let origin = this.#origins.get(name)
    if (origin === undefined) {
      origin = { topics: new Map(), everyMs: 2_000, isFinished: false }
      this.#origins.set(name, origin)
    }
    return origin
  }

  #topic(originName: string, name: Topic): TopicOnDisk {
    const origin = this.#origin(originName)
    let topic = origin.topics.get(name)
    if (topic === undefined) {
      topic = { kept: new RangeSet(), cursor: undefined }
      origin.topics.set(name, topic)
    }
    return topic
  }

  keep({ origin, topic, from, to }: Records): void {
    let fresh = 0
    for (const range of this.kept(origin, topic).add(from, to)) fresh += range.to - range.from
    this.duplicates += to - from - fresh
  }

  /** The books as they are now, to be written down once everything they stand for is kept. */
  prepare(ledger: Ledger): () => void {
    const cursors: { readonly topic: TopicOnDisk; readonly cursor: TopicOnDisk['cursor'] }[] = []
    const origins: { readonly origin: OriginOnDisk; readonly everyMs: number; readonly isFinished: boolean }[] = []
    for (const { origin, topics, everyMs, state } of ledger.origins.values()) {
      origins.push({ origin: this.#origin(origin), everyMs, isFinished: state === 'finished' })
      for (const book of topics.values()) {
        if (book.isWanted && !book.isProvisional) cursors.push({ topic: this.#topic(origin, book.topic), cursor: cursorOf(book) })
      }
    }
    return () => {
      for (const { topic, cursor } of cursors) topic.cursor = cursor
      for (const { origin, everyMs, isFinished } of origins) Object.assign(origin, { everyMs, isFinished })
    }
  }

  /** Puts everything back into a ledger that has just been made. */
  restore(ledger: Ledger, nowMs: number): void {
    for (const [name, { topics, everyMs, isFinished }] of this.#origins) {
      const told = new Map<Topic, ManifestTopic>()
      const gone: GoneRange[] = []
      for (const [topic, { cursor, kept }] of topics) {
        if (cursor === undefined) continue
        told.set(topic, { trail: 0, lead: cursor.lead, sent: cursor.horizon, resume: cursor.joinAt, filtered: 0, shed: 0 })
        // Below the frontier everything is final: kept, or lost.
        for (const { from, to } of kept.missing(cursor.joinAt, cursor.frontier)) gone.push({ topic, from, to })
      }
      ledger.announce(name, { number: 0, final: isFinished, urgent: false, everyMs, topics: told, gone, who: undefined }, nowMs)
      for (const [topic, { kept }] of topics) {
        for (const { from, to } of kept) ledger.receive(name, topic, { seq: from, count: to - from }, nowMs)
      }
    }
    ledger.committed(ledger.takeCommits())
    ledger.takeByes()
    ledger.takeAcknowledgements()
  }
}

function cursorOf({ ledger }: TopicBook): TopicOnDisk['cursor'] {
  return { joinAt: ledger.joinAt, frontier: ledger.frontier, horizon: ledger.horizon, lead: ledger.lead }
}

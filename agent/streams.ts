/** The topics of one agent. A program that logs under ever new names folds into shared ones. */
import { levels, type Rank } from '../wire/level.ts'
import { originTopicsMax } from '../wire/limits.ts'
import { isCutToken, logTopic, metricTopic, otherTopic, type Topic } from '../wire/topic.ts'
import type { RingEntry } from './ring.ts'
import { AgentStream, type StreamEvents } from './stream.ts'

/** Places that are always there for the six plain topics and their six shared ones. The one metrics share may be one more. */
const reservedTopics = 2 * levels.length
/** Metrics are given up with warnings: after everything that only says what went well. */
const metricRank: Rank = 3

export class Streams {
  /** Topics whose logger's name had to be cut. */
  cutTopics = 0
  readonly #service: string
  readonly #events: StreamEvents
  readonly #isWanted: (topic: Topic) => boolean
  readonly #byTopic = new Map<Topic, AgentStream>()

  constructor(service: string, events: StreamEvents, isWanted: (topic: Topic) => boolean) {
    this.#service = service
    this.#events = events
    this.#isWanted = isWanted
  }

  /** The stream of a level and a logger's name; after 256 topics, the one they share. */
  log(rank: Rank, name: string | undefined): AgentStream {
    const level = levels[rank] ?? 'info'
    let topic = logTopic(level, this.#service, name)
    const known = this.#byTopic.get(topic)
    if (known !== undefined) return known
    if (name !== undefined) {
      if (this.#byTopic.size >= originTopicsMax - reservedTopics) {
        topic = otherTopic(topic)
        const other = this.#byTopic.get(topic)
        if (other !== undefined) return other
      } else if (isCutToken(topic.slice(0, -1))) this.cutTopics += 1
    }
    return this.#make(topic, rank)
  }

  /** Whether a collector wants the points of a group, as far as is known. Makes no topic. */
  wantsMetric(group: string): boolean {
    const topic = metricTopic(this.#service, group)
    return this.#byTopic.get(topic)?.wanted ?? this.#isWanted(topic)
  }

  /** The stream of a group's points; after 256 topics, the one they share. */
  metric(group: string): AgentStream {
    let topic = metricTopic(this.#service, group)
    const known = this.#byTopic.get(topic)
    if (known !== undefined) return known
    if (this.#byTopic.size >= originTopicsMax - reservedTopics) topic = otherTopic(topic)
    else if (isCutToken(topic.slice(0, -1))) this.cutTopics += 1
    return this.#byTopic.get(topic) ?? this.#make(topic, metricRank)
  }

  #make(topic: Topic, rank: Rank): AgentStream {
    const stream = new AgentStream(topic, rank, this.#events)
    stream.wanted = this.#isWanted(topic)
    this.#byTopic.set(topic, stream)
    return stream
  }

  get(topic: Topic): AgentStream | undefined {
    return this.#byTopic.get(topic)
  }

  [Symbol.iterator](): Iterator<AgentStream> {
    return this.#byTopic.values()
  }

  wantedChanged(): void {
    for (const stream of this) stream.wanted = this.#isWanted(stream.topic)
  }

  /** What is in the ring, in the order it was accepted. */
  entries(which: (entry: RingEntry) => boolean): RingEntry[] {
    const entries: RingEntry[] = []
    for (const stream of this) {
      for (const entry of stream.entries) if (entry.frame !== undefined && which(entry)) entries.push(entry)
    }
    return entries.sort((a, b) => a.id - b.id)
  }
}

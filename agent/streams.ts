/** The topics of one agent. A program that logs under ever new names folds into shared ones. */
import { levels, type Rank } from '../wire/level.ts'
import { originTopicsMax } from '../wire/limits.ts'
import { isCutToken, logTopic, otherTopic, type Topic } from '../wire/topic.ts'
import type { RingEntry } from './ring.ts'
import { AgentStream, type StreamEvents } from './stream.ts'

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
    // The six plain topics and the six shared ones always have a place.
    if (name !== undefined) {
      if (this.#byTopic.size >= originTopicsMax - 2 * levels.length) {
        topic = otherTopic(topic)
        const other = this.#byTopic.get(topic)
        if (other !== undefined) return other
      } else if (isCutToken(topic.slice(0, -1))) this.cutTopics += 1
    }
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

/**
 * The books per service and level, for counters that must never go down: a monitoring system takes every decrease for
 * a restart and counts everything again.
 *
 * - An origin that is forgotten leaves its counts here ({@link ServiceCounters.retire}).
 * - `accepted` can shrink by a few records when it turns out that they were made for a live tail only. The highest value
 *   told stays then, until the books have caught up.
 * - Services have any names, and anybody can make them up. The first hundred keep their own; every later one is folded
 *   into `_other`. A service, once folded, stays folded, so that no count moves from one name to another.
 */
import { seriesServicesMax } from '../wire/limits.ts'
import { parseTopic } from '../wire/topic.ts'
import type { TopicStatus } from './status.ts'

export interface ServiceCounts {
  readonly service: string
  /** A log level; `metric` and `sys` for what has none. */
  readonly level: string
  /** Sums over all topics of that service and level. */
  readonly books: TopicStatus
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Sums = Mutable<TopicStatus>

interface Row {
  readonly service: string
  readonly level: string
  readonly retired: Sums
  /** Highest value of each counter that was told. */
  told: Sums
}

const otherService = '_other'
const knownHeadsMax = 10_000
const gauges: ReadonlySet<keyof TopicStatus> = new Set(['inFlight', 'pending'])

export class ServiceCounters {
  readonly #servicesMax: number
  readonly #services = new Set<string>()
  readonly #unclean = new Map<string, number>()
  readonly #rows = new Map<string, Row>()
  readonly #rowsByHead = new Map<string, Row>()

  /** @param servicesMax - Services with a name of their own. @defaultValue 100 */
  constructor(servicesMax: number = seriesServicesMax) {
    this.#servicesMax = servicesMax
  }

  /** Keeps what a topic has counted whose origin is being forgotten. */
  retire(topic: string, books: TopicStatus): void {
    add(this.#row(topic).retired, books)
  }

  /** @param service - Of a process that has gone without goodbye; undefined when it never said whose it is. */
  countUnclean(service: string | undefined): void {
    const name = service !== undefined && this.#known(service) ? service : otherService
    this.#unclean.set(name, (this.#unclean.get(name) ?? 0) + 1)
  }

  /** Processes that have gone without goodbye, of every service there is. */
  unclean(): (readonly [service: string, processes: number])[] {
    // A count that begins with its first process has not increased by it: each begins at nought.
    const services = new Set([...this.#services, ...this.#unclean.keys()])
    return [...services].map((service) => [service, this.#unclean.get(service) ?? 0])
  }

  /**
   * @param live - The books of every topic that is not retired. A topic of several origins comes once for each.
   * @returns One entry per service and level, in the order they were first seen.
   */
  rows(live: Iterable<readonly [topic: string, books: TopicStatus]>): ServiceCounts[] {
    const sums = new Map<Row, Sums>()
    for (const [topic, books] of live) {
      const row = this.#row(topic)
      const sum = sums.get(row) ?? nothing()
      add(sum, books)
      sums.set(row, sum)
    }
    return [...this.#rows.values()].map((row) => {
      const sum = sums.get(row) ?? nothing()
      add(sum, row.retired)
      row.told = notLower(sum, row.told)
      return { service: row.service, level: row.level, books: row.told }
    })
  }

  /** What the records of a topic are counted under. */
  placeOf(topic: string): { readonly service: string; readonly level: string } {
    return this.#row(topic)
  }

  /** The name a service is counted under. */
  nameOf(service: string): string {
    return this.#services.has(service) ? service : otherService
  }

  /** Rows by the first three tokens of a topic, which say service and level: reading a topic takes longer than all the rest. */
  #row(topic: string): Row {
    const head = topic.slice(0, headLength(topic))
    let row = this.#rowsByHead.get(head)
    if (row !== undefined) return row
    row = this.#rowOf(topic)
    if (this.#rowsByHead.size >= knownHeadsMax) this.#rowsByHead.clear()
    this.#rowsByHead.set(head, row)
    return row
  }

  #rowOf(topic: string): Row {
    const { service: name, level } = placeOf(topic)
    const service = this.#known(name) ? name : otherService
    const key = `${level} ${service}`
    const known = this.#rows.get(key)
    if (known !== undefined) return known
    const row = { service, level, retired: nothing(), told: nothing() }
    this.#rows.set(key, row)
    return row
  }

  #known(service: string): boolean {
    if (this.#services.has(service)) return true
    if (this.#services.size >= this.#servicesMax) return false
    this.#services.add(service)
    return true
  }
}

function headLength(topic: string): number {
  let end = -1
  for (let tokens = 0; tokens < 3; tokens += 1) {
    end = topic.indexOf('.', end + 1)
    if (end === -1) return topic.length
  }
  return end + 1
}

/** By the topic alone: it is there before its origin has introduced itself, and does not change. */
function placeOf(topic: string): { service: string; level: string } {
  const parts = parseTopic(topic)
  if (parts === undefined) return { service: otherService, level: 'sys' }
  // A name that was cut in the middle of a character, or made of bytes that are no text, is written as it can be.
  const service = Buffer.from(parts.service, 'utf8').toString('utf8')
  return { service, level: parts.kind === 'log' ? parts.level : parts.kind }
}

function nothing(): Sums {
  return {
    ...{ accepted: 0, delivered: 0, lost: {}, inFlight: 0, received: 0, spooled: 0, notDurable: 0 },
    ...{ expired: 0, rejected: 0, pending: 0, filtered: 0, duplicates: 0, late: 0, shedAtOrigin: 0 },
  }
}

function add(sum: Sums, books: TopicStatus): void {
  for (const key of countKeys) sum[key] += books[key]
  for (const reason of reasonsOf(books)) sum.lost[reason] = (sum.lost[reason] ?? 0) + (books.lost[reason] ?? 0)
}

function notLower(now: Sums, told: Sums): Sums {
  for (const key of countKeys) if (!gauges.has(key)) now[key] = Math.max(now[key], told[key])
  for (const reason of reasonsOf(told)) now.lost[reason] = Math.max(now.lost[reason] ?? 0, told.lost[reason] ?? 0)
  return now
}

const countKeys = Object.keys(nothing()).filter((key) => key !== 'lost') as Exclude<keyof TopicStatus, 'lost'>[]

function reasonsOf({ lost }: TopicStatus): (keyof TopicStatus['lost'])[] {
  return Object.keys(lost) as (keyof TopicStatus['lost'])[]
}

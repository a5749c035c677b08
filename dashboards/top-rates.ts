/** Two statuses of a collector, one after the other, as rates per service, origin and topic. Pure. */
import { type Level, levels } from '../wire/level.ts'
import { parseTopic } from '../wire/topic.ts'
import type { StatusBooks, StatusDocument, StatusOrigin, StatusTopic } from './status-document.ts'

/** What records are told apart by: the level of a log line, or that it is a metric's point or a word of an agent. */
type RateKind = Level | 'points' | 'sys'
const rateKinds: readonly RateKind[] = [...levels, 'points', 'sys']

/** Per second, accepted. */
type Rates = Readonly<Record<RateKind, number>>

export interface Flow {
  readonly perSecond: number
  readonly rates: Rates
  /** Lost, expired and rejected: so far, and per second now. */
  readonly lost: number
  readonly lostPerSecond: number
  readonly inFlight: number
}

export interface ServiceFlow extends Flow {
  readonly service: string
  /** Processes by their state. */
  readonly origins: Readonly<Record<string, number>>
  /** The highest p99 of its processes' event-loop delay; undefined when they do not tell. */
  readonly eventLoopDelayMs?: number | undefined
}

export interface OriginFlow extends Flow {
  readonly origin: string
  readonly service: string
  readonly host: string | null
  readonly pid: number | null
  readonly state: string
}

export interface TopicFlow extends Flow {
  readonly topic: string
  readonly service: string
}

export interface Snapshot {
  /** Unix ms by the collector's clock. */
  readonly timeMs: number
  /** Rates are over this long. */
  readonly overMs: number
  readonly version: string
  readonly uptimeMs: number
  readonly totals: Omit<Flow, 'rates'> & { readonly deliveredPerSecond: number }
  readonly services: readonly ServiceFlow[]
  readonly origins: readonly OriginFlow[]
  readonly topics: readonly TopicFlow[]
  readonly sinks: Readonly<Record<string, { readonly lagMs: number; readonly pendingRecords: number; readonly error: string | null }>>
  readonly spool: { readonly bytes: number; readonly bytesMax: number; readonly error: string | null } | null
  /** Topics the collector had no room to tell of. */
  readonly topicsNotShown: number
}

const noBooks: Pick<StatusTopic, 'accepted' | 'lost' | 'expired' | 'rejected'> = { accepted: 0, lost: {}, expired: 0, rejected: 0 }

/**
 * @param before - An earlier status of the same collector; undefined when there is none: then all rates are 0.
 * @param delays - The event-loop delay in ms, by service.
 */
export function snapshotOf(
  now: StatusDocument,
  before: StatusDocument | undefined,
  delays: ReadonlyMap<string, number> = new Map(),
): Snapshot {
  // By uptime: the clock of a machine can be set. One that has been started anew has nothing to compare with.
  const overMs = before === undefined ? 0 : now.uptimeMs - before.uptimeMs
  const earlier = overMs > 0 ? before : undefined
  const perSecond = (more: number) => (earlier === undefined ? 0 : (Math.max(0, more) * 1_000) / overMs)
  const known = new Map((earlier?.origins ?? []).map((origin) => [origin.origin, origin.topics]))
  const services = new Map<string, { flow: Sum; origins: Record<string, number> }>()
  const topics = new Map<string, { flow: Sum; service: string }>()
  const origins: OriginFlow[] = []
  for (const origin of now.origins) {
    const service = serviceOf(origin)
    const own = new Sum()
    const ofService = getOrMake(services, service, () => ({ flow: new Sum(), origins: Object.create(null) }))
    ofService.origins[origin.state] = (ofService.origins[origin.state] ?? 0) + 1
    for (const [topic, books] of Object.entries(origin.topics)) {
      const then = known.get(origin.origin)?.[topic] ?? noBooks
      const moved: Moved = {
        kind: kindOf(topic),
        perSecond: perSecond(books.accepted - then.accepted),
        lost: givenUp(books),
        lostPerSecond: perSecond(givenUp(books) - givenUp(then)),
        inFlight: books.inFlight,
      }
      for (const sum of [own, ofService.flow, getOrMake(topics, topic, () => ({ flow: new Sum(), service })).flow]) sum.add(moved)
    }
    const { host, pid, state } = origin
    origins.push({ origin: origin.origin, service, host, pid, state, ...own.flow() })
  }
  const was = earlier?.totals
  const change = (of: (books: StatusBooks) => number) => (was === undefined ? 0 : perSecond(of(now.totals) - of(was)))
  return {
    timeMs: now.timeMs,
    overMs: earlier === undefined ? 0 : overMs,
    version: now.version,
    uptimeMs: now.uptimeMs,
    totals: {
      perSecond: change((books) => books.accepted),
      deliveredPerSecond: change((books) => books.delivered),
      lost: givenUp(now.totals),
      lostPerSecond: change(givenUp),
      inFlight: now.totals.inFlight,
    },
    services: [...services].map(([service, { flow, origins: states }]) => ({
      service,
      origins: states,
      ...flow.flow(),
      ...(delays.has(service) && { eventLoopDelayMs: delays.get(service) }),
    })),
    origins,
    topics: [...topics].map(([topic, { flow, service }]) => ({ topic, service, ...flow.flow() })),
    sinks: Object.fromEntries(
      Object.entries(now.sinks).map(([name, { lagMs, pendingRecords, error }]) => [name, { lagMs, pendingRecords, error: error ?? null }]),
    ),
    spool: now.spool == null ? null : { bytes: now.spool.bytes, bytesMax: now.spool.bytesMax, error: now.spool.error ?? null },
    topicsNotShown: now.topicsNotShown,
  }
}

interface Moved extends Omit<Flow, 'rates'> {
  readonly kind: RateKind
}

class Sum {
  readonly #rates = Object.fromEntries(rateKinds.map((kind) => [kind, 0])) as Record<RateKind, number>
  #perSecond = 0
  #lost = 0
  #lostPerSecond = 0
  #inFlight = 0

  add(moved: Moved): void {
    this.#rates[moved.kind] += moved.perSecond
    this.#perSecond += moved.perSecond
    this.#lost += moved.lost
    this.#lostPerSecond += moved.lostPerSecond
    this.#inFlight += moved.inFlight
  }

  flow(): Flow {
    return {
      perSecond: this.#perSecond,
      rates: this.#rates,
      lost: this.#lost,
      lostPerSecond: this.#lostPerSecond,
      inFlight: this.#inFlight,
    }
  }
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

function serviceOf(origin: StatusOrigin): string {
  if (origin.service !== null) return origin.service
  const [topic] = Object.keys(origin.topics)
  return (topic === undefined ? undefined : parseTopic(topic)?.service) ?? '?'
}

function kindOf(topic: string): RateKind {
  const parts = parseTopic(topic)
  if (parts?.kind === 'log') return parts.level
  return parts?.kind === 'metric' ? 'points' : 'sys'
}

function givenUp({ lost, expired, rejected }: Pick<StatusBooks, 'lost' | 'expired' | 'rejected'>): number {
  return Object.values(lost).reduce((sum, records) => sum + records, 0) + expired + rejected
}

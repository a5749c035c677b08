/**
 * What the pages "overview" and "flow" show, computed once a second for all of them together, and not at all while nobody
 * looks. Pure but for the clock and the books that are passed in; docs/DASHBOARDS.md explains every field.
 */
import type { Level } from '../../wire/level.ts'
import { pulseEveryMs, pulseShareMax } from '../../wire/limits.ts'
import type { LossReason } from '../../wire/stream-ledger.ts'
import { version } from '../../wire/version.ts'
import type { OriginBook, Totals } from '../ledger.ts'
import type { ServiceVitals } from '../rollup/vitals.ts'
import type { ServiceCounts } from '../service-counters.ts'
import type { SinkStatus } from '../sinks/sink.ts'
import type { SpoolStatus } from '../spool/spool.ts'
import type { SinkBooksStatus } from '../status.ts'
import type { ArrivalRates, RateHistory } from './arrivals.ts'

interface Problem {
  readonly severity: 'error' | 'warn'
  readonly text: string
}

interface OriginCounts {
  readonly live: number
  /** Said goodbye. */
  readonly closed: number
  /** Went without a goodbye. */
  readonly unclean: number
  /** Three signs of life missed; perhaps it comes back. */
  readonly lost: number
}

interface LostCounts {
  readonly total: number
  readonly perSecond: number
  readonly byReason: Partial<Record<LossReason, number>>
}

interface ServiceOverview {
  readonly service: string
  readonly origins: OriginCounts
  /** Records per second, by level. */
  readonly rates: Partial<Record<Level, number>>
  readonly history: RateHistory
  readonly errorsPerSecond: number
  readonly pointsPerSecond: number
  readonly lost: LostCounts
  readonly eventLoopP99Ms: number | null
  readonly cpuCores: number | null
  readonly rssBytes: number | null
  readonly problems: readonly Problem[]
}

interface SinkFlow {
  readonly name: string
  readonly type: string
  readonly topics: readonly string[]
  readonly ratePerSecond: number
  readonly written: number
  readonly lagRecords: number
  readonly lagMs: number
  readonly rejected: number
  readonly expired: number
  readonly state: 'ok' | 'stalled' | 'failing'
  readonly lastError: string | null
  readonly where: string
}

export interface Overview {
  /** Unix ms. */
  readonly at: number
  readonly intervalMs: number
  /** Worst first. */
  readonly services: readonly ServiceOverview[]
  readonly collector: { readonly version: string; readonly startedAt: number; readonly rssBytes: number; readonly cpuCores: number }
  readonly sinks: readonly SinkFlow[]
}

interface AppFlow {
  readonly service: string
  readonly origins: number
  readonly ratePerSecond: number
  readonly bytesPerSecond: number
  readonly inFlight: number
  readonly lost: Partial<Record<LossReason, number>>
}

export interface Flow {
  readonly at: number
  readonly apps: readonly AppFlow[]
  readonly collector: {
    readonly receivedPerSecond: number
    readonly spooledPerSecond: number
    readonly notDurable: number
    readonly spool: { readonly bytes: number; readonly maxBytes: number; readonly error: string | null }
  }
  readonly sinks: readonly SinkFlow[]
  readonly books: {
    readonly accepted: number
    readonly received: number
    readonly lost: number
    readonly spooled: number
    /** Written by every sink that keeps. */
    readonly stored: number
    readonly pending: number
    readonly rejected: number
    readonly expired: number
    readonly notDurable: number
    readonly inFlight: number
  }
}

/** What it looks at; each is read when something is computed, and not before. */
export interface PulseBooks {
  origins(): Iterable<Pick<OriginBook, 'who' | 'state'>>
  /** The name a service is counted under. */
  nameOf(service: string): string
  services(): readonly ServiceCounts[]
  totals(): Totals
  sinks(): Readonly<Record<string, SinkStatus & SinkBooksStatus>>
  spool(): SpoolStatus
  arrivals(): readonly ArrivalRates[]
  vitals(): ReadonlyMap<string, ServiceVitals>
  rssBytes(): number
  /** Of processor time since the start. */
  cpuSeconds(): number
}

export interface PulseClock {
  nowMs(): number
  /** Unix ms. */
  timeMs(): number
}

/** One computation, and its two texts, which are the same for every page. */
export interface Beat {
  readonly overview: Overview
  readonly flow: Flow
  readonly overviewJson: string
  readonly flowJson: string
}

/** What a rate is made of: counts at one moment. */
interface Counts {
  readonly atMs: number
  readonly lost: ReadonlyMap<string, number>
  readonly written: ReadonlyMap<string, number>
  readonly spooled: number
  readonly cpuSeconds: number
}

/** Counts older than this say nothing about now. */
const rateAgeMaxMs = 5_000
/** A sink that has had work for so long and has written nothing since the last time does not move. */
const stalledMs = 5_000
const slowEventLoopMs = 100

export class Pulse {
  readonly #books: PulseBooks
  readonly #clock: PulseClock
  readonly #startedAt: number
  readonly #listeners = new Set<(beat: Beat) => void>()
  #last: { readonly beat: Beat; readonly atMs: number; readonly tookMs: number } | undefined
  #counts: Counts | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(books: PulseBooks, clock: PulseClock) {
    this.#books = books
    this.#clock = clock
    this.#startedAt = clock.timeMs()
  }

  get startedAt(): number {
    return this.#startedAt
  }

  /** The newest computation; another one only when the last is older than a second. */
  now(): Beat {
    const last = this.#last
    if (last !== undefined && this.#clock.nowMs() - last.atMs < pulseEveryMs * 0.9) return last.beat
    return this.#compute()
  }

  /** Calls a listener now and with every computation from now on. @returns What ends that. */
  listen(listener: (beat: Beat) => void): () => void {
    this.#listeners.add(listener)
    listener(this.now())
    this.#timer ??= this.#later()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#listeners.clear()
  }

  #later(): NodeJS.Timeout {
    const rest = (this.#last?.tookMs ?? 0) / pulseShareMax
    // At the same moment of every second: what is shown moves evenly.
    const untilWhole = pulseEveryMs - (this.#clock.timeMs() % pulseEveryMs)
    // A timer may be early by a millisecond; that moment is not told twice.
    const untilNext = untilWhole < pulseEveryMs / 10 ? untilWhole + pulseEveryMs : untilWhole
    const waitMs = untilNext + Math.ceil(Math.max(0, rest - untilNext) / pulseEveryMs) * pulseEveryMs
    return setTimeout(() => this.#tell(), waitMs)
  }

  #tell(): void {
    const beat = this.#compute()
    for (const listener of this.#listeners) listener(beat)
    this.#timer = this.#listeners.size > 0 ? this.#later() : undefined
  }

  #compute(): Beat {
    const startedAtMs = this.#clock.nowMs()
    const { overview, flow } = this.#read(startedAtMs)
    const beat = { overview, flow, overviewJson: JSON.stringify(overview), flowJson: JSON.stringify(flow) }
    this.#last = { beat, atMs: startedAtMs, tookMs: this.#clock.nowMs() - startedAtMs }
    return beat
  }

  #read(nowMs: number): { overview: Overview; flow: Flow } {
    const at = this.#clock.timeMs()
    const books = readBooks(this.#books)
    const before = this.#counts !== undefined && nowMs - this.#counts.atMs <= rateAgeMaxMs ? this.#counts : undefined
    const counts = countsOf(books, nowMs)
    this.#counts = counts
    const seconds = before === undefined ? 0 : (nowMs - before.atMs) / 1_000
    const perSecond = (now: number, then: number | undefined) => (seconds > 0 && then !== undefined ? Math.max(0, now - then) / seconds : 0)
    const sinks = sinkFlows(books.sinks, (name, written) => perSecond(written, before?.written.get(name)), before !== undefined)
    const services = [...books.services.values()].map((service) =>
      overviewOf(service, perSecond(lostTotal(service.lost), before?.lost.get(service.service))),
    )
    const { totals, spool } = books
    const overview: Overview = {
      at,
      intervalMs: pulseEveryMs,
      services: services.sort(worstFirst),
      collector: {
        version,
        startedAt: this.#startedAt,
        rssBytes: this.#books.rssBytes(),
        cpuCores: perSecond(counts.cpuSeconds, before?.cpuSeconds),
      },
      sinks,
    }
    const flow: Flow = {
      at,
      apps: [...books.services.values()].map(({ service, origins, arrivals, inFlight, lost }) => ({
        service,
        origins: origins.live + origins.lost,
        ratePerSecond: arrivals?.recordsPerSecond ?? 0,
        bytesPerSecond: arrivals?.bytesPerSecond ?? 0,
        inFlight,
        lost,
      })),
      collector: {
        receivedPerSecond: books.arrivals.reduce((sum, { recordsPerSecond }) => sum + recordsPerSecond, 0),
        spooledPerSecond: perSecond(totals.spooled, before?.spooled),
        notDurable: totals.notDurable,
        spool: { bytes: spool.bytes, maxBytes: spool.bytesMax, error: spool.error ?? null },
      },
      sinks,
      books: {
        accepted: totals.accepted,
        received: totals.received,
        lost: lostTotal(totals.lost),
        spooled: totals.spooled,
        stored: totals.delivered,
        pending: totals.pending,
        rejected: totals.rejected,
        expired: totals.expired,
        notDurable: totals.notDurable,
        inFlight: totals.inFlight,
      },
    }
    return { overview, flow }
  }
}

interface ServiceBooks {
  readonly service: string
  readonly origins: { live: number; closed: number; unclean: number; lost: number }
  readonly lost: Partial<Record<LossReason, number>>
  inFlight: number
  arrivals: ArrivalRates | undefined
  vitals: ServiceVitals | undefined
}

interface ReadBooks {
  readonly services: ReadonlyMap<string, ServiceBooks>
  readonly arrivals: readonly ArrivalRates[]
  readonly totals: Totals
  readonly sinks: Readonly<Record<string, SinkStatus & SinkBooksStatus>>
  readonly spool: SpoolStatus
  readonly cpuSeconds: number
}

function readBooks(books: PulseBooks): ReadBooks {
  const services = new Map<string, ServiceBooks>()
  const of = (service: string): ServiceBooks => {
    let known = services.get(service)
    if (known === undefined) {
      const origins = { live: 0, closed: 0, unclean: 0, lost: 0 }
      known = { service, origins, lost: {}, inFlight: 0, arrivals: undefined, vitals: undefined }
      services.set(service, known)
    }
    return known
  }
  for (const { service, books: counts } of books.services()) {
    const sums = of(service)
    sums.inFlight += counts.inFlight
    for (const [reason, records] of Object.entries(counts.lost) as [LossReason, number][])
      if (records > 0) sums.lost[reason] = (sums.lost[reason] ?? 0) + records
  }
  for (const { who, state } of books.origins()) {
    if (who === undefined) continue
    const { origins } = of(books.nameOf(who.service))
    if (state === 'live') origins.live += 1
    else if (state === 'finished') origins.closed += 1
    else if (state === 'unclean') origins.unclean += 1
    else origins.lost += 1
  }
  const arrivals = books.arrivals()
  for (const rates of arrivals) of(rates.service).arrivals = rates
  for (const [service, vitals] of books.vitals()) {
    const known = services.get(books.nameOf(service))
    if (known !== undefined) known.vitals = vitals
  }
  return { services, arrivals, totals: books.totals(), sinks: books.sinks(), spool: books.spool(), cpuSeconds: books.cpuSeconds() }
}

function countsOf({ services, sinks, totals, cpuSeconds }: ReadBooks, atMs: number): Counts {
  return {
    atMs,
    lost: new Map([...services].map(([name, { lost }]) => [name, lostTotal(lost)])),
    written: new Map(Object.entries(sinks).map(([name, { written }]) => [name, written])),
    spooled: totals.spooled,
    cpuSeconds,
  }
}

function lostTotal(lost: Partial<Record<LossReason, number>>): number {
  return Object.values(lost).reduce((sum, records) => sum + records, 0)
}

function sinkFlows(
  sinks: ReadBooks['sinks'],
  rateOf: (name: string, written: number) => number,
  isRateKnown: boolean,
): readonly SinkFlow[] {
  return Object.entries(sinks).map(([name, sink]) => {
    const ratePerSecond = rateOf(name, sink.written)
    const isStalled = isRateKnown && ratePerSecond === 0 && sink.pendingRecords > 0 && sink.lagMs > stalledMs
    return {
      name,
      type: sink.type,
      topics: sink.topics,
      ratePerSecond,
      written: sink.written,
      lagRecords: sink.pendingRecords,
      lagMs: sink.lagMs,
      rejected: sink.rejected,
      expired: sink.expired,
      state: sink.error !== undefined ? 'failing' : isStalled ? 'stalled' : 'ok',
      lastError: sink.error ?? sink.lastError ?? null,
      where: sink.where,
    }
  })
}

function overviewOf(books: ServiceBooks, lostPerSecond: number): ServiceOverview {
  const { service, origins, lost, arrivals, vitals } = books
  const rates = arrivals?.levels ?? {}
  const shown = {
    service,
    origins,
    rates,
    history: arrivals?.history ?? { stepMs: 0, from: 0, levels: {} },
    errorsPerSecond: (rates.error ?? 0) + (rates.fatal ?? 0),
    pointsPerSecond: arrivals?.pointsPerSecond ?? 0,
    lost: { total: lostTotal(lost), perSecond: lostPerSecond, byReason: lost },
    eventLoopP99Ms: vitals?.eventLoopP99Ms ?? null,
    cpuCores: vitals?.cpuCores ?? null,
    rssBytes: vitals?.rssBytes ?? null,
  }
  return { ...shown, problems: problemsOf(shown) }
}

function problemsOf({ origins, rates, errorsPerSecond, lost, eventLoopP99Ms }: Omit<ServiceOverview, 'problems'>): Problem[] {
  const problems: Problem[] = []
  const say = (severity: Problem['severity'], text: string) => problems.push({ severity, text })
  const reasons = Object.entries(lost.byReason)
    .map(([reason, records]) => `${records} ${reason}`)
    .join(', ')
  if (lost.perSecond > 0) say('error', `records are being lost: ${rounded(lost.perSecond)} a second (${reasons} in all)`)
  else if (lost.total > 0) say('warn', `${lost.total} records were lost (${reasons})`)
  if (origins.lost > 0) say('error', `${processes(origins.lost)} not heard of`)
  if (origins.unclean > 0) say('warn', `${processes(origins.unclean)} ended without goodbye`)
  if ((rates.fatal ?? 0) > 0) say('error', `${rounded(rates.fatal ?? 0)} fatal records a second`)
  if (errorsPerSecond > 0) say('warn', `${rounded(errorsPerSecond)} errors a second`)
  if (eventLoopP99Ms !== null && eventLoopP99Ms >= slowEventLoopMs) say('warn', `event loop ${rounded(eventLoopP99Ms)} ms late (p99)`)
  return problems
}

function processes(count: number): string {
  return count === 1 ? '1 process' : `${count} processes`
}

function rounded(value: number): string {
  return value >= 10 ? String(Math.round(value)) : String(Math.round(10 * value) / 10)
}

/** What is wrong comes first: errors, then warnings, then errors logged, then the busiest. */
function worstFirst(a: ServiceOverview, b: ServiceOverview): number {
  const count = ({ problems }: ServiceOverview, severity: Problem['severity']) =>
    problems.filter((each) => each.severity === severity).length
  const rate = ({ rates }: ServiceOverview) => Object.values(rates).reduce((sum, value) => sum + value, 0)
  return (
    count(b, 'error') - count(a, 'error') ||
    count(b, 'warn') - count(a, 'warn') ||
    b.errorsPerSecond - a.errorsPerSecond ||
    Math.round(rate(b)) - Math.round(rate(a)) ||
    (a.service < b.service ? -1 : 1)
  )
}

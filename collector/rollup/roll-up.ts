/**
 * The roll-up: points of all processes of a service made one series each, since the start and per window.
 *
 *   points ─► service, name, type, unit ─► attributes, grouped ─► series ─┬► since the start   every point, however late
 *                                                                        └► its window        until `lateMs` behind its end
 *
 * - A window is as long as the interval and aligned to the wall clock. A point belongs to the one its own interval ends
 *   in, by the clock of its process; one that is ahead of the collector's clock by more than `lateMs` to the window of now.
 * - Counters and histograms add up. Of gauges and up-down counters the newest value of each origin counts, by the
 *   numbers of its points, for as long as the origin lives; that of an up-down counter while it is said again.
 * - Of more series than `seriesMax`, the surplus of an instrument is one series with the attribute
 *   `otel.metric.overflow`; instruments are bounded too. A series nothing came for during an hour is forgotten.
 *
 * It lives in memory and begins anew with the collector, as any process's counters do; nothing is written anywhere.
 * What feeds sinks are the points themselves, which are in the spool. A point comes here once: the ledger has seen to it.
 * Pure but for the clock that is passed in.
 */
import { rollupInstrumentsMax, rollupSeriesIdleMs, rollupValueAgeMs, rollupValuesPerSeries, rollupWindowsKept } from '../../wire/limits.ts'
import type { PointsBody } from '../../wire/points.ts'
import { parseTopic, type Topic } from '../../wire/topic.ts'
import type { Contributor, ValueRoom } from './aggregates.ts'
import { type GroupConfig, GroupRules } from './group-rules.ts'
import { type AnyPoint, type Instrument, type OpenWindow, Series } from './series.ts'
import { type ClosedWindow, summaryOf } from './window-summary.ts'

export interface RollUpConfig extends GroupConfig {
  /** Length of a window, ms. */
  readonly intervalMs: number
  /** How long after its end a window takes points, ms. */
  readonly lateMs: number
  readonly seriesMax: number
}

export interface RollUpPorts {
  /** When an origin ended or was heard of last, Unix ms; infinite while it lives, 0 when nobody knows it. */
  endedAtMs(origin: string): number
  /** A series has been made, or is about to be forgotten. */
  added(series: Series): void
  removed(series: Series): void
  /** A window of a series is closed; what it was is not kept here. */
  closed?(series: Series, open: OpenWindow, counts: (contributor: Contributor) => boolean): void
  /** Every window up to this one is closed, and all of it was told. */
  closedAll?(window: number): void
}

/** Where points come from. */
export interface PointsSource {
  readonly topic: Topic
  readonly origin: string
  /** Number of the first point. */
  readonly seq: number
}

export interface RollUpCounts {
  /** Points merged. */
  readonly points: number
  /** Of these, points whose window was closed: they count since the start, and in no window. */
  readonly late: number
  /** Of these, points that were put into the window of now because their clock is ahead. */
  readonly ahead: number
  /** Of these, points of surplus series, now part of their instrument's overflow series. */
  readonly overflow: number
  /** Points not merged: there are too many instruments. */
  readonly refused: number
  /** Values of gauges and up-down counters that do not count any more because there were too many. */
  readonly displaced: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** An instrument, and the series its points belong to by their own attributes. */
interface Entry {
  readonly instrument: Instrument
  readonly byKey: Map<string, Series>
  /** Several attributes may stand for one series. */
  readonly byAttributes: Map<string, Series>
}

/** Where in time points belong. */
interface Place {
  /** Undefined when it is closed. */
  readonly window: number | undefined
  readonly isAhead: boolean
}

export const overflowAttributes = '{"otel.metric.overflow":true}'
/** Characters of attributes remembered in all; then they are looked up anew. Several texts may stand for a series. */
const rememberedChars = { min: 16_777_216, perSeries: 512 }
const topicsKnownMax = 10_000
/** A value that is not said again for so many of its own intervals does not count any more. */
const valueAgeIntervals = 3

export class RollUp {
  readonly config: RollUpConfig
  readonly #counts: Omit<Mutable<RollUpCounts>, 'displaced'> = { points: 0, late: 0, ahead: 0, overflow: 0, refused: 0 }
  /** Series there are, those of overflow not counted. */
  series = 0
  readonly #room: ValueRoom
  readonly #ports: RollUpPorts
  readonly #rules: GroupRules
  readonly #instruments = new Map<string, Entry>()
  readonly #services = new Map<Topic, string>()
  #rememberedChars = 0
  /** Windows up to this one are closed. */
  #closedTo = Number.NEGATIVE_INFINITY
  readonly #closed: ClosedWindow[] = []

  constructor(config: RollUpConfig, ports: RollUpPorts) {
    this.config = config
    this.#room = { values: 0, valuesMax: rollupValuesPerSeries * config.seriesMax, displaced: 0 }
    this.#ports = ports
    this.#rules = new GroupRules(config)
  }

  get counts(): RollUpCounts {
    return { ...this.#counts, displaced: this.#room.displaced }
  }

  /** The last windows that have been closed, oldest first. */
  get windows(): readonly ClosedWindow[] {
    return this.#closed
  }

  /** Adds the points of a body. Never throws. */
  merge(body: PointsBody, source: PointsSource, nowMs: number): void {
    const service = this.#serviceOf(source.topic)
    let { seq } = source
    const place = this.#placeOf(body, nowMs)
    const agedMs = nowMs + Math.max(rollupValueAgeMs, valueAgeIntervals * (body.endMs - body.startMs))
    const contributor: Contributor = { origin: source.origin, attributes: '', seq, atMs: nowMs, untilMs: agedMs }
    for (const told of body.instruments) {
      // A gauge is told when it is set; an up-down counter in every interval.
      contributor.untilMs = told.type === 'gauge' ? Number.POSITIVE_INFINITY : agedMs
      const entry = this.#entry(service, told)
      const { points } = told
      this.#count(points.length, place, entry)
      if (entry === undefined) seq += points.length
      else {
        for (const point of points) {
          const series = entry.byAttributes.get(point.attributes) ?? this.#find(entry, point.attributes)
          contributor.attributes = series.attributes === point.attributes ? '' : point.attributes
          contributor.seq = seq
          series.add(point, place.window, contributor)
          seq += 1
        }
      }
    }
  }

  /** Adds a point that is made here and not of any origin, such as a count of log lines. */
  add(told: Instrument, point: AnyPoint, atMs: number, nowMs: number): void {
    const entry = this.#entry(told.service, told)
    const place = this.#placeOf({ endMs: atMs + 1 }, nowMs)
    this.#count(1, place, entry)
    if (entry === undefined) return
    const series = entry.byAttributes.get(point.attributes) ?? this.#find(entry, point.attributes)
    series.add(point, place.window, { origin: '', attributes: '', seq: 0, atMs: nowMs, untilMs: nowMs })
  }

  #count(points: number, { window, isAhead }: Place, entry: Entry | undefined): void {
    if (entry === undefined) {
      this.#counts.refused += points
      return
    }
    this.#counts.points += points
    if (window === undefined) this.#counts.late += points
    if (isAhead) this.#counts.ahead += points
  }

  #serviceOf(topic: Topic): string {
    let service = this.#services.get(topic)
    if (service !== undefined) return service
    service = parseTopic(topic)?.service ?? ''
    // Hostile names come without end; the cache starts over.
    if (this.#services.size >= topicsKnownMax) this.#services.clear()
    this.#services.set(topic, service)
    return service
  }

  #placeOf({ endMs }: Pick<PointsBody, 'endMs'>, nowMs: number): Place {
    const { intervalMs, lateMs } = this.config
    const isAhead = endMs > nowMs + lateMs + intervalMs
    const window = Math.floor(isAhead ? nowMs / intervalMs : (endMs - 1) / intervalMs)
    const isOver = window <= this.#closedTo || (window + 1) * intervalMs + lateMs <= nowMs
    return { window: isOver ? undefined : window, isAhead }
  }

  #entry(service: string | undefined, { name, type, unit, description }: Omit<Instrument, 'service'>): Entry | undefined {
    const kept = this.#rules.keepsService ? service : undefined
    // Each may hold anything; their lengths say where one ends.
    const key = `${kept?.length}.${unit.length}.${type}.${kept}${unit}${name}`
    let entry = this.#instruments.get(key)
    if (entry === undefined) {
      if (this.#instruments.size >= rollupInstrumentsMax) return undefined
      const instrument = { service: kept, name, type, unit, description }
      entry = { instrument, byKey: new Map(), byAttributes: new Map() }
      this.#instruments.set(key, entry)
    }
    if (description !== '') entry.instrument.description = description
    return entry
  }

  #find(entry: Entry, attributes: string): Series {
    const key = this.#rules.group(attributes)
    const series = entry.byKey.get(key) ?? this.#newSeries(entry, key)
    // The attributes of what has no series of its own are not remembered: it may get one, and they may be without end.
    if (series.attributes === overflowAttributes && key !== overflowAttributes) {
      this.#counts.overflow += 1
      return series
    }
    this.#rememberedChars += attributes.length
    if (this.#rememberedChars > Math.max(rememberedChars.min, rememberedChars.perSeries * this.config.seriesMax)) this.#forgetAttributes()
    entry.byAttributes.set(attributes, series)
    return series
  }

  #newSeries(entry: Entry, key: string): Series {
    const isFull = this.series >= this.config.seriesMax && key !== overflowAttributes
    const attributes = isFull ? overflowAttributes : key
    const known = isFull ? entry.byKey.get(attributes) : undefined
    if (known !== undefined) return known
    const series = new Series(entry.instrument, attributes, this.#room)
    entry.byKey.set(attributes, series)
    if (attributes !== overflowAttributes) this.series += 1
    this.#ports.added(series)
    return series
  }

  #forgetAttributes(): void {
    for (const { byAttributes } of this.#instruments.values()) byAttributes.clear()
    this.#rememberedChars = 0
  }

  /** Every series, those of one instrument together. */
  *all(): Generator<Series> {
    for (const { byKey } of this.#instruments.values()) yield* byKey.values()
  }

  /** Whether the value a contributor said last still counts. */
  isCurrent({ origin, untilMs }: Pick<Contributor, 'origin' | 'untilMs'>, nowMs: number): boolean {
    return untilMs > nowMs && this.#ports.endedAtMs(origin) > nowMs
  }

  /** Closes windows that are over, and forgets what is no more. To be called about once per interval. */
  tick(nowMs: number): void {
    const { intervalMs, lateMs } = this.config
    const upTo = Math.floor((nowMs - lateMs) / intervalMs) - 1
    // A clock that was set back: what is closed is closed, but time must not stand still until it is there again.
    if (upTo < this.#closedTo - 1) this.#closedTo = upTo
    const closing = new Map<number, ClosedWindow>()
    let isAnyForgotten = false
    for (const entry of this.#instruments.values()) {
      for (const series of entry.byKey.values()) {
        for (const open of series.close(upTo)) this.#summarise(series, open, closing)
        const { total } = series
        if (total.type === 'gauge' || total.type === 'upDownCounter')
          total.value.prune((contribution) => !this.isCurrent(contribution, nowMs))
        if (!series.isIdle(nowMs - rollupSeriesIdleMs)) continue
        entry.byKey.delete(series.attributes)
        if (series.attributes !== overflowAttributes) this.series -= 1
        this.#ports.removed(series)
        isAnyForgotten = true
      }
    }
    if (isAnyForgotten) this.#forgetUnused()
    this.#closedTo = Math.max(this.#closedTo, upTo)
    for (const window of [...closing.keys()].sort((a, b) => a - b)) this.#closed.push(closing.get(window) as ClosedWindow)
    this.#closed.splice(0, Math.max(0, this.#closed.length - rollupWindowsKept))
    this.#ports.closedAll?.(this.#closedTo)
  }

  #summarise(series: Series, { window, aggregate }: OpenWindow, closing: Map<number, ClosedWindow>): void {
    const startMs = window * this.config.intervalMs
    const endMs = startMs + this.config.intervalMs
    const counts = ({ origin }: Contributor) => this.#ports.endedAtMs(origin) >= endMs
    const summary = summaryOf(aggregate, counts)
    if (summary !== undefined) this.#ports.closed?.(series, { window, aggregate }, counts)
    if (aggregate.type === 'gauge' || aggregate.type === 'upDownCounter') aggregate.value.clear()
    if (summary === undefined) return
    const closed = closing.get(window) ?? { startMs, endMs, series: [] }
    closing.set(window, closed)
    closed.series.push({ ...series.instrument, attributes: series.attributes, ...summary })
  }

  #forgetUnused(): void {
    this.#forgetAttributes()
    for (const [key, { byKey }] of this.#instruments) if (byKey.size === 0) this.#instruments.delete(key)
  }
}

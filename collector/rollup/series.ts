/** A rolled-up series: what it has been since the start, and what it was in the windows that are still open. */
import type { InstrumentPoints, PointType } from '../../wire/points.ts'
import { BoundedBuckets, type Contributor, Counter, Distribution, LatestValues, type ValueRoom } from './aggregates.ts'

/** What series of one name have in common. */
export interface Instrument {
  /** Undefined where all services are one. */
  readonly service: string | undefined
  readonly name: string
  readonly type: PointType
  /** UCUM, or ''. */
  readonly unit: string
  description: string
}

type Point<T extends PointType> = Extract<InstrumentPoints, { type: T }>['points'][number]
export type AnyPoint = InstrumentPoints['points'][number]

/** One kind of aggregate per type. */
export type Aggregate =
  | { readonly type: 'counter'; readonly value: Counter }
  | { readonly type: 'upDownCounter' | 'gauge'; readonly value: LatestValues }
  | { readonly type: 'histogram'; readonly value: Distribution }
  | { readonly type: 'buckets'; readonly value: BoundedBuckets }

export interface OpenWindow {
  /** Its number: its start divided by the interval. */
  readonly window: number
  readonly aggregate: Aggregate
}

export class Series {
  readonly instrument: Instrument
  /** JSON with sorted keys, as on the wire. */
  readonly attributes: string
  readonly total: Aggregate
  /** When the last point came, Unix ms. */
  lastAtMs = 0
  /** Few, the newest last as a rule. */
  readonly open: OpenWindow[] = []
  readonly #room: ValueRoom

  constructor(instrument: Instrument, attributes: string, room: ValueRoom) {
    this.instrument = instrument
    this.attributes = attributes
    this.#room = room
    this.total = newAggregate(instrument.type, room)
  }

  /** Whether nothing of it counts any more that came before `sinceMs`. A gauge counts while its process lives. */
  isIdle(sinceMs: number): boolean {
    const { total } = this
    const hasValues = (total.type === 'gauge' || total.type === 'upDownCounter') && total.value.size > 0
    return this.lastAtMs <= sinceMs && !hasValues
  }

  /** @param window - Undefined for a point that is too late for any window. */
  add(point: AnyPoint, window: number | undefined, contributor: Contributor): void {
    this.lastAtMs = contributor.atMs
    addPoint(this.total, point, contributor)
    if (window !== undefined) addPoint(this.#windowed(window), point, contributor)
  }

  #windowed(window: number): Aggregate {
    for (let i = this.open.length - 1; i >= 0; i -= 1) {
      const known = this.open[i]
      if (known?.window === window) return known.aggregate
    }
    const aggregate = newAggregate(this.instrument.type, this.#room)
    this.open.push({ window, aggregate })
    return aggregate
  }

  /** Takes out what it was in the windows up to one. */
  close(upTo: number): readonly OpenWindow[] {
    const { open } = this
    if (open.length === 0 || !open.some(({ window }) => window <= upTo)) return none
    const closed = open.filter(({ window }) => window <= upTo)
    open.splice(0, open.length, ...open.filter(({ window }) => window > upTo))
    return closed
  }
}

const none: readonly OpenWindow[] = []

function newAggregate(type: PointType, room: ValueRoom): Aggregate {
  switch (type) {
    case 'counter':
      return { type, value: new Counter() }
    case 'upDownCounter':
    case 'gauge':
      return { type, value: new LatestValues(room) }
    case 'histogram':
      return { type, value: new Distribution() }
    case 'buckets':
      return { type, value: new BoundedBuckets() }
  }
}

/** An aggregate and the points it is given are of one instrument, and so of one type. */
function addPoint(aggregate: Aggregate, point: AnyPoint, contributor: Contributor): void {
  switch (aggregate.type) {
    case 'counter':
      return aggregate.value.add(point as Point<'counter'>)
    case 'upDownCounter': {
      const { value } = point as Point<'upDownCounter'>
      return aggregate.value.add(contributor, { last: value, min: value, max: value })
    }
    case 'gauge':
      return aggregate.value.add(contributor, point as Point<'gauge'>)
    case 'histogram':
      return aggregate.value.add(point as Point<'histogram'>)
    case 'buckets':
      return aggregate.value.add(point as Point<'buckets'>)
  }
}

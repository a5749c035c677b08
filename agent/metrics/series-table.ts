/**
 * The series of one instrument, found by attributes.
 *
 * A call with attributes has to find its series without making garbage: no text is put together, nothing sorted.
 * Attributes are walked in the order they come, along a tree of what was seen before: a key, then a map by value.
 * Only what is not found there is made a text in its one form, under which every order of the same attributes meets.
 *
 *   { route: '/pay', ok: true }   route ─► '/pay' ─► ok ─► true ─► series  {"ok":true,"route":"/pay"}
 *   { ok: true, route: '/pay' }   ok ─► true ─► route ─► '/pay' ──┘
 *
 * The tree holds a bounded number of places. Series are capped too; what is over the cap goes to one of its own.
 */
import { attributeCharsMax, attributesBytesMax, attributesMax } from '../../wire/limits.ts'
import { type AttributeValue, decodeAttributes, encodeAttributes } from '../../wire/points.ts'
import type { Series } from './series.ts'

/** Attributes of a call: names to values. What is undefined or null is left out. */
export type MetricAttributes = Readonly<Record<string, AttributeValue | null | undefined>>

/** What a table needs from its instrument. */
export interface TableOwner<S extends Series> {
  newSeries(attributes: string): S
  /** There are as many series as may be, and one more was asked for. */
  overflowed(): void
  /** Counts an attribute that could not be kept as it was. */
  refuseAttribute(key: string): void
}

/** OpenTelemetry's attribute of the series that takes the surplus. */
const overflowAttributes = '{"otel.metric.overflow":true}'

/** Places in the tree for each series there may be: some orders of its attributes, and its inner places. */
const placesPerSeries = 8

class Place<S> {
  series: S | undefined
  /** The key that follows here in most calls, and its values; other keys stand in `others`. */
  key: string | undefined
  values: Map<unknown, Place<S>> | undefined
  others: Map<string, Map<unknown, Place<S>>> | undefined
}

export class SeriesTable<S extends Series> {
  readonly #owner: TableOwner<S>
  readonly #seriesMax: number
  readonly #byText = new Map<string, S>()
  #root = new Place<S>()
  #placeCount = 0
  #overflow: S | undefined

  constructor(owner: TableOwner<S>, seriesMax: number) {
    this.#owner = owner
    this.#seriesMax = seriesMax
  }

  /** Series, the one of the surplus included. */
  get size(): number {
    return this.#byText.size
  }

  /** The series of these attributes; beyond the cap, the shared one. Bounded work. */
  find(attributes: MetricAttributes | undefined): S {
    let place: Place<S> | undefined = this.#root
    for (const key in attributes) {
      const values: Map<unknown, Place<S>> | undefined = place.key === key ? place.values : place.others?.get(key)
      place = values?.get(attributes[key])
      if (place === undefined) return this.#findByText(attributes)
    }
    return place.series ?? this.#findByText(attributes)
  }

  /** The same for a handle that somebody keeps. */
  bind(attributes: MetricAttributes | undefined): S {
    const series = this.find(attributes)
    series.isBound = true
    return series
  }

  #findByText(attributes: MetricAttributes | undefined): S {
    // Nothing is kept of what is switched off.
    if (this.#seriesMax === 0) return this.#overflowSeries()
    const text = this.#textOf(attributes)
    let series = this.#byText.get(text)
    if (series === undefined) {
      if (this.#byText.size >= this.#seriesMax) {
        this.#owner.overflowed()
        return this.#overflowSeries()
      }
      series = this.#owner.newSeries(text)
      this.#byText.set(text, series)
    }
    this.#remember(attributes, series)
    return series
  }

  #overflowSeries(): S {
    // An application may have used the attribute itself.
    let series = this.#overflow ?? this.#byText.get(overflowAttributes)
    if (series === undefined) {
      series = this.#owner.newSeries(overflowAttributes)
      this.#byText.set(overflowAttributes, series)
    }
    this.#overflow = series
    return series
  }

  #remember(attributes: MetricAttributes | undefined, series: S): void {
    if (this.#placeCount >= this.#seriesMax * placesPerSeries) this.#forgetPlaces()
    let place = this.#root
    let depth = 0
    for (const key in attributes) {
      depth += 1
      // Not found again this way, but without end otherwise.
      if (depth > attributesMax) return
      const value = attributes[key]
      // What is no value of an attribute would be kept alive here, and may change.
      if (typeof value === 'object' || typeof value === 'function') return
      if (typeof value === 'string' && value.length > attributeCharsMax) return
      place = this.#placeBehind(place, key, value)
    }
    place.series = series
  }

  #placeBehind(place: Place<S>, key: string, value: unknown): Place<S> {
    place.key ??= key
    let values: Map<unknown, Place<S>> | undefined
    if (place.key === key) {
      place.values ??= new Map()
      values = place.values
    } else {
      place.others ??= new Map()
      values = place.others.get(key) ?? new Map()
      place.others.set(key, values)
    }
    let next = values.get(value)
    if (next === undefined) {
      next = new Place<S>()
      values.set(value, next)
      this.#placeCount += 1
    }
    return next
  }

  #forgetPlaces(): void {
    this.#root = new Place<S>()
    this.#placeCount = 0
  }

  /** The one text of these attributes, with what may be kept of them. */
  #textOf(attributes: MetricAttributes | undefined): string {
    const kept: Record<string, AttributeValue> = Object.create(null)
    let count = 0
    for (const key in attributes) {
      const value = this.#kept(key, attributes[key])
      if (value === undefined) continue
      count += 1
      if (count > attributesMax || key.length > attributeCharsMax) {
        this.#owner.refuseAttribute(key)
        if (count > attributesMax) break
        continue
      }
      kept[key] = value
    }
    let text = encodeAttributes(kept)
    while (Buffer.byteLength(text, 'utf8') > attributesBytesMax) {
      const last = Object.keys(kept).pop() ?? ''
      this.#owner.refuseAttribute(last)
      delete kept[last]
      text = encodeAttributes(kept)
    }
    return text
  }

  #kept(key: string, value: unknown): AttributeValue | undefined {
    if (typeof value === 'string') {
      if (value.length <= attributeCharsMax) return value
      this.#owner.refuseAttribute(key)
      return value.slice(0, attributeCharsMax)
    }
    if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return value
    if (value !== undefined && value !== null) this.#owner.refuseAttribute(key)
    return undefined
  }

  [Symbol.iterator](): Iterator<S> {
    return this.#byText.values()
  }

  /** Gives up series that nothing has come for in so many intervals and that nobody holds. */
  forgetIdle(idleIntervalsMax: number): void {
    let isAnyForgotten = false
    for (const [text, series] of this.#byText) {
      if (series.isBound || series.idleIntervals < idleIntervalsMax || series === this.#overflow) continue
      this.#byText.delete(text)
      isAnyForgotten = true
    }
    if (isAnyForgotten) this.#forgetPlaces()
  }

  /** The attribute with the most values among the series, and how many; undefined when none has any. */
  mostVaried(): { readonly key: string; readonly values: number } | undefined {
    const valuesByKey = new Map<string, Set<AttributeValue>>()
    for (const { attributes } of this) {
      for (const [key, value] of Object.entries(decodeAttributes(attributes) ?? {})) {
        const values = valuesByKey.get(key) ?? new Set()
        valuesByKey.set(key, values.add(value))
      }
    }
    let most: { readonly key: string; readonly values: number } | undefined
    for (const [key, { size }] of valuesByKey) if (size > (most?.values ?? 0)) most = { key, values: size }
    return most
  }
}

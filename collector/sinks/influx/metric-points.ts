/**
 * Points of metrics as points of a database: one for each, under the metric's name.
 *
 *   payments,service=shop,host=web1,origin=Xk3…,route=/pay value=12 1700000010000123456
 *
 *   counter, up-down counter   value
 *   gauge                      value min max
 *   histogram                  count sum min max p50 p90 p99, and the buckets as text when asked for
 *
 * All are floats but `count`, so that a metric that is a counter here and a gauge there has one type.
 */
import { ExponentialHistogram } from '../../../wire/exponential-histogram.ts'
import {
  type BucketsPoint,
  decodeAttributes,
  decodePoints,
  type GaugePoint,
  type HistogramPoint,
  type InstrumentPoints,
} from '../../../wire/points.ts'
import { parseTopic } from '../../../wire/topic.ts'
import type { Entry } from '../sink.ts'
import { floatText, integerText, measurementText, stringText, tagText } from './line-protocol.ts'
import { firstSlotOf, pointTime } from './point-time.ts'
import type { TagGuard } from './tag-guard.ts'

export interface MetricSchema {
  /** Whether histograms have their buckets too. */
  readonly buckets: boolean
  /** Whether the origin is a tag. */
  readonly origin: boolean
  /** Tags of every point. */
  readonly constant: Readonly<Record<string, string>>
}

export const metricTags = ['service', 'host', 'origin'] as const

/** Tags of attributes that are remembered; a million points of ten thousand series are read from these. */
const attributesMax = 50_000
const quantiles = [
  ['p50', 0.5],
  ['p90', 0.9],
  ['p99', 0.99],
] as const

export class MetricPoints {
  readonly #schema: MetricSchema
  readonly #guard: TagGuard
  readonly #reserved: ReadonlySet<string>
  readonly #constant: string
  readonly #attributes = new Map<string, string>()

  constructor(schema: MetricSchema, guard: TagGuard) {
    this.#schema = schema
    this.#guard = guard
    this.#reserved = new Set([...metricTags, ...Object.keys(schema.constant), 'time'])
    this.#constant = Object.entries(schema.constant)
      .map(([key, value]) => tagText(key, value))
      .join('')
  }

  /** One for each point, in order; undefined when the body cannot be read. */
  lines(entry: Entry, host: string | undefined): string[] | undefined {
    const body = decodePoints(entry.lines, entry.count)
    if (body === undefined) return undefined
    const { origin, topic } = entry
    const service = tagText('service', this.#guard.value('service', parseTopic(topic)?.service ?? 'unknown'))
    const hostText = host === undefined ? '' : tagText('host', this.#guard.value('host', host))
    const tags = `${service}${hostText}${this.#schema.origin ? tagText('origin', origin) : ''}${this.#constant}`
    const firstSlot = firstSlotOf(origin, topic)
    const lines: string[] = []
    for (const instrument of body.instruments) {
      const head = `${measurementText(instrument.name)}${tags}`
      for (const [attributes, fields] of this.#fieldsOf(instrument)) {
        lines.push(`${head}${this.#tagsOf(attributes)} ${fields} ${pointTime(body.endMs, firstSlot, entry.seq + lines.length)}`)
      }
    }
    return lines
  }

  #tagsOf(text: string): string {
    let tags = this.#attributes.get(text)
    if (tags === undefined) {
      if (this.#attributes.size >= attributesMax) this.#attributes.clear()
      tags = this.#newTags(text)
      this.#attributes.set(text, tags)
    }
    return tags
  }

  #newTags(text: string): string {
    let tags = ''
    const taken = new Set(this.#reserved)
    for (const [name, value] of Object.entries(decodeAttributes(text) ?? {})) {
      // No tag stands in a line twice, whatever two names become.
      let key = name
      while (taken.has(key)) key += '_'
      taken.add(key)
      let tag = tagText(key, this.#guard.value(key, String(value)))
      const written = tag.slice(0, tag.indexOf('='))
      if (taken.has(written)) tag = ''
      taken.add(written)
      tags += tag
    }
    return tags
  }

  *#fieldsOf(instrument: InstrumentPoints): Generator<readonly [attributes: string, fields: string]> {
    switch (instrument.type) {
      case 'counter':
      case 'upDownCounter':
        for (const { attributes, value } of instrument.points) yield [attributes, fields([['value', value]])]
        return
      case 'gauge':
        for (const point of instrument.points) yield [point.attributes, gaugeFields(point)]
        return
      case 'histogram':
        for (const point of instrument.points) yield [point.attributes, this.#histogramFields(point)]
        return
      case 'buckets':
        for (const point of instrument.points) yield [point.attributes, this.#bucketFields(point)]
    }
  }

  #histogramFields(point: HistogramPoint): string {
    const histogram = new ExponentialHistogram()
    histogram.merge(point)
    const { sum, min, max, scale, zeroCount, positive, negative } = point
    const numbers = fields([
      ['sum', sum],
      ['min', min],
      ['max', max],
      ...quantiles.map(([name, quantile]) => [name, histogram.quantile(quantile)] as const),
    ])
    const text = `count=${integerText(histogram.count) ?? '0i'},${numbers}`
    if (!this.#schema.buckets) return text
    const sides = `positive_offset=${positive.offset}i,positive=${list(positive.counts)},negative_offset=${negative.offset}i,negative=${list(negative.counts)}`
    return `${text},scale=${scale}i,zero_count=${zeroCount}i,${sides}`
  }

  #bucketFields(point: BucketsPoint): string {
    const { sum, bounds, counts } = point
    const count = counts.reduce((total, n) => total + n, 0)
    const numbers = fields([['sum', sum], ...quantiles.map(([name, quantile]) => [name, bucketQuantile(point, count, quantile)] as const)])
    const text = `count=${integerText(count) ?? '0i'},${numbers}`
    return this.#schema.buckets ? `${text},bounds=${list(bounds)},counts=${list(counts)}` : text
  }
}

function gaugeFields({ last, min, max }: GaugePoint): string {
  return fields([
    ['value', last],
    ['min', min],
    ['max', max],
  ])
}

function fields(numbers: readonly (readonly [name: string, value: number | undefined])[]): string {
  let text = ''
  for (const [name, value] of numbers) {
    const number = value === undefined ? undefined : floatText(value)
    if (number !== undefined) text += `${text === '' ? '' : ','}${name}=${number}`
  }
  return text
}

function list(numbers: readonly number[]): string {
  return stringText(numbers.join(' '))
}

/** Within its bucket values are taken to be spread evenly; the last bucket has no upper end. */
function bucketQuantile({ bounds, counts }: BucketsPoint, count: number, quantile: number): number | undefined {
  const rank = quantile * count
  let below = 0
  for (const [i, inside] of counts.entries()) {
    if (below + inside >= rank && inside > 0) {
      const upper = bounds[i]
      const lower = i === 0 ? Math.min(0, bounds[0] ?? 0) : bounds[i - 1]
      if (upper === undefined || lower === undefined) return lower
      return lower + ((upper - lower) * (rank - below)) / inside
    }
    below += inside
  }
  return undefined
}

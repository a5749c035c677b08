/**
 * Points: what metrics are on the wire, the body of frames of kind 3.
 *
 *   body       = [startMs, endMs, instruments]
 *   instrument = [name, type, unit, description, points]
 *
 * A frame's records are its points, numbered in the order they stand in. The layouts of the points and what they mean
 * are in docs/WIRE.md. Written and read by hand, because a program with ten thousand series sends them every ten
 * seconds from its event loop, and a collector reads a million a second; the reader checks every bound before it
 * builds anything, and never throws.
 */
import type { BucketCounts, HistogramValue } from './exponential-histogram.ts'
import {
  attributesBytesMax,
  batchBytesMax,
  decodeElementsMax,
  frameBytesMax,
  frameInstrumentsMax,
  frameRecordsMax,
  histogramBucketsMax,
  histogramWireScale,
  instrumentDescriptionCharsMax,
  instrumentNameCharsMax,
  instrumentUnitCharsMax,
  sequenceMax,
} from './limits.ts'
import { SpillwayError } from './spillway-error.ts'

/** Numbers of the types on the wire. `buckets` are histograms with bounds of their own. */
export const pointTypes = { counter: 1, upDownCounter: 2, gauge: 3, histogram: 4, buckets: 5 } as const
export type PointType = keyof typeof pointTypes

/** A counter's increase in the interval (from 0), or an up-down counter's value at its end. */
export interface NumberPoint {
  /** A JSON object with sorted keys; names the series. See {@link encodeAttributes}. */
  readonly attributes: string
  readonly value: number
}

/** What a gauge was in the interval. */
export interface GaugePoint {
  readonly attributes: string
  readonly last: number
  readonly min: number
  readonly max: number
}

/** The values recorded in the interval. */
export interface HistogramPoint extends HistogramValue {
  readonly attributes: string
}

/** The values counted in the interval: `counts[i]` of them at most `bounds[i]` and above the bound before, the last count above all. */
export interface BucketsPoint {
  readonly attributes: string
  readonly sum: number
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
}

interface Described {
  readonly name: string
  /** UCUM, or ''. */
  readonly unit: string
  readonly description: string
}

/** An instrument with its points; at least one. */
export type InstrumentPoints = Described &
  (
    | { readonly type: 'counter' | 'upDownCounter'; readonly points: readonly NumberPoint[] }
    | { readonly type: 'gauge'; readonly points: readonly GaugePoint[] }
    | { readonly type: 'histogram'; readonly points: readonly HistogramPoint[] }
    | { readonly type: 'buckets'; readonly points: readonly BucketsPoint[] }
  )

export interface PointsBody extends Interval {
  readonly instruments: readonly InstrumentPoints[]
}

export type AttributeValue = string | number | boolean
export type Attributes = Readonly<Record<string, AttributeValue>>

/** The one text of a set of attributes: JSON with its keys in the order of their code units. */
export function encodeAttributes(attributes: Attributes): string {
  const keys = Object.keys(attributes)
  if (keys.length === 0) return '{}'
  keys.sort()
  const parts: string[] = []
  for (const key of keys) parts.push(`${JSON.stringify(key)}:${JSON.stringify(attributes[key])}`)
  return `{${parts.join(',')}}`
}

/** Reads what {@link encodeAttributes} wrote; undefined for any other text. The object has no prototype. Never throws. */
export function decodeAttributes(text: string): Attributes | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined
  const attributes: Record<string, AttributeValue> = Object.create(null)
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner !== 'string' && typeof inner !== 'boolean' && !(typeof inner === 'number' && Number.isFinite(inner))) return undefined
    attributes[key] = inner
  }
  return encodeAttributes(attributes) === text ? attributes : undefined
}

/** What a point or an instrument takes at most; a body with less room left is full. */
const numberBytesMax = 9
const pointBytesMax = attributesBytesMax + 32 + (2 * histogramBucketsMax + 12) * numberBytesMax
const instrumentBytesMax = 3 * (instrumentNameCharsMax + instrumentUnitCharsMax + instrumentDescriptionCharsMax) + 32
const pointElementsMax = 2 * histogramBucketsMax + 16

export interface Interval {
  /** Unix ms. */
  readonly startMs: number
  readonly endMs: number
}

/**
 * Writes bodies of points one after the other, as full as they may be. `isFull` before each point says that the body
 * is to be taken with {@link finish} first.
 */
export class PointsWriter {
  /** Points in the body so far. */
  count = 0
  readonly #buffer: Buffer
  #at = 0
  #elements = 0
  #instruments = 0
  #instrumentsAt = 0
  #points = 0
  #pointsAt = 0

  /** @param bytesMax - Of a body. @defaultValue 65,536 */
  constructor(bytesMax: number = batchBytesMax) {
    this.#buffer = Buffer.allocUnsafeSlow(bytesMax)
  }

  /** Begins a body; what is in the one before and was not taken is forgotten. */
  begin({ startMs, endMs }: Interval): void {
    this.#at = 0
    this.#arrayHead(3)
    this.#number(startMs)
    this.#number(endMs)
    this.count = 0
    this.#instruments = 0
    this.#points = 0
    this.#elements = 4
    this.#instrumentsAt = this.#at
    this.#at += 3
  }

  /** Whether another point may not fit, of whatever kind it is. */
  get isFull(): boolean {
    return (
      this.count >= frameRecordsMax ||
      this.#instruments >= frameInstrumentsMax ||
      this.#elements + pointElementsMax > decodeElementsMax ||
      this.#at + instrumentBytesMax + pointBytesMax > this.#buffer.length
    )
  }

  /** Begins an instrument; the points that follow are its. Its texts are as long as their limits allow at most. */
  instrument(instrument: Described & { readonly type: PointType }): void {
    this.#endInstrument()
    this.#buffer[this.#at++] = 0x95
    this.#text(instrument.name)
    this.#number(pointTypes[instrument.type])
    this.#text(instrument.unit)
    this.#text(instrument.description)
    this.#pointsAt = this.#at
    this.#at += 3
    this.#points = 0
    this.#instruments += 1
    this.#elements += 6
  }

  /** A point of a counter or an up-down counter. */
  number(attributes: string, value: number): void {
    this.#begun(attributes, 2)
    this.#number(value)
  }

  gauge(attributes: string, { last, min, max }: Omit<GaugePoint, 'attributes'>): void {
    this.#begun(attributes, 4)
    this.#number(last)
    this.#number(min)
    this.#number(max)
  }

  histogram(attributes: string, value: HistogramValue): void {
    this.#begun(attributes, 10)
    this.#number(value.sum)
    this.#number(value.min)
    this.#number(value.max)
    this.#number(value.scale)
    this.#number(value.zeroCount)
    this.#buckets(value.positive)
    this.#buckets(value.negative)
  }

  buckets(attributes: string, { sum, bounds, counts }: Omit<BucketsPoint, 'attributes'>): void {
    this.#begun(attributes, 4)
    this.#number(sum)
    this.#numbers(bounds)
    this.#numbers(counts)
  }

  /** The body so far, a copy of its own; undefined when there is no point in it. {@link begin} comes next. */
  finish(): Buffer | undefined {
    this.#endInstrument()
    this.#patchHead(this.#instrumentsAt, this.#instruments)
    return this.count === 0 ? undefined : Buffer.from(this.#buffer.subarray(0, this.#at))
  }

  #endInstrument(): void {
    if (this.#instruments > 0) this.#patchHead(this.#pointsAt, this.#points)
  }

  #begun(attributes: string, fields: number): void {
    this.#arrayHead(fields)
    this.#text(attributes)
    this.#elements += fields + 1
    this.#points += 1
    this.count += 1
  }

  #buckets({ offset, counts }: BucketCounts): void {
    this.#number(offset)
    this.#numbers(counts)
  }

  #numbers(values: readonly number[]): void {
    this.#arrayHead(values.length)
    for (const value of values) this.#number(value)
    this.#elements += values.length
  }

  #arrayHead(length: number): void {
    if (length < 16) this.#buffer[this.#at++] = 0x90 | length
    else {
      this.#patchHead(this.#at, length)
      this.#at += 3
    }
  }

  #patchHead(at: number, length: number): void {
    this.#buffer[at] = 0xdc
    this.#buffer.writeUInt16BE(length, at + 1)
  }

  #text(text: string): void {
    // A head of three bytes for every text but a short ASCII one: its length in UTF-8 is known only when it is written.
    const bytes = this.#buffer.write(text, this.#at + 3, 'utf8')
    if (bytes < 32) {
      this.#buffer[this.#at] = 0xa0 | bytes
      this.#buffer.copyWithin(this.#at + 1, this.#at + 3, this.#at + 3 + bytes)
      this.#at += 1 + bytes
    } else {
      this.#buffer[this.#at] = 0xda
      this.#buffer.writeUInt16BE(bytes, this.#at + 1)
      this.#at += 3 + bytes
    }
  }

  #number(value: number): void {
    const buffer = this.#buffer
    if (!Number.isInteger(value) || value > 0xffff_ffff || value < -0x8000_0000) {
      buffer[this.#at] = 0xcb
      this.#at = buffer.writeDoubleBE(value, this.#at + 1)
    } else if (value >= 0) {
      if (value < 0x80) buffer[this.#at++] = value
      else if (value < 0x100) {
        buffer[this.#at] = 0xcc
        this.#at = buffer.writeUInt8(value, this.#at + 1)
      } else if (value < 0x1_0000) {
        buffer[this.#at] = 0xcd
        this.#at = buffer.writeUInt16BE(value, this.#at + 1)
      } else {
        buffer[this.#at] = 0xce
        this.#at = buffer.writeUInt32BE(value, this.#at + 1)
      }
    } else if (value >= -32) buffer[this.#at++] = value & 0xff
    else {
      buffer[this.#at] = 0xd2
      this.#at = buffer.writeInt32BE(value, this.#at + 1)
    }
  }
}

/**
 * Encodes one body, for a frame whose `count` is the number of its points.
 *
 * @throws {@link SpillwayError} `SPW_FRAME_INVALID` when it would be over a bound of a frame.
 */
export function encodePoints({ startMs, endMs, instruments }: PointsBody): Buffer {
  const writer = new PointsWriter(frameBytesMax)
  writer.begin({ startMs, endMs })
  for (const instrument of instruments) {
    if (writer.isFull || hasLongText(instrument)) throw tooMuch()
    writer.instrument(instrument)
    for (const write of pointsOf(writer, instrument)) {
      if (writer.isFull) throw tooMuch()
      write()
    }
  }
  const { count } = writer
  const body = writer.finish()
  if (body === undefined || decodePoints(body, count) === undefined) throw tooMuch()
  return body
}

function hasLongText({ name, unit, description, points }: InstrumentPoints): boolean {
  if (name.length > instrumentNameCharsMax || unit.length > instrumentUnitCharsMax) return true
  if (description.length > instrumentDescriptionCharsMax) return true
  return points.some(({ attributes }) => Buffer.byteLength(attributes, 'utf8') > attributesBytesMax)
}

function pointsOf(writer: PointsWriter, instrument: InstrumentPoints): (() => void)[] {
  switch (instrument.type) {
    case 'counter':
    case 'upDownCounter':
      return instrument.points.map((point) => () => writer.number(point.attributes, point.value))
    case 'gauge':
      return instrument.points.map((point) => () => writer.gauge(point.attributes, point))
    case 'histogram':
      return instrument.points.map((point) => () => writer.histogram(point.attributes, point))
    case 'buckets':
      return instrument.points.map((point) => () => writer.buckets(point.attributes, point))
  }
}

function tooMuch(): SpillwayError {
  return new SpillwayError('SPW_FRAME_INVALID', 'points: expected 1 to 4096 points within the bounds of docs/WIRE.md')
}

/**
 * Reads a body of points. Never throws.
 *
 * @param body - The body of a decoded frame of kind 3. Nothing of the result is a view into it.
 * @param count - Points the frame says it has.
 * @returns Undefined when anything in it is not as docs/WIRE.md says.
 */
export function decodePoints(body: Buffer, count: number): PointsBody | undefined {
  const read = new PointsReader(body)
  read.arrayOf(3)
  const startMs = read.count()
  const endMs = read.count()
  const instruments: InstrumentPoints[] = []
  const instrumentCount = read.array(frameInstrumentsMax)
  let left = count
  for (let i = 0; i < instrumentCount && !read.isBad; i += 1) {
    const instrument = readInstrument(read, left)
    left -= instrument.points.length
    instruments.push(instrument)
  }
  const isWhole = !read.isBad && read.isAtEnd && left === 0 && count > 0 && startMs <= endMs
  return isWhole ? { startMs, endMs, instruments } : undefined
}

function readInstrument(read: PointsReader, pointsMax: number): InstrumentPoints {
  read.arrayOf(5)
  const name = read.text(instrumentNameCharsMax)
  const type = read.count()
  const unit = read.text(instrumentUnitCharsMax)
  const description = read.text(instrumentDescriptionCharsMax)
  const length = read.array(pointsMax)
  if (name === '' || length === 0) read.isBad = true
  const described = { name, unit, description }
  switch (type) {
    case pointTypes.counter:
      return { ...described, type: 'counter', points: readPoints(read, length, readCounterPoint) }
    case pointTypes.upDownCounter:
      return { ...described, type: 'upDownCounter', points: readPoints(read, length, readNumberPoint) }
    case pointTypes.gauge:
      return { ...described, type: 'gauge', points: readPoints(read, length, readGaugePoint) }
    case pointTypes.histogram:
      return { ...described, type: 'histogram', points: readPoints(read, length, readHistogramPoint) }
    case pointTypes.buckets:
      return { ...described, type: 'buckets', points: readPoints(read, length, readBucketsPoint) }
    default:
      read.isBad = true
      return { ...described, type: 'counter', points: [] }
  }
}

function readPoints<P>(read: PointsReader, length: number, readPoint: (read: PointsReader) => P): P[] {
  const points: P[] = []
  for (let i = 0; i < length && !read.isBad; i += 1) points.push(readPoint(read))
  return points
}

function readNumberPoint(read: PointsReader): NumberPoint {
  read.arrayOf(2)
  return { attributes: read.attributes(), value: read.number() }
}

function readCounterPoint(read: PointsReader): NumberPoint {
  const point = readNumberPoint(read)
  if (point.value < 0) read.isBad = true
  return point
}

function readGaugePoint(read: PointsReader): GaugePoint {
  read.arrayOf(4)
  const point = { attributes: read.attributes(), last: read.number(), min: read.number(), max: read.number() }
  if (point.min > point.last || point.last > point.max) read.isBad = true
  return point
}

function readHistogramPoint(read: PointsReader): HistogramPoint {
  read.arrayOf(10)
  const point = {
    attributes: read.attributes(),
    sum: read.number(),
    min: read.number(),
    max: read.number(),
    scale: read.number(),
    zeroCount: read.count(),
    positive: { offset: read.number(), counts: read.counts(histogramBucketsMax) },
    negative: { offset: read.number(), counts: read.counts(histogramBucketsMax) },
  }
  const { scale, min, max, zeroCount, positive, negative } = point
  const isScale = Number.isInteger(scale) && scale >= histogramWireScale.min && scale <= histogramWireScale.max
  const hasValue = zeroCount > 0 || hasCount(positive.counts) || hasCount(negative.counts)
  if (!isScale || min > max || !hasValue || !isInRange(positive, scale) || !isInRange(negative, scale)) read.isBad = true
  return point
}

function hasCount(counts: readonly number[]): boolean {
  for (const count of counts) if (count > 0) return true
  return false
}

/** Octaves of the doubles, one more at each end. */
const exponents = { min: -1_076, max: 1_025 }

/** Buckets to an octave at each scale; a power of two takes as long to raise as a point to merge. */
const bucketsPerOctave = Array.from(
  { length: histogramWireScale.max - histogramWireScale.min + 1 },
  (_, i) => 2 ** (i + histogramWireScale.min),
)

/** Whether doubles can lie in all these buckets; then they fit 32 bits, and scale -4 has room for them. */
function isInRange({ offset, counts }: BucketCounts, scale: number): boolean {
  const perOctave = bucketsPerOctave[scale - histogramWireScale.min] ?? Number.NaN
  const last = offset + Math.max(counts.length, 1) - 1
  return Number.isInteger(offset) && Math.floor(offset / perOctave) >= exponents.min && last / perOctave <= exponents.max
}

function readBucketsPoint(read: PointsReader): BucketsPoint {
  read.arrayOf(4)
  const point = {
    attributes: read.attributes(),
    sum: read.number(),
    bounds: read.numbers(histogramBucketsMax - 1),
    counts: read.counts(histogramBucketsMax),
  }
  const { bounds, counts } = point
  const isAscending = bounds.every((bound, i) => i === 0 || bound > (bounds[i - 1] as number))
  if (!isAscending || counts.length !== bounds.length + 1 || !hasCount(counts)) read.isBad = true
  return point
}

/** Reads value after value. What is not as expected sets `isBad`, and everything read from then on means nothing. */
class PointsReader {
  isBad = false
  readonly #body: Buffer
  readonly #view: DataView
  #at = 0

  constructor(body: Buffer) {
    this.#body = body
    // Reads a double in a third of the time a Buffer takes.
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#body.length
  }

  /** Length of an array of at most `lengthMax` values; 0 when it is none. */
  array(lengthMax: number): number {
    const type = this.#take(1)
    let length = type & 0x0f
    if (type === 0xdc) length = this.#take(2)
    else if (type === 0xdd) length = this.#take(4)
    else if ((type & 0xf0) !== 0x90) return this.#bad()
    return length <= lengthMax ? length : this.#bad()
  }

  arrayOf(length: number): void {
    if (this.array(length) !== length) this.isBad = true
  }

  attributes(): string {
    const text = this.text(attributesBytesMax)
    if (!text.startsWith('{') || !text.endsWith('}')) this.isBad = true
    return text
  }

  text(charsMax: number): string {
    const type = this.#take(1)
    let bytes = type & 0x1f
    if (type === 0xd9) bytes = this.#take(1)
    else if (type === 0xda) bytes = this.#take(2)
    else if (type === 0xdb) bytes = this.#take(4)
    else if ((type & 0xe0) !== 0xa0) this.isBad = true
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    if (this.isBad || bytes > 3 * charsMax || this.#at + bytes > this.#body.length) {
      this.isBad = true
      return ''
    }
    const text = this.#body.toString('utf8', this.#at, this.#at + bytes)
    this.#at += bytes
    if (text.length > charsMax) this.isBad = true
    return text
  }

  /** A finite number in any of its encodings. */
  number(): number {
    const type = this.#take(1)
    if (type < 0x80) return type
    if (type >= 0xe0) return type - 0x100
    const value = this.#wideNumber(type)
    // -0 is 0 and must look like it.
    return Number.isFinite(value) ? value + 0 : this.#bad()
  }

  #wideNumber(type: number): number {
    const body = this.#body
    const at = this.#at
    const bytes = numberBytes[type - 0xca] ?? 0
    if (bytes === 0 || at + bytes > body.length) return this.#bad()
    this.#at = at + bytes
    switch (type) {
      case 0xca:
        return this.#view.getFloat32(at)
      case 0xcb:
        return this.#view.getFloat64(at)
      case 0xcf:
        return body.readUInt32BE(at) * 0x1_0000_0000 + body.readUInt32BE(at + 4)
      case 0xd3:
        return body.readInt32BE(at) * 0x1_0000_0000 + body.readUInt32BE(at + 4)
      default:
        return type < 0xd0 ? body.readUIntBE(at, bytes) : body.readIntBE(at, bytes)
    }
  }

  /** A whole number from 0 to 2^53-1. */
  count(): number {
    const value = this.number()
    return Number.isInteger(value) && value >= 0 && value <= sequenceMax ? value : this.#bad()
  }

  counts(lengthMax: number): number[] {
    const length = this.array(lengthMax)
    const counts: number[] = []
    for (let i = 0; i < length && !this.isBad; i += 1) {
      const small = this.#body[this.#at] ?? 0xff
      if (small >= 0x80) counts.push(this.count())
      else {
        counts.push(small)
        this.#at += 1
      }
    }
    return counts
  }

  numbers(lengthMax: number): number[] {
    const length = this.array(lengthMax)
    const numbers: number[] = []
    for (let i = 0; i < length && !this.isBad; i += 1) numbers.push(this.number())
    return numbers
  }

  #take(bytes: 1 | 2 | 4): number {
    if (bytes === 1) {
      const value = this.#body[this.#at]
      this.#at += 1
      // Behind the end there is none.
      return value ?? this.#bad()
    }
    if (this.#at + bytes > this.#body.length) return this.#bad()
    const value = this.#body.readUIntBE(this.#at, bytes)
    this.#at += bytes
    return value
  }

  #bad(): 0 {
    this.isBad = true
    return 0
  }
}

/** Bytes behind the types 0xca (float32) to 0xd3 (int64). */
const numberBytes: readonly number[] = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8]

/**
 * A slot on disk: what all series were in one stretch of time.
 *
 *   slot         startMs f64 | endMs f64 | per instrument: number | length u32 | per series: number | value
 *   counter      delta
 *   level        0 one process whose value stood still: value | 1 sum processes min max last
 *   histogram    sum min max scale zeroCount | twice, positive and negative: offset, how many, counts
 *   buckets      sum | how many bounds | bounds | counts
 *
 * The length lets a reader pass over the instruments it does not look for.
 */
import type { BucketCounts } from '../../wire/exponential-histogram.ts'
import { histogramBucketsMax } from '../../wire/limits.ts'
import type { KeptKind, KeptValue } from './kept-value.ts'
import { NumberReader, NumberWriter } from './number-writer.ts'

/** Series of one instrument, by the numbers their segment gives them. */
export interface SlotSection {
  readonly instrument: number
  readonly values: readonly (readonly [series: number, value: KeptValue])[]
}

const boundsMax = 4_096

export function encodeSlot(startMs: number, endMs: number, sections: Iterable<SlotSection>): Buffer {
  const writer = new NumberWriter()
  writer.float(startMs)
  writer.float(endMs)
  for (const { instrument, values } of sections) {
    writer.count(instrument)
    const from = writer.lengthLater()
    for (const [series, value] of values) {
      writer.count(series)
      writeValue(writer, value)
    }
    writer.lengthNow(from)
  }
  return writer.take()
}

function writeValue(writer: NumberWriter, value: KeptValue): void {
  switch (value.kind) {
    case 'counter':
      return writer.number(value.delta)
    case 'level': {
      const { sum, processes, min, max, last } = value
      const isStill = processes === 1 && sum === last && min === last && max === last
      writer.byte(isStill ? 0 : 1)
      for (const each of isStill ? [last] : [sum, processes, min, max, last]) writer.number(each)
      return
    }
    case 'histogram': {
      const { sum, min, max, scale, zeroCount, positive, negative } = value.histogram
      for (const each of [sum, min, max, scale, zeroCount]) writer.number(each)
      for (const { offset, counts } of [positive, negative]) {
        writer.zigzag(offset)
        writer.count(counts.length)
        for (const count of counts) writer.count(count)
      }
      return
    }
    case 'buckets':
      writer.number(value.sum)
      writer.count(value.bounds.length)
      for (const bound of value.bounds) writer.number(bound)
      for (const count of value.counts) writer.count(count)
  }
}

export interface SlotVisitor {
  /** What kind an instrument's values are; undefined when nobody looks for them. */
  kindOf(instrument: number): KeptKind | undefined
  value(instrument: number, series: number, value: KeptValue): void
}

/** @throws RangeError when it is not what {@link encodeSlot} made. */
export function decodeSlot(bytes: Buffer, visitor: SlotVisitor): void {
  const reader = new NumberReader(bytes)
  reader.at = 16
  while (!reader.isAtEnd) {
    const instrument = reader.count()
    const length = reader.length()
    const end = reader.at + length
    if (end > bytes.length) throw new RangeError('behind the end')
    const kind = visitor.kindOf(instrument)
    if (kind === undefined) reader.at = end
    else while (reader.at < end) visitor.value(instrument, reader.count(), readValue(reader, kind))
  }
}

function readValue(reader: NumberReader, kind: KeptKind): KeptValue {
  switch (kind) {
    case 'counter':
      return { kind, delta: reader.number() }
    case 'level': {
      if (reader.byte() === 0) {
        const last = reader.number()
        return { kind, sum: last, processes: 1, min: last, max: last, last }
      }
      const [sum, processes, min, max, last] = [reader.number(), reader.number(), reader.number(), reader.number(), reader.number()]
      return { kind, sum, processes, min, max, last }
    }
    case 'histogram': {
      const [sum, min, max, scale, zeroCount] = [reader.number(), reader.number(), reader.number(), reader.number(), reader.number()]
      const [positive, negative] = [readBuckets(reader), readBuckets(reader)]
      return { kind, histogram: { sum, min, max, scale, zeroCount, positive, negative } }
    }
    case 'buckets': {
      const sum = reader.number()
      const length = reader.count()
      if (length > boundsMax) throw new RangeError('more bounds than anybody has')
      const bounds = Array.from({ length }, () => reader.number())
      return { kind, sum, bounds, counts: Array.from({ length: length + 1 }, () => reader.count()) }
    }
  }
}

function readBuckets(reader: NumberReader): BucketCounts {
  const offset = reader.zigzag()
  const length = reader.count()
  if (length > histogramBucketsMax) throw new RangeError('more buckets than a histogram has')
  return { offset, counts: Array.from({ length }, () => reader.count()) }
}

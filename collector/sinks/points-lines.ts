/**
 * Points as lines of JSON, one each:
 *
 *   {"time":1780000010000,"interval":10000,"service":"shop","origin":"…","name":"payments","type":"counter","unit":"1",
 *    "attributes":{"route":"/pay"},"delta":3}
 *
 * The same frame always gives the same bytes: after a restart what comes again is compared with what stands in the file.
 * The attributes are spliced in as they came; they were found to be JSON before the frame was taken.
 */

import type { BucketCounts, HistogramValue } from '../../wire/exponential-histogram.ts'
import { frameKinds } from '../../wire/frame.ts'
import { decodePoints, type InstrumentPoints } from '../../wire/points.ts'
import { parseTopic } from '../../wire/topic.ts'
import type { Entry } from './sink.ts'

/** What a text sink writes for an entry: its lines as they came, or a line for each of its points. */
export function entryText({ kind, lines, topic, origin, count }: Pick<Entry, 'kind' | 'lines' | 'topic' | 'origin' | 'count'>): Buffer {
  if (kind !== frameKinds.points) return lines
  const body = decodePoints(lines, count)
  // It was read before it was taken. Should a later version not be able to, there is a line for each point all the same.
  if (body === undefined) return Buffer.from(`${JSON.stringify({ unreadable: true })}\n`.repeat(count))
  const interval = body.endMs - body.startMs
  const service = JSON.stringify(parseTopic(topic)?.service ?? '')
  const head = `{"time":${body.endMs},"interval":${interval},"service":${service},"origin":${JSON.stringify(origin)}`
  let text = ''
  for (const instrument of body.instruments) {
    const { name, type, unit } = instrument
    const own = `${head},"name":${JSON.stringify(name)},"type":"${type}","unit":${JSON.stringify(unit)},"attributes":`
    for (const [attributes, numbers] of numbersOf(instrument)) text += `${own}${attributes},${numbers}}\n`
  }
  return Buffer.from(text)
}

function* numbersOf(instrument: InstrumentPoints): Generator<readonly [attributes: string, numbers: string]> {
  switch (instrument.type) {
    case 'counter':
      for (const { attributes, value } of instrument.points) yield [attributes, `"delta":${value}`]
      break
    case 'upDownCounter':
      for (const { attributes, value } of instrument.points) yield [attributes, `"value":${value}`]
      break
    case 'gauge':
      for (const { attributes, last, min, max } of instrument.points) yield [attributes, `"last":${last},"min":${min},"max":${max}`]
      break
    case 'histogram':
      for (const point of instrument.points) {
        const { attributes, sum, min, max, scale, zeroCount, positive, negative } = point
        const buckets = `"positive":${bucketsText(positive)},"negative":${bucketsText(negative)}`
        const count = histogramCount(point)
        yield [attributes, `"count":${count},"sum":${sum},"min":${min},"max":${max},"scale":${scale},"zeroCount":${zeroCount},${buckets}`]
      }
      break
    case 'buckets':
      for (const { attributes, sum, bounds, counts } of instrument.points) {
        const count = counts.reduce((all, each) => all + each, 0)
        yield [attributes, `"count":${count},"sum":${sum},"bounds":[${bounds.join(',')}],"counts":[${counts.join(',')}]`]
      }
  }
}

function bucketsText({ offset, counts }: BucketCounts): string {
  return `{"offset":${offset},"counts":[${counts.join(',')}]}`
}

function histogramCount({ zeroCount, positive, negative }: HistogramValue): number {
  let count = zeroCount
  for (const each of positive.counts) count += each
  for (const each of negative.counts) count += each
  return count
}

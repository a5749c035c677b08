/** Points of metrics as lines of JSON, one each, so that they are filtered and shown like everything else. */
import { ExponentialHistogram } from '../wire/exponential-histogram.ts'
import { decodeAttributes, decodePoints, type InstrumentPoints } from '../wire/points.ts'

const quantiles = { p50: 0.5, p90: 0.9, p99: 0.99 } as const

/**
 * Undefined when the body cannot be read.
 *
 * @param body - Of a frame of kind 3 with `count` points.
 * @param fresh - Places of the points that are wanted, from 0.
 */
export function pointLines(body: Buffer, count: number, fresh: { readonly from: number; readonly to: number }): Buffer | undefined {
  const read = decodePoints(body, count)
  if (read === undefined) return undefined
  let text = ''
  let place = 0
  for (const instrument of read.instruments) {
    for (const [i, { attributes }] of instrument.points.entries()) {
      if (place >= fresh.from && place < fresh.to) {
        const { name, type, unit } = instrument
        const head = { time: read.endMs, metric: name, type, ...(unit !== '' && { unit }), attributes: decodeAttributes(attributes) ?? {} }
        text += `${JSON.stringify({ ...head, ...valuesOf(instrument, i) })}\n`
      }
      place += 1
    }
  }
  return Buffer.from(text, 'utf8')
}

function valuesOf(instrument: InstrumentPoints, i: number): object {
  switch (instrument.type) {
    case 'counter':
    case 'upDownCounter':
      return { value: instrument.points[i]?.value }
    case 'gauge': {
      const { last, min, max } = instrument.points[i] ?? {}
      return { value: last, min, max }
    }
    case 'buckets': {
      const { counts = [], sum, bounds } = instrument.points[i] ?? {}
      return { count: counts.reduce((all, each) => all + each, 0), sum, bounds, counts }
    }
    case 'histogram': {
      const point = instrument.points[i]
      if (point === undefined) return {}
      const histogram = new ExponentialHistogram()
      histogram.merge(point)
      const shares = Object.entries(quantiles).map(([name, share]) => [name, histogram.quantile(share)] as const)
      return { count: histogram.count, sum: point.sum, min: point.min, max: point.max, ...Object.fromEntries(shares) }
    }
  }
}

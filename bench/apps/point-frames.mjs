// Frames of points as agents send them, made once and read again and again.
import { ExponentialHistogram } from '../../dist/wire/exponential-histogram.js'
import { encodeFrame, frameKinds } from '../../dist/wire/frame.js'
import { encodeAttributes, PointsWriter } from '../../dist/wire/points.js'

const values = 300

/**
 * One interval of one process: every series once, in as many frames as it takes.
 *
 * @param {{ mix: Partial<Record<'counter' | 'gauge' | 'histogram', number>>, series: number, origin: string, startMs: number, endMs: number, seq: number }} options
 */
export function pointFrames({ mix, series, origin, startMs, endMs, seq }) {
  const writer = new PointsWriter()
  writer.begin({ startMs, endMs })
  const recorded = new ExponentialHistogram()
  // 30 buckets: what a spread of a factor of 6 takes at scale 8, coarsened to 3.
  for (let i = 0; i < values; i += 1) recorded.record(0.02 * 13 ** (i / values))
  recorded.coarsenTo(3)
  const histogram = recorded.value()
  /** @type {{ count: number, bytes: Buffer }[]} */
  const frames = []
  const finish = () => {
    const { count } = writer
    const body = writer.finish()
    if (body === undefined) return
    frames.push({ count, bytes: encodeFrame({ origin, seq, count, time: startMs, kind: frameKinds.points, onDemand: false }, body) })
    seq += count
    writer.begin({ startMs, endMs })
  }
  for (const [type, share] of Object.entries(mix)) {
    const instrument = { name: `http.server.${type}`, type, unit: type === 'counter' ? '1' : 's', description: 'Made for measuring.' }
    writer.instrument(/** @type {any} */ (instrument))
    for (let i = 0; i < series * share; i += 1) {
      if (writer.isFull) {
        finish()
        writer.instrument(/** @type {any} */ (instrument))
      }
      const attributes = encodeAttributes({ method: 'GET', route: `/api/v1/resource-${i}`, status: 200 + (i % 5) })
      if (type === 'counter') writer.number(attributes, 1 + i)
      else if (type === 'gauge') writer.gauge(attributes, { last: i + 0.5, min: i, max: i + 1 })
      else writer.histogram(attributes, histogram)
    }
  }
  finish()
  return { frames, seq }
}

import type { InstrumentPoints, PointsBody } from '../wire/points.ts'

/** The points `skip` to `skip + take` of a body, in the order they are numbered. */
export function slicePoints({ startMs, endMs, instruments }: PointsBody, skip: number, take: number): PointsBody {
  const sliced: InstrumentPoints[] = []
  let at = 0
  for (const instrument of instruments) {
    const from = Math.max(0, skip - at)
    const to = Math.max(from, skip + take - at)
    const points = instrument.points.slice(from, to)
    // The points of an instrument are all of its type.
    if (points.length > 0) sliced.push({ ...instrument, points } as InstrumentPoints)
    at += instrument.points.length
  }
  return { startMs, endMs, instruments: sliced }
}

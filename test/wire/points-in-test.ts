/** Points of every kind, made at random within the bounds of the wire. */
import fc from 'fast-check'
import type { InstrumentPoints, PointsBody } from '../../wire/points.ts'
import { encodeAttributes } from '../../wire/points.ts'

export const finite: fc.Arbitrary<number> = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0)
const count = fc.oneof(fc.nat(300), fc.nat(), fc.constant(2 ** 40))
const text = (maxLength: number): fc.Arbitrary<string> => fc.string({ maxLength, unit: 'grapheme' }).filter((s) => s.length <= maxLength)

const attributes: fc.Arbitrary<string> = fc
  .dictionary(text(12), fc.oneof(text(20), fc.boolean(), finite), { maxKeys: 5, noNullPrototype: true })
  .map(encodeAttributes)

const buckets = fc.record({ offset: fc.integer({ min: -4_000, max: 3_000 }), counts: fc.array(count, { maxLength: 160 }) })
const described = { name: text(60).filter((name) => name !== ''), unit: text(20), description: text(60) }
const instrument: fc.Arbitrary<InstrumentPoints> = fc.oneof(
  fc.record({
    ...described,
    type: fc.constant('counter' as const),
    points: fc.array(fc.record({ attributes, value: finite.map(Math.abs) }), { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    ...described,
    type: fc.constant('upDownCounter' as const),
    points: fc.array(fc.record({ attributes, value: finite }), { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    ...described,
    type: fc.constant('gauge' as const),
    points: fc.array(
      fc.tuple(attributes, finite, finite, finite).map(([attributes, ...values]) => {
        const [min = 0, last = 0, max = 0] = values.sort((a, b) => a - b)
        return { attributes, last, min, max }
      }),
      { minLength: 1, maxLength: 5 },
    ),
  }),
  fc.record({
    ...described,
    type: fc.constant('histogram' as const),
    points: fc.array(
      fc
        .record({ attributes, sum: finite, scale: fc.integer({ min: 2, max: 20 }), zeroCount: count, positive: buckets, negative: buckets })
        .map((point) => ({ ...point, zeroCount: point.zeroCount + 1, min: -1, max: 2.5 })),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  fc.record({
    ...described,
    type: fc.constant('buckets' as const),
    points: fc.array(
      fc
        .record({ attributes, sum: finite, bounds: fc.uniqueArray(finite, { maxLength: 20 }), rest: count })
        .map(({ attributes, sum, bounds, rest }) => ({
          attributes,
          sum,
          bounds: bounds.sort((a, b) => a - b),
          counts: [...bounds.map((_, i) => i), rest + 1],
        })),
      { minLength: 1, maxLength: 3 },
    ),
  }),
)

export const pointsBody: fc.Arbitrary<PointsBody> = fc
  .record({ startMs: fc.nat(), instruments: fc.array(instrument, { minLength: 1, maxLength: 4 }) })
  .map(({ startMs, instruments }) => ({ startMs, endMs: startMs + 10_000, instruments }))

export function pointCount({ instruments }: PointsBody): number {
  return instruments.reduce((sum, { points }) => sum + points.length, 0)
}

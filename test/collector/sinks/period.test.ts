import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Every, Periods, type Zone } from '../../../collector/sinks/period.ts'
import { root } from '../../support/processes.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const iso = (ms: number) => new Date(ms).toISOString()

describe('in UTC', () => {
  test.each<readonly [Every, string, from: string, to: string]>([
    ['hour', '2026-05-31T13:59:59.999Z', '2026-05-31T13:00:00.000Z', '2026-05-31T14:00:00.000Z'],
    ['day', '2024-02-29T00:00:00.000Z', '2024-02-29T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
    // 2026-05-31 is a Sunday.
    ['week', '2026-05-31T23:59:59.999Z', '2026-05-25T00:00:00.000Z', '2026-06-01T00:00:00.000Z'],
    ['week', '2026-06-01T00:00:00.000Z', '2026-06-01T00:00:00.000Z', '2026-06-08T00:00:00.000Z'],
    [6 * hourMs, '2026-05-31T13:00:00.000Z', '2026-05-31T12:00:00.000Z', '2026-05-31T18:00:00.000Z'],
    [1_000, '2026-05-31T13:00:00.500Z', '2026-05-31T13:00:00.000Z', '2026-05-31T13:00:01.000Z'],
    // 36 h are counted from 1970.
    [36 * hourMs, '1970-01-03T00:00:00.000Z', '1970-01-02T12:00:00.000Z', '1970-01-04T00:00:00.000Z'],
  ])('%s around %s', (every, at, from, to) => {
    const { startsAtMs, endsAtMs, date, hour } = new Periods(every, 'utc').of(Date.parse(at))
    expect([iso(startsAtMs), iso(endsAtMs)]).toEqual([from, to])
    expect([date, hour]).toEqual([from.slice(0, 10), from.slice(11, 13)])
  })
})

test('every moment is in the one period that holds it, and periods follow each other without a hole', () => {
  const every = fc.oneof(fc.constantFrom<Every>('hour', 'day', 'week'), fc.integer({ min: 1_000, max: 40 * dayMs }))
  fc.assert(
    fc.property(every, fc.constantFrom<Zone>('utc', 'local'), fc.integer({ min: 0, max: 4e12 }), (rule, zone, ms) => {
      const periods = new Periods(rule, zone)
      const period = periods.of(ms)
      expect(period.startsAtMs).toBeLessThanOrEqual(ms)
      expect(period.endsAtMs).toBeGreaterThan(ms)
      expect(periods.of(period.startsAtMs)).toEqual(period)
      expect(periods.of(period.endsAtMs - 1)).toEqual(period)
      expect(periods.of(period.endsAtMs).startsAtMs).toBe(period.endsAtMs)
      expect(new Periods(rule, zone).of(period.endsAtMs - 1)).toEqual(period)
    }),
    { numRuns: 500 },
  )
})

/** What a process in another time zone says; this one's cannot be changed. */
function inZone(zone: string, every: Every, ...moments: readonly string[]): { from: string; to: string; name: string }[] {
  const script = `
    const { Periods } = await import(${JSON.stringify(join(root, 'dist/collector/sinks/period.js'))})
    const periods = new Periods(${JSON.stringify(every)}, 'local')
    const iso = (ms) => new Date(ms).toISOString()
    console.log(JSON.stringify(${JSON.stringify(moments)}.map((at) => {
      const { startsAtMs, endsAtMs, date, hour } = periods.of(Date.parse(at))
      return { from: iso(startsAtMs), to: iso(endsAtMs), name: date + 'T' + hour }
    })))`
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { env: { ...process.env, TZ: zone }, encoding: 'utf8' }),
  ) as { from: string; to: string; name: string }[]
}

describe('by the clock on the wall', () => {
  test('a day has 23 hours in spring and 25 in autumn', () => {
    expect(inZone('Europe/Berlin', 'day', '2026-03-29T12:00:00Z', '2026-10-25T12:00:00Z')).toEqual([
      { from: '2026-03-28T23:00:00.000Z', to: '2026-03-29T22:00:00.000Z', name: '2026-03-29T00' },
      { from: '2026-10-24T22:00:00.000Z', to: '2026-10-25T23:00:00.000Z', name: '2026-10-25T00' },
    ])
  })

  test('a week begins on Monday', () => {
    expect(inZone('America/New_York', 'week', '2026-06-01T03:00:00Z')).toEqual([
      { from: '2026-05-25T04:00:00.000Z', to: '2026-06-01T04:00:00.000Z', name: '2026-05-25T00' },
    ])
  })

  test('an hour that comes twice is two of one name; half hours of a zone are minded', () => {
    expect(inZone('Europe/Berlin', 'hour', '2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z')).toEqual([
      { from: '2026-10-25T00:00:00.000Z', to: '2026-10-25T01:00:00.000Z', name: '2026-10-25T02' },
      { from: '2026-10-25T01:00:00.000Z', to: '2026-10-25T02:00:00.000Z', name: '2026-10-25T02' },
    ])
    expect(inZone('Asia/Kolkata', 'hour', '2026-05-31T12:00:00Z')).toEqual([
      { from: '2026-05-31T11:30:00.000Z', to: '2026-05-31T12:30:00.000Z', name: '2026-05-31T17' },
    ])
  })

  test('a part of a day begins at midnight', () => {
    expect(inZone('Asia/Tokyo', 6 * hourMs, '2026-05-31T00:00:00Z')).toEqual([
      { from: '2026-05-30T21:00:00.000Z', to: '2026-05-31T03:00:00.000Z', name: '2026-05-31T06' },
    ])
  })
})

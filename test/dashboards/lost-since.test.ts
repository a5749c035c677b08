import { describe, expect, test } from 'vitest'
import { lostSince, sinceMoment } from '../../dashboards/lost-since.ts'
import { books, statusOf, statusTimeMs } from './hand-made-status.ts'

const loss = (records: number, firstAtMs: number, lastAtMs: number) => ({
  ...{ origin: 'o', topic: 'log.info.shop.', reason: 'ring_evicted' },
  ...{ records, firstAtMs, lastAtMs },
})
const minute = 60_000

describe('the moment --since means', () => {
  test.each([
    ['10m', statusTimeMs - 10 * minute],
    ['1d', statusTimeMs - 24 * 60 * minute],
    ['2026-05-31T17:59Z', statusTimeMs - minute],
    ['2026-05-31T19:59:30.5+02:00', statusTimeMs - 29_500],
    ['2026-05-31T10:00', new Date(2026, 4, 31, 10, 0).getTime()],
    ['2026-05-30', new Date(2026, 4, 30, 0, 0).getTime()],
    // A clock that is a little ahead of the collector's.
    ['2026-05-31T18:04Z', statusTimeMs + 4 * minute],
  ])('%s', (text, atMs) => {
    expect(sinceMoment(text, statusTimeMs)).toBe(atMs)
  })

  test.each([
    '',
    '10',
    'yesterday',
    '-10m',
    '2026',
    '2026-13-01',
    '31.05.2026',
    '2026-05-31 18:00',
    'NaN',
    'Infinity',
    '1e9m',
    '\u001b[2J',
  ])('%j is none', (text) => {
    expect(() => sinceMoment(text, statusTimeMs)).toThrow(expect.objectContaining({ code: 'SPW_OPTION_INVALID' }))
    expect(() => sinceMoment(text, statusTimeMs)).toThrow(/--since: expected a duration/)
  })

  test('that lies ahead cannot be meant: it would be an all-clear for ever', () => {
    expect(() => sinceMoment('2027-05-31T18:00Z', statusTimeMs)).toThrow(/has not come yet/)
  })
})

describe('what was lost', () => {
  test('without a moment: lost, expired and rejected, of all the books hold', () => {
    const totals = books(100, { lost: { ring_evicted: 5, unanswered: 2 }, expired: 3, rejected: 1, inFlight: 10 })
    expect(lostSince(statusOf({ totals }), undefined)).toEqual({ records: 5 + 2 + 3 + 1, isUpperBound: false })
    expect(lostSince(statusOf(), undefined)).toEqual({ records: 0, isUpperBound: false })
  })

  test('since a moment: the losses that ended after it', () => {
    const totals = books(100, { lost: { ring_evicted: 7 } })
    const losses = [
      loss(4, statusTimeMs - 5 * minute, statusTimeMs - minute),
      loss(3, statusTimeMs - 30 * minute, statusTimeMs - 20 * minute),
    ]
    const status = statusOf({ totals, losses })
    expect(lostSince(status, statusTimeMs - 10 * minute)).toEqual({ records: 4, isUpperBound: false })
    expect(lostSince(status, statusTimeMs - minute)).toEqual({ records: 4, isUpperBound: true })
    expect(lostSince(status, statusTimeMs - minute + 1)).toEqual({ records: 0, isUpperBound: false })
  })

  test('a loss that spans the moment counts as a whole, and is said to', () => {
    const totals = books(100, { lost: { ring_evicted: 7 } })
    const losses = [loss(7, statusTimeMs - 30 * minute, statusTimeMs - minute)]
    expect(lostSince(statusOf({ totals, losses }), statusTimeMs - 10 * minute)).toEqual({ records: 7, isUpperBound: true })
  })

  test('losses older than this run of the collector have no time: they count when the moment is older too', () => {
    // Up for an hour; its books hold five records lost before.
    const totals = books(100, { lost: { ring_evicted: 7 } })
    const losses = [loss(2, statusTimeMs - 20 * minute, statusTimeMs - 20 * minute)]
    const status = statusOf({ totals, losses })
    expect(lostSince(status, statusTimeMs - 10 * minute)).toEqual({ records: 0, isUpperBound: false })
    expect(lostSince(status, statusTimeMs - 60 * minute)).toEqual({ records: 2, isUpperBound: false })
    expect(lostSince(status, statusTimeMs - 61 * minute)).toEqual({ records: 7, isUpperBound: true })
  })
})

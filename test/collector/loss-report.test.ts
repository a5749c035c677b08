import { describe, expect, test } from 'vitest'
import { type Loss, LossReport } from '../../collector/loss-report.ts'
import { lossEntriesMax } from '../../wire/limits.ts'

const loss = (more: Partial<Loss> = {}): Loss => ({
  origin: 'origin-000000001',
  service: 'shop',
  topic: 'log.info.shop.',
  reason: 'ring_evicted',
  records: 1,
  atMs: 1_000,
  ...more,
})
const from = { origin: loss().origin, service: loss().service }

describe('the loss report', () => {
  test('has the first and the last time of each origin, topic and reason, and their sum', () => {
    const report = new LossReport()
    report.booked(loss({ records: 3, atMs: 1_000 }))
    report.booked(loss({ records: 4, atMs: 5_000 }))
    report.booked(loss({ records: 5, atMs: 3_000, reason: 'unanswered' }))
    report.booked(loss({ records: 6, atMs: 4_000, topic: 'log.warn.shop.' }))
    report.booked(loss({ records: 7, atMs: 6_000, origin: 'origin-000000002' }))
    const { origin, service, topic } = loss()
    expect(report.entries()).toEqual([
      { origin: 'origin-000000002', service, topic, reason: 'ring_evicted', records: 7, firstAtMs: 6_000, lastAtMs: 6_000 },
      { origin, service, topic: 'log.warn.shop.', reason: 'ring_evicted', records: 6, firstAtMs: 4_000, lastAtMs: 4_000 },
      { origin, service, topic, reason: 'unanswered', records: 5, firstAtMs: 3_000, lastAtMs: 3_000 },
      { origin, service, topic, reason: 'ring_evicted', records: 3 + 4, firstAtMs: 1_000, lastAtMs: 5_000 },
    ])
  })

  test('books nothing as nothing', () => {
    const report = new LossReport()
    report.booked(loss({ records: 0 }))
    expect(report.entries()).toEqual([])
  })

  test('learns the service when the origin introduces itself later', () => {
    const report = new LossReport()
    report.booked(loss({ service: null }))
    expect(report.entries()[0]?.service).toBeNull()
    report.booked(loss())
    expect(report.entries()[0]?.service).toBe('shop')
  })

  test('spans all times also when the clock was set back', () => {
    const report = new LossReport()
    for (const atMs of [5_000, 2_000, 3_000]) report.booked(loss({ atMs }))
    expect(report.entries()).toMatchObject([{ records: 3, firstAtMs: 2_000, lastAtMs: 5_000 }])
  })

  test('folds what was longest not added to, by reason, and loses no record and no time by it', () => {
    const report = new LossReport(2)
    report.booked(loss({ topic: 'log.a.', records: 1, atMs: 1 }))
    report.booked(loss({ topic: 'log.b.', records: 2, atMs: 2, reason: 'expired' }))
    report.booked(loss({ topic: 'log.a.', records: 4, atMs: 3 }))
    report.booked(loss({ topic: 'log.c.', records: 8, atMs: 4 }))
    report.booked(loss({ topic: 'log.d.', records: 16, atMs: 5 }))
    report.booked(loss({ topic: 'log.e.', records: 32, atMs: 6 }))
    const folded = { origin: null, service: null, topic: null }
    expect(report.entries()).toEqual([
      { ...from, topic: 'log.e.', reason: 'ring_evicted', records: 32, firstAtMs: 6, lastAtMs: 6 },
      { ...from, topic: 'log.d.', reason: 'ring_evicted', records: 16, firstAtMs: 5, lastAtMs: 5 },
      { ...folded, reason: 'expired', records: 2, firstAtMs: 2, lastAtMs: 2 },
      { ...folded, reason: 'ring_evicted', records: 1 + 4 + 8, firstAtMs: 1, lastAtMs: 4 },
    ])
  })

  test('stays bounded under losses without end, and adds up', () => {
    const report = new LossReport()
    const losses = 20 * lossEntriesMax
    for (let n = 0; n < losses; n += 1) {
      report.booked(loss({ origin: `origin-${n % 7_001}`, topic: `log.info.n${n % 13}.`, records: n, atMs: n }))
    }
    const entries = report.entries()
    expect(entries).toHaveLength(lossEntriesMax + 1)
    expect(entries.reduce((sum, { records }) => sum + records, 0)).toBe(((losses - 1) * losses) / 2)
    expect(Math.min(...entries.map(({ firstAtMs }) => firstAtMs))).toBe(1)
    expect(Math.max(...entries.map(({ lastAtMs }) => lastAtMs))).toBe(losses - 1)
  })

  test('hands out copies', () => {
    const report = new LossReport()
    report.booked(loss())
    const before = report.entries()
    report.booked(loss())
    expect(before).toMatchObject([{ records: 1 }])
  })
})

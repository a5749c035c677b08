import { expect, test } from 'vitest'
import { eventLoopDelays } from '../../dashboards/event-loop-delays.ts'
import { snapshotOf } from '../../dashboards/top-rates.ts'
import { books, origin, statusOf } from './hand-made-status.ts'

const info = 'log.info.shop.'
const error = 'log.error.shop.'
const metric = 'metric.shop.runtime.'

test('rates are what came between two statuses, per service, kind, origin and topic, over the uptime between them', () => {
  const before = statusOf({
    uptimeMs: 10_000,
    totals: books(110),
    origins: [origin('shop', { [info]: books(100), [error]: books(10) })],
  })
  const now = statusOf({
    uptimeMs: 12_000,
    // A clock that was set back changes nothing.
    timeMs: before.timeMs - 3_600_000,
    totals: books(110 + 200 + 4 + 6 + 8, { lost: { ring_evicted: 2 } }),
    origins: [
      origin('shop', { [info]: books(300), [error]: books(14, { lost: { ring_evicted: 2 } }), [metric]: books(6, { inFlight: 1 }) }),
      origin('other', { 'log.info.other.': books(8) }, { state: 'unclean' }),
    ],
  })
  const snapshot = snapshotOf(now, before, new Map([['shop', 12]]))
  expect(snapshot.overMs).toBe(2_000)
  expect(snapshot.totals).toEqual({ perSecond: 218 / 2, deliveredPerSecond: 216 / 2, lost: 2, lostPerSecond: 1, inFlight: 0 })
  const [shop, other] = snapshot.services
  expect(shop).toMatchObject({
    service: 'shop',
    origins: { live: 1 },
    perSecond: 105,
    lost: 2,
    lostPerSecond: 1,
    inFlight: 1,
    eventLoopDelayMs: 12,
  })
  expect(shop?.rates).toEqual({ trace: 0, debug: 0, info: 100, warn: 0, error: 2, fatal: 0, points: 3, sys: 0 })
  expect(other).toMatchObject({ service: 'other', origins: { unclean: 1 }, perSecond: 4 })
  expect(other).not.toHaveProperty('eventLoopDelayMs')
  expect(snapshot.origins.map(({ service, perSecond }) => [service, perSecond])).toEqual([
    ['shop', 105],
    ['other', 4],
  ])
  expect(snapshot.topics.map(({ topic, perSecond }) => [topic, perSecond])).toEqual([
    [info, 100],
    [error, 2],
    [metric, 3],
    ['log.info.other.', 4],
  ])
})

test('there are none at first, nor when the collector has been started anew', () => {
  const origins = [origin('shop', { [info]: books(100) })]
  const first = snapshotOf(statusOf({ uptimeMs: 5_000, totals: books(100), origins }), undefined)
  const anew = snapshotOf(statusOf({ uptimeMs: 1_000, totals: books(100), origins }), statusOf({ uptimeMs: 5_000 }))
  for (const snapshot of [first, anew]) {
    expect(snapshot.overMs).toBe(0)
    expect(snapshot.totals.perSecond).toBe(0)
    expect(snapshot.services[0]?.perSecond).toBe(0)
  }
})

test('event loops: the worst of a service, whatever else is told and however it is called', () => {
  const text = [
    '# TYPE nodejs_eventloop_delay_p99_seconds gauge',
    'nodejs_eventloop_delay_p99_seconds{pid="1",service="shop"} 0.012',
    'nodejs_eventloop_delay_p99_seconds{service="shop",pid="2"} 0.03',
    'nodejs_eventloop_delay_p99_seconds{service="a\\"}\\\\b"} 0.001',
    'nodejs_eventloop_delay_p99_seconds{service="odd"} NaN',
    'nodejs_eventloop_delay_p90_seconds{service="shop"} 9',
    'fake{x="nodejs_eventloop_delay_p99_seconds{service=\\"shop\\"} 9"} 1',
  ].join('\n')
  expect([...eventLoopDelays(text)]).toEqual([
    ['shop', 30],
    ['a"}\\b', 1],
  ])
})

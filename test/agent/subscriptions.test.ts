import { expect, test } from 'vitest'
import { Subscriptions } from '../../agent/subscriptions.ts'
import { wantedSettleMs } from '../../wire/limits.ts'

test('a set is believed when it has not changed for a while, and not before, however late the first prefix comes', () => {
  const subscriptions = new Subscriptions()
  const laterMs = 1_000_000
  subscriptions.add('log.error.', laterMs)
  expect(subscriptions.settled(laterMs)).toBeUndefined()
  subscriptions.add('log.info.', laterMs + wantedSettleMs - 1)
  expect(subscriptions.settled(laterMs + wantedSettleMs)).toBeUndefined()
  expect(subscriptions.settled(laterMs + 2 * wantedSettleMs)).toEqual(['log.error.', 'log.info.'])
  expect(subscriptions.settled(laterMs + 3 * wantedSettleMs)).toBeUndefined()
})

test('tails that come and go without end do not keep it open without end', () => {
  const subscriptions = new Subscriptions()
  subscriptions.add('log.error.', 0)
  let settledAtMs: number | undefined
  for (let nowMs = 0; nowMs < 20 * wantedSettleMs; nowMs += wantedSettleMs / 4) {
    subscriptions.add(`log.info.s${nowMs}.`, nowMs)
    if (subscriptions.settled(nowMs) !== undefined) settledAtMs ??= nowMs
    subscriptions.remove(`log.info.s${nowMs}.`, nowMs)
  }
  expect(settledAtMs).toBe(10 * wantedSettleMs)
})

test('who looks and what is asked changes nothing in what is sent', () => {
  const subscriptions = new Subscriptions()
  subscriptions.add('log.error.', 0)
  expect(subscriptions.settled(wantedSettleMs)).toEqual(['log.error.'])
  for (const prefix of ['sys.tail.h~1.', 'ask.debug.shop.', 'sys.tail.h~1.ask.debug.shop.']) subscriptions.add(prefix, wantedSettleMs)
  expect(subscriptions.isSettled).toBe(true)
  expect(subscriptions.covers('ask.debug.shop.')).toBe(false)
  expect(subscriptions.demand.asks()).toMatchObject([{ level: 'debug', service: 'shop', by: ['h~1'] }])
  subscriptions.clear()
  expect(subscriptions.demand.asks()).toEqual([])
})

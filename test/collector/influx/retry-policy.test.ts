/** When a server is asked again. */
import { expect, test } from 'vitest'
import { readRetryAfter, retryAfterMaxMs, retryDelayMs } from '../../../collector/sinks/influx/retry-policy.ts'

const nowMs = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT')

test.each([
  ['0', 0],
  ['30', 30_000],
  [' 7 ', 7_000],
  ['86400', retryAfterMaxMs],
  ['999999999999999', retryAfterMaxMs],
  ['Wed, 21 Oct 2015 07:28:10 GMT', 10_000],
  ['Wednesday, 21-Oct-15 07:28:10 GMT', 10_000],
  ['Wed Oct 21 07:28:10 2015 GMT', 10_000],
  ['Wed, 21 Oct 2015 07:20:00 GMT', 0],
  ['Wed, 21 Oct 2099 07:28:00 GMT', retryAfterMaxMs],
  ['-1', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['', undefined],
  ['Wed, 99 Oct 2015', undefined],
  [undefined, undefined],
])('Retry-After: %s', (text, ms) => {
  expect(readRetryAfter(text, nowMs)).toBe(ms)
})

test('waits somewhere between nothing much and twice as long each time, up to half a minute', () => {
  expect([1, 2, 3, 4].map((failures) => retryDelayMs(failures, 0.999999))).toEqual([249, 499, 999, 1_999])
  expect(retryDelayMs(1_000, 0.999999)).toBe(29_999)
  expect(retryDelayMs(1_000, 0)).toBe(50)
})

test('waits as long as it was told to, a little longer by lot, never longer than five minutes', () => {
  expect(retryDelayMs(1, 0, 2_000)).toBe(2_000)
  expect(retryDelayMs(9, 0.5, 2_000)).toBe(2_100)
  expect(retryDelayMs(1, 1, retryAfterMaxMs)).toBe(retryAfterMaxMs)
  expect(retryDelayMs(1, 0, 0)).toBe(50)
})

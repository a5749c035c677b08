import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ServiceCounters } from '../../collector/service-counters.ts'
import type { TopicStatus } from '../../collector/status.ts'
import { seriesServicesMax } from '../../wire/limits.ts'
import { logTopic, metricTopic, otherTopic } from '../../wire/topic.ts'

function books(accepted: number, more: Partial<TopicStatus> = {}): TopicStatus {
  return {
    ...{ accepted, delivered: accepted, lost: {}, inFlight: 0, received: accepted, spooled: accepted, notDurable: 0 },
    ...{ expired: 0, rejected: 0, pending: 0, filtered: 0, duplicates: 0, late: 0, shedAtOrigin: 0 },
    ...more,
  }
}

const accepted = (counters: ServiceCounters, live: [string, TopicStatus][]) =>
  counters.rows(live).map(({ service, level, books: { accepted: records } }) => [service, level, records])

describe('the counters per service and level', () => {
  test('sum up the topics of a service and a level over all origins', () => {
    const rows = new ServiceCounters().rows([
      [logTopic('info', 'shop'), books(1, { lost: { unanswered: 1, overload: 2 }, inFlight: 3 })],
      [logTopic('info', 'shop', 'cart'), books(10, { lost: { unanswered: 10 }, late: 5 })],
      [logTopic('info', 'shop'), books(100)],
      [otherTopic(logTopic('warn', 'shop', 'x')), books(1_000)],
      [metricTopic('shop', 'http'), books(10_000)],
      [logTopic('info', 'ü b\n'), books(5)],
    ])
    expect(rows.map(({ service, level }) => [service, level])).toEqual([
      ['shop', 'info'],
      ['shop', 'warn'],
      ['shop', 'metric'],
      ['ü b\n', 'info'],
    ])
    expect(rows[0]?.books).toMatchObject({ accepted: 111, lost: { unanswered: 11, overload: 2 }, inFlight: 3, late: 5 })
  })

  test('count processes gone without goodbye, from 0 for every service, under one name for those that are too many', () => {
    const counters = new ServiceCounters(2)
    counters.rows([
      [logTopic('info', 'shop'), books(1)],
      [logTopic('info', 'cart'), books(1)],
    ])
    expect(counters.unclean()).toEqual([
      ['shop', 0],
      ['cart', 0],
    ])
    for (const service of ['cart', 'cart', 'third', 'fourth', undefined]) counters.countUnclean(service)
    expect(counters.unclean()).toEqual([
      ['shop', 0],
      ['cart', 2],
      ['_other', 3],
    ])
  })

  test('keep what origins have counted that are forgotten', () => {
    const counters = new ServiceCounters()
    const topic = logTopic('info', 'shop')
    counters.rows([[topic, books(5)]])
    counters.retire(topic, books(7, { lost: { unanswered: 2 } }))
    expect(counters.rows([])[0]?.books).toMatchObject({ accepted: 7, lost: { unanswered: 2 } })
    expect(counters.rows([[topic, books(1)]])[0]?.books).toMatchObject({ accepted: 8, lost: { unanswered: 2 } })
  })

  test('never go down, but gauges do', () => {
    const counters = new ServiceCounters()
    const topic = logTopic('info', 'shop')
    counters.rows([[topic, books(10, { inFlight: 4, pending: 4, lost: { unanswered: 3 } })]])
    const [row] = counters.rows([[topic, books(8)]])
    expect(row?.books).toMatchObject({ accepted: 10, inFlight: 0, pending: 0, lost: { unanswered: 3 } })
    expect(accepted(counters, [[topic, books(11)]])).toEqual([['shop', 'info', 11]])
  })

  test('stay bounded however many services there are, and still add up', () => {
    const counters = new ServiceCounters()
    const live = Array.from({ length: 3 * seriesServicesMax }, (_, n): [string, TopicStatus] => [logTopic('info', `s${n}`), books(1)])
    const rows = accepted(counters, live)
    expect(rows).toHaveLength(seriesServicesMax + 1)
    expect(rows.at(-1)).toEqual(['_other', 'info', 2 * seriesServicesMax])
    // The first ones are gone; who was folded stays folded.
    expect(accepted(counters, live.slice(seriesServicesMax)).at(-1)).toEqual(['_other', 'info', 2 * seriesServicesMax])
  })

  test('fold names that only look different, and what is no topic, instead of saying a series twice', () => {
    const rows = accepted(new ServiceCounters(), [
      ['log.info.~FF.', books(1)],
      ['log.info.~FE.', books(2)],
      ['no topic', books(4)],
    ])
    expect(new Set(rows.map(([service, level]) => `${service} ${level}`)).size).toBe(rows.length)
    expect(rows.reduce((sum, [, , records]) => sum + Number(records), 0)).toBe(7)
  })

  test('of any history, whenever it is looked at: nothing ever goes down, and in the end all is there', () => {
    const step = fc.record({ service: fc.nat(6), records: fc.nat(100), forget: fc.boolean(), look: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const counters = new ServiceCounters(3)
        const live = new Map<string, number>()
        const seen = new Map<string, number>()
        let all = 0
        const look = () => {
          const rows = accepted(
            counters,
            [...live].map(([topic, records]) => [topic, books(records)]),
          )
          for (const [service, , records] of rows) {
            expect(Number(records)).toBeGreaterThanOrEqual(seen.get(String(service)) ?? 0)
            seen.set(String(service), Number(records))
          }
          return rows.reduce((sum, [, , records]) => sum + Number(records), 0)
        }
        for (const { service, records, forget, look: isLooking } of steps) {
          const topic = logTopic('info', `s${service}`)
          all += records
          live.set(topic, (live.get(topic) ?? 0) + records)
          if (isLooking) look()
          if (!forget) continue
          counters.retire(topic, books(live.get(topic) ?? 0))
          live.delete(topic)
        }
        expect(look()).toBe(all)
      }),
    )
  })
})

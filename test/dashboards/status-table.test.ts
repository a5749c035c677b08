import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lostSince } from '../../dashboards/lost-since.ts'
import type { StatusDocument } from '../../dashboards/status-document.ts'
import { originRowsMax, statusTable, topicRowsMax } from '../../dashboards/status-table.ts'
import { textWidth } from '../../dashboards/text-width.ts'
import { visibleText } from '../../dashboards/visible-text.ts'
import { books, origin, statusOf, statusTimeMs } from './hand-made-status.ts'

function tableOf(status: StatusDocument, { width = 100, sinceMs }: { width?: number; sinceMs?: number } = {}): string[] {
  return statusTable(status, { address: '127.0.0.1:7700', width, lost: lostSince(status, sinceMs), sinceMs })
}

/** What holds of every table. */
function checkTable(lines: readonly string[], width = 100): void {
  for (const line of lines) {
    expect(textWidth(line), line).toBeLessThanOrEqual(width)
    expect(visibleText(line)).toBe(line)
    expect(line).not.toMatch(/undefined|NaN|null|\[object/)
  }
}

const clock = (ms: number) => new Date(ms).toTimeString().slice(0, 8)

test('shows the books: totals, origins and topics, sinks, spool, and the answer', () => {
  const payments = books(1_000, { lost: { unanswered: 20, ring_evicted: 180 }, inFlight: 5, duplicates: 3, late: 2, shedAtOrigin: 180 })
  const lines = tableOf(
    statusOf({
      totals: books(1_234_567, { lost: { ring_evicted: 180, unanswered: 20 }, inFlight: 5, filtered: 7, duplicates: 3 }),
      origins: [origin('shop', { 'log.info.shop.': books(1_233_567), 'log.info.shop.payments.': payments })],
      losses: [
        {
          ...{ origin: 'shop------------', topic: 'log.info.shop.payments.', reason: 'ring_evicted' },
          ...{ records: 180, firstAtMs: statusTimeMs - 120_000, lastAtMs: statusTimeMs - 60_000 },
        },
      ],
      sinks: {
        files: {
          ...{ type: 'file', where: './logs/{service}/{date}.ndjson', written: 1_234_362 },
          ...{ dropped: 0, pendingRecords: 5, pendingBytes: 1_200, lagMs: 20 },
        },
      },
      spool: {
        ...{ dir: './spool', bytes: 2 ** 20, bytesMax: 2 ** 30, segments: 2, pendingBytes: 1_536, syncs: 1_204 },
        ...{ syncLastMs: 3, syncMaxMs: 1_500, notDurable: 0 },
      },
      repairs: { requests: 3, recordsAsked: 220, recordsRepaired: 20, isBreakerOpen: false },
      ingest: { frames: 4_321, bytes: 5 * 2 ** 20, refused: { truncated: 2 }, turnedAway: 1 },
    }),
  )
  checkTable(lines)
  expect(lines).toEqual([
    'collector 0.1.0 at 127.0.0.1:7700, up 1 h 0 min',
    '',
    '                                                                accepted  delivered  lost  in flight',
    'all                                                            1,234,567  1,234,362   200          5',
    '  lost      ring_evicted 180, unanswered 20',
    '  received  1,234,362 = 1,234,362 spooled + 0 not durable; 0 of them pending',
    '  beside    filtered 7, duplicates 3',
    '',
    'shop on web-1, pid 4242: live',
    '  log.info.shop.payments.                                          1,000        795   200          5',
    `    lost  ring_evicted 180 (${clock(statusTimeMs - 120_000)} to ${clock(statusTimeMs - 60_000)}), unanswered 20`,
    '    also  duplicates 3, late 2, shed at origin 180',
    '  log.info.shop.                                               1,233,567  1,233,567     0          0',
    '',
    'sinks                                                             written             pending    lag',
    'files (file)                                                    1,234,362  5 records, 1.2 KiB  20 ms',
    '    to ./logs/{service}/{date}.ndjson',
    '',
    'spool   1 MiB of 1 GiB in 2 segments, 1.5 KiB pending; 1,204 syncs, last 3 ms, longest 1.5 s',
    '    in ./spool',
    '',
    'intake  4,321 frames, 5 MiB',
    '    turned away  truncated 2, no room 1',
    'repair  3 requests for 220 records, 20 came',
    '',
    '200 records were lost since the books began.',
  ])
})

test('of a collector that has heard nothing is short and says that nothing was lost', () => {
  const lines = tableOf(statusOf())
  checkTable(lines)
  expect(lines.at(-1)).toBe('Nothing was lost since the books began.')
  expect(lines.length).toBeLessThan(12)
})

describe('the order', () => {
  const rows = (lines: readonly string[]) => lines.flatMap((line) => /^ {2}(log\.\S+) /.exec(line)?.[1] ?? [])

  test('of topics: most lost, then most not durable, expired or rejected, then most in flight, then most accepted', () => {
    const topics = {
      'log.f.': books(9),
      'log.e.': books(1_000),
      'log.d.': books(100, { inFlight: 50 }),
      'log.c.': books(100, { notDurable: 4, expired: 1, rejected: 1, inFlight: 1 }),
      'log.b.': books(100, { lost: { unanswered: 1 }, notDurable: 7 }),
      'log.a.': books(100, { lost: { unanswered: 1, overload: 1 } }),
    }
    expect(rows(tableOf(statusOf({ origins: [origin('shop', topics)] })))).toEqual(Object.keys(topics).reverse())
  })

  test('of origins: by the sum of their topics', () => {
    const lost = (records: number) => books(100, { lost: { unanswered: records } })
    const lines = tableOf(
      statusOf({
        origins: [
          origin('clean', { 'log.x.': books(1_000_000) }),
          origin('one-big', { 'log.x.': lost(5) }),
          origin('gone', {}, { state: 'unclean' }),
          origin('two-small', { 'log.x.': lost(3), 'log.y.': lost(3) }),
        ],
      }),
    )
    expect(lines.flatMap((line) => /^(\S+) on /.exec(line)?.[1] ?? [])).toEqual(['two-small', 'one-big', 'gone', 'clean'])
  })
})

describe('what is not known', () => {
  test('of a process that was killed is said, never shown as nought', () => {
    const gone = { state: 'unclean', unknownTail: { recordsMax: 1_204, windowMs: 2_150 } }
    const lines = tableOf(statusOf({ origins: [origin('shop', { 'log.x.': books(5) }, gone)] }))
    expect(lines).toContain('shop on web-1, pid 4242: unclean; ≤ 1,204 records unknown (within 2.2 s of its last word)')
    expect(lines.slice(-2)).toEqual([
      'Nothing was lost since the books began.',
      'Not in this: the last records of 1 process that ended without a goodbye, at most 1,204.',
    ])
  })

  test('of several is summed up, and is unknown when one of them is', () => {
    const gone = (recordsMax: number) => ({ state: 'unclean', unknownTail: { recordsMax, windowMs: 1 } })
    const two = [origin('a', {}, gone(5)), origin('b', {}, gone(1_000))]
    expect(tableOf(statusOf({ origins: two })).at(-1)).toMatch(/^Not in this: the last records of 2 processes .*, at most 1,005\.$/)
    const three = [...two, origin('c', {}, { state: 'unclean', unknownTail: null })]
    expect(tableOf(statusOf({ origins: three })).at(-1)).toMatch(/, how many is not known\.$/)
  })

  test('of an origin that has not introduced itself', () => {
    const lines = tableOf(statusOf({ origins: [origin('x', {}, { service: null, host: null, pid: null })] }))
    checkTable(lines.map((line) => line.replace('null', '')))
    expect(lines).toContain('origin x--------------- (not introduced yet): live')
  })
})

describe('--since', () => {
  const losses = [{ origin: 'o', topic: 't', reason: 'r', records: 3, firstAtMs: statusTimeMs - 100_000, lastAtMs: statusTimeMs - 50_000 }]
  const status = statusOf({ totals: books(9, { lost: { r: 3 } }), losses })

  test.each([
    [200_000, `3 records were lost since ${clock(statusTimeMs - 200_000)}.`],
    [70_000, `At most 3 records were lost since ${clock(statusTimeMs - 70_000)}; some of them perhaps before.`],
    [10_000, `Nothing was lost since ${clock(statusTimeMs - 10_000)}.`],
  ])('%i ms ago', (agoMs, answer) => {
    expect(tableOf(status, { sinceMs: statusTimeMs - agoMs }).at(-1)).toBe(answer)
  })
})

describe('columns', () => {
  test('for expired and rejected are there when something was, and all that is shown adds up', () => {
    const totals = books(100, { lost: { unanswered: 1 }, expired: 2, rejected: 3, inFlight: 4 })
    const lines = tableOf(statusOf({ totals }))
    expect(lines[2]).toMatch(/accepted +delivered +lost +expired +rejected +in flight$/)
    const [accepted = 0, ...rest] = (lines[3]?.match(/\d+/g) ?? []).map(Number)
    expect(rest.reduce((sum, records) => sum + records, 0)).toBe(accepted)
    expect(lines.at(-1)).toBe('6 records were lost, expired or rejected since the books began.')
  })

  test('of numbers that leave no room for a name are shortened, and said to be', () => {
    const most = Number.MAX_SAFE_INTEGER
    const totals = books(most, { lost: { unanswered: (most + 1) / 2 }, expired: (most + 1) / 4, rejected: 1_234, inFlight: 999_999_999 })
    const lines = tableOf(statusOf({ totals }))
    checkTable(lines)
    expect(lines[3]).toMatch(/^all {25,}~9\.0P +\S+ +~4\.5P +~2\.3P +1,234 +~1,000\.0M$/)
  })
})

describe('a table of many', () => {
  const clean = (n: number) => origin(`clean-${n}`, { 'log.info.x.': books(10) })

  test('topics shows the worst and sums up the rest, so that the rows still add up', () => {
    const topics = Object.fromEntries(
      Array.from({ length: topicRowsMax + 50 }, (_, n) => [`log.info.n${n}.`, books(1_000, { lost: { unanswered: n } })]),
    )
    const lines = tableOf(statusOf({ origins: [origin('shop', topics), clean(1)], topicsNotShown: 1_234 }))
    checkTable(lines)
    expect(lines.filter((line) => line.startsWith('  log.info.n'))).toHaveLength(topicRowsMax)
    const lost = (50 * 49) / 2
    const rest = lines.find((line) => line.startsWith('… 51 more topics and 1 origins'))
    expect(rest?.match(/[\d,]+/g)?.slice(2)).toEqual(['50,010', (50_010 - lost).toLocaleString('en'), lost.toLocaleString('en'), '0'])
    expect(lines).toContain('… and 1,234 topics the collector does not list; its totals hold them')
  })

  test('origins is bounded too, and is made in reasonable time', () => {
    const origins = Array.from({ length: 10_000 }, (_, n) => clean(n))
    const startedAtMs = performance.now()
    const lines = tableOf(statusOf({ origins }))
    expect(performance.now() - startedAtMs).toBeLessThan(5_000)
    checkTable(lines)
    expect(lines.filter((line) => line.startsWith('clean-'))).toHaveLength(originRowsMax)
    expect(lines.some((line) => line.startsWith('… 9,900 more topics and 9,900 origins'))).toBe(true)
  })

  test('sinks, reasons and faults is bounded', () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`reason-${n}`, n + 1]))
    const sink = { type: 'file', where: 'x'.repeat(10_000), written: 1, error: 'e'.repeat(100_000) }
    const lines = tableOf(
      statusOf({
        totals: books(0, { lost: many }),
        origins: [origin('shop', { 'log.x.': books(0, { lost: many }) })],
        sinks: Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`sink-${n}`, sink])),
        ingest: { frames: 1, bytes: 1, refused: many, turnedAway: 0 },
      }),
    )
    checkTable(lines)
    expect(lines.length).toBeLessThan(600)
    expect(lines).toContain('… and 450 more sinks')
    expect(lines.some((line) => line.endsWith('and 4,988 more'))).toBe(true)
  })
})

describe('hostile names', () => {
  const names = [
    '\u001b[31mred\u001b]8;;http://evil\u0007',
    '\u202egnp.exe\u2066',
    'a\nlost  nothing',
    'tab\there\r',
    '\u009b2J\u0085',
    '商品サービス'.repeat(40),
    '👩‍👩‍👧‍👦🇩🇪'.repeat(40),
    `z${'\u0301'.repeat(5_000)}`,
    '\ud800 lone \udfff',
    'x'.repeat(100_000),
    '',
    ' '.repeat(300),
    '__proto__',
  ]

  test.each(names.map((name) => [name.slice(0, 20), name]))(
    '%j does nothing to the terminal and fits, wherever it stands',
    (_what, name) => {
      const hostile = books(10, { lost: { [name]: 3 }, inFlight: 1 })
      const sink = { type: name, where: name, written: 1, dropped: 2, pendingRecords: 1e15, pendingBytes: 1e15, lagMs: 1e300, error: name }
      const spool = { dir: name, bytes: 1e15, bytesMax: 1e15, segments: 1e15, pendingBytes: 1e15, error: name, notDurable: 1 }
      const status = statusOf({
        version: name,
        totals: hostile,
        origins: [origin('x', { [name]: hostile }, { service: name, host: name, state: name, origin: name, pid: 1e15 })],
        losses: [{ origin: name, topic: name, reason: name, records: 1, firstAtMs: -1e300, lastAtMs: 1e300 }],
        sinks: { [name]: sink },
        spool: { ...spool, syncs: 1e15, syncLastMs: 1e15, syncMaxMs: 1e15 },
        ingest: { frames: 1e15, bytes: 1e15, refused: { [name]: 1 }, turnedAway: 1 },
      })
      for (const width of [80, 91, 100]) checkTable(tableOf(status, { width }), width)
    },
  )

  test('any document that can be read gives lines that fit', () => {
    const text = fc.string({ unit: 'binary', maxLength: 60 })
    const number = fc.oneof(fc.nat(), fc.maxSafeInteger())
    const anyBooks = fc.record({
      ...{ accepted: number, delivered: number, inFlight: number, expired: number, rejected: number, notDurable: number },
      lost: fc.dictionary(text, number, { maxKeys: 4 }),
    })
    const anyOrigin = fc.record({
      ...{ origin: text, service: fc.option(text), host: fc.option(text), pid: fc.option(number), state: text },
      topics: fc.dictionary(text, anyBooks, { maxKeys: 4 }),
    })
    fc.assert(
      fc.property(anyBooks, fc.array(anyOrigin, { maxLength: 5 }), fc.integer({ min: 80, max: 100 }), (totals, origins, width) => {
        for (const line of tableOf(statusOf({ totals, origins }), { width })) {
          expect(textWidth(line)).toBeLessThanOrEqual(width)
          expect(visibleText(line)).toBe(line)
        }
      }),
    )
  })
})

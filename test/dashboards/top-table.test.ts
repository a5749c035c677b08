import { describe, expect, test } from 'vitest'
import { painted } from '../../dashboards/styled-text.ts'
import { textWidth } from '../../dashboards/text-width.ts'
import { snapshotOf } from '../../dashboards/top-rates.ts'
import { type TopTableOptions, topTable } from '../../dashboards/top-table.ts'
import { parseTextSearch } from '../../wire/text-search.ts'
import { books, origin, statusOf } from './hand-made-status.ts'

const options: TopTableOptions = {
  address: '127.0.0.1:7700',
  view: 'services',
  sort: 'rate',
  isReversed: false,
  from: 0,
  size: { columns: 80, rows: 23 },
}
const sink = { type: 'file', where: 'x', written: 0, pendingRecords: 1_204, lagMs: 2_000 }

/** Services `s0` to `sN`, each with a higher rate than the one before, and losses the other way round. */
function snapshot(services: number) {
  const at = (share: number) =>
    Array.from({ length: services }, (_, i) =>
      origin(`s${i}`, {
        [`log.info.s${i}.`]: books(share * 1_000 * (i + 1)),
        [`log.error.s${i}.`]: books(share * 10 * (services - i), { lost: { gone: share * (services - i) } }),
      }),
    )
  const before = statusOf({ uptimeMs: 1_000, origins: at(1), sinks: { files: sink } })
  return snapshotOf(statusOf({ uptimeMs: 2_000, origins: at(2), sinks: { files: sink } }), before)
}

const drawn = (services: number, more: Partial<TopTableOptions> = {}) => {
  const table = topTable(snapshot(services), { ...options, ...more })
  return { ...table, text: table.rows.map((row) => painted(row, false).trimEnd()) }
}
const names = (text: readonly string[]) => text.map((row) => /^(s\d+) /.exec(row)?.[1]).filter((name) => name !== undefined)

test('a row per service with its rates by level and losses, sinks above, the busiest topics below', () => {
  const { text } = drawn(2)
  expect(text[2]).toBe('sinks  files 2 s behind, 1.2k waiting')
  expect(text[4]).toBe('SERVICE             ORIG TRACE DEBUG  INFO  WARN ERROR FATAL POINT   LOST   LOOP')
  expect(text[5]).toBe('s1                     1     ·     ·  2.0k     ·    10     ·     ·      2      ·')
  expect(text[6]).toBe('s0                     1     ·     ·  1.0k     ·    20     ·     ·      4      ·')
  expect(text.at(-5)).toMatch(/^BUSIEST TOPICS +PER S FLIGHT +LOST$/)
  expect(text.at(-4)).toMatch(/^log\.info\.s1\. +2\.0k/)
})

describe('80 × 24, whatever there is', () => {
  test.each([[1], [10], [300]])('%i services', (services) => {
    for (const view of ['services', 'origins', 'topics'] as const) {
      const { text, page, length } = drawn(services, { view })
      expect(text.length).toBeLessThanOrEqual(23)
      for (const row of text) expect(textWidth(row)).toBeLessThanOrEqual(80)
      expect(length).toBe(view === 'topics' ? 2 * services : services)
      expect(page).toBeGreaterThan(5)
    }
  })

  test('names of any length, in any script, made to do something', () => {
    const evil = `${'\u001b[2J'}${'世'.repeat(300)}`
    const status = statusOf({
      origins: [origin('x', { 'log.info.x.': books(1) }, { service: evil, host: evil, state: evil })],
      sinks: { [evil]: sink },
    })
    for (const view of ['services', 'origins', 'topics'] as const) {
      for (const row of topTable(snapshotOf(status, undefined), { ...options, view }).rows) {
        const text = painted(row, false)
        expect(textWidth(text)).toBeLessThanOrEqual(80)
        expect(text).not.toMatch(/\p{Cc}/u)
      }
    }
  })
})

test('sorted by what one asks for, filtered by name, and moved through', () => {
  expect(names(drawn(3).text)).toEqual(['s2', 's1', 's0'])
  expect(names(drawn(3, { isReversed: true }).text)).toEqual(['s0', 's1', 's2'])
  expect(names(drawn(3, { sort: 'lost' }).text)).toEqual(['s0', 's1', 's2'])
  expect(names(drawn(3, { sort: 'errors' }).text)).toEqual(['s0', 's1', 's2'])
  expect(names(drawn(11, { sort: 'name' }).text).slice(0, 3)).toEqual(['s0', 's1', 's10'])
  expect(names(drawn(3, { filter: parseTextSearch('/s[02]/', '/') }).text)).toEqual(['s2', 's0'])
  expect(names(drawn(3, { from: 1 }).text)).toEqual(['s1', 's0'])
})

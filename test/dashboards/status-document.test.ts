import { describe, expect, test } from 'vitest'
import { readStatus } from '../../dashboards/status-document.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { books, documentOf, origin } from './hand-made-status.ts'

function refusalOf(text: string): string {
  try {
    readStatus(text, '127.0.0.1:7700')
  } catch (error) {
    if (error instanceof SpillwayError && error.code === 'SPW_STATUS_UNAVAILABLE') return error.message
    throw error
  }
  throw new Error('it was read')
}

describe('a status from elsewhere', () => {
  test('is read, with all that came beside what is known', () => {
    const document = documentOf({ later: { than: 'this' }, topicsNotShown: 3 })
    const { status, json } = readStatus(JSON.stringify(document), 'x')
    expect(json).toEqual(document)
    expect(status.topicsNotShown).toBe(3)
    expect(status).not.toHaveProperty('later')
  })

  test('of a collector that says less than this version knows is read too', () => {
    const { status } = readStatus(
      JSON.stringify(
        documentOf({
          totals: { accepted: 3, delivered: 2, lost: { unanswered: 1 }, inFlight: 0, filtered: 0, duplicates: 0 },
          sinks: { files: { type: 'file', where: 'x', written: 2, dropped: 0, pendingBytes: 0 } },
        }),
      ),
      'x',
    )
    expect(status.totals).toMatchObject({ expired: 0, rejected: 0, received: 0, pending: 0 })
    expect(status).toMatchObject({ losses: [], topicsNotShown: 0 })
    expect(status.sinks['files']).toMatchObject({ lagMs: 0, pendingRecords: 0 })
  })

  test.each(['', '<html>', '{', 'undefined', '\u0000', `${'['.repeat(100_000)}`])('that is no JSON is refused: %j', (text) => {
    expect(refusalOf(text.slice(0, 100_000))).toMatch(/is no JSON; is it the http address of a collector\?/)
  })

  test.each([
    ['null', null],
    ['a number', 1],
    ['an array', []],
    ['nothing', {}],
    ['another document', { status: 'ok' }],
    ['a count that is text', documentOf({ totals: { ...books(0), accepted: '7' } })],
    ['a count that is no whole number', documentOf({ totals: { ...books(0), accepted: 1.5 } })],
    ['a count beyond all counting', documentOf({ totals: { ...books(0), accepted: 1e300 } })],
    ['a count that is missing', documentOf({ totals: { delivered: 0, lost: {}, inFlight: 0 } })],
    ['origins that are none', documentOf({ origins: {} })],
    ['an origin that is none', documentOf({ origins: [7] })],
    ['a topic that is none', documentOf({ origins: [origin('shop', { 'log.info.shop.': null as never })] })],
    ['reasons that are text', documentOf({ totals: { ...books(0), lost: { unanswered: 'many' } } })],
    ['a sink without a place', documentOf({ sinks: { files: { type: 'file', written: 1 } } })],
    ['a spool that is none', documentOf({ spool: 'yes' })],
    ['a loss without a time', documentOf({ losses: [{ origin: null, topic: null, reason: 'x', records: 1 }] })],
    ['an endless time', documentOf({ uptimeMs: null })],
  ])('that is %s is refused, and the message says where', (_what, document) => {
    expect(refusalOf(JSON.stringify(document))).toMatch(
      /^what 127\.0\.0\.1:7700 answers is no status this command \(version \d.*\) understands; \S.*: \S/,
    )
  })

  test('with keys that would do something on a terminal is refused without doing it', () => {
    const message = refusalOf(JSON.stringify(documentOf({ sinks: { [`\u001b[2J${'x'.repeat(100_000)}`]: 1 } })))
    expect(message).not.toContain('\u001b')
    expect(message.length).toBeLessThan(1_000)
  })

  test('with keys that mean something to JavaScript is taken as it is', () => {
    const text = JSON.stringify(documentOf()).replace('"lost":{}', '"lost":{"__proto__":1,"constructor":2,"toString":3}')
    const { status } = readStatus(text, 'x')
    expect(Object.getPrototypeOf(status.totals.lost)).toBe(Object.prototype)
    expect(status.totals.lost).toMatchObject({ constructor: 2 })
  })
})

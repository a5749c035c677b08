import { join, sep } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LogPath, safeSegment, unknownPlaceholders } from '../../../collector/sinks/log-path.ts'
import { isTopic, logTopic, type Topic } from '../../../wire/topic.ts'

const root = '/var/lib/spillway/logs'
const template = `${root}/{service}/{date}.ndjson`
const dayMs = 86_400_000
/** 2026-03-01, noon. */
const nowMs = Date.UTC(2026, 2, 1, 12)

const hostileNames = [
  '..',
  '.',
  '',
  '../..',
  '../../../../etc/cron.d/x',
  '/etc/passwd',
  'a/../../b',
  'a\0b',
  '\0',
  'x'.repeat(100_000),
  'ü'.repeat(5_000),
  'CON',
  'nul.txt',
  '.hidden',
  'trailing.',
  'two..dots',
  'sp ace',
  'new\nline',
  '日本語',
  '\u202egnp.exe',
  '{date}',
  '{service}',
  '$&',
  '%2e%2e%2f',
  '~',
  '-rf',
  'a\\b',
  'C:\\x',
  '\ud800',
]

test.each(hostileNames)('the service %j gets a folder of its own directly under the root', (service) => {
  const path = new LogPath(template).of(logTopic('info', service), nowMs)
  expect(path.startsWith(`${root}/`)).toBe(true)
  const [folder, file, ...rest] = path.slice(root.length + 1).split(sep)
  expect(rest).toEqual([])
  expect(file).toBe('2026-03-01.ndjson')
  expect(folder).toMatch(/^[A-Za-z0-9_%-][A-Za-z0-9_.%-]{0,99}$/)
  expect(join(root, folder ?? '', file ?? '')).toBe(path)
})

test('ordinary names stand in the path as they are', () => {
  const path = new LogPath(template)
  expect(path.of(logTopic('info', 'checkout'), nowMs)).toBe(`${root}/checkout/2026-03-01.ndjson`)
  expect(path.of(logTopic('error', 'web-api_2', 'http'), nowMs)).toBe(`${root}/web-api_2/2026-03-01.ndjson`)
  expect(path.of(logTopic('info', 'v1.2'), nowMs)).toBe(`${root}/v1.2/2026-03-01.ndjson`)
})

describe('a segment', () => {
  test.each([
    ['..', '%2E%2E'],
    ['.', '%2E'],
    ['', '%'],
    ['%', '%25'],
    ['a..b', 'a.%2Eb'],
    ['.a', '%2Ea'],
    ['a.', 'a%2E'],
    ['a/b', 'a%2Fb'],
    ['\0', '%00'],
    ['é', '%C3%A9'],
  ])('of %j is %j', (name, segment) => expect(safeSegment(name)).toBe(segment))

  test('stays inside its folder and belongs to one name only, whatever the names', () => {
    const part = fc.constantFrom('a', 'B', '.', '..', '/', '%', '%2E', '-', '_', '\0', 'é', '\u202e', '~', ' ', '\n')
    const name = fc.oneof(
      fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.tuple(fc.constantFrom('a', '.', '/', 'é'), fc.integer({ min: 80, max: 120 })).map(([char, length]) => char.repeat(length)),
    )
    fc.assert(
      fc.property(name, name, (one, other) => {
        for (const segment of [safeSegment(one), safeSegment(other)]) {
          expect(segment).toMatch(/^[A-Za-z0-9_.%-]{1,100}$/)
          expect(join(root, segment)).toBe(`${root}/${segment}`)
        }
        // UTF-8 has no form for half a surrogate pair; two of them are one name.
        expect(safeSegment(one) === safeSegment(other)).toBe(Buffer.from(one).equals(Buffer.from(other)))
      }),
      { numRuns: 3_000 },
    )
  })

  test('of a short name is never the one a long name was cut to', () => {
    for (let i = 0; i < 200; i += 1) {
      const cut = safeSegment(`${'x'.repeat(150)}${i}`)
      // The name that would be written like this, read back by the rule for short ones.
      const short = cut.replace(/%([0-9A-Fa-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
      expect(safeSegment(short)).not.toBe(cut)
    }
  })

  test('is the same one each time, also of a cut name', () => {
    const long = 'x'.repeat(1_000)
    expect(safeSegment(long)).toBe(safeSegment(long))
    expect(safeSegment(long)).not.toBe(safeSegment(`${long}x`))
  })
})

test('no topic that a hostile sender can make leads out of the root', () => {
  const char = fc.constantFrom('a', '~2F', '~2E', '~00', '~', '~25', '~C3', '~FF', '~ot', '-', '_', '~7B', '~7D', '~0A')
  const service = fc.array(char, { minLength: 1, maxLength: 40 }).map((chars) => chars.join(''))
  let topics = 0
  fc.assert(
    fc.property(service, (token) => {
      const topic = `log.info.${token}.`
      if (!isTopic(topic)) return
      topics += 1
      const path = new LogPath(template).of(topic, nowMs)
      const [folder = '', ...rest] = path.slice(root.length + 1).split('/')
      expect(path).toBe(join(root, folder, ...rest))
      expect(rest).toEqual(['2026-03-01.ndjson'])
      expect(folder).not.toMatch(/^\.|[^A-Za-z0-9_.%-]/)
    }),
    { numRuns: 2_000 },
  )
  expect(topics).toBeGreaterThan(500)
})

describe('the date', () => {
  const topic = logTopic('info', 'shop')

  test('changes at midnight UTC, to the millisecond, and goes back with the clock', () => {
    const path = new LogPath(template)
    const midnightMs = Date.UTC(2026, 2, 2)
    expect(path.of(topic, midnightMs - 1)).toBe(`${root}/shop/2026-03-01.ndjson`)
    expect(path.of(topic, midnightMs)).toBe(`${root}/shop/2026-03-02.ndjson`)
    expect(path.of(topic, midnightMs + dayMs - 1)).toBe(`${root}/shop/2026-03-02.ndjson`)
    expect(path.of(topic, midnightMs - 1)).toBe(`${root}/shop/2026-03-01.ndjson`)
  })

  test.each([
    [Date.UTC(2024, 1, 28, 23, 59, 59, 999), '2024-02-28'],
    [Date.UTC(2024, 1, 29), '2024-02-29'],
    [Date.UTC(2024, 11, 31, 23), '2024-12-31'],
    [Date.UTC(2025, 0, 1), '2025-01-01'],
  ])('at %d ms is %s', (ms, date) => expect(new LogPath(template).of(topic, ms)).toBe(`${root}/shop/${date}.ndjson`))
})

test('the level can stand in the path; a topic without one says none', () => {
  const path = new LogPath(`${root}/{service}-{level}.ndjson`)
  expect(path.of(logTopic('error', 'shop'), nowMs)).toBe(`${root}/shop-error.ndjson`)
  expect(path.of('metric.shop.http.' as Topic, nowMs)).toBe(`${root}/shop-none.ndjson`)
})

test('a placeholder that is none is told by name', () => {
  expect(unknownPlaceholders('{service}/{date}/{level}')).toEqual([])
  expect(unknownPlaceholders('{servcie}/{host}')).toEqual(['servcie', 'host'])
})

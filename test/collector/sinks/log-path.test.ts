import { join, sep } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LogPath, type LogPathOptions, safeSegment, templateFault } from '../../../collector/sinks/log-path.ts'
import { nameParts } from '../../../collector/sinks/rotated-name.ts'
import { distinctFilesMax } from '../../../wire/limits.ts'
import { isTopic, logTopic, parseTopic, type Topic } from '../../../wire/topic.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

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

test('the host and the whole topic can stand in the path too', () => {
  const path = new LogPath(`${root}/{host}/{topic}-{date}T{hour}.ndjson`)
  expect(path.of(logTopic('error', 'shop', 'http'), nowMs, 'web-1.example.org')).toBe(
    `${root}/web-1.example.org/log.error.shop.http-2026-03-01T12.ndjson`,
  )
  expect(path.of(logTopic('error', 'shop'), nowMs)).toBe(`${root}/unknown/log.error.shop-2026-03-01T12.ndjson`)
})

test.each<readonly [LogPathOptions['every'], string]>([
  ['hour', '2026-03-01T12'],
  ['day', '2026-03-01T00'],
  // A Sunday; weeks begin on Mondays.
  ['week', '2026-02-23T00'],
  [6 * 3_600_000, '2026-03-01T12'],
])('with a new file every %s, date and hour are those of its beginning', (every, name) => {
  expect(new LogPath(`${root}/{date}T{hour}.ndjson`, { every }).of(logTopic('info', 's'), nowMs)).toBe(`${root}/${name}.ndjson`)
})

describe('a file', () => {
  const path = new LogPath(template)
  test.each([
    ['shop/2026-03-01.ndjson', { plain: 'shop/2026-03-01.ndjson', number: undefined, compression: undefined }],
    ['shop/2026-03-01.17.ndjson', { plain: 'shop/2026-03-01.ndjson', number: 17, compression: undefined }],
    ['v1.2/2026-03-01.1.ndjson.gz', { plain: 'v1.2/2026-03-01.ndjson', number: 1, compression: 'gz' }],
    ['%2E%2E/2026-03-01.1.ndjson.zst', { plain: '%2E%2E/2026-03-01.ndjson', number: 1, compression: 'zst' }],
  ] as const)('%s is one of the template', (name, known) => {
    expect(path.nameOf(`${root}/${name}`)).toEqual({ ...known, plain: `${root}/${known.plain}` })
  })

  test.each([
    'shop/2026-03-01.ndjson.gz',
    'shop/2026-03-01.ndjson.1',
    'shop/2026-03-01.ndjson.1.gz',
    'shop/2026-03-01.x.ndjson',
    'shop/2026-03-01.1.ndjson.gz.tmp',
    'shop/.2026-03-01.1.ndjson.gz.index',
    'shop/notes.txt',
    'shop/current',
    '.hidden/2026-03-01.ndjson',
    'shop/deeper/2026-03-01.ndjson',
    '2026-03-01.ndjson',
    '../2026-03-01.ndjson',
    'a b/2026-03-01.ndjson',
  ])('%s is not', (name) => expect(path.nameOf(`${root}/${name}`)).toBeUndefined())
})

describe('the link to the newest file', () => {
  test.each([
    ['{service}/{date}.ndjson', 'shop/current'],
    ['{service}/{date}/{hour}.ndjson', 'shop/current'],
    ['{service}/{level}-{date}.ndjson', 'shop/current-info'],
    ['{date}/{service}.ndjson', 'current-shop'],
    ['app-{date}T{hour}.ndjson', 'current-app'],
    ['{service}/app.ndjson', undefined],
  ])('of %s is %s', (text, link) => {
    const path = new LogPath(`${root}/${text}`)
    const place = path.placeOf(logTopic('info', 'shop'), nowMs)
    expect(place.link).toBe(link === undefined ? undefined : `${root}/${link}`)
    expect(path.linkOf(place.path)).toBe(place.link)
  })
})

describe('names without end', () => {
  test('share one file once there are as many as there may be, each day anew; those that had one keep it', () => {
    const path = new LogPath(template)
    const of = (n: number, day: number) => path.of(logTopic('info', `s${n}`), nowMs + day * dayMs)
    const own = new Set(Array.from({ length: distinctFilesMax }, (_, n) => of(n, 0)))
    expect(own.size).toBe(distinctFilesMax)
    const other = of(distinctFilesMax, 0)
    expect(own.has(other)).toBe(false)
    expect(path.nameOf(other)?.plain).toBe(other)
    expect(of(distinctFilesMax + 1, 0)).toBe(other)
    expect(of(7, 0)).toBe(`${root}/s7/2026-03-01.ndjson`)
    expect(of(distinctFilesMax + 1, 1)).toBe(`${root}/s${distinctFilesMax + 1}/2026-03-02.ndjson`)
    expect(of(distinctFilesMax + 1, 0)).toBe(other)
  })

  test('are what they were after a restart: what had no file of its own gets none', () => {
    const path = new LogPath(template)
    path.remember(`${root}/s1/2026-03-01.ndjson`)
    path.remember(`${root}/%_other/2026-03-01.ndjson`)
    expect(path.of(logTopic('info', 's1'), nowMs)).toBe(`${root}/s1/2026-03-01.ndjson`)
    expect(path.of(logTopic('info', 's2'), nowMs)).toBe(`${root}/%_other/2026-03-01.ndjson`)
  })
})

/** Templates in which names could be mistaken for each other, or for the number of a rotation. */
const shapes = [
  '{service}/{date}.ndjson',
  '{service}.ndjson',
  '{service}',
  '{service}-{level}.ndjson',
  '{service}-{host}.ndjson',
  '{service}.{host}_{topic}.ndjson',
  '{host}/{service}/{topic}.ndjson',
  '{date}.{service}.ndjson',
  '{service}.{hour}.ndjson',
]

test('names made up without end stay inside the root, never share a file, nor one that another was rotated to', () => {
  const random = new SeededRandom(Number(process.env['SPILLWAY_TEST_SEED'] ?? 7))
  const count = Number(process.env['SPILLWAY_TEST_NAMES'] ?? 20_000)
  const pieces = [
    'a',
    'b',
    '.',
    '..',
    '/',
    '\\',
    '%',
    '%2E',
    '%_',
    '%-',
    '-',
    '_',
    '\0',
    'é',
    '\u202e',
    '~',
    ' ',
    '\n',
    '1',
    '23',
    '.1',
    '.ndjson',
    '.gz',
    'x'.repeat(60),
  ]
  const name = () =>
    Array.from({ length: 1 + Math.floor(random.next() * 5) }, () => pieces[Math.floor(random.next() * pieces.length)]).join('')
  for (const shape of shapes) {
    const text = `${root}/${shape}`
    // What was kept under each path, and under the paths its rotations have.
    const owners = new Map<string, string>()
    let path = new LogPath(text)
    for (let n = 0; n < count / shapes.length; n += 1) {
      if (n % (distinctFilesMax / 2) === 0) path = new LogPath(text)
      const [service, host] = [name(), name()]
      const topic = logTopic('info', service, shape.includes('{topic}') ? name() : undefined)
      const at = path.of(topic, nowMs, host)
      const parts = [
        shape.includes('{service}') && parseTopic(topic)?.service,
        shape.includes('{host}') && host,
        shape.includes('{topic}') && topic,
      ]
      const owner = JSON.stringify(parts.map((part) => (part === false ? '' : Buffer.from(part ?? '').toString('hex'))))
      expect(at.startsWith(`${root}/`) && join(at) === at && at.split('/').every((segment) => segment.length <= 255)).toBe(true)
      expect(owners.get(at) ?? owner, at).toBe(owner)
      owners.set(at, owner)
      const { stem, suffix } = nameParts(at)
      for (const rotated of [`${stem}.1${suffix}`, `${stem}.23${suffix}`]) {
        const beside = join(at, '..', rotated)
        expect(owners.get(beside) ?? owner, beside).toBe(owner)
        owners.set(beside, owner)
        for (const known of [beside, `${beside}.gz`]) expect(path.nameOf(known)?.plain, known).toBe(at)
      }
      expect(path.nameOf(at)).toEqual({ plain: at, number: undefined, compression: undefined })
    }
  }
})

describe('of two templates', () => {
  const errors = new LogPath(`${root}/errors/{date}.ndjson`)
  const all = new LogPath(template, { before: [errors] })

  test('the one with names in it gives way: no file is written or removed by both', () => {
    const path = all.of(logTopic('info', 'errors'), nowMs)
    expect(path).toBe(`${root}/%_1errors/2026-03-01.ndjson`)
    expect(all.nameOf(path)?.plain).toBe(path)
    expect(errors.nameOf(path)).toBeUndefined()
    expect(all.nameOf(errors.of(logTopic('info', 'shop'), nowMs))).toBeUndefined()
    expect(all.of(logTopic('info', 'shop'), nowMs)).toBe(`${root}/shop/2026-03-01.ndjson`)
  })

  test('whatever the names, also where both have some', () => {
    const byLevel = new LogPath(`${root}/{service}-{level}.ndjson`)
    const plain = new LogPath(`${root}/{service}.ndjson`, { before: [byLevel] })
    for (const service of ['x', 'x-info', 'x-info-info', '%_1x-info', '%_other', '%_other-none', '%_1']) {
      const [one, other] = [byLevel.of(logTopic('info', service), nowMs), plain.of(logTopic('info', service), nowMs)]
      expect(one).not.toBe(other)
      expect([byLevel.nameOf(one)?.plain, plain.nameOf(one)]).toEqual([one, undefined])
      expect([byLevel.nameOf(other), plain.nameOf(other)?.plain]).toEqual([undefined, other])
    }
  })
})

test('a placeholder that is none is told by name', () => {
  expect(templateFault('{service}/{host}/{topic}-{date}T{hour}/{level}.ndjson')).toBeUndefined()
  expect(templateFault('{servcie}/{host}')).toBe(
    '{servcie} is not known here; there are {service}, {level}, {host}, {topic}, {date} and {hour}',
  )
})

import { join, resolve } from 'node:path'
import zlib from 'node:zlib'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type CollectorConfig,
  type ConfigOverrides,
  configBytesMax,
  defaultDir,
  issueLines,
  readConfig,
  requireConfig,
} from '../../collector/config.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'

afterEach(() => vi.unstubAllEnvs())

const file = 'spillway.yaml'

function config(text: string, overrides: ConfigOverrides = {}): Omit<CollectorConfig, 'onTrouble'> {
  const result = readConfig({ text, file }, overrides)
  if (!result.ok) throw new Error(issueLines(result.issues, file).join('\n'))
  const { onTrouble, ...rest } = result.config
  expect(onTrouble).toBeTypeOf('function')
  return rest
}

function errors(text: string, overrides: ConfigOverrides = {}): string[] {
  const result = readConfig({ text, file }, overrides)
  return result.ok ? [] : issueLines(result.issues, file)
}

const defaults = config('')
/** A rule for log lines in which nothing is said. */
const logMetric = { topics: ['log.>'], where: undefined, value: undefined, by: ['service'], unit: '', description: '' }

describe('defaults', () => {
  test('with no file are those of the documentation', () => {
    const result = readConfig(undefined)
    expect(result).toMatchObject({
      ok: true,
      config: {
        dir: './spillway-data',
        listen: {
          data: 'tcp://127.0.0.1:7701',
          control: 'tcp://127.0.0.1:7702',
          tail: 'tcp://127.0.0.1:7703',
          http: { host: '127.0.0.1', port: 7700 },
        },
        subscribe: ['log.>', 'metric.>'],
        spool: { dir: 'spillway-data/spool', bytesMax: 2 ** 30, fsyncMs: 200 },
        sinks: {
          files: { type: 'file', topics: ['log.>'], path: 'spillway-data/logs/{service}/{date}.ndjson', rotateBytes: 100 * 2 ** 20 },
        },
        insecure: false,
      },
    })
  })

  test.each(['', '# nothing but a comment\n', '{}', '---\n', 'listen: {}'])('of %j are the same as with no file', (text) => {
    expect(config(text)).toEqual(defaults)
  })

  test('the documented configuration is read as it stands', () => {
    const read = config(`
listen: { data: tcp://127.0.0.1:7801, control: tcp://127.0.0.1:7902, tail: tcp://127.0.0.1:7903, http: 127.0.0.1:7800 }
subscribe: ['log.>', 'metric.>']
spool: { dir: ./spillway-data/spool, maxBytes: 1GiB, fsync: 200ms }
sinks:
  files:  { type: file, topics: ['log.>'], path: './spillway-data/logs/{service}/{date}.ndjson',
            rotate: { size: 100MiB, every: day }, compress: gzip, keep: { days: 14, bytes: 10GiB } }
  screen: { type: stdout, topics: ['log.error.>'] }
`)
    expect(read.listen).toEqual({
      data: 'tcp://127.0.0.1:7801',
      control: 'tcp://127.0.0.1:7902',
      tail: 'tcp://127.0.0.1:7903',
      http: { host: '127.0.0.1', port: 7800 },
    })
    expect(read.spool).toEqual({ dir: './spillway-data/spool', bytesMax: 2 ** 30, fsyncMs: 200 })
    expect(read.sinks).toEqual({
      files: {
        type: 'file',
        topics: ['log.>'],
        path: './spillway-data/logs/{service}/{date}.ndjson',
        rotateBytes: 104_857_600,
        rotateEvery: 'day',
        compress: 'gzip',
        keep: { ageMs: 14 * 86_400_000, bytes: 10 * 2 ** 30 },
      },
      screen: { type: 'stdout', topics: ['log.error.>'] },
    })
  })
})

describe('every key does something', () => {
  // Every key of the schema, and what it changes. A key that is read and then ignored is worse than one that is refused.
  const effects: Record<string, { readonly text: string; readonly effect: (read: typeof defaults) => unknown; readonly becomes: unknown }> =
    {
      dir: {
        text: 'dir: /var/spill',
        effect: (read) => [read.dir, read.spool.dir, read.sinks],
        becomes: [
          '/var/spill',
          '/var/spill/spool',
          { files: expect.objectContaining({ path: '/var/spill/logs/{service}/{date}.ndjson' }) as unknown },
        ],
      },
      'listen.data': {
        text: 'listen: { data: tcp://127.0.0.1:9001 }',
        effect: (read) => [read.listen.data, read.listen.control, read.listen.tail],
        becomes: ['tcp://127.0.0.1:9001', 'tcp://127.0.0.1:9002', 'tcp://127.0.0.1:9003'],
      },
      'listen.control': {
        text: 'listen: { control: tcp://127.0.0.1:9002 }',
        effect: (read) => [read.listen.data, read.listen.control],
        becomes: ['tcp://127.0.0.1:7701', 'tcp://127.0.0.1:9002'],
      },
      'listen.tail': { text: 'listen: { tail: ipc:///tmp/t }', effect: (read) => read.listen.tail, becomes: 'ipc:///tmp/t' },
      'listen.http': { text: 'listen: { http: off }', effect: (read) => read.listen.http, becomes: 'off' },
      subscribe: { text: 'subscribe: [log.error.>]', effect: (read) => read.subscribe, becomes: ['log.error.>'] },
      'keptMetrics.seriesMax': { text: 'keptMetrics: { seriesMax: 5 }', effect: (read) => read.keptMetrics.seriesMax, becomes: 5 },
      'keptMetrics.maxBytes': {
        text: 'keptMetrics: { maxBytes: 64MiB }',
        effect: (read) => read.keptMetrics.bytesMax,
        becomes: 64 * 2 ** 20,
      },
      'http.names': { text: 'http: { names: [Logs.example.org] }', effect: (read) => read.http.names, becomes: ['logs.example.org'] },
      'auth.token': { text: `auth: { token: ${'x'.repeat(16)} }`, effect: (read) => read.http.token, becomes: 'x'.repeat(16) },
      insecure: { text: 'insecure: true', effect: (read) => read.insecure, becomes: true },
      'spool.dir': {
        text: 'dir: /var/spill\nspool: { dir: /fast/spool }',
        effect: (read) => read.spool,
        becomes: { dir: '/fast/spool', bytesMax: 2 ** 30, fsyncMs: 200 },
      },
      'spool.maxBytes': { text: 'spool: { maxBytes: 64MiB }', effect: (read) => read.spool.bytesMax, becomes: 64 * 2 ** 20 },
      'spool.fsync': { text: 'spool: { fsync: 1s }', effect: (read) => read.spool.fsyncMs, becomes: 1_000 },
      sinks: { text: 'sinks: {}', effect: (read) => read.sinks, becomes: {} },
      'sinks.*.type': {
        text: 'sinks: { a: { type: stdout } }',
        effect: (read) => read.sinks,
        becomes: { a: { type: 'stdout', topics: ['log.>'] } },
      },
      'sinks.*.topics': {
        text: 'sinks: { a: { type: stdout, topics: [log.warn.>] } }',
        effect: (read) => read.sinks['a']?.topics,
        becomes: ['log.warn.>'],
      },
      'sinks.*.path': {
        text: "sinks: { a: { type: file, path: '/logs/{level}.ndjson' } }",
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ path: '/logs/{level}.ndjson' }) as unknown,
      },
      'sinks.*.rotate.size': {
        text: 'sinks: { a: { type: file, rotate: { size: 2KiB } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ rotateBytes: 2_048 }) as unknown,
      },
      'rollup.interval': { text: 'rollup: { interval: 1s }', effect: (read) => read.rollUp.intervalMs, becomes: 1_000 },
      'rollup.late': { text: 'rollup: { late: 0s }', effect: (read) => read.rollUp.lateMs, becomes: 0 },
      'rollup.keep': { text: 'rollup: { keep: [service] }', effect: (read) => read.rollUp.keep, becomes: ['service'] },
      'rollup.drop': { text: 'rollup: { drop: [pid] }', effect: (read) => read.rollUp.drop, becomes: ['pid'] },
      'rollup.seriesMax': { text: 'rollup: { seriesMax: 7 }', effect: (read) => read.rollUp.seriesMax, becomes: 7 },
      'metrics.*.topics': {
        text: 'metrics: { a: { topics: [log.warn.>] } }',
        effect: (read) => read.logMetrics['a'],
        becomes: { ...logMetric, topics: ['log.warn.>'] },
      },
      'metrics.*.where': {
        text: 'metrics: { a: { where: has(err) } }',
        effect: (read) => read.logMetrics['a'],
        becomes: { ...logMetric, where: 'has(err)' },
      },
      'metrics.*.value': {
        text: 'metrics: { a: { value: responseTime / 1000 } }',
        effect: (read) => read.logMetrics['a'],
        becomes: { ...logMetric, value: 'responseTime / 1000' },
      },
      'metrics.*.by': {
        text: 'metrics: { a: { by: [level, req.method] } }',
        effect: (read) => read.logMetrics['a'],
        becomes: { ...logMetric, by: ['level', 'req.method'] },
      },
      'metrics.*.unit': {
        text: 'metrics: { a: { unit: s } }',
        effect: (read) => read.logMetrics['a'],
        becomes: { ...logMetric, unit: 's' },
      },
      'metrics.*.description': {
        text: 'metrics: { a: { description: Orders. } }',
        effect: (read) => read.logMetrics['a'],
        becomes: { ...logMetric, description: 'Orders.' },
      },
      'sinks.*.rotate.every': {
        text: 'sinks: { a: { type: file, rotate: { every: 6h } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ rotateEvery: 6 * 3_600_000 }) as unknown,
      },
      'sinks.*.rotate.zone': {
        text: 'sinks: { a: { type: file, rotate: { zone: local } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ zone: 'local' }) as unknown,
      },
      'sinks.*.compress': {
        text: 'sinks: { a: { type: file, compress: gzip } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ compress: 'gzip' }) as unknown,
      },
      'sinks.*.keep.days': {
        text: 'sinks: { a: { type: file, keep: { days: 14 } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ keep: { ageMs: 14 * 86_400_000 } }) as unknown,
      },
      'sinks.*.keep.age': {
        text: 'sinks: { a: { type: file, keep: { age: 12h } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ keep: { ageMs: 12 * 3_600_000 } }) as unknown,
      },
      'sinks.*.keep.files': {
        text: 'sinks: { a: { type: file, keep: { files: 7 } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ keep: { files: 7 } }) as unknown,
      },
      'sinks.*.keep.bytes': {
        text: 'sinks: { a: { type: file, keep: { bytes: 10GiB } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ keep: { bytes: 10 * 2 ** 30 } }) as unknown,
      },
      'sinks.*.keep.free': {
        text: 'sinks: { a: { type: file, keep: { free: 5GiB } } }',
        effect: (read) => read.sinks['a'],
        becomes: expect.objectContaining({ keep: { freeBytes: 5 * 2 ** 30 } }) as unknown,
      },
    }

  test.each(Object.entries(effects))('%s', (key, { text, effect, becomes }) => {
    expect(effect(defaults)).not.toEqual(becomes)
    expect(effect(config(text))).toEqual(becomes)
    expect(key).not.toBe('')
  })

  test.each([
    ['8MiB', 8 * 2 ** 20],
    ['8388608', 8_388_608],
    ['1TiB', 2 ** 40],
  ])('spool.maxBytes: %s', (text, bytes) => expect(config(`spool: { maxBytes: ${text} }`).spool.bytesMax).toBe(bytes))

  test.each([
    ['1ms', 1],
    ['0.5s', 500],
    ['10s', 10_000],
  ])('spool.fsync: %s', (text, ms) => expect(config(`spool: { fsync: ${text} }`).spool.fsyncMs).toBe(ms))

  test('and the list above is complete: the messages for an unknown key name no other', () => {
    const known = (text: string) => /known here: (.*)$/.exec(errors(text)[0] ?? '')?.[1]?.split(', ')
    const at = (prefix: string) =>
      [
        ...new Set(
          Object.keys(effects)
            .filter((key) => key.startsWith(prefix))
            .map((key) => key.slice(prefix.length).split('.')[0]),
        ),
      ].sort()
    expect(known('qqqqqqqqqq: 1')?.sort()).toEqual(at(''))
    expect(known('listen: { qqqqqqqqqq: 1 }')?.sort()).toEqual(at('listen.'))
    expect(known('spool: { qqqqqqqqqq: 1 }')?.sort()).toEqual(at('spool.'))
    expect(known('rollup: { qqqqqqqqqq: 1 }')?.sort()).toEqual(at('rollup.'))
    expect(known('metrics: { a: { qqqqqqqqqq: 1 } }')?.sort()).toEqual(at('metrics.*.'))
    expect(known('sinks: { a: { type: file, qqqqqqqqqq: 1 } }')?.sort()).toEqual(at('sinks.*.'))
    expect(known('sinks: { a: { type: file, rotate: { qqqqqqqqqq: 1 } } }')?.sort()).toEqual(at('sinks.*.rotate.'))
    expect(known('sinks: { a: { type: file, keep: { qqqqqqqqqq: 1 } } }')?.sort()).toEqual(at('sinks.*.keep.'))
  })

  test.each<readonly [string, unknown]>([
    ['hour', 'hour'],
    ['day', 'day'],
    ['week', 'week'],
    ['90m', 90 * 60_000],
    ['1s', 1_000],
    ['366d', 366 * 86_400_000],
  ])('rotate.every: %s', (text, every) =>
    expect(config(`sinks: { a: { type: file, rotate: { every: ${text} } } }`).sinks['a']).toMatchObject({ rotateEvery: every }),
  )

  test('compress: none is as without it', () => {
    expect(config('sinks: { files: { type: file, compress: none } }')).toEqual(defaults)
  })

  test('compress: zstd is for a Node that has it; another one says which those are', () => {
    const text = 'sinks: { a: { type: file, compress: zstd } }'
    if ('zstdCompressSync' in zlib) expect(config(text).sinks['a']).toMatchObject({ compress: 'zstd' })
    else {
      expect(errors(text)).toEqual([
        `${file}:1:37: sinks.a.compress: zstd needs Node 22.15, 23.8 or later, this is ${process.versions.node}; use gzip, or another Node`,
      ])
    }
  })
})

describe('an unknown key is refused with the nearest known one, its line and its column', () => {
  test.each([
    ['lisen: {}', 'spillway.yaml:1:1: lisen: unknown key; did you mean "listen"?'],
    ['dir: x\n\nSubscribe: []', 'spillway.yaml:3:1: Subscribe: unknown key; did you mean "subscribe"?'],
    ['listen:\n  dta: tcp://127.0.0.1:1', 'spillway.yaml:2:3: listen.dta: unknown key; did you mean "data"?'],
    ['sinks:\n  files:\n    type: file\n    topic: [log.>]', 'spillway.yaml:4:5: sinks.files.topic: unknown key; did you mean "topics"?'],
    ['sinks: { a: { type: file, rotate: { sise: 1MiB } } }', 'spillway.yaml:1:37: sinks.a.rotate.sise: unknown key; did you mean "size"?'],
    ['spol: {}', 'spillway.yaml:1:1: spol: unknown key; did you mean "spool"?'],
    ['spool:\n  maxByte: 1GiB', 'spillway.yaml:2:3: spool.maxByte: unknown key; did you mean "maxBytes"?'],
    ['spool: { dir: x, sync: 1s }', 'spillway.yaml:1:18: spool.sync: unknown key; did you mean "fsync"?'],
    ['spool: { compress: gzip }', 'spillway.yaml:1:10: spool.compress: unknown key; known here: dir, maxBytes, fsync'],
    [
      'influx: {}',
      'spillway.yaml:1:1: influx: unknown key; known here: dir, listen, subscribe, spool, sinks, http, auth, rollup, keptMetrics, metrics, insecure',
    ],
    [
      'sinks: { a: { type: file, blocking: 7 } }',
      'spillway.yaml:1:27: sinks.a.blocking: unknown key; known here: type, topics, path, rotate, compress, keep',
    ],
    ['sinks: { a: { type: file, keep: { day: 7 } } }', 'spillway.yaml:1:35: sinks.a.keep.day: unknown key; did you mean "days"?'],
  ])('%j', (text, message) => expect(errors(text)).toEqual([message]))

  test('a key of one type of sink is none of another', () => {
    const [first, ...rest] = errors('sinks: { a: { type: stdout, path: x } }')
    expect(rest).toEqual([])
    expect(first).toMatch(/^spillway\.yaml:1:29: sinks\.a\.path: unknown key/)
    // Naming the refused key as known, or as meant, would lead nowhere.
    expect(first).not.toMatch(/known here:.*path|did you mean "path"/)
  })

  test.each(['__proto__: { x: 1 }', 'sinks: { __proto__: { type: file } }', 'listen: { __proto__: {} }'])('%j', (text) => {
    expect(errors(text)).toEqual([expect.stringMatching(/^spillway\.yaml:1:\d+: .*__proto__: unknown key/)])
  })

  test('also when it is called as something every object has', () => {
    expect(errors('constructor: 1\ntoString: 2')).toHaveLength(2)
  })
})

describe('what is wrong is told where it stands, with what was expected', () => {
  test.each([
    [
      'a bad endpoint',
      'listen:\n  data: 127.0.0.1:7701',
      /^spillway\.yaml:2:9: listen\.data: expected tcp:\/\/HOST:PORT .*did you mean "tcp:\/\/127\.0\.0\.1:7701"\?$/,
    ],
    ['a port that is none', 'listen: { http: 127.0.0.1:99999 }', /^spillway\.yaml:1:17: listen\.http: expected HOST:PORT/],
    ['no room behind the data port', 'listen: { data: tcp://127.0.0.1:65534 }', /^spillway\.yaml:1:17: listen\.data: .*65536/],
    ['a bad pattern', 'subscribe:\n  - log.>\n  - log..x', /^spillway\.yaml:3:5: subscribe\.1: pattern "log\.\.x"/],
    ['no pattern', 'subscribe: []', /^spillway\.yaml:1:12: subscribe: /],
    ['a pattern that is a number', 'subscribe: [7]', /^spillway\.yaml:1:13: subscribe\.0: .*expected string/],
    ['one pattern where a list is expected', 'subscribe: log.>', /^spillway\.yaml:1:12: subscribe: .*expected array/],
    [
      'a bad size',
      'sinks: { a: { type: file, rotate: { size: 100 potatoes } } }',
      /^spillway\.yaml:1:43: sinks\.a\.rotate\.size: expected a size of at least 1KiB, such as 100MiB, got "100 potatoes"$/,
    ],
    ['a size too small', 'sinks: { a: { type: file, rotate: { size: 3 } } }', /^spillway\.yaml:1:43: sinks\.a\.rotate\.size: .*got 3$/],
    [
      'a bad period',
      'sinks: { a: { type: file, rotate: { every: month } } }',
      /^spillway\.yaml:1:44: sinks\.a\.rotate\.every: expected hour, day, week, or a duration from 1s to 366d, such as 6h, got "month"$/,
    ],
    ['a period too short', 'sinks: { a: { type: file, rotate: { every: 100ms } } }', /^spillway\.yaml:1:44: .* from 1s .*got "100ms"$/],
    [
      'a time zone by name',
      'sinks: { a: { type: file, rotate: { zone: CET } } }',
      /^spillway\.yaml:1:43: sinks\.a\.rotate\.zone: .*"utc"\|"local"/,
    ],
    [
      'a compression that is none',
      'sinks: { a: { type: file, compress: brotli } }',
      /^spillway\.yaml:1:37: sinks\.a\.compress: expected gzip, zstd or none, got "brotli"$/,
    ],
    [
      'half a day',
      'sinks: { a: { type: file, keep: { days: 0.5 } } }',
      /^spillway\.yaml:1:41: sinks\.a\.keep\.days: .*at least 1, got 0.5$/,
    ],
    [
      'no files at all',
      'sinks: { a: { type: file, keep: { files: 0 } } }',
      /^spillway\.yaml:1:42: sinks\.a\.keep\.files: .*at least 1, got 0$/,
    ],
    [
      'a bad bound of bytes',
      'sinks: { a: { type: file, keep: { bytes: much } } }',
      /^spillway\.yaml:1:42: .*at least 1KiB, such as 10GiB, got "much"$/,
    ],
    [
      'two ages',
      'sinks: { a: { type: file, keep: { days: 1, age: 1h } } }',
      /^spillway\.yaml:1:49: sinks\.a\.keep\.age: stands beside days; give one of them$/,
    ],
    [
      'names that cannot be told apart',
      "sinks: { a: { type: file, path: '{service}{host}.ndjson' } }",
      /^spillway\.yaml:1:33: sinks\.a\.path: expected "-", "_" or "\." between \{service\} and \{host\}/,
    ],
    [
      'a bad size of the spool',
      'spool:\n  dir: x\n  maxBytes: lots',
      /^spillway\.yaml:3:13: spool\.maxBytes: expected a size of at least 8MiB, such as 1GiB, got "lots"$/,
    ],
    ['a spool too small', 'spool: { maxBytes: 8191KiB }', /^spillway\.yaml:1:20: spool\.maxBytes: .*at least 8MiB.*got "8191KiB"$/],
    ['a spool of a few bytes', 'spool: { maxBytes: 1024 }', /^spillway\.yaml:1:20: spool\.maxBytes: .*at least 8MiB.*got 1024$/],
    ['no folder for the spool', "spool: { dir: '' }", /^spillway\.yaml:1:15: spool\.dir: /],
    ['a number for the folder of the spool', 'spool: { dir: 7 }', /^spillway\.yaml:1:15: spool\.dir: .*expected string/],
    [
      'a duration without a unit',
      'spool: { fsync: 200 }',
      /^spillway\.yaml:1:17: spool\.fsync: expected a duration from 1ms to 10s, such as 200ms, got 200$/,
    ],
    [
      'windows too short',
      'rollup: { interval: 10ms }',
      /^spillway\.yaml:1:21: rollup\.interval: expected a duration from 1 s to 1 h 0 min, such as 10s, got "10ms"$/,
    ],
    [
      'windows open too long',
      'rollup: { interval: 1s, late: 61s }',
      /^spillway\.yaml:1:31: rollup\.late: expected at most 60 times the interval$/,
    ],
    ['no room for series', 'rollup: { seriesMax: 0 }', /^spillway\.yaml:1:22: rollup\.seriesMax: .*>=1/],
    [
      'a condition that ends too early',
      'metrics: { a: { where: "code >=" } }',
      /^spillway\.yaml:1:24: metrics\.a\.where: column 8: [^\n\\]+$/,
    ],
    ['a number for a condition', 'metrics: { a: { where: code * 2 } }', /^spillway\.yaml:1:24: metrics\.a\.where: column \d+: .*condition/],
    ['a label that is no expression', 'metrics: { a: { by: [service, "x("] } }', /^spillway\.yaml:1:31: metrics\.a\.by\.1: column 3: /],
    ['a metric without a good name', 'metrics: { 9a: {} }', /^spillway\.yaml:1:12: metrics\.9a: expected a name of letters/],
    ['no duration', 'spool: { fsync: never }', /^spillway\.yaml:1:17: spool\.fsync: expected a duration from 1ms to 10s.*got "never"$/],
    ['a duration of nothing', 'spool: { fsync: 0ms }', /^spillway\.yaml:1:17: spool\.fsync: expected a duration from 1ms.*got "0ms"$/],
    ['a duration too long', 'spool: { fsync: 11s }', /^spillway\.yaml:1:17: spool\.fsync: expected a duration from 1ms to 10s.*got "11s"$/],
    ['a spool that is none', 'spool: 1GiB', /^spillway\.yaml:1:8: spool: .*expected object/],
    [
      'a bad placeholder',
      "sinks: { a: { type: file, path: 'x/{servcie}.ndjson' } }",
      /^spillway\.yaml:1:33: sinks\.a\.path: \{servcie\} is not known here; there are \{service\}, \{level\}, .* and \{hour\}$/,
    ],
    [
      'a folder for a path',
      'sinks: { a: { type: file, path: logs/ } }',
      /^spillway\.yaml:1:33: sinks\.a\.path: expected the path of a file/,
    ],
    [
      'another type of sink',
      'sinks:\n  a: { type: kafka }',
      /^spillway\.yaml:2:14: sinks\.a\.type: expected one of file, influxdb, stdout; got "kafka"$/,
    ],
    ['a sink without a type', 'sinks: { a: {} }', /^spillway\.yaml:1:13: sinks\.a\.type: expected one of file, influxdb, stdout/],
    ['a sink that is none', 'sinks: { a: 7 }', /^spillway\.yaml:1:13: sinks\.a: /],
    ['sinks in a list', 'sinks: [{ type: file }]', /^spillway\.yaml:1:8: sinks: /],
    [
      'a sink without a good name',
      'sinks: { "a\\e[31mb": { type: file } }',
      /^spillway\.yaml:1:10: sinks\.a\\u001b\[31mb: expected a name of letters/,
    ],
    [
      'two sinks in the same files',
      'sinks: { a: { type: file }, b: { type: file } }',
      /^spillway\.yaml:1:32: sinks\.b\.path: sinks\.a writes to the same files$/,
    ],
    [
      'two sinks in the same files, one of them by default',
      "sinks:\n  a: { type: file }\n  b: { type: file, path: 'spillway-data/logs/{service}/{date}.ndjson' }",
      /^spillway\.yaml:3:26: sinks\.b\.path: sinks\.a writes to the same files$/,
    ],
    ['a word for a truth', 'insecure: perhaps', /^spillway\.yaml:1:11: insecure: .*expected boolean/],
    ['a list for a file', '- a\n- b', /^spillway\.yaml:1:1: file: .*expected object/],
    ['a word for a file', 'hello', /^spillway\.yaml:1:1: file: .*expected object/],
  ])('%s', (_what, text, message) => {
    const found = errors(text)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
    // No control character of the file reaches the terminal.
    expect(found[0]).not.toMatch(/\p{Cc}/u)
  })

  test('all of it at once', () => {
    expect(
      errors(`lisen: {}
subscribe: ['log..']
listen: { http: nowhere, dta: x }
sinks:
  a: { type: file, path: '{x}' }
  b: { type: pigeon }
`),
    ).toHaveLength(6)
  })

  test('in the YAML itself', () => {
    expect(errors('a: [1\nb: 2')[0]).toMatch(/^spillway\.yaml:\d+:\d+: yaml: /)
    expect(errors('dir: a\ndir: b')).toEqual(['spillway.yaml:2:1: dir: stands here twice'])
    expect(errors('listen:\n\tdata: x')[0]).toMatch(/^spillway\.yaml:2:1: yaml: Tabs/)
    expect(errors('dir: a\n---\ndir: b')[0]).toMatch(/multiple documents/)
    expect(errors('dir: *nothing')).toEqual([expect.stringMatching(/yaml: Unresolved alias/)])
    expect(errors('a: \u0000')).not.toEqual([])
  })
})

describe('YAML made to hurt', () => {
  test.each([
    [
      'aliases that multiply',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghij'
        .split('')
        .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(',')}]`)
        .join('\n')}\n`,
    ],
    ['an alias of itself', 'sinks: &a { x: *a }'],
    ['brackets without end', '['.repeat(configBytesMax)],
    ['lists in lists without end', '- '.repeat(configBytesMax / 2)],
    ['lists in lists, some in each line', Array.from({ length: 30 }, (_, i) => ' '.repeat(i * 60) + '- '.repeat(30)).join('\n')],
    ['keys in keys without end', '? '.repeat(configBytesMax / 2)],
    ['brackets in brackets that quotes seem to close', '[ "]", '.repeat(configBytesMax / 7)],
    ['braces without end', `a: ${'{x: '.repeat(configBytesMax / 8)}`],
    [
      'as many keys as fit',
      Array.from({ length: configBytesMax / 7 }, (_, i) => `k${i}:`)
        .join('\n')
        .slice(0, configBytesMax),
    ],
    ['more than anybody writes', `dir: ${'x'.repeat(configBytesMax)}`],
  ])('%s: an error, and soon', (_what, text) => {
    const startedAtMs = performance.now()
    const found = errors(text)
    expect(found.length).toBeGreaterThan(0)
    // Nobody reads hundreds of lines of the same.
    expect(found.length).toBeLessThanOrEqual(50 + 1)
    if (found.length > 50) expect(found.at(-1)).toMatch(/^and \d+ more$/)
    expect(found.join('\n')).not.toMatch(/call stack/)
    expect(performance.now() - startedAtMs).toBeLessThan(5_000)
  })
})

describe('the environment', () => {
  test(`fills in \${NAME}, also within a word, and never as YAML`, () => {
    vi.stubEnv('SPILL_TEST_DIR', 'data}: [x')
    vi.stubEnv('SPILL_TEST_PORT', '7900')
    const read = config(`dir: /x/\${SPILL_TEST_DIR}/y\nlisten: { data: "tcp://127.0.0.1:\${SPILL_TEST_PORT}" }`)
    expect(read.dir).toBe('/x/data}: [x/y')
    expect(read.listen.control).toBe('tcp://127.0.0.1:7901')
  })

  test('that lacks a name is an error at the place of the name', () => {
    expect(errors(`dir: x\nlisten:\n  http: \${SPILL_TEST_UNSET}`)).toEqual([
      `spillway.yaml:3:9: environment: \${SPILL_TEST_UNSET} is not set`,
    ])
  })
})

describe('the command line wins over the file', () => {
  const text = 'dir: a\nlisten: { data: tcp://127.0.0.1:8001, control: tcp://127.0.0.1:9002, http: 127.0.0.1:9000 }\nsubscribe: [log.>]'

  test('--dir moves the default files too', () => {
    expect(config(text, { dir: 'b' })).toMatchObject({
      dir: 'b',
      sinks: { files: { path: join('b', 'logs', '{service}', '{date}.ndjson') } },
    })
  })

  test('--listen takes control and tail along', () => {
    expect(config(text, { listen: '127.0.0.1:5000' }).listen).toEqual({
      data: 'tcp://127.0.0.1:5000',
      control: 'tcp://127.0.0.1:5001',
      tail: 'tcp://127.0.0.1:5002',
      http: { host: '127.0.0.1', port: 9000 },
    })
    expect(config(text, { listen: 'ipc:///tmp/s' }).listen).toMatchObject({ control: 'ipc:///tmp/s.control', tail: 'ipc:///tmp/s.tail' })
    expect(config(text, { listen: '127.0.0.1:0' }).listen).toMatchObject({ control: 'tcp://127.0.0.1:0', tail: 'tcp://127.0.0.1:0' })
  })

  test('--http, --subscribe and --insecure', () => {
    expect(config(text, { http: 'off' }).listen.http).toBe('off')
    expect(config(text, { http: '[::1]:80' }).listen.http).toEqual({ host: '::1', port: 80 })
    expect(config(text, { subscribe: ['metric.>'] }).subscribe).toEqual(['metric.>'])
    expect(config(text, { insecure: true }).insecure).toBe(true)
  })

  test.each([
    [{ listen: '7701' }, /^--listen: .*HOST:PORT/],
    [{ listen: '127.0.0.1:65534' }, /^--listen: /],
    [{ listen: 'http://127.0.0.1:1' }, /^--listen: /],
    [{ listen: `ipc:///${'x'.repeat(107 - '/'.length - '.control'.length + 1)}` }, /^--listen: .*ipc:\/\/PATH/],
    [{ http: 'on' }, /^--http: expected HOST:PORT/],
    [{ subscribe: ['log..'] }, /^--subscribe: pattern "log\.\."/],
    [{ dir: '' }, /^--dir: /],
  ])('%j is told by the name of the flag, once', (overrides: ConfigOverrides, message) => {
    const found = errors('', overrides)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
    expect(found[0]).not.toMatch(/^(--\w+): \1/)
  })

  test('what is wrong with flags and file is told together', () => {
    expect(errors('lisen: {}', { http: 'on', listen: 'x' })).toHaveLength(3)
  })
})

test('requireConfig throws everything that is wrong in one error', () => {
  const wrong = () => requireConfig({ text: 'lisen: {}\ndirr: x', file })
  expect(wrong).toThrow(SpillwayError)
  expect(wrong).toThrow(/lisen.*\n.*dirr/)
  expect(requireConfig({ text: 'dir: x', file }).dir).toBe('x')
  expect(resolve(defaultDir)).toBe(resolve('spillway-data'))
})

/** What a configuration says of an InfluxDB sink: every key arrives, and what is wrong is told where it stands. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { issueLines, readConfig } from '../../../collector/config.ts'
import { root } from '../../support/processes.ts'

function read(sink: string) {
  return readConfig({ text: `dir: /data\nsinks:\n  influx: { type: influxdb, ${sink} }\n`, file: 'f' })
}

function errors(sink: string): string[] {
  const result = read(sink)
  return result.ok ? [] : issueLines(result.issues, 'f').map((line) => line.replace(/^f:3:\d+: sinks\.influx\.?/, ''))
}

const good = "url: 'http://127.0.0.1:8086', database: d"

test('what is not said has its default', () => {
  const result = read(good)
  expect(result.ok && result.config.sinks['influx']).toEqual({
    ...{ type: 'influxdb', topics: ['log.>', 'metric.>'], url: 'http://127.0.0.1:8086', version: 'auto', database: 'd' },
    ...{ org: undefined, bucket: undefined, retentionPolicy: undefined, token: undefined, user: undefined, password: undefined },
    ...{ gzip: true, timeoutMs: 10_000, inFlight: 1, tagValuesMax: 10_000, tags: {}, origin: true },
    batch: { linesMax: 5_000, bytesMax: 1_048_576, lingerMs: 1_000 },
    queue: { linesMax: 50_000, bytesMax: 8_388_608 },
    rejects: { path: '/data/rejected/influx.ndjson', bytesMax: 67_108_864 },
    logs: { measurement: 'logs', message: 'msg', tags: [], fields: {}, line: false },
    metrics: { buckets: false },
  })
})

test('what is said arrives', () => {
  const result = read(
    `topics: ['log.error.>'], url: 'https://h/influx/', version: 1, database: d, retentionPolicy: week, user: u, password: '', gzip: false,
    timeout: 3s, inFlight: 4, batch: { lines: 10, bytes: 2KiB, linger: 5ms }, queue: { lines: 1000, bytes: 2MiB }, rejects: { path: /r, maxBytes: 2MiB },
    tagValues: 7, tags: { region: eu }, origin: false, metrics: { buckets: true },
    logs: { measurement: m, message: text, tags: [a.b], fields: { c: integer, d: boolean }, line: true }`,
  )
  expect(result.ok && result.config.sinks['influx']).toEqual({
    ...{ type: 'influxdb', topics: ['log.error.>'], url: 'https://h/influx', version: '1', database: 'd', retentionPolicy: 'week' },
    ...{ org: undefined, bucket: undefined, token: undefined, user: 'u', password: '' },
    ...{ gzip: false, timeoutMs: 3_000, inFlight: 4, tagValuesMax: 7, tags: { region: 'eu' }, origin: false },
    batch: { linesMax: 10, bytesMax: 2_048, lingerMs: 5 },
    queue: { linesMax: 1_000, bytesMax: 2_097_152 },
    rejects: { path: '/r', bytesMax: 2_097_152 },
    logs: { measurement: 'm', message: 'text', tags: ['a.b'], fields: { c: 'integer', d: 'boolean' }, line: true },
    metrics: { buckets: true },
  })
})

test.each([
  ['', /^url: /],
  ["url: 'http://h'", /^url: expected a bucket \(2\.x\) or a database/],
  ['url: h, database: d', /^url: expected an address such as/],
  ["url: 'ftp://h', database: d", /^url: expected an address that begins with http/],
  ["url: 'http://u:secret@h', database: d", /^url: user and password have keys of their own/],
  ["url: 'http://h?u=secret', database: d", /^url: expected an address without \?/],
  ["url: 'http://h/api/v2/write', database: d", /^url: expected the address of the server/],
  [`${good}, bucket: b`, /^database: either bucket or database/],
  ["url: 'http://h', version: 2, bucket: b", /^version: version 2 needs an org and a bucket/],
  ["url: 'http://h', version: 2, database: d", /^version: version 2 needs an org and a bucket/],
  ["url: 'http://h', version: 1, bucket: b", /^bucket: version 1 has databases/],
  [`${good}, version: 4`, /^version: expected one of auto, 1, 2, 3, victoriametrics; got 4$/],
  [`${good}, version: [1]`, /^version: expected text or a number/],
  [`${good}, token: 'se cret'`, /^token: expected printable ASCII/],
  [`${good}, token: 12`, /^token: expected text$/],
  [`${good}, token: t, user: u, password: secret`, /^user: either token or user/],
  [`${good}, user: u`, /^user: user and password belong together/],
  [`${good}, version: 3, retentionPolicy: r`, /^retentionPolicy: only version 1/],
  [`${good}, timeout: 1`, /^timeout: expected a duration from 100ms to 5m/],
  [`${good}, inFlight: 0`, /^inFlight: /],
  [`${good}, queue: { bytes: 1KiB }`, /^queue\.bytes: expected a size from 1MiB to 1GiB/],
  [`${good}, batch: { line: 5 }`, /^batch\.line: unknown key; did you mean "lines"\?/],
  [`${good}, buket: b`, /^buket: unknown key; did you mean "bucket"\?/],
  [`${good}, logs: { fields: { a: number } }`, /^logs\.fields\.a: .*"string"/],
  [`${good}, logs: { fields: { message: string } }`, /^logs\.fields\.message: a field of this name is there already/],
  [`${good}, logs: { tags: [service] }`, /^logs\.tags\.0: every line has it already/],
  [`${good}, logs: { tags: [a, a] }`, /^logs\.tags\.1: stands here twice/],
  [`${good}, logs: { tags: [a], fields: { a: string } }`, /^logs\.fields\.a: is a tag already/],
  [`${good}, logs: { tags: [time] }`, /^logs\.tags\.0: time is/],
  [`${good}, tags: { host: x }`, /^tags\.host: every point has a tag of this name already/],
  [`${good}, topics: [log..]`, /^topics\.0: pattern "log\.\."/],
])('%s', (sink, message) => {
  const found = errors(sink)
  expect(found).toHaveLength(1)
  expect(found[0]).toMatch(message)
  expect(found[0]).not.toContain('secret')
})

test('every configuration in the documentation is right', () => {
  process.env['INFLUX_TOKEN'] = 'token'
  process.env['INFLUX_PASSWORD'] = 'password'
  const page = readFileSync(join(root, 'docs/INFLUXDB.md'), 'utf8')
  const blocks = [...page.matchAll(/```yaml\n(sinks:[\s\S]*?)```/g)].map(([, text = '']) => text)
  expect(blocks).toHaveLength(4)
  for (const text of blocks) expect(readConfig({ text, file: 'f' })).toMatchObject({ ok: true })
  const example = readFileSync(join(root, 'examples/spillway.yaml'), 'utf8')
  const [, commented = ''] = /\n {2}# influx:\n((?: {2}#.*\n)+)/.exec(example) ?? []
  expect(readConfig({ text: `sinks:\n  influx:\n${commented.replaceAll(/^ {2}# /gm, '  ')}`, file: 'f' })).toMatchObject({ ok: true })
})

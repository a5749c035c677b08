import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { holeRecordsMax, manifestTopicsMax, sequenceMax } from '../../wire/limits.ts'
import { type Manifest, type ManifestTopic, type ManifestWho, manifestBody, readManifest } from '../../wire/manifest.ts'
import { encodeValue, type WireValue } from '../../wire/msgpack.ts'
import { logTopic, metricTopic, type Topic } from '../../wire/topic.ts'
import { anyLevel, anyName } from './arbitrary-names.ts'
import { hostileBytesMaxMs, leastMs } from './cost.ts'
import { hostileValues } from './hostile-messagepack.ts'

const anyTopic: fc.Arbitrary<Topic> = fc.oneof(
  fc.tuple(anyLevel, anyName).map(([level, service]) => logTopic(level, service)),
  fc.tuple(anyName, anyName).map(([service, group]) => metricTopic(service, group)),
)
const anyNumbers: fc.Arbitrary<ManifestTopic> = fc
  .tuple(fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat())
  .map(([lead, trail, sent, resume, filtered, shed]) => ({
    trail: Math.min(trail, lead),
    lead,
    sent: Math.min(sent, lead),
    resume: Math.min(resume, lead),
    filtered,
    shed,
  }))
const anyGone = fc.record({
  topic: anyTopic,
  from: fc.nat(),
  records: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.constant(holeRecordsMax)),
})
const anyText = fc.string({ unit: 'binary', maxLength: 128 })
const anyWho: fc.Arbitrary<ManifestWho> = fc.record({ service: anyText, host: anyText, pid: fc.nat(), node: anyText, version: anyText })
const anyManifest: fc.Arbitrary<Manifest> = fc.record({
  number: fc.maxSafeNat(),
  final: fc.boolean(),
  urgent: fc.boolean(),
  everyMs: fc.nat(),
  topics: fc.array(fc.tuple(anyTopic, anyNumbers), { maxLength: 20 }).map((entries) => new Map(entries)),
  gone: fc.array(
    anyGone.map(({ topic, from, records }) => ({ topic, from, to: from + records })),
    { maxLength: 5 },
  ),
  who: fc.option(anyWho, { nil: undefined }),
})

const topic = logTopic('info', 'shop')
const sound = { n: 3, every: 2_000, topics: { [topic]: [0, 10, 10, 0, 0, 0] } }

function read(value: WireValue): Manifest | undefined {
  return readManifest(encodeValue(value))
}

describe('a manifest', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(anyManifest, (manifest) => {
        expect(readManifest(encodeValue(manifestBody(manifest)))).toEqual(manifest)
      }),
      { numRuns: 300 },
    )
  })

  test('of another implementation is read too, numbers of any width included', () => {
    const body = Buffer.from(encode({ ...sound, topics: { [topic]: [2 ** 33, 2 ** 53 - 1, 2 ** 40, 0, 1, 2] }, final: 1 }))
    expect(readManifest(body)).toEqual({
      number: 3,
      final: true,
      urgent: false,
      everyMs: 2_000,
      topics: new Map([[topic, { trail: 2 ** 33, lead: sequenceMax, sent: 2 ** 40, resume: 0, filtered: 1, shed: 2 }]]),
      gone: [],
      who: undefined,
    })
  })

  test('says nothing about what is not so: no keys for false, none and unknown', () => {
    const manifest: Manifest = { number: 0, final: false, urgent: false, everyMs: 50, topics: new Map(), gone: [], who: undefined }
    expect(encodeValue(manifestBody(manifest)).equals(encode({ n: 0, every: 50, topics: {} }))).toBe(true)
  })

  test('may carry more than this version knows', () => {
    expect(read({ ...sound, colour: 'blue', topics: { [topic]: [0, 10, 10, 0, 0, 0, 99] } })).toBeDefined()
  })

  test('with a long service name is not lost for it: texts for people are cut to 256 characters', () => {
    const who = { service: 's'.repeat(1_000), host: 'h', pid: 1, node: 'v20.0.0', version: '1.0.0' }
    expect(read({ ...sound, who })?.who).toEqual({ ...who, service: 's'.repeat(256) })
  })
})

describe('refuses', () => {
  test.each<[string, WireValue]>([
    ['a list', [1]],
    ['no number', { every: 1, topics: {} }],
    ['no interval', { n: 0, topics: {} }],
    ['no topics', { n: 0, every: 1 }],
    ['topics in a list', { ...sound, topics: [] }],
    ['a topic that is none', { ...sound, topics: { 'log.info': [0, 0, 0, 0, 0, 0] } }],
    ['a topic named __proto__', { ...sound, topics: JSON.parse('{"__proto__":[0,0,0,0,0,0]}') as WireValue }],
    ['five numbers', { ...sound, topics: { [topic]: [0, 0, 0, 0, 0] } }],
    ['a negative number', { ...sound, topics: { [topic]: [-1, 0, 0, 0, 0, 0] } }],
    ['a fraction', { ...sound, topics: { [topic]: [0, 0.5, 0, 0, 0, 0] } }],
    ['2^53', { ...sound, topics: { [topic]: [0, 2 ** 53, 0, 0, 0, 0] } }],
    ['a trail behind the lead', { ...sound, topics: { [topic]: [11, 10, 10, 0, 0, 0] } }],
    ['more sent than accepted', { ...sound, topics: { [topic]: [0, 10, 11, 0, 0, 0] } }],
    ['more acknowledged than accepted', { ...sound, topics: { [topic]: [0, 10, 10, 11, 0, 0] } }],
    ['gone that is no list', { ...sound, gone: { [topic]: 1 } }],
    ['a gone range of nothing', { ...sound, gone: [[topic, 5, 5]] }],
    ['a gone range backwards', { ...sound, gone: [[topic, 5, 4]] }],
    ['a gone range wider than any hole', { ...sound, gone: [[topic, 0, holeRecordsMax + 1]] }],
    ['a gone range of no topic', { ...sound, gone: [['log', 0, 1]] }],
    ['an origin without a pid', { ...sound, who: { service: 's', host: 'h', node: 'n', version: 'v' } }],
    ['a host that is a number', { ...sound, who: { service: 's', host: 1, pid: 1, node: 'n', version: 'v' } }],
    ['nil for an origin', { ...sound, who: null }],
  ])('%s', (_, value) => {
    expect(read(value)).toBeUndefined()
  })

  test('more topics than a message carries', () => {
    const topics = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`log.info.s${i}.`, [0, 0, 0, 0, 0, 0]]))
    expect(read({ ...sound, topics: topics(manifestTopicsMax) })?.topics.size).toBe(manifestTopicsMax)
    expect(read({ ...sound, topics: topics(manifestTopicsMax + 1) })).toBeUndefined()
  })

  test('a manifest cut at any byte', () => {
    const body = encodeValue({ ...sound, gone: [[topic, 0, 2]], who: { service: 's', host: 'h', pid: 1, node: 'n', version: 'v' } })
    expect(readManifest(body)).toBeDefined()
    for (let length = 0; length < body.length; length += 1) expect(readManifest(body.subarray(0, length))).toBeUndefined()
  })

  test('or reads changed bytes, and never throws', () => {
    const change = fc.record({ place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), byte: fc.nat(255) })
    fc.assert(
      fc.property(anyManifest, fc.array(change, { minLength: 1, maxLength: 4 }), (manifest, changes) => {
        const bytes = Buffer.from(encodeValue(manifestBody(manifest)))
        for (const { place, byte } of changes) bytes[Math.floor(place * bytes.length)] = byte
        readManifest(bytes)
      }),
      { numRuns: 500 },
    )
  })

  test('hostile values within 50 ms each', () => {
    for (const { bytes } of hostileValues()) {
      expect(leastMs(() => expect(readManifest(bytes)).toBeUndefined())).toBeLessThan(hostileBytesMaxMs)
    }
  })
})

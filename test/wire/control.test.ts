import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Beacon, type ControlMessage, encodeBeacon, encodeControl, readBeacon, readControl } from '../../wire/control.ts'
import { controlBytesMax, controlElementsMax, controlRangesMax, holeRecordsMax, sequenceMax, topicBytesMax } from '../../wire/limits.ts'
import { encodeValue, type WireValue } from '../../wire/msgpack.ts'
import { checkTopic, logTopic } from '../../wire/topic.ts'
import { anyLevel, anyName } from './arbitrary-names.ts'
import { hostileBytesMaxMs, leastMs } from './cost.ts'
import { hostileValues } from './hostile-messagepack.ts'

const anyTopic = fc.tuple(anyLevel, anyName).map(([level, service]) => logTopic(level, service))
const anyMessage: fc.Arbitrary<ControlMessage> = fc.record({
  run: fc.stringMatching(/^[A-Za-z0-9]{0,64}$/),
  acknowledgements: fc.array(fc.record({ topic: anyTopic, upTo: fc.maxSafeNat() }), { maxLength: 20 }),
  requests: fc.array(
    fc
      .record({ topic: anyTopic, from: fc.nat(), records: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.constant(holeRecordsMax)) })
      .map(({ topic, from, records }) => ({ topic, from, to: from + records })),
    { maxLength: 20 },
  ),
})

const topic = 'log.info.shop.'
const sound = { v: 1, run: 'r1', acks: [[topic, 10]], asks: [[topic, 2, 5]] }

const soundBeacon = { v: 1, run: 'r1', version: '0.1.0', n: 1, origins: [{ service: 'shop', host: 'h', pid: 7, state: 'alive' }] }

function read(value: WireValue): ControlMessage | undefined {
  return readControl(encodeValue(value))
}

describe('a control message', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(readControl(encodeControl(message))).toEqual(message)
      }),
      { numRuns: 300 },
    )
  })

  test('as full as it may be fits its limits, with topics of every length', () => {
    const longest = checkTopic(`${'t'.repeat(topicBytesMax - 1)}.`)
    const acknowledgements = Array.from({ length: controlRangesMax }, () => ({ topic: longest, upTo: sequenceMax }))
    const message: ControlMessage = { run: 'r', acknowledgements, requests: [] }
    expect(encodeControl(message).length).toBeLessThanOrEqual(controlBytesMax)
    expect(readControl(encodeControl(message))).toEqual(message)
    // Both lists full: the elements fit; the bytes do when topics are not all of the longest kind.
    const requests = Array.from({ length: controlRangesMax }, () => ({ topic: checkTopic(topic), from: 0, to: 1 }))
    const full: ControlMessage = {
      run: 'r',
      acknowledgements: acknowledgements.map((ack) => ({ ...ack, topic: checkTopic(topic) })),
      requests,
    }
    expect(readControl(encodeControl(full))).toEqual(full)
  })

  test('of another implementation is read too', () => {
    const bytes = Buffer.from(encode({ ...sound, acks: [[topic, 2 ** 40]], more: true }))
    expect(readControl(bytes)?.acknowledgements).toEqual([{ topic, upTo: 2 ** 40 }])
  })

  test.each<[string, WireValue]>([
    ['a list', []],
    ['another version', { ...sound, v: 2 }],
    ['no version', { run: 'r1', acks: [], asks: [] }],
    ['no run', { v: 1, acks: [], asks: [] }],
    ['a run of 65 characters', { ...sound, run: 'r'.repeat(65) }],
    ['no acknowledgements', { v: 1, run: 'r1', asks: [] }],
    ['no requests', { v: 1, run: 'r1', acks: [] }],
    ['an acknowledgement that is no list', { ...sound, acks: [topic] }],
    ['an acknowledgement of no topic', { ...sound, acks: [['log.info', 1]] }],
    ['an acknowledgement of a topic that is no text', { ...sound, acks: [[1, 1]] }],
    ['a negative acknowledgement', { ...sound, acks: [[topic, -1]] }],
    ['an acknowledgement of half a record', { ...sound, acks: [[topic, 0.5]] }],
    ['a request for nothing', { ...sound, asks: [[topic, 5, 5]] }],
    ['a request backwards', { ...sound, asks: [[topic, 5, 4]] }],
    ['a request without an end', { ...sound, asks: [[topic, 5]] }],
    ['a request wider than any hole', { ...sound, asks: [[topic, 0, holeRecordsMax + 1]] }],
    ['more acknowledgements than it may carry', { ...sound, acks: new Array(controlRangesMax + 1).fill([topic, 1]) }],
    ['more requests than it may carry', { ...sound, asks: new Array(controlRangesMax + 1).fill([topic, 1, 2]) }],
    ['more values than it may carry', { ...sound, more: new Array(controlElementsMax).fill(null) }],
    ['more bytes than it may carry', { ...sound, more: 'x'.repeat(controlBytesMax) }],
  ])('is refused with %s', (_, value) => {
    expect(read(value)).toBeUndefined()
  })

  test('cut at any byte is refused', () => {
    const bytes = encodeValue(sound)
    expect(readControl(bytes)).toBeDefined()
    for (let length = 0; length < bytes.length; length += 1) expect(readControl(bytes.subarray(0, length))).toBeUndefined()
  })

  test('is read inside the application: the worst of them is answered within 50 ms', () => {
    for (const { bytes } of hostileValues(controlBytesMax)) {
      expect(leastMs(() => expect(readControl(bytes)).toBeUndefined())).toBeLessThan(hostileBytesMaxMs)
    }
  })
})

describe('a beacon', () => {
  test('is read as it was written', () => {
    const beacon: Beacon = {
      run: 'r1',
      version: '0.1.0',
      originCount: 12,
      origins: [
        { service: 'shop', host: 'h', pid: 7, state: 'alive' },
        { service: '', host: 'ü', pid: 0, state: '' },
      ],
    }
    expect(readBeacon(encodeBeacon(beacon))).toEqual(beacon)
  })

  test('leaves out origins rather than exceed the limit of a control message', () => {
    const name = '日'.repeat(256)
    const origins = Array.from({ length: 50 }, (_, pid) => ({ service: name, host: name, pid, state: 'alive' }))
    const bytes = encodeBeacon({ run: 'r1', version: '0.1.0', originCount: 50, origins })
    expect(bytes.length).toBeLessThanOrEqual(controlBytesMax)
    expect(readBeacon(bytes)).toEqual({ run: 'r1', version: '0.1.0', originCount: 50, origins: origins.slice(0, 25) })
  })

  test.each<[string, WireValue]>([
    ['another version', { ...soundBeacon, v: 2 }],
    ['no run', { ...soundBeacon, run: undefined }],
    ['no version of the collector', { ...soundBeacon, version: 1 }],
    ['no count', { ...soundBeacon, n: -1 }],
    ['too many bytes', { ...soundBeacon, more: 'x'.repeat(controlBytesMax) }],
  ])('is refused with %s', (_, value) => {
    expect(readBeacon(encodeValue(value))).toBeUndefined()
  })

  test.each<[string, WireValue]>([
    ['a state that is a map, which once threw', { service: 's', host: 'h', pid: 1, state: {} }],
    ['no state', { service: 's', host: 'h', pid: 1 }],
    ['a pid of one half', { service: 's', host: 'h', pid: 0.5, state: 'alive' }],
    ['a list', ['s', 'h', 1, 'alive']],
    ['nil', null],
  ])('leaves out an origin with %s', (_, origin) => {
    expect(readBeacon(encodeValue({ ...soundBeacon, origins: [origin, ...soundBeacon.origins] }))?.origins).toEqual(soundBeacon.origins)
  })

  test('is no control message, nor the other way round', () => {
    expect(readControl(encodeValue(soundBeacon))).toBeUndefined()
    expect(readBeacon(encodeValue(sound))).toBeUndefined()
  })
})

test('changed bytes are read or refused by both readers, never thrown at the caller', () => {
  const change = fc.record({ place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), byte: fc.nat(255) })
  const anyBytes = fc.oneof(anyMessage.map(encodeControl), fc.constant(encodeValue(soundBeacon)))
  fc.assert(
    fc.property(anyBytes, fc.array(change, { minLength: 1, maxLength: 4 }), (sent, changes) => {
      const bytes = Buffer.from(sent)
      for (const { place, byte } of changes) bytes[Math.floor(place * bytes.length)] = byte
      readControl(bytes)
      readBeacon(bytes)
    }),
    { numRuns: 1_000 },
  )
})

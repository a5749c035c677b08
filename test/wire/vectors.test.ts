/**
 * Messages as bytes, with what they mean, for whoever writes a client in another language; docs/WIRE.md points here.
 * Each is read by our own code and by a MessagePack decoder that shares none of it.
 */
import { readFileSync } from 'node:fs'
import { decode } from '@msgpack/msgpack'
import { describe, expect, test } from 'vitest'
import { beaconTopic, byeSuffix, encodeBeacon, encodeControl, readBeacon, readControl } from '../../wire/control.ts'
import { decodeFrame, encodeFrame, encodeLines, type FrameHead, type FrameKind, frameKinds } from '../../wire/frame.ts'
import { type Manifest, type ManifestTopic, type ManifestWho, manifestBody, readManifest } from '../../wire/manifest.ts'
import { decodeValue, encodeValue, type WireValue } from '../../wire/msgpack.ts'
import { decodePoints, encodePoints, type PointsBody } from '../../wire/points.ts'
import { checkTopic, parseTopic } from '../../wire/topic.ts'

interface FrameMeaning extends FrameHead {
  readonly topic: string
}
interface FrameVector<M> {
  readonly name: string
  /** First part of the message, hex. */
  readonly topic: string
  /** Second part, hex. */
  readonly frame: string
  readonly meaning: FrameMeaning & M
  /** Whether our encoder writes exactly these bytes; others are further forms that must be read. */
  readonly written?: boolean
}
interface ManifestMeaning {
  readonly number: number
  readonly final: boolean
  readonly urgent: boolean
  readonly everyMs: number
  readonly topics: Readonly<Record<string, ManifestTopic>>
  readonly gone: readonly { readonly topic: string; readonly from: number; readonly to: number }[]
  readonly who?: ManifestWho
}
interface ControlVector {
  readonly name: string
  readonly kind: 'control' | 'beacon'
  readonly topic: string
  readonly body: string
  readonly meaning: { readonly topic: string } & Readonly<Record<string, unknown>>
}

function load<T>(file: string): T[] {
  return JSON.parse(readFileSync(new URL(`vectors/${file}.json`, import.meta.url), 'utf8')) as T[]
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}

/** The fields that every frame has, read by both decoders; returns the body as each saw it. */
function readByBoth({ frame, topic, meaning }: FrameVector<unknown>): { ours: Buffer; theirs: unknown } {
  expect(bytesOf(topic).toString('latin1')).toBe(meaning.topic)
  expect(parseTopic(meaning.topic)).toBeDefined()
  const result = decodeFrame(bytesOf(frame))
  if (!result.ok) throw new Error(`refused: ${result.fault}`)
  const { origin, seq, count, time, kind, onDemand } = meaning
  const { body, ...head } = result.frame
  expect(head).toEqual({ origin, seq, count, time, kind, onDemand })
  const fields = decode(bytesOf(frame)) as unknown[]
  expect(fields.slice(0, 6)).toEqual([1, origin, seq, count, time, kind])
  expect((fields[7] as { d?: number } | undefined)?.d === 1).toBe(onDemand)
  return { ours: body, theirs: fields[6] }
}

describe('lines', () => {
  test.each(load<FrameVector<{ lines: string[] }>>('lines'))('$name', (vector) => {
    const { lines, ...head } = vector.meaning
    const text = lines.map((line) => `${line}\n`).join('')
    const { ours, theirs } = readByBoth(vector)
    expect(ours.toString('utf8')).toBe(text)
    expect(Buffer.from(theirs as Uint8Array).equals(ours)).toBe(true)
    if (vector.written) expect(encodeLines(head, text).toString('hex')).toBe(vector.frame)
  })
})

describe('records', () => {
  test.each(load<FrameVector<{ value: WireValue }>>('records'))('$name', (vector) => {
    const { value, ...head } = vector.meaning
    const { ours, theirs } = readByBoth(vector)
    expect(decodeValue(ours)).toEqual({ ok: true, value })
    expect(theirs).toEqual(value)
    const again = decodeFrame(encodeFrame(head, value))
    expect(again.ok && decode(again.frame.body)).toEqual(value)
  })
})

describe('points', () => {
  test.each(load<FrameVector<{ points: PointsBody }>>('points'))('$name', (vector) => {
    const { points, ...head } = vector.meaning
    const { ours, theirs } = readByBoth(vector)
    expect(decodePoints(ours, head.count)).toEqual(points)
    const [startMs, endMs, instruments] = theirs as [number, number, unknown[][]]
    expect([startMs, endMs]).toEqual([points.startMs, points.endMs])
    for (const [i, { name, unit, description, points: inner }] of points.instruments.entries()) {
      const [theirName, , theirUnit, theirDescription, theirPoints] = instruments[i] as unknown[]
      expect([theirName, theirUnit, theirDescription]).toEqual([name, unit, description])
      // Apart from nesting, a point's fields stand in the order of its meaning's.
      expect((theirPoints as unknown[][]).map((point) => point.flat())).toEqual(inner.map((point) => flatValues(point)))
    }
    if (vector.written) expect(encodeFrame(head, encodePoints(points)).toString('hex')).toBe(vector.frame)
  })

  function flatValues(value: unknown): unknown[] {
    return value !== null && typeof value === 'object' ? Object.values(value).flatMap(flatValues) : [value]
  }
})

describe('manifests', () => {
  test.each(load<FrameVector<{ manifest: ManifestMeaning }>>('manifests'))('$name', (vector) => {
    const { manifest } = vector.meaning
    const { ours, theirs } = readByBoth(vector)
    const expected: Manifest = {
      ...manifest,
      topics: new Map(Object.entries(manifest.topics).map(([topic, numbers]) => [checkTopic(topic), numbers])),
      gone: manifest.gone.map((range) => ({ ...range, topic: checkTopic(range.topic) })),
      who: manifest.who,
    }
    expect(readManifest(ours)).toEqual(expected)
    const fields = theirs as {
      n: number
      every: number
      topics: Record<string, number[]>
      gone?: unknown[]
      who?: unknown
      final?: 1
      urgent?: 1
    }
    expect(fields).toMatchObject({ n: manifest.number, every: manifest.everyMs })
    expect(fields.final === 1).toBe(manifest.final)
    expect(fields.urgent === 1).toBe(manifest.urgent)
    expect(fields.who).toEqual(manifest.who)
    expect(fields.gone ?? []).toEqual(manifest.gone.map(({ topic, from, to }) => [topic, from, to]))
    for (const [topic, numbers] of Object.entries(manifest.topics)) {
      const { trail, lead, sent, resume, filtered, shed } = numbers
      expect(fields.topics[topic]).toEqual([trail, lead, sent, resume, filtered, shed])
    }
    // What is written by us means the same to the other decoder; numbers over 32 bits may be float64 instead of uint64.
    expect(decode(encodeValue(manifestBody(expected)))).toEqual(theirs)
  })
})

describe('control channel', () => {
  test.each(load<ControlVector>('control'))('$name', ({ kind, topic, body, meaning: { topic: name, ...meaning } }) => {
    expect(bytesOf(topic).toString('latin1')).toBe(name)
    expect(kind === 'beacon' ? name === beaconTopic : /^[A-Za-z0-9_-]{16}$/.test(name.replace(new RegExp(`\\${byeSuffix}$`), ''))).toBe(
      true,
    )
    const theirs = decode(bytesOf(body))
    if (kind === 'beacon') {
      const beacon = readBeacon(bytesOf(body))
      expect(beacon).toEqual(meaning)
      if (beacon !== undefined) expect(decode(encodeBeacon(beacon))).toEqual(theirs)
    } else {
      const message = readControl(bytesOf(body))
      expect(message).toEqual(meaning)
      if (message !== undefined) expect(decode(encodeControl(message))).toEqual(theirs)
    }
  })
})

describe('bad frames', () => {
  const vectors = load<{ name: string; frame: string; fault: string }>('bad-frames')

  test.each(vectors)('$name: $fault', ({ frame, fault }) => {
    expect(decodeFrame(bytesOf(frame))).toEqual({ ok: false, fault })
  })

  test('show every fault but a length no vector should have', () => {
    expect(new Set(vectors.map(({ fault }) => fault))).toEqual(new Set(['truncated', 'version', 'layout', 'bounds', 'lines']))
  })
})

test('the vectors use every kind of frame', () => {
  const kinds = ['lines', 'records', 'points', 'manifests'].flatMap((file) =>
    load<FrameVector<unknown>>(file).map(({ meaning }): FrameKind => meaning.kind),
  )
  expect(new Set(kinds)).toEqual(new Set(Object.values(frameKinds)))
})

/** The bound of the unknown tail: by hand, against a model of an application at its worst, and against killed processes. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ManifestClock } from '../../agent/manifest-clock.ts'
import { Ingest } from '../../collector/ingest.ts'
import { UnknownTail, type UnknownTailBound } from '../../collector/unknown-tail.ts'
import type { Endpoint } from '../../wire/endpoint.ts'
import { frameKinds } from '../../wire/frame.ts'
import {
  agentPollMs,
  batchAgeMaxMs,
  batchRecordsMax,
  dataHighWaterMarkFrames,
  manifestDelaysMs,
  openBatchesMax,
  retrySendMaxMs,
} from '../../wire/limits.ts'
import { readManifest } from '../../wire/manifest.ts'
import { privateContext } from '../../wire/socket.ts'
import { root, startNode } from '../support/processes.ts'
import { until } from '../support/until.ts'

const lateMs = 100

describe('the bound', () => {
  test('of an origin that was only just met is what its batches hold', () => {
    const tail = new UnknownTail()
    expect(tail.bound(0).recordsMax).toBe(batchRecordsMax)
    tail.manifest(0, { timeMs: 1_000, nowMs: 5 }, 200)
    expect(tail.bound(3)).toEqual({ recordsMax: 3 * batchRecordsMax, windowMs: 200 + agentPollMs + retrySendMaxMs + lateMs })
    expect(tail.bound(1_000).recordsMax).toBe(openBatchesMax * batchRecordsMax)
  })

  test('has the window of what was heard last: a frame, or a manifest and its interval', () => {
    const tail = new UnknownTail()
    const [afterFrameMs = 0] = manifestDelaysMs
    const rest = agentPollMs + retrySendMaxMs + lateMs
    tail.frame(1, { timeMs: 0, nowMs: 0 })
    expect(tail.bound(1).windowMs).toBe(afterFrameMs + rest)
    tail.manifest(0, { timeMs: 50, nowMs: 50 }, 2_000)
    expect(tail.bound(1).windowMs).toBe(2_000 + rest)
    // Sent again: nothing new is known.
    tail.frame(0, { timeMs: 0, nowMs: 5_000 })
    expect(tail.bound(1).windowMs).toBe(2_000 + rest)
    tail.manifest(0, { timeMs: 60, nowMs: 60 }, Number.MAX_SAFE_INTEGER)
    expect(tail.bound(1).windowMs).toBe(60_000 + rest)
  })

  test('holds the largest stretch of the last minutes, and forgets it after ten', () => {
    const tail = new UnknownTail()
    tail.frame(5_000, { timeMs: 0, nowMs: 0 })
    for (let ms = 1_000; ms < 300_000; ms += 1_000) tail.frame(1, { timeMs: ms, nowMs: ms })
    expect(tail.bound(1).recordsMax).toBe(5_000 + batchRecordsMax)
    for (let ms = 300_000; ms < 600_000; ms += 1_000) tail.frame(1, { timeMs: ms, nowMs: ms })
    expect(tail.bound(1).recordsMax).toBe(5_000 + batchRecordsMax)
    for (let ms = 600_000; ms < 602_000; ms += 1_000) tail.frame(1, { timeMs: ms, nowMs: ms })
    expect(tail.bound(1).recordsMax).toBe(1 + batchRecordsMax)
  })

  test('counts a burst by when it was accepted, however slowly it comes', () => {
    const tail = new UnknownTail()
    for (let n = 0; n < 20; n += 1) tail.frame(512, { timeMs: 10_000 + n, nowMs: 10_000 + 100 * n })
    expect(tail.bound(1).recordsMax).toBeGreaterThanOrEqual(20 * 512)
  })

  test('grows with the delay of what was heard last, and shrinks again', () => {
    const tail = new UnknownTail()
    for (let ms = 0; ms < 10_000; ms += 20) tail.frame(20, { timeMs: ms, nowMs: ms })
    const quick = tail.bound(1)
    tail.frame(20, { timeMs: 10_000, nowMs: 13_000 })
    const slow = tail.bound(1)
    // Three seconds at a thousand a second lie between that record and now.
    expect(slow.recordsMax).toBeGreaterThan(3_000)
    expect(slow.windowMs).toBe(quick.windowMs + 3_000)
    tail.frame(20, { timeMs: 13_020, nowMs: 13_020 })
    expect(tail.bound(1)).toEqual(quick)
  })

  test.each([
    ['differ by years', 1_780_000_000_000],
    ['differ the other way', -1_000_000],
  ])('does not depend on clocks being the same: they %s', (_what, offsetMs) => {
    const [same, other] = [new UnknownTail(), new UnknownTail()]
    for (let ms = 0; ms < 5_000; ms += 20) {
      same.frame(7, { timeMs: ms, nowMs: ms + (ms % 60) })
      other.frame(7, { timeMs: ms + offsetMs - (offsetMs % 60), nowMs: ms + (ms % 60) })
    }
    expect(other.bound(1)).toEqual(same.bound(1))
  })

  test.each([
    ['back', -3_600_000],
    ['forward', 3_600_000],
  ])('survives a clock that is set %s', (_what, stepMs) => {
    const tail = new UnknownTail()
    for (let ms = 0; ms < 5_000; ms += 20) tail.frame(7, { timeMs: 1e12 + ms, nowMs: ms })
    const before = tail.bound(1)
    for (let ms = 5_000; ms < 10_000; ms += 20) tail.frame(7, { timeMs: 1e12 + ms + stepMs, nowMs: ms })
    expect(tail.bound(1)).toEqual(before)
  })

  test('stays a number whatever an origin says', () => {
    const tail = new UnknownTail()
    for (const timeMs of [0, Number.MAX_SAFE_INTEGER, 1, 2 ** 52, 0]) {
      for (const records of [0, 1, 4_096, Number.MAX_SAFE_INTEGER]) {
        tail.frame(records, { timeMs, nowMs: 5 })
        tail.manifest(records, { timeMs, nowMs: 6 }, Number.MAX_SAFE_INTEGER)
        const { recordsMax, windowMs } = tail.bound(3)
        expect(Number.isSafeInteger(recordsMax)).toBe(true)
        expect(Number.isSafeInteger(windowMs)).toBe(true)
        expect(recordsMax).toBeGreaterThan(0)
      }
    }
  })

  test('costs the same however long it goes on', () => {
    const tail = new UnknownTail()
    const startedAtMs = performance.now()
    for (let n = 0; n < 1_000_000; n += 1) tail.frame(512, { timeMs: n * 7_919, nowMs: n })
    expect(performance.now() - startedAtMs).toBeLessThan(3_000)
  })
})

// ── a model of an application, its link and a collector ──

/** mulberry32: small, seeded, good enough to vary. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Pattern {
  readonly name: string
  /** Records logged to a topic in one millisecond. */
  readonly logs: (ms: number, topic: number) => number
  readonly topics: number
}

interface Message {
  readonly timeMs: number
  readonly topic: number
  readonly count: number
  readonly manifest: { readonly accepted: number; readonly everyMs: number } | undefined
}

/** Runs one to its death; step by step of a millisecond. */
function runModel(pattern: Pattern, random: () => number): { unknown: number; bound: UnknownTailBound } {
  const tail = new UnknownTail()
  const clock = new ManifestClock()
  const open = Array.from({ length: pattern.topics }, () => ({ count: 0, firstAtMs: 0 }))
  const ring: Message[] = []
  const pipe: Message[] = []
  /** In the kernel of the application's side, and of the collector's. */
  const leaving: { message: Message; arrivesAtMs: number }[] = []
  const arrived: Message[] = []
  let accepted = 0
  let numbered = 0
  let known = 0
  const skewMs = Math.floor((random() - 0.5) * 1e9)
  const hear = ({ timeMs, count, manifest }: Message, nowMs: number) => {
    const times = { timeMs, nowMs: nowMs + skewMs }
    const before = known
    if (manifest === undefined) known += count
    // Frames behind a manifest are known already; in this model no manifest overtakes one.
    else known = Math.max(known, manifest.accepted)
    if (manifest === undefined) tail.frame(known - before, times)
    else tail.manifest(known - before, times, manifest.everyMs)
  }
  const close = (topic: number) => {
    const batch = open[topic]
    if (batch === undefined || batch.count === 0) return
    ring.push({ timeMs: batch.firstAtMs, topic, count: batch.count, manifest: undefined })
    numbered += batch.count
    batch.count = 0
  }
  const kernelFramesMax = 25
  const diesAtMs = 1_500 + Math.floor(random() * 4_000)
  let stalledUntilMs = 0
  let blockedUntilMs = 0
  for (let ms = 0; ms < diesAtMs; ms += 1) {
    // A collector that looks away now and then, and an application whose timers are late.
    if (random() < 0.001) stalledUntilMs = ms + Math.floor(random() * 800)
    if (random() < 0.005) blockedUntilMs = ms + Math.floor(random() * 60)
    for (let topic = 0; topic < pattern.topics; topic += 1) {
      for (let left = pattern.logs(ms, topic); left > 0; left -= 1) {
        const batch = open[topic]
        if (batch === undefined) continue
        if (batch.count === 0) batch.firstAtMs = ms
        batch.count += 1
        accepted += 1
        if (batch.count >= batchRecordsMax) close(topic)
      }
    }
    if (ms >= blockedUntilMs && open.some(({ count, firstAtMs }) => count > 0 && ms - firstAtMs >= batchAgeMaxMs))
      for (let topic = 0; topic < pattern.topics; topic += 1) close(topic)
    if (ms >= blockedUntilMs) {
      while (ring.length > 0 && pipe.length < dataHighWaterMarkFrames) {
        pipe.push(ring.shift() as Message)
        clock.frameSent(ms)
      }
      if (ring.length === 0 && clock.isDue(ms) && pipe.length < dataHighWaterMarkFrames) {
        pipe.push({ timeMs: ms, topic: 0, count: 0, manifest: { accepted: numbered, everyMs: clock.everyMs } })
        clock.manifestSent(ms, false)
      }
    }
    for (let frames = 0; frames < 4 && pipe.length > 0 && leaving.length < kernelFramesMax; frames += 1)
      leaving.push({ message: pipe.shift() as Message, arrivesAtMs: ms + Math.floor(random() * 4) })
    while (arrived.length < kernelFramesMax && leaving[0] !== undefined && leaving[0].arrivesAtMs <= ms)
      arrived.push((leaving.shift() as { message: Message }).message)
    while (ms >= stalledUntilMs && arrived.length > 0) hear(arrived.shift() as Message, ms)
  }
  // What has arrived is heard. The rest arrives too, unless the connection is reset.
  if (random() < 0.5) arrived.push(...leaving.map(({ message }) => message))
  for (const message of arrived) hear(message, Math.max(diesAtMs, stalledUntilMs))
  return { unknown: accepted - known, bound: tail.bound(pattern.topics) }
}

describe('in a model of an application that is killed at any moment', () => {
  const patterns: Pattern[] = [
    { name: 'now and then', topics: 1, logs: (ms) => (ms % 97 === 0 ? 1 : 0) },
    { name: '1,000 a second', topics: 1, logs: () => 1 },
    { name: '1,000 a second to eight topics', topics: 8, logs: (ms, topic) => (ms % 8 === topic ? 1 : 0) },
    { name: '50,000 a second', topics: 2, logs: () => 25 },
    { name: 'bursts of 5,000 every 300 ms', topics: 1, logs: (ms) => (ms % 300 < 5 ? 1_000 : 0) },
    { name: 'bursts of 20,000 in one turn every second', topics: 1, logs: (ms) => (ms % 1_000 === 100 ? 20_000 : 0) },
    { name: 'steady, with bursts', topics: 3, logs: (ms, topic) => (topic === 0 && ms % 500 === 0 ? 3_000 : ms % 3 === 0 ? 2 : 0) },
  ]
  const seed = Number(process.env['SPILLWAY_SEED'] ?? 20_260_531)

  test.each(patterns)(`$name: the bound holds (seed ${seed})`, (pattern) => {
    const random = randomFrom(seed)
    for (let round = 0; round < 100; round += 1) {
      const { unknown, bound } = runModel(pattern, random)
      expect(unknown, `round ${round}`).toBeLessThanOrEqual(bound.recordsMax)
      expect(unknown).toBeGreaterThanOrEqual(0)
    }
  })

  test('of a steady application that is read it is less than a second of what it logs, and its batches', () => {
    const tail = new UnknownTail()
    for (let ms = 0; ms < 60_000; ms += 20) tail.frame(200, { timeMs: ms, nowMs: ms + 21 })
    expect(tail.bound(1).recordsMax).toBeLessThan(10_000 + batchRecordsMax)
  })
})

// ── real processes ──

/** A collector's intake, and what it knows of each topic. */
class Listener implements AsyncDisposable {
  readonly tail = new UnknownTail()
  readonly #known = new Map<string, number>()
  readonly #ingest: Ingest
  heard = 0

  private constructor() {
    this.#ingest = new Ingest(privateContext(), 'tcp://127.0.0.1:0' as Endpoint, {
      frame: (topic, frame) => {
        this.heard += 1
        const times = { timeMs: frame.time, nowMs: performance.now() }
        if (frame.kind !== frameKinds.manifest) return this.tail.frame(this.#know(topic, frame.seq + frame.count), times)
        const manifest = readManifest(frame.body)
        if (manifest === undefined) throw new Error('a manifest that is none')
        let records = 0
        for (const [name, { lead }] of manifest.topics) records += this.#know(name, lead)
        this.tail.manifest(records, times, manifest.everyMs)
      },
      roomier: () => undefined,
      freeBuffers: () => undefined,
    })
  }

  static async open(): Promise<Listener> {
    const listener = new Listener()
    await listener.#ingest.open(['log.', 'sys.', 'sys.run.unknown-tail.'])
    return listener
  }

  get endpoint(): string {
    return this.#ingest.endpoint
  }

  get topics(): number {
    return this.#known.size
  }

  get records(): number {
    return [...this.#known.values()].reduce((sum, lead) => sum + lead, 0)
  }

  #know(topic: string, lead: number): number {
    const before = this.#known.get(topic) ?? 0
    this.#known.set(topic, Math.max(before, lead))
    return Math.max(0, lead - before)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ingest.close()
  }
}

describe.concurrent('of a real process that is killed', () => {
  test.each([
    ['steady', '5', '5'],
    ['fast', '200', '5'],
    ['bursty', '8000', '400'],
  ])('%s: what it had accepted and nobody heard of is within the bound', async (_what, records, everyMs) => {
    for (const lifeMs of [700, 1_130, 1_610]) {
      await using listener = await Listener.open()
      await using app = startNode([join(root, 'test/collector/apps/tells-count.mjs'), records, everyMs], {
        env: { SPILLWAY_COLLECTOR: listener.endpoint },
      })
      await until(() => listener.records > 0, { what: 'it is heard' })
      const startedAtMs = performance.now()
      await until(() => performance.now() - startedAtMs > lifeMs, { what: 'it has lived for a while' })
      app.kill('SIGKILL')
      await app.ended
      // What lies in the kernel still comes.
      let heard = -1
      await until(
        () => {
          const isQuiet = heard === listener.heard
          heard = listener.heard
          return isQuiet
        },
        { what: 'nothing more comes', everyMs: 100 },
      )
      const [told = 0, step = 0] = (app.stdout.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
      const { recordsMax } = listener.tail.bound(listener.topics)
      expect(told).toBeGreaterThan(0)
      // It tells what it has logged after a step; the next one may have been logged and not told.
      expect(told + step - listener.records).toBeLessThanOrEqual(recordsMax)
    }
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeBookNote } from '../../collector/book-note.ts'
import { Ledger, type Receipt, type Totals, topicTotals } from '../../collector/ledger.ts'
import {
  askedRangesMax,
  finishedShownMs,
  holeGraceMs,
  originsMax,
  originTopicsMax,
  rangesPerTopicMax,
  repairAttemptsMax,
  repairTimeoutMs,
  topicBooksMax,
} from '../../wire/limits.ts'
import type { Manifest, ManifestTopic } from '../../wire/manifest.ts'
import { encodeValue } from '../../wire/msgpack.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import { logTopic, type Topic } from '../../wire/topic.ts'

const origin = 'origin-000000001'
const topic = logTopic('info', 'shop')
const taken = () => false

function newLedger(sinkCount = 1): Ledger {
  return new Ledger(compilePatterns(['log.>']), sinkCount)
}

/** What became of every record, without how it was kept. */
function fates(ledger: Ledger): Pick<Totals, 'accepted' | 'delivered' | 'lost' | 'inFlight'> {
  const { accepted, delivered, lost, inFlight } = ledger.totals()
  return { accepted, delivered, lost, inFlight }
}

function manifest(
  topics: Readonly<Record<string, Partial<ManifestTopic> & { lead: number }>>,
  more: Partial<Omit<Manifest, 'topics'>> = {},
): Manifest {
  const full = Object.entries(topics).map(([name, told]): [Topic, ManifestTopic] => [
    name as Topic,
    { trail: 0, sent: told.lead, resume: 0, filtered: 0, shed: 0, ...told },
  ])
  return { number: 0, final: false, urgent: false, everyMs: 2_000, gone: [], who: undefined, ...more, topics: new Map(full) }
}

/** A disk that takes everything at once. */
function commit(ledger: Ledger): void {
  ledger.committed(ledger.takeCommits())
}

/** What is new waits for every sink, as the intake books it. */
function hold(receipt: Receipt | undefined): Receipt | undefined {
  for (const { from, to } of receipt?.fresh ?? []) for (const sink of receipt?.book.sinks ?? []) sink.pending += to - from
  return receipt
}

/** The sinks have written what waited for them. */
function deliver(ledger: Ledger): void {
  for (const { topics } of ledger.origins.values()) for (const book of topics.values()) for (const sink of book.sinks) sink.pending = 0
}

describe('what is new in a frame', () => {
  test('a record that comes twice is delivered once and counted as a duplicate', () => {
    const ledger = newLedger()
    expect(ledger.receive(origin, topic, { seq: 0, count: 10 }, 0)?.fresh).toEqual([{ from: 0, to: 10 }])
    expect(ledger.receive(origin, topic, { seq: 0, count: 10 }, 0)).toBeUndefined()
    expect(ledger.receive(origin, topic, { seq: 5, count: 10 }, 0)?.fresh).toEqual([{ from: 10, to: 15 }])
    expect(ledger.origins.get(origin)?.topics.get(topic)?.ledger.duplicates).toBe(10 + 5)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 15, delivered: 15, lost: {}, inFlight: 0 })
  })

  test('two frames out of order within the grace are neither asked for nor lost', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({ [topic]: { lead: 0 } }), 0)
    ledger.receive(origin, topic, { seq: 10, count: 10 }, 0)
    expect(ledger.tick(holeGraceMs - 1, taken)).toEqual([])
    expect(ledger.receive(origin, topic, { seq: 0, count: 10 }, holeGraceMs - 1)?.fresh).toEqual([{ from: 0, to: 10 }])
    expect(ledger.tick(10 * holeGraceMs, taken)).toEqual([])
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 20, delivered: 20, lost: {}, inFlight: 0 })
  })

  test('records nobody wants are acknowledged and counted as filtered, not as accepted', () => {
    const ledger = new Ledger(compilePatterns(['log.*.*.api.>']), 1)
    expect(ledger.receive(origin, logTopic('info', 'shop', 'web'), { seq: 0, count: 3 }, 0)?.book.isWanted).toBe(false)
    ledger.announce(origin, manifest({ [logTopic('info', 'shop', 'web')]: { lead: 3 } }), 0)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 0, delivered: 0, lost: {}, inFlight: 0 })
    expect(ledger.asides()).toEqual({ filtered: 3, duplicates: 0 })
  })
})

describe('a hole', () => {
  function withHole(): Ledger {
    const ledger = newLedger()
    ledger.announce(origin, manifest({ [topic]: { lead: 0 } }), 0)
    ledger.receive(origin, topic, { seq: 0, count: 10 }, 0)
    ledger.receive(origin, topic, { seq: 15, count: 5 }, 0)
    return ledger
  }

  test('is asked for after the grace, with back-off, and lost as unanswered after the last try', () => {
    const ledger = withHole()
    let asks = 0
    let nowMs = 0
    const lastMs = holeGraceMs + repairTimeoutMs * 2 ** repairAttemptsMax
    for (; nowMs <= lastMs; nowMs += 10) {
      // It lives, and says so.
      if (nowMs % 2_000 === 0) ledger.announce(origin, manifest({}), nowMs)
      asks += ledger.tick(nowMs, taken).length
    }
    expect(asks).toBe(repairAttemptsMax)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 20, delivered: 15, lost: { unanswered: 5 }, inFlight: 0 })
  })

  test('is not asked for while its topic cannot be taken, and its tries do not run out', () => {
    const ledger = withHole()
    for (let nowMs = 0; nowMs < 60_000; nowMs += 50) {
      if (nowMs % 2_000 === 0) ledger.announce(origin, manifest({}), nowMs)
      expect(ledger.tick(nowMs, (refused) => refused === topic)).toEqual([])
    }
    expect(ledger.tick(60_000, taken)).toHaveLength(1)
    expect(ledger.totals().lost).toEqual({})
  })

  test('of an origin that is silent is not given up; when it speaks again its late answer is taken', () => {
    const ledger = withHole()
    let asks = 0
    for (let nowMs = 0; nowMs < 40_000; nowMs += 50) asks += ledger.tick(nowMs, taken).length
    expect(asks).toBeLessThanOrEqual(repairAttemptsMax)
    expect(fates(ledger)).toEqual({ accepted: 20, delivered: 15, lost: {}, inFlight: 5 })
    // What it logged meanwhile comes first, the answer behind it.
    ledger.receive(origin, topic, { seq: 20, count: 5 }, 40_000)
    ledger.tick(40_000, taken)
    expect(ledger.receive(origin, topic, { seq: 10, count: 5 }, 40_010)?.fresh).toEqual([{ from: 10, to: 15 }])
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 25, delivered: 25, lost: {}, inFlight: 0 })
  })

  test('of an origin that was silent is asked for as often as any other once it speaks again', () => {
    const ledger = withHole()
    for (let nowMs = 0; nowMs < 40_000; nowMs += 50) ledger.tick(nowMs, taken)
    let asks = 0
    for (let nowMs = 40_000; nowMs < 60_000; nowMs += 50) {
      if (nowMs % 2_000 === 0) ledger.announce(origin, manifest({}), nowMs)
      asks += ledger.tick(nowMs, taken).length
    }
    expect(asks).toBe(repairAttemptsMax)
    expect(ledger.totals().lost).toEqual({ unanswered: 5 })
  })

  test('is lost at once, as evicted, when its origin says it is gone', () => {
    const ledger = withHole()
    ledger.announce(origin, manifest({ [topic]: { lead: 20 } }, { gone: [{ topic, from: 10, to: 15 }] }), 1)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 20, delivered: 15, lost: { ring_evicted: 5 }, inFlight: 0 })
  })

  test('a gone answer takes nothing from what has come, whatever range it names', () => {
    const ledger = withHole()
    ledger.announce(origin, manifest({ [topic]: { lead: 20 } }, { gone: [{ topic, from: 0, to: 1_000_000 }] }), 1)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 20, delivered: 15, lost: { ring_evicted: 5 }, inFlight: 0 })
  })

  test('below what its origin still holds is lost as evicted when it is due', () => {
    const ledger = withHole()
    ledger.announce(origin, manifest({ [topic]: { lead: 20, trail: 13 } }), 1)
    expect(ledger.tick(1 + holeGraceMs, taken)[0]?.ranges).toEqual([{ from: 13, to: 15 }])
    expect(ledger.totals().lost).toEqual({ ring_evicted: 3 })
  })

  test('that fills after it was booked as lost counts as late and is not kept', () => {
    const ledger = withHole()
    ledger.announce(origin, manifest({ [topic]: { lead: 20 } }, { gone: [{ topic, from: 10, to: 15 }] }), 1)
    expect(ledger.receive(origin, topic, { seq: 10, count: 5 }, 2)).toBeUndefined()
    const book = ledger.origins.get(origin)?.topics.get(topic)
    expect(book?.ledger.late).toBe(5)
    expect(book?.ledger.duplicates).toBe(0)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 20, delivered: 15, lost: { ring_evicted: 5 }, inFlight: 0 })
  })

  test('of an origin that said goodbye is final two seconds later', () => {
    const ledger = withHole()
    ledger.announce(origin, manifest({ [topic]: { lead: 30, sent: 25 } }, { final: true }), 1_000)
    ledger.tick(2_999, taken)
    expect(ledger.totals().lost).toEqual({})
    ledger.tick(3_000, taken)
    commit(ledger)
    // Five in the middle, five that were sent and did not come, five that never were sent.
    expect(fates(ledger)).toEqual({ accepted: 30, delivered: 15, lost: { origin_gone: 5 + 5 + 5 }, inFlight: 0 })
    expect(ledger.origins.get(origin)?.state).toBe('finished')
  })
})

test('more holes than are asked for at one time wait for their turn, and no try of theirs is counted', () => {
  const ledger = newLedger()
  const topics = Array.from({ length: 10 }, (_, i) => logTopic('info', 'shop', `n${i}`))
  const holesEach = rangesPerTopicMax - 24
  ledger.announce(origin, manifest(Object.fromEntries(topics.map((name) => [name, { lead: 0 }]))), 0)
  for (const name of topics) for (let n = 0; n < holesEach; n += 1) ledger.receive(origin, name, { seq: 2 * n + 1, count: 1 }, 0)
  const asked = new Map<Topic, number>()
  for (let tick = 0; tick < Math.ceil((topics.length * holesEach) / askedRangesMax); tick += 1) {
    const asks = ledger.tick(holeGraceMs + tick, taken)
    expect(asks.reduce((sum, { ranges }) => sum + ranges.length, 0)).toBeLessThan(askedRangesMax + rangesPerTopicMax)
    for (const { book, ranges } of asks) asked.set(book.topic, (asked.get(book.topic) ?? 0) + ranges.length)
  }
  expect([...asked]).toEqual(topics.map((name) => [name, holesEach]))
})

test('records made for a live tail only are acknowledged, and neither accepted nor delivered', () => {
  const ledger = newLedger()
  ledger.announce(origin, manifest({ [topic]: { lead: 0 } }), 0)
  hold(ledger.receive(origin, topic, { seq: 0, count: 5 }, 0))
  expect(ledger.receive(origin, topic, { seq: 5, count: 3, onDemand: true }, 0)?.fresh).toEqual([{ from: 5, to: 8 }])
  ledger.receive(origin, topic, { seq: 6, count: 2, onDemand: true }, 0)
  hold(ledger.receive(origin, topic, { seq: 8, count: 2 }, 0))
  expect(fates(ledger)).toEqual({ accepted: 7, delivered: 0, lost: {}, inFlight: 7 })
  commit(ledger)
  deliver(ledger)
  expect(fates(ledger)).toEqual({ accepted: 7, delivered: 7, lost: {}, inFlight: 0 })
  expect(ledger.asides()).toEqual({ filtered: 3, duplicates: 2 })
  expect(ledger.takeAcknowledgements().map((book) => book.kept)).toEqual([10])
})

describe('what was received', () => {
  test('is acknowledged when the disk has it, and delivered when every sink has it', () => {
    const ledger = newLedger(2)
    ledger.announce(origin, manifest({ [topic]: { lead: 0 } }), 0)
    const book = hold(ledger.receive(origin, topic, { seq: 0, count: 10 }, 0))?.book
    expect(ledger.takeAcknowledgements()).toEqual([])
    commit(ledger)
    expect(ledger.takeAcknowledgements().map(({ kept }) => kept)).toEqual([10])
    expect(ledger.totals()).toMatchObject({ received: 10, spooled: 10, notDurable: 0, delivered: 0, pending: 10 })
    for (const [i, sink] of book?.sinks.entries() ?? []) sink.pending = i === 0 ? 0 : 4
    expect(ledger.totals()).toMatchObject({ delivered: 6, pending: 4, inFlight: 4 })
    deliver(ledger)
    expect(ledger.totals()).toMatchObject({ received: 10, delivered: 10, pending: 0, inFlight: 0 })
  })

  test('and never reached the disk counts as not durable', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({ [topic]: { lead: 0 } }), 0)
    ledger.receive(origin, topic, { seq: 0, count: 10 }, 0)
    commit(ledger)
    const book = ledger.receive(origin, topic, { seq: 10, count: 3 }, 0)?.book
    if (book !== undefined) book.unspooled += 3
    commit(ledger)
    expect(ledger.takeAcknowledgements().map(({ kept }) => kept)).toEqual([13])
    expect(ledger.totals()).toMatchObject({ received: 13, spooled: 10, notDurable: 3, delivered: 13 })
  })

  test('and was given up or refused for one sink is neither delivered nor in flight', () => {
    const ledger = newLedger(2)
    const book = hold(ledger.receive(origin, topic, { seq: 0, count: 10 }, 0))?.book
    commit(ledger)
    Object.assign(book?.sinks[0] ?? {}, { pending: 0, expired: 3 })
    Object.assign(book?.sinks[1] ?? {}, { pending: 2, rejected: 1 })
    expect(ledger.totals()).toMatchObject({ accepted: 10, delivered: 7, expired: 3, pending: 0, inFlight: 0 })
    checkBooks(ledger)
  })
})

describe('where a stream begins', () => {
  test('records that came before the first manifest are not acknowledged until it says what lies before them', () => {
    const ledger = newLedger()
    ledger.receive(origin, topic, { seq: 100, count: 5 }, 0)
    commit(ledger)
    expect(ledger.totals().delivered).toBe(5)
    expect(ledger.takeAcknowledgements()).toEqual([])
    ledger.announce(origin, manifest({ [topic]: { lead: 105 } }), 1)
    commit(ledger)
    expect(ledger.takeAcknowledgements().filter((book) => book.kept > 0)).toEqual([])
    expect(ledger.tick(1 + holeGraceMs, taken)[0]?.ranges).toEqual([{ from: 0, to: 100 }])
    ledger.receive(origin, topic, { seq: 0, count: 100 }, 300)
    commit(ledger)
    expect(ledger.takeAcknowledgements().map((book) => book.kept)).toEqual([105])
  })

  test('an origin met in the middle of its life owes nothing from before its resume point', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({ [topic]: { lead: 1_000, sent: 1_000, resume: 1_000, trail: 1_000 } }), 0)
    ledger.receive(origin, topic, { seq: 1_000, count: 5 }, 0)
    commit(ledger)
    expect(fates(ledger)).toEqual({ accepted: 5, delivered: 5, lost: {}, inFlight: 0 })
  })

  test('what the origin accepted and has not sent is in flight, not lost', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({ [topic]: { lead: 50, sent: 0 } }), 0)
    ledger.tick(60_000 - 1, taken)
    expect(fates(ledger)).toEqual({ accepted: 50, delivered: 0, lost: {}, inFlight: 50 })
  })
})

test('a commit that began before the first manifest acknowledges nothing of what that manifest says is missing', () => {
  const ledger = newLedger()
  ledger.receive(origin, topic, { seq: 10, count: 10 }, 0)
  const begun = ledger.takeCommits()
  ledger.announce(origin, manifest({ [topic]: { lead: 20 } }), 1)
  ledger.committed(begun)
  expect(ledger.takeAcknowledgements()).toEqual([])
  ledger.receive(origin, topic, { seq: 0, count: 10 }, 2)
  commit(ledger)
  expect(ledger.takeAcknowledgements().map(({ kept }) => kept)).toEqual([20])
})

describe('an origin', () => {
  const state = (ledger: Ledger) => ledger.origins.get(origin)?.state

  test('is live, silent after three missed manifests, unclean after half a minute, and live again when it speaks', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({}, { everyMs: 2_000 }), 0)
    ledger.tick(3 * 2_000, taken)
    expect(state(ledger)).toBe('live')
    ledger.tick(3 * 2_000 + 1, taken)
    expect(state(ledger)).toBe('silent')
    ledger.tick(30_001, taken)
    expect(state(ledger)).toBe('unclean')
    ledger.receive(origin, topic, { seq: 0, count: 1 }, 30_002)
    expect(state(ledger)).toBe('live')
  })

  test('is told to have become unclean once each time it does, and not again after a restart', () => {
    let told = 0
    const tell = () => {
      told += 1
    }
    const ledger = new Ledger(compilePatterns(['log.>']), 0, undefined, tell)
    ledger.announce(origin, manifest({}), 0)
    ledger.tick(30_000, taken)
    expect(told).toBe(0)
    for (const atMs of [30_001, 60_000]) ledger.tick(atMs, taken)
    expect(told).toBe(1)
    ledger.announce(origin, manifest({}), 60_001)
    ledger.tick(90_002, taken)
    expect(told).toBe(2)
    const next = new Ledger(compilePatterns(['log.>']), 0, undefined, tell)
    next.restoreOrigin(origin, { who: undefined, state: 'unclean', everyMs: 2_000, isGivenUp: false }, 90_003)
    next.tick(150_000, taken)
    expect(state(next)).toBe('unclean')
    expect(told).toBe(2)
  })

  test('that said goodbye stays finished, however long ago', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({}, { final: true }), 0)
    ledger.tick(3_600_000, taken)
    expect(state(ledger)).toBe('finished')
    expect(ledger.takeByes().map((book) => book.origin)).toEqual([origin])
    expect(ledger.takeByes()).toEqual([])
  })

  test('that finished is forgotten after some minutes, and everything it counted stays counted', () => {
    const ledger = newLedger()
    ledger.receive(origin, topic, { seq: 0, count: 10 }, 0)
    ledger.receive(origin, topic, { seq: 0, count: 4 }, 0)
    ledger.announce(origin, manifest({ [topic]: { lead: 12, filtered: 7 } }, { final: true }), 0)
    ledger.takeByes()
    ledger.tick(finishedShownMs - 1, taken)
    // Not before what it sent is kept.
    ledger.tick(finishedShownMs, taken)
    expect(state(ledger)).toBe('finished')
    commit(ledger)
    const before = [ledger.totals(), ledger.asides()]
    expect(fates(ledger)).toEqual({ accepted: 12, delivered: 10, lost: { origin_gone: 2 }, inFlight: 0 })
    expect(ledger.asides()).toEqual({ filtered: 7, duplicates: 4 })
    ledger.tick(finishedShownMs + 1, taken)
    expect(state(ledger)).toBeUndefined()
    expect([ledger.totals(), ledger.asides()]).toEqual(before)
  })

  test('that finished is not forgotten while a sink still owes its records', () => {
    const ledger = newLedger(2)
    const book = hold(ledger.receive(origin, topic, { seq: 0, count: 10 }, 0))?.book
    ledger.announce(origin, manifest({ [topic]: { lead: 10 } }, { final: true }), 0)
    ledger.takeByes()
    commit(ledger)
    if (book?.sinks[0] !== undefined) book.sinks[0].pending = 0
    ledger.tick(2 * finishedShownMs, taken)
    expect(state(ledger)).toBe('finished')
    deliver(ledger)
    ledger.tick(2 * finishedShownMs, taken)
    expect(state(ledger)).toBeUndefined()
    expect(fates(ledger)).toEqual({ accepted: 10, delivered: 10, lost: {}, inFlight: 0 })
  })

  test('that was killed is flagged, and what it still held is lost only after ten minutes', () => {
    const ledger = newLedger()
    ledger.announce(origin, manifest({ [topic]: { lead: 50, sent: 0 } }), 0)
    ledger.tick(599_000, taken)
    expect(state(ledger)).toBe('unclean')
    expect(fates(ledger)).toEqual({ accepted: 50, delivered: 0, lost: {}, inFlight: 50 })
    ledger.tick(600_001, taken)
    expect(fates(ledger)).toEqual({ accepted: 50, delivered: 0, lost: { origin_gone: 50 }, inFlight: 0 })
  })

  test('whose goodbye could not be kept yet gets its answer with the next commit', () => {
    const ledger = newLedger()
    ledger.receive(origin, topic, { seq: 0, count: 1 }, 0)
    ledger.announce(origin, manifest({ [topic]: { lead: 1 } }, { final: true }), 0)
    const [commits, byes] = [ledger.takeCommits(), ledger.takeByes()]
    ledger.postpone(commits, byes)
    expect(ledger.takeAcknowledgements()).toEqual([])
    expect(ledger.takeByes()).toEqual(byes)
    expect(ledger.takeCommits()).toEqual(commits)
    ledger.postpone(commits, [])
    commit(ledger)
    expect(ledger.takeAcknowledgements().map((book) => book.kept)).toEqual([1])
  })

  test('cannot be followed under topics without end', () => {
    const ledger = newLedger()
    for (let i = 0; i < originTopicsMax + 1_000; i += 1) ledger.receive(origin, logTopic('info', 'shop', `n${i}`), { seq: 0, count: 1 }, 0)
    const kept = ledger.origins.get(origin)?.topics.size ?? 0
    expect(kept).toBeGreaterThanOrEqual(originTopicsMax)
    expect(kept).toBeLessThan(originTopicsMax + 100)
    expect(ledger.refusedFrames).toBe(originTopicsMax + 1_000 - kept)
  })
})

describe('ten thousand origins', () => {
  const name = (i: number) => `origin-${String(i).padStart(9, '0')}`

  test('are as many as are followed while they live; one more is refused and counted', () => {
    const ledger = newLedger()
    for (let i = 0; i <= originsMax; i += 1) ledger.receive(name(i), topic, { seq: 0, count: 1 }, 0)
    expect(ledger.origins.size).toBe(originsMax)
    expect(ledger.refusedFrames).toBe(1)
    expect(ledger.totals().accepted).toBe(originsMax)
  })

  test('make room by forgetting a finished one, whose totals stay', () => {
    const ledger = newLedger()
    for (let i = 0; i < originsMax; i += 1) ledger.receive(name(i), topic, { seq: 0, count: 1 }, 0)
    commit(ledger)
    ledger.announce(name(7), manifest({}, { final: true }), 0)
    ledger.receive(name(originsMax), topic, { seq: 0, count: 1 }, 0)
    commit(ledger)
    expect(ledger.origins.has(name(7))).toBe(false)
    expect(ledger.origins.size).toBe(originsMax)
    expect(fates(ledger)).toEqual({ accepted: originsMax + 1, delivered: originsMax + 1, lost: {}, inFlight: 0 })
  })
})

test('topics of all origins together are bounded; a finished origin makes room for others', () => {
  const ledger = newLedger()
  const names = Array.from({ length: originTopicsMax }, (_, i) => logTopic('info', 'shop', `n${i}`))
  const origins = Array.from({ length: Math.ceil(topicBooksMax / originTopicsMax) + 1 }, (_, i) => `origin-${String(i).padStart(9, '0')}`)
  for (const who of origins) for (const name of names) ledger.receive(who, name, { seq: 0, count: 1 }, 0)
  expect(ledger.totals().accepted).toBe(topicBooksMax)
  expect(ledger.refusedFrames).toBe(origins.length * originTopicsMax - topicBooksMax)
  commit(ledger)
  ledger.announce(origins[0] ?? '', manifest({}, { final: true }), 10_000)
  expect(ledger.receive(origins.at(-1) ?? '', topic, { seq: 0, count: 1 }, 10_000)?.fresh).toEqual([{ from: 0, to: 1 }])
  expect(ledger.origins.has(origins[0] ?? '')).toBe(false)
  expect(ledger.totals().accepted).toBe(topicBooksMax + 1)
})

describe('the books add up', () => {
  const numbers = fc.integer({ min: 0, max: 300 })
  const step = fc.oneof(
    fc.record({
      do: fc.constant('receive' as const),
      origin: fc.integer({ min: 0, max: 2 }),
      name: fc.integer({ min: 0, max: 1 }),
      seq: numbers,
      count: fc.integer({ min: 1, max: 40 }),
    }),
    fc.record({
      do: fc.constant('announce' as const),
      origin: fc.integer({ min: 0, max: 2 }),
      name: fc.integer({ min: 0, max: 1 }),
      lead: numbers,
      cuts: fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
      ),
      final: fc.boolean(),
      gone: fc.option(fc.tuple(numbers, fc.integer({ min: 1, max: 100 })), { nil: undefined }),
    }),
    fc.record({
      do: fc.constant('tick' as const),
      afterMs: fc.constantFrom(10, 100, 300, 2_500, 40_000, 700_000),
      isRefused: fc.boolean(),
    }),
    fc.record({ do: fc.constant('commit' as const), how: fc.constantFrom('spooled', 'unspooled', 'stuck') }),
    fc.record({
      do: fc.constant('write' as const),
      sink: fc.integer({ min: 0, max: 1 }),
      fate: fc.constantFrom('written', 'expired', 'rejected'),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({
      do: fc.constant('huge' as const),
      seq: fc.constantFrom(2 ** 53 - 50, 2 ** 40, 2 ** 33),
      count: fc.integer({ min: 1, max: 40 }),
    }),
  )

  test('after every step of any sequence, with two sinks that write, give up and refuse; none of them negative', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ledger = newLedger(2)
        const told: Totals['lost'] = {}
        let nowMs = 0
        const seen = new Map<string, Set<number>>()
        for (const it of steps) {
          if (it.do === 'receive') {
            const [who, about] = [`origin-00000000${it.origin}`, logTopic('info', 'shop', `n${it.name}`)]
            const numbersSeen = seen.get(who + about) ?? new Set<number>()
            seen.set(who + about, numbersSeen)
            for (const range of hold(ledger.receive(who, about, it, nowMs))?.fresh ?? []) {
              for (let n = range.from; n < range.to; n += 1) {
                // Nothing is handed to the sinks twice.
                expect(numbersSeen.has(n)).toBe(false)
                numbersSeen.add(n)
              }
            }
          } else if (it.do === 'huge') {
            hold(ledger.receive('origin-000000000', topic, it, nowMs))
          } else if (it.do === 'announce') {
            const about = logTopic('info', 'shop', `n${it.name}`)
            const [trail = 0, sent = 0, resume = 0] = it.cuts.map((cut) => Math.floor(cut * it.lead))
            const gone = it.gone === undefined ? [] : [{ topic: about, from: it.gone[0], to: it.gone[0] + it.gone[1] }]
            ledger.announce(
              `origin-00000000${it.origin}`,
              manifest({ [about]: { lead: it.lead, trail, sent, resume } }, { final: it.final, gone }),
              nowMs,
            )
          } else if (it.do === 'tick') {
            nowMs += it.afterMs
            ledger.tick(nowMs, () => it.isRefused)
          } else if (it.do === 'write') {
            for (const { topics } of ledger.origins.values()) {
              for (const { sinks } of topics.values()) {
                const sink = sinks[it.sink]
                if (sink === undefined) continue
                const records = Math.floor(it.share * sink.pending)
                sink.pending -= records
                if (it.fate !== 'written') sink[it.fate === 'expired' ? 'expired' : 'rejected'] += records
              }
            }
          } else if (it.how === 'stuck') ledger.postpone(ledger.takeCommits(), ledger.takeByes())
          else {
            const commits = ledger.takeCommits()
            if (it.how === 'unspooled') for (const { book, received } of commits) book.unspooled = received - book.spooled - book.notDurable
            ledger.committed(commits)
          }
          checkBooks(ledger)
          for (const { reason, from, to } of ledger.takeLosses()) told[reason] = (told[reason] ?? 0) + to - from
          // Whoever listens has heard of each loss, once.
          expect(told).toEqual(ledger.totals().lost)
        }
        // Goodbye to all: nothing stays open.
        for (const who of ledger.origins.keys()) ledger.announce(who, manifest({}, { final: true }), nowMs)
        ledger.tick(nowMs + 2_000, taken)
        commit(ledger)
        deliver(ledger)
        checkBooks(ledger)
        expect(ledger.totals()).toMatchObject({ inFlight: 0, pending: 0 })
        for (const [key, numbersSeen] of seen) {
          const book = ledger.origins.get(key.slice(0, 16))?.topics.get(key.slice(16) as Topic)
          if (book === undefined) continue
          const { received, delivered, expired, rejected } = topicTotals(book)
          expect(received).toBe(numbersSeen.size)
          expect(delivered + expired + rejected).toBe(numbersSeen.size)
        }
      }),
      { numRuns: 400 },
    )
  })
})

function checkBooks(ledger: Ledger): void {
  const all = [ledger.totals(), ...[...ledger.origins.values()].flatMap((book) => [...book.topics.values()].map(topicTotals))]
  for (const { lost, ...numbers } of all) {
    const { accepted, delivered, inFlight, received, spooled, notDurable, expired, rejected, pending } = numbers
    const lostRecords = Object.values(lost).reduce((sum, records) => sum + records, 0)
    expect(accepted).toBe(delivered + lostRecords + expired + rejected + inFlight)
    expect(received).toBe(spooled + notDurable)
    expect(received).toBe(delivered + expired + rejected + pending)
    for (const number of [...Object.values(numbers), ...Object.values(lost)]) expect(number).toBeGreaterThanOrEqual(0)
  }
  for (const origin of ledger.origins.values()) {
    for (const book of origin.topics.values()) {
      // What is acknowledged is final: the origin forgets it.
      expect(book.kept).toBeLessThanOrEqual(Math.max(book.ledger.frontier, book.ledger.joinAt))
    }
  }
}

describe('a note that an earlier run has left with an origin', () => {
  const losses = [
    { from: 10, to: 20, reason: 'ring_evicted' },
    { from: 30, to: 35, reason: 'unanswered' },
  ] as const
  const warn = logTopic('warn', 'shop')
  const told = { lead: 50, resume: 40, trail: 40, note: encodeBookNote({ joinAt: 0, losses }) }
  const restored = (topics: Readonly<Record<string, number>>) => {
    const ledger = newLedger()
    for (const [name, count] of Object.entries(topics)) ledger.receive(origin, name as Topic, { seq: 0, count }, 0)
    ledger.announce(origin, manifest(Object.fromEntries(Object.entries(topics).map(([name, lead]) => [name, { lead }]))), 0)
    for (const { topics: books } of ledger.origins.values()) for (const book of books.values()) ledger.restored(book)
    return ledger
  }

  test.each([
    ['of a topic that is in the books', { [topic]: 5 }],
    ['of a topic that is in none', {}],
  ])('%s: what it says was lost is lost, the rest of what was acknowledged was delivered', (_what, before) => {
    const ledger = restored(before)
    ledger.announce(origin, manifest({ [topic]: told }), 0)
    expect(fates(ledger)).toMatchObject({ accepted: 50, delivered: 40 - 15, lost: { ring_evicted: 10, unanswered: 5 } })
    // Said again it changes nothing.
    ledger.announce(origin, manifest({ [topic]: told }), 0)
    expect(fates(ledger)).toMatchObject({ accepted: 50, delivered: 40 - 15, lost: { ring_evicted: 10, unanswered: 5 } })
  })

  test('is read although an older manifest came first, and although a frame did', () => {
    const ledger = restored({ [topic]: 5 })
    ledger.announce(origin, manifest({ [topic]: { lead: 50, resume: 5 } }), 0)
    ledger.receive(origin, topic, { seq: 40, count: 10 }, 0)
    ledger.receive(origin, warn, { seq: 40, count: 10 }, 0)
    ledger.announce(origin, manifest({ [topic]: told, [warn]: told }), 0)
    for (const name of [topic, warn]) {
      const book = ledger.origins.get(origin)?.topics.get(name)
      expect(book && topicTotals(book)).toMatchObject({
        accepted: 50,
        delivered: 35,
        lost: { ring_evicted: 10, unanswered: 5 },
        inFlight: 0,
      })
    }
  })

  test('that cannot be read is none', () => {
    for (const note of [
      Buffer.from([0xc1]),
      encodeValue([1, 2]),
      encodeValue([0, 0, 5, 99]),
      encodeValue('x'),
      encodeValue([0, 0, 2 ** 40, 0]),
    ]) {
      const ledger = restored({ [topic]: 5 })
      ledger.announce(origin, manifest({ [topic]: { ...told, note } }), 0)
      expect(fates(ledger)).toMatchObject({ accepted: 50, delivered: 40, lost: {} })
    }
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { holeGraceMs, holeRecordsMax, rangesPerTopicMax, repairAttemptsMax, repairTimeoutMs, sequenceMax } from '../../wire/limits.ts'
import type { Range } from '../../wire/range-set.ts'
import { countingPolicy, type HolePolicy, type LossReason, lossReasons, repairingPolicy, StreamLedger } from '../../wire/stream-ledger.ts'

/** Grace and every attempt, each wait twice the one before: after this nothing can be open. */
const finalAfterMs = holeGraceMs + repairTimeoutMs * (2 ** repairAttemptsMax - 1)

type Hole = { dueAtMs: number; attempts: number }

/** The same books, one entry per number. */
class NaiveLedger {
  readonly states = new Map<number, 'received' | 'lost' | Hole>()
  readonly lost = new Map<LossReason, number>()
  received = 0
  duplicates = 0
  late = 0
  horizon: number
  lead: number
  trail = 0

  joinAt: number
  readonly policy: HolePolicy

  constructor(joinAt: number, policy: HolePolicy) {
    this.joinAt = joinAt
    this.horizon = joinAt
    this.lead = joinAt
    this.policy = policy
  }

  get missing(): number[] {
    return [...this.states].flatMap(([number, state]) => (typeof state === 'object' ? [number] : [])).sort((a, b) => a - b)
  }

  open(from: number, to: number, nowMs: number): void {
    for (let n = from; n < to; n += 1) this.states.set(n, { dueAtMs: nowMs + this.policy.graceMs, attempts: 0 })
  }

  receive(seq: number, count: number, nowMs: number): number[] {
    const fresh: number[] = []
    for (let n = seq; n < seq + count; n += 1) {
      if (n >= this.horizon) {
        this.open(this.horizon, n, nowMs)
        this.horizon = n + 1
      } else if (n < this.joinAt || this.states.get(n) === 'received') {
        this.duplicates += 1
        continue
      } else if (this.states.get(n) === 'lost') {
        this.late += 1
        continue
      }
      this.states.set(n, 'received')
      fresh.push(n)
    }
    this.received += fresh.length
    return fresh
  }

  announce(told: { sent: number; lead: number; trail: number }, nowMs: number): void {
    this.trail = Math.max(this.trail, told.trail)
    this.lead = Math.max(this.lead, told.lead)
    this.open(this.horizon, told.sent, nowMs)
    this.horizon = Math.max(this.horizon, told.sent)
  }

  joinEarlier(joinAt: number, nowMs: number): void {
    this.open(joinAt, this.joinAt, nowMs)
    this.joinAt = Math.min(this.joinAt, joinAt)
  }

  lose(numbers: readonly number[], reason: LossReason): number {
    for (const n of numbers) this.states.set(n, 'lost')
    if (numbers.length > 0) this.lost.set(reason, (this.lost.get(reason) ?? 0) + numbers.length)
    return numbers.length
  }

  due(nowMs: number): number[] {
    const asked: number[] = []
    for (const n of this.missing) {
      const hole = this.states.get(n)
      if (typeof hole !== 'object' || hole.dueAtMs > nowMs) continue
      if (this.policy.attemptsMax === 0) this.lose([n], 'transit')
      else if (n < this.trail) this.lose([n], 'ring_evicted')
      else if (hole.attempts >= this.policy.attemptsMax) this.lose([n], 'unanswered')
      else {
        hole.dueAtMs = nowMs + repairTimeoutMs * 2 ** hole.attempts
        hole.attempts += 1
        asked.push(n)
      }
    }
    return asked
  }
}

function numbersIn(ranges: readonly Range[]): number[] {
  return ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i))
}

type Event =
  | { readonly kind: 'receive'; readonly seq: number; readonly count: number }
  | { readonly kind: 'announce'; readonly sent: number; readonly unsent: number; readonly held: number }
  | { readonly kind: 'lose'; readonly from: number; readonly to: number; readonly reason: LossReason }
  | { readonly kind: 'loseAll' }
  | { readonly kind: 'joinEarlier'; readonly joinAt: number }
  | { readonly kind: 'wait'; readonly ms: number }

const place = fc.nat(120)

/** @param stepMs - Time passes in multiples of this. */
function anyEvents(stepMs: number): fc.Arbitrary<Event[]> {
  const receive = fc.record({ kind: fc.constant('receive' as const), seq: place, count: fc.integer({ min: 1, max: 12 }) })
  return fc.array(
    fc.oneof(
      { weight: 8, arbitrary: receive },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('announce' as const), sent: place, unsent: fc.nat(20), held: fc.nat(130) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('lose' as const), from: place, to: place, reason: fc.constantFrom(...lossReasons) }),
      },
      { weight: 1, arbitrary: fc.constant({ kind: 'loseAll' as const }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('joinEarlier' as const), joinAt: place }) },
      { weight: 8, arbitrary: fc.nat(40).map((steps) => ({ kind: 'wait' as const, ms: steps * stepMs })) },
    ),
    { maxLength: 40 },
  )
}

const anyPolicy = fc.constantFrom<HolePolicy>(repairingPolicy, countingPolicy, { graceMs: 0, attemptsMax: 1 })

describe('against a naive model', () => {
  test('keeps the same books, delivers the same records, asks for the same holes', () => {
    fc.assert(
      fc.property(fc.nat(60), anyPolicy, anyEvents(25), (joinAt, policy, events) => {
        const ledger = new StreamLedger(joinAt, policy)
        const naive = new NaiveLedger(joinAt, policy)
        const delivered = new Set<number>()
        let nowMs = 1_000_000
        for (const event of [...events, { kind: 'wait' as const, ms: 0 }]) {
          switch (event.kind) {
            case 'receive': {
              const fresh = numbersIn(ledger.receive(event.seq, event.count, nowMs) ?? [])
              expect(fresh).toEqual(naive.receive(event.seq, event.count, nowMs))
              for (const n of fresh) expect(delivered.has(n)).toBe(false)
              for (const n of fresh) delivered.add(n)
              break
            }
            case 'announce': {
              const lead = event.sent + event.unsent
              const told = { sent: event.sent, lead, trail: Math.max(0, lead - event.held) }
              ledger.announce(told, nowMs)
              naive.announce(told, nowMs)
              break
            }
            case 'lose': {
              const within = naive.missing.filter((n) => n >= event.from && n < event.to)
              expect(ledger.lose(event.from, event.to, event.reason)).toBe(naive.lose(within, event.reason))
              break
            }
            case 'loseAll':
              expect(ledger.loseAll('origin_gone')).toBe(naive.lose(naive.missing, 'origin_gone'))
              break
            case 'joinEarlier':
              ledger.joinEarlier(event.joinAt, nowMs)
              naive.joinEarlier(event.joinAt, nowMs)
              break
            case 'wait':
              nowMs += event.ms
              expect(numbersIn(ledger.due(nowMs))).toEqual(naive.due(nowMs))
              break
          }
          const { missing } = naive
          expect(ledger.lost).toEqual(naive.lost)
          expect(ledger).toMatchObject({ received: naive.received, duplicates: naive.duplicates, late: naive.late })
          expect(ledger).toMatchObject({ joinAt: naive.joinAt, horizon: naive.horizon, lead: naive.lead })
          expect(ledger.frontier).toBe(missing[0] ?? naive.horizon)
          expect(ledger.hasHoles).toBe(missing.length > 0)
          const waiting = Math.max(ledger.lead, ledger.horizon) - ledger.horizon
          expect(ledger.accepted).toBe(ledger.received + ledger.lostRecords + missing.length + waiting)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('with time passing in any steps: nothing twice, at most five requests, every hole final in the end', () => {
    fc.assert(
      fc.property(fc.nat(60), anyPolicy, anyEvents(7), (joinAt, policy, events) => {
        const ledger = new StreamLedger(joinAt, policy)
        const delivered = new Set<number>()
        const requests = new Map<number, number>()
        let nowMs = 0
        const look = () => {
          for (const n of numbersIn(ledger.due(nowMs))) {
            expect(delivered.has(n)).toBe(false)
            requests.set(n, (requests.get(n) ?? 0) + 1)
          }
        }
        for (const event of events) {
          if (event.kind === 'receive') {
            for (const n of numbersIn(ledger.receive(event.seq, event.count, nowMs) ?? [])) {
              expect(delivered.has(n)).toBe(false)
              delivered.add(n)
            }
          } else if (event.kind === 'announce') {
            const lead = event.sent + event.unsent
            ledger.announce({ sent: event.sent, lead, trail: Math.max(0, lead - event.held) }, nowMs)
          } else if (event.kind === 'lose') ledger.lose(event.from, event.to, event.reason)
          else if (event.kind === 'loseAll') ledger.loseAll('origin_gone')
          else if (event.kind === 'joinEarlier') ledger.joinEarlier(event.joinAt, nowMs)
          else {
            nowMs += event.ms
            look()
          }
          expect(ledger.received).toBe(delivered.size)
        }
        const endMs = nowMs + policy.graceMs + finalAfterMs
        for (; nowMs <= endMs + 10; nowMs += 10) look()
        for (const asked of requests.values()) expect(asked).toBeLessThanOrEqual(policy.attemptsMax)
        expect(ledger.hasHoles).toBe(false)
        expect(ledger.frontier).toBe(ledger.horizon)
        expect(ledger.received + ledger.lostRecords).toBe(ledger.horizon - ledger.joinAt)
        // What comes now is late or a duplicate; it is never delivered.
        const before = { late: ledger.late, duplicates: ledger.duplicates }
        for (let n = ledger.joinAt; n < ledger.horizon; n += 1) expect(ledger.receive(n, 1, nowMs)).toEqual([])
        expect(ledger.late - before.late).toBe(ledger.lostRecords)
        expect(ledger.duplicates - before.duplicates).toBe(ledger.received)
      }),
      { numRuns: 300 },
    )
  })
})

describe('holes', () => {
  test('are asked for after the grace, then each time after twice the wait, five times, then lost as unanswered', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    ledger.receive(10, 5, 0)
    const askedAtMs: number[] = []
    let lostAtMs = 0
    for (let nowMs = 0; nowMs <= 10_000 && lostAtMs === 0; nowMs += 10) {
      const asks = ledger.due(nowMs)
      if (asks.length > 0) {
        expect(asks).toEqual([{ from: 0, to: 10 }])
        askedAtMs.push(nowMs)
      }
      if (ledger.lostRecords > 0) lostAtMs = nowMs
    }
    const waits = [0, 1, 3, 7, 15].map((sum) => holeGraceMs + sum * repairTimeoutMs)
    expect(askedAtMs).toEqual(waits)
    expect(askedAtMs).toHaveLength(repairAttemptsMax)
    expect(lostAtMs).toBe(finalAfterMs)
    expect(ledger.lost).toEqual(new Map([['unanswered', 10]]))
    expect(ledger.frontier).toBe(15)
  })

  test('that close within the grace are never asked for', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    ledger.receive(10, 5, 0)
    expect(ledger.receive(0, 10, holeGraceMs - 1)).toEqual([{ from: 0, to: 10 }])
    expect(ledger.due(holeGraceMs)).toEqual([])
    expect(ledger.frontier).toBe(15)
  })

  test('are shown by a manifest when no later frame shows them', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    ledger.receive(0, 10, 0)
    ledger.announce({ sent: 30, lead: 40, trail: 0 }, 50)
    expect(ledger.accepted).toBe(40)
    expect(ledger.due(50 + holeGraceMs)).toEqual([{ from: 10, to: 30 }])
  })

  test('below the trail are lost at once when the grace is over, the rest is asked for', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    ledger.receive(100, 1, 0)
    ledger.announce({ sent: 101, lead: 101, trail: 60 }, 0)
    expect(ledger.lostRecords).toBe(0)
    expect(ledger.due(holeGraceMs)).toEqual([{ from: 60, to: 100 }])
    expect(ledger.lost).toEqual(new Map([['ring_evicted', 60]]))
  })

  test('of a live tail are only counted, after twice the grace', () => {
    const ledger = new StreamLedger(0, countingPolicy)
    ledger.receive(10, 1, 0)
    expect(ledger.due(2 * holeGraceMs - 1)).toEqual([])
    expect(ledger.lostRecords).toBe(0)
    expect(ledger.due(2 * holeGraceMs)).toEqual([])
    expect(ledger.lost).toEqual(new Map([['transit', 10]]))
  })

  test('that open behind an earlier join are watched on their own: none is asked for more than five times', () => {
    const ledger = new StreamLedger(50, repairingPolicy)
    ledger.receive(60, 1, 0)
    let requests = 0
    for (let nowMs = 0; nowMs < 2 * finalAfterMs; nowMs += 10) {
      if (nowMs === 1_000) {
        ledger.joinEarlier(0, nowMs)
        ledger.receive(70, 1, nowMs)
      }
      if (numbersIn(ledger.due(nowMs)).includes(55)) requests += 1
    }
    expect(requests).toBe(repairAttemptsMax)
  })

  test('an origin that says its ring holds less than a hole that was looked at before loses nothing twice', () => {
    const ledger = new StreamLedger(10, repairingPolicy)
    ledger.receive(20, 1, 0)
    ledger.joinEarlier(0, 100)
    ledger.announce({ sent: 21, lead: 21, trail: 5 }, 100)
    expect(ledger.due(holeGraceMs)).toEqual([{ from: 10, to: 20 }])
    expect(ledger.lostRecords).toBe(0)
    expect(ledger.lose(10, 5, 'origin_gone')).toBe(0)
    ledger.due(100 + holeGraceMs)
    expect(ledger.lost).toEqual(new Map([['ring_evicted', 5]]))
  })
})

describe('records that come again', () => {
  test('are not delivered twice, whatever part of a frame is known', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    expect(ledger.receive(0, 10, 0)).toEqual([{ from: 0, to: 10 }])
    expect(ledger.receive(20, 10, 0)).toEqual([{ from: 20, to: 30 }])
    expect(ledger.receive(5, 30, 0)).toEqual([
      { from: 10, to: 20 },
      { from: 30, to: 35 },
    ])
    expect(ledger).toMatchObject({ received: 35, duplicates: 15, late: 0, frontier: 35 })
  })

  test('after they were lost are counted as late and stay lost', () => {
    const ledger = new StreamLedger(0, countingPolicy)
    ledger.receive(10, 1, 0)
    ledger.due(countingPolicy.graceMs)
    expect(ledger.receive(0, 11, 1_000)).toEqual([])
    expect(ledger).toMatchObject({ received: 1, late: 10, duplicates: 1, lostRecords: 10 })
  })

  test('from before the join are not this receiver’s, until it joins earlier', () => {
    const ledger = new StreamLedger(100, repairingPolicy)
    expect(ledger.receive(90, 20, 0)).toEqual([{ from: 100, to: 110 }])
    ledger.joinEarlier(95, 0)
    expect(ledger.receive(90, 20, 0)).toEqual([{ from: 95, to: 100 }])
    expect(ledger).toMatchObject({ joinAt: 95, received: 15, accepted: 15, frontier: 110 })
  })
})

describe('bounds', () => {
  test('more holes than are kept: the oldest are lost as overload', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    const surplus = 10
    for (let i = 0; i < rangesPerTopicMax + surplus; i += 1) ledger.receive(2 * i + 1, 1, i)
    expect(ledger.lost).toEqual(new Map([['overload', surplus]]))
    expect(ledger.due(1_000_000)).toHaveLength(rangesPerTopicMax)
  })

  test('one hole that frames fall into the middle of is no way around the limit', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    const frames = 3 * rangesPerTopicMax
    ledger.announce({ sent: 2 * frames + 1, lead: 2 * frames + 1, trail: 0 }, 0)
    for (let i = 0; i < frames; i += 1) ledger.receive(2 * i + 1, 1, 0)
    expect(ledger.received).toBe(frames)
    // Before anybody looks: a hostile sender must not have made it hold more in between either.
    expect(ledger.lost).toEqual(new Map([['overload', frames + 1 - rangesPerTopicMax]]))
    expect(ledger.due(1_000_000)).toHaveLength(rangesPerTopicMax)
  })

  test('neither is a hole that the origin declares gone piece by piece', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    const pieces = 3 * rangesPerTopicMax
    ledger.announce({ sent: 2 * pieces + 1, lead: 2 * pieces + 1, trail: 0 }, 0)
    for (let i = pieces; i > 0; i -= 1) ledger.lose(2 * i - 1, 2 * i, 'ring_evicted')
    expect(ledger.lost.get('overload')).toBeGreaterThan(0)
    const asks = ledger.due(1_000_000)
    expect(asks).toHaveLength(rangesPerTopicMax)
    expect(ledger.accepted).toBe(ledger.lostRecords + numbersIn(asks).length)
  })

  test('a number too far ahead is not believed, from a frame or from a manifest', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    expect(ledger.receive(holeRecordsMax + 1, 1, 0)).toBeUndefined()
    ledger.announce({ sent: holeRecordsMax + 1, lead: holeRecordsMax + 1, trail: 0 }, 0)
    expect(ledger).toMatchObject({ horizon: 0, lead: 0, accepted: 0, hasHoles: false })
    expect(ledger.receive(holeRecordsMax, 1, 0)).toEqual([{ from: holeRecordsMax, to: holeRecordsMax + 1 }])
  })

  test('what an origin says it accepted is believed after 2^32 records as before', () => {
    const ledger = new StreamLedger(0, repairingPolicy)
    ledger.receive(0, 1, 0)
    for (const end of [holeRecordsMax, 2 * holeRecordsMax]) ledger.receive(end - 1, 1, 0)
    ledger.announce({ sent: 2 * holeRecordsMax, lead: 2 * holeRecordsMax + 7, trail: 0 }, 0)
    expect(ledger.lead).toBe(2 * holeRecordsMax + 7)
    expect(ledger.accepted).toBe(2 * holeRecordsMax + 7)
  })

  test('counts exactly up to 2^53-1', () => {
    const ledger = new StreamLedger(sequenceMax - 100, repairingPolicy)
    expect(ledger.receive(sequenceMax - 10, 10, 0)).toEqual([{ from: sequenceMax - 10, to: sequenceMax }])
    expect(ledger.receive(sequenceMax - 9, 10, 0)).toBeUndefined()
    expect(ledger.loseAll('origin_gone')).toBe(90)
    expect(ledger).toMatchObject({ accepted: 100, received: 10, frontier: sequenceMax })
  })

  test('the reasons are a closed list', () => {
    expect(lossReasons).toEqual(['ring_evicted', 'unanswered', 'origin_gone', 'overload', 'transit', 'spool_damaged'])
  })
})

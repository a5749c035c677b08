/** What is acknowledged, and what the books say on disk, while the spool fails and after. */
import { describe, expect, test } from 'vitest'
import { type BookNote, readBookNote } from '../../collector/book-note.ts'
import { Intake, type IntakeSpool } from '../../collector/intake.ts'
import { Ledger, type TopicBook, topicTotals } from '../../collector/ledger.ts'
import { ledgerState, restoreLedger } from '../../collector/ledger-state.ts'
import type { QueuedEntry } from '../../collector/sink-runner.ts'
import { BlockPool } from '../../collector/spool/block.ts'
import { encodeState, readNumbers, readState } from '../../collector/spool/spool-bodies.ts'
import { type RecordType, recordTypes } from '../../collector/spool/spool-record.ts'
import { decodeFrame, encodeLines, frameKinds } from '../../wire/frame.ts'
import { noteRangesMax, spoolBlocksOutMax } from '../../wire/limits.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import type { Range } from '../../wire/range-set.ts'
import { logTopic } from '../../wire/topic.ts'

const origin = 'origin-000000001'
const topic = logTopic('info', 'shop')
const patterns = compilePatterns(['log.>'])
const taken = () => false

/** An intake with a spool and a sink that do what the test says. */
function newIntake() {
  const ledger = new Ledger(patterns, 1)
  const pool = new BlockPool()
  const appended: { readonly type: RecordType; readonly body: Buffer }[] = []
  const states: Buffer[] = []
  const held: QueuedEntry[] = []
  const acknowledged: number[] = []
  const notes: (BookNote | undefined)[] = []
  let byes = 0
  const spool: { -readonly [Key in keyof IntakeSpool]: IntakeSpool[Key] } = {
    end: 0,
    durable: 0,
    pendingBytes: 0,
    isFailing: false,
    needsRoll: () => false,
    roll: (state: Buffer) => void states.push(state),
    append(type: RecordType, first: Buffer, rest?: Buffer) {
      if (spool.isFailing) return undefined
      appended.push({ type, body: first })
      const position = spool.end
      spool.end += 100
      const block = pool.take(1_000_000)
      return { position, end: spool.end, block, rest: Buffer.from(rest ?? '') }
    },
    async sync() {
      if (spool.isFailing) return false
      spool.durable = spool.end
      return true
    },
  }
  const intake = new Intake({
    ledger,
    spool,
    runners: [{ sink: { patterns }, offer: (entry) => void held.push(entry), canTakeUnspooled: () => true }],
    control: {
      acknowledge(books) {
        acknowledged.push(...books.map(({ kept }) => kept))
        notes.push(...books.map(({ note }) => readBookNote(note)))
      },
      ask: () => undefined,
      answerBye: () => {
        byes += 1
      },
    },
    state: (unkept) => encodeState(ledgerState(ledger, { sinks: ['files'], gaveUpTo: [0], unkept, unreadable: new Map() })),
    hurrySinks: async () => undefined,
    lost: () => undefined,
    nowMs: () => 0,
    wallClockMs: () => 0,
  })
  const manifest = (lead: number, final = false) =>
    ledger.announce(
      origin,
      {
        number: 0,
        final,
        urgent: false,
        everyMs: 2_000,
        gone: [],
        who: undefined,
        topics: new Map([[topic, { trail: 0, lead, sent: lead, resume: 0, filtered: 0, shed: 0 }]]),
      },
      0,
    )
  manifest(0)
  const take = (seq: number, count: number) => {
    const lines = Array.from({ length: count }, (_, i) => `${seq + i}\n`).join('')
    const frame = encodeLines({ origin, seq, count, time: 0, kind: frameKinds.lines, onDemand: false }, lines)
    const decoded = decodeFrame(frame)
    if (!decoded.ok) throw new Error('a frame of our own is good')
    intake.take(topic, decoded.frame, { topic: Buffer.from(topic), frame })
  }
  /** What comes next begins behind these, which are gone. */
  const lose = (from: number, to: number) => {
    take(to, 1)
    write(1)
    const gone = [{ topic, from, to }]
    const frame = { origin, seq: 0, count: 1, time: 0, kind: frameKinds.manifest, onDemand: false, body: Buffer.alloc(0) }
    const told = { number: 0, final: false, urgent: false, everyMs: 2_000, gone, who: undefined, topics: new Map() }
    intake.announce(frame, told)
  }
  const book = () => ledger.origins.get(origin)?.topics.get(topic) as TopicBook
  /** The sink has written the first entries it holds. */
  const write = (entries: number) => {
    for (const entry of held.splice(0, entries)) {
      entry.holders -= 1
      for (const sink of book().sinks) sink.pending -= entry.count
    }
  }
  const fail = () => {
    const { durable } = spool
    spool.isFailing = true
    spool.durable = spool.end
    return intake.spoolAbandoned(durable, durable)
  }
  /** The books as the next start would find them. */
  const restored = (state: Buffer) => {
    const next = new Ledger(patterns, 1)
    restoreLedger(next, readState(state) ?? {}, ['files'], 0)
    for (const each of next.origins.values()) for (const one of each.topics.values()) next.restored(one)
    return next
  }
  const roll = () => {
    spool.needsRoll = () => true
    intake.tick()
    spool.needsRoll = () => false
    return states.at(-1) ?? Buffer.alloc(0)
  }
  const numbers = () => appended.flatMap(({ type, body }) => (type === recordTypes.numbers ? (readNumbers(body) ?? []) : []))
  return {
    intake,
    ledger,
    spool,
    acknowledged,
    notes,
    lose,
    byes: () => byes,
    manifest,
    take,
    write,
    fail,
    roll,
    restored,
    book,
    numbers,
    held,
  }
}

const missingOf = (ledger: Ledger): Range[] => ledger.origins.get(origin)?.topics.get(topic)?.ledger.missingBelow(1e9) ?? []

describe('while the spool fails', () => {
  test('what a sink has written since is in the spool before its place may be, or the next run would write it twice', () => {
    const it = newIntake()
    it.fail()
    it.take(0, 10)
    it.spool.isFailing = false
    // Books that are written down now do not have it: the sink has not.
    it.roll()
    it.write(1)
    expect(it.numbers()).toEqual([])
    it.intake.settle()
    expect(it.numbers()).toEqual([expect.objectContaining({ from: 0, count: 10, notDurable: true })])
  })

  test('what is lost goes as a note beside the acknowledgement, which reaches no further than the note; both end with it', async () => {
    const it = newIntake()
    it.take(0, 10)
    it.write(1)
    await it.intake.commit()
    expect(it.notes).toEqual([undefined])
    it.fail()
    it.lose(10, 20)
    await it.intake.commit()
    expect(it.acknowledged.at(-1)).toBe(21)
    expect(it.notes.at(-1)).toEqual({ joinAt: 0, losses: [{ from: 10, to: 20, reason: 'ring_evicted' }] })
    // Ranges that touch are one; of the others twelve find room.
    for (let n = 1; n < noteRangesMax + 3; n += 1) it.lose(11 + 10 * n, 20 + 10 * n)
    expect(await it.intake.commit()).toBe(false)
    expect(it.acknowledged.at(-1)).toBe(11 + 10 * noteRangesMax)
    expect(it.notes.at(-1)?.losses).toHaveLength(noteRangesMax)
    it.spool.isFailing = false
    it.roll()
    expect(await it.intake.commit()).toBe(true)
    expect(it.acknowledged.at(-1)).toBe(21 + 10 * (noteRangesMax + 2))
    expect(it.notes.at(-1)).toBeUndefined()
  })

  test('what comes is acknowledged as far as every sink has it, and no further, however much more comes', async () => {
    const it = newIntake()
    it.take(0, 10)
    expect(await it.intake.commit()).toBe(true)
    expect(it.acknowledged).toEqual([10])
    it.fail()
    for (let seq = 10; seq < 60; seq += 10) {
      it.take(seq, 10)
      // The sink is always one behind.
      if (seq > 10) it.write(seq === 20 ? 2 : 1)
      expect(await it.intake.commit()).toBe(false)
    }
    expect(it.acknowledged).toEqual([10, 20, 30, 40, 50])
    it.write(1)
    expect(await it.intake.commit()).toBe(true)
    expect(it.acknowledged.at(-1)).toBe(60)
    expect(topicTotals(it.book())).toMatchObject({ received: 60, spooled: 10, notDurable: 50, delivered: 60, pending: 0 })
  })

  test('a goodbye is answered when every sink has what was said', async () => {
    const it = newIntake()
    it.fail()
    it.take(0, 10)
    it.manifest(10, true)
    expect(await it.intake.commit()).toBe(false)
    expect(it.byes()).toBe(0)
    it.write(1)
    expect(await it.intake.commit()).toBe(true)
    expect([it.byes(), it.acknowledged]).toEqual([1, [10]])
  })

  test('what had been appended and was not on the disk is given back, and acknowledged when every sink has it', async () => {
    const it = newIntake()
    it.take(0, 10)
    it.take(10, 10)
    expect(it.fail().map(({ count, isSpooled }) => [count, isSpooled])).toEqual([
      [10, false],
      [10, false],
    ])
    it.write(1)
    expect(await it.intake.commit()).toBe(false)
    expect(it.acknowledged).toEqual([10])
    it.write(1)
    expect(await it.intake.commit()).toBe(true)
    expect(topicTotals(it.book())).toMatchObject({ spooled: 0, notDurable: 20 })
  })
})

describe('when it keeps again', () => {
  test('what no sink has yet is still not acknowledged, though what comes behind it is spooled', async () => {
    const it = newIntake()
    it.fail()
    it.take(0, 10)
    it.spool.isFailing = false
    it.roll()
    it.take(10, 10)
    expect(await it.intake.commit()).toBe(false)
    expect(it.acknowledged).toEqual([])
    it.write(2)
    expect(await it.intake.commit()).toBe(true)
    expect(it.acknowledged).toEqual([20])
    expect(topicTotals(it.book())).toMatchObject({ spooled: 10, notDurable: 10 })
  })

  test('the books on disk know nothing of what is kept nowhere: after a kill it is missing, and asked for', async () => {
    const it = newIntake()
    it.take(0, 5)
    await it.intake.commit()
    it.fail()
    it.take(5, 10)
    it.take(15, 10)
    it.write(2)
    it.spool.isFailing = false
    const next = it.restored(it.roll())
    // Five were spooled, ten have been written, ten are nowhere.
    expect(missingOf(next)).toEqual([{ from: 15, to: 25 }])
    expect(next.totals()).toMatchObject({ accepted: 25, received: 15, spooled: 5, notDurable: 10, inFlight: 10 })
    expect(next.tick(1e6, taken)).toEqual([])
  })

  test('and a sink has it after the books were written down, the spool is told before it is acknowledged', async () => {
    const it = newIntake()
    it.fail()
    it.take(0, 10)
    it.spool.isFailing = false
    it.roll()
    expect(it.numbers()).toEqual([])
    it.write(1)
    await it.intake.commit()
    expect(it.acknowledged).toEqual([10])
    expect(it.numbers()).toEqual([{ origin, topic, from: 0, count: 10, onDemand: false, notDurable: true }])
    await it.intake.commit()
    expect(it.numbers()).toHaveLength(1)
    expect(missingOf(it.restored(it.roll()))).toEqual([])
  })
})

test('what waits long holds no more blocks of the spool than there are to spare; beyond them it has memory of its own', () => {
  const it = newIntake()
  const frames = spoolBlocksOutMax + 20
  // In the test, as in a quiet collector, every frame has a block of its own.
  for (let n = 0; n < frames; n += 1) it.take(2 * n, 2)
  expect(it.held).toHaveLength(frames)
  expect(it.held.filter(({ block }) => block !== undefined)).toHaveLength(spoolBlocksOutMax)
  for (const [n, { lines }] of it.held.entries()) {
    expect(lines.toString()).toBe(`${2 * n}\n${2 * n + 1}\n`)
  }
})

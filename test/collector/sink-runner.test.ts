/** One sink and the spool: in order and once, whether it keeps up, falls behind, or has a file that is stuck. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SinkBook } from '../../collector/ledger.ts'
import { type QueuedEntry, SinkRunner } from '../../collector/sink-runner.ts'
import { type Entry, type KeepingSink, type KeepingSinkEvents, noEvents, type SinkStatus } from '../../collector/sinks/sink.ts'
import { encodeKeptHead, type SinkPlace } from '../../collector/spool/spool-bodies.ts'
import { recordTypes } from '../../collector/spool/spool-record.ts'
import { encodeLines, frameKinds } from '../../wire/frame.ts'
import { sinkQueueBytesMax } from '../../wire/limits.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import { logTopic, type Topic } from '../../wire/topic.ts'
import { tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { openSpool, type SpoolInTest } from './spool/spool-in-test.ts'
import { segmentsOf } from './spooling.ts'

const origin = 'origin-000000001'
const topic = logTopic('info', 'shop')

/** Takes entries until it is full, and is done with them when the test says so. One of its topics may be stuck, like a file. */
class SlowSink implements KeepingSink {
  readonly name = 'slow'
  readonly patterns = compilePatterns(['log.>'])
  events: KeepingSinkEvents = noEvents
  readonly held: Entry[] = []
  readonly written: string[] = []
  entriesMax = 4
  stuck: Topic | undefined
  missedFrom: number | undefined
  #missed: number | undefined

  get isFull(): boolean {
    return this.held.length >= this.entriesMax
  }
  isFullFor(of: Topic): boolean {
    return this.isFull || of === this.stuck
  }
  get pendingBytes(): number {
    return this.held.reduce((sum, { lines }) => sum + lines.length, 0)
  }
  get movingBytes(): number {
    return this.pendingBytes
  }
  get oldestAtMs(): number {
    return this.held[0]?.receivedAtMs ?? Number.POSITIVE_INFINITY
  }
  get lowest(): number {
    return Math.min(this.held[0]?.position ?? Number.POSITIVE_INFINITY, this.#missed ?? Number.POSITIVE_INFINITY)
  }
  unwritten(): { entry: Entry; records: number }[] {
    return this.held.map((entry) => ({ entry, records: entry.count }))
  }
  write(entry: Entry): boolean {
    if (entry.topic === this.stuck || (this.#missed !== undefined && entry.topic === this.stuckBefore)) {
      this.#missed ??= entry.position
      this.stuckBefore = entry.topic
      return false
    }
    this.held.push(entry)
    return true
  }
  stuckBefore: Topic | undefined
  /** It can be written again. */
  free(): void {
    this.stuck = undefined
    this.missedFrom = this.#missed
    this.events.moved()
  }
  beginMissed(): void {}
  writeMissed(entry: Entry): boolean {
    if (this.#missed === undefined || entry.topic !== this.stuckBefore || entry.position < this.#missed) return false
    this.held.push(entry)
    this.#missed = entry.end
    return true
  }
  caughtUp(): void {
    this.#missed = undefined
    this.missedFrom = undefined
  }
  hasMissed({ position, topic: of }: Pick<Entry, 'position' | 'topic'>): boolean {
    return this.#missed !== undefined && of === (this.stuckBefore ?? this.stuck) && position >= this.#missed
  }
  forgetBefore(end: number): void {
    if (this.#missed !== undefined && this.#missed < end) this.#missed = end
  }
  takeMoved(): SinkPlace['files'] {
    return []
  }
  async sync(): Promise<void> {}
  async flush(): Promise<void> {}
  async restore(): Promise<number> {
    return 0
  }
  reopen(): void {}
  status(): SinkStatus {
    return { type: 'slow', topics: ['log.>'], written: this.written.length, dropped: 0, pendingBytes: 0, error: undefined, where: '' }
  }
  async close(): Promise<void> {}

  /** Is done with the first entries it holds. */
  work(entries = 1): void {
    for (const entry of this.held.splice(0, entries)) {
      this.written.push(
        ...entry.lines
          .toString()
          .split('\n')
          .slice(0, -1)
          .map((line) => line.slice(0, 30).trim()),
      )
      this.events.done(entry)
    }
    this.events.moved()
  }
}

interface RunnerInTest {
  readonly it: SpoolInTest
  readonly sink: SlowSink
  readonly runner: SinkRunner
  readonly book: SinkBook
  readonly notes: SinkPlace[]
  readonly sent: string[]
  send(lines: readonly string[], of?: Topic): void
  /** Lets the sink work until nothing is left. */
  finish(): Promise<void>
}

async function newRunner(dir: string): Promise<RunnerInTest> {
  const it = await openSpool(dir)
  const sink = new SlowSink()
  const book: SinkBook = { pending: 0, expired: 0, rejected: 0 }
  const notes: SinkPlace[] = []
  const runner = new SinkRunner({
    sink,
    spool: it.spool,
    bookOf: () => book,
    note: async (place) => notes.push(place) > 0,
    moved() {},
    gaveUp() {},
    hostOf: () => undefined,
    books: () => [{ origin, topic, book }],
    gaveUpTo: 0,
  })
  it.spool.events = { written: () => runner.pump(), abandoned: () => undefined }
  runner.start(it.spool.end, false)
  const sent: string[] = []
  let seq = 0
  return {
    it,
    sink,
    runner,
    book,
    notes,
    sent,
    send(lines, of = topic) {
      const head = { origin, seq, count: lines.length, time: 1, kind: frameKinds.lines, onDemand: false }
      const frame = encodeLines(head, lines.map((line) => `${line}\n`).join(''))
      seq += lines.length
      if (it.spool.needsRoll(performance.now())) it.spool.roll(Buffer.from('books'))
      const place = it.spool.append(recordTypes.frame, encodeKeptHead(1, Buffer.from(of)), frame)
      if (place === undefined) throw new Error('the spool takes everything here')
      place.block.hold()
      const all = Buffer.from(lines.map((line) => `${line}\n`).join(''))
      const copy = place.rest.subarray(place.rest.length - all.length)
      const { position, end, block } = place
      const entry: QueuedEntry = {
        position,
        end,
        block,
        topic: of,
        kind: frameKinds.lines,
        origin,
        seq: 0,
        timeMs: 1,
        lines: copy,
        count: lines.length,
        receivedAtMs: 1,
        isSpooled: true,
        holders: 1,
      }
      book.pending += lines.length
      sent.push(...lines.map((line) => line.slice(0, 30).trim()))
      runner.offer(entry)
    },
    async finish() {
      await it.spool.wrote()
      await until(
        () => {
          sink.work(sink.entriesMax)
          return !runner.hasWork && runner.lowest >= it.spool.written
        },
        { what: `the sink has done everything`, everyMs: 1, timeoutMs: 10_000 },
      ).catch((error: unknown) => {
        throw new Error(
          `${error}: ${JSON.stringify({ isBehind: runner.isBehind, hasWork: runner.hasWork, lowest: runner.lowest, held: sink.held.length, written: it.spool.written, end: it.spool.end, writtenLines: sink.written.length, sent: sent.length, book })}`,
        )
      })
    },
  }
}

const wide = (n: number, bytes: number) => `${n} ${' '.repeat(bytes)}`

describe('a sink', () => {
  test('that keeps up gets everything from memory, in order, once it is written', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    for (let n = 0; n < 200; n += 1) {
      send([`${n}`])
      // Nothing before the spool has it.
      if (n === 0) expect(sink.held).toEqual([])
      await it.spool.wrote()
      sink.work()
    }
    await finish()
    expect(sink.written).toEqual(sent)
    expect(runner.isBehind).toBe(false)
    expect(book).toEqual({ pending: 0, expired: 0, rejected: 0 })
    await it.spool.close()
  })

  test('that falls behind holds no more memory, and gets everything from the spool, in order, once', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    let n = 0
    for (; !runner.isBehind; n += 1) send([wide(n, 60_000)])
    expect(n * 60_000).toBeGreaterThan(sinkQueueBytesMax * 0.9)
    expect(runner.crowdingBytes).toBe(0)
    for (let more = 0; more < 100; more += 1) send([wide(n + more, 60_000)])
    expect(runner.canTakeUnspooled(topic)).toBe(false)
    await it.spool.wrote()
    // What comes while it catches up is neither lost nor there twice.
    const sending = (async () => {
      for (let more = 100; more < 400; more += 1) {
        send([wide(n + more, more % 7 === 0 ? 60_000 : 10)])
        if (more % 5 === 0) await new Promise(setImmediate)
      }
    })()
    await finish()
    await sending
    await finish()
    expect(sink.written).toEqual(sent)
    expect(runner.isBehind).toBe(false)
    expect(book).toEqual({ pending: 0, expired: 0, rejected: 0 })
    await it.spool.close()
  })

  test('however fast it is and whatever comes: in order, and once', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('send' as const), records: fc.integer({ min: 1, max: 5 }), bytes: fc.constantFrom(10, 1_000, 60_000) }),
      fc.record({ do: fc.constant('flood' as const) }),
      fc.record({ do: fc.constant('work' as const), entries: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('write' as const) }),
      fc.record({ do: fc.constant('turn' as const) }),
    )
    let behind = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), async (steps, entriesMax) => {
        await using dir = await tempDir()
        const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
        sink.entriesMax = entriesMax
        let n = 0
        const sendOne = (records: number, bytes: number) => {
          send(Array.from({ length: records }, () => wide(n++, bytes)))
        }
        for (const one of steps) {
          if (one.do === 'send') sendOne(one.records, one.bytes)
          else if (one.do === 'flood') for (let i = 0; i < 160; i += 1) sendOne(2, 60_000)
          else if (one.do === 'work') sink.work(one.entries)
          else if (one.do === 'write') await it.spool.wrote()
          else await new Promise(setImmediate)
          if (runner.isBehind) behind += 1
        }
        await finish()
        expect(sink.written).toEqual(sent)
        expect(book.pending).toBe(0)
        expect(runner.lowest).toBeGreaterThanOrEqual(it.spool.written)
        await it.spool.close()
      }),
      { numRuns: 40, timeout: 30_000 },
    )
    expect(behind).toBeGreaterThan(10)
  })

  test('with a file that is stuck: the others go on, and when it is free it gets what it missed, in order, once', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    const other = logTopic('info', 'other')
    sink.stuck = topic
    for (let n = 0; n < 100; n += 1) {
      send([`stuck ${n}`])
      send([`other ${n}`], other)
      await it.spool.wrote()
      sink.work(2)
    }
    expect(sink.written).toEqual(sent.filter((line) => line.startsWith('other')))
    expect(runner.isBehind).toBe(false)
    expect(book.pending).toBe(100)
    const lowest = runner.lowest
    expect(lowest).toBeLessThan(it.spool.segmentBytes)
    sink.free()
    for (let n = 100; n < 150; n += 1) {
      send([`stuck ${n}`])
      sink.work()
      if (n % 10 === 0) await new Promise(setImmediate)
    }
    await finish()
    expect(sink.written.filter((line) => line.startsWith('stuck'))).toEqual(Array.from({ length: 150 }, (_, n) => `stuck ${n}`))
    expect(sink.written.filter((line) => line.startsWith('other'))).toHaveLength(100)
    expect(book.pending).toBe(0)
    await it.spool.close()
  })
})

describe('a segment that has to go', () => {
  test('expires what the sink had not taken, and nothing else; the sink goes on behind it', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    let n = 0
    for (; !runner.isBehind; n += 1) send([wide(n, 60_000), wide(n, 60_000)])
    await it.spool.wrote()
    const taken = sink.held.length
    const oldest = it.spool.sealed[0] ?? { position: 0, end: 0 }
    await runner.expire(oldest)
    await it.spool.dropBefore(oldest.end)
    expect(book.expired).toBeGreaterThan(0)
    await finish()
    expect(sink.written.length + book.expired).toBe(sent.length)
    expect(book.pending).toBe(0)
    // What it held in memory when the rest fell out is written, in front of what it reads.
    expect(sink.written).toEqual([...sent.slice(0, 2 * taken), ...sent.slice(2 * taken + book.expired)])
    await it.spool.close()
  })

  test('while the sink reads on: every record is written or expired, none of them both', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    for (let n = 0; !runner.isBehind; n += 1) send([wide(n, 60_000)])
    await it.spool.wrote()
    sink.entriesMax = 1_000
    for (let rounds = 0; rounds < 4; rounds += 1) {
      const [oldest] = it.spool.sealed
      if (oldest === undefined) break
      const expiring = runner.expire(oldest)
      sink.work(1_000)
      await expiring
      await it.spool.dropBefore(oldest.end)
    }
    await finish()
    expect(new Set(sink.written).size).toBe(sink.written.length)
    expect(sink.written.length + book.expired).toBe(sent.length)
    expect(sink.written).toEqual(sent.filter((line) => new Set(sink.written).has(line)))
    expect(book.pending).toBe(0)
    await it.spool.close()
  })

  test('takes with it what a stuck file had missed there', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, send, finish } = await newRunner(dir.path)
    sink.stuck = topic
    for (let n = 0; n < 60; n += 1) {
      send([wide(n, 60_000)])
      await it.spool.wrote()
    }
    const [oldest] = it.spool.sealed
    if (oldest === undefined) throw new Error('there is a segment that is full')
    await runner.expire(oldest)
    await it.spool.dropBefore(oldest.end)
    const { expired } = book
    expect(expired).toBeGreaterThan(10)
    expect(book.pending).toBe(60 - expired)
    sink.free()
    await finish()
    expect(sink.written).toEqual(Array.from({ length: 60 - expired }, (_, i) => `${i + expired}`))
    expect(book).toMatchObject({ pending: 0, expired })
    await it.spool.close()
  })
})

test('what cannot be read any more is given up once everything else is done, and the books have to be written down', async () => {
  await using dir = await tempDir()
  const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
  for (let n = 0; !runner.isBehind; n += 1) send([wide(n, 60_000)])
  await it.spool.wrote()
  const { unlinkSync } = await import('node:fs')
  unlinkSync(segmentsOf(dir.path)[3] ?? '')
  await finish()
  await until(() => book.pending === 0, { what: 'what is gone is given up' })
  expect(sink.written.length + book.expired).toBe(sent.length)
  expect(book.expired).toBeGreaterThan(10)
  expect(new Set(sink.written).size).toBe(sink.written.length)
  // A place behind it is not written down before the books are that count it.
  expect(runner.areBooksBehind).toBe(true)
  expect(runner.gaveUpTo).toBeGreaterThanOrEqual(it.spool.written)
  runner.statedNow()
  expect(runner.areBooksBehind).toBe(false)
  await it.spool.close()
})

describe('a sink that is behind', () => {
  test('and was full when it was first looked at reads on once it has room', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    sink.entriesMax = 0
    for (let n = 0; !runner.isBehind; n += 1) send([wide(n, 60_000)])
    await it.spool.wrote()
    runner.pump()
    expect(sink.held).toEqual([])
    sink.entriesMax = 4
    await finish()
    expect(sink.written).toEqual(sent)
    expect(book).toEqual({ pending: 0, expired: 0, rejected: 0 })
    await it.spool.close()
  })

  test('expires what is offered to it and is not in the spool, from where it would never read it', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    for (let n = 0; !runner.isBehind; n += 1) send([wide(n, 60_000)])
    const { end } = it.spool
    const lines = Buffer.from('one\ntwo\n')
    book.pending += 2
    runner.offer({
      position: end,
      end,
      topic,
      origin,
      ...{ kind: frameKinds.lines, seq: 0, timeMs: 0 },
      lines,
      count: 2,
      receivedAtMs: 1,
      isSpooled: false,
      holders: 1,
      block: undefined,
    })
    expect(book.expired).toBe(2)
    await finish()
    expect(sink.written).toEqual(sent)
    expect(book).toEqual({ pending: 0, expired: 2, rejected: 0 })
    await it.spool.close()
  })
})

describe('what waits in memory when its segment goes', () => {
  test('is given to the sink all the same; only if that falls behind after all has it expired', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    for (let n = 0; n < 100; n += 1) send([wide(n, 60_000)])
    await it.spool.wrote()
    const [first, second] = it.spool.sealed
    for (const segment of [first, second]) {
      if (segment === undefined) throw new Error('there are segments that are full')
      await runner.expire(segment)
      await it.spool.dropBefore(segment.end)
    }
    expect(runner.isBehind).toBe(false)
    expect(book.expired).toBe(0)
    const [unreadable = 0] = runner.statedNow().values()
    expect(unreadable).toBeGreaterThan(20)
    sink.work(10)
    expect(sink.written).toEqual(sent.slice(0, sink.written.length))
    const given = sink.written.length + sink.held.length
    for (let n = 100; !runner.isBehind; n += 1) send([wide(n, 60_000)])
    expect(book.expired).toBe(unreadable - given)
    await finish()
    expect(sink.written).toEqual([...sent.slice(0, given), ...sent.slice(unreadable)])
    expect(book.pending).toBe(0)
    await it.spool.close()
  })

  test('and the sink still reads up to it: what it has yet to read expires, and nothing of what waits', async () => {
    await using dir = await tempDir()
    const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
    for (let n = 0; !runner.isBehind; n += 1) send([wide(n, 60_000)])
    sink.entriesMax = 1_000
    // Until it has read everything that is written, and what comes waits in memory.
    for (const endsAtMs = performance.now() + 20_000; runner.depth.now === sink.pendingBytes; ) {
      sink.work(1_000)
      await new Promise(setImmediate)
      send(['small'])
      expect(performance.now()).toBeLessThan(endsAtMs)
    }
    sink.entriesMax = 0
    for (let n = 0; n < 60; n += 1) send([wide(n, 60_000)])
    await it.spool.wrote()
    expect(runner.isBehind).toBe(true)
    const waiting = (runner.depth.now - sink.pendingBytes) / 60_000
    expect(waiting).toBeGreaterThan(50)
    for (const segment of it.spool.sealed) {
      await runner.expire(segment)
      await it.spool.dropBefore(segment.end)
    }
    sink.entriesMax = 1_000
    await finish()
    expect(sink.written.length + book.expired).toBe(sent.length)
    expect(sink.written.slice(-60)).toEqual(sent.slice(-60))
    expect(book.pending).toBe(0)
    await it.spool.close()
  })
})

test('whatever comes while segments go: every record is written or expired, none both, and the books know which', async () => {
  const step = fc.oneof(
    { weight: 1, arbitrary: fc.record({ do: fc.constant('send' as const), bytes: fc.constantFrom(10, 1_000, 60_000) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('flood' as const), records: fc.integer({ min: 30, max: 320 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('work' as const), entries: fc.constantFrom(1, 9, 400) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('write' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('expire' as const),
        segments: fc.integer({ min: 1, max: 30 }),
        isMeanwhile: fc.boolean(),
      }),
    },
  )
  const came = { behind: 0, expired: 0, unreadable: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 15 }), fc.constantFrom(1, 8, 400), async (steps, entriesMax) => {
      await using dir = await tempDir()
      const { it, sink, runner, book, sent, send, finish } = await newRunner(dir.path)
      sink.entriesMax = entriesMax
      let n = 0
      const expire = async (segments: number) => {
        for (const segment of it.spool.sealed.slice(0, segments)) {
          await runner.expire(segment)
          await it.spool.dropBefore(segment.end)
        }
      }
      const running: Promise<void>[] = []
      for (const one of steps) {
        if (one.do === 'send') send([wide(n++, one.bytes)])
        else if (one.do === 'flood') for (let i = 0; i < one.records; i += 1) send([wide(n++, 60_000)])
        else if (one.do === 'work') sink.work(one.entries)
        else if (one.do === 'write') await it.spool.wrote()
        else if (one.do === 'turn') await new Promise(setImmediate)
        else {
          await Promise.all(running.splice(0))
          if (one.isMeanwhile) running.push(expire(one.segments))
          else await expire(one.segments)
        }
        if (runner.isBehind) came.behind += 1
        const unreadable = [...runner.statedNow().values()].reduce((sum, records) => sum + records, 0)
        if (unreadable > 0) came.unreadable += 1
        expect(unreadable).toBeLessThanOrEqual(book.pending)
      }
      await Promise.all(running)
      await finish()
      expect(new Set(sink.written).size).toBe(sink.written.length)
      expect(sink.written.length + book.expired).toBe(sent.length)
      expect(book.pending).toBe(0)
      if (book.expired > 0) came.expired += 1
      await it.spool.close()
    }),
    { numRuns: 20, timeout: 30_000 },
  )
  for (const times of Object.values(came)) expect(times).toBeGreaterThan(0)
})

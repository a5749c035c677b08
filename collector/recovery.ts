/**
 * After a start: reads what the spool holds and puts the books and the sinks where they were.
 *
 * The last state in the spool and what follows it are the books. What was received and not spooled is in neither, so
 * it is missing again and is asked for. A sink goes on at the place it wrote down last.
 */
import type { Topic } from '../wire/topic.ts'
import type { Ledger, TopicBook } from './ledger.ts'
import { restoreGaveUpTo, restoreLedger, statedPending } from './ledger-state.ts'
import type { LossReport } from './loss-report.ts'
import { isFor, type KeepingSink } from './sinks/sink.ts'
import type { Spool } from './spool/spool.ts'
import { readHeardManifest, readKept, readLoss, readNumbers, readSinkPlace, readState, type SinkPlace } from './spool/spool-bodies.ts'
import { recordTypes, type SpoolRecord } from './spool/spool-record.ts'

export interface Recovered {
  readonly ledger: Ledger
  /** Where each sink goes on, in the order they were given. */
  readonly positions: readonly number[]
  /** What stands before is done by each of them, or has been counted as expired. */
  readonly gaveUpTo: readonly number[]
  /** Something that was received cannot be read any more. Its sinks have it among what is pending. */
  readonly isDamaged: boolean
}

/** Records of a topic, and a position of the spool. */
interface Placed {
  readonly position: number
  readonly origin: string
  readonly topic: Topic
  readonly records: number
}

/** What the first books say where the spool's beginning is gone. */
interface Unread {
  /** Position of those books, … */
  at: number
  /** … what was pending then, by sink, … */
  books: readonly { readonly origin: string; readonly topic: Topic; readonly records: readonly number[] }[]
  /** … and the frames that can be read before them. */
  readonly framesBefore: Placed[]
}

export interface RecoveryOptions {
  readonly spool: Spool
  readonly sinks: readonly KeepingSink[]
  /** Restored like the books. */
  readonly losses: LossReport
  newLedger(): Ledger
  readonly nowMs: number
}

export async function recover({ spool, sinks, losses, newLedger, nowMs }: RecoveryOptions): Promise<Recovered> {
  const places = new Map<string, SinkPlace[]>(sinks.map(({ name }) => [name, []]))
  const names = sinks.map(({ name }) => name)
  let ledger = newLedger()
  let gaveUpTo = names.map(() => 0)
  let lastGood = spool.oldest
  let lastDamage = -1
  // A spool begins with empty books; of one whose beginning is gone, the first that can be read say how far it had come.
  let hasBooks = spool.oldest === 0
  let damageSinceState: number | undefined
  /** Received before a position, and not there. */
  const gaps: Placed[] = []
  const unread: Unread = { at: 0, books: [], framesBefore: [] }
  for (let at = spool.oldest; at < spool.end; ) {
    const { records, next, damagedBytes } = await spool.read(at)
    for (const record of records) {
      if (record.type === recordTypes.state) {
        const state = readState(record.body)
        if (state === undefined) continue
        const replayed = hasBooks ? ledger : undefined
        ledger = newLedger()
        restoreLedger(ledger, state, names, nowMs)
        gaveUpTo = restoreGaveUpTo(state, names)
        // What these books have more than what came since the last ones was damaged, or deleted with its segment.
        if (replayed !== undefined) gaps.push(...gapsBetween(replayed, ledger, damageSinceState ?? record.position))
        else Object.assign(unread, { at: record.position, books: [...statedPending(state, names)] })
        hasBooks = true
        damageSinceState = undefined
        losses.restore(state['losses'])
      } else if (record.type === recordTypes.sink) {
        const place = readSinkPlace(record.body)
        if (place !== undefined) places.get(place.sink)?.push(place)
      } else {
        const kept = hasBooks || record.type !== recordTypes.frame ? undefined : readKept(record.body)
        if (kept !== undefined) {
          unread.framesBefore.push({ position: record.position, origin: kept.frame.origin, topic: kept.topic, records: kept.frame.count })
        }
        replay(ledger, record, nowMs)
      }
      lastGood = record.end
    }
    if (damagedBytes > 0) lastDamage = next
    if (damagedBytes > 0) damageSinceState = next
    at = Math.max(at + 1, next)
  }
  await spool.cutTail(lastGood)
  const oldest = spool.oldest
  const restored = await Promise.all(sinks.map((sink) => sink.restore(places.get(sink.name) ?? [], oldest)))
  // Killed before the segment was gone: what stands there must not be counted and written too.
  const positions = restored.map((position, i) => Math.max(position, gaveUpTo[i] ?? 0))
  // Replayed, so it is all there.
  for (const origin of ledger.origins.values()) for (const book of origin.topics.values()) ledger.restored(book)
  // Booked since the last state; when exactly is forgotten.
  for (const { origin, topic, from, to, reason } of ledger.takeLosses()) {
    const service = origin.who?.service ?? null
    losses.booked({ origin: origin.origin, service, topic, reason, records: to - from, atMs: Date.now() })
  }
  ledger.isDamaged = lastDamage > Math.min(...positions)
  await countPending(spool, sinks, positions, ledger)
  const missed = gaps.filter(({ position }) => position > Math.min(...positions))
  for (const { position, origin, topic, records } of missed) {
    for (const [i, book] of ledger.origins.get(origin)?.topics.get(topic)?.sinks.entries() ?? []) {
      if (position > (positions[i] ?? 0) && sinks[i]?.patterns.matches(topic)) book.pending += records
    }
  }
  // Whoever has written down that it was further has done it, or has counted it.
  const areBehind = names.map(
    (name, i) => !places.get(name)?.some(({ position }) => position >= unread.at) && (gaveUpTo[i] ?? 0) < unread.at,
  )
  const isUnread = addUnread(
    unread,
    positions.map((position, i) => (areBehind[i] ? position : undefined)),
    ledger,
  )
  return { ledger, positions, gaveUpTo, isDamaged: missed.length > 0 || isUnread }
}

/**
 * Where the beginning of the spool is gone, the first books know what was pending then. What of it is neither done by
 * now nor in the spool is pending, and cannot be read.
 */
function addUnread({ books, framesBefore }: Unread, behind: readonly (number | undefined)[], ledger: Ledger): boolean {
  let isUnread = false
  for (const { origin, topic, records } of books) {
    for (const [i, book] of ledger.origins.get(origin)?.topics.get(topic)?.sinks.entries() ?? []) {
      const from = behind[i]
      if (from === undefined) continue
      let left = records[i] ?? 0
      for (const frame of framesBefore) {
        if (frame.position >= from && frame.topic === topic && frame.origin === origin) left -= frame.records
      }
      if (left <= 0) continue
      book.pending += left
      isUnread = true
    }
  }
  return isUnread
}

function* gapsBetween(replayed: Ledger, stated: Ledger, position: number): Generator<Placed> {
  for (const { origin, topics } of stated.origins.values()) {
    for (const [topic, book] of topics) {
      const before = replayed.origins.get(origin)?.topics.get(topic)
      const records = spoolableRecords(book) - (before === undefined ? 0 : spoolableRecords(before))
      if (book.isWanted && records > 0) yield { position, origin, topic, records }
    }
  }
}

function spoolableRecords({ ledger, onDemand, notDurable }: TopicBook): number {
  return ledger.received - onDemand - notDurable
}

function replay(ledger: Ledger, record: SpoolRecord, nowMs: number): void {
  switch (record.type) {
    case recordTypes.frame: {
      const kept = readKept(record.body)
      // What is kept, some sink takes, also of what was made on demand.
      if (kept !== undefined) ledger.receive(kept.frame.origin, kept.topic, { ...kept.frame, onDemand: false }, nowMs)
      break
    }
    case recordTypes.numbers: {
      const numbers = readNumbers(record.body)
      if (numbers === undefined) break
      const { origin, topic, from: seq, count, onDemand, notDurable } = numbers
      const receipt = ledger.receive(origin, topic, { seq, count, onDemand }, nowMs)
      if (notDurable) for (const { from, to } of receipt?.fresh ?? []) if (receipt !== undefined) receipt.book.notDurable += to - from
      break
    }
    case recordTypes.loss: {
      const loss = readLoss(record.body)
      if (loss !== undefined) ledger.loseAgain(loss, nowMs)
      break
    }
    case recordTypes.manifest: {
      const heard = readHeardManifest(record.body)
      if (heard !== undefined) ledger.announce(heard.origin, heard.manifest, nowMs)
      break
    }
    case recordTypes.state:
    case recordTypes.sink:
  }
}

/** What stands behind a sink's place is what it has not done. */
async function countPending(spool: Spool, sinks: readonly KeepingSink[], positions: readonly number[], ledger: Ledger): Promise<void> {
  for (let at = Math.min(spool.end, ...positions); at < spool.end; ) {
    const { records, next } = await spool.read(at)
    for (const record of records) {
      const kept = record.type === recordTypes.frame ? readKept(record.body) : undefined
      if (kept === undefined) continue
      const book = ledger.origins.get(kept.frame.origin)?.topics.get(kept.topic as Topic)
      for (const [i, sink] of sinks.entries()) {
        const numbers = book?.sinks[i]
        if (numbers === undefined || record.position < (positions[i] ?? 0) || !isFor(sink, kept)) continue
        numbers.pending += kept.frame.count
      }
    }
    at = Math.max(at + 1, next)
  }
}

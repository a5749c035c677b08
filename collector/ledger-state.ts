/** The books as they are kept in the spool: MessagePack of `[origins, retired]`, written at the head of every segment. */
import { asCount, asMap, type WireMap, type WireValue } from '../wire/msgpack.ts'
import type { Range } from '../wire/range-set.ts'
import { isTopic, type Topic } from '../wire/topic.ts'
import type { Ledger, OriginBook, SinkBook, TopicBook } from './ledger.ts'

const originStates = ['live', 'silent', 'finished', 'unclean'] as const
const totalFields = ['accepted', 'delivered', 'inFlight', 'received', 'spooled', 'notDurable', 'expired', 'rejected', 'pending'] as const

/** What is written down beside the books themselves. */
export interface LedgerStateOptions {
  /** Names of the keeping sinks, in the order the books have them. */
  readonly sinks: readonly string[]
  /** Positions of the spool, by sink: what stands before and is not done has been counted as expired. */
  readonly gaveUpTo: readonly number[]
  /** What has come and is neither in the spool nor with every sink: after a restart it is missing. */
  readonly unkept: ReadonlyMap<TopicBook, readonly Range[]>
  /** Records that are pending and not in the spool any more: after a restart they have expired. */
  readonly unreadable: ReadonlyMap<SinkBook, number>
}

export function ledgerState(ledger: Ledger, { sinks, gaveUpTo, unkept, unreadable }: LedgerStateOptions): WireMap {
  const { totals, asides } = ledger.retired
  return {
    sinks: [...sinks],
    gaveUpTo: [...gaveUpTo],
    retired: { ...totals, ...asides },
    origins: [...ledger.origins.values()].map((origin) => ({
      origin: origin.origin,
      who: origin.who === undefined ? null : { ...origin.who },
      state: origin.state,
      everyMs: origin.everyMs,
      isGivenUp: origin.isGivenUp,
      topics: [...origin.topics.values()].map((book) => topicState(book, unkept.get(book) ?? [], unreadable)),
    })),
  }
}

function topicState(book: TopicBook, unkept: readonly Range[], unreadable: LedgerStateOptions['unreadable']): WireValue {
  const { numbers, lost, missing, lostRanges } = book.ledger.stateWithout(unkept)
  const unkeptRecords = unkept.reduce((sum, { from, to }) => sum + to - from, 0)
  // What every sink has is kept, and the next commit will say so.
  const notDurable = book.notDurable + Math.max(0, book.unspooled - unkeptRecords)
  return {
    topic: book.topic,
    numbers: [...numbers],
    lost: [...lost],
    missing: [...missing],
    lostRanges: [...lostRanges],
    counts: [book.spooled, notDurable, book.acknowledged, book.kept, book.onDemand, book.filteredAtOrigin, book.shedAtOrigin],
    isProvisional: book.isProvisional,
    sinks: book.sinks.map((sink) => {
      const gone = unreadable.get(sink) ?? 0
      return [sink.expired + gone, sink.rejected, Math.max(0, sink.pending - gone - unkeptRecords)]
    }),
  }
}

/** Puts the books back. What a sink had yet to do then is for the caller: it counts it in the spool. */
export function restoreLedger(ledger: Ledger, state: WireMap, sinks: readonly string[], nowMs: number): void {
  const sinksThen = asArray(state['sinks'])
  const indexThen = sinks.map((name) => sinksThen.indexOf(name))
  const retired = asMap(state['retired']) ?? {}
  for (const field of totalFields) ledger.retired.totals[field] = asCount(retired[field]) ?? 0
  for (const [reason, records] of Object.entries(asMap(retired['lost']) ?? {}))
    Object.assign(ledger.retired.totals.lost, { [reason]: records })
  ledger.retired.asides.filtered = asCount(retired['filtered']) ?? 0
  ledger.retired.asides.duplicates = asCount(retired['duplicates']) ?? 0
  for (const value of asArray(state['origins'])) {
    const origin = asMap(value)
    const name = origin?.['origin']
    if (origin === undefined || typeof name !== 'string') continue
    const book = ledger.restoreOrigin(name, originFields(origin), nowMs)
    for (const topic of asArray(origin['topics'])) if (book !== undefined) restoreTopic(ledger, book, asMap(topic) ?? {}, indexThen, nowMs)
  }
}

/** Records that were pending when the books were written down, by sink. */
export function* statedPending(
  state: WireMap,
  sinks: readonly string[],
): Generator<{ readonly origin: string; readonly topic: Topic; readonly records: readonly number[] }> {
  const sinksThen = asArray(state['sinks'])
  for (const value of asArray(state['origins'])) {
    const origin = asMap(value) ?? {}
    for (const item of asArray(origin['topics'])) {
      const { topic, sinks: then } = asMap(item) ?? {}
      if (typeof origin['origin'] !== 'string' || typeof topic !== 'string' || !isTopic(topic)) continue
      const records = sinks.map((name) => counts(asArray(then)[sinksThen.indexOf(name)])[2] ?? 0)
      yield { origin: origin['origin'], topic, records }
    }
  }
}

/** By sink: what stands in the spool before has been done, or counted as expired. */
export function restoreGaveUpTo(state: WireMap, sinks: readonly string[]): number[] {
  const sinksThen = asArray(state['sinks'])
  const gaveUpTo = counts(state['gaveUpTo'])
  return sinks.map((name) => gaveUpTo[sinksThen.indexOf(name)] ?? 0)
}

function originFields(origin: WireMap): Pick<OriginBook, 'who' | 'state' | 'everyMs' | 'isGivenUp'> {
  const who = asMap(origin['who'])
  return {
    who:
      who === undefined
        ? undefined
        : {
            service: String(who['service']),
            host: String(who['host']),
            pid: asCount(who['pid']) ?? 0,
            node: String(who['node']),
            version: String(who['version']),
          },
    state: originStates.find((state) => state === origin['state']) ?? 'silent',
    everyMs: asCount(origin['everyMs']) ?? 0,
    isGivenUp: origin['isGivenUp'] === true,
  }
}

function restoreTopic(ledger: Ledger, origin: OriginBook, state: WireMap, indexThen: readonly number[], nowMs: number): void {
  const { topic } = state
  if (typeof topic !== 'string' || !isTopic(topic)) return
  const restore = (book: TopicBook) => {
    book.ledger.restore(
      {
        numbers: counts(state['numbers']),
        lost: asArray(state['lost']).filter((value) => typeof value === 'string' || typeof value === 'number'),
        missing: counts(state['missing']),
        lostRanges: counts(state['lostRanges']),
      },
      nowMs,
    )
    const [spooled = 0, notDurable = 0, acknowledged = 0, kept = 0, onDemand = 0, filteredAtOrigin = 0, shedAtOrigin = 0] = counts(
      state['counts'],
    )
    Object.assign(book, { spooled, notDurable, acknowledged, kept, onDemand, filteredAtOrigin, shedAtOrigin })
    book.isProvisional = state['isProvisional'] === true
    const then = asArray(state['sinks'])
    for (const [i, sink] of book.sinks.entries()) {
      const [expired = 0, rejected = 0] = counts(then[indexThen[i] ?? -1])
      sink.expired = expired
      sink.rejected = rejected
    }
  }
  ledger.restoreTopic(origin, topic, restore, nowMs)
}

function asArray(value: WireValue | undefined): readonly WireValue[] {
  return Array.isArray(value) ? value : []
}

function counts(value: WireValue | undefined): number[] {
  return asArray(value).map((item) => asCount(item) ?? 0)
}

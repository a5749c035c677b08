/**
 * The collector's books: every origin, every topic of it, and for each topic numbers that add up,
 *
 *   accepted = delivered + lost + expired + rejected + in flight
 *   received = spooled + not durable = delivered + expired + rejected + pending
 *
 * Pure but for the clock that is passed in. What a frame brings that is new, and nothing else, is for the sinks.
 */
import {
  askedRangesMax,
  finishedShownMs,
  originsMax,
  originTopicsMax,
  repairBreaker,
  repairCreditRecords,
  topicBooksMax,
} from '../wire/limits.ts'
import type { Manifest, ManifestWho } from '../wire/manifest.ts'
import type { CompiledPatterns } from '../wire/pattern.ts'
import type { Range } from '../wire/range-set.ts'
import { type LossReason, repairingPolicy, StreamLedger } from '../wire/stream-ledger.ts'
import type { Topic } from '../wire/topic.ts'
import { type BookNote, readBookNote } from './book-note.ts'
import { RepairBreaker } from './repair-breaker.ts'
import { UnknownTail } from './unknown-tail.ts'

/** live: heard of; silent: three manifests missed; finished: said goodbye; unclean: silent for long, never said goodbye. */
type OriginState = 'live' | 'silent' | 'finished' | 'unclean'

/** One topic's records at one sink. Those that are none of these are written. */
export interface SinkBook {
  pending: number
  /** Given up because the spool was full before the sink had taken them. */
  expired: number
  /** Refused by the sink for good. */
  rejected: number
}

export interface TopicBook {
  readonly topic: Topic
  readonly origin: OriginBook
  readonly ledger: StreamLedger
  /** False for topics that only a wide prefix let in: acknowledged, counted as filtered, not delivered. */
  readonly isWanted: boolean
  /** Per keeping sink, in the order of the configuration. */
  readonly sinks: SinkBook[]
  /** Records received that the disk has. */
  spooled: number
  /** Records received that were passed on while nothing could be spooled. */
  notDurable: number
  /** Records received that the disk will never have, and that are not counted as not durable yet. */
  unspooled: number
  /** Everything below has been acknowledged to the origin. */
  acknowledged: number
  /** Everything below is kept; what {@link acknowledged} becomes with the next message. */
  kept: number
  /** Records came before the manifest that says where to begin. */
  isProvisional: boolean
  /**
   * Records received that only a live tail made the application log, and that no sink takes. They are numbered like all
   * others, so their holes are found and they are acknowledged; but they are neither accepted nor delivered here. One
   * that never came cannot be told from others: it is accepted, and lost.
   */
  onDemand: number
  filteredAtOrigin: number
  shedAtOrigin: number
  /** Known from before a restart. */
  isRestored: boolean
  /** What its origin is to hold for a later run, said beside the acknowledgement; undefined while the spool says it. */
  note: Buffer | undefined
}

/** What a frame brought that is new. */
export interface Receipt {
  readonly book: TopicBook
  readonly fresh: readonly Range[]
}

/** A range that was booked as lost. */
export interface BookedLoss {
  readonly origin: OriginBook
  readonly topic: Topic
  readonly from: number
  readonly to: number
  readonly reason: LossReason
}

export interface OriginBook {
  readonly origin: string
  who: ManifestWho | undefined
  state: OriginState
  readonly topics: Map<Topic, TopicBook>
  lastHeardAtMs: number
  everyMs: number
  finishedAtMs: number
  isByeOwed: boolean
  /** What it had not sent is booked as lost. */
  isGivenUp: boolean
  readonly repair: RepairBreaker
  /** What it may have accepted unheard, should it have been killed. */
  readonly tail: UnknownTail
}

/** What has to be kept before it can be acknowledged: a topic's frontier and count at one moment. */
export interface Commit {
  readonly book: TopicBook
  readonly frontier: number
  readonly received: number
}

export interface Ask {
  readonly book: TopicBook
  readonly ranges: readonly Range[]
}

export interface Totals {
  accepted: number
  delivered: number
  lost: Partial<Record<LossReason, number>>
  inFlight: number
  received: number
  spooled: number
  notDurable: number
  expired: number
  rejected: number
  pending: number
}

export interface Repairs {
  /** Times something was asked for. */
  readonly requests: number
  readonly recordsAsked: number
  /** Records that came after they had been missed. */
  readonly recordsRepaired: number
}

/** What is counted beside the books. */
export interface Asides {
  filtered: number
  duplicates: number
}

/** Extra topics beyond an origin's own bound: the shared ones, and manifests of later versions. */
const topicsPerOriginMax = originTopicsMax + 16
const silentAfterIntervals = 3
const uncleanAfterMs = 30_000
/** Silence after which what an origin still held is given up. A stopped virtual machine may come back before. */
const goneAfterMs = 600_000
const finalAfterByeMs = 2_000
const everyMsMax = 60_000
/** Between two searches for an origin to forget when the last one found none: there may be frames without end that want room. */
const searchAgainMs = 1_000

export class Ledger {
  readonly origins: Map<string, OriginBook> = new Map()
  /** Frames of origins or topics beyond the bounds. */
  refusedFrames = 0
  /** Records were found missing from the spool that no sink had taken: what was acknowledged and is not there is lost. */
  isDamaged = false
  readonly #wanted: CompiledPatterns
  readonly #sinkCount: number
  readonly #onForgotten: (book: TopicBook) => void
  readonly #onUnclean: (origin: OriginBook) => void
  #losses: BookedLoss[] = []
  readonly #dirty = new Set<TopicBook>()
  readonly #acknowledgements = new Set<TopicBook>()
  readonly #byes = new Set<OriginBook>()
  /** Books that may have holes; the others need not be looked at. */
  readonly #holed = new Set<TopicBook>()
  /** Books of origins that have been forgotten. */
  readonly #retired: Totals = noTotals()
  readonly #retiredAsides: Asides = { filtered: 0, duplicates: 0 }
  #retiredRepairs: Repairs = { requests: 0, recordsAsked: 0, recordsRepaired: 0 }
  #topicBooks = 0
  #searchAgainAtMs = Number.NEGATIVE_INFINITY

  /**
   * @param sinkCount - Sinks that keep.
   * @param onForgotten - Told of a book that is about to be forgotten.
   * @param onUnclean - Told of an origin when it becomes unclean.
   */
  constructor(
    wanted: CompiledPatterns,
    sinkCount: number,
    onForgotten: (book: TopicBook) => void = () => undefined,
    onUnclean: (origin: OriginBook) => void = () => undefined,
  ) {
    this.#wanted = wanted
    this.#sinkCount = sinkCount
    this.#onForgotten = onForgotten
    this.#onUnclean = onUnclean
  }

  /**
   * Books a frame.
   *
   * @returns What of it is new; undefined when nothing is.
   */
  receive(
    origin: string,
    topic: Topic,
    numbers: { readonly seq: number; readonly count: number; readonly onDemand?: boolean; readonly time?: number },
    nowMs: number,
  ): Receipt | undefined {
    const originBook = this.#origin(origin, nowMs)
    const book =
      originBook?.topics.get(topic) ??
      (originBook && this.#addTopic(originBook, topic, { joinAt: numbers.seq, isProvisional: true, nowMs }))
    const acceptedBefore = book?.ledger.accepted ?? 0
    const fresh = book?.ledger.receive(numbers.seq, numbers.count, nowMs)
    if (book === undefined || fresh === undefined) {
      this.refusedFrames += 1
      return undefined
    }
    if (numbers.time !== undefined) book.origin.tail.frame(book.ledger.accepted - acceptedBefore, { timeMs: numbers.time, nowMs })
    this.#dirty.add(book)
    if (book.ledger.hasHoles) this.#holed.add(book)
    if (numbers.onDemand) for (const { from, to } of fresh) book.onDemand += to - from
    return fresh.length > 0 ? { book, fresh } : undefined
  }

  /** Takes what an origin says about itself. Returns whether any of it is news that a restart must not forget. */
  announce(origin: string, manifest: Manifest, nowMs: number, timeMs?: number): boolean {
    const originBook = this.#origin(origin, nowMs)
    if (originBook === undefined) return false
    let isNews = manifest.final || (manifest.who !== undefined && originBook.who === undefined)
    originBook.everyMs = Math.min(Math.max(manifest.everyMs, 1), everyMsMax)
    if (manifest.who !== undefined) originBook.who = manifest.who
    let heardOf = 0
    for (const [topic, told] of manifest.topics) {
      const known = originBook.topics.get(topic)
      // A topic whose records nobody asked for need not be followed to show how many there were.
      // Of what it had acknowledged when its spool kept nothing, an earlier run left word.
      const note = readBookNote(told.note)
      const joinAt = Math.min(told.resume, note?.joinAt ?? told.resume)
      const book = known ?? this.#addTopic(originBook, topic, { joinAt, isProvisional: false, nowMs })
      if (book === undefined) continue
      book.filteredAtOrigin = told.filtered
      book.shedAtOrigin = told.shed
      // Of a topic nobody here asked for nothing is missing.
      if (!book.isWanted) {
        this.#settleUnwanted(book, told.resume)
        continue
      }
      if (book.isProvisional) {
        isNews = true
        book.ledger.joinEarlier(joinAt, nowMs)
        book.isProvisional = false
        book.kept = Math.min(book.kept, book.ledger.joinAt)
        this.#dirty.add(book)
      }
      const { accepted } = book.ledger
      // This run acknowledges nothing behind the frontier: whoever did came before it.
      if ((book.isRestored || note !== undefined) && told.resume > book.ledger.frontier)
        this.#settleRestored(book, told.resume, note, nowMs)
      book.ledger.announce(told, nowMs)
      if (book.ledger.accepted !== accepted) isNews = true
      heardOf += book.ledger.accepted - accepted
      if (book.ledger.hasHoles) this.#holed.add(book)
      // An acknowledgement got lost on the way.
      if (told.resume < book.kept) this.#acknowledgements.add(book)
    }
    if (timeMs !== undefined) originBook.tail.manifest(heardOf, { timeMs, nowMs }, originBook.everyMs)
    for (const { topic, from, to } of manifest.gone) {
      const book = originBook.topics.get(topic)
      book?.ledger.lose(from, to, 'ring_evicted')
      if (book !== undefined) this.#dirty.add(book)
    }
    if (manifest.final) {
      originBook.state = 'finished'
      originBook.finishedAtMs = nowMs
      originBook.isByeOwed = true
      originBook.isGivenUp = false
      this.#byes.add(originBook)
    }
    return isNews
  }

  /** Its records are for live tails only: whatever came is done with, and its origin need not hold it. */
  #settleUnwanted(book: TopicBook, resume: number): void {
    if (book.isProvisional) {
      book.isProvisional = false
      this.#dirty.add(book)
    } else if (resume < book.kept) this.#acknowledgements.add(book)
  }

  /**
   * What was acknowledged before a restart and is not in the spool: it was written without it while the disk took
   * nothing, or was lost then, and the note says so. Or the spool has been damaged, and nobody has it.
   */
  #settleRestored(book: TopicBook, resume: number, note: BookNote | undefined, nowMs: number): void {
    book.ledger.announce({ sent: resume, lead: resume, trail: 0 }, nowMs)
    for (const { from, to, reason } of note?.losses ?? []) book.ledger.lose(from, Math.min(to, resume), reason)
    for (const { from, to } of book.ledger.missingBelow(resume)) {
      if (this.isDamaged) book.ledger.lose(from, to, 'spool_damaged')
      else {
        book.ledger.receive(from, to - from, nowMs)
        book.notDurable += to - from
      }
    }
    this.#dirty.add(book)
  }

  /** Books a range as lost that was booked so before a restart. */
  loseAgain(
    loss: { readonly origin: string; readonly topic: Topic; readonly from: number; readonly to: number; readonly reason: LossReason },
    nowMs: number,
  ): void {
    const originBook = this.#origin(loss.origin, nowMs)
    const book =
      originBook?.topics.get(loss.topic) ??
      (originBook && this.#addTopic(originBook, loss.topic, { joinAt: loss.from, isProvisional: true, nowMs }))
    book?.ledger.announce({ sent: loss.to, lead: loss.to, trail: 0 }, nowMs)
    book?.ledger.lose(loss.from, loss.to, loss.reason)
  }

  /** What has been booked as lost since the last call. */
  takeLosses(): readonly BookedLoss[] {
    const losses = this.#losses
    if (losses.length > 0) this.#losses = []
    return losses
  }

  /** What has come since the last call and has yet to be kept. */
  takeCommits(): Commit[] {
    // Where a provisional book's frontier lies, only a manifest can say; it may come before this commit is done.
    const frontierOf = (book: TopicBook) => (book.isProvisional ? 0 : book.ledger.frontier)
    const commits = [...this.#dirty].map((book) => ({ book, frontier: frontierOf(book), received: keepable(book) }))
    this.#dirty.clear()
    return commits
  }

  /** What the commits stand for is kept: in the spool, or without it by every sink. */
  committed(commits: readonly Commit[]): void {
    for (const { book, frontier, received } of commits) {
      const records = book.isWanted ? Math.max(0, received - book.spooled - book.notDurable) : 0
      const notDurable = Math.min(records, book.unspooled)
      book.unspooled -= notDurable
      book.notDurable += notDurable
      book.spooled += records - notDurable
      // What lies before the first record that came may still be on its way: only a manifest says where to begin.
      if (book.isProvisional) continue
      book.kept = Math.max(book.kept, frontier)
      if (book.kept > book.acknowledged) this.#acknowledgements.add(book)
    }
  }

  /** These could not be kept, or not whole; they come again with the next {@link takeCommits} and {@link takeByes}. */
  postpone(commits: readonly Commit[], byes: readonly OriginBook[]): void {
    for (const { book } of commits) this.#dirty.add(book)
    for (const book of byes) {
      book.isByeOwed = true
      this.#byes.add(book)
    }
  }

  /** Topics whose origins are to be told how far they are kept. */
  takeAcknowledgements(): TopicBook[] {
    const books = [...this.#acknowledgements]
    this.#acknowledgements.clear()
    for (const book of books) book.acknowledged = book.kept
    return books
  }

  /** The spool says again what notes said: who holds one is told anew, without. */
  takeNotesBack(): void {
    for (const { topics } of this.origins.values()) {
      for (const book of topics.values()) {
        if (book.note === undefined) continue
        book.note = undefined
        this.#acknowledgements.add(book)
      }
    }
  }

  /** Origins that said goodbye and wait for the answer. Only to be called when everything they sent is kept. */
  takeByes(): OriginBook[] {
    const owed = [...this.#byes].filter((book) => book.isByeOwed)
    this.#byes.clear()
    for (const book of owed) book.isByeOwed = false
    return owed
  }

  /**
   * Looks at holes that are due, and at origins that have gone quiet.
   *
   * @param isRefused - Whether records of a topic cannot be taken now. Asking for more of them would make it worse.
   */
  tick(nowMs: number, isRefused: (topic: Topic) => boolean): Ask[] {
    for (const origin of this.origins.values()) this.#age(origin, nowMs)
    const asks: Ask[] = []
    const rooms = new Map<OriginBook, { ranges: number; records: number }>()
    for (const book of this.#holed) {
      const { origin } = book
      if (!book.ledger.hasHoles) this.#holed.delete(book)
      // A silent origin hears nothing; how long that may go on is decided for all it holds at once.
      if (!book.ledger.hasHoles || origin.state === 'silent' || origin.state === 'unclean' || isRefused(book.topic)) continue
      let room = rooms.get(origin)
      if (room === undefined) {
        room = this.#repairRoom(origin, nowMs)
        rooms.set(origin, room)
      }
      const lostBefore = book.ledger.lostRecords
      const ranges = room.records > 0 && room.ranges > 0 ? book.ledger.due(nowMs, room) : []
      if (origin.repair.isOpen(nowMs)) book.ledger.loseOlder(nowMs - repairBreaker.heldMs, 'overload')
      if (book.ledger.lostRecords !== lostBefore) this.#dirty.add(book)
      room.ranges -= ranges.length
      if (ranges.length === 0) continue
      asks.push({ book, ranges })
      origin.repair.asked(ranges.reduce((records, { from, to }) => records + to - from, 0))
    }
    return asks
  }

  /** What may be asked of an origin now: within its credit, and only while asking is of use. */
  #repairRoom(origin: OriginBook, nowMs: number): { ranges: number; records: number } {
    let [repaired, outstanding] = [0, 0]
    for (const { ledger } of origin.topics.values()) {
      repaired += ledger.repaired
      outstanding += ledger.outstanding(nowMs)
    }
    origin.repair.look(repaired, nowMs)
    return { ranges: askedRangesMax, records: origin.repair.isOpen(nowMs) ? 0 : repairCreditRecords - outstanding }
  }

  #age(origin: OriginBook, nowMs: number): void {
    const quietMs = nowMs - origin.lastHeardAtMs
    if (origin.state === 'finished') {
      if (!origin.isGivenUp && nowMs - origin.finishedAtMs >= finalAfterByeMs) this.#giveUp(origin, nowMs)
      if (quietMs >= finishedShownMs && !origin.isByeOwed && isKept(origin)) this.#forget(origin, nowMs)
      return
    }
    if (!origin.isGivenUp && quietMs > goneAfterMs && origin.state === 'unclean') this.#giveUp(origin, nowMs)
    if (quietMs > uncleanAfterMs) this.#unclean(origin)
    else if (quietMs > silentAfterIntervals * origin.everyMs) origin.state = 'silent'
  }

  #unclean(origin: OriginBook): void {
    if (origin.state !== 'unclean') this.#onUnclean(origin)
    origin.state = 'unclean'
  }

  /** Nothing more will come from this origin: what it accepted and never sent is lost too. */
  #giveUp(origin: OriginBook, nowMs: number): void {
    origin.isGivenUp = true
    for (const book of origin.topics.values()) {
      const { lead } = book.ledger
      book.ledger.announce({ sent: lead, lead, trail: 0 }, nowMs)
      if (book.ledger.loseAll('origin_gone') > 0) this.#dirty.add(book)
    }
  }

  #origin(origin: string, nowMs: number): OriginBook | undefined {
    let book = this.origins.get(origin)
    if (book === undefined) {
      if (this.origins.size >= originsMax && !this.#forgetOne(nowMs)) return undefined
      book = {
        origin,
        who: undefined,
        state: 'live',
        topics: new Map(),
        lastHeardAtMs: nowMs,
        everyMs: everyMsMax,
        finishedAtMs: Number.POSITIVE_INFINITY,
        isByeOwed: false,
        isGivenUp: false,
        repair: new RepairBreaker(),
        tail: new UnknownTail(),
      }
      this.origins.set(origin, book)
    }
    book.lastHeardAtMs = nowMs
    if (book.state === 'silent' || book.state === 'unclean') {
      for (const { ledger } of book.topics.values()) ledger.askAnew(nowMs)
      book.state = 'live'
      book.isGivenUp = false
    }
    return book
  }

  #addTopic(
    origin: OriginBook,
    topic: Topic,
    { joinAt, isProvisional, nowMs }: { readonly joinAt: number; readonly isProvisional: boolean; readonly nowMs: number },
  ): TopicBook | undefined {
    if (origin.topics.size >= topicsPerOriginMax) return undefined
    if (this.#topicBooks >= topicBooksMax && !this.#forgetOne(nowMs, origin)) return undefined
    const isWanted = this.#wanted.matches(topic)
    const book: TopicBook = {
      topic,
      origin,
      // Of a topic nobody here asked for nothing is missing.
      ledger: new StreamLedger(joinAt, repairingPolicy, ({ from, to }, reason) => {
        if (isWanted) this.#losses.push({ origin, topic, from, to, reason })
      }),
      isWanted,
      sinks: Array.from({ length: this.#sinkCount }, () => ({ pending: 0, expired: 0, rejected: 0 })),
      spooled: 0,
      notDurable: 0,
      unspooled: 0,
      acknowledged: joinAt,
      kept: joinAt,
      isProvisional,
      onDemand: 0,
      filteredAtOrigin: 0,
      shedAtOrigin: 0,
      isRestored: false,
      note: undefined,
    }
    origin.topics.set(topic, book)
    this.#topicBooks += 1
    return book
  }

  /** Forgets a finished or unclean origin that has topics to give up, the longest known first. False when there is none. */
  #forgetOne(nowMs: number, spared?: OriginBook): boolean {
    if (nowMs < this.#searchAgainAtMs) return false
    for (const origin of this.origins.values()) {
      if (origin === spared || (origin.state !== 'finished' && origin.state !== 'unclean') || !isKept(origin)) continue
      // Room for a topic comes only from an origin that has some.
      if (spared !== undefined && origin.topics.size === 0) continue
      this.#forget(origin, nowMs)
      return true
    }
    this.#searchAgainAtMs = nowMs + searchAgainMs
    return false
  }

  /** Its totals stay. */
  #forget(origin: OriginBook, nowMs: number): void {
    this.#giveUp(origin, nowMs)
    this.#retiredRepairs = addRepairs(this.#retiredRepairs, origin)
    for (const book of origin.topics.values()) {
      this.#onForgotten(book)
      addTotals(this.#retired, topicTotals(book))
      addAsides(this.#retiredAsides, topicAsides(book))
      this.#holed.delete(book)
    }
    this.#topicBooks -= origin.topics.size
    this.origins.delete(origin.origin)
  }

  /** Everything a book has received is in the spool. It is acknowledged again once that is known to be on disk. */
  restored(book: TopicBook): void {
    if (book.isWanted) book.spooled = keepable(book) - book.notDurable
    book.isRestored = true
    this.#dirty.add(book)
  }

  /** Of origins that have been forgotten. To be kept on disk with the rest. */
  get retired(): { readonly totals: Totals; readonly asides: Asides } {
    return { totals: this.#retired, asides: this.#retiredAsides }
  }

  /** Puts back an origin as it was before a restart. */
  restoreOrigin(name: string, origin: Pick<OriginBook, 'who' | 'state' | 'everyMs' | 'isGivenUp'>, nowMs: number): OriginBook | undefined {
    const book = this.#origin(name, nowMs)
    if (book === undefined) return undefined
    Object.assign(book, origin)
    if (origin.state === 'finished') book.finishedAtMs = nowMs
    if (origin.state === 'unclean') book.lastHeardAtMs = nowMs - uncleanAfterMs
    return book
  }

  restoreTopic(origin: OriginBook, topic: Topic, restore: (book: TopicBook) => void, nowMs: number): void {
    const book = this.#addTopic(origin, topic, { joinAt: 0, isProvisional: false, nowMs })
    if (book === undefined) return
    restore(book)
    if (book.ledger.hasHoles) this.#holed.add(book)
  }

  totals(): Totals {
    const totals = noTotals()
    addTotals(totals, this.#retired)
    for (const origin of this.origins.values()) for (const book of origin.topics.values()) addTotals(totals, topicTotals(book))
    return totals
  }

  /** What was asked for, and what of it came. */
  repairs(nowMs: number): Repairs & { readonly isBreakerOpen: boolean } {
    let repairs = this.#retiredRepairs
    let isBreakerOpen = false
    for (const origin of this.origins.values()) {
      repairs = addRepairs(repairs, origin)
      if (origin.repair.isOpen(nowMs)) isBreakerOpen = true
    }
    return { ...repairs, isBreakerOpen }
  }

  /** Of everything since the start, like {@link totals}. */
  asides(): Asides {
    const asides = { ...this.#retiredAsides }
    for (const origin of this.origins.values()) for (const book of origin.topics.values()) addAsides(asides, topicAsides(book))
    return asides
  }
}

/** Records received that are for the sinks. */
function keepable(book: TopicBook): number {
  return book.ledger.received - book.onDemand
}

/** Whether everything that came from an origin is kept and delivered. A commit that is under way would go to a forgotten book. */
function isKept(origin: OriginBook): boolean {
  for (const book of origin.topics.values()) {
    if (!book.isWanted) continue
    if (book.spooled + book.notDurable < keepable(book) || book.sinks.some(({ pending }) => pending > 0)) return false
  }
  return true
}

/** The numbers of one topic; in flight is what is neither delivered nor given up yet, wherever it is. */
export function topicTotals(book: TopicBook): Totals {
  if (!book.isWanted) return noTotals()
  const accepted = book.ledger.accepted - book.onDemand
  const received = keepable(book)
  // A record is delivered when every sink has it, and lost to one sink is not delivered.
  let [delivered, expired, rejected] = [received, 0, 0]
  for (const sink of book.sinks) {
    delivered = Math.min(delivered, received - sink.pending - sink.expired - sink.rejected)
    expired = Math.max(expired, sink.expired)
    rejected = Math.max(rejected, sink.rejected)
  }
  rejected = Math.min(rejected, received - delivered - expired)
  return {
    accepted,
    delivered,
    lost: Object.fromEntries(book.ledger.lost),
    inFlight: accepted - delivered - expired - rejected - book.ledger.lostRecords,
    received,
    // What is on its way to the disk counts as spooled: it is told apart when the disk has answered.
    spooled: received - book.notDurable,
    notDurable: book.notDurable,
    expired,
    rejected,
    pending: received - delivered - expired - rejected,
  }
}

function noTotals(): Totals {
  return {
    accepted: 0,
    delivered: 0,
    lost: {},
    inFlight: 0,
    received: 0,
    spooled: 0,
    notDurable: 0,
    expired: 0,
    rejected: 0,
    pending: 0,
  }
}

export function topicAsides(book: TopicBook): Asides {
  const { received, duplicates } = book.ledger
  return { filtered: book.filteredAtOrigin + (book.isWanted ? book.onDemand : received), duplicates }
}

function addRepairs(sum: Repairs, { repair, topics }: OriginBook): Repairs {
  let { recordsRepaired } = sum
  for (const { ledger } of topics.values()) recordsRepaired += ledger.repaired
  return { requests: sum.requests + repair.requests, recordsAsked: sum.recordsAsked + repair.recordsAsked, recordsRepaired }
}

function addAsides(sum: Asides, part: Asides): void {
  sum.filtered += part.filtered
  sum.duplicates += part.duplicates
}

const addedFields = ['accepted', 'delivered', 'inFlight', 'received', 'spooled', 'notDurable', 'expired', 'rejected', 'pending'] as const

function addTotals(sum: Totals, part: Totals): void {
  for (const field of addedFields) sum[field] += part[field]
  for (const [reason, records] of Object.entries(part.lost)) {
    sum.lost[reason as LossReason] = (sum.lost[reason as LossReason] ?? 0) + records
  }
}

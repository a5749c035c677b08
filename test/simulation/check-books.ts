/** Holds what the collectors' books say against what the programs did. */
import { type TopicBook, topicTotals } from '../../collector/ledger.ts'
import type { Topic } from '../../wire/topic.ts'
import type { SimulatedApplication } from './simulated-application.ts'
import type { SimulatedCollector } from './simulated-collector.ts'

export interface Checked {
  readonly collectors: readonly SimulatedCollector[]
  readonly applications: readonly SimulatedApplication[]
}

export interface CheckedBook {
  readonly accepted: number
  readonly delivered: number
  readonly lost: Readonly<Record<string, number>>
  /** Accepted by a program that ended without goodbye, and never told to anybody. */
  readonly unknownTail: number
  /** The program runs, or said goodbye: nothing about it is unknown. */
  readonly isExact: boolean
}

/** The books while the origins are there, or after their goodbye: exact. */
export function checkSettled(world: Checked, when: string): { readonly violations: string[]; readonly books: CheckedBook[] } {
  const [violations, books]: [string[], CheckedBook[]] = [[], []]
  for (const collector of world.collectors) {
    const ledger = collector.run?.ledger ?? never(`${collector.name} is up in calm weather`)
    for (const application of world.applications) {
      const origin = ledger.origins.get(application.agent.origin)
      const isExact = application.state === 'running' || origin?.state === 'finished'
      if (!isExact) continue
      for (const [topic, accepted] of application.accepted()) {
        if (!collector.wants(topic) || accepted === 0) continue
        const about = `${when}: ${collector.name} ${application.agent.origin} ${topic}`
        const book = origin?.topics.get(topic)
        if (book === undefined) violations.push(`${about}: nothing is known of ${accepted} records`)
        else books.push({ ...checkBook(book, { collector, application, accepted, about, violations }), isExact })
      }
    }
    checkPlace(collector, when, violations)
  }
  return { violations, books }
}

/** The books of origins that ended without goodbye, when they have been given up: exact up to a tail that is flagged. */
export function checkUnclean(world: Checked): { readonly violations: string[]; readonly books: CheckedBook[] } {
  const [violations, books]: [string[], CheckedBook[]] = [[], []]
  for (const collector of world.collectors) {
    const ledger = collector.run?.ledger ?? never(`${collector.name} is up in calm weather`)
    for (const application of world.applications) {
      const origin = ledger.origins.get(application.agent.origin)
      if (origin === undefined || origin.state === 'finished') continue
      const about = `at the end: ${collector.name} ${application.agent.origin}`
      if (origin.state !== 'unclean') violations.push(`${about}: is ${origin.state}, not unclean`)
      const accepted = application.accepted()
      for (const [topic, book] of origin.topics) {
        if (!book.isWanted) continue
        books.push({
          ...checkBook(book, { collector, application, accepted: accepted.get(topic) ?? 0, about: `${about} ${topic}`, violations }),
          isExact: false,
        })
      }
    }
    checkPlace(collector, 'at the end', violations)
  }
  return { violations, books }
}

/** What is true at every moment, whatever is going on. */
export function checkRunning(world: Checked): string[] {
  const violations: string[] = []
  for (const collector of world.collectors) {
    for (const { origin, topics } of collector.run?.ledger?.origins.values() ?? []) {
      for (const [topic, book] of topics) {
        const { accepted, delivered, lost, expired, rejected, inFlight } = topicTotals(book)
        const about = `meanwhile: ${collector.name} ${origin} ${topic}`
        if (accepted !== delivered + sum(lost) + expired + rejected + inFlight) violations.push(`${about}: the books do not add up`)
        if (inFlight < 0) violations.push(`${about}: ${inFlight} in flight`)
        const kept = collector.content.kept(origin, topic).size
        if (delivered > kept) violations.push(`${about}: ${delivered} booked as delivered, ${kept} at the sink`)
      }
    }
  }
  return violations
}

function checkPlace(collector: SimulatedCollector, when: string, violations: string[]): void {
  const about = `${when}: ${collector.name}`
  const { duplicates, forged } = collector.content
  if (forged > 0) violations.push(`${about}: ${forged} batches are not what their origin wrote`)
  if (duplicates > 0) violations.push(`${about}: ${duplicates} records came to the sink twice`)
  const mostAskedFor = collector.run?.mostAskedFor
  if (mostAskedFor !== undefined) violations.push(`${about}: asked too often for ${mostAskedFor}`)
  const totals = collector.run?.ledger?.totals()
  if (totals === undefined) return
  const lost = sum(totals.lost)
  const { accepted, delivered, expired, rejected, inFlight, received, spooled, notDurable, pending } = totals
  if (accepted !== delivered + lost + expired + rejected + inFlight) violations.push(`${about}: what was accepted does not add up`)
  if (received !== spooled + notDurable) violations.push(`${about}: what was received does not add up`)
  if (received !== delivered + expired + rejected + pending) violations.push(`${about}: what was kept does not add up`)
}

/**
 * Records at the sink that the books may call lost: its spool took nothing, and it was killed before it had told their
 * origin that it has them; or it had, and the origin did not live to say so to the next run.
 */
function untold({ forgotten }: SimulatedCollector, origin: string, topic: Topic, isExact: boolean): number {
  if (isExact) return forgotten.get(`${origin} ${topic}`) ?? 0
  return forgotten.size > 0 ? Number.POSITIVE_INFINITY : 0
}

interface Facts {
  readonly collector: SimulatedCollector
  readonly application: SimulatedApplication
  readonly accepted: number
  readonly about: string
  readonly violations: string[]
}

function checkBook(book: TopicBook, { collector, application, accepted, about, violations }: Facts): Omit<CheckedBook, 'isExact'> {
  const totals = topicTotals(book)
  const { topic } = book
  const kept = collector.content.kept(application.agent.origin, topic).size
  const lost = sum(totals.lost)
  const isExact = application.state === 'running' || book.origin.state === 'finished'
  const wrong = (what: string) => violations.push(`${about}: ${what}`)
  if (book.ledger.joinAt !== 0 && !book.isProvisional) wrong(`joined at ${book.ledger.joinAt}, not at the beginning`)
  if (totals.inFlight !== 0) wrong(`${totals.inFlight} of ${totals.accepted} records are still in flight`)
  const delivered = totals.delivered
  if (delivered > kept || delivered < kept - untold(collector, application.agent.origin, topic, isExact))
    wrong(`${delivered} booked as delivered, ${kept} at the sink`)
  if (book.isProvisional && isExact) wrong('nobody has said where it begins')
  if (totals.accepted !== delivered + lost + totals.inFlight)
    wrong(`${totals.accepted} accepted are not ${delivered} delivered and ${lost} lost`)
  if (isExact && totals.accepted !== accepted) wrong(`${accepted} accepted there, ${totals.accepted} here`)
  if (totals.accepted > accepted) wrong(`more accepted here (${totals.accepted}) than there (${accepted})`)
  checkLosses(book, application, wrong)
  return { accepted, delivered, lost: totals.lost, unknownTail: accepted - totals.accepted }
}

/** Nothing is booked as lost that its origin had not given up, nor as gone while its origin is there. */
function checkLosses(book: TopicBook, application: SimulatedApplication, wrong: (what: string) => void): void {
  const given = (application.evicted.get(book.topic) ?? 0) + shedAtEnd(application, book.topic)
  const evicted = book.ledger.lost.get('ring_evicted') ?? 0
  const gone = book.ledger.lost.get('origin_gone') ?? 0
  if (evicted > given) wrong(`${evicted} booked as evicted, ${given} were`)
  if (gone > 0 && application.state === 'running') wrong(`${gone} booked as gone with an origin that is there`)
}

function shedAtEnd(application: SimulatedApplication, topic: Topic): number {
  const shed = application.agent.stream(topic)?.shed
  return (shed?.get('closed') ?? 0) + (shed?.get('failed') ?? 0)
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}

function never(what: string): never {
  throw new Error(`not so: ${what}`)
}

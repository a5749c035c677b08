/** The one thing every scenario asks: is each record that was logged in the files once, or in the books as lost. */
import type { BooksStatus, CollectorStatus } from '../../collector/status.ts'
import type { TestCollector } from '../support/processes.ts'
import type { Truth } from './app-words.mjs'
import type { Findings } from './findings.ts'
import type { KeptLines } from './kept-lines.ts'
import type { Level } from './made-line.mjs'
import type { TortureContext } from './scenario.ts'

export const sumOf = (counts: Partial<Record<string, number>>): number =>
  Object.values(counts).reduce<number>((sum, count) => sum + (count ?? 0), 0)

export const madeBy = (truths: readonly Truth[]): number => truths.reduce((sum, { made }) => sum + made, 0)

/** Every line is whole and one that was made, and none stands twice. */
export function checkWhole(findings: Findings, kept: KeptLines): void {
  findings.equal('lines torn', kept.torn, 0)
  findings.equal('lines nobody made', kept.foreign, 0)
  findings.equal('lines that stand twice', kept.twice, 0)
}

/** Of every application every line is there. */
export function checkComplete(findings: Findings, kept: KeptLines, truths: readonly Truth[]): void {
  let missing = 0
  let surplus = 0
  for (const { app, made } of truths) {
    const { lines, end } = kept.app(app)
    missing += made - lines
    surplus += Math.max(0, end - made)
  }
  findings.equal('lines missing', missing, 0)
  findings.equal('lines beyond the count of their application', surplus, 0)
}

/** What a collector's books have to be: everything delivered. */
export function checkBooks(findings: Findings, books: BooksStatus, made: number): void {
  findings.equal('books: accepted', books.accepted, made)
  findings.equal('books: delivered', books.delivered, made)
  findings.equal('books: lost', books.lost, {})
  findings.equal('books: in flight', books.inFlight, 0)
}

/** With loss: for every application and level the books are exact, and the files hold what they call delivered. */
export function checkExactLoss(
  findings: Findings,
  status: CollectorStatus,
  kept: KeptLines,
  truths: readonly (Truth & { readonly service: string })[],
): Partial<Record<Level, number>> {
  const lostByLevel: Partial<Record<Level, number>> = {}
  for (const { app, service, byLevel } of truths) {
    for (const [level, made] of Object.entries(byLevel) as [Level, number][]) {
      const books = booksOf(status, `log.${level}.${service}.`)
      const inFiles = kept.app(app).byLevel[level] ?? 0
      const lost = sumOf(books.lost)
      findings.equal(`${app} ${level}: accepted, beside what it made`, books.accepted, made)
      findings.equal(`${app} ${level}: delivered, beside its lines in the files`, books.delivered, inFiles)
      findings.equal(`${app} ${level}: lost, beside its lines that are in no file`, lost, made - inFiles)
      findings.equal(`${app} ${level}: in flight`, books.inFlight, 0)
      lostByLevel[level] = (lostByLevel[level] ?? 0) + made - inFiles
    }
  }
  return lostByLevel
}

function booksOf(status: CollectorStatus, topic: string): Pick<BooksStatus, 'accepted' | 'delivered' | 'lost' | 'inFlight'> {
  const sum = { accepted: 0, delivered: 0, lost: {} as Record<string, number>, inFlight: 0 }
  for (const origin of status.origins) {
    const books = origin.topics[topic]
    if (books === undefined) continue
    sum.accepted += books.accepted
    sum.delivered += books.delivered
    sum.inFlight += books.inFlight
    for (const [reason, records] of Object.entries(books.lost)) sum.lost[reason] = (sum.lost[reason] ?? 0) + records
  }
  return sum
}

/** The books once nothing is on its way any more; as they are when that takes too long, for the checks to say so. */
export async function settledStatus(context: TortureContext, collector: TestCollector, timeoutMs = 15_000): Promise<CollectorStatus> {
  const untilMs = performance.now() + timeoutMs
  return context.until(
    async () => {
      const status = await askStatus(collector)
      return (status.totals.inFlight === 0 || performance.now() > untilMs) && status
    },
    { what: 'the collector answers', timeoutMs: timeoutMs + 10_000, everyMs: 50 },
  )
}

async function askStatus(collector: TestCollector): Promise<CollectorStatus> {
  try {
    return await collector.status()
  } catch (error) {
    const { end, stderr } = collector.process
    throw new Error(`the collector (${end === undefined ? 'running' : JSON.stringify(end)}) does not answer:\n${stderr}`, { cause: error })
  }
}

/**
 * Applications are killed (SIGKILL) at any moment, and end in every other way there is. Whatever they made is in the
 * files once or not at all; the books add up; an end without goodbye is flagged, with a bound on what nobody can know.
 *
 * All of them on one collector, because it takes 30 s of silence until it says that an application is gone.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BooksStatus, CollectorStatus, OriginStatus } from '../../../collector/status.ts'
import { batchRecordsMax } from '../../../wire/limits.ts'
import { type RunningProcess, root, startCollector, startNode, type TestCollector, tempDir } from '../../support/processes.ts'
import { checkWhole, sumOf } from '../conservation.ts'
import type { Findings } from '../findings.ts'
import { KeptLines } from '../kept-lines.ts'
import type { Making } from '../made-line.mjs'
import { PlannedApp } from '../planned-app.ts'
import { type Scenario, scenario, type TortureContext } from '../scenario.ts'

/** Killed at the latest so long after it began to log. */
const killedAfterMsMax = 1_200
const linesPerSecond = 3_000
const cleanEnds = ['natural', 'exit', 'exception', 'rejection', 'sigterm-handled'] as const
const uncleanEnds = ['sigterm', 'worker-terminated'] as const
/** A collector calls an origin unclean after 30 s. */
const uncleanTimeoutMs = 60_000

/** One application that has ended: what it had begun to log, by its own count. */
interface Ended {
  readonly app: string
  readonly how: 'killed' | (typeof cleanEnds)[number] | (typeof uncleanEnds)[number]
  readonly pid: number
  readonly begun: number
}

/** What the checks on the unknown tail begin with: a promise of its own. */
export const unknownTail = 'unknown tail'

export const killedApps: Scenario = scenario({
  name: 'killed-apps',
  promise: 'applications that are killed leave whole lines, none twice, and books that add up; only ends without goodbye are flagged',
  short: { kills: 15, lanes: 3 },
  long: { kills: 100, lanes: 5 },
  async run(context, findings, { kills, lanes }) {
    const making = { seed: context.random.seed, mix: 'all', padBytes: 120 } as const
    const collector = context.use(await startCollector())
    const counts = context.use(await tempDir())
    const ended: Ended[] = []
    let started = 0
    const killInTurn = async () => {
      while (started < kills) ended.push(await kill(context, collector, making, join(counts.path, `killed-${started}`), started++))
    }
    const endAll = async () => {
      for (const how of [...uncleanEnds, ...cleanEnds]) ended.push(await end(context, collector, making, join(counts.path, how), how))
    }
    await Promise.all([endAll(), ...Array.from({ length: lanes }, killInTurn)])

    const isOver = ({ state }: OriginStatus) => state === 'unclean' || state === 'finished'
    const status = await context.until(
      async () => {
        const now = await collector.status()
        return now.origins.every(isOver) && now
      },
      { what: 'the collector knows that all are gone', timeoutMs: uncleanTimeoutMs, everyMs: 200 },
    )
    const kept = KeptLines.read(collector.dir, making)
    findings.note('killed', ended.filter(({ how }) => how === 'killed').length)
    findings.note(
      'log calls begun',
      ended.reduce((sum, { begun }) => sum + begun, 0),
    )
    findings.note('lines in the files', kept.lines)
    checkWhole(findings, kept)
    findings.equal('killed', ended.filter(({ how }) => how === 'killed').length, kills)
    findings.equal('totals: delivered, beside the lines in the files', status.totals.delivered, kept.lines)
    const { accepted, delivered, lost, inFlight } = status.totals
    findings.equal('totals: accepted', accepted, delivered + sumOf(lost) + inFlight)
    // What a killed application had announced and not sent: it may come back for ten minutes, for all a collector knows.
    const unclean = status.origins.filter(({ state }) => state === 'unclean')
    findings.equal(
      'totals: in flight, beside what unclean origins announced',
      inFlight,
      sumOver(unclean, (books) => books.inFlight),
    )
    for (const one of ended) checkEnd(findings, one, status, kept)
    checkTails(findings, ended, status)
  },
})

async function kill(context: TortureContext, collector: TestCollector, making: Making, countFile: string, n: number): Promise<Ended> {
  const app = `killed-${n}`
  const plan = { apps: [{ app, service: `killed-${n % 2}` }], making, linesPerSecond, countFile }
  const afterMs = context.random.integer(0, killedAfterMsMax)
  await using planned = new PlannedApp(context, plan, collector.env)
  await planned.process.says(/^ready/m)
  await context.lasts(afterMs)
  planned.process.kill('SIGKILL')
  const { signal } = await planned.process.ended
  if (signal !== 'SIGKILL') throw new Error(`expected ${app} to be killed:\n${planned.process.stderr}`)
  return { app, how: 'killed', pid: planned.process.pid, begun: readCount(countFile) }
}

async function end(
  context: TortureContext,
  collector: TestCollector,
  making: Making,
  countFile: string,
  how: Exclude<Ended['how'], 'killed'>,
): Promise<Ended> {
  const plan = { app: how, service: how, making, countFile }
  const running: RunningProcess = context.use(
    startNode([join(root, 'test/torture/apps/ends.mjs'), how, JSON.stringify(plan)], { env: collector.env }),
  )
  await context.until(() => running.end, { what: `${how} comes to its end` })
  return { app: how, how, pid: running.pid, begun: readCount(countFile) }
}

/** Log calls that had begun. The last of them may not have come to its end; none is counted by a file that is still empty. */
function readCount(countFile: string): number {
  const bytes = readFileSync(countFile)
  return bytes.length === 0 ? 0 : Number(bytes.readBigUInt64LE())
}

/** An application killed before it had met the collector is known to nobody; then nothing of it may be in the files. */
function checkEnd(findings: Findings, { app, how, pid, begun }: Ended, status: CollectorStatus, kept: KeptLines): void {
  const origins = status.origins.filter((origin) => origin.pid === pid)
  const accepted = sumOver(origins, (books) => books.accepted)
  const { lines, end: highest } = kept.app(app)
  findings.atMost(`${app}: its highest number in the files`, highest, begun)
  findings.equal(
    `${app}: accepted, beside its lines in the files, lost and in flight`,
    accepted,
    lines + sumOver(origins, (books) => sumOf(books.lost) + books.inFlight),
  )
  findings.atMost(`${app}: accepted, beside log calls begun`, accepted, begun)
  const isClean = (cleanEnds as readonly string[]).includes(how)
  const expected = isClean ? 'finished' : 'unclean'
  if (how !== 'killed' || lines > 0)
    findings.equal(
      `${app}: its state`,
      origins.map(({ state }) => state),
      [expected],
    )
  if (isClean) findings.equal(`${app}: lines in the files`, lines, begun)
  // The last call counted may not have been made.
  else if (how !== 'killed') findings.atMost(`${app}: lines missing`, begun - 1 - lines, batchRecordsMax)
}

/** `origins[].unknownTail`: how many records may have been accepted that nobody was told of, and in which time. */
interface WithUnknownTail {
  readonly unknownTail?: { readonly recordsMax: number; readonly windowMs: number } | null
}

function checkTails(findings: Findings, ended: readonly Ended[], status: CollectorStatus): void {
  for (const { app, how, pid, begun } of ended) {
    const origins = status.origins.filter((origin) => origin.pid === pid)
    const [origin] = origins
    if (origin === undefined) continue
    const { unknownTail: tail } = origin as OriginStatus & WithUnknownTail
    const isClean = (cleanEnds as readonly string[]).includes(how)
    if (isClean) {
      findings.equal(`${unknownTail} of ${app}`, tail, null)
      continue
    }
    // One call had begun and may not have come to the point where its record is accepted.
    const unknown = Math.max(0, begun - 1 - sumOver(origins, (books) => books.accepted))
    findings.note(`${app}: records nobody was told of; the bound`, [unknown, tail])
    findings.atLeast(`${unknownTail} of ${app}: recordsMax, beside what it was`, tail?.recordsMax ?? Number.NEGATIVE_INFINITY, unknown)
    findings.atLeast(`${unknownTail} of ${app}: windowMs`, tail?.windowMs ?? Number.NEGATIVE_INFINITY, 1)
  }
}

function sumOver(origins: readonly OriginStatus[], count: (books: BooksStatus) => number): number {
  return origins.reduce((sum, { topics }) => sum + Object.values(topics).reduce((all, books) => all + count(books), 0), 0)
}

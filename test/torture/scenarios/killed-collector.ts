/**
 * The collector is killed again and again while applications log. What it had acknowledged is its own to keep, what it
 * had not is sent again: nothing is lost, nothing stands twice, and the last one's books speak of all of it.
 */
import { startCollector, tempDir } from '../../support/processes.ts'
import { checkBooks, checkComplete, checkWhole, madeBy, settledStatus } from '../conservation.ts'
import { KeptLines } from '../kept-lines.ts'
import { PlannedApp } from '../planned-app.ts'
import { type Scenario, scenario } from '../scenario.ts'

const appCount = 3
const linesPerSecond = 20_000
/** Between the last start and the end of the applications. */
const calmAfterMs = 3_000

export const killedCollector: Scenario = scenario({
  name: 'killed-collector',
  promise: 'a collector that is killed again and again loses nothing, keeps nothing twice, tears nothing, and its books are exact',
  short: { kills: 6, aliveMs: { from: 1_000, to: 1_800 } },
  long: { kills: 50, aliveMs: { from: 1_000, to: 3_000 } },
  async run(context, findings, { kills, aliveMs }) {
    const making = { seed: context.random.seed, mix: 'all', padBytes: 100 } as const
    const dir = context.use(await tempDir())
    let collector = context.use(await startCollector({ dir: dir.path }))
    const apps = Array.from({ length: appCount }, (_, i) => {
      const name = `killed-${i}`
      const plan = { apps: [{ app: name, service: name }], making, linesPerSecond: linesPerSecond / appCount }
      return context.use(new PlannedApp(context, plan, collector.env))
    })
    let inMidstream = 0
    let killed = 0
    let writtenBefore = 0
    for (let i = 0; i < kills; i += 1) {
      await context.lasts(context.random.integer(aliveMs.from, aliveMs.to))
      const written = (await collector.status()).sinks['files']?.written ?? 0
      if (written > 0) inMidstream += 1
      writtenBefore += written
      collector.process.kill('SIGKILL')
      if ((await collector.process.ended).signal === 'SIGKILL') killed += 1
      collector = context.use(await startCollector({ dir: dir.path, port: collector.port }))
    }
    await context.lasts(calmAfterMs)
    const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(dir.path, making)
    const made = madeBy(truths)

    findings.note('kills', killed)
    findings.note('lines made', made)
    findings.note('lines in the files', kept.lines)
    findings.note('written by collectors that were killed', writtenBefore)
    findings.note('duplicates the last one dropped', status.totals.duplicates)
    findings.equal('kills', killed, kills)
    findings.equal('kills in the midst of the stream', inMidstream, kills)
    findings.equal(
      'records without an answer at the end',
      truths.map(({ left }) => left),
      truths.map(() => 0),
    )
    findings.equal(
      'shed by the applications',
      truths.map(({ shed }) => shed),
      truths.map(() => ({})),
    )
    checkWhole(findings, kept)
    checkComplete(findings, kept, truths)
    checkBooks(findings, status.totals, made)
  },
})

/**
 * The collector is stopped (SIGSTOP) for so long that the applications' rings overflow. Afterwards the loss is known
 * exactly, by topic and level, and it was the least important that went.
 */
import { startCollector } from '../../support/processes.ts'
import { checkExactLoss, checkWhole, madeBy, settledStatus, sumOf } from '../conservation.ts'
import { KeptLines } from '../kept-lines.ts'
import { PlannedApp } from '../planned-app.ts'
import { type Scenario, scenario } from '../scenario.ts'

const appCount = 2
const linesPerSecond = 16_000

export const stoppedCollector: Scenario = scenario({
  name: 'stopped-collector',
  promise: 'what is lost while a collector is stopped is known exactly, by topic and level, and is the least important',
  // What is shed first is a quarter of a second's lines at least; warn, error and fatal of the whole stop fit into the ring.
  short: { stoppedMs: 3_000, ringBytes: 1_048_576 },
  long: { stoppedMs: 60_000, ringBytes: 8_388_608 },
  async run(context, findings, { stoppedMs, ringBytes }) {
    const making = { seed: context.random.seed, mix: 'all', padBytes: 250 } as const
    const collector = context.use(await startCollector())
    const perApp = linesPerSecond / appCount
    const apps = Array.from({ length: appCount }, (_, i) => {
      const name = `stopped-${i}`
      return context.use(
        new PlannedApp(context, { apps: [{ app: name, service: name }], making, ringBytes, linesPerSecond: perApp }, collector.env),
      )
    })
    const written = async () => (await collector.status()).sinks['files']?.written ?? 0
    await context.until(async () => (await written()) > linesPerSecond / 2, { what: 'lines are written' })
    collector.process.kill('SIGSTOP')
    const stoppedAtMs = performance.now()
    await context.lasts(stoppedMs)
    await context.until(() => apps.every((app) => (app.lastTell?.shed ?? 0) > perApp / 4), {
      what: 'every ring overflows',
      timeoutMs: 60_000,
    })
    collector.process.kill('SIGCONT')
    findings.note('stopped for ms', Math.round(performance.now() - stoppedAtMs))
    const before = await written()
    await context.until(async () => (await written()) > before + linesPerSecond / 2, { what: 'lines are written again' })

    const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(collector.dir, making)
    findings.note('lines made', madeBy(truths))
    findings.note('lines in the files', kept.lines)
    findings.note('lost, by reason', status.totals.lost)
    checkWhole(findings, kept)
    const lost = checkExactLoss(
      findings,
      status,
      kept,
      truths.map((truth) => ({ ...truth, service: truth.app })),
    )
    findings.note('lost, by level', lost)
    findings.equal('totals: accepted', status.totals.accepted, madeBy(truths))
    findings.equal('totals: delivered', status.totals.delivered, kept.lines)
    findings.equal('reasons of loss', Object.keys(status.totals.lost), ['ring_evicted'])
    // A connection that is given up meanwhile takes with it what had been sent.
    const shed = truths.reduce((sum, truth) => sum + sumOf(truth.shed), 0)
    const evictedSent = truths.reduce((sum, truth) => sum + truth.evictedSent, 0)
    findings.note('shed unsent, evicted after they were sent, as the applications say', [shed, evictedSent])
    findings.atLeast('lost, beside what the applications say they shed', sumOf(status.totals.lost), shed)
    findings.atMost('lost, beside that and what was sent and let go', sumOf(status.totals.lost), shed + evictedSent)
    findings.atLeast('trace, debug and info lost', Math.min(lost.trace ?? 0, lost.debug ?? 0, lost.info ?? 0), 1)
    findings.equal('warn, error and fatal lost', [lost.warn, lost.error, lost.fatal], [0, 0, 0])
  },
})

/** Both links of the applications are reset every half second. What was on its way is sent again: nothing lost, nothing twice. */
import { startChaosProxy } from '../../support/chaos-proxy.ts'
import { startCollector } from '../../support/processes.ts'
import { checkBooks, checkComplete, checkWhole, madeBy, settledStatus } from '../conservation.ts'
import { KeptLines } from '../kept-lines.ts'
import { PlannedApp } from '../planned-app.ts'
import { type Scenario, scenario } from '../scenario.ts'

const appCount = 2
const linesPerSecond = 10_000
const resetEveryMs = 500

export const cutLinks: Scenario = scenario({
  name: 'cut-links',
  promise: 'links that are reset every half second lose nothing and bring nothing twice',
  short: { lastsMs: 10_000 },
  long: { lastsMs: 60_000 },
  async run(context, findings, { lastsMs }) {
    const making = { seed: context.random.seed, mix: 'all', padBytes: 150 } as const
    const collector = context.use(await startCollector())
    const data = context.use(await startChaosProxy({ target: collector.port, seed: context.random.seed }))
    const control = context.use(await startChaosProxy({ target: collector.port + 1, seed: context.random.seed }))
    const env = { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${data.port}`, SPILLWAY_CONTROL: `tcp://127.0.0.1:${control.port}` }
    const apps = Array.from({ length: appCount }, (_, i) => {
      const name = `cut-${i}`
      return context.use(
        new PlannedApp(context, { apps: [{ app: name, service: name }], making, linesPerSecond: linesPerSecond / appCount }, env),
      )
    })
    await context.until(async () => (await collector.status()).totals.delivered > 0, { what: 'lines are delivered' })
    for (let atMs = 0; atMs < lastsMs; atMs += resetEveryMs) {
      await context.lasts(resetEveryMs)
      data.reset()
      control.reset()
    }
    const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(collector.dir, making)
    findings.note('lines made', madeBy(truths))
    findings.note('connections, data and control', [data.counters.connections, control.counters.connections])
    findings.note('duplicates dropped', status.totals.duplicates)
    // Half of them at least: a connection takes 100 ms and more to come back.
    const least = (appCount * lastsMs) / resetEveryMs / 2
    findings.atLeast('data connections reset', data.counters.resets, least)
    findings.atLeast('control connections reset', control.counters.resets, least)
    findings.atLeast('duplicates dropped', status.totals.duplicates, 1)
    checkWhole(findings, kept)
    checkComplete(findings, kept, truths)
    checkBooks(findings, status.totals, madeBy(truths))
  },
})

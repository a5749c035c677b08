/** Application, collector and live tail are started in every order. Nothing the application logged is missing in the files, or from where the tail came in. */
import { freePorts, startCollector, type TestCollector } from '../../support/processes.ts'
import { checkBooks, checkComplete, checkWhole, settledStatus } from '../conservation.ts'
import type { Findings } from '../findings.ts'
import { KeptLines } from '../kept-lines.ts'
import { PlannedApp } from '../planned-app.ts'
import { RunningTail } from '../running-tail.ts'
import { type Scenario, scenario, type TortureContext } from '../scenario.ts'

type Part = 'app' | 'collector' | 'tail'

const orders: readonly (readonly Part[])[] = [
  ['app', 'collector', 'tail'],
  ['app', 'tail', 'collector'],
  ['collector', 'app', 'tail'],
  ['collector', 'tail', 'app'],
  ['tail', 'app', 'collector'],
  ['tail', 'collector', 'app'],
]
const linesPerSecond = 2_000
const app = 'ordered'

export const startOrder: Scenario = scenario({
  name: 'start-order',
  promise: 'application, collector and tail may be started in any order: nothing is missing',
  short: { rounds: 1, linesAfter: 500 },
  long: { rounds: 5, linesAfter: 2_000 },
  async run(context, findings, { rounds, linesAfter }) {
    for (let round = 0; round < rounds; round += 1) for (const order of orders) await startIn(order, context, findings, linesAfter)
  },
})

async function startIn(order: readonly Part[], context: TortureContext, findings: Findings, linesAfter: number): Promise<void> {
  const making = { seed: context.random.seed, mix: 'info', padBytes: 60 } as const
  const port = await freePorts()
  const env = { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${port}` }
  let planned: PlannedApp | undefined
  let tail: RunningTail | undefined
  let collector: TestCollector | undefined
  for (const part of order) {
    if (part === 'collector') collector = context.use(await startCollector({ port }))
    else if (part === 'app') {
      planned = context.use(new PlannedApp(context, { apps: [{ app, service: app }], making, linesPerSecond }, env))
      await context.until(() => (planned?.lastTell?.made ?? 0) > linesPerSecond / 10, { what: 'the application logs' })
    } else {
      tail = context.use(new RunningTail(`tcp://127.0.0.1:${port + 2}`, making))
      await tail.process.says(collector === undefined ? /waiting for a collector/ : /connected to/)
    }
  }
  if (planned === undefined || tail === undefined || collector === undefined) throw new Error('expected an order of all three')
  const shown = tail.shown.app(app)
  await context.until(() => shown.lines > linesAfter, { what: 'the tail shows what is logged' })
  const truths = await planned.finish()
  const made = truths[0]?.made ?? 0
  const accounted = () => (tail.first.get(app) ?? 0) + shown.lines + tail.missed
  // Not failing here, but with the numbers below.
  const untilMs = performance.now() + 10_000
  await context.until(() => accounted() === made || performance.now() > untilMs, { what: 'the tail has seen the end' })
  const status = await settledStatus(context, collector)

  const name = order.join(', ')
  findings.note(`${name}: lines made; the tail's first, shown, missed`, [made, tail.first.get(app), shown.lines, tail.missed])
  const kept = KeptLines.read(collector.dir, making)
  checkWhole(findings, kept)
  checkComplete(findings, kept, truths)
  checkBooks(findings, status.totals, made)
  findings.equal(`${name}: what the tail showed or missed since its first line`, accounted(), made)
  findings.equal(`${name}: missed by the tail`, tail.missed, 0)
  findings.equal(`${name}: shown twice`, tail.shown.twice, 0)
  await context.release()
}

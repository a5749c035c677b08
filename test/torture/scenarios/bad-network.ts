/**
 * Networks that are worse than cut: silent in one direction, in both, slow and far away. Every line is in the files or
 * in the books as lost, the applications go on at their pace, and nobody floods the network with what was sent before.
 */
import { type ChaosProxy, calm, startChaosProxy } from '../../support/chaos-proxy.ts'
import { startCollector } from '../../support/processes.ts'
import { type Tell, type Truth, tellEveryMs } from '../app-words.mjs'
import { checkExactLoss, checkWhole, madeBy, settledStatus } from '../conservation.ts'
import type { Findings } from '../findings.ts'
import { KeptLines } from '../kept-lines.ts'
import { type Making, madeLine } from '../made-line.mjs'
import { PlannedApp } from '../planned-app.ts'
import { type Scenario, scenario } from '../scenario.ts'

const appCount = 2
/** About 260 KB/s each. */
const linesPerSecondEach = 1_000
const ringBytes = 1_048_576
const faults = ['up silent', 'down silent', 'both silent', 'slow and far'] as const
/** One direction of a 2 Mbit/s line with 300 ms each way. */
const slowAndFar = { delayMs: 300, jitterMs: 20, bytesPerSecond: 250_000 }
/**
 * Between two turns of an application's event loop that should be 5 ms apart. A call that waited for the network would
 * wait for as long as the fault lasts; a busy machine of two cores takes some 100 ms away now and then.
 */
const gapMsMax = 1_000

export const badNetwork: Scenario = scenario({
  name: 'bad-network',
  promise: 'on networks that are silent, slow or far away every line is kept or counted, and applications keep their pace',
  short: { faultMs: 3_000 },
  // Longer than the watchdog takes to give a connection up.
  long: { faultMs: 25_000 },
  async run(context, findings, { faultMs }) {
    const making = { seed: context.random.seed, mix: 'all', padBytes: 200 } as const
    const collector = context.use(await startCollector())
    const data = context.use(await startChaosProxy({ target: collector.port, seed: context.random.seed }))
    const control = context.use(await startChaosProxy({ target: collector.port + 1, seed: context.random.seed + 1 }))
    const env = { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${data.port}`, SPILLWAY_CONTROL: `tcp://127.0.0.1:${control.port}` }
    const apps = Array.from({ length: appCount }, (_, i) => {
      const name = `network-${i}`
      const plan = { apps: [{ app: name, service: name }], making, ringBytes, linesPerSecond: linesPerSecondEach }
      return context.use(new PlannedApp(context, plan, env))
    })
    const delivered = async () => (await collector.status()).totals.delivered
    const flowsAgain = async () => {
      const before = await delivered()
      await context.until(async () => (await delivered()) > before + linesPerSecondEach / 10, {
        what: 'lines are delivered',
        timeoutMs: 60_000,
      })
    }
    await flowsAgain()
    for (const fault of faults) {
      const tellsBefore = apps.map((app) => app.tells.length)
      for (const proxy of [data, control]) begin(proxy, fault)
      await context.lasts(faultMs)
      for (const [i, app] of apps.entries()) checkPace(findings, `${fault}: ${app.plan.apps[0]?.app}`, app.tells.slice(tellsBefore[i]))
      for (const proxy of [data, control]) end(proxy, fault)
      await flowsAgain()
    }
    const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(collector.dir, making)

    findings.note('lines made', madeBy(truths))
    findings.note('lines in the files', kept.lines)
    findings.note('lost', status.totals.lost)
    findings.note('duplicates dropped', status.totals.duplicates)
    findings.note('up, data', data.counters.up)
    findings.note('down, control', control.counters.down)
    findings.note('connections, data and control', [data.counters.connections, control.counters.connections])
    findings.atLeast('data connections reset', data.counters.resets, 2 * appCount)
    findings.atLeast('bytes held back, data up', data.counters.up.blackholed, 1)
    findings.atLeast('bytes held back, control down', control.counters.down.blackholed, 1)
    findings.atLeast('chunks delayed', data.counters.up.delayed, 1)
    findings.atLeast('times the rate was used up', data.counters.up.throttled, 1)
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
    // A connection begins with sending what the ring holds; repairs asked for on it are of that too. Frames and manifests
    // put less than a quarter on top of the lines: at this pace a batch of 20 ms is 20 lines.
    const lineBytes = bytesOfLines(making, truths)
    findings.note('bytes of the lines made', lineBytes)
    findings.atMost('bytes sent, data up', data.counters.up.bytes, Math.round(1.25 * lineBytes + data.counters.connections * ringBytes))
  },
})

function begin(proxy: ChaosProxy, fault: (typeof faults)[number]): void {
  if (fault === 'up silent') proxy.set('up', { isBlackhole: true })
  else if (fault === 'down silent') proxy.set('down', { isBlackhole: true })
  else if (fault === 'both silent') proxy.set('both', { isBlackhole: true })
  else proxy.set('both', slowAndFar)
}

/** One direction's silence is survived by the connection; the others end with a new one, and what was on its way is gone. */
function end(proxy: ChaosProxy, fault: (typeof faults)[number]): void {
  if (fault === 'both silent' || fault === 'slow and far') proxy.reset()
  proxy.set('both', calm)
}

/** What its owner told while the fault lasted. */
function checkPace(findings: Findings, what: string, tells: readonly Tell[]): void {
  const [first, last] = [tells[0], tells.at(-1)]
  const planned = (linesPerSecondEach * (tells.length - 1) * tellEveryMs) / 1_000
  findings.atMost(`${what}: longest gap between turns, ms`, Math.round(Math.max(...tells.map(({ gapMs }) => gapMs))), gapMsMax)
  findings.note(`${what}: longest log calls of one turn, ms`, Math.round(Math.max(...tells.map(({ callsMs }) => callsMs))))
  findings.atLeast(`${what}: log calls`, (last?.made ?? 0) - (first?.made ?? 0), Math.floor(planned * 0.8))
}

function bytesOfLines(making: Making, truths: readonly Truth[]): number {
  let bytes = 0
  for (const { app, made } of truths) for (let n = 0; n < made; n += 1) bytes += madeLine(making, app, n).length + 1
  return bytes
}

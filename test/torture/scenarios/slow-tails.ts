/**
 * One live tail is read at half speed, one is stopped. The collector and the other tail lose nothing by it, and each of
 * the slow ones knows exactly what it did not show.
 */
import { tailHighWaterMarkFrames } from '../../../wire/limits.ts'
import { startCollector, type TestCollector } from '../../support/processes.ts'
import type { Truth } from '../app-words.mjs'
import { checkBooks, checkComplete, checkWhole, madeBy, settledStatus } from '../conservation.ts'
import type { Findings } from '../findings.ts'
import { KeptLines } from '../kept-lines.ts'
import type { Making } from '../made-line.mjs'
import { PlannedApp } from '../planned-app.ts'
import { RunningTail } from '../running-tail.ts'
import { type Scenario, scenario, type TortureContext } from '../scenario.ts'

const appCount = 2
/** Errors leave at the end of the turn: every turn of the event loop is a frame. */
const mix = 'error'
const linesPerSecond = 1_500
const padBytes = 4_000
/** What the system may hold for a stopped reader, at both ends of the connection. */
const systemBytesMax = 16_777_216
/** In that time a tail has read what waits for it, and a manifest has come that says how far the numbers go. */
const catchUpMs = 12_000

export const slowTails: Scenario = scenario({
  name: 'slow-tails',
  promise: 'a tail at half speed and one that is stopped cost nobody else anything, and each knows exactly what it did not show',
  short: { rounds: 1 },
  long: { rounds: 10 },
  async run(context, findings, { rounds }) {
    const making = { seed: context.random.seed, mix, padBytes } as const
    const collector = context.use(await startCollector())
    const tails = {
      fast: new RunningTail(collector.tail, making),
      half: new RunningTail(collector.tail, making, { bytesPerSecond: (linesPerSecond * padBytes) / 2 }),
      stopped: new RunningTail(collector.tail, making),
    }
    const all = Object.entries(tails)
    for (const [, tail] of all) context.use(tail)
    const probed = await probe(context, collector, making, Object.values(tails))
    const apps = startAll(context, collector, making)
    for (let round = 0; round < rounds; round += 1) {
      tails.stopped.process.kill('SIGSTOP')
      await moreThanKept(context, collector)
      tails.stopped.process.kill('SIGCONT')
      if (round + 1 < rounds) await context.lasts(1_000)
    }
    const rested = (await Promise.all(apps.map((app) => app.rest()))).reduce((sum, made) => sum + made, 0)
    await caughtUp(context, rested, Object.values(tails))
    const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
    const made = madeBy(truths)
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(collector.dir, making)

    findings.note('lines made', made)
    checkWhole(findings, kept)
    checkComplete(findings, kept, [...truths, ...probed])
    checkBooks(findings, status.totals, made + madeBy(probed))
    for (const [name, tail] of all) checkTail(findings, name, tail, truths)
    findings.equal('missed by the tail that keeps up', tails.fast.missed, 0)
    findings.atLeast('missed by the tail at half speed', tails.half.missed, 1)
    findings.atLeast('missed by the tail that was stopped', tails.stopped.missed, 1)
  },
})

export const tailBehindAtEnd: Scenario = scenario({
  name: 'tail-behind-at-end',
  promise: 'a tail that is still behind when the applications end learns all the same how much it missed',
  short: { rounds: 1 },
  long: { rounds: 3 },
  async run(context, findings, { rounds }) {
    const making = { seed: context.random.seed, mix, padBytes } as const
    for (let round = 0; round < rounds; round += 1) {
      const collector = context.use(await startCollector())
      const tail = context.use(new RunningTail(collector.tail, making))
      await probe(context, collector, making, [tail])
      const apps = startAll(context, collector, making)
      tail.process.kill('SIGSTOP')
      await moreThanKept(context, collector)
      const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
      tail.process.kill('SIGCONT')
      await caughtUp(context, madeBy(truths), [tail])
      checkTail(findings, 'stopped', tail, truths)
      await context.release()
    }
  },
})

/** Only what is logged after all tails are there can be counted for all of them. */
async function probe(context: TortureContext, collector: TestCollector, making: Making, tails: readonly RunningTail[]): Promise<Truth[]> {
  const app = context.use(
    new PlannedApp(context, { apps: [{ app: 'probe', service: 'probe' }], making, linesPerSecond: 100 }, collector.env),
  )
  await context.until(() => tails.every((tail) => tail.shown.app('probe').lines > 0), { what: 'all tails show something' })
  const truths = await app.finish()
  await context.until(() => tails.every((tail) => tail.shown.app('probe').end === madeBy(truths)), {
    what: 'all tails show the last of it',
  })
  return truths
}

function startAll(context: TortureContext, collector: TestCollector, making: Making): PlannedApp[] {
  return Array.from({ length: appCount }, (_, i) => {
    const name = `shown-${i}`
    return context.use(
      new PlannedApp(context, { apps: [{ app: name, service: name }], making, linesPerSecond: linesPerSecond / appCount }, collector.env),
    )
  })
}

/** Waits until more has come than a collector and the system keep for a tail that does not read. */
async function moreThanKept(context: TortureContext, collector: TestCollector): Promise<void> {
  const { frames, bytes } = (await collector.status()).ingest
  await context.until(
    async () => {
      const now = (await collector.status()).ingest
      const [newFrames, newBytes] = [now.frames - frames, now.bytes - bytes]
      return newFrames > 0 && newBytes > systemBytesMax + (tailHighWaterMarkFrames * newBytes) / newFrames
    },
    { what: 'more has come than is kept for a stopped tail', timeoutMs: 60_000, everyMs: 100 },
  )
}

/** Waits until what tails show and miss adds up; when that does not come, the checks say so. */
async function caughtUp(context: TortureContext, made: number, tails: readonly RunningTail[]): Promise<void> {
  const untilMs = performance.now() + catchUpMs
  await context.until(() => tails.every((tail) => shownBy(tail) + tail.missed >= made) || performance.now() > untilMs, {
    what: 'all tails are through',
    timeoutMs: catchUpMs + 10_000,
  })
}

function checkTail(findings: Findings, name: string, tail: RunningTail, truths: readonly Truth[]): void {
  const shown = shownBy(tail)
  findings.note(`${name}: shown, missed`, [shown, tail.missed])
  findings.equal(`${name}: shown and missed`, shown + tail.missed, madeBy(truths))
  findings.equal(`${name}: shown twice, torn or not made`, [tail.shown.twice, tail.shown.torn, tail.shown.foreign], [0, 0, 0])
}

function shownBy(tail: RunningTail): number {
  let lines = 0
  for (const [app, shown] of tail.shown.apps) if (app !== 'probe') lines += shown.lines
  return lines
}

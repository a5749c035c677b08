/**
 * One live tail is read at half speed, one is stopped. The collector and the other tail lose nothing by it, and each of
 * the slow ones knows exactly what it did not show.
 */
import { tailHighWaterMarkFrames } from '../../../wire/limits.ts'
import { startCollector } from '../../support/processes.ts'
import { checkBooks, checkComplete, checkWhole, madeBy, settledStatus } from '../conservation.ts'
import { KeptLines } from '../kept-lines.ts'
import { PlannedApp } from '../planned-app.ts'
import { RunningTail } from '../running-tail.ts'
import { type Scenario, scenario } from '../scenario.ts'

const appCount = 2
/** Errors leave at the end of the turn: every turn of the event loop is a frame. */
const mix = 'error'
const linesPerSecond = 1_500
const padBytes = 4_000
/** What the system may hold for a stopped reader, at both ends of the connection. */
const systemBytesMax = 16_777_216

export const slowTails: Scenario = scenario({
  name: 'slow-tails',
  promise: 'a tail at half speed and one that is stopped cost nobody else anything, and each knows exactly what it did not show',
  short: { rounds: 1 },
  long: { rounds: 10 },
  async run(context, findings, { rounds }) {
    const making = { seed: context.random.seed, mix, padBytes } as const
    const collector = context.use(await startCollector())
    const open = (options?: ConstructorParameters<typeof RunningTail>[2]) => context.use(new RunningTail(collector.tail, making, options))
    const tails = { fast: open(), half: open({ bytesPerSecond: (linesPerSecond * padBytes) / 2 }), stopped: open() }
    const all = Object.entries(tails)
    const start = (name: string, linesMax?: number) =>
      context.use(
        new PlannedApp(
          context,
          {
            apps: [{ app: name, service: name }],
            making,
            linesPerSecond: linesPerSecond / appCount,
            ...(linesMax === undefined ? {} : { linesMax }),
          },
          collector.env,
        ),
      )
    // Only what is logged after all of them are there can be counted for all of them.
    const probe = start('probe')
    await context.until(() => all.every(([, tail]) => tail.shown.app('probe').lines > 0), { what: 'all tails show something' })
    const probed = await probe.finish()
    await context.until(() => all.every(([, tail]) => tail.shown.app('probe').end === probed[0]?.made), {
      what: 'all tails show the last of it',
    })

    const apps = Array.from({ length: appCount }, (_, i) => start(`shown-${i}`))
    for (let round = 0; round < rounds; round += 1) {
      tails.stopped.process.kill('SIGSTOP')
      const { frames, bytes } = (await collector.status()).ingest
      await context.until(
        async () => {
          const now = (await collector.status()).ingest
          const [newFrames, newBytes] = [now.frames - frames, now.bytes - bytes]
          return newFrames > 0 && newBytes > systemBytesMax + (tailHighWaterMarkFrames * newBytes) / newFrames
        },
        { what: 'more has come than is kept for a stopped tail', timeoutMs: 60_000, everyMs: 100 },
      )
      tails.stopped.process.kill('SIGCONT')
      if (round + 1 < rounds) await context.lasts(1_000)
    }
    const truths = (await Promise.all(apps.map((app) => app.finish()))).flat()
    const made = madeBy(truths)
    const shown = (tail: RunningTail) => truths.reduce((sum, { app }) => sum + tail.shown.app(app).lines, 0)
    const untilMs = performance.now() + 60_000
    await context.until(() => all.every(([, tail]) => shown(tail) + tail.missed >= made) || performance.now() > untilMs, {
      what: 'all tails are through',
      timeoutMs: 70_000,
    })
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(collector.dir, making)

    findings.note('lines made', made)
    checkWhole(findings, kept)
    checkComplete(findings, kept, [...truths, ...probed])
    checkBooks(findings, status.totals, made + madeBy(probed))
    for (const [name, tail] of all) {
      findings.note(`${name}: shown, missed`, [shown(tail), tail.missed])
      findings.equal(`${name}: shown and missed`, shown(tail) + tail.missed, made)
      findings.equal(`${name}: shown twice, torn or not made`, [tail.shown.twice, tail.shown.torn, tail.shown.foreign], [0, 0, 0])
    }
    findings.equal('missed by the tail that keeps up', tails.fast.missed, 0)
    findings.atLeast('missed by the tail at half speed', tails.half.missed, 1)
    findings.atLeast('missed by the tail that was stopped', tails.stopped.missed, 1)
  },
})

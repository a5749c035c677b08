/**
 * Many applications at once on one collector, each ended and started anew once under the same service. The books are
 * exact, and the collector's memory is bounded.
 */
import { readFileSync } from 'node:fs'
import { batchBytesMax, ingestHighWaterMarkFrames, sinkCrowdedBytes } from '../../../wire/limits.ts'
import { startCollector } from '../../support/processes.ts'
import { checkBooks, checkComplete, checkWhole, madeBy, settledStatus, sumOf } from '../conservation.ts'
import { KeptLines } from '../kept-lines.ts'
import { PlannedApp } from '../planned-app.ts'
import { type Scenario, scenario } from '../scenario.ts'

const linesPerSecond = 4_000
/** A few lines at a time: one at a time, each would be a frame, and two hundred agents more than two cores can make. */
const tickMs = 250
const mebibyte = 1_048_576
/**
 * What a collector may need however many applications there are: two generations of frames that wait for the garbage
 * collector (it is told after every 4 MiB), young garbage, and the code that only runs once somebody is there.
 */
const garbageBytes = 64 * mebibyte
const sampleEveryMs = 100

export const manyApps: Scenario = scenario({
  name: 'many-apps',
  promise: 'many applications at once, each restarted, are booked exactly, in bounded memory',
  short: { processes: 20, agentsEach: 1, linesEach: 400 },
  // Agents of one process have sockets and an origin of their own each, like processes, and need less memory.
  long: { processes: 40, agentsEach: 5, linesEach: 400 },
  async run(context, findings, { processes, agentsEach, linesEach }) {
    const making = { seed: context.random.seed, mix: 'all', padBytes: 150 } as const
    const collector = context.use(await startCollector())
    const idleBytes = residentBytes(collector.process.pid)
    let peakBytes = idleBytes
    const sampling = setInterval(() => {
      peakBytes = Math.max(peakBytes, residentBytes(collector.process.pid))
    }, sampleEveryMs)
    context.use({ [Symbol.asyncDispose]: async () => clearInterval(sampling) })

    const start = (process: number, round: number) => {
      const apps = Array.from({ length: agentsEach }, (_, agent) => {
        const service = `many-${process}-${agent}`
        return { app: `${service}-${round}`, service }
      })
      const perApp = linesPerSecond / processes / agentsEach
      return context.use(new PlannedApp(context, { apps, making, tickMs, linesPerSecond: perApp, linesMax: linesEach }, collector.env))
    }
    const finish = async (app: PlannedApp) => {
      const made = agentsEach * linesEach
      await context.until(() => app.lastTell?.made === made, {
        what: `application ${app.process.pid} has logged its lines`,
        timeoutMs: 120_000,
      })
      return app.finish()
    }
    const truths = (
      await Promise.all(
        Array.from({ length: processes }, async (_, process) => {
          const first = await finish(start(process, 0))
          return [...first, ...(await finish(start(process, 1)))]
        }),
      )
    ).flat()
    const status = await settledStatus(context, collector)
    const kept = KeptLines.read(collector.dir, making)
    const made = madeBy(truths)
    const appCount = processes * agentsEach

    findings.note('applications', 2 * appCount)
    findings.note('lines made', made)
    findings.note('lines in the files', kept.lines)
    findings.note(
      'memory of the collector, MiB: idle, peak',
      [idleBytes, peakBytes].map((bytes) => Math.round(bytes / mebibyte)),
    )
    findings.note('filtered, duplicates, turned away', [status.totals.filtered, status.totals.duplicates, status.ingest.turnedAway])
    findings.equal('shed by the applications', truths.filter(({ shed }) => sumOf(shed) > 0).length, 0)
    findings.equal(
      'records without an answer at the end',
      truths.reduce((sum, { left }) => sum + left, 0),
      0,
    )
    findings.equal('lines made', made, 2 * appCount * linesEach)
    findings.equal('origins', status.origins.length, 2 * appCount)
    findings.equal('origins that are not finished', status.origins.filter(({ state }) => state !== 'finished').length, 0)
    checkWhole(findings, kept)
    checkComplete(findings, kept, truths)
    checkBooks(findings, status.totals, made)
    // Per connection what its socket may have waiting; what the sinks may before the intake slows down; and garbage.
    const boundBytes = idleBytes + appCount * ingestHighWaterMarkFrames * batchBytesMax + sinkCrowdedBytes + garbageBytes
    findings.atMost('memory of the collector, bytes at its peak', peakBytes, boundBytes)
  },
})

function residentBytes(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1_024
  } catch {
    return 0
  }
}

/** Metrics in virtual time, with a wall clock that can be set, and everything they have sent. */
import type { InstrumentMaker } from '../../../agent/metrics/instrument-maker.ts'
import { Metrics, type MetricsOwner } from '../../../agent/metrics/metrics.ts'
import type { MetricsOptions } from '../../../agent/metrics/metrics-options.ts'
import { decodeFrame, encodeFrame, frameKinds } from '../../../wire/frame.ts'
import {
  type BucketsPoint,
  decodePoints,
  type GaugePoint,
  type HistogramPoint,
  type NumberPoint,
  type PointsBody,
} from '../../../wire/points.ts'
import { Random } from '../../simulation/random.ts'
import type { SimulatedNetwork } from '../../simulation/simulated-network.ts'
import { SimulatedProcess } from '../../simulation/simulated-process.ts'
import { VirtualTime } from '../../simulation/virtual-time.ts'

interface PointOf {
  readonly counter: NumberPoint
  readonly upDownCounter: NumberPoint
  readonly gauge: GaugePoint
  readonly histogram: HistogramPoint
  readonly buckets: BucketsPoint
}

class ClockedProcess extends SimulatedProcess {
  clockSetByMs = 0
  readonly words: string[] = []
  measuredInto: InstrumentMaker | undefined

  override wallClockMs(): number {
    return Math.max(0, super.wallClockMs() + this.clockSetByMs)
  }

  override say(line = ''): void {
    this.words.push(line)
  }

  override measureItself(metrics: InstrumentMaker): { cancel(): void } {
    this.measuredInto = metrics
    return super.measureItself(metrics)
  }
}

export class ClockedMetrics implements MetricsOwner {
  readonly isDisabled: boolean
  readonly time = new VirtualTime()
  readonly process: ClockedProcess
  readonly metrics: Metrics
  readonly sent: { readonly group: string; readonly count: number; readonly body: PointsBody }[] = []
  isWanted = true
  asked = 0

  constructor(options: Partial<MetricsOptions & { isDisabled: boolean }> = {}) {
    this.isDisabled = options.isDisabled ?? false
    this.process = new ClockedProcess(this.time, {} as SimulatedNetwork, new Random(1))
    this.metrics = new Metrics(this, this.process, { intervalMs: 10_000, seriesMax: 1_000, runtime: false, ...options })
  }

  wantsPoints(): boolean {
    this.asked += 1
    return this.isWanted
  }

  takePoints(group: string, bytes: Buffer, count: number): void {
    const head = { origin: 'q3Zt-0_XyAbC9dEf', seq: 0, count, time: 0, kind: frameKinds.points, onDemand: false } as const
    const frame = decodeFrame(encodeFrame(head, bytes))
    const body = frame.ok ? decodePoints(frame.frame.body, count) : undefined
    if (body === undefined) throw new Error('points that cannot be read')
    this.sent.push({ group, count, body })
  }

  runFor(ms: number): Promise<void> {
    return this.time.runFor(ms)
  }

  collectNow(): void {
    this.metrics.collectNow({ isLast: true })
  }

  /** All points sent under an instrument's name, with the interval of each. */
  points<T extends keyof PointOf>(name: string, type: T): (PointOf[T] & { readonly startMs: number; readonly endMs: number })[] {
    return this.sent.flatMap(({ body: { startMs, endMs, instruments } }) =>
      instruments
        .filter((instrument) => instrument.name === name && instrument.type === type)
        .flatMap((instrument) => instrument.points.map((point) => ({ ...point, startMs, endMs }) as never)),
    )
  }

  /** What the deltas of a counter add up to, by attributes. */
  totals(name: string): Record<string, number> {
    const totals: Record<string, number> = {}
    for (const { attributes, value } of this.points(name, 'counter')) totals[attributes] = (totals[attributes] ?? 0) + value
    return totals
  }
}

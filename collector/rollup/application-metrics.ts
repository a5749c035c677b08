/** The applications' metrics in the collector: read, rolled up, and told under `/metrics`. */
import { type DecodedFrame, frameKinds } from '../../wire/frame.ts'
import { windowSeriesShownMax } from '../../wire/limits.ts'
import { decodePoints, type PointsBody } from '../../wire/points.ts'
import type { Topic } from '../../wire/topic.ts'
import type { MetricFamily } from '../exposition/metric-family.ts'
import type { FreshPart } from '../intake.ts'
import type { KeptMetrics, WindowValue } from '../kept/kept-metrics.ts'
import { type KeptValue, keptValueOf } from '../kept/kept-value.ts'
import type { RollUpStatus } from '../status.ts'
import { ApplicationFamilies } from './application-families.ts'
import { KnownAttributes } from './known-attributes.ts'
import { type LogMetricConfig, LogMetrics } from './log-metrics.ts'
import { RollUp, type RollUpConfig } from './roll-up.ts'
import type { Instrument, OpenWindow, Series } from './series.ts'
import { type ServiceVitals, Vitals } from './vitals.ts'
import type { ClosedWindow, WindowsStatus } from './window-summary.ts'

export interface ApplicationMetricsPorts {
  /** See RollUpPorts. */
  endedAtMs(origin: string): number
  readonly onTrouble: (message: string) => void
  /** Where windows are kept once they are closed; nowhere, if not given. */
  readonly kept?: Pick<KeptMetrics, 'take' | 'seal'> | undefined
}

export class ApplicationMetrics {
  readonly #rollUp: RollUp
  readonly #logs: LogMetrics
  readonly #families = new ApplicationFamilies()
  readonly #known = new KnownAttributes()
  readonly #vitals = new Vitals()
  readonly #ports: ApplicationMetricsPorts
  #hidden = 0
  #isOverflowTold = false

  /** @param rules - What is counted and measured of log lines. */
  constructor(config: RollUpConfig, rules: Readonly<Record<string, LogMetricConfig>>, ports: ApplicationMetricsPorts) {
    this.#ports = ports
    this.#rollUp = new RollUp(config, {
      endedAtMs: ports.endedAtMs,
      added: (series) => {
        this.#families.add(series)
        this.#vitals.added(series)
      },
      removed: (series) => {
        this.#families.remove(series)
        this.#vitals.removed(series)
      },
      closed: (series, open, counts) => {
        const value = ports.kept && keptValueOf(open.aggregate, counts)
        if (value !== undefined) ports.kept?.take(this.#windowValue(series, open, value))
      },
      closedAll: (window) => ports.kept?.seal((window + 1) * config.intervalMs, Date.now()),
    })
    this.#logs = new LogMetrics(rules, this.#rollUp)
  }

  /** The points of a frame; undefined when they are not as docs/WIRE.md says. To be asked before the frame is booked. */
  read({ body, count }: DecodedFrame): PointsBody | undefined {
    const points = decodePoints(body, count)
    return points !== undefined && this.#known.areGood(points) ? points : undefined
  }

  /**
   * Takes what is new of a frame.
   *
   * @param points - What {@link read} made of all of the frame.
   */
  take(
    topic: Topic,
    frame: DecodedFrame,
    { range, lines, receivedAtMs }: Pick<FreshPart, 'range' | 'lines' | 'receivedAtMs'>,
    points: PointsBody | undefined,
  ): void {
    const count = range.to - range.from
    if (frame.kind === frameKinds.lines) return this.#logs.take(topic, { lines, count, timeMs: frame.time, nowMs: receivedAtMs })
    const fresh = count === frame.count ? points : decodePoints(lines, count)
    if (fresh === undefined) return
    this.#rollUp.merge(fresh, { topic, origin: frame.origin, seq: range.from }, receivedAtMs)
  }

  /** Closes windows that are over. */
  tick(nowMs: number): void {
    this.#rollUp.tick(nowMs)
    const { overflow, refused } = this.#rollUp.counts
    if (this.#isOverflowTold || overflow + refused === 0) return
    this.#isOverflowTold = true
    const { seriesMax } = this.#rollUp.config
    this.#ports.onTrouble(
      `rollup: more than ${seriesMax} series; further ones are counted together, with the attribute otel.metric.overflow. ` +
        'Drop an attribute that has too many values (rollup.drop), or raise rollup.seriesMax',
    )
  }

  families(nowMs: number): readonly MetricFamily[] {
    const { families, hidden } = this.#families.expose((contributor) => this.#rollUp.isCurrent(contributor, nowMs))
    this.#hidden = hidden
    return families
  }

  /** What windows that are not closed yet hold so far, of instruments that are wanted. */
  *openWindows(nowMs: number, wants: (instrument: Instrument) => boolean = () => true): Generator<WindowValue> {
    for (const series of this.#rollUp.all()) {
      if (!wants(series.instrument)) continue
      for (const open of series.open) {
        const value = keptValueOf(open.aggregate, (contributor) => this.#rollUp.isCurrent(contributor, nowMs))
        if (value !== undefined) yield this.#windowValue(series, open, value)
      }
    }
  }

  #windowValue({ instrument, attributes }: Series, { window }: OpenWindow, value: KeptValue): WindowValue {
    return { instrument, attributes, startMs: window * this.#rollUp.config.intervalMs, value }
  }

  /** Every series there is now. */
  *names(): Generator<readonly [instrument: Instrument, attributes: string]> {
    for (const { instrument, attributes } of this.#rollUp.all()) yield [instrument, attributes]
  }

  /** @param service - Whose series; undefined for all. */
  windows(service?: string): WindowsStatus {
    const { intervalMs, lateMs } = this.#rollUp.config
    const windows: ClosedWindow[] = []
    let left = windowSeriesShownMax
    let seriesNotShown = 0
    for (const { startMs, endMs, series: all } of this.#rollUp.windows.toReversed()) {
      const series = service === undefined ? all : all.filter((each) => each.service === service)
      if (series.length > left) seriesNotShown += series.length
      else windows.unshift({ startMs, endMs, series })
      left -= Math.min(left, series.length)
    }
    return { intervalMs, lateMs, windows, seriesNotShown }
  }

  /** How the processes of each service are. */
  vitals(nowMs: number): ReadonlyMap<string, ServiceVitals> {
    return this.#vitals.read(this.#rollUp.config.intervalMs, (contributor) => this.#rollUp.isCurrent(contributor, nowMs))
  }

  status(): RollUpStatus {
    const { counts, series, config } = this.#rollUp
    return { ...counts, series, seriesMax: config.seriesMax, conflicting: this.#families.conflicting, hidden: this.#hidden }
  }
}

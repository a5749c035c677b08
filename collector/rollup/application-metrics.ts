/** The applications' metrics in the collector: read, rolled up, and told under `/metrics`. */
import type { DecodedFrame } from '../../wire/frame.ts'
import { decodePoints, type PointsBody } from '../../wire/points.ts'
import type { Topic } from '../../wire/topic.ts'
import type { MetricFamily } from '../exposition/metric-family.ts'
import type { FreshPart } from '../intake.ts'
import type { RollUpStatus } from '../status.ts'
import { ApplicationFamilies } from './application-families.ts'
import { KnownAttributes } from './known-attributes.ts'
import { RollUp, type RollUpConfig } from './roll-up.ts'

export interface ApplicationMetricsPorts {
  /** See RollUpPorts. */
  endedAtMs(origin: string): number
  readonly onTrouble: (message: string) => void
}

export class ApplicationMetrics {
  readonly #rollUp: RollUp
  readonly #families = new ApplicationFamilies()
  readonly #known = new KnownAttributes()
  readonly #ports: ApplicationMetricsPorts
  #hidden = 0
  #isOverflowTold = false

  constructor(config: RollUpConfig, ports: ApplicationMetricsPorts) {
    this.#ports = ports
    this.#rollUp = new RollUp(config, {
      endedAtMs: ports.endedAtMs,
      added: (series) => this.#families.add(series),
      removed: (series) => this.#families.remove(series),
    })
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
  take(topic: Topic, frame: DecodedFrame, { range, lines, receivedAtMs }: Omit<FreshPart, 'frame'>, points: PointsBody | undefined): void {
    const count = range.to - range.from
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

  status(): RollUpStatus {
    const { counts, series, config } = this.#rollUp
    return { ...counts, series, seriesMax: config.seriesMax, conflicting: this.#families.conflicting, hidden: this.#hidden }
  }
}

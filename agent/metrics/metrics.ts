/**
 * The metrics of one agent: its instruments, and what becomes of them at the end of each interval.
 *
 *   add, record ─► series ── every 10 s ─► points of a group ─► frames of metric.<service>.<group>. ─► ring, links
 *
 * What nobody has subscribed to is not encoded: it goes on adding up, and whoever subscribes later gets it in one
 * interval that is as long as it took. Encoding stops every millisecond for the application's own work.
 *
 * Others may feed what they have aggregated already: totals through observable counters, exponential histograms
 * through `HistogramInstrument.merge`, histograms with bounds of their own through {@link Metrics.createBucketsHistogram};
 * {@link Metrics.beforeCollect} tells them when.
 */
import { encodeSliceMs, idleIntervalsMax, instrumentsMax, metricWarningsMax, prepareMaxMs } from '../../wire/limits.ts'
import { PointsWriter, type PointType } from '../../wire/points.ts'
import { formatCount } from '../../wire/quantity.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import type { AgentRuntime, Pending } from '../runtime.ts'
import {
  checkSameInstrument,
  defineInstrument,
  type FedInstrumentOptions,
  type InstrumentDefinition,
  type InstrumentKind,
} from './instrument-definition.ts'
import type { Feeder, InstrumentMaker } from './instrument-maker.ts'
import {
  BucketsInstrument,
  CounterInstrument,
  GaugeInstrument,
  HistogramInstrument,
  type Instrument,
  type InstrumentEvents,
  type InstrumentSetting,
  ObservableCounterInstrument,
  ObservableGaugeInstrument,
  ObservableUpDownCounterInstrument,
  UpDownCounterInstrument,
} from './instruments.ts'
import type { MetricsOptions } from './metrics-options.ts'
import type { Series } from './series.ts'
import type { SeriesTable } from './series-table.ts'
import { type Ending, intervalBetween, tickEndMs, untilNextTickMs } from './wall-intervals.ts'

/** What metrics need from their agent. */
export interface MetricsOwner {
  readonly isDisabled: boolean
  /** Whether any collector wants the points of a group, as far as is known. */
  wantsPoints(group: string): boolean
  /** Takes an encoded body of so many points. */
  takePoints(group: string, body: Buffer, count: number): void
}

/** The metrics' part of the agent's books. */
export interface MetricsStats {
  readonly instruments: number
  readonly series: number
  /** Calls, and handles given out, that went to the overflow series of an instrument with too many. */
  readonly overflowed: number
  /** Values and attributes left out because they cannot be meant, and callbacks that threw. */
  readonly refused: number
}

/** Instruments whose topic is one. */
interface Group {
  readonly name: string
  readonly instruments: Instrument[]
  /** When what it holds began. */
  last: Ending
}

type Constructor<I> = new (definition: InstrumentDefinition, events: InstrumentEvents, setting: InstrumentSetting) => I

const seriesPerLook = 32

export class Metrics implements InstrumentMaker, InstrumentEvents {
  readonly #owner: MetricsOwner
  readonly #runtime: AgentRuntime
  #options: MetricsOptions
  readonly #instruments = new Map<string, Instrument>()
  readonly #groups = new Map<string, Group>()
  readonly #feeders = new Set<Feeder>()
  /** The end of an interval that waits for those who feed. */
  #preparing: Preparation | undefined
  #tick: Pending | undefined
  #tickedAtMs = Number.NEGATIVE_INFINITY
  #ticks = 0
  /** What the process says about itself. */
  readonly #own = new Set<Instrument>()
  #isMeasuring = false
  #slice: Pending | undefined
  /** The encoding that is under way. */
  #encoding: Iterator<void> | undefined
  #measuring: Pending | undefined
  #isEnded = false
  #warningCount = 0

  constructor(owner: MetricsOwner, runtime: AgentRuntime, options: MetricsOptions) {
    this.#owner = owner
    this.#runtime = runtime
    this.#options = options
    if (options.runtime) this.#start()
  }

  /** Takes settings that somebody else of this process has made for the same agent; the last word counts. */
  configure(options: Partial<MetricsOptions>): void {
    this.#options = { ...this.#options, ...options }
    if (!this.#options.runtime) {
      this.#measuring?.cancel()
      this.#measuring = undefined
    } else this.#start()
    if (this.#tick !== undefined) this.#tickLater()
  }

  createCounter(name: string, options?: FedInstrumentOptions): CounterInstrument {
    return this.#create(CounterInstrument, 'Counter', name, options)
  }

  createUpDownCounter(name: string, options?: FedInstrumentOptions): UpDownCounterInstrument {
    return this.#create(UpDownCounterInstrument, 'UpDownCounter', name, options)
  }

  createGauge(name: string, options?: FedInstrumentOptions): GaugeInstrument {
    return this.#create(GaugeInstrument, 'Gauge', name, options)
  }

  createHistogram(name: string, options?: FedInstrumentOptions): HistogramInstrument {
    return this.#create(HistogramInstrument, 'Histogram', name, options)
  }

  createObservableCounter(name: string, options?: FedInstrumentOptions): ObservableCounterInstrument {
    return this.#create(ObservableCounterInstrument, 'ObservableCounter', name, options)
  }

  createObservableUpDownCounter(name: string, options?: FedInstrumentOptions): ObservableUpDownCounterInstrument {
    return this.#create(ObservableUpDownCounterInstrument, 'ObservableUpDownCounter', name, options)
  }

  createObservableGauge(name: string, options?: FedInstrumentOptions): ObservableGaugeInstrument {
    return this.#create(ObservableGaugeInstrument, 'ObservableGauge', name, options)
  }

  /** A histogram that somebody else keeps, with bounds of its own. */
  createBucketsHistogram(name: string, options?: FedInstrumentOptions): BucketsInstrument {
    return this.#create(BucketsInstrument, 'BucketsHistogram', name, options)
  }

  #create<I extends Instrument>(Made: Constructor<I>, kind: InstrumentKind, name: string, options?: FedInstrumentOptions): I {
    const definition = defineInstrument(kind, name, options)
    // Names differ by more than case: OpenTelemetry's rule.
    const key = name.toLowerCase()
    const known = this.#instruments.get(key)
    if (known !== undefined) {
      checkSameInstrument(known.definition, definition, options)
      return known as I
    }
    if (this.#instruments.size >= instrumentsMax) {
      const expected = `at most ${formatCount(instrumentsMax)} instruments; what differs from user to user is an attribute`
      throw new SpillwayError('SPW_METRIC_INVALID', `create${kind}: expected ${expected}, got ${JSON.stringify(name)} as one more`)
    }
    // Switched off, everything goes to the one series nobody sends.
    const seriesMax = this.#owner.isDisabled ? 0 : this.#options.seriesMax
    const instrument = new Made(definition, this, { seriesMax, nowMs: () => this.#runtime.nowMs() })
    this.#instruments.set(key, instrument)
    this.#groupOf(options?.group ?? name).instruments.push(instrument)
    if (this.#isMeasuring) this.#own.add(instrument)
    this.#start()
    return instrument
  }

  #groupOf(instrumentName: string): Group {
    const [name = ''] = instrumentName.split('.', 1)
    let group = this.#groups.get(name)
    if (group === undefined) {
      group = { name, instruments: [], last: this.#now() }
      this.#groups.set(name, group)
    }
    return group
  }

  #now(): Ending {
    return { wallMs: this.#runtime.wallClockMs(), nowMs: this.#runtime.nowMs() }
  }

  beforeCollect(asked: (() => void) | Feeder): Pending {
    const feeder = typeof asked === 'function' ? { tell: asked } : asked
    this.#feeders.add(feeder)
    this.#start()
    return { cancel: () => this.#feeders.delete(feeder) }
  }

  // ── intervals ──

  #start(): void {
    if (this.#tick !== undefined || this.#isEnded || this.#owner.isDisabled) return
    this.#tickLater()
  }

  #tickLater(): void {
    this.#tick?.cancel()
    const ms = untilNextTickMs(this.#now(), { everyMs: this.#options.intervalMs, tickedAtMs: this.#tickedAtMs })
    this.#tick = this.#runtime.after(ms, () => this.#ticked())
  }

  #ticked(): void {
    const { intervalMs, runtime } = this.#options
    const { wallMs, nowMs } = this.#now()
    this.#tickedAtMs = nowMs
    this.#ticks += 1
    // One that is still under way has more series than time: it goes on, and what is new waits for the next.
    if (this.#encoding === undefined && this.#preparing === undefined) {
      const end = { wallMs: tickEndMs(wallMs, intervalMs), nowMs }
      this.#preparing = this.prepare(() => {
        this.#preparing = undefined
        this.#beginCollection(end, true)
        this.#encodeSlice()
      })
    }
    // Not before the first tick: a script that has ended by then should not pay for it.
    if (runtime && this.#measuring === undefined) this.#measureItself()
    this.#tickLater()
  }

  #measureItself(): void {
    this.#isMeasuring = true
    this.#measuring = this.#runtime.measureItself(this)
    this.#isMeasuring = false
  }

  /**
   * Lets those who feed do what takes time, and calls `done` when they have, or have had long enough; within this call if
   * there is nothing to wait for: then nothing is returned.
   */
  prepare(done: () => void): Preparation | undefined {
    for (const feeder of this.#feeders) this.#ask(() => feeder.discover?.())
    const promises = this.#isAnyWanted() ? [...this.#feeders].map((feeder) => this.#ask(() => feeder.prepare?.())) : []
    const pending = promises.filter((promise) => promise !== undefined)
    if (pending.length === 0) {
      done()
      return undefined
    }
    return new Preparation(pending, done, (giveUp) => this.#runtime.after(Math.min(prepareMaxMs, this.#options.intervalMs / 2), giveUp))
  }

  /** What is thrown is its own fault, as said. */
  #ask<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch {
      return undefined
    }
  }

  #wantedGroups(): Group[] {
    return [...this.#groups.values()].filter((group) => this.#owner.wantsPoints(group.name))
  }

  #isAnyWanted(): boolean {
    return this.#wantedGroups().length > 0
  }

  /**
   * Encodes everything there is now, to the end. What the process says about itself is in it only at the very end, and
   * only of one that has lived for an interval: a script sends what it was told to send and nothing else.
   */
  collectNow({ isLast }: { readonly isLast: boolean }): void {
    if (this.#owner.isDisabled || this.#isEnded) return
    // What was waited for goes with this.
    this.#preparing?.cancel()
    this.#preparing = undefined
    for (const feeder of this.#feeders) this.#ask(() => feeder.discover?.())
    this.#encodeAll()
    this.#beginCollection(this.#now(), isLast && this.#ticks > 1)
    this.#encodeAll()
  }

  #encodeAll(): void {
    while (this.#encoding?.next().done === false);
    this.#endEncoding()
  }

  #beginCollection(end: Ending, withOwn: boolean): void {
    const groups = this.#wantedGroups()
    if (groups.length === 0) return
    for (const feeder of this.#feeders) this.#ask(() => feeder.tell())
    const isMeant = (instrument: Instrument): boolean => withOwn || !this.#own.has(instrument)
    for (const { instruments } of groups) for (const instrument of instruments) if (isMeant(instrument)) instrument.ask()
    this.#encoding = this.#encode(groups, end, isMeant)
  }

  #encodeSlice(): void {
    const untilMs = this.#runtime.nowMs() + encodeSliceMs
    while (this.#encoding !== undefined && this.#runtime.nowMs() < untilMs) if (this.#encoding.next().done === true) this.#endEncoding()
    this.#slice = this.#encoding === undefined ? undefined : this.#runtime.atTurnEnd(() => this.#encodeSlice())
  }

  #endEncoding(): void {
    this.#encoding = undefined
    this.#slice?.cancel()
    this.#slice = undefined
  }

  /** Encodes group by group, and may be left for a while every few series. */
  *#encode(groups: readonly Group[], end: Ending, isMeant: (instrument: Instrument) => boolean): Generator<void> {
    const writer = new PointsWriter()
    for (const group of groups) {
      const interval = intervalBetween(group.last, end, this.#options.intervalMs)
      group.last = end
      writer.begin(interval)
      const hand = (): void => {
        const { count } = writer
        const body = writer.finish()
        if (body !== undefined) this.#owner.takePoints(group.name, body, count)
        writer.begin(interval)
      }
      for (const instrument of group.instruments) {
        if (!isMeant(instrument)) continue
        const header = { ...instrument.definition, type: pointTypeOf[instrument.definition.kind] }
        let isBegun = false
        let looked = 0
        for (const series of instrument.table) {
          looked += 1
          if (looked % seriesPerLook === 0) yield
          series.idleIntervals = series.isDue ? 0 : series.idleIntervals + 1
          if (!series.isDue) continue
          if (writer.isFull) {
            hand()
            isBegun = false
          }
          if (!isBegun) writer.instrument(header)
          isBegun = true
          series.write(writer)
        }
        instrument.table.forgetIdle(idleIntervalsMax)
      }
      hand()
      yield
    }
  }

  /** Nothing of it comes any more. */
  end(): void {
    this.#isEnded = true
    this.#tick?.cancel()
    this.#slice?.cancel()
    this.#measuring?.cancel()
    this.#preparing?.cancel()
    this.#feeders.clear()
    this.#encoding = undefined
  }

  // ── what is said about it ──

  refusedFirst({ kind, name }: InstrumentDefinition, what: string): void {
    this.#warn(
      () => `${kind} "${name}": ${what} cannot be kept; it and more like it are left out, and counted in agent.stats().metrics.refused`,
    )
  }

  overflowedFirst({ kind, name }: InstrumentDefinition, table: SeriesTable<Series>): void {
    if (this.#owner.isDisabled) return
    this.#warn(() => {
      const most = table.mostVaried()
      const why =
        most === undefined ? '' : `; the attribute with the most values is ${JSON.stringify(most.key)} (${formatCount(most.values)})`
      const max = formatCount(this.#options.seriesMax)
      return `${kind} "${name}" has its ${max} series, so what is new goes to the series {"otel.metric.overflow":true}${why}`
    })
  }

  /** Says it when the code that runs now has ended. */
  #warn(text: () => string): void {
    this.#warningCount += 1
    if (this.#warningCount > metricWarningsMax || this.#owner.isDisabled) return
    this.#runtime.afterThisTurn(() => this.#runtime.say(`spillway: ${text()}\n`))
  }

  stats(): MetricsStats {
    let [series, overflowed, refused] = [0, 0, 0]
    for (const instrument of this.#instruments.values()) {
      series += instrument.table.size
      overflowed += instrument.overflows
      refused += instrument.refused
    }
    return { instruments: this.#instruments.size, series, overflowed, refused }
  }
}

/** Waits for those who feed, not too long. */
export class Preparation implements Pending {
  isDone = false
  readonly #done: () => void
  readonly #timer: Pending

  constructor(pending: readonly Promise<unknown>[], done: () => void, after: (giveUp: () => void) => Pending) {
    this.#done = done
    this.#timer = after(() => this.#end())
    // One that fails has had its say too.
    void Promise.allSettled(pending).then(() => this.#end())
  }

  #end(): void {
    if (this.isDone) return
    this.cancel()
    this.#done()
  }

  cancel(): void {
    this.isDone = true
    this.#timer.cancel()
  }
}

const pointTypeOf: Readonly<Record<InstrumentKind, PointType>> = {
  Counter: 'counter',
  UpDownCounter: 'upDownCounter',
  Gauge: 'gauge',
  Histogram: 'histogram',
  ObservableCounter: 'counter',
  ObservableUpDownCounter: 'upDownCounter',
  ObservableGauge: 'gauge',
  BucketsHistogram: 'buckets',
}

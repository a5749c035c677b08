/** How the processes of a service are, from what they say about themselves: the newest values of three known metrics. */
import type { Series } from './series.ts'

export interface ServiceVitals {
  /** Of the process that is worst. */
  readonly eventLoopP99Ms: number | null
  /** Of all processes together, in the newest window. */
  readonly cpuCores: number | null
  /** Of all processes together. */
  readonly rssBytes: number | null
}

const names = { eventLoop: 'nodejs.eventloop.delay.p99', cpu: 'process.cpu.time', memory: 'process.memory.usage' } as const
const watched: ReadonlySet<string> = new Set(Object.values(names))

export class Vitals {
  readonly #series = new Set<Series>()

  added(series: Series): void {
    if (watched.has(series.instrument.name)) this.#series.add(series)
  }

  removed(series: Series): void {
    this.#series.delete(series)
  }

  /** @param isCurrent - Whether a process's value still counts. */
  read(
    intervalMs: number,
    isCurrent: (contributor: { readonly origin: string; readonly untilMs: number }) => boolean,
  ): Map<string, ServiceVitals> {
    const vitals = new Map<string, { eventLoopP99Ms: number | null; cpuCores: number | null; rssBytes: number | null }>()
    for (const { instrument, total, open } of this.#series) {
      const { service, name } = instrument
      if (service === undefined) continue
      const of = vitals.get(service) ?? { eventLoopP99Ms: null, cpuCores: null, rssBytes: null }
      vitals.set(service, of)
      if (name === names.cpu) {
        const newest = open.reduce<(typeof open)[number] | undefined>((a, b) => (a === undefined || b.window > a.window ? b : a), undefined)
        if (newest?.aggregate.type === 'counter') of.cpuCores = (of.cpuCores ?? 0) + (1_000 * newest.aggregate.value.value) / intervalMs
        continue
      }
      const reading = total.type === 'gauge' || total.type === 'upDownCounter' ? total.value.reading(isCurrent) : undefined
      if (reading === undefined) continue
      if (name === names.memory) of.rssBytes = (of.rssBytes ?? 0) + reading.sum
      else of.eventLoopP99Ms = Math.max(of.eventLoopP99Ms ?? 0, 1_000 * reading.max)
    }
    return vitals
  }
}

/**
 * What a Node process says about itself, under the names and units of OpenTelemetry's semantic conventions (1.45):
 * event loop, garbage collection, heap, CPU, memory, file descriptors, what keeps it alive. Read at the end of each
 * interval; in between only the event loop's delay is sampled.
 */
import { readdir } from 'node:fs'
import { availableParallelism } from 'node:os'
import { constants, type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks'
import { getHeapSpaceStatistics } from 'node:v8'
import type { InstrumentMaker } from './instrument-maker.ts'
import type { BoundHistogram } from './instruments.ts'

/**
 * Between two samples of the event loop's delay. Each wakes the process: at 10 ms, Node's default, that alone is more
 * than a thousandth of a core on a slow one.
 */
const delayResolutionMs = 50
const nsPerSecond = 1e9
const nsPerMs = 1e6

/** Begins to measure; what it returns ends it. */
export function measureProcess(metrics: InstrumentMaker): { cancel(): void } {
  const endings = [measureDelay(metrics), measureLoop(metrics), measureCollections(metrics)]
  measureHeap(metrics)
  measureCpu(metrics)
  measureResources(metrics)
  endings.push(measureDescriptors(metrics))
  return {
    cancel() {
      for (const end of endings.splice(0)) end()
    },
  }
}

type End = () => void

function measureDelay(metrics: InstrumentMaker): End {
  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs })
  delay.enable()
  // What Node measures is the time between two samples, so the distance there should be is taken off.
  const seconds = (ns: number): number => Math.max(0, ns - delayResolutionMs * nsPerMs) / nsPerSecond
  const values: readonly (readonly [name: string, description: string, read: (from: IntervalHistogram) => number])[] = [
    ['min', 'Event loop minimum delay.', ({ min }) => seconds(min)],
    ['max', 'Event loop maximum delay.', ({ max }) => seconds(max)],
    ['mean', 'Event loop mean delay.', ({ mean }) => seconds(mean)],
    ['stddev', 'Event loop standard deviation delay.', ({ stddev }) => stddev / nsPerSecond],
    ['p50', 'Event loop 50 percentile delay.', (from) => seconds(from.percentile(50))],
    ['p90', 'Event loop 90 percentile delay.', (from) => seconds(from.percentile(90))],
    ['p99', 'Event loop 99 percentile delay.', (from) => seconds(from.percentile(99))],
  ]
  const gauges = values.map(
    ([name, description, read]) => [metrics.createGauge(`nodejs.eventloop.delay.${name}`, { unit: 's', description }), read] as const,
  )
  const asked = metrics.beforeCollect(() => {
    // Nothing was sampled: a short interval, or a process that was stopped all along.
    if (delay.count === 0) return
    for (const [gauge, read] of gauges) gauge.record(read(delay))
    delay.reset()
  })
  return () => {
    asked.cancel()
    delay.disable()
  }
}

function measureLoop(metrics: InstrumentMaker): End {
  const utilization = metrics.createGauge('nodejs.eventloop.utilization', { unit: '1', description: 'Event loop utilization.' })
  const time = metrics.createObservableCounter('nodejs.eventloop.time', {
    unit: 's',
    description: 'Cumulative duration of time the event loop has been in each state.',
  })
  let last = performance.eventLoopUtilization()
  const asked = metrics.beforeCollect(() => {
    const now = performance.eventLoopUtilization()
    // Without idle time, as in a worker that has only begun, Node says 0 of 0.
    utilization.record(performance.eventLoopUtilization(now, last).utilization || 0)
    last = now
    time.observe(now.active / 1_000, { 'nodejs.eventloop.state': 'active' })
    time.observe(now.idle / 1_000, { 'nodejs.eventloop.state': 'idle' })
  })
  return () => asked.cancel()
}

function measureCollections(metrics: InstrumentMaker): End {
  const duration = metrics.createHistogram('v8js.gc.duration', { unit: 's', description: 'Garbage collection duration.' })
  const byKind = new Map<number, BoundHistogram>([
    [constants.NODE_PERFORMANCE_GC_MAJOR, duration.with({ 'v8js.gc.type': 'major' })],
    [constants.NODE_PERFORMANCE_GC_MINOR, duration.with({ 'v8js.gc.type': 'minor' })],
    [constants.NODE_PERFORMANCE_GC_INCREMENTAL, duration.with({ 'v8js.gc.type': 'incremental' })],
    [constants.NODE_PERFORMANCE_GC_WEAKCB, duration.with({ 'v8js.gc.type': 'weakcb' })],
  ])
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as { readonly detail?: { readonly kind?: number } }).detail ?? {}
      if (kind !== undefined) byKind.get(kind)?.record(entry.duration / 1_000)
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  return () => observer.disconnect()
}

function measureHeap(metrics: InstrumentMaker): void {
  const unit = 'By'
  const size = metrics.createObservableUpDownCounter('v8js.memory.heap.space.size', {
    unit,
    description: 'Total heap memory size pre-allocated for a heap space.',
  })
  const used = metrics.createObservableUpDownCounter('v8js.memory.heap.used', { unit, description: 'Heap Memory size allocated.' })
  const available = metrics.createObservableUpDownCounter('v8js.memory.heap.space.available_size', {
    unit,
    description: 'Heap space available size.',
  })
  const physical = metrics.createObservableUpDownCounter('v8js.memory.heap.space.physical_size', {
    unit,
    description: 'Committed size of a heap space.',
  })
  size.addCallback(() => {
    for (const space of getHeapSpaceStatistics()) {
      const attributes = { 'v8js.heap.space.name': space.space_name }
      size.observe(space.space_size, attributes)
      used.observe(space.space_used_size, attributes)
      available.observe(space.space_available_size, attributes)
      physical.observe(space.physical_space_size, attributes)
    }
  })
}

function measureCpu(metrics: InstrumentMaker): void {
  const time = metrics.createObservableCounter('process.cpu.time', {
    unit: 's',
    description: 'Total CPU seconds broken down by different CPU modes.',
  })
  const utilization = metrics.createObservableGauge('process.cpu.utilization', {
    unit: '1',
    description:
      'Difference in process.cpu.time since the last measurement, divided by the elapsed time and number of CPUs available to the process.',
  })
  let last = { ...process.cpuUsage(), atMs: performance.now() }
  time.addCallback(() => {
    const now = { ...process.cpuUsage(), atMs: performance.now() }
    const availableUs = (now.atMs - last.atMs) * 1_000 * availableParallelism()
    for (const mode of ['user', 'system'] as const) {
      const attributes = { 'cpu.mode': mode }
      time.observe(now[mode] / 1e6, attributes)
      if (availableUs > 0) utilization.observe((now[mode] - last[mode]) / availableUs, attributes)
    }
    last = now
  })
}

function measureResources(metrics: InstrumentMaker): void {
  const memory = metrics.createObservableUpDownCounter('process.memory.usage', {
    unit: 'By',
    description: 'The amount of physical memory in use.',
  })
  memory.addCallback(() => memory.observe(process.memoryUsage.rss()))
  const active = metrics.createObservableGauge('v8js.resource.active', {
    unit: '{resource}',
    description: 'Gauge of the active resources that are currently keeping the event loop alive.',
  })
  active.addCallback(() => {
    const counts = new Map<string, number>()
    for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1)
    for (const [type, count] of counts) active.observe(count, { 'v8js.resource.type': type })
  })
}

/** Where a system lists the descriptors of the process that asks. */
const descriptorFolders: Readonly<Partial<Record<NodeJS.Platform, string>>> = { linux: '/proc/self/fd', darwin: '/dev/fd' }

function measureDescriptors(metrics: InstrumentMaker): End {
  const folder = descriptorFolders[process.platform]
  if (folder === undefined) return () => {}
  const count = metrics.createObservableUpDownCounter('process.unix.file_descriptor.count', {
    unit: '{file_descriptor}',
    description: 'Number of UNIX file descriptors in use by the process.',
  })
  // Off the main thread: with a hundred thousand of them it takes a while. The answer goes with the next interval.
  let last: number | undefined
  const look = (): void =>
    readdir(folder, (error, names) => {
      // Reading the folder takes one, too.
      last = error === null ? names.length - 1 : undefined
    })
  look()
  const callback = (): void => {
    if (last !== undefined) count.observe(last)
    look()
  }
  count.addCallback(callback)
  return () => count.removeCallback(callback)
}

/** What is answered under `/api/v1/` about metrics: which there are, and what they were. */
import { attributeValuesListedMax, keptTiers, metricsListedMax, seriesAnswersMax, seriesPointsMax } from '../../wire/limits.ts'
import { decodeAttributes, type PointType } from '../../wire/points.ts'
import type { KeptMetrics, KeptStatus, WindowValue } from '../kept/kept-metrics.ts'
import type { VisitValue } from '../kept/kept-tier.ts'
import { type KeptInstrument, kindOf } from '../kept/kept-value.ts'
import { HeatmapQuery, SeriesQuery, type SeriesSelection, type Show, type Steps, shows, showsOf } from '../kept/series-query.ts'
import { sendJson } from './answer.ts'
import { ApiError } from './api-error.ts'
import { apiPrefix } from './api-prefix.ts'
import type { Call, Query, Route } from './route.ts'

/** What it looks at. */
export interface MetricsParts {
  kept(): KeptMetrics
  /** Of windows that are not closed yet. */
  openWindows(wants: (instrument: KeptInstrument) => boolean): Iterable<WindowValue>
  /** Series that live now. */
  names(): Iterable<readonly [instrument: KeptInstrument, attributes: string]>
  /** Unix ms. */
  timeMs(): number
}

interface MetricListed {
  readonly name: string
  readonly type: 'counter' | 'updowncounter' | 'gauge' | 'histogram'
  readonly unit: string
  readonly description: string
  readonly services: readonly string[]
  readonly attributes: Readonly<Record<string, readonly string[]>>
}

export interface MetricList {
  readonly metrics: readonly MetricListed[]
  /** There are more than are listed. */
  readonly truncated: boolean
  readonly kept: KeptStatus
}

/** Lengths of a step that are chosen when none is given. */
const niceStepsMs = [10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600].map((seconds) => 1_000 * seconds)
const niceStepsMax = 300
const listAgeMaxMs = 5_000
const waitingMax = 16
const stretchMsMax = Math.max(...keptTiers.map(({ keepMs }) => keepMs)) * 2
const nameCharsMax = 1_024

export function metricsRoutes(parts: MetricsParts): Route[] {
  const turns = new Turns()
  let listed: { readonly atMs: number; readonly list: MetricList } | undefined
  const get = (path: string, answer: Route['answer']): Route => ({ method: 'GET', path: `${apiPrefix}${path}`, isDashboard: true, answer })
  return [
    get('/metrics', ({ query, response }) => {
      query.allow()
      const nowMs = parts.timeMs()
      // All series are looked at; what is new may be some seconds late in a list of names.
      if (listed === undefined || Math.abs(nowMs - listed.atMs) > listAgeMaxMs) listed = { atMs: nowMs, list: listOf(parts) }
      sendJson(response, listed.list)
    }),
    get('/series', (call) => turns.take(() => answerSeries(call, parts))),
    get('/heatmap', (call) => turns.take(() => answerHeatmap(call, parts))),
  ]
}

/** So many at one time, and so many that wait: each reads files, and holds what it adds up. */
class Turns {
  #running = 0
  readonly #waiting: (() => void)[] = []

  async take(work: () => Promise<void>): Promise<void> {
    if (this.#running >= seriesAnswersMax) {
      if (this.#waiting.length >= waitingMax) throw new ApiError('too_many', 'too many charts are being computed; ask again')
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running += 1
    try {
      await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}

async function answerSeries(call: Call, parts: MetricsParts): Promise<void> {
  const { query, response } = call
  query.allow('metric', 'service', 'by', 'from', 'to', 'step', 'show', 'where')
  const wants = wanted(query)
  const show = showFor(query, wants, parts)
  const steps = stepsOf(query, parts)
  const series = new SeriesQuery(steps, show, selectionOf(query))
  const source = await read(call, parts, steps, wants, series.visit)
  if (source === undefined) return
  const found = series.finish()
  sendJson(response, {
    stepMs: steps.stepMs,
    from: steps.fromMs,
    show,
    times: timesOf(steps),
    series: found,
    source,
    truncated: series.isTruncated,
  })
}

async function answerHeatmap(call: Call, parts: MetricsParts): Promise<void> {
  const { query, response } = call
  query.allow('metric', 'service', 'from', 'to', 'step', 'where')
  const wants = wanted(query)
  const steps = stepsOf(query, parts)
  const heatmap = new HeatmapQuery(steps, selectionOf(query))
  const source = await read(call, parts, steps, wants, heatmap.visit)
  if (source === undefined) return
  sendJson(response, { stepMs: steps.stepMs, from: steps.fromMs, times: timesOf(steps), ...heatmap.finish(), source })
}

/** @returns Where it was read; undefined when nobody waits for it any more. */
async function read(
  { response }: Call,
  parts: MetricsParts,
  { fromMs, stepMs, count }: Steps,
  wants: (instrument: KeptInstrument) => boolean,
  visit: VisitValue,
): Promise<'memory' | '10s' | '1m' | undefined> {
  const left = new AbortController()
  response.once('close', () => left.abort())
  if (response.destroyed) return undefined
  const kept = parts.kept()
  const range = { fromMs, toMs: fromMs + stepMs * count }
  const source = kept.tierFor(range, stepMs)
  await kept.read(source, { ...range, wants, signal: left.signal }, parts.openWindows(wants), visit)
  if (left.signal.aborted) return undefined
  return kept.isOn ? source : 'memory'
}

function wanted(query: Query): (instrument: KeptInstrument) => boolean {
  const metric = query.one('metric')
  if (metric === undefined || metric === '')
    throw new ApiError('bad_request', 'metric: expected the name of one; /api/v1/metrics lists them')
  const services = new Set(query.all('service'))
  return ({ name, service }) => name === metric && (services.size === 0 || (service !== undefined && services.has(service)))
}

/** What can be shown depends on the kind; one that is known of nothing yet may be shown in any way. */
function showFor(query: Query, wants: (instrument: KeptInstrument) => boolean, parts: MetricsParts): Show {
  const text = query.one('show')
  const show = shows.find((each) => each === text)
  if (text !== undefined && show === undefined) throw new ApiError('bad_request', `show: expected one of ${shows.join(', ')}`)
  const instrument = firstOf(parts.names(), wants) ?? firstOf(parts.kept().names(), wants)
  if (instrument === undefined) return show ?? 'sum'
  const possible = showsOf[kindOf(instrument.type)]
  if (show === undefined) return possible[0]
  if (possible.includes(show)) return show
  throw new ApiError('bad_request', `show: of a ${typeShown(instrument.type)} there are ${possible.join(', ')}`)
}

function firstOf(
  names: Iterable<readonly [instrument: KeptInstrument, attributes: string]>,
  wants: (instrument: KeptInstrument) => boolean,
): KeptInstrument | undefined {
  for (const [instrument] of names) if (wants(instrument)) return instrument
  return undefined
}

function stepsOf(query: Query, parts: MetricsParts): Steps {
  const nowMs = parts.timeMs()
  const bounds = { min: 0, max: 8.64e15 }
  const toMs = Math.min(query.integer('to', bounds) ?? nowMs, nowMs)
  const fromMs = query.integer('from', bounds) ?? toMs - 3_600_000
  if (fromMs >= toMs) throw new ApiError('bad_request', 'from: expected a time before "to", and before now, Unix ms')
  const { fineMs, coarseMs } = parts.kept()
  const startMs = Math.max(fromMs, nowMs - stretchMsMax)
  const asked = query.integer('step', { min: 1, max: stretchMsMax })
  const needed = asked ?? niceStepsMs.find((ms) => (toMs - startMs) / ms <= niceStepsMax && ms >= fineMs) ?? stretchMsMax / niceStepsMax
  // Slots are not divided.
  let stepMs = Math.ceil(needed / fineMs) * fineMs
  if (parts.kept().tierFor({ fromMs: startMs, toMs }, stepMs) === '1m') stepMs = Math.ceil(needed / coarseMs) * coarseMs
  const first = Math.floor(startMs / stepMs)
  // The step that is under way is left out: it would always look like the end of everything.
  const count = Math.floor(toMs / stepMs) - first
  if (count > seriesPointsMax)
    throw new ApiError(
      'bad_request',
      `step: expected at least ${Math.ceil((toMs - startMs) / seriesPointsMax)} ms for that stretch of time: ${seriesPointsMax} points are answered at most`,
    )
  return { fromMs: first * stepMs, stepMs, count: Math.max(0, count) }
}

function timesOf({ fromMs, stepMs, count }: Steps): readonly number[] {
  return Array.from({ length: count }, (_, i) => fromMs + i * stepMs)
}

function selectionOf(query: Query): SeriesSelection {
  const where = query.all('where').map((text) => {
    const at = text.indexOf(':')
    if (at < 1) throw new ApiError('bad_request', 'where: expected ATTRIBUTE:VALUE, such as route:/pay')
    return [text.slice(0, at), text.slice(at + 1)] as const
  })
  const by = query.all('by')
  if (by.some((name) => name === '' || name.length > nameCharsMax))
    throw new ApiError('bad_request', 'by: expected the name of an attribute, or service')
  return { by, where }
}

function typeShown(type: PointType): MetricListed['type'] {
  if (type === 'upDownCounter') return 'updowncounter'
  return type === 'buckets' ? 'histogram' : type
}

interface Collected {
  readonly type: MetricListed['type']
  readonly unit: string
  description: string
  readonly services: Set<string>
  readonly attributes: Map<string, Set<string>>
  readonly seen: Set<string>
}

function listOf(parts: MetricsParts): MetricList {
  const byName = new Map<string, Collected>()
  let truncated = false
  const collect = (names: Iterable<readonly [instrument: KeptInstrument, attributes: string]>) => {
    for (const [{ name, type, unit, description, service }, attributes] of names) {
      let metric = byName.get(name)
      if (metric === undefined) {
        if (byName.size >= metricsListedMax) {
          truncated = true
          continue
        }
        metric = { type: typeShown(type), unit, description, services: new Set(), attributes: new Map(), seen: new Set() }
        byName.set(name, metric)
      }
      metric.description ||= description
      if (service !== undefined && metric.services.size < metricsListedMax) metric.services.add(service)
      if (metric.seen.has(attributes)) continue
      metric.seen.add(attributes)
      for (const [key, value] of Object.entries(decodeAttributes(attributes) ?? {})) {
        const values = metric.attributes.get(key) ?? new Set()
        metric.attributes.set(key, values)
        if (values.size < attributeValuesListedMax) values.add(String(value))
      }
    }
  }
  collect(parts.names())
  collect(parts.kept().names())
  const metrics = [...byName].map(([name, { type, unit, description, services, attributes }]) => ({
    name,
    type,
    unit,
    description,
    services: [...services].sort(),
    attributes: Object.fromEntries([...attributes].map(([key, values]) => [key, [...values].sort()])),
  }))
  return { metrics: metrics.sort((a, b) => (a.name < b.name ? -1 : 1)), truncated, kept: parts.kept().status() }
}

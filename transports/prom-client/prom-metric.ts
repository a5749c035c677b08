/**
 * One metric of a prom-client registry: asked as prom-client asks it, and read.
 *
 * The values of prom-client's own classes are read from where they keep them, `hashMap`: at once, without waiting for a
 * `collect` that hangs, and at the end of the process, when no promise runs any more. Of anything else that a registry
 * may hold, and of versions that keep them elsewhere, the last answer of `get()` is taken.
 */

/** The parts of prom-client's metrics that are looked at. */
export interface PromMetric {
  readonly name: string
  readonly help?: string
  /** prom-client 14 does not say it here. */
  readonly type?: PromType
  readonly collect?: () => unknown
  readonly get?: () => unknown
}

type PromType = 'counter' | 'gauge' | 'histogram' | 'summary'
type Labels = Readonly<Record<string, string | number>>

interface PromAnswer {
  readonly values?: readonly PromValue[]
}

interface PromValue {
  readonly labels?: Labels
  readonly value: number
  readonly metricName?: string
}

/** What one set of labels holds: of a histogram or summary `value` is the sum. */
export interface PromSample {
  /** One for each set of labels. */
  readonly key: string
  readonly labels: Labels
  readonly value: number
  /** Each of its bucket alone, one more than `bounds`. Empty for counters and gauges. */
  readonly counts: readonly number[]
  readonly bounds: readonly number[]
  /** Of a summary. */
  readonly quantiles: readonly { readonly quantile: number; readonly value: number }[]
}

const noQuantiles: PromSample['quantiles'] = []
const types: ReadonlySet<unknown> = new Set<PromType>(['counter', 'gauge', 'histogram', 'summary'])

/** Whether something in a registry is a metric whose values can be had. */
export function isPromMetric(metric: unknown): metric is PromMetric {
  if (metric === null || typeof metric !== 'object') return false
  const { name, get } = metric as Partial<PromMetric>
  return typeof name === 'string' && typeOf(metric) !== undefined && (typeof get === 'function' || hasValues(metric))
}

/** What it is, by its own word or by what can be done with it. */
export function typeOf(metric: object): PromType | undefined {
  if ('type' in metric && types.has(metric.type)) return metric.type as PromType
  if ('upperBounds' in metric) return 'histogram'
  if ('percentiles' in metric) return 'summary'
  if ('set' in metric) return 'gauge'
  return 'inc' in metric ? 'counter' : undefined
}

/** Whether prom-client keeps its values where they can be read at once. */
export function hasValues(metric: unknown): metric is { readonly hashMap: Readonly<Record<string, unknown>> } {
  const { hashMap } = metric as { readonly hashMap?: unknown }
  return hashMap !== null && typeof hashMap === 'object' && !(hashMap instanceof Map)
}

/** Reads what prom-client keeps now. What is not as expected is passed over. */
export function readValues(metric: PromMetric): PromSample[] {
  if (!hasValues(metric)) return []
  const samples: PromSample[] = []
  for (const [key, kept] of Object.entries(metric.hashMap)) {
    const sample = kept !== null && typeof kept === 'object' ? readKept(metric, key, kept) : undefined
    if (sample !== undefined) samples.push(sample)
  }
  return samples
}

interface Kept {
  readonly labels?: Labels
  readonly value?: unknown
  readonly sum?: unknown
  readonly count?: unknown
  readonly bucketValues?: Readonly<Record<number, number>>
  readonly td?: { compress(): void; size(): number; percentile(quantile: number): number | undefined }
}

function readKept(metric: PromMetric, key: string, { labels = {}, value, sum, count, bucketValues, td }: Kept): PromSample | undefined {
  const sample = { key, labels, bounds: [], counts: [], quantiles: noQuantiles }
  const type = typeOf(metric)
  if (type === 'counter' || type === 'gauge') return typeof value === 'number' ? { ...sample, value } : undefined
  if (typeof sum !== 'number' || typeof count !== 'number') return undefined
  if (type === 'summary')
    return { ...sample, value: sum, counts: [count], quantiles: td === undefined ? noQuantiles : readDigest(metric, td) }
  const { upperBounds: bounds } = metric as { readonly upperBounds?: readonly number[] }
  if (bucketValues === undefined || !Array.isArray(bounds)) return undefined
  const counts = bounds.map((bound) => bucketValues[bound] ?? 0)
  return { ...sample, value: sum, bounds, counts: [...counts, count - counts.reduce((all, each) => all + each, 0)] }
}

function readDigest(metric: PromMetric, digest: NonNullable<Kept['td']>): PromSample['quantiles'] {
  const { percentiles } = metric as { readonly percentiles?: readonly number[] }
  // Of nothing prom-client says 0.
  if (!Array.isArray(percentiles) || digest.size() === 0) return noQuantiles
  digest.compress()
  return percentiles.map((quantile) => ({ quantile, value: digest.percentile(quantile) ?? Number.NaN }))
}

/** The same from an answer of `get()`, in which the buckets of a histogram are values of their own. */
export function readAnswer(metric: PromMetric, answer: unknown): PromSample[] {
  const { name } = metric
  const type = typeOf(metric)
  const { values } = (answer ?? {}) as PromAnswer
  const gathered = new Map<string, Gathered>()
  for (const { labels = {}, value, metricName = name } of Array.isArray(values) ? values : []) {
    const { le, quantile, ...own } = labels
    const isParted = type === 'histogram' || type === 'summary'
    const key = JSON.stringify(Object.entries(isParted ? own : labels).sort(([a], [b]) => (a < b ? -1 : 1)))
    const parts: Gathered = gathered.get(key) ?? { labels: isParted ? own : labels, value: 0, upTo: [], count: 0, quantiles: [] }
    gathered.set(key, parts)
    if (!isParted || metricName === `${name}_sum`) parts.value = value
    else if (metricName === `${name}_count`) parts.count = value
    else if (le !== undefined) parts.upTo.push({ bound: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), count: value })
    else if (quantile !== undefined) parts.quantiles.push({ quantile: Number(quantile), value })
  }
  return [...gathered].map(([key, parts]) => sampleOf(type, key, parts))
}

interface Gathered {
  readonly labels: Labels
  value: number
  readonly upTo: { readonly bound: number; readonly count: number }[]
  count: number
  readonly quantiles: { readonly quantile: number; readonly value: number }[]
}

function sampleOf(type: PromType | undefined, key: string, { labels, value, upTo, count, quantiles }: Gathered): PromSample {
  const finite = upTo.filter(({ bound }) => bound < Number.POSITIVE_INFINITY).sort((a, b) => a.bound - b.bound)
  const totals = [...finite.map((bucket) => bucket.count), count]
  const counts = type === 'counter' || type === 'gauge' ? [] : totals.map((total, i) => total - (totals[i - 1] ?? 0))
  return { key, labels, value, bounds: finite.map(({ bound }) => bound), counts, quantiles: count > 0 ? quantiles : noQuantiles }
}

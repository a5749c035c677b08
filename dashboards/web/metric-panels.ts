/** What is drawn on the metrics page: panels, as they stand in the link and in a saved file. */

export const shows = ['rate', 'sum', 'last', 'min', 'max', 'mean', 'p50', 'p90', 'p99', 'heatmap'] as const
export type Show = (typeof shows)[number]

export interface Panel {
  readonly metric: string
  readonly show: Show
  readonly service?: string
  /** Attribute to group by. */
  readonly by?: string
}

export const panelsMax = 24
const textMax = 300

/** The panels in a text; undefined when it is none of ours. Whatever else is in it is left out. */
export function readPanels(text: string | null): readonly Panel[] | undefined {
  if (text === null || text === '') return []
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const list = Array.isArray(value) ? value : ((value ?? {}) as { panels?: unknown }).panels
  if (!Array.isArray(list)) return undefined
  return list.slice(0, panelsMax).flatMap((each) => readPanel(each) ?? [])
}

function readPanel(value: unknown): Panel | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { metric, show, service, by } = value as Record<string, unknown>
  const known = shows.find((each) => each === show)
  if (!isText(metric) || known === undefined) return undefined
  return { metric, show: known, ...(isText(service) && { service }), ...(isText(by) && { by }) }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= textMax
}

/** Ranges to choose from, ms, and how often each is asked for anew. */
export const ranges = {
  '5m': { ms: 300_000, everyMs: 5_000 },
  '15m': { ms: 900_000, everyMs: 10_000 },
  '1h': { ms: 3_600_000, everyMs: 10_000 },
  '6h': { ms: 21_600_000, everyMs: 30_000 },
  '24h': { ms: 86_400_000, everyMs: 60_000 },
  '7d': { ms: 604_800_000, everyMs: 60_000 },
} as const
export type RangeName = keyof typeof ranges

export function readRange(text: string | null): RangeName {
  return text !== null && Object.hasOwn(ranges, text) ? (text as RangeName) : '15m'
}

/** As fine as a few hundred points allow, a multiple of what is kept. */
export function stepOf({ ms }: { readonly ms: number }): number {
  return Math.max(10_000, Math.ceil(ms / 300 / 10_000) * 10_000)
}

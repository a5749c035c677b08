/** What the collector's API answers, as far as the page reads it; docs/openapi.json describes all of it. Times are Unix ms. */

export const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type Level = (typeof levels)[number]

type LostByReason = Readonly<Record<string, number>>

export interface RateHistory {
  readonly stepMs: number
  readonly from: number
  readonly levels: Readonly<Partial<Record<Level, readonly number[]>>>
}

interface Problem {
  readonly severity: 'error' | 'warn'
  readonly text: string
}

export interface ServiceOverview {
  readonly service: string
  readonly origins: { readonly live: number; readonly closed: number; readonly unclean: number; readonly lost: number }
  readonly rates: Readonly<Partial<Record<Level, number>>>
  readonly history: RateHistory
  readonly errorsPerSecond: number
  readonly pointsPerSecond: number
  readonly lost: { readonly total: number; readonly perSecond: number; readonly byReason: LostByReason }
  readonly eventLoopP99Ms: number | null
  readonly cpuCores: number | null
  readonly rssBytes: number | null
  readonly problems: readonly Problem[]
}

export interface SinkFlow {
  readonly name: string
  readonly type: string
  readonly topics: readonly string[]
  readonly ratePerSecond: number
  readonly written: number
  readonly lagRecords: number
  readonly lagMs: number
  readonly rejected: number
  readonly expired: number
  readonly state: 'ok' | 'stalled' | 'failing'
  readonly lastError: string | null
  readonly where: string
}

export interface Overview {
  readonly at: number
  readonly services: readonly ServiceOverview[]
  readonly collector: { readonly version: string; readonly startedAt: number; readonly rssBytes: number; readonly cpuCores: number }
  readonly sinks: readonly SinkFlow[]
}

export interface AppFlow {
  readonly service: string
  readonly origins: number
  readonly ratePerSecond: number
  readonly bytesPerSecond: number
  readonly inFlight: number
  readonly lost: LostByReason
}

export interface Books {
  readonly accepted: number
  readonly received: number
  readonly lost: number
  readonly spooled: number
  readonly stored: number
  readonly pending: number
  readonly rejected: number
  readonly expired: number
  readonly notDurable: number
  readonly inFlight: number
}

export interface Flow {
  readonly at: number
  readonly apps: readonly AppFlow[]
  readonly collector: {
    readonly receivedPerSecond: number
    readonly spooledPerSecond: number
    readonly notDurable: number
    readonly spool: { readonly bytes: number; readonly maxBytes: number; readonly error: string | null }
  }
  readonly sinks: readonly SinkFlow[]
  readonly books: Books
}

export interface Hello {
  readonly version: string
  /** Changes with every start of the collector. */
  readonly run: string
}

export interface LiveRecord {
  readonly topic: string
  readonly service: string
  readonly level: Level | null
  readonly time: number
  readonly host: string | null
  readonly origin?: string | null
  readonly seq?: number | null
  /** As the application wrote it. */
  readonly line: string
}

/** Totals since the page opened, but for the rate. */
export interface LiveCounts {
  readonly rate: number
  readonly shown: number
  readonly filtered: number
  readonly skipped: number
  readonly missed: number
  readonly tooCostly?: number
}

type MetricType = 'counter' | 'updowncounter' | 'gauge' | 'histogram'

export interface Metric {
  readonly name: string
  readonly type: MetricType
  readonly unit: string
  readonly description: string
  readonly services: readonly string[]
  readonly attributes: Readonly<Record<string, readonly string[]>>
}

export interface SeriesAnswer {
  readonly stepMs: number
  readonly times: readonly number[]
  readonly series: readonly { readonly labels: Readonly<Record<string, string>>; readonly values: readonly (number | null)[] }[]
  readonly source: string
  readonly truncated: boolean
}

export interface HeatMapAnswer {
  readonly times: readonly number[]
  /** Edges of the rows, ascending: one more than there are rows. */
  readonly bounds: readonly number[]
  /** For each time, values in each row; none where nothing was. */
  readonly counts: readonly (readonly number[])[]
}

export interface MetricsOptions {
  /** Between two sendings, ms. */
  readonly intervalMs: number
  /** Series of one instrument. */
  readonly seriesMax: number
  /** Whether the process measures itself. */
  readonly runtime: boolean
}

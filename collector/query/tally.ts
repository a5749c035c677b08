/** What is counted over matching lines: how many, of which kinds, when, and how a number of theirs is distributed. */
import { Distribution } from './distribution.ts'
import type { Match } from './line-query.ts'

export interface TallyOptions {
  /** Field whose values are told apart. */
  readonly by?: string | undefined
  /** Interval, ms. */
  readonly everyMs?: number | undefined
  /** Field whose numbers are described. */
  readonly stats?: string | undefined
}

export interface TallyRow {
  /** Unix ms at which the interval begins; undefined without intervals. */
  readonly timeMs: number | undefined
  /** Undefined without `by`. */
  readonly group: string | undefined
  readonly count: number
  /** Undefined without `stats`. Its own count is of lines that have a number there. */
  readonly stats: Distribution | undefined
}

/** Told apart; what comes beyond is counted together. */
const groupsMax = 10_000
const cellsMax = 100_000
const distributionsMax = 2_000
const groupCharsMax = 200
const otherGroup = '(others)'
const missingGroup = '(none)'

interface Cell {
  readonly timeMs: number | undefined
  readonly group: string | undefined
  count: number
  readonly stats: Distribution | undefined
}

export class Tally {
  readonly #options: TallyOptions
  readonly #cells = new Map<string, Cell>()
  readonly #groups = new Set<string>()
  #distributions = 0
  /** Lines without a time, where intervals are asked for. */
  untimed = 0
  /** Lines in `(others)`, and lines of intervals of which there were too many. */
  folded = 0

  constructor(options: TallyOptions) {
    this.#options = options
  }

  add(match: Match): void {
    const { by, everyMs, stats } = this.#options
    if (everyMs !== undefined && match.timeMs === undefined) {
      this.untimed += 1
      return
    }
    const timeMs = everyMs === undefined || match.timeMs === undefined ? undefined : Math.floor(match.timeMs / everyMs) * everyMs
    const group = by === undefined ? undefined : this.#groupOf(fieldOf(match, by))
    const cell = this.#cell(timeMs, group)
    if (cell === undefined) {
      this.folded += 1
      return
    }
    cell.count += 1
    const value = stats === undefined ? undefined : fieldOf(match, stats)
    if (typeof value === 'number' && Number.isFinite(value)) cell.stats?.add(value)
  }

  #groupOf(value: unknown): string {
    const text = value === undefined ? missingGroup : typeof value === 'string' ? value : JSON.stringify(value)
    const group = text.length > groupCharsMax ? `${text.slice(0, groupCharsMax)}…` : text
    if (this.#groups.has(group)) return group
    const max = this.#options.stats === undefined ? groupsMax : distributionsMax
    if (this.#groups.size >= max) {
      this.folded += 1
      return otherGroup
    }
    this.#groups.add(group)
    return group
  }

  #cell(timeMs: number | undefined, group: string | undefined): Cell | undefined {
    const key = `${timeMs ?? ''} ${group ?? ''}`
    let cell = this.#cells.get(key)
    if (cell !== undefined) return cell
    const hasStats = this.#options.stats !== undefined
    if (this.#cells.size >= cellsMax || (hasStats && this.#distributions >= distributionsMax + 1)) return undefined
    if (hasStats) this.#distributions += 1
    cell = { timeMs, group, count: 0, stats: hasStats ? new Distribution() : undefined }
    this.#cells.set(key, cell)
    return cell
  }

  /** Intervals in their order, empty ones between them too; groups from the most frequent one. */
  rows(): TallyRow[] {
    const rows: TallyRow[] = [...this.#cells.values()]
    const { everyMs, by, stats } = this.#options
    if (everyMs !== undefined && by === undefined) rows.push(...this.#emptyIntervals(everyMs))
    if (rows.length === 0 && by === undefined && everyMs === undefined)
      rows.push({ timeMs: undefined, group: undefined, count: 0, stats: stats === undefined ? undefined : new Distribution() })
    const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
    return rows.sort((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0) || b.count - a.count || byName(a.group ?? '', b.group ?? ''))
  }

  #emptyIntervals(everyMs: number): TallyRow[] {
    const times = new Set([...this.#cells.values()].map(({ timeMs }) => timeMs ?? 0))
    const first = times.size === 0 ? 0 : [...times].reduce((a, b) => Math.min(a, b))
    const last = times.size === 0 ? 0 : [...times].reduce((a, b) => Math.max(a, b))
    // A line with a wrong clock would make millions.
    if ((last - first) / everyMs > groupsMax) return []
    const empty: TallyRow[] = []
    for (let timeMs = first + everyMs; timeMs < last; timeMs += everyMs)
      if (!times.has(timeMs))
        empty.push({ timeMs, group: undefined, count: 0, stats: this.#options.stats === undefined ? undefined : new Distribution() })
    return empty
  }
}

/** A field by its path, or one of the names that are always there; undefined when it is missing. */
export function fieldOf(match: Match, path: string): unknown {
  switch (path) {
    case 'level':
    case 'service':
    case 'topic':
    case 'host':
      return match[path]
    case 'time':
      return match.timeMs === undefined ? undefined : new Date(match.timeMs).toISOString()
  }
  // A name with dots in it comes first.
  if (Object.hasOwn(match.fields, path)) return match.fields[path]
  let value: unknown = match.fields
  for (const name of path.split('.')) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, name)) return undefined
    value = (value as Readonly<Record<string, unknown>>)[name]
  }
  return value
}

/** What `spillway top` draws: a snapshot as rows that fit a terminal. Pure. */
import { type Level, levels } from '../wire/level.ts'
import { formatBytes, formatCount, formatDuration } from '../wire/quantity.ts'
import type { TextSearch } from '../wire/text-search.ts'
import { cutEnd, type Piece, type Style, type StyledText } from './styled-text.ts'
import { cutMiddle, padEnd } from './text-width.ts'
import type { Flow, OriginFlow, ServiceFlow, Snapshot, TopicFlow } from './top-rates.ts'
import type { TopSort } from './top-sorts.ts'
import { visibleText } from './visible-text.ts'

export const topViews = ['services', 'origins', 'topics'] as const
export type TopView = (typeof topViews)[number]

export interface TopTableOptions {
  /** Where the collector was asked. */
  readonly address: string
  readonly view: TopView
  readonly sort: TopSort
  readonly isReversed: boolean
  readonly filter?: TextSearch | undefined
  /** Rows passed over. */
  readonly from: number
  /** Rows of the table; undefined for all. */
  readonly size: { readonly columns: number; readonly rows: number | undefined }
}

interface Column<T> {
  readonly title: string
  readonly width: number
  of(row: T): Piece
}

const busiestMax = 5
const headRows = 4
const gap = ' '

const levelColumns: readonly Column<Flow>[] = levels.map((level) => ({
  title: level.toUpperCase(),
  width: 5,
  of: ({ rates }) => rate(rates[level], levelStyle(level)),
}))
const lostColumn: Column<Flow> = {
  title: 'LOST',
  width: 6,
  of: ({ lost, lostPerSecond }) => ({
    text: lost === 0 ? '·' : shortNumber(lost),
    style: lost === 0 ? 'gray' : lostPerSecond > 0 ? 'red' : 'yellow',
  }),
}
const rateColumn: Column<Flow> = { title: 'PER S', width: 6, of: ({ perSecond }) => rate(perSecond, undefined) }

const serviceColumns: readonly Column<ServiceFlow>[] = [
  {
    title: 'ORIG',
    width: 4,
    of: ({ origins }) => ({
      text: shortNumber((origins['live'] ?? 0) + (origins['silent'] ?? 0)),
      style: origins['unclean'] ? 'red' : undefined,
    }),
  },
  ...levelColumns,
  { title: 'POINT', width: 5, of: ({ rates }) => rate(rates.points, undefined) },
  lostColumn,
  { title: 'LOOP', width: 6, of: ({ eventLoopDelayMs }) => loopDelay(eventLoopDelayMs) },
]
const originColumns: readonly Column<OriginFlow>[] = [
  {
    title: 'STATE',
    width: 8,
    of: ({ state }) => ({
      text: cutMiddle(visibleText(state), 8),
      style: state === 'live' ? 'green' : state === 'unclean' ? 'red' : 'yellow',
    }),
  },
  rateColumn,
  { title: 'ERRORS', width: 6, of: (flow) => rate(errorsOf(flow), 'red') },
  { title: 'FLIGHT', width: 6, of: ({ inFlight }) => rate(inFlight, undefined) },
  lostColumn,
]
const topicColumns: readonly Column<TopicFlow>[] = [
  rateColumn,
  { title: 'FLIGHT', width: 6, of: ({ inFlight }) => rate(inFlight, undefined) },
  lostColumn,
]

export interface TopTable {
  readonly rows: readonly StyledText[]
  /** Rows of the table there are, shown or not. */
  readonly length: number
  /** Rows of it that fit. */
  readonly page: number
}

export function topTable(snapshot: Snapshot, options: TopTableOptions): TopTable {
  const head = headOf(snapshot, options)
  const busiest = options.view === 'services' ? busiestTopics(snapshot, options) : []
  const page = options.size.rows === undefined ? Number.POSITIVE_INFINITY : Math.max(1, options.size.rows - headRows - 1 - busiest.length)
  const { title, rows } = table(snapshot, options)
  const shown = rows.slice(options.from, options.from + page)
  const filling = busiest.length > 0 && Number.isFinite(page) ? Array.from({ length: page - shown.length }, () => []) : []
  return {
    rows: [...head, title, ...shown, ...filling, ...busiest].map((row) => cutEnd(row, options.size.columns)),
    length: rows.length,
    page,
  }
}

function headOf(snapshot: Snapshot, { address }: TopTableOptions): StyledText[] {
  const { totals, sinks, spool } = snapshot
  const version = visibleText(snapshot.version.slice(0, 40))
  const shownSinks = Object.entries(sinks).slice(0, 8)
  const sinkPieces = shownSinks.flatMap(([name, { lagMs, pendingRecords, error }]): Piece[] => [
    { text: `  ${cutMiddle(visibleText(name), 20)} ` },
    error === null
      ? { text: `${formatDuration(lagMs)} behind`, style: lagMs > 10_000 ? 'red' : lagMs > 1_000 ? 'yellow' : 'green' }
      : { text: 'failing', style: 'red' },
    { text: pendingRecords > 0 ? `, ${shortNumber(pendingRecords)} waiting` : '' },
  ])
  const spoolPiece: Piece =
    spool === null
      ? { text: '' }
      : { text: `  spool ${formatBytes(spool.bytes)} of ${formatBytes(spool.bytesMax)}`, style: spool.error === null ? undefined : 'red' }
  return [
    [{ text: 'spillway top', style: 'bold' }, { text: `  ${address}  collector ${version}, up ${formatDuration(snapshot.uptimeMs)}` }],
    [
      { text: 'accepted ' },
      { text: `${formatCount(Math.round(totals.perSecond))}/s`, style: 'bold' },
      { text: `  delivered ${formatCount(Math.round(totals.deliveredPerSecond))}/s  ` },
      {
        text: `lost ${formatCount(Math.round(totals.lostPerSecond))}/s, ${formatCount(totals.lost)} so far`,
        style: totals.lostPerSecond > 0 ? 'red' : totals.lost > 0 ? 'yellow' : undefined,
      },
      { text: `  in flight ${formatCount(totals.inFlight)}` },
    ],
    [{ text: 'sinks' }, ...sinkPieces, spoolPiece],
    [],
  ]
}

function table(snapshot: Snapshot, options: TopTableOptions): { readonly title: StyledText; readonly rows: StyledText[] } {
  switch (options.view) {
    case 'services':
      return drawn(
        'SERVICE',
        serviceColumns,
        chosen(snapshot.services, options, ({ service }) => service),
        ({ service }) => service,
        options,
      )
    case 'origins':
      return drawn('ORIGIN', originColumns, chosen(snapshot.origins, options, nameOfOrigin), nameOfOrigin, options)
    case 'topics':
      return drawn(
        'TOPIC',
        topicColumns,
        chosen(snapshot.topics, options, ({ topic }) => topic),
        ({ topic }) => topic,
        options,
      )
  }
}

function nameOfOrigin({ service, host, pid, origin }: OriginFlow): string {
  return `${service} ${host === null ? origin : `${host}~${pid}`}`
}

/** What the filter lets through, in order. */
function chosen<T extends Flow>(rows: readonly T[], { filter, sort, isReversed }: TopTableOptions, nameOf: (row: T) => string): T[] {
  const kept = filter === undefined ? [...rows] : rows.filter((row) => filter.isIn(nameOf(row)))
  const byName = (a: T, b: T) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0)
  const key: (flow: Flow) => number = sort === 'errors' ? errorsOf : sort === 'lost' ? ({ lost }) => lost : ({ perSecond }) => perSecond
  kept.sort((a, b) => (sort === 'name' ? 0 : key(b) - key(a)) || byName(a, b))
  return isReversed ? kept.reverse() : kept
}

function drawn<T>(
  title: string,
  columns: readonly Column<T>[],
  rows: readonly T[],
  nameOf: (row: T) => string,
  { size }: TopTableOptions,
): { readonly title: StyledText; readonly rows: StyledText[] } {
  const used = columns.reduce((sum, { width }) => sum + gap.length + width, 0)
  const nameColumns = Math.max(8, size.columns - used)
  const cells = (row: T): Piece[] =>
    columns.flatMap(({ width, of }): Piece[] => {
      const { text, style } = of(row)
      return [{ text: gap + ' '.repeat(Math.max(0, width - text.length)) }, { text, style }]
    })
  return {
    title: [
      {
        text: `${padEnd(title, nameColumns)}${columns.map(({ title: name, width }) => gap + name.padStart(width)).join('')}`,
        style: 'inverse',
      },
    ],
    rows: rows.map((row) => [{ text: padEnd(cutMiddle(visibleText(nameOf(row).slice(0, 500)), nameColumns), nameColumns) }, ...cells(row)]),
  }
}

function busiestTopics(snapshot: Snapshot, options: TopTableOptions): StyledText[] {
  const { filter, size } = options
  const most = snapshot.topics
    .filter(({ perSecond, service }) => perSecond > 0 && (filter === undefined || filter.isIn(service)))
    .sort((a, b) => b.perSecond - a.perSecond)
    .slice(0, size.rows !== undefined && size.rows < 16 ? 1 : busiestMax)
  if (most.length === 0) return []
  const { title, rows } = drawn('BUSIEST TOPICS', topicColumns, most, ({ topic }) => topic, options)
  return [title, ...rows]
}

function errorsOf({ rates }: Flow): number {
  return rates.error + rates.fatal
}

function levelStyle(level: Level): Style | undefined {
  return level === 'warn' ? 'yellow' : level === 'error' || level === 'fatal' ? 'red' : undefined
}

function rate(value: number, style: Style | undefined): Piece {
  return value === 0 ? { text: '·', style: 'gray' } : { text: shortNumber(value), style }
}

function loopDelay(ms: number | undefined): Piece {
  if (ms === undefined) return { text: '·', style: 'gray' }
  return {
    text: ms < 9.95 ? `${ms.toFixed(1)}ms` : ms < 9_999.5 ? `${Math.round(ms)}ms` : `${Math.round(ms / 1_000)}s`,
    style: ms > 100 ? 'red' : ms > 30 ? 'yellow' : undefined,
  }
}

/** At most five characters: `0.3`, `950`, `1.2k`, `12k`, `999k`, `1.2M`. */
function shortNumber(value: number): string {
  if (value < 9.95) return Number.isInteger(value) ? String(value) : value < 0.05 ? '>0' : value.toFixed(1)
  if (value < 999.5) return String(Math.round(value))
  for (const [unit, size] of shortUnits) {
    const scaled = value / size
    if (scaled < 9.95) return `${scaled.toFixed(1)}${unit}`
    if (scaled < 999.5) return `${Math.round(scaled)}${unit}`
  }
  return '>999T'
}

const shortUnits = [
  ['k', 1e3],
  ['M', 1e6],
  ['G', 1e9],
  ['T', 1e12],
] as const

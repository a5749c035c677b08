/** Answers of `spillway query` as text: lines, tables, CSV, JSON, and a histogram over time. Pure. */
import { formatCount } from '../wire/quantity.ts'
import { cutMiddle, textWidth } from './text-width.ts'
import { visibleText } from './visible-text.ts'

/** A number of a table, or what it is a number of. */
export type Cell = string | number | undefined

const numberDigits = 6

/** A cell of CSV (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe before it. */
function csvCell(value: unknown): string {
  if (value === undefined || value === null) return ''
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  const safe = typeof value === 'string' && /^[=+@\t\r-]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export function csvLine(values: readonly unknown[]): string {
  return values.map(csvCell).join(',')
}

/** Columns as wide as they must be; numbers to the right. */
export function tableLines(columns: readonly string[], rows: readonly (readonly Cell[])[], width: number): string[] {
  const texts = [columns, ...rows].map((row) => row.map((cell) => visibleText(cellText(cell))))
  const isNumber = columns.map((_, i) => rows.every((row) => typeof row[i] !== 'string'))
  const widths = columns.map((_, i) => texts.reduce((most, row) => Math.max(most, Math.min(textWidth(row[i] ?? ''), 60)), 0))
  return texts.map((row) => {
    const cells = row.map((text, i) => {
      const cut = cutMiddle(text, widths[i] ?? 0)
      const padding = ' '.repeat(Math.max(0, (widths[i] ?? 0) - textWidth(cut)))
      return isNumber[i] ? padding + cut : cut + padding
    })
    return cutMiddle(cells.join('  ').trimEnd(), width)
  })
}

function cellText(cell: Cell): string {
  if (cell === undefined) return ''
  if (typeof cell === 'string') return cell
  if (!Number.isFinite(cell)) return '–'
  return Number.isSafeInteger(cell)
    ? cell < 0
      ? `-${formatCount(-cell)}`
      : formatCount(cell)
    : String(Number(cell.toPrecision(numberDigits)))
}

/** One line per interval, its count drawn as a bar. */
export function histogramLines(
  rows: readonly { readonly timeMs: number; readonly count: number }[],
  everyMs: number,
  width: number,
): string[] {
  const most = rows.reduce((max, row) => Math.max(max, row.count), 0)
  const counts = rows.map(({ count }) => formatCount(count))
  const countWidth = counts.reduce((max, text) => Math.max(max, text.length), 1)
  const times = rows.map(({ timeMs }) => localTime(timeMs, everyMs))
  const timeWidth = times.reduce((max, text) => Math.max(max, text.length), 0)
  const room = Math.max(1, width - timeWidth - countWidth - 4)
  return rows.map(({ count }, i) =>
    `${(times[i] ?? '').padEnd(timeWidth)}  ${(counts[i] ?? '').padStart(countWidth)}  ${bar(most === 0 ? 0 : (count / most) * room)}`.trimEnd(),
  )
}

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** At least a sliver for whatever is not nothing. */
function bar(columns: number): string {
  if (columns <= 0) return ''
  const parts = Math.max(1, Math.round(columns * 8))
  return '█'.repeat(Math.floor(parts / 8)) + (eighths[parts % 8] ?? '')
}

const two = (value: number) => String(value).padStart(2, '0')

/** Local date. */
export function localDay(ms: number): string {
  const date = new Date(ms)
  return `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

/** Local date and time, as fine as the interval needs. */
function localTime(ms: number, everyMs: number): string {
  const date = new Date(ms)
  const minutes = `${localDay(ms)} ${two(date.getHours())}:${two(date.getMinutes())}`
  if (everyMs % 60_000 === 0) return minutes
  const seconds = `${minutes}:${two(date.getSeconds())}`
  return everyMs % 1_000 === 0 ? seconds : `${seconds}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

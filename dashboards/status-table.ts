/**
 * A collector's books as lines of text: totals first, then origins and their topics, the worst first, then sinks and
 * spool. Pure. Every line fits the width; what came from elsewhere is made visible and cut in the middle.
 */
import { formatBytes, formatCount, formatDuration } from '../wire/quantity.ts'
import type { LostSince } from './lost-since.ts'
import type { StatusBooks, StatusDocument, StatusLoss, StatusOrigin, StatusSink, StatusSpool, StatusTopic } from './status-document.ts'
import { cutMiddle, padEnd, textWidth } from './text-width.ts'
import { visibleText } from './visible-text.ts'

export interface StatusTableOptions {
  /** Where the collector was asked. */
  readonly address: string
  /** Columns, at least 80. */
  readonly width: number
  readonly lost: LostSince
  /** Unix ms the losses are counted from; undefined for all the books hold. */
  readonly sinceMs?: number | undefined
}

/** Rows of topics, and origins; the rest is summed up in one row. `--json` has them all. */
export const topicRowsMax = 200
export const originRowsMax = 100
const sinkRowsMax = 50
const demandRowsMax = 20
/** Reasons, faults and other named counts in one paragraph. */
const itemsMax = 12
const gap = '  '
/** A name shorter than this says too little; then the numbers are shortened. */
const nameColumnsMin = 28
/** `~9,007.2T`: what a number is shortened to when it is wider, and the columns do not fit. */
const shortColumns = 9

export function statusTable(status: StatusDocument, options: StatusTableOptions): string[] {
  const origins = status.origins.map(summed).sort(worstFirst)
  const shown = shownOrigins(origins)
  const columns = new Columns(columnsFor(status.totals), options.width)
  columns.fit([status.totals, ...shown.origins.flatMap(({ topics }) => topics.map(([, books]) => books)), shown.rest])
  const losses = lossesByTopic(status.losses)
  return [
    ...paragraph('', `collector ${named(status.version, 40)} at ${options.address}, up ${formatDuration(status.uptimeMs)}`, options.width),
    '',
    columns.head(),
    columns.row('all', status.totals),
    ...totalsDetails(status, options.width),
    ...shown.origins.flatMap((origin) => originLines(origin, { columns, losses, status, width: options.width })),
    ...restLines(shown, status, columns, options.width),
    ...sinkLines(status, options.width),
    ...spoolLines(status.spool ?? undefined, options.width),
    ...intakeLines(status, options.width),
    ...demandLines(status, options.width),
    '',
    ...verdict(status, options),
  ]
}

// ── columns of numbers ──

interface Column {
  readonly title: string
  readonly of: (books: StatusBooks) => number
}

/** What adds up to accepted; a column that is nought everywhere is left out. */
function columnsFor(totals: StatusBooks): Column[] {
  const all: (Column & { readonly isAlways: boolean })[] = [
    { title: 'accepted', of: (books) => books.accepted, isAlways: true },
    { title: 'delivered', of: (books) => books.delivered, isAlways: true },
    { title: 'lost', of: lostRecords, isAlways: true },
    { title: 'expired', of: (books) => books.expired, isAlways: false },
    { title: 'rejected', of: (books) => books.rejected, isAlways: false },
    { title: 'in flight', of: (books) => books.inFlight, isAlways: true },
  ]
  return all.filter(({ isAlways, of }) => isAlways || of(totals) !== 0)
}

class Columns {
  readonly #columns: readonly Column[]
  readonly #width: number
  #widths: number[]
  #isShort = false

  constructor(columns: readonly Column[], width: number) {
    this.#columns = columns
    this.#width = width
    this.#widths = columns.map(({ title }) => title.length)
  }

  /** Makes the columns as wide as their widest number, or the numbers shorter. */
  fit(rows: readonly StatusBooks[]): void {
    const measure = () =>
      this.#columns.map(({ title, of }) => rows.reduce((widest, books) => Math.max(widest, this.#cell(of(books)).length), title.length))
    this.#widths = measure()
    if (this.#nameColumns >= nameColumnsMin) return
    this.#isShort = true
    this.#widths = measure()
  }

  #cell(value: number): string {
    return this.#isShort ? shortCount(value) : formatCount(value)
  }

  get #nameColumns(): number {
    return this.#width - this.#widths.reduce((sum, width) => sum + gap.length + width, 0)
  }

  head(): string {
    return this.#line(
      '',
      this.#columns.map(({ title }) => title),
    )
  }

  /** @param name - Visible already. */
  row(name: string, books: StatusBooks): string {
    return this.#line(
      name,
      this.#columns.map(({ of }) => this.#cell(of(books))),
    )
  }

  #line(name: string, cells: readonly string[]): string {
    const columns = this.#nameColumns
    return [padEnd(cutMiddle(name, columns), columns), ...cells.map((cell, i) => cell.padStart(this.#widths[i] ?? 0))].join(gap)
  }
}

/** `1,204`, or `~9,007.2T` where that takes more than nine columns. */
function shortCount(value: number): string {
  const exact = formatCount(value)
  if (exact.length <= shortColumns) return exact
  for (const [unit, size] of [
    ['P', 1e15],
    ['T', 1e12],
    ['G', 1e9],
    ['M', 1e6],
  ] as const) {
    if (Math.abs(value) < size) continue
    const tenths = Math.round(value / (size / 10))
    const text = `~${formatCount(Math.trunc(tenths / 10))}.${Math.abs(tenths % 10)}${unit}`
    return text.length <= shortColumns ? text : '~∞'
  }
  return exact
}

// ── origins and topics, the worst first ──

interface SummedOrigin {
  readonly origin: StatusOrigin
  readonly topics: readonly (readonly [name: string, books: StatusTopic])[]
  readonly sum: StatusBooks
}

function summed(origin: StatusOrigin): SummedOrigin {
  const topics = Object.entries(origin.topics).sort(
    ([aName, a], [bName, b]) => worse(a, b) || b.accepted - a.accepted || compare(aName, bName),
  )
  return { origin, topics, sum: sumOf(topics.map(([, books]) => books)) }
}

function sumOf(all: readonly StatusBooks[]): StatusBooks {
  const lost: Record<string, number> = Object.create(null)
  const sum = { accepted: 0, delivered: 0, inFlight: 0, received: 0, spooled: 0, notDurable: 0 }
  const more = { expired: 0, rejected: 0, pending: 0, filtered: 0, duplicates: 0 }
  for (const books of all) {
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += books[key]
    for (const key of Object.keys(more) as (keyof typeof more)[]) more[key] += books[key]
    for (const [reason, records] of Object.entries(books.lost)) lost[reason] = (lost[reason] ?? 0) + records
  }
  return { ...sum, ...more, lost }
}

function worstFirst(a: SummedOrigin, b: SummedOrigin): number {
  const unclean = (it: SummedOrigin) => (it.origin.state === 'unclean' ? 1 : 0)
  return (
    worse(a.sum, b.sum) ||
    unclean(b) - unclean(a) ||
    b.sum.accepted - a.sum.accepted ||
    compare(a.origin.service ?? '', b.origin.service ?? '')
  )
}

/** Most lost, then most not durable or expired or refused, then most in flight. */
function worse(a: StatusBooks, b: StatusBooks): number {
  const troubled = (books: StatusBooks) => books.notDurable + books.expired + books.rejected
  return lostRecords(b) - lostRecords(a) || troubled(b) - troubled(a) || b.inFlight - a.inFlight
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function lostRecords(books: StatusBooks): number {
  return Object.values(books.lost).reduce((sum, records) => sum + records, 0)
}

interface Shown {
  readonly origins: readonly SummedOrigin[]
  readonly restOrigins: number
  readonly restTopics: number
  readonly rest: StatusBooks
}

/** The worst rows, and what the others come to. */
function shownOrigins(all: readonly SummedOrigin[]): Shown {
  const origins: SummedOrigin[] = []
  const rest: StatusBooks[] = []
  let restOrigins = 0
  let room = topicRowsMax
  for (const it of all) {
    if (origins.length >= originRowsMax || (room === 0 && it.topics.length > 0)) {
      restOrigins += 1
      for (const [, books] of it.topics) rest.push(books)
      continue
    }
    const topics = it.topics.slice(0, room)
    room -= topics.length
    origins.push({ ...it, topics })
    for (const [, books] of it.topics.slice(topics.length)) rest.push(books)
  }
  return { origins, restOrigins, restTopics: rest.length, rest: sumOf(rest) }
}

interface OriginContext {
  readonly columns: Columns
  readonly losses: ReadonlyMap<string, StatusLoss>
  readonly status: StatusDocument
  readonly width: number
}

function originLines({ origin, topics }: SummedOrigin, { columns, losses, status, width }: OriginContext): string[] {
  return [
    '',
    ...paragraph('', `${who(origin, width)}: ${stateOf(origin)}`, width),
    ...topics.flatMap(([name, books]) => [
      columns.row(`  ${visible(name)}`, books),
      ...items('    lost', lossItems(origin.origin, name, books, losses, status.timeMs), width),
      ...items('    also', asideItems(books), width),
    ]),
  ]
}

function who({ origin, service, host, pid }: StatusOrigin, width: number): string {
  if (service === null) return `origin ${named(origin, 32)} (not introduced yet)`
  // Half a line for names at most: what follows must stand beside them.
  return `${named(service, Math.floor(width / 3))} on ${named(host ?? '?', Math.floor(width / 4))}, pid ${pid ?? '?'}`
}

function stateOf({ state, unknownTail }: StatusOrigin): string {
  if (state !== 'unclean') return named(state, 20)
  if (unknownTail === null) return 'unclean; it ended without a goodbye, what it accepted last is not known'
  const { recordsMax, windowMs } = unknownTail
  return `unclean; ≤ ${formatCount(recordsMax)} records unknown (within ${formatDuration(windowMs)} of its last word)`
}

function lossItems(
  origin: string,
  topic: string,
  books: StatusBooks,
  losses: ReadonlyMap<string, StatusLoss>,
  nowMs: number,
): [string, string][] {
  const given: [string, number][] = [...Object.entries(books.lost), ['expired', books.expired], ['rejected', books.rejected]]
  return given
    .filter(([, records]) => records !== 0)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, records]) => {
      const times = losses.get(lossKey(origin, topic, reason))
      return [reason, `${formatCount(records)}${times === undefined ? '' : ` (${span(times, nowMs)})`}`]
    })
}

function lossesByTopic(losses: readonly StatusLoss[]): Map<string, StatusLoss> {
  return new Map(losses.map((loss) => [lossKey(loss.origin ?? '', loss.topic ?? '', loss.reason), loss]))
}

function lossKey(origin: string, topic: string, reason: string): string {
  return JSON.stringify([origin, topic, reason])
}

function asideItems(books: StatusTopic): [string, string][] {
  return counted([
    ['not durable', books.notDurable],
    ['filtered', books.filtered],
    ['duplicates', books.duplicates],
    ['late', books.late],
    ['shed at origin', books.shedAtOrigin],
  ])
}

function restLines(shown: Shown, { topicsNotShown }: StatusDocument, columns: Columns, width: number): string[] {
  const lines: string[] = []
  if (shown.restTopics > 0 || shown.restOrigins > 0) {
    const origins = shown.restOrigins === 0 ? '' : ` and ${formatCount(shown.restOrigins)} origins`
    lines.push('', columns.row(`… ${formatCount(shown.restTopics)} more topics${origins}`, shown.rest))
  }
  if (topicsNotShown > 0) {
    lines.push('', ...paragraph('', `… and ${formatCount(topicsNotShown)} topics the collector does not list; its totals hold them`, width))
  }
  return lines
}

// ── what stands beside the books ──

function totalsDetails({ totals, losses }: StatusDocument, width: number): string[] {
  const folded = losses.filter(({ topic }) => topic === null).reduce((sum, { records }) => sum + records, 0)
  const received = `${formatCount(totals.received)} = ${formatCount(totals.spooled)} spooled + ${formatCount(totals.notDurable)} not durable`
  const losing = counted([...Object.entries(totals.lost), ['expired', totals.expired], ['rejected', totals.rejected]])
  return [
    ...items('  lost    ', losing, width),
    ...paragraph('  received', `${received}; ${formatCount(totals.pending)} of them pending`, width),
    ...items(
      '  beside  ',
      counted([
        ['filtered', totals.filtered],
        ['duplicates', totals.duplicates],
      ]),
      width,
    ),
    ...(folded === 0 ? [] : paragraph('  older   ', `${formatCount(folded)} records of losses whose topic is no longer kept`, width)),
  ]
}

function sinkLines({ sinks }: StatusDocument, width: number): string[] {
  const gone = (sink: StatusSink) => sink.dropped + sink.expired + sink.rejected
  const all = Object.entries(sinks).sort(
    ([aName, a], [bName, b]) =>
      Number(Boolean(b.error)) - Number(Boolean(a.error)) || gone(b) - gone(a) || b.lagMs - a.lagMs || compare(aName, bName),
  )
  if (all.length === 0) return []
  const shown = all.slice(0, sinkRowsMax)
  const rows = shown.map(([name, sink]) => ({
    name: `${visible(name)} (${visible(sink.type)})`,
    cells: [formatCount(sink.written), pending(sink), sink.lagMs === 0 ? '–' : formatDuration(sink.lagMs)],
  }))
  const titles = ['written', 'pending', 'lag']
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map(({ cells }) => textWidth(cells[i] ?? ''))))
  const nameColumns = width - widths.reduce((sum, columns) => sum + gap.length + columns, 0)
  const line = (name: string, cells: readonly string[]) =>
    nameColumns < nameColumnsMin / 2
      ? cutMiddle([name, ...cells].join(gap), width)
      : [padEnd(cutMiddle(name, nameColumns), nameColumns), ...cells.map((cell, i) => cell.padStart(widths[i] ?? 0))].join(gap)
  return [
    '',
    line('sinks', titles),
    ...shown.flatMap(([, sink], i) => [
      line(rows[i]?.name ?? '', rows[i]?.cells ?? []),
      ...(sink.error ? paragraph('    error', named(sink.error, 3 * width), width) : []),
      ...(sink.lastError && !sink.error ? paragraph('    last error', named(sink.lastError, 3 * width), width) : []),
      ...items('    requests', counted([['made again', sink.retries]]), width),
      ...(sink.files?.error ? paragraph('    files', named(sink.files.error, 3 * width), width) : []),
      ...items(
        '    gave up',
        counted([
          ['dropped', sink.dropped],
          ['expired', sink.expired],
          ['rejected', sink.rejected],
        ]),
        width,
      ),
      `    to ${named(sink.where, width - '    to '.length)}`,
    ]),
    ...(all.length > shown.length ? [`… and ${formatCount(all.length - shown.length)} more sinks`] : []),
  ]
}

function pending({ pendingRecords, pendingBytes }: StatusSink): string {
  const parts = [
    pendingRecords > 0 ? `${formatCount(pendingRecords)} records` : '',
    pendingBytes > 0 ? formatBytes(pendingBytes) : '',
  ].filter((part) => part !== '')
  return parts.join(', ') || '–'
}

function spoolLines(spool: StatusSpool | undefined, width: number): string[] {
  if (spool === undefined) return []
  const { bytes, bytesMax, segments, pendingBytes, syncs, syncLastMs, syncMaxMs, notDurable } = spool
  const size = `${formatBytes(bytes)} of ${formatBytes(bytesMax)} in ${formatCount(segments)} segments, ${formatBytes(pendingBytes)} pending`
  const synced = `${formatCount(syncs)} syncs, last ${formatDuration(syncLastMs)}, longest ${formatDuration(syncMaxMs)}`
  return [
    '',
    ...paragraph('spool ', `${size}; ${synced}`, width),
    ...(spool.error ? paragraph('    error', named(spool.error, 3 * width), width) : []),
    ...(notDurable > 0 ? paragraph('    not durable', `${formatCount(notDurable)} records`, width) : []),
    `    in ${named(spool.dir, width - '    in '.length)}`,
  ]
}

function intakeLines({ repairs, ingest }: StatusDocument, width: number): string[] {
  const { frames, bytes, refused, turnedAway } = ingest
  const asked = repairs !== undefined && (repairs.requests > 0 || repairs.isBreakerOpen)
  return [
    '',
    ...paragraph('intake', `${formatCount(frames)} frames, ${formatBytes(bytes)}`, width),
    ...items('    turned away', counted([...Object.entries(refused), ['no room', turnedAway]]), width),
    ...(asked
      ? paragraph(
          'repair',
          `${formatCount(repairs.requests)} requests for ${formatCount(repairs.recordsAsked)} records, ${formatCount(repairs.recordsRepaired)} came${
            repairs.isBreakerOpen ? '; stopped for now, too much is missing' : ''
          }`,
          width,
        )
      : []),
  ]
}

/** What applications log only because somebody looks. */
function demandLines({ demand, timeMs }: StatusDocument, width: number): string[] {
  const lines = demand.slice(0, demandRowsMax).flatMap(({ level, service, by, sinceMs }) => {
    const names = by.slice(0, itemsMax).map((name) => named(name, 60))
    const what = `${named(level, 10)} of ${service === null ? 'every service' : named(service, 60)}`
    return paragraph('on demand', `${what}, since ${clock(sinceMs, timeMs)}, for ${names.join(', ') || 'somebody without a name'}`, width)
  })
  const more = demand.length - demandRowsMax
  return more > 0 ? [...lines, ...paragraph('on demand', `and ${formatCount(more)} more`, width)] : lines
}

/** The last line is the answer to the question most people have. */
function verdict(status: StatusDocument, { lost, sinceMs, width }: StatusTableOptions): string[] {
  const since = sinceMs === undefined ? 'since the books began' : `since ${clock(sinceMs, status.timeMs)}`
  const { expired, rejected } = status.totals
  const gone = expired + rejected > 0 ? 'lost, expired or rejected' : 'lost'
  const count = `${lost.isUpperBound ? 'At most ' : ''}${formatCount(lost.records)} ${lost.records === 1 ? 'record was' : 'records were'}`
  const some = lost.isUpperBound ? '; some of them perhaps before' : ''
  const first = lost.records === 0 ? `Nothing was lost ${since}.` : `${count} ${gone} ${since}${some}.`
  const unclean = status.origins.filter(({ state }) => state === 'unclean')
  if (unclean.length === 0) return paragraph('', first, width)
  const processes = `${formatCount(unclean.length)} ${unclean.length === 1 ? 'process' : 'processes'}`
  const isKnown = unclean.every(({ unknownTail }) => unknownTail !== null)
  const recordsMax = unclean.reduce((sum, { unknownTail }) => sum + (unknownTail?.recordsMax ?? 0), 0)
  const many = isKnown ? `at most ${formatCount(recordsMax)}` : 'how many is not known'
  const tail = `Not in this: the last records of ${processes} that ended without a goodbye, ${many}.`
  return [...paragraph('', first, width), ...paragraph('', tail, width)]
}

// ── text ──

function counted(items: readonly (readonly [string, number])[]): [string, string][] {
  return items.filter(([, records]) => records !== 0).map(([name, records]) => [name, formatCount(records)])
}

/** Named counts after a label, on as many lines as they take; none when there are none. */
function items(label: string, all: readonly (readonly [name: string, value: string])[], width: number): string[] {
  if (all.length === 0) return []
  const shown = all.slice(0, itemsMax).map(([name, value]) => `${named(name, 32)} ${value}`)
  if (all.length > itemsMax) shown.push(`and ${formatCount(all.length - itemsMax)} more`)
  return wrapped(
    label,
    shown.map((text, i) => (i === shown.length - 1 ? text : `${text},`)),
    width,
  )
}

/** Words after a label, on as many lines as they take. */
function paragraph(label: string, text: string, width: number): string[] {
  return wrapped(label, text.split(' '), width)
}

function wrapped(label: string, words: readonly string[], width: number): string[] {
  const indent = label === '' ? '' : `${label}${gap}`
  const blank = ' '.repeat(label === '' ? 2 : indent.length)
  const lines: string[] = []
  let line = indent
  let isEmpty = true
  for (const word of words) {
    const fitting = cutMiddle(word, width - blank.length)
    if (!isEmpty && textWidth(line) + 1 + textWidth(fitting) > width) {
      lines.push(line)
      line = blank
      isEmpty = true
    }
    line += isEmpty ? fitting : ` ${fitting}`
    isEmpty = false
  }
  return [...lines, line]
}

function visible(text: string): string {
  // Nothing that is shown needs more, and making it visible takes time.
  return visibleText(text.length > 4_096 ? `${text.slice(0, 2_048)}…${text.slice(-2_048)}` : text)
}

function named(text: string, columns: number): string {
  return cutMiddle(visible(text), columns)
}

function span({ firstAtMs, lastAtMs }: StatusLoss, nowMs: number): string {
  const [first, last] = [clock(firstAtMs, nowMs), clock(lastAtMs, nowMs)]
  return first === last ? first : `${first} to ${last}`
}

const dayMs = 86_400_000

/** Local time of day; with the date when that is longer ago than a day or lies ahead. */
function clock(ms: number, nowMs: number): string {
  if (!(Math.abs(ms) <= 8.64e15)) return '?'
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return nowMs - ms >= 0 && nowMs - ms < dayMs ? time : `${day} ${time}`
}

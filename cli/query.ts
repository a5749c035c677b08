/** `spillway query`: what is kept in files, searched, counted, followed. */
import type { Follow } from '../collector/query/follow.ts'
import type { LineConditions, Match } from '../collector/query/line-query.ts'
import { type QueryReport, runQuery } from '../collector/query/run-query.ts'
import { fieldOf, type Tally, type TallyRow } from '../collector/query/tally.ts'
import { type LineFormat, lineRows } from '../dashboards/line-format.ts'
import { type Cell, csvLine, histogramLines, localDay, tableLines } from '../dashboards/query-output.ts'
import { ShownTime } from '../dashboards/shown-time.ts'
import { painted } from '../dashboards/styled-text.ts'
import { TailRecord } from '../dashboards/tail-record.ts'
import { visibleText } from '../dashboards/visible-text.ts'
import { formatCount, requireDuration } from '../wire/quantity.ts'
import { logTopic } from '../wire/topic.ts'
import type { QueryFlags } from './flags.ts'
import { PacedOutput } from './paced-output.ts'
import { checkTogether, conditionsOf, fieldsOf, tallyOf, templatesOf } from './query-asked.ts'
import { ProgressLine } from './query-progress.ts'
import { garbageCollector } from './young-garbage.ts'

const csvFields = ['time', 'level', 'service', 'msg']
const quantiles = { p50: 0.5, p95: 0.95, p99: 0.99 }
const interruptedCode = 130

/** Read between two collections of garbage: V8 would let more than a hundred MiB of what was decompressed lie. */
const collectEveryBytes = 12_582_912

export async function runQueryCommand(args: readonly string[], flags: QueryFlags): Promise<void> {
  const templates = await templatesOf(flags)
  if (flags.sql !== undefined) return await (await import('./query-sql.ts')).runSql(flags.sql, templates, flags)
  checkTogether(flags)
  await new QueryCommand(await conditionsOf(args, flags), templates, flags).run()
}

class QueryCommand {
  readonly #flags: QueryFlags
  readonly #conditions: LineConditions
  readonly #templates: readonly string[]
  readonly #tally: Tally | undefined
  readonly #isJson: boolean
  readonly #hasColour: boolean
  readonly #lineFormat: LineFormat = { time: new ShownTime('local'), fields: undefined, highlights: [] }
  readonly #fields: readonly string[] | undefined
  readonly #stop = new AbortController()
  readonly #out = new PacedOutput(process.stdout, this.#stop.signal)
  readonly #progress = new ProgressLine()
  /** Only the number of lines is asked, so what an index says is enough. */
  readonly #isCounting: boolean
  #matched = 0
  #hasBeenInterrupted = false
  #shownDay = ''
  readonly #collect = garbageCollector()
  #collectedBytes = 0
  #left: number

  constructor(conditions: LineConditions, templates: readonly string[], flags: QueryFlags) {
    this.#flags = flags
    this.#conditions = conditions
    this.#templates = templates
    this.#left = flags.limit ?? Number.POSITIVE_INFINITY
    const isTerminal = process.stdout.isTTY === true
    this.#isJson = flags.json === true || (flags.pretty !== true && flags.csv !== true && !isTerminal)
    this.#hasColour = isTerminal && process.stdout.hasColors()
    this.#fields = fieldsOf(flags)
    this.#tally = tallyOf(flags)
    this.#isCounting = flags.count === true && this.#tally === undefined
  }

  async run(): Promise<void> {
    // A reader that leaves is the normal end of `spillway query | head`.
    this.#out.onEnd(() => this.#stop.abort())
    process.stderr.on('error', () => undefined)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        this.#hasBeenInterrupted = true
        this.#stop.abort()
      })
    }
    if (this.#flags.csv === true && this.#tally === undefined && !this.#isCounting) this.#out.line(csvLine(this.#fields ?? csvFields))
    let hasFailed = false
    for (const template of this.#templates) {
      const report = await this.#query(template)
      hasFailed ||= report.unreadable.length > 0
    }
    if (this.#tally !== undefined && !this.#hasBeenInterrupted) this.#printTally(this.#tally)
    if (this.#isCounting && !this.#hasBeenInterrupted) this.#printCount()
    this.#progress.clear()
    await this.#out.flush()
    if (hasFailed) process.exitCode = 1
    if (!this.#hasBeenInterrupted) return
    // Following is ended like this; a search that was is not complete.
    if (this.#flags.follow !== true) {
      process.stderr.write('spillway query: interrupted; there may be more\n')
      process.exitCode = interruptedCode
    }
    process.exit()
  }

  async #query(template: string): Promise<QueryReport> {
    const { signal } = this.#stop
    const follow = this.#flags.follow === true ? await this.#followed(template) : undefined
    try {
      const start = await follow?.begin()
      const report = await runQuery(
        {
          template,
          conditions: this.#conditions,
          isOrdered: this.#tally === undefined && !this.#isCounting,
          isCounting: this.#isCounting,
          limit: this.#left,
          ends: start?.ends,
          compressed: start?.compressed,
          signal,
        },
        {
          use: (match) => this.#use(match),
          pace: (progress) => {
            this.#progress.show(progress)
            if (progress.bytesRead - this.#collectedBytes >= collectEveryBytes) {
              this.#collect()
              this.#collectedBytes = progress.bytesRead
            }
            return this.#out.pace()
          },
        },
      )
      this.#matched += report.matched
      this.#progress.clear()
      for (const text of troubleIn(report, this.#tally)) process.stderr.write(`spillway query: ${text}\n`)
      await this.#out.flush()
      await follow?.run(
        (match) => {
          this.#use(match)
          return this.#left > 0
        },
        () => this.#out.flush(),
      )
      return report
    } finally {
      await follow?.close()
    }
  }

  async #followed(template: string): Promise<Follow> {
    const { Follow } = await import('../collector/query/follow.ts')
    return new Follow({ template, conditions: this.#conditions, signal: this.#stop.signal })
  }

  #use(match: Match): void {
    if (this.#isCounting) return
    if (this.#tally !== undefined) return this.#tally.add(match)
    if (this.#left <= 0) return
    this.#left -= 1
    this.#show(match)
  }

  #show(match: Match): void {
    const fields = this.#fields
    if (this.#flags.csv) return this.#out.line(csvLine((fields ?? csvFields).map((field) => fieldOf(match, field))))
    if (this.#isJson) {
      if (fields !== undefined) this.#out.line(visible(JSON.stringify(picked(match, fields))))
      else if (match.bytes === undefined || process.stdout.isTTY) this.#out.line(visible(match.line))
      else this.#out.bytes(match.bytes)
      return
    }
    this.#showDay(match.timeMs)
    const { level, service, name, timeMs = 0 } = match
    const line = fields === undefined ? match.line : JSON.stringify({ time: timeMs, ...picked(match, fields) })
    const record = new TailRecord(line, { topic: logTopic(level, service, name), level, service, name, timeMs })
    for (const row of lineRows(record, this.#lineFormat)) this.#out.line(painted(row, this.#hasColour))
  }

  /** Lines for people have the time of day; the date stands above the first line of each. */
  #showDay(timeMs: number | undefined): void {
    if (timeMs === undefined) return
    const day = localDay(timeMs)
    if (day !== this.#shownDay) this.#out.line(`── ${day} ──`)
    this.#shownDay = day
  }

  #printCount(): void {
    const count = Math.min(this.#matched, this.#flags.limit ?? Number.POSITIVE_INFINITY)
    if (this.#flags.csv) this.#out.line(`count\n${count}`)
    else this.#out.line(this.#flags.json === true ? JSON.stringify({ count }) : String(count))
  }

  #printTally(tally: Tally): void {
    const rows = tally.rows()
    const { by, every, stats } = this.#flags
    if (this.#flags.csv || this.#isJson) {
      const names = [
        ...(every === undefined ? [] : ['time']),
        ...(by === undefined ? [] : [by]),
        'count',
        ...(stats === undefined ? [] : ['values', 'min', 'p50', 'p95', 'p99', 'max', 'mean']),
      ]
      if (this.#flags.csv) this.#out.line(csvLine(names))
      for (const row of rows) {
        const values = this.#values(row).map((value) => (typeof value === 'number' && !Number.isFinite(value) ? null : value))
        this.#out.line(
          this.#flags.csv ? csvLine(values) : visible(JSON.stringify(Object.fromEntries(names.map((name, i) => [name, values[i]])))),
        )
      }
      return
    }
    const width = process.stdout.columns ?? 100
    const everyMs = every === undefined ? undefined : requireDuration(every, '--every')
    if (everyMs !== undefined && by === undefined && stats === undefined) {
      for (const line of histogramLines(
        rows.map(({ timeMs = 0, count }) => ({ timeMs, count })),
        everyMs,
        width,
      ))
        this.#out.line(line)
      return
    }
    const columns = [
      ...(every === undefined ? [] : ['time']),
      ...(by === undefined ? [] : [by]),
      'count',
      ...(stats === undefined ? [] : ['values', 'min', 'p50', 'p95', 'p99', 'max', 'mean']),
    ]
    for (const line of tableLines(
      columns,
      rows.map((row) => this.#values(row)),
      width,
    ))
      this.#out.line(line)
  }

  #values({ timeMs, group, count, stats }: TallyRow): Cell[] {
    const time = timeMs === undefined ? [] : [new Date(timeMs).toISOString()]
    const head = [...time, ...(group === undefined ? [] : [group]), count]
    if (stats === undefined) return head
    const { p50, p95, p99 } = quantiles
    return [
      ...head,
      stats.count,
      stats.min,
      stats.quantile(p50),
      stats.quantile(p95),
      stats.quantile(p99),
      stats.max,
      stats.sum / stats.count,
    ]
  }
}

/** Escapes what would act on a terminal; elsewhere what was kept is what comes out. */
function visible(text: string): string {
  return process.stdout.isTTY ? visibleText(text) : text
}

function picked(match: Match, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(fields.map((field) => [field, fieldOf(match, field)]).filter(([, value]) => value !== undefined))
}

function troubleIn(report: QueryReport, tally: Tally | undefined): string[] {
  const counted = (count: number, one: string, many: string) => (count === 0 ? [] : [`${formatCount(count)} ${count === 1 ? one : many}`])
  const shown = report.unreadable.slice(0, 20).map((text) => `could not read ${visibleText(text)}`)
  if (report.unreadable.length > shown.length)
    shown.push(`could not read ${formatCount(report.unreadable.length - shown.length)} more files`)
  return [
    ...shown,
    ...counted(report.invalid, 'line is no JSON object', 'lines are no JSON objects'),
    ...counted(report.torn, 'unfinished line at the end of a file was left out', 'unfinished lines at the ends of files were left out'),
    ...counted(report.longLines, 'line over 1 MiB was left out', 'lines over 1 MiB were left out'),
    ...counted(
      report.tooCostly,
      'record took too many steps for --where and counts as no match',
      'records took too many steps for --where and count as no match',
    ),
    ...counted(tally?.untimed ?? 0, 'line has no time and is in no interval', 'lines have no time and are in no interval'),
    ...counted(
      tally?.folded ?? 0,
      'line is beyond the number of groups and intervals kept apart',
      'lines are beyond the number of groups and intervals kept apart',
    ),
    ...(report.isOrderExact ? [] : ['too many lines of the same time in too many files: their order is not exact']),
  ]
}

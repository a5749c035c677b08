/** `spillway query`: what is kept in files, searched, counted, followed. */
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { requireConfig } from '../collector/config.ts'
import { Follow } from '../collector/query/follow.ts'
import type { LineConditions, Match } from '../collector/query/line-query.ts'
import { type QueryProgress, type QueryReport, runQuery } from '../collector/query/run-query.ts'
import { fieldOf, Tally, type TallyRow } from '../collector/query/tally.ts'
import { formatLine } from '../dashboards/line-format.ts'
import { type Cell, csvLine, histogramLines, localDay, tableLines } from '../dashboards/query-output.ts'
import { visibleText } from '../dashboards/visible-text.ts'
import { compileExpression, type Expression } from '../wire/expression/expression.ts'
import { levels, rankOfName } from '../wire/level.ts'
import { compilePatterns } from '../wire/pattern.ts'
import { formatBytes, formatCount, parseDuration, requireDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { readConfigFile } from './collector.ts'
import type { QueryFlags } from './flags.ts'

const defaultTemplate = './spillway-data/logs/{service}/{date}.ndjson'
const progressAfterMs = 1_000
const progressEveryMs = { terminal: 200, file: 10_000 }
/** Written at once; waiting lines are strings, and small writes are slow. */
const writeChars = 65_536
const csvFields = ['time', 'level', 'service', 'msg']
const quantiles = { p50: 0.5, p95: 0.95, p99: 0.99 }
const interruptedCode = 130

export async function runQueryCommand(args: readonly string[], flags: QueryFlags): Promise<void> {
  if (flags.sql !== undefined) return await (await import('./query-sql.ts')).runSql(flags.sql, templatesOf(flags), flags)
  const command = new QueryCommand(args, flags)
  await command.run()
}

class QueryCommand {
  readonly #flags: QueryFlags
  readonly #conditions: LineConditions
  readonly #templates: readonly string[]
  readonly #tally: Tally | undefined
  readonly #isJson: boolean
  readonly #hasColour: boolean
  readonly #fields: readonly string[] | undefined
  readonly #stop = new AbortController()
  readonly #out = new Output(process.stdout)
  readonly #progress = new Progress()
  #hasBeenInterrupted = false
  #shownDay = ''
  #left: number

  constructor(args: readonly string[], flags: QueryFlags) {
    this.#flags = flags
    this.#conditions = conditionsOf(args, flags)
    this.#templates = templatesOf(flags)
    this.#left = flags.limit ?? Number.POSITIVE_INFINITY
    const isTerminal = process.stdout.isTTY === true
    this.#isJson = flags.json === true || (flags.pretty !== true && flags.csv !== true && !isTerminal)
    this.#hasColour = isTerminal && process.stdout.hasColors()
    this.#fields = fieldsOf(flags)
    this.#tally = tallyOf(flags)
    checkTogether(flags)
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
    if (this.#flags.csv && this.#tally === undefined && this.#flags.count !== true) this.#out.line(csvLine(this.#fields ?? csvFields))
    let hasFailed = false
    for (const template of this.#templates) {
      const report = await this.#query(template)
      hasFailed ||= report.unreadable.length > 0
    }
    if (this.#tally !== undefined && !this.#hasBeenInterrupted) this.#printTally(this.#tally)
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
    const isCounting =
      this.#flags.count === true && this.#flags.by === undefined && this.#flags.every === undefined && this.#flags.stats === undefined
    const follow = this.#flags.follow ? new Follow({ template, conditions: this.#conditions, signal }) : undefined
    try {
      const ends = await follow?.begin()
      const report = await runQuery(
        { template, conditions: this.#conditions, isOrdered: this.#tally === undefined, isCounting, limit: this.#left, ends, signal },
        {
          use: (match) => this.#use(match),
          pace: (progress) => {
            this.#progress.show(progress)
            return this.#out.pace()
          },
        },
      )
      if (isCounting) this.#printCount(report)
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

  #use(match: Match): void {
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
    this.#out.line(formatLine(line, { level, service, name, timeMs }, this.#hasColour))
  }

  /** Lines for people have the time of day; the date stands above the first line of each. */
  #showDay(timeMs: number | undefined): void {
    if (timeMs === undefined) return
    const day = localDay(timeMs)
    if (day !== this.#shownDay) this.#out.line(`── ${day} ──`)
    this.#shownDay = day
  }

  #printCount({ matched }: QueryReport): void {
    const count = Math.min(matched, this.#flags.limit ?? Number.POSITIVE_INFINITY)
    if (this.#flags.csv) this.#out.line(`count\n${count}`)
    else this.#out.line(this.#flags.json ? JSON.stringify({ count }) : String(count))
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

const patternShape = /^(?:(?:log|metric|sys|\*)(?:\.[A-Za-z0-9_~*>-]+)*\.?|>)$/

function conditionsOf(args: readonly string[], flags: QueryFlags): LineConditions {
  const patterns = args.filter((arg) => patternShape.test(arg))
  const conditions = [
    ...args.filter((arg) => !patternShape.test(arg)).map((text) => ({ text, name: 'condition' })),
    ...(flags.where ?? []).map((text) => ({ text, name: '--where' })),
  ]
  const rankMin = flags.level === undefined ? undefined : rankOfName(flags.level)
  if (flags.level !== undefined && rankMin === undefined)
    throw new SpillwayError('SPW_OPTION_INVALID', `--level: expected one of ${levels.join(', ')}; got ${JSON.stringify(flags.level)}`)
  const nowMs = Date.now()
  const sinceMs = flags.since === undefined ? undefined : momentOf(flags.since, '--since', nowMs)
  const untilMs = flags.until === undefined ? undefined : momentOf(flags.until, '--until', nowMs)
  if (sinceMs !== undefined && untilMs !== undefined && sinceMs >= untilMs)
    throw new SpillwayError(
      'SPW_OPTION_INVALID',
      `--until: expected a time after --since ${flags.since}, got ${JSON.stringify(flags.until)}`,
    )
  return {
    sinceMs,
    untilMs,
    rankMin,
    services: flags.service === undefined ? undefined : new Set(flags.service),
    patterns: patterns.length === 0 ? undefined : compilePatterns(patterns),
    texts: flags.grep ?? [],
    where: whereOf(conditions),
  }
}

/** Each is checked by itself, so that an error's column is one of what was typed. */
function whereOf(conditions: readonly { readonly text: string; readonly name: string }[]): Expression | undefined {
  const compiled = conditions.map(({ text, name }) => compileExpression(text, name))
  if (compiled.length <= 1) return compiled[0]
  return compileExpression(conditions.map(({ text }) => `(${text}\n)`).join(' && '), '--where')
}

const isoShape = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?$/

/** A duration before now, or an ISO time; a time without a zone is local. */
function momentOf(text: string, flag: string, nowMs: number): number {
  const agoMs = parseDuration(text)
  if (agoMs !== undefined) return nowMs - agoMs
  const atMs = isoShape.test(text) ? Date.parse(text.includes('T') ? text : `${text}T00:00`) : Number.NaN
  if (!Number.isNaN(atMs)) return atMs
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `${flag}: expected a duration such as 10m, or a time such as 2026-05-31T18:00, got ${JSON.stringify(text.slice(0, 80))}`,
  )
}

function templatesOf(flags: QueryFlags): string[] {
  if (flags.dir !== undefined && flags.config !== undefined)
    throw new SpillwayError('SPW_OPTION_INVALID', '--dir and -c each say where the files are; give one of them')
  if (flags.config !== undefined) {
    const { sinks } = requireConfig({ text: readConfigFile(flags.config), file: flags.config })
    const templates = Object.values(sinks).flatMap((sink) => (sink.type === 'file' ? [sink.path] : []))
    if (templates.length === 0)
      throw new SpillwayError('SPW_OPTION_INVALID', `${flags.config}: has no sink of type file, so nothing is kept in files`)
    return templates
  }
  if (flags.dir === undefined) return [defaultTemplate]
  // The collector's own --dir, or a folder of files.
  const logs = join(flags.dir, 'logs')
  return [join(statSync(logs, { throwIfNoEntry: false })?.isDirectory() ? logs : flags.dir, '{service}/{date}.ndjson')]
}

function fieldsOf(flags: QueryFlags): readonly string[] | undefined {
  if (flags.fields === undefined) return undefined
  const fields = flags.fields.split(',').map((field) => field.trim())
  if (fields.every((field) => field !== '')) return fields
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `--fields: expected names separated by commas, as in time,level,res.statusCode; got ${JSON.stringify(flags.fields.slice(0, 80))}`,
  )
}

function tallyOf(flags: QueryFlags): Tally | undefined {
  const { by, every, stats } = flags
  if (by === undefined && every === undefined && stats === undefined) return flags.count ? new Tally({}) : undefined
  const everyMs = every === undefined ? undefined : requireDuration(every, '--every')
  if (everyMs !== undefined && everyMs < 1)
    throw new SpillwayError('SPW_OPTION_INVALID', `--every: expected at least 1ms, got ${JSON.stringify(every)}`)
  return new Tally({ by, everyMs, stats })
}

function checkTogether(flags: QueryFlags): void {
  const given = (names: readonly (keyof QueryFlags)[]) =>
    names.filter((name) => flags[name] !== undefined && flags[name] !== false).map((name) => `--${name}`)
  const outputs = given(['json', 'pretty', 'csv'])
  if (outputs.length > 1) throw new SpillwayError('SPW_OPTION_INVALID', `${outputs.join(' and ')}: give one of them`)
  const counted = given(['count', 'by', 'every', 'stats'])
  const ofLines = given(['follow', 'fields', 'until'])
  if (flags.follow && ofLines.includes('--until'))
    throw new SpillwayError('SPW_OPTION_INVALID', '--follow has no end, so it takes no --until')
  const clash = given(['follow', 'fields'])[0]
  if (counted[0] !== undefined && clash !== undefined)
    throw new SpillwayError('SPW_OPTION_INVALID', `${clash} shows lines, ${counted[0]} counts them; give one of them`)
}

/** Standard output in large pieces, waiting for a slow reader. */
class Output {
  readonly #stream: NodeJS.WriteStream
  #text = ''
  #isFull = false
  #hasEnded = false

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  onEnd(ended: () => void): void {
    this.#stream.on('error', () => {
      this.#hasEnded = true
      ended()
    })
  }

  line(text: string): void {
    this.#text += `${text}\n`
    if (this.#text.length >= writeChars) this.#write()
  }

  bytes(line: Buffer): void {
    this.#write()
    if (!this.#hasEnded) this.#isFull = !this.#stream.write(Buffer.concat([line, Buffer.from('\n')])) || this.#isFull
  }

  #write(): void {
    if (this.#text !== '' && !this.#hasEnded) this.#isFull = !this.#stream.write(this.#text) || this.#isFull
    this.#text = ''
  }

  /** What to wait for before more is made; undefined when there is room. */
  pace(): Promise<void> | undefined {
    if (!this.#isFull || this.#hasEnded) return undefined
    return this.#drained()
  }

  async #drained(): Promise<void> {
    const ended = new AbortController()
    const stop = () => ended.abort()
    this.#stream.once('error', stop).once('close', stop)
    if (this.#stream.writableNeedDrain) await once(this.#stream, 'drain', { signal: ended.signal }).catch(() => undefined)
    this.#stream.off('error', stop).off('close', stop)
    this.#isFull = false
  }

  async flush(): Promise<void> {
    this.#write()
    await this.pace()
  }
}

/** How far a search is, on standard error: on a terminal in place, else now and then. */
class Progress {
  readonly #startedMs = performance.now()
  #shownMs = 0
  #hasLine = false

  show({ bytesDone, bytesTotal, matched }: QueryProgress): void {
    const nowMs = performance.now()
    const isTerminal = process.stderr.isTTY === true
    if (
      nowMs - this.#startedMs < progressAfterMs ||
      (this.#shownMs > 0 && nowMs - this.#shownMs < progressEveryMs[isTerminal ? 'terminal' : 'file'])
    )
      return
    this.#shownMs = nowMs
    const share = bytesTotal === 0 ? 100 : Math.floor((100 * bytesDone) / bytesTotal)
    const text = `spillway query: ${share} % of ${formatBytes(bytesTotal)} searched, ${formatCount(matched)} found`
    process.stderr.write(isTerminal ? `\r\u001b[K${text}` : `${text}\n`)
    this.#hasLine = isTerminal
  }

  clear(): void {
    if (this.#hasLine) process.stderr.write('\r\u001b[K')
    this.#hasLine = false
  }
}

/** What the flags of `spillway query` ask for. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { LineConditions } from '../collector/query/line-query.ts'
import { Tally } from '../collector/query/tally.ts'
import type { Expression } from '../wire/expression/expression.ts'
import { levels, rankOfName } from '../wire/level.ts'
import { compilePatterns } from '../wire/pattern.ts'
import { parseDuration, requireDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { QueryFlags } from './flags.ts'

const defaultTemplate = './spillway-data/logs/{service}/{date}.ndjson'

const patternShape = /^(?:(?:log|metric|sys|\*)(?:\.[A-Za-z0-9_~*>-]+)*\.?|>)$/

/** @throws {@link SpillwayError} for what cannot be meant */
export async function conditionsOf(args: readonly string[], flags: QueryFlags): Promise<LineConditions> {
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
    where: conditions.length === 0 ? undefined : await whereOf(conditions),
  }
}

/** Each is checked by itself, so that an error's column is one of what was typed. */
async function whereOf(conditions: readonly { readonly text: string; readonly name: string }[]): Promise<Expression | undefined> {
  const { compileExpression } = await import('../wire/expression/expression.ts')
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

/** Where files are, as templates of the file sink. */
export async function templatesOf(flags: QueryFlags): Promise<string[]> {
  if (flags.dir !== undefined && flags.config !== undefined)
    throw new SpillwayError('SPW_OPTION_INVALID', '--dir and -c each say where the files are; give one of them')
  if (flags.config !== undefined) {
    // Loaded only when it is needed: the search for one hour takes a quarter of a second in all.
    const [{ requireConfig }, { readConfigFile }] = await Promise.all([import('../collector/config.ts'), import('./collector.ts')])
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

export function fieldsOf(flags: QueryFlags): readonly string[] | undefined {
  if (flags.fields === undefined) return undefined
  const fields = flags.fields.split(',').map((field) => field.trim())
  if (fields.every((field) => field !== '')) return fields
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `--fields: expected names separated by commas, as in time,level,res.statusCode; got ${JSON.stringify(flags.fields.slice(0, 80))}`,
  )
}

export function tallyOf(flags: QueryFlags): Tally | undefined {
  const { by, every, stats } = flags
  if (by === undefined && every === undefined && stats === undefined) return undefined
  const everyMs = every === undefined ? undefined : requireDuration(every, '--every')
  if (everyMs !== undefined && everyMs < 1)
    throw new SpillwayError('SPW_OPTION_INVALID', `--every: expected at least 1ms, got ${JSON.stringify(every)}`)
  return new Tally({ by, everyMs, stats })
}

export function checkTogether(flags: QueryFlags): void {
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

/** What a live tail asks for, from patterns and from `--level` and `--service`: narrowed before it is sent, so that ZeroMQ filters at the source. */
import { infoRank, levels, rankOfName } from '../wire/level.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { encodeToken } from '../wire/topic.ts'

export interface TailFilter {
  readonly patterns: readonly string[]
  /** This level and above. */
  readonly level?: string | undefined
  readonly service?: string | undefined
  /** Points of metrics, unless patterns say what. */
  readonly isMetrics?: boolean | undefined
}

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` for a level that is none, or when nothing can match. */
export function tailPatterns(filter: TailFilter): string[] {
  const wanted = filter.patterns.length === 0 ? [filter.isMetrics ? 'metric.>' : 'log.>'] : filter.patterns
  const rank = filter.level === undefined ? 0 : rankOfName(filter.level)
  if (rank === undefined)
    throw new SpillwayError('SPW_OPTION_INVALID', `--level: expected one of ${levels.join(', ')}; got ${JSON.stringify(filter.level)}`)
  const service = filter.service === undefined ? undefined : encodeToken(filter.service)
  if (filter.level === undefined && service === undefined) return [...wanted]
  const narrowed = wanted.flatMap((pattern) => narrow(pattern, levels.slice(rank), service))
  if (narrowed.length > 0) return narrowed
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `nothing can match ${wanted.join(' ')} with --level ${filter.level ?? 'trace'} and --service ${filter.service ?? '(any)'}`,
  )
}

/**
 * What a tail asks applications to make although they have it switched off: only what is named. `log.>` and a `*` for
 * the level are for whatever there is; trace or debug, written out in a pattern or given as `--level`, are a wish.
 *
 * @returns Prefixes such as `ask.debug.checkout.`; for a pattern that names no service, of all of them.
 */
export function tailAsks(filter: TailFilter): string[] {
  const rank = filter.level === undefined ? undefined : rankOfName(filter.level)
  const asks = tailPatterns(filter).flatMap((pattern) => {
    const [kind, level = '', service = '>'] = pattern.split('.')
    const place = rankOfName(level)
    // What is warn or worse is never switched off by those who want to be told.
    if (kind !== 'log' || place === undefined || place > infoRank) return []
    return [{ level, place, prefix: `ask.${level}.${/^[*>]$/.test(service) ? '' : `${service}.`}` }]
  })
  const isNamed = rank === undefined ? namesLevel(filter.patterns) : () => rank < infoRank
  return [...new Set(asks.filter(({ level }) => isNamed(level)).map(({ prefix }) => prefix))]
}

/** Whether trace or debug stand in a pattern themselves. */
function namesLevel(patterns: readonly string[]): (level: string) => boolean {
  const named = new Set(patterns.map((pattern) => pattern.split('.')[1]))
  return (level) => level !== levels[infoRank] && named.has(level)
}

function narrow(pattern: string, wantedLevels: readonly string[], service: string | undefined): string[] {
  const tokens = (pattern.endsWith('.') ? pattern.slice(0, -1) : pattern).split('.')
  const at = (index: number): string => {
    const open = tokens.indexOf('>')
    return open !== -1 && index >= open ? '*' : (tokens[index] ?? '')
  }
  const open = tokens.indexOf('>')
  // Only log topics have a level; a filter by one leaves nothing else.
  if (at(0) === 'metric' && wantedLevels.length === levels.length && service !== undefined) {
    if (at(1) !== '*' && at(1) !== service) return []
    return [['metric', service, ...(open !== -1 && open <= 2 ? ['>'] : tokens.slice(2))].join('.')]
  }
  if (at(0) !== 'log' && at(0) !== '*') return []
  const levelsHere = wantedLevels.filter((level) => at(1) === '*' || at(1) === level)
  const serviceHere = service === undefined || at(2) === service ? at(2) : at(2) === '*' ? service : undefined
  if (serviceHere === undefined) return []
  const rest = open !== -1 && open <= 3 ? ['>'] : tokens.slice(3)
  return levelsHere.map((level) => ['log', level, serviceHere, ...rest].join('.'))
}

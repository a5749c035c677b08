/** What a live tail asks for, from patterns and from `--level` and `--service`: narrowed before it is sent, so that ZeroMQ filters at the source. */
import { levels, rankOfName } from '../wire/level.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { encodeToken } from '../wire/topic.ts'

export interface TailFilter {
  readonly patterns: readonly string[]
  /** This level and above. */
  readonly level?: string | undefined
  readonly service?: string | undefined
}

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` for a level that is none, or when nothing can match. */
export function tailPatterns(filter: TailFilter): string[] {
  const wanted = filter.patterns.length === 0 ? ['log.>'] : filter.patterns
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

function narrow(pattern: string, wantedLevels: readonly string[], service: string | undefined): string[] {
  const tokens = (pattern.endsWith('.') ? pattern.slice(0, -1) : pattern).split('.')
  const at = (index: number): string => {
    const open = tokens.indexOf('>')
    return open !== -1 && index >= open ? '*' : (tokens[index] ?? '')
  }
  // Only log topics have a level; a filter by one leaves nothing else.
  if (at(0) !== 'log' && at(0) !== '*') return []
  const levelsHere = wantedLevels.filter((level) => at(1) === '*' || at(1) === level)
  const serviceHere = service === undefined || at(2) === service ? at(2) : at(2) === '*' ? service : undefined
  if (serviceHere === undefined) return []
  const open = tokens.indexOf('>')
  const rest = open !== -1 && open <= 3 ? ['>'] : tokens.slice(3)
  return levelsHere.map((level) => ['log', level, serviceHere, ...rest].join('.'))
}

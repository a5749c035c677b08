import type { RecordForm } from '../dashboards/record-format.ts'
import { parseTimeForm } from '../dashboards/shown-time.ts'
import { Tail, type TailOptions } from '../dashboards/tail.ts'
import type { TailHistoryOptions } from '../dashboards/tail-history.ts'
import { TailScreen } from '../dashboards/tail-screen.ts'
import { TailStream } from '../dashboards/tail-stream.ts'
import { Terminal } from '../dashboards/terminal.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { wantsColour } from './colour.ts'
import type { TailFlags } from './flags.ts'
import { httpAddress } from './http-address.ts'

export async function runTail(patterns: readonly string[], flags: TailFlags): Promise<void> {
  const isTerminal = process.stdout.isTTY === true
  const form = formOf(flags, isTerminal)
  const options: TailOptions = {
    patterns,
    connect: flags.connect,
    level: flags.level,
    service: flags.service,
    isMetrics: flags.metrics === true,
    where: flags.where,
    grep: flags.grep ?? [],
    exclude: flags.exclude ?? [],
    highlight: flags.highlight ?? [],
    form,
    fields: flags.fields,
    template: flags.template,
    time: parseTimeForm(flags.time ?? 'local'),
    limit: flags.limit,
    forMs: flags.for,
    history: historyOf(flags),
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  let tail: Tail
  const hasColour = wantsColour(flags.color) && (isTerminal || form === 'people')
  const ended = () => stop.abort()
  if (Terminal.isThere()) {
    const screen = new TailScreen({ hasColour, isTruncated: flags.truncate === true, ended })
    // Options that cannot be meant are told on a terminal that is as it was.
    tail = new Tail(options, screen)
    screen.open(tail)
    await tail.run(stop.signal).finally(() => screen.close())
  } else {
    tail = new Tail(
      options,
      new TailStream(process.stdout, process.stderr, { hasColour, isForPeople: form === 'people', ended: () => tail.end() }),
    )
    await tail.run(stop.signal)
  }
  if (flags.exitStatus === true && tail.counts.shown === 0) process.exitCode = 1
  // Told to stop, it does not wait for a reader that has stopped; at its own end it does, as `| less` expects.
  if (stop.signal.aborted) process.exit()
}

function historyOf({ since, last, http, metrics }: TailFlags): TailHistoryOptions | undefined {
  if (since === undefined && last === undefined) {
    if (http === undefined) return undefined
    throw new SpillwayError('SPW_OPTION_INVALID', '--http is where --since and --last are answered; give one of them too')
  }
  if (metrics === true)
    throw new SpillwayError('SPW_OPTION_INVALID', '--since and --last are about lines; what metrics were is at /api/v1/series')
  return { http: httpAddress(http), since, last }
}

function formOf(flags: TailFlags, isTerminal: boolean): RecordForm {
  if (flags.json === true) return 'raw'
  if (flags.logfmt === true) return 'logfmt'
  return flags.pretty === true || isTerminal ? 'people' : 'raw'
}

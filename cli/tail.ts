import { Tail } from '../dashboards/tail.ts'
import type { TailFlags } from './flags.ts'

export async function runTail(patterns: readonly string[], flags: TailFlags): Promise<void> {
  const isTerminal = process.stdout.isTTY === true
  const tail = new Tail(
    {
      patterns,
      connect: flags.connect,
      level: flags.level,
      service: flags.service,
      isRaw: flags.json === true,
      isPretty: flags.pretty === true || isTerminal,
      hasColour: isTerminal && process.stdout.hasColors(),
      limit: flags.limit,
      forMs: flags.for,
    },
    process.stdout,
    process.stderr,
  )
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())
  await tail.run(stop.signal)
  // Told to stop, it does not wait for a reader that has stopped; at its own end it does, as `| less` expects.
  if (stop.signal.aborted) process.exit()
}

import { setTimeout as sleep } from 'node:timers/promises'
import { painted } from '../dashboards/styled-text.ts'
import { Terminal } from '../dashboards/terminal.ts'
import type { Snapshot } from '../dashboards/top-rates.ts'
import { TopScreen } from '../dashboards/top-screen.ts'
import type { TopSort } from '../dashboards/top-sorts.ts'
import { TopSource } from '../dashboards/top-source.ts'
import { topTable } from '../dashboards/top-table.ts'
import { visibleText } from '../dashboards/visible-text.ts'
import { parseTextSearch } from '../wire/text-search.ts'
import { wantsColour } from './colour.ts'
import type { TopFlags } from './flags.ts'
import { httpAddress } from './http-address.ts'

const everyMsDefault = 1_000
const everyMsMin = 100
/** Fits a terminal split in two, a mail, a ticket. */
const widthWithout = 80
/** Topics of one JSON document, the busiest first. */
const topicsMax = 200

/** Draws until it is told to stop; without a terminal, or with `--once`, it measures once and prints that. */
export async function runTop(flags: TopFlags): Promise<void> {
  // A reader that leaves is the normal end of `spillway top --json | head`.
  let hasLeft = false
  process.stdout.on('error', () => {
    hasLeft = true
  })
  const address = httpAddress(flags.http)
  const everyMs = Math.max(everyMsMin, flags.every ?? everyMsDefault)
  const filter = flags.filter === undefined ? undefined : parseTextSearch(flags.filter, '--filter')
  const sort = (flags.sort ?? 'rate') as TopSort
  const source = new TopSource(address)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())
  const hasColour = wantsColour(flags.color)
  if (flags.once !== true && flags.json !== true && Terminal.isThere()) {
    await new TopScreen(source, { address, everyMs, sort, filter, hasColour }).run(stop.signal)
    // An answer that is still awaited keeps nobody waiting.
    process.exit()
  }
  // Rates need two looks.
  await source.next()
  do {
    await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
    if (stop.signal.aborted) break
    const snapshot = await source.next()
    const columns = process.stdout.columns ?? widthWithout
    if (flags.json === true) process.stdout.write(`${visibleText(JSON.stringify(shortened(snapshot)))}\n`)
    else {
      const { rows } = topTable(snapshot, {
        address,
        view: 'services',
        sort,
        isReversed: false,
        filter,
        from: 0,
        size: { columns, rows: undefined },
      })
      process.stdout.write(`${rows.map((row) => painted(row, hasColour)).join('\n')}\n`)
    }
  } while (flags.json === true && flags.once !== true && !hasLeft)
}

function shortened(snapshot: Snapshot): object {
  const topics = [...snapshot.topics].sort((a, b) => b.perSecond - a.perSecond)
  return {
    ...snapshot,
    topics: topics.slice(0, topicsMax),
    topicsNotShown: snapshot.topicsNotShown + Math.max(0, topics.length - topicsMax),
  }
}

import { lostSince, sinceMoment } from '../dashboards/lost-since.ts'
import { readStatus } from '../dashboards/status-document.ts'
import { requestStatus } from '../dashboards/status-request.ts'
import { statusTable } from '../dashboards/status-table.ts'
import { visibleText } from '../dashboards/visible-text.ts'
import type { StatusFlags } from './flags.ts'
import { httpAddress } from './http-address.ts'

/** Fits a terminal split in two, a mail, a ticket. */
const widthMax = 100
/** Below this the numbers leave no room for names. */
const widthMin = 80

/** Prints a collector's books; exit code 1 when they hold a loss. */
export async function runStatus(flags: StatusFlags): Promise<void> {
  // A reader that leaves is the normal end of `spillway status | head`.
  process.stdout.on('error', () => undefined)
  // What cannot be meant is said before anybody is asked.
  if (flags.since !== undefined) sinceMoment(flags.since, Number.POSITIVE_INFINITY)
  const address = httpAddress(flags.http)
  const { status, json } = readStatus(await requestStatus(address), address)
  const sinceMs = flags.since === undefined ? undefined : sinceMoment(flags.since, status.timeMs)
  const lost = lostSince(status, sinceMs)
  if (lost.records > 0) process.exitCode = 1
  if (flags.json) process.stdout.write(`${visibleText(JSON.stringify(json))}\n`)
  else process.stdout.write(`${statusTable(status, { address, width: width(), lost, sinceMs }).join('\n')}\n`)
}

function width(): number {
  return Math.min(widthMax, Math.max(widthMin, process.stdout.columns ?? widthMax))
}

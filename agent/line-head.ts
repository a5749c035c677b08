/** What can be known about a JSON line without parsing it: only its head is looked at, by bounded expressions. */
import { StringDecoder } from 'node:string_decoder'
import { infoRank, type Rank, rankOfName, rankOfNumber } from '../wire/level.ts'
import { cutRecordBytes, levelScanChars } from '../wire/limits.ts'

const levelShape = /"(?:level|severity)"\s*:\s*(?:(\d{1,4})|"([A-Za-z]{1,24})")/
const timeShape = /"time"\s*:\s*(\d{1,16}|"[^"\\]{1,40}")/
const baseNameShape = /^\{"level":[^,]{1,24},"time":[^,]{1,40},"pid":\d{1,10},"hostname":"[^"\\]{0,255}","name":"([^"\\]{1,100})"/

/**
 * The level a line gives itself, by number or by name; info when it gives none.
 *
 * @param labels - Names of custom levels and their numbers.
 */
export function scanRank(line: string, labels: ReadonlyMap<string, number>): Rank {
  const match = levelShape.exec(line.slice(0, levelScanChars))
  if (match === null) return infoRank
  if (match[1] !== undefined) return rankOfNumber(Number(match[1]))
  const label = match[2] ?? ''
  const custom = labels.get(label)
  return custom === undefined ? (rankOfName(label) ?? infoRank) : rankOfNumber(custom)
}

/** The logger's name where pino writes it, behind the host name. Elsewhere a `name` may be anybody's. */
export function scanName(line: string): string | undefined {
  return baseNameShape.exec(line.slice(0, levelScanChars))?.[1]
}

/** What is kept of a record that is too long: its level and time, its size in bytes, and its first 4 KiB as text. */
export function cutLine(
  line: string,
  { bytes, levelNumber, timeMs }: { readonly bytes: number; readonly levelNumber: number; readonly timeMs: number },
): string {
  const time = timeShape.exec(line.slice(0, levelScanChars))?.[1] ?? String(timeMs)
  // A decoder gives whole characters only; the one that was cut in two is left out.
  const head = new StringDecoder('utf8').write(Buffer.from(line.slice(0, cutRecordBytes), 'utf8').subarray(0, cutRecordBytes))
  return `{"level":${levelNumber},"time":${time},"cut":${bytes},"msg":${JSON.stringify(head)}}\n`
}

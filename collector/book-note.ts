/**
 * A note beside an acknowledgement: what of a topic's books only the collector's memory holds. Its origin keeps it and
 * says it back in its manifests, to whoever comes next.
 *
 *   MessagePack array: [joinAt, from, records, reason, from, records, reason, …]     reason: index in `lossReasons`
 */
import { holeRecordsMax, noteRangesMax } from '../wire/limits.ts'
import { asCount, decodeValue, encodeValue } from '../wire/msgpack.ts'
import type { Range } from '../wire/range-set.ts'
import { type LossReason, lossReasons } from '../wire/stream-ledger.ts'

export interface LostRange extends Range {
  readonly reason: LossReason
}

export interface BookNote {
  readonly joinAt: number
  /** At most `noteRangesMax`. */
  readonly losses: readonly LostRange[]
}

export function encodeBookNote({ joinAt, losses }: BookNote): Buffer {
  return encodeValue([joinAt, ...losses.flatMap(({ from, to, reason }) => [from, to - from, lossReasons.indexOf(reason)])])
}

/** Undefined when it is no note of this version: it has been in other hands. Never throws. */
export function readBookNote(bytes: Uint8Array | undefined): BookNote | undefined {
  if (bytes === undefined) return undefined
  const decoded = decodeValue(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 2 + 3 * noteRangesMax)
  const numbers = decoded.ok && Array.isArray(decoded.value) ? decoded.value.map(asCount) : []
  const [joinAt, ...ranges] = numbers
  if (joinAt === undefined || ranges.length % 3 !== 0) return undefined
  const losses: LostRange[] = []
  for (let i = 0; i < ranges.length; i += 3) {
    const [from, records, index] = ranges.slice(i, i + 3)
    const reason = lossReasons[index ?? -1]
    if (from === undefined || records === undefined || reason === undefined || records > holeRecordsMax) return undefined
    losses.push({ from, to: from + records, reason })
  }
  return { joinAt, losses }
}

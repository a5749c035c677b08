/** Sizes and durations as people write them, with their unit: `100MiB`, `200ms`. */
import { SpillwayError } from './spillway-error.ts'

const byteUnits: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}
const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Bytes, or undefined when it is not a size. A bare number is bytes. */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, byteUnits, 1)
}

/** Milliseconds, or undefined when it is not a duration. A unit must be given. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, durationUnits, undefined)
}

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` naming the flag. */
export function requireDuration(text: string, flag: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw new SpillwayError('SPW_OPTION_INVALID', `${flag}: expected a duration such as 500ms, 10s or 5m, got ${JSON.stringify(text)}`)
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>, bareUnit: number | undefined): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]*)$/.exec(text.trim())
  if (match === null) return undefined
  const unit = match[2] === '' ? bareUnit : Object.hasOwn(units, match[2] ?? '') ? units[match[2] ?? ''] : undefined
  const value = unit === undefined ? Number.NaN : Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(value) ? value : undefined
}

/** A count with thousands separated: `1,204`. `toLocaleString` loads the locale's data first, a stall of 15 ms. */
export function formatCount(count: number): string {
  return String(count).replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
}

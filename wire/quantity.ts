/** Sizes and durations as people write and read them, with their unit: `100MiB`, `200ms`. */
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

/** Bytes in the largest unit of which there is at least one: `512 B`, `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  const [unit, size] = byteSteps.find(([, step]) => Math.abs(bytes) >= step) ?? ['B', 1]
  return `${size === 1 ? formatCount(Math.round(bytes)) : withOneDecimal(bytes / size)} ${unit}`
}

/** Milliseconds as a person says them: `20 ms`, `1.5 s`, `12 min`, `3 h 20 min`, `2 d 4 h`. */
export function formatDuration(ms: number): string {
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${withOneDecimal(ms / 1_000)} s`
  const minutes = Math.floor(ms / 60_000)
  const hours = Math.floor(minutes / 60)
  if (hours === 0) return `${minutes} min`
  const days = Math.floor(hours / 24)
  return days === 0 ? `${hours} h ${minutes % 60} min` : `${formatCount(days)} d ${hours % 24} h`
}

const byteSteps = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const

/** `1.5`, `20`, `1,204.3`. */
function withOneDecimal(value: number): string {
  const tenths = Math.round(value * 10)
  const whole = formatCount(Math.trunc(tenths / 10))
  return tenths % 10 === 0 ? whole : `${whole}.${Math.abs(tenths % 10)}`
}

/** What an instrument is: its name, type, unit and description, checked once when it is made. */
import { instrumentDescriptionCharsMax, instrumentNameCharsMax, instrumentUnitCharsMax } from '../../wire/limits.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'

/** Types as people name them; on the wire observable ones are as the others. */
export type InstrumentKind =
  | 'Counter'
  | 'UpDownCounter'
  | 'Gauge'
  | 'Histogram'
  | 'ObservableCounter'
  | 'ObservableUpDownCounter'
  | 'ObservableGauge'
  | 'BucketsHistogram'

export interface InstrumentOptions {
  /**
   * Unit in UCUM's case-sensitive form (`s`, `By`, `1`, `{request}`); at most 63 printable ASCII characters.
   * @defaultValue ''
   */
  readonly unit?: string | undefined
  /**
   * What is measured, for people; at most 1,024 characters.
   * @defaultValue ''
   */
  readonly description?: string | undefined
}

/** The same from those who feed metrics that other libraries have named. */
export interface FedInstrumentOptions extends InstrumentOptions {
  /** Group of the topic, for a name whose part before the first `.` is none. */
  readonly group?: string | undefined
}

export interface InstrumentDefinition {
  readonly kind: InstrumentKind
  readonly name: string
  readonly unit: string
  readonly description: string
}

/** OpenTelemetry's instrument name syntax. */
const nameShape = /^[A-Za-z][A-Za-z0-9_.\-/]*$/
/** Printable ASCII, braces in pairs around what is no unit; UCUM nests none. */
const unitShape = /^(?:[!-z|~]|\{[!-z|~]*\})*$/
const shownCharsMax = 80

/** @throws {@link SpillwayError} `SPW_METRIC_INVALID` naming what is wrong, what was expected and what came. */
export function defineInstrument(kind: InstrumentKind, name: string, options: InstrumentOptions = {}): InstrumentDefinition {
  const what = `create${kind}`
  if (typeof name !== 'string' || name.length > instrumentNameCharsMax || !nameShape.test(name)) {
    throw invalid(`${what}: name`, `a letter, then letters, digits, "_", ".", "-" or "/", at most ${instrumentNameCharsMax} in all`, name)
  }
  if (options === null || typeof options !== 'object') throw invalid(`${what}("${name}")`, 'an object of options', options)
  const { unit = '', description = '' } = options
  if (typeof unit !== 'string' || unit.length > instrumentUnitCharsMax || !unitShape.test(unit)) {
    throw invalid(
      `${what}("${name}"): unit`,
      `a UCUM unit such as "s", "By" or "{request}", at most ${instrumentUnitCharsMax} ASCII characters without spaces`,
      unit,
    )
  }
  if (typeof description !== 'string' || description.length > instrumentDescriptionCharsMax) {
    throw invalid(`${what}("${name}"): description`, `at most ${instrumentDescriptionCharsMax} characters`, description)
  }
  return { kind, name, unit, description }
}

/**
 * Holds a second definition of a name against the first. A unit or description it does not give is the first one's.
 *
 * @throws {@link SpillwayError} `SPW_METRIC_CONFLICT` naming both.
 */
export function checkSameInstrument(first: InstrumentDefinition, second: InstrumentDefinition, options: InstrumentOptions = {}): void {
  const isSame =
    first.name === second.name &&
    first.kind === second.kind &&
    (options.unit === undefined || first.unit === second.unit) &&
    (options.description === undefined || first.description === second.description)
  if (isSame) return
  throw new SpillwayError(
    'SPW_METRIC_CONFLICT',
    `${describe(second)} is defined already, as ${describe(first)}; use the same definition, or another name`,
  )
}

function describe({ kind, name, unit, description }: InstrumentDefinition): string {
  const about = description === '' ? '' : `, description: ${shown(description)}`
  return `${kind} "${name}" { unit: ${shown(unit)}${about} }`
}

function invalid(what: string, expected: string, got: unknown): SpillwayError {
  return new SpillwayError('SPW_METRIC_INVALID', `${what}: expected ${expected}, got ${shown(got)}`)
}

function shown(value: unknown): string {
  if (typeof value !== 'string') return String(value)
  return JSON.stringify(value.length > shownCharsMax ? `${value.slice(0, shownCharsMax)}…` : value)
}

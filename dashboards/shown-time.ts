/** The time in front of a line. */
import { SpillwayError } from '../wire/spillway-error.ts'

export const timeForms = ['local', 'utc', 'relative', 'none'] as const
export type TimeForm = (typeof timeForms)[number]

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` */
export function parseTimeForm(text: string): TimeForm {
  const form = timeForms.find((known) => known === text)
  if (form !== undefined) return form
  throw new SpillwayError('SPW_OPTION_INVALID', `--time: expected one of ${timeForms.join(', ')}; got ${JSON.stringify(text.slice(0, 80))}`)
}

/** Shows times in one form; a relative one counts from the line shown before. */
export class ShownTime {
  readonly #form: TimeForm
  #beforeMs: number | undefined

  constructor(form: TimeForm) {
    this.#form = form
  }

  /** Empty for `none`. All of one form are about equally long. */
  of(ms: number): string {
    switch (this.#form) {
      case 'none':
        return ''
      case 'utc':
        return new Date(ms).toISOString().slice(-13)
      case 'local':
        return localClock(ms)
      case 'relative':
        return this.#sinceBefore(ms)
    }
  }

  #sinceBefore(ms: number): string {
    const sinceMs = Math.round(ms - (this.#beforeMs ?? ms))
    this.#beforeMs = ms
    // Lines of several processes need not come in the order of their times.
    const sign = sinceMs < 0 ? '-' : '+'
    const seconds = Math.abs(sinceMs) / 1_000
    return `${sign}${seconds < 100_000 ? seconds.toFixed(3) : '99999.999'}s`.padStart(9)
  }
}

/** Local time of day, to the millisecond. */
function localClock(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** Numbers for people: short, and with their unit. */

export function rate(perSecond: number): string {
  if (perSecond === 0) return '0/s'
  return perSecond < 10 ? `${perSecond.toFixed(1)}/s` : `${count(Math.round(perSecond))}/s`
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}

export function bytes(value: number): string {
  let scaled = value
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (scaled < 1_024) return `${scaled < 10 && unit !== 'B' ? scaled.toFixed(1) : Math.round(scaled)} ${unit}`
    scaled /= 1_024
  }
  return `${scaled.toFixed(1)} TiB`
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  const seconds = ms / 1_000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  if (seconds < 3_600) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${(seconds / 3_600).toFixed(1)} h` : `${Math.round(seconds / 86_400)} d`
}

/** A value of a metric: four digits that count. */
export function value(number: number): string {
  if (number === 0) return '0'
  const size = Math.abs(number)
  if (size >= 1e6 || size < 1e-3) return number.toExponential(2)
  return Number(number.toPrecision(4)).toLocaleString('en', { maximumFractionDigits: 6 })
}

export function cores(share: number): string {
  return share < 0.1 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`
}

const timeOfDay = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 })

export function clock(timeMs: number): string {
  return timeOfDay.format(timeMs)
}

export function reasons(lost: Readonly<Record<string, number>>): string {
  const told = Object.entries(lost).filter(([, records]) => records > 0)
  return told.map(([reason, records]) => `${reason} ${count(records)}`).join(', ')
}

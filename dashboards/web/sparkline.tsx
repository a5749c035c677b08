/** Rates over the last minutes, levels stacked, the gravest at the bottom where they are seen first. */
import type { JSX } from 'preact'
import { type Level, levels, type RateHistory } from './api-types.ts'

const width = 240
const height = 44
/** As many steps as the collector keeps; fewer of them stand at the right, where now is. */
const slots = 60
const fromGravest = [...levels].reverse()

export function Sparkline({ history, label }: { readonly history: RateHistory; readonly label: string }): JSX.Element {
  const steps = Math.max(1, ...Object.values(history.levels).map((rates) => rates.length))
  const told = fromGravest.filter((level) => history.levels[level] !== undefined)
  const sums = Array.from({ length: steps }, (_, i) => told.reduce((sum, level) => sum + (history.levels[level]?.[i] ?? 0), 0))
  const top = Math.max(1e-9, ...sums)
  const below = new Float64Array(steps)
  return (
    <svg class="sparkline" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {told.map((level) => (
        <path key={level} class={`fill-${level}`} d={areaOf(history.levels[level] ?? [], below, top)} />
      ))}
    </svg>
  )
}

/** The area of one level above those before it, which it raises for the next. */
function areaOf(rates: readonly number[], below: Float64Array, top: number): string {
  const step = width / Math.max(slots, below.length)
  const left = width - step * below.length
  const y = (rate: number) => (height - (rate / top) * (height - 2)).toFixed(1)
  let path = ''
  for (const [i, base] of below.entries()) {
    const rate = rates[i] ?? 0
    if (rate > 0) path += `M${(left + i * step).toFixed(1)} ${y(base)}V${y(base + rate)}h${(step * 0.9).toFixed(1)}V${y(base)}z`
    below[i] = base + rate
  }
  return path
}

export function Legend({ shown }: { readonly shown: readonly Level[] }): JSX.Element {
  return (
    <ul class="legend" aria-label="Levels">
      {shown.map((level) => (
        <li key={level}>
          <span class={`mark-${level}`} aria-hidden="true">
            ■
          </span>{' '}
          {level}
        </li>
      ))}
    </ul>
  )
}

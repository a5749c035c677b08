/** A histogram over time: each column an interval, each row a range of values, the darker the more of them. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { HeatMapAnswer } from './api-types.ts'
import { clock, count, value } from './number-format.ts'
import { isDark } from './theme.ts'

const size = { width: 900, height: 440 }
const margin = { left: 90, bottom: 40 }
const rowsLabelled = 6

interface HeatMapProps {
  readonly answer: HeatMapAnswer
  readonly label: string
  readonly unit: string
}

export function HeatMap({ answer, label, unit }: HeatMapProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const context = canvas.current?.getContext('2d')
    if (context != null) draw(context, answer)
  }, [answer])
  const total = answer.counts.reduce((sum, column) => sum + column.reduce((all, each) => all + each, 0), 0)
  const bounds = answer.bounds.length === 0 ? 'no values' : `${value(answer.bounds[0] ?? 0)} to ${value(answer.bounds.at(-1) ?? 0)} ${unit}`
  return (
    <canvas
      ref={canvas}
      class="heat-map"
      width={size.width}
      height={size.height}
      role="img"
      aria-label={`${label}: ${count(total)} values, ${bounds}`}
    />
  )
}

function draw(context: CanvasRenderingContext2D, { times, bounds, counts }: HeatMapAnswer): void {
  const dark = isDark()
  context.clearRect(0, 0, size.width, size.height)
  context.font = '22px system-ui, sans-serif'
  context.fillStyle = dark ? '#a3b0bc' : '#4d5b68'
  // Edges of the rows, one more than there are.
  const rows = bounds.length - 1
  if (times.length === 0 || rows < 1) return
  const cell = { width: (size.width - margin.left) / times.length, height: (size.height - margin.bottom) / rows }
  for (let i = 0; i < rowsLabelled; i += 1) {
    const row = Math.floor((i * rows) / (rowsLabelled - 1))
    context.fillText(value(bounds[row] ?? 0), 0, size.height - margin.bottom - row * cell.height)
  }
  for (const share of [0, 0.5, 1]) {
    const time = times[Math.floor(share * (times.length - 1))] ?? 0
    context.textAlign = share === 0 ? 'left' : share === 1 ? 'right' : 'center'
    context.fillText(clock(time).slice(0, 8), margin.left + share * (size.width - margin.left), size.height - 8)
  }
  context.textAlign = 'left'
  const top = counts.reduce((most, column) => Math.max(most, ...column), 1)
  for (const [x, column] of counts.entries()) {
    for (const [row, values] of column.entries()) {
      if (values === 0) continue
      // One of a thousand must be seen beside the thousand.
      const weight = 0.15 + 0.85 * (Math.log1p(values) / Math.log1p(top))
      context.fillStyle = dark ? `rgb(240 228 66 / ${weight})` : `rgb(0 62 115 / ${weight})`
      const y = size.height - margin.bottom - (row + 1) * cell.height
      context.fillRect(margin.left + x * cell.width, y, Math.max(1, cell.width - 0.5), Math.max(1, cell.height - 0.5))
    }
  }
}

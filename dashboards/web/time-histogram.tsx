/** When the records were made, by level; a stretch of time can be brushed with a pointer or with keys. */
import type { JSX } from 'preact'
import { useRef } from 'preact/hooks'
import { type Level, levels } from './api-types.ts'
import { clock } from './number-format.ts'
import type { Row } from './row-buffer.ts'

const bins = 120
const height = 56
/** A drag shorter than this is a click, which shows everything again. */
const brushMin = 0.004

export interface TimeRange {
  /** Unix ms; `to` is not part of it. */
  readonly from: number
  readonly to: number
}

interface HistogramProps {
  readonly rows: readonly Row[]
  readonly brush: TimeRange | undefined
  readonly choose: (range: TimeRange | undefined) => void
}

export function TimeHistogram({ rows, brush, choose }: HistogramProps): JSX.Element {
  const drawing = useRef<SVGSVGElement>(null)
  const start = useRef<number | undefined>(undefined)
  const spread = spreadOf(rows)
  const { from, to } = spread
  const step = (to - from) / bins

  const shareAt = (event: PointerEvent): number => {
    const box = drawing.current?.getBoundingClientRect()
    return box === undefined || box.width === 0 ? 0 : Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))
  }
  const between = (a: number, b: number): TimeRange | undefined =>
    Math.abs(a - b) < brushMin ? undefined : { from: from + Math.min(a, b) * (to - from), to: from + Math.max(a, b) * (to - from) }

  const pressed = (event: KeyboardEvent) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (event.key === 'Escape') choose(undefined)
    else if (way !== undefined && rows.length > 0) {
      const now = brush ?? { from: to - 10 * step, to }
      if (event.shiftKey) choose(way < 0 ? { from: now.from - step, to: now.to } : { from: now.from, to: now.to + step })
      else choose({ from: now.from + way * step, to: now.to + way * step })
    } else return
    event.preventDefault()
  }

  const x = (timeMs: number) => (bins * (timeMs - from)) / Math.max(1, to - from)
  const label = rows.length === 0 ? 'no records yet' : `${clock(from)} to ${clock(to)}`
  const chosen = brush === undefined ? 'everything is shown' : `shown: ${clock(brush.from)} to ${clock(brush.to)}`
  return (
    // biome-ignore lint/a11y/useSemanticElements: a drawing is no set of fields
    <svg
      ref={drawing}
      class="time-histogram"
      viewBox={`0 0 ${bins} ${height}`}
      preserveAspectRatio="none"
      role="group"
      aria-label={`Records over time, ${label}; ${chosen}. Arrow keys choose a stretch of time.`}
      tabindex={0}
      onKeyDown={pressed}
      onPointerDown={(event) => {
        start.current = shareAt(event)
        drawing.current?.setPointerCapture(event.pointerId)
      }}
      onPointerMove={(event) => {
        if (start.current !== undefined) choose(between(start.current, shareAt(event)))
      }}
      onPointerUp={(event) => {
        if (start.current !== undefined) choose(between(start.current, shareAt(event)))
        start.current = undefined
      }}
    >
      {levelPaths(spread)}
      {brush !== undefined && (
        <rect class="brush" x={x(brush.from)} y={0} width={Math.max(0.3, x(brush.to) - x(brush.from))} height={height} />
      )}
    </svg>
  )
}

interface Spread {
  readonly from: number
  readonly to: number
  /** Records in each bin, by level; those of no level with debug. */
  readonly counts: ReadonlyMap<Level, Uint32Array>
}

function spreadOf(rows: readonly Row[]): Spread {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { time } of rows) {
    if (time < from) from = time
    if (time > to) to = time
  }
  if (rows.length === 0) [from, to] = [0, 1]
  // The last one is in it, and one moment has some width.
  to = Math.max(to + 1, from + bins)
  const counts = new Map(levels.map((level) => [level, new Uint32Array(bins)]))
  for (const { time, level } of rows) {
    const bin = Math.floor((bins * (time - from)) / (to - from))
    const inLevel = counts.get(level ?? 'debug')
    if (inLevel !== undefined) inLevel[bin] = (inLevel[bin] ?? 0) + 1
  }
  return { from, to, counts }
}

function levelPaths({ counts }: Spread): JSX.Element[] {
  const sums = new Uint32Array(bins)
  for (const inLevel of counts.values()) for (const [bin, records] of inLevel.entries()) sums[bin] = (sums[bin] ?? 0) + records
  const top = Math.max(1, ...sums)
  const below = new Float64Array(bins)
  return [...levels].reverse().map((level) => {
    let path = ''
    for (const [bin, records] of counts.get(level)?.entries() ?? []) {
      if (records === 0) continue
      const base = below[bin] ?? 0
      const y = (sum: number) => (height - (sum / top) * (height - 4)).toFixed(1)
      path += `M${bin} ${y(base)}V${y(base + records)}h.9V${y(base)}z`
      below[bin] = base + records
    }
    return <path key={level} class={`fill-${level}`} d={path} />
  })
}

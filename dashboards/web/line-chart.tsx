/** Series over time, drawn by uPlot. */
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'
import type { SeriesAnswer } from './api-types.ts'
import { value } from './number-format.ts'
import { isDark } from './theme.ts'

const height = 240
/** Okabe and Ito's, told apart whatever the colour vision; a second round is dashed. */
const colours = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8f8f00']
const coloursOfDark = ['#56b4e9', '#e69f00', '#4fc9a2', '#e79bc4', '#a9d5f5', '#ff8a4f', '#f0e442']

interface ChartProps {
  readonly answer: SeriesAnswer
  readonly label: string
  readonly unit: string
}

export function LineChart({ answer, label, unit }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | undefined>(undefined)
  const names = answer.series.map(({ labels }) => nameOf(labels))
  const shape = names.join('\n') + (isDark() ? 'dark' : 'light')
  const latest = useRef(answer)
  latest.current = answer

  // The shape stands for all that makes another chart necessary.
  useEffect(() => {
    const element = place.current
    if (element === null) return
    const dark = isDark()
    const palette = dark ? coloursOfDark : colours
    const ink = { stroke: dark ? '#a3b0bc' : '#4d5b68', grid: { stroke: dark ? '#38424d' : '#d3d9df', width: 1 } }
    const made = new UPlot(
      {
        width: Math.max(200, element.clientWidth),
        height,
        cursor: { points: { size: 6 } },
        axes: [ink, { ...ink, size: 70, values: (_: UPlot, ticks: number[]) => ticks.map((tick) => value(tick)) }],
        series: [
          {},
          ...names.map((name, i) => ({
            label: name === '' ? label : name,
            stroke: palette[i % palette.length] ?? '#0072b2',
            width: 1.5,
            ...(i >= palette.length && { dash: [6, 3] }),
            value: (_: UPlot, drawn: number | null) =>
              drawn === null ? '–' : `${value(drawn)}${unit === '' || unit === '1' ? '' : ` ${unit}`}`,
          })),
        ],
      },
      dataOf(latest.current),
      element,
    )
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(200, element.clientWidth), height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = undefined
    }
  }, [shape, label, unit])

  useEffect(() => plot.current?.setData(dataOf(answer)), [answer])
  return <div ref={place} class="chart" role="img" aria-label={`${label}: ${spoken(answer)}`} />
}

function nameOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, each]) => `${name}=${each}`)
    .join(' ')
}

function dataOf({ times, series }: SeriesAnswer): UPlot.AlignedData {
  return [times.map((time) => time / 1_000), ...series.map(({ values }) => [...values])]
}

/** The newest value of each series, for those who cannot see the lines. */
function spoken({ series }: SeriesAnswer): string {
  if (series.length === 0) return 'no values'
  return series
    .slice(0, 10)
    .map(({ labels, values }) => `${nameOf(labels)} ${value(values.findLast((each) => each !== null) ?? 0)}`)
    .join(', ')
}

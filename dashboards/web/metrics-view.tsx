/** Metrics of all applications: panels to choose, kept in the link and in files one saves. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { HeatMapAnswer, Metric, SeriesAnswer } from './api-types.ts'
import { getJson } from './collector-api.ts'
import { HeatMap } from './heat-map.tsx'
import { LineChart } from './line-chart.tsx'
import { type Panel, panelsMax, type RangeName, ranges, readPanels, readRange, type Show, shows, stepOf } from './metric-panels.ts'
import { changeSettings } from './view-link.ts'

const listEveryMs = 10_000

export function MetricsView({ settings }: { readonly settings: URLSearchParams }): JSX.Element {
  const metrics = useAsked<{ metrics: readonly Metric[] }>('/api/v1/metrics', listEveryMs)
  const range = readRange(settings.get('range'))
  const panels = readPanels(settings.get('panels'))
  const [refused, setRefused] = useState('')
  const known = metrics.answer?.metrics ?? []
  const shown = panels !== undefined && panels.length > 0 ? panels : firstPanels(known)
  const save = (changed: readonly Panel[]) => changeSettings({ panels: JSON.stringify(changed) })
  const load = async (event: Event) => {
    const [file] = (event.currentTarget as HTMLInputElement).files ?? []
    const read = file === undefined ? undefined : readPanels(await file.text())
    if (read === undefined) setRefused('expected a file that was saved here: JSON with a list of panels')
    else {
      setRefused('')
      save(read)
    }
  }
  return (
    <main>
      <h2>Metrics</h2>
      <div class="filters">
        <label>
          Time
          <select name="range" value={range} onChange={(event) => changeSettings({ range: event.currentTarget.value })}>
            {Object.keys(ranges).map((name) => (
              <option key={name} value={name}>
                last {name}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          disabled={known.length === 0 || shown.length >= panelsMax}
          onClick={() => save([...shown, panelFor(known[0])])}
        >
          Add a panel
        </button>
        <button type="button" onClick={() => download(shown)}>
          Save as JSON
        </button>
        <label>
          Load
          <input type="file" accept="application/json,.json" onChange={(event) => void load(event)} />
        </label>
      </div>
      {panels === undefined && <p class="refused">The panels in this link are not JSON as this page writes it.</p>}
      {refused !== '' && (
        <p class="refused" role="alert">
          {refused}
        </p>
      )}
      {metrics.refused !== undefined && <p class="refused">{metrics.refused}</p>}
      {metrics.answer !== undefined && known.length === 0 && (
        <p data-empty>
          No metrics yet. An agent sends the first ones 10 s after its start: those of its process by itself, your own with{' '}
          <code>agent.createCounter(…)</code> and its like.
        </p>
      )}
      <div class="panels">
        {shown.map((panel, i) => (
          <MetricPanel
            key={`${i}:${panel.metric}`}
            panel={panel}
            metrics={known}
            range={range}
            change={(changed) => save(shown.map((each, at) => (at === i ? changed : each)))}
            remove={() => save(shown.filter((_, at) => at !== i))}
          />
        ))}
      </div>
    </main>
  )
}

const firstMetrics = [
  'nodejs.eventloop.delay.p99',
  'process.cpu.utilization',
  'process.memory.usage',
  'http.server.request.duration',
  'log.lines',
]

/** What most people want to see first, as far as it is there. */
function firstPanels(metrics: readonly Metric[]): readonly Panel[] {
  const found = firstMetrics.flatMap((name) => metrics.find((metric) => metric.name === name) ?? [])
  const histograms = metrics.filter(({ type }) => type === 'histogram').slice(0, 1)
  return [...new Set([...found, ...histograms, ...metrics])].slice(0, 4).map(panelFor)
}

function panelFor(metric: Metric | undefined): Panel {
  return { metric: metric?.name ?? '', show: showsOf(metric)[0] ?? 'last' }
}

function showsOf(metric: Metric | undefined): readonly Show[] {
  switch (metric?.type) {
    case 'counter':
      return ['rate', 'sum']
    case 'histogram':
      return ['p99', 'p90', 'p50', 'mean', 'rate', 'heatmap', 'max', 'min']
    case 'gauge':
      return ['last', 'min', 'max', 'sum', 'mean']
    case 'updowncounter':
      return ['sum', 'last', 'min', 'max']
    case undefined:
      return shows
  }
}

interface PanelProps {
  readonly panel: Panel
  readonly metrics: readonly Metric[]
  readonly range: RangeName
  readonly change: (panel: Panel) => void
  readonly remove: () => void
}

function MetricPanel({ panel, metrics, range, change, remove }: PanelProps): JSX.Element {
  const metric = metrics.find(({ name }) => name === panel.metric)
  const choose = (name: 'metric' | 'show' | 'service' | 'by') => (event: Event) => {
    const { value } = event.currentTarget as HTMLSelectElement
    if (name === 'metric') change(panelFor(metrics.find((each) => each.name === value)))
    else {
      const { [name]: _, ...rest } = panel
      change((value === '' ? rest : { ...rest, [name]: value }) as Panel)
    }
  }
  return (
    <section class="card" aria-label={panel.metric} data-panel={panel.metric}>
      <header>
        <h3>
          {panel.metric} <span class="quiet">{panel.show}</span>
        </h3>
        <button type="button" onClick={remove} aria-label={`Remove the panel ${panel.metric}`}>
          ✕
        </button>
      </header>
      <div class="filters">
        <Choice
          name="Metric"
          value={panel.metric}
          options={withValue(
            metrics.map(({ name }) => name),
            panel.metric,
          )}
          choose={choose('metric')}
        />
        <Choice name="Show" value={panel.show} options={withValue(showsOf(metric), panel.show)} choose={choose('show')} />
        <Choice
          name="Service"
          value={panel.service ?? ''}
          all="all"
          options={withValue(metric?.services ?? [], panel.service)}
          choose={choose('service')}
        />
        <Choice
          name="By"
          value={panel.by ?? ''}
          all="nothing"
          options={withValue(Object.keys(metric?.attributes ?? {}), panel.by)}
          choose={choose('by')}
        />
      </div>
      {panel.show === 'heatmap' ? (
        <HeatMapOf panel={panel} range={range} unit={metric?.unit ?? ''} />
      ) : (
        <ChartOf panel={panel} range={range} unit={metric?.unit ?? ''} />
      )}
      {metric !== undefined && metric.description !== '' && <p class="quiet">{metric.description}</p>}
    </section>
  )
}

function withValue(options: readonly string[], value: string | undefined): readonly string[] {
  return value === undefined || value === '' || options.includes(value) ? options : [value, ...options]
}

interface ChoiceProps {
  readonly name: string
  readonly value: string
  readonly options: readonly string[]
  /** What no choice is called; without it there is none. */
  readonly all?: string
  readonly choose: (event: Event) => void
}

function Choice({ name, value, options, all, choose }: ChoiceProps): JSX.Element {
  return (
    <label>
      {name}
      <select value={value} onChange={choose}>
        {all !== undefined && <option value="">{all}</option>}
        {options.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </label>
  )
}

interface DrawnProps {
  readonly panel: Panel
  readonly range: RangeName
  readonly unit: string
}

function ChartOf({ panel, range, unit }: DrawnProps): JSX.Element {
  const { answer, refused } = useRange<SeriesAnswer>('series', panel, range)
  if (refused !== undefined) return <p class="refused">{refused}</p>
  if (answer === undefined) return <div class="chart" aria-busy="true" />
  return (
    <>
      <LineChart answer={answer} label={`${panel.metric} ${panel.show}`} unit={panel.show === 'rate' ? '/s' : unit} />
      <p class="quiet" data-source={answer.source}>
        {answer.truncated ? 'The largest series are shown; there are more. ' : ''}
        {answer.series.length === 0 ? 'No values in this time.' : ''}
      </p>
    </>
  )
}

function HeatMapOf({ panel, range, unit }: DrawnProps): JSX.Element {
  const { answer, refused } = useRange<HeatMapAnswer>('heatmap', panel, range)
  if (refused !== undefined) return <p class="refused">{refused}</p>
  return answer === undefined ? <div class="chart" aria-busy="true" /> : <HeatMap answer={answer} label={panel.metric} unit={unit} />
}

function useRange<T>(what: 'series' | 'heatmap', { metric, show, service, by }: Panel, name: RangeName): Asked<T> {
  const range = ranges[name]
  const query = new URLSearchParams({ metric, step: String(stepOf(range)) })
  if (service !== undefined) query.set('service', service)
  if (what === 'series') {
    query.set('show', show)
    if (by !== undefined) query.set('by', by)
  }
  return useAsked<T>(`/api/v1/${what}?${query}`, range.everyMs, range.ms)
}

interface Asked<T> {
  readonly answer: T | undefined
  readonly refused: string | undefined
}

/** Asks again and again while it is shown and the page can be seen. @param lastMs - Up to now, if a stretch of time is asked for. */
function useAsked<T>(path: string, everyMs: number, lastMs?: number): Asked<T> {
  const [asked, setAsked] = useState<Asked<T>>({ answer: undefined, refused: undefined })
  useEffect(() => {
    const abort = new AbortController()
    let timer: number | undefined
    const ask = async () => {
      const to = Date.now()
      const stretch = lastMs === undefined ? '' : `&from=${to - lastMs}&to=${to}`
      try {
        if (!document.hidden) {
          const answer = await getJson<T>(path + stretch, abort.signal)
          setAsked({ answer, refused: undefined })
        }
      } catch (error) {
        // What was drawn stays; the next answer takes the words away again.
        if (!abort.signal.aborted)
          setAsked((known) => ({ answer: known.answer, refused: error instanceof Error ? error.message : String(error) }))
      }
      if (!abort.signal.aborted) timer = window.setTimeout(() => void ask(), everyMs)
    }
    setAsked({ answer: undefined, refused: undefined })
    void ask()
    return () => {
      abort.abort()
      window.clearTimeout(timer)
    }
  }, [path, everyMs, lastMs])
  return asked
}

function download(panels: readonly Panel[]): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify({ panels }, null, 2)], { type: 'application/json' }))
  const link = document.createElement('a')
  link.href = url
  link.download = 'spillway-panels.json'
  link.click()
  // Some browsers read it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

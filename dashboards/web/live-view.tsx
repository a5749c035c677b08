/** The live tail in a browser: the same patterns, expressions and searches as `spillway tail`. */
import type { JSX } from 'preact'
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { levels } from './api-types.ts'
import { ApiFailure, getLines } from './collector-api.ts'
import { LiveFeed } from './live-feed.ts'
import { count } from './number-format.ts'
import { RecordPanel } from './record-panel.tsx'
import { type Row, rowsMax } from './row-buffer.ts'
import { RowList } from './row-list.tsx'
import { TimeHistogram, type TimeRange } from './time-histogram.tsx'
import { changeSettings } from './view-link.ts'

const historyRows = 500
const filterNames = ['topic', 'level', 'service', 'where', 'grep', 'ask'] as const

interface LiveViewProps {
  readonly settings: URLSearchParams
  readonly services: readonly string[]
}

export function LiveView({ settings, services }: LiveViewProps): JSX.Element {
  const query = filterQuery(settings)
  const { feed, shown } = useLiveFeed(query)
  const [frozen, setFrozen] = useState<Frozen>()
  const [isFollowing, setFollowing] = useState(true)
  const [chosen, setChosen] = useState<number>()
  const [opened, setOpened] = useState<Row>()
  const history = useHistory(feed, query)
  const brush = readBrush(settings)
  // Another filter is another list.
  useEffect(() => {
    setFrozen(undefined)
    setFollowing(true)
    setChosen(undefined)
  }, [query])

  const pause = () =>
    setFrozen(
      frozen === undefined && feed !== undefined
        ? { rows: [...feed.buffer.rows], first: feed.buffer.first, end: feed.buffer.end }
        : undefined,
    )
  useLiveKeys(pause, () => setOpened(undefined))

  const rows = frozen?.rows ?? feed?.buffer.rows ?? none
  const first = frozen?.first ?? feed?.buffer.first ?? 0
  // The buffer's rows are the same array; `shown` says that they changed.
  const listed = useMemo(
    () => (brush === undefined ? rows : rows.filter(({ time }) => time >= brush.from && time < brush.to)),
    [rows, shown, brush?.from, brush?.to],
  )
  const open = (number: number) => {
    setChosen(number)
    setOpened(listed[number - first])
    setFollowing(false)
  }
  return (
    <main class="full">
      <h2 class="hidden">Live</h2>
      <Filters settings={settings} services={services} />
      {feed?.why !== undefined && feed.why.status === 400 && (
        <p class="refused" role="alert">
          {feed.why.message}
        </p>
      )}
      <TimeHistogram rows={rows} brush={brush} choose={chooseBrush} />
      <Counts
        feed={feed}
        listed={listed.length}
        waiting={frozen === undefined ? undefined : (feed?.buffer.end ?? 0) - frozen.end}
        history={history.said}
      >
        <button type="button" aria-pressed={frozen !== undefined} onClick={pause}>
          {frozen === undefined ? 'Pause' : 'Go on'}
        </button>
        {!isFollowing && (
          <button type="button" onClick={() => setFollowing(true)}>
            Newest
          </button>
        )}
        {brush !== undefined && (
          <button type="button" onClick={() => chooseBrush(undefined)}>
            Show all times
          </button>
        )}
      </Counts>
      <div class="live">
        <RowList
          rows={listed}
          first={first}
          isFollowing={isFollowing && frozen === undefined}
          follow={setFollowing}
          chosen={chosen}
          choose={setChosen}
          open={open}
          atTop={frozen === undefined && brush === undefined ? history.more : nothing}
        />
        {opened !== undefined && <RecordPanel key={opened.line} row={opened} close={() => setOpened(undefined)} />}
      </div>
    </main>
  )
}

interface Frozen {
  readonly rows: readonly Row[]
  readonly first: number
  /** Number behind the last row. */
  readonly end: number
}

const none: readonly Row[] = []
const nothing = (): void => undefined

/** The part of the address that the collector filters by. */
function filterQuery(settings: URLSearchParams): string {
  const query = new URLSearchParams()
  for (const name of filterNames) for (const value of settings.getAll(name)) query.append(name, value)
  return query.toString()
}

function readBrush(settings: URLSearchParams): TimeRange | undefined {
  const [from, to] = [Number(settings.get('from')), Number(settings.get('to'))]
  return from > 0 && to > from ? { from, to } : undefined
}

function chooseBrush(range: TimeRange | undefined): void {
  changeSettings({
    from: range === undefined ? '' : String(Math.floor(range.from)),
    to: range === undefined ? '' : String(Math.ceil(range.to)),
  })
}

/** A feed for the filter, and a number that changes with what it holds. */
function useLiveFeed(query: string): { readonly feed: LiveFeed | undefined; readonly shown: number } {
  const [shown, setShown] = useState(0)
  const [feed, setFeed] = useState<LiveFeed>()
  useEffect(() => {
    const opened = new LiveFeed(query, () => setShown((times) => times + 1))
    setFeed(opened)
    return () => opened.close()
  }, [query])
  return { feed, shown }
}

interface History {
  /** Fetches what is before the first row, unless that is under way or there is no more. */
  readonly more: () => void
  readonly said: string
}

/** Older records, from the collector's files: some at the beginning, more when somebody scrolls up to them. */
function useHistory(feed: LiveFeed | undefined, query: string): History {
  const [said, setSaid] = useState('')
  const state = useRef(new HistoryState())
  const more = useCallback(() => {
    const { current } = state
    if (feed === undefined || current.isBusy || !current.hasMore) return
    current.isBusy = true
    setSaid('reading the files…')
    void readHistory(query, current)
      .then(({ records, cursor, hasMore }) => {
        if (state.current !== current) return
        feed.buffer.unshift(records)
        Object.assign(current, { cursor, hasMore })
        setSaid(hasMore ? '' : 'the files begin here')
      })
      .catch((error: unknown) => {
        if (state.current !== current) return
        current.hasMore = false
        // Without files there is no history, and nothing is wrong.
        const isMissing = error instanceof ApiFailure && error.status === 404
        setSaid(isMissing ? '' : `no history: ${error instanceof Error ? error.message : error}`)
      })
      .finally(() => {
        current.isBusy = false
      })
  }, [feed, query])
  // It changes with the feed, and each feed begins anew.
  useEffect(() => {
    const begun = new HistoryState()
    state.current = begun
    setSaid('')
    more()
    return () => begun.abort.abort()
  }, [more])
  return { more, said }
}

interface HistoryEnd {
  readonly end: true
  readonly cursor?: string | null
  readonly more?: boolean
}

/** Of one filter. */
class HistoryState {
  cursor = ''
  isBusy = false
  hasMore = true
  /** What nobody looks at any more is not read to its end. */
  readonly abort: AbortController = new AbortController()
}

async function readHistory(query: string, { cursor, abort }: HistoryState): Promise<{ records: Row[]; cursor: string; hasMore: boolean }> {
  const asked = new URLSearchParams(query)
  // What an application makes on demand is in no file.
  asked.delete('ask')
  asked.set('last', String(historyRows))
  if (cursor !== '') asked.set('before', cursor)
  const lines = await getLines<Row | HistoryEnd>(`/api/v1/records?${asked}`, abort.signal)
  const end = lines.find((line): line is HistoryEnd => 'end' in line)
  const records = lines.filter((line): line is Row => !('end' in line))
  return { records, cursor: end?.cursor ?? '', hasMore: end?.more === true && typeof end.cursor === 'string' && end.cursor !== '' }
}

function useLiveKeys(pause: () => void, close: () => void): void {
  const actions = useRef({ pause, close })
  actions.current = { pause, close }
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const { target } = event
      if (event.key === 'Escape' && target instanceof HTMLElement && !target.matches('dialog *, .time-histogram')) {
        actions.current.close()
        return
      }
      if (target instanceof HTMLElement && target.matches('input, textarea, select, button, summary, a, dialog *')) return
      if (event.key === ' ') actions.current.pause()
      else if (event.key === '/') document.querySelector<HTMLElement>('input[name="where"]')?.focus()
      else return
      event.preventDefault()
    }
    window.addEventListener('keydown', pressed)
    return () => window.removeEventListener('keydown', pressed)
  }, [])
}

interface FiltersProps {
  readonly settings: URLSearchParams
  readonly services: readonly string[]
}

/** Text is applied when it is entered, choices at once. */
function Filters({ settings, services }: FiltersProps): JSX.Element {
  const change = (name: string) => (event: Event) => changeSettings({ [name]: (event.currentTarget as HTMLInputElement).value.trim() })
  const service = settings.get('service') ?? ''
  const known = [...new Set([...services, ...(service === '' ? [] : [service])])].sort()
  return (
    <search class="filters">
      <TextFilter
        label="Topics"
        name="topic"
        isWide
        placeholder="log.>"
        value={settings.getAll('topic').join(' ')}
        apply={(text) => changeSettings({ topic: text.split(/\s+/) })}
      />
      <label>
        Level
        <select name="level" value={settings.get('level') ?? ''} onChange={change('level')}>
          <option value="">all</option>
          {levels.slice(1).map((level) => (
            <option key={level} value={level}>
              {level} and above
            </option>
          ))}
        </select>
      </label>
      <label>
        Service
        <select name="service" value={service} onChange={change('service')}>
          <option value="">all</option>
          {known.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <TextFilter
        label="Where"
        name="where"
        isWide
        placeholder="res.statusCode >= 500 && ms > 100"
        value={settings.get('where') ?? ''}
        apply={(where) => changeSettings({ where })}
      />
      <TextFilter
        label="Text"
        name="grep"
        placeholder="text or /pattern/"
        value={settings.get('grep') ?? ''}
        apply={(grep) => changeSettings({ grep })}
      />
      <button
        type="button"
        aria-pressed={settings.get('ask') === 'debug'}
        title="Asks the running applications to make debug lines while this page looks"
        onClick={() => changeSettings({ ask: settings.get('ask') === 'debug' ? '' : 'debug' })}
      >
        Ask for debug
      </button>
    </search>
  )
}

interface TextFilterProps {
  readonly label: string
  readonly name: string
  readonly isWide?: boolean
  readonly placeholder: string
  /** As it is applied. */
  readonly value: string
  readonly apply: (text: string) => void
}

/** What is being typed is the field's own: the view is drawn anew several times a second. */
function TextFilter({ label, name, isWide = false, placeholder, value, apply }: TextFilterProps): JSX.Element {
  const [draft, setDraft] = useState(value)
  useEffect(() => setDraft(value), [value])
  return (
    <label class={isWide ? 'wide' : ''}>
      {label}
      <input
        name={name}
        placeholder={placeholder}
        spellcheck={false}
        autocomplete="off"
        value={draft}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onChange={(event) => apply(event.currentTarget.value.trim())}
      />
    </label>
  )
}

interface CountsProps {
  readonly feed: LiveFeed | undefined
  readonly listed: number
  /** Came while the list stands still. */
  readonly waiting: number | undefined
  readonly history: string
  readonly children: unknown
}

function Counts({ feed, listed, waiting, history, children }: CountsProps): JSX.Element {
  const counts = feed?.counts
  const evicted = feed?.buffer.evicted ?? 0
  const told: readonly (readonly [string, number, boolean])[] = [
    ['filtered out', counts?.filtered ?? 0, false],
    ['skipped: this page did not keep up', counts?.skipped ?? 0, true],
    ['missed: lost before the collector had them', counts?.missed ?? 0, true],
    ['left out: the condition took too long', counts?.tooCostly ?? 0, true],
    [`no longer here: more than ${count(rowsMax)} rows or 64 MiB`, evicted, false],
  ]
  return (
    <div class="counts" data-counts={JSON.stringify({ ...counts, listed, waiting, evicted })}>
      {children as JSX.Element}
      <span>{count(counts?.rate ?? 0)}/s</span>
      <span>{count(listed)} shown</span>
      {waiting !== undefined && <span class="warn">paused, {count(waiting)} waiting</span>}
      {told.map(
        ([what, records, isBad]) =>
          records > 0 && (
            <span key={what} class={isBad ? 'bad' : ''}>
              {count(records)} {what}
            </span>
          ),
      )}
      {history !== '' && <span>{history}</span>}
    </div>
  )
}

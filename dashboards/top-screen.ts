/** `spillway top` on a terminal: the table, drawn anew every so often, and keys that sort, filter and turn it over. */
import { setTimeout as sleep } from 'node:timers/promises'
import { formatDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { parseTextSearch, type TextSearch } from '../wire/text-search.ts'
import type { Key } from './keys.ts'
import { cutEnd, painted, type StyledText } from './styled-text.ts'
import { Terminal } from './terminal.ts'
import type { Snapshot } from './top-rates.ts'
import { type TopSort, topSorts } from './top-sorts.ts'
import type { TopSource } from './top-source.ts'
import { type TopTableOptions, type TopView, topTable, topViews } from './top-table.ts'
import { visibleText } from './visible-text.ts'

export interface TopScreenOptions {
  readonly address: string
  readonly everyMs: number
  readonly sort: TopSort
  readonly filter?: TextSearch | undefined
  readonly hasColour: boolean
}

const home = '\u001b[H'
const eraseToEnd = '\u001b[K'
const noWrap = '\u001b[?7l'
const wrap = '\u001b[?7h'
const typedCharsMax = 200
/** Of the time; the rest is the collector's and the terminal's. */
const busyShareMax = 0.2

const help: readonly string[] = [
  's       sort by the next column: rate, errors, lost, name',
  'r       the other way round',
  'v, Tab  services, origins, topics',
  '/       only what holds a text or a /regular expression/ in its name; empty for all',
  'Up, Down, PgUp, PgDn, Home',
  '        move through what does not fit',
  'space   pause',
  'q       quit, as Ctrl-C does',
  '',
  'ORIG    processes that are alive; red when one has ended without goodbye',
  'LOST    lost, expired and rejected so far; red while it grows',
  'LOOP    event-loop delay, p99 of the worst process, when they tell it',
]

export class TopScreen {
  readonly #source: TopSource
  readonly #options: TopScreenOptions
  readonly #terminal: Terminal
  readonly #ended = new AbortController()
  #snapshot: Snapshot | undefined
  #complaint: string | undefined
  #view: TopView = 'services'
  #sort: TopSort
  #isReversed = false
  #filter: TextSearch | undefined
  #typed: string | undefined
  #typedComplaint: string | undefined
  #from = 0
  #isPaused = false
  #isHelp = false
  #isStale = false
  #page = 1
  #length = 0

  constructor(source: TopSource, options: TopScreenOptions) {
    this.#source = source
    this.#options = options
    this.#sort = options.sort
    this.#filter = options.filter
    this.#terminal = new Terminal(
      { key: (key) => this.#key(key), redraw: () => this.#draw(), closed: () => this.#ended.abort() },
      { isFullScreen: true },
    )
  }

  /** Until `q`, the signal, or the end of the terminal, which it leaves as it was. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#ended.abort())
    this.#terminal.open()
    try {
      this.#draw()
      while (!this.#ended.signal.aborted) {
        const startedAtMs = performance.now()
        await this.#look()
        const tookMs = performance.now() - startedAtMs
        // A large collector takes its time to answer, and must not spend all of it on that.
        const restMs = Math.max(this.#options.everyMs, tookMs / busyShareMax) - tookMs
        await sleep(Math.max(0, restMs), undefined, { signal: this.#ended.signal }).catch(() => undefined)
      }
    } finally {
      this.#terminal.close()
    }
  }

  async #look(): Promise<void> {
    try {
      const snapshot = await this.#source.next()
      if (this.#isPaused) return
      this.#snapshot = snapshot
      this.#complaint = undefined
    } catch (error) {
      if (!(error instanceof SpillwayError)) throw error
      this.#complaint = error.message
    }
    this.#draw()
  }

  #draw(): void {
    if (this.#ended.signal.aborted) return
    // A terminal that has not taken the last one yet is given the next when it has.
    this.#isStale = this.#terminal.output.writableLength > 0
    if (this.#isStale) return
    const { columns, rows } = this.#terminal.size
    const body = this.#isHelp ? help.map((line): StyledText => [{ text: `  ${line}` }]) : this.#tableRows(columns, rows)
    const shown = body.slice(0, rows - 1)
    const filling = Array.from({ length: Math.max(0, rows - 1 - shown.length) }, (): StyledText => [])
    const text = [...shown, ...filling, this.#status()]
      .map((row) => `${eraseToEnd}${painted(cutEnd(row, columns), this.#options.hasColour)}`)
      .join('\r\n')
    this.#terminal.output.write(`${home}${noWrap}${text}${wrap}`, () => {
      if (this.#isStale) this.#draw()
    })
  }

  #tableRows(columns: number, rows: number): readonly StyledText[] {
    const snapshot = this.#snapshot
    if (snapshot === undefined)
      return [[{ text: this.#complaint === undefined ? `asking ${this.#options.address} …` : visibleText(this.#complaint) }]]
    const table = topTable(snapshot, { ...this.#tableOptions, size: { columns, rows: rows - 1 } })
    this.#page = table.page
    this.#length = table.length
    return table.rows
  }

  get #tableOptions(): Omit<TopTableOptions, 'size'> {
    return {
      address: this.#options.address,
      view: this.#view,
      sort: this.#sort,
      isReversed: this.#isReversed,
      filter: this.#filter,
      from: this.#from,
    }
  }

  #status(): StyledText {
    if (this.#typed !== undefined) {
      const hint = this.#typedComplaint === undefined ? '  Enter to set, Esc to leave' : `  ${visibleText(this.#typedComplaint)}`
      return [
        { text: ' filter: ', style: 'inverse' },
        { text: ` ${visibleText(this.#typed)}▏` },
        { text: hint, style: this.#typedComplaint === undefined ? 'gray' : 'red' },
      ]
    }
    const state = this.#isPaused ? 'paused' : `every ${formatDuration(this.#options.everyMs)}`
    const shown = `${Math.min(this.#length, this.#from + 1)}–${Math.min(this.#length, this.#from + this.#page)} of ${this.#length}`
    return [
      { text: ` ${state} `, style: 'inverse' },
      { text: ` ${this.#view} by ${this.#sort}${this.#isReversed ? ', reversed' : ''}` },
      { text: this.#length > this.#page ? `  ${shown}` : '' },
      { text: this.#filter === undefined ? '' : `  filter ${visibleText(this.#filter.source)}` },
      this.#complaint !== undefined && this.#snapshot !== undefined
        ? { text: `  ${visibleText(this.#complaint)}`, style: 'red' }
        : { text: '  s sort  v view  / filter  q quit  ? help', style: 'gray' },
    ]
  }

  #key(key: Key): void {
    if (key === 'ctrl-c') return this.#ended.abort()
    if (this.#typed !== undefined) this.#typing(key, this.#typed)
    else if (key === 'q') return this.#ended.abort()
    else this.#command(key)
    this.#draw()
  }

  #command(key: Key): void {
    const isHelp = this.#isHelp
    this.#isHelp = key === '?' && !isHelp
    // The key that ends the help is taken for that alone.
    if (isHelp) return
    if (key === 's') this.#sort = following(topSorts, this.#sort)
    else if (key === 'r') this.#isReversed = !this.#isReversed
    else if (key === 'v' || key === 'tab') this.#view = following(topViews, this.#view)
    else if (key === ' ') this.#isPaused = !this.#isPaused
    else if (key === '/') this.#typed = ''
    this.#from = this.#moved(key)
  }

  #moved(key: Key): number {
    const last = Math.max(0, this.#length - this.#page)
    switch (key) {
      case 'up':
        return Math.max(0, this.#from - 1)
      case 'down':
        return Math.min(last, this.#from + 1)
      case 'page-up':
        return Math.max(0, this.#from - this.#page)
      case 'page-down':
        return Math.min(last, this.#from + this.#page)
      case 'end':
        return last
      case 'home':
      case 's':
      case 'r':
      case 'v':
      case 'tab':
        return 0
      default:
        return Math.min(last, this.#from)
    }
  }

  #typing(key: Key, typed: string): void {
    this.#typedComplaint = undefined
    if (key === 'enter') {
      try {
        this.#filter = typed === '' ? undefined : parseTextSearch(typed, '/')
        this.#typed = undefined
        this.#from = 0
      } catch (error) {
        if (!(error instanceof SpillwayError)) throw error
        this.#typedComplaint = error.message
      }
    } else if (key === 'escape') this.#typed = undefined
    else if (key === 'backspace') this.#typed = [...typed].slice(0, -1).join('')
    else if ([...key].length === 1 && typed.length < typedCharsMax) this.#typed = typed + key
  }
}

function following<T>(all: readonly T[], one: T): T {
  return all[(all.indexOf(one) + 1) % all.length] ?? one
}

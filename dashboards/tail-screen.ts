/**
 * A tail on a terminal with keys. Records scroll by as they would without, so that the terminal's own scrolling and
 * copying work; the last row says how it goes, and is taken away before the next record and drawn again behind it.
 */
import { levels } from '../wire/level.ts'
import { formatCount } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import type { Key } from './keys.ts'
import { cutEnd, painted, type StyledText } from './styled-text.ts'
import type { Tail, TailReader } from './tail.ts'
import { Terminal } from './terminal.ts'
import { visibleText } from './visible-text.ts'

export interface ScreenOptions {
  readonly hasColour: boolean
  /** Rows are cut at the edge instead of going on in the next row. */
  readonly isTruncated: boolean
  readonly ended: () => void
}

/** What a slow terminal may have in front of it: little, so that it shows what is happening, and hears a pause at once. */
const unwrittenBytesMax = 65_536
const statusEveryMs = 250
const rateOverMs = 1_000
const typedCharsMax = 200
const eraseStatus = '\r\u001b[J'
const noWrap = '\u001b[?7l'
const wrap = '\u001b[?7h'
const clearScreen = '\u001b[2J\u001b[H'

const help: readonly string[] = [
  'space   pause, and go on where it stopped',
  '/       show only lines that hold a text or a /regular expression/; empty for all',
  `1 … 6   this level and above: ${levels.join(', ')}`,
  'c       clear the screen',
  'w       wrap long lines, or cut them',
  'q       quit, as Ctrl-C does',
  '?       this help',
]

export class TailScreen implements TailReader {
  readonly kind = 'terminal'
  readonly waiting: TailReader['waiting'] = { bytesMax: 33_554_432, recordsMax: 200_000 }
  readonly #terminal: Terminal
  readonly #hasColour: boolean
  readonly #ended: () => void
  #timer: NodeJS.Timeout | undefined
  #isTruncated: boolean
  #tail: Tail | undefined
  /** What is being typed behind `/`. */
  #typed: string | undefined
  #complaint: string | undefined
  #rate = 0
  #rateSince = { atMs: performance.now(), shown: 0 }

  constructor(options: ScreenOptions) {
    this.#hasColour = options.hasColour
    this.#isTruncated = options.isTruncated
    this.#ended = options.ended
    this.#terminal = new Terminal(
      { key: (key) => this.#key(key), redraw: () => this.#drawStatus(), closed: options.ended },
      { isFullScreen: false },
    )
  }

  /** Takes the terminal, for the tail whose reader this is. */
  open(tail: Tail): void {
    this.#tail = tail
    this.#terminal.open()
    this.#timer = setInterval(() => this.#tick(), statusEveryMs)
    this.#drawStatus()
  }

  get isReady(): boolean {
    return this.#terminal.output.writableLength <= unwrittenBytesMax
  }

  whenReady(then: () => void): void {
    this.#terminal.output.once('drain', then)
  }

  show(rows: readonly StyledText[]): void {
    const { columns } = this.#terminal.size
    const shown = this.#isTruncated ? rows.map((row) => cutEnd(row, columns)) : rows
    this.#print(shown.map((row) => painted(row, this.#hasColour)).join('\n'))
  }

  say(text: string, isInStream: boolean): void {
    this.#print(painted([{ text: isInStream ? text : `spillway tail: ${text}`, style: isInStream ? 'yellow' : 'gray' }], this.#hasColour))
  }

  #print(text: string): void {
    this.#terminal.output.write(`${eraseStatus}${text}\n${this.#status()}`)
  }

  #drawStatus(): void {
    // A terminal that takes nothing would only collect them.
    if (this.isReady) this.#terminal.output.write(`${eraseStatus}${this.#status()}`)
  }

  #tick(): void {
    const nowMs = performance.now()
    const passedMs = nowMs - this.#rateSince.atMs
    const shown = this.#received
    if (passedMs >= rateOverMs) {
      this.#rate = Math.round(((shown - this.#rateSince.shown) * 1_000) / passedMs)
      this.#rateSince = { atMs: nowMs, shown }
    }
    this.#drawStatus()
  }

  get #received(): number {
    return this.#tail?.counts.received ?? 0
  }

  /**
   * The cursor is left at its beginning: a terminal that is made narrower breaks it into several rows and takes the cursor
   * along, so that taking it away from there takes all of it, even before the new size is known here.
   */
  #status(): string {
    const columns = Math.max(1, this.#terminal.size.columns - 1)
    const text = cutEnd(this.#typed === undefined ? this.#books() : this.#prompt(this.#typed), columns)
    return `${noWrap}${painted(text, this.#hasColour)}${wrap}\r`
  }

  #prompt(typed: string): StyledText {
    return [
      { text: ' filter: ', style: 'inverse' },
      { text: ` ${visibleText(typed)}▏` },
      {
        text: this.#complaint === undefined ? '  Enter to set, Esc to leave' : `  ${visibleText(this.#complaint)}`,
        style: this.#complaint === undefined ? 'gray' : 'red',
      },
    ]
  }

  #books(): StyledText {
    const tail = this.#tail
    if (tail === undefined) return []
    const { counts } = tail
    const parts: { text: string; style?: 'gray' | 'yellow' | 'inverse' }[] = []
    if (tail.isPaused)
      parts.push({
        text: ` paused: ${formatCount(tail.waiting)} wait${tail.shed > 0 ? `, ${formatCount(tail.shed)} shed` : ''} `,
        style: 'inverse',
      })
    else parts.push({ text: tail.isConnected ? ` ${formatCount(this.#rate)}/s ` : ' not connected ', style: 'inverse' })
    parts.push({ text: ` shown ${formatCount(counts.shown)}  filtered ${formatCount(counts.filtered)}` })
    parts.push({ text: `  missed ${formatCount(counts.missed)}`, ...(counts.missed > 0 && { style: 'yellow' }) })
    const dropped = counts.dropped + (tail.isPaused ? 0 : tail.shed)
    if (dropped > 0) parts.push({ text: `  dropped ${formatCount(dropped)}`, style: 'yellow' })
    if (tail.level !== undefined) parts.push({ text: `  ≥ ${tail.level}` })
    if (tail.filter.typed !== undefined) parts.push({ text: `  filter ${visibleText(tail.filter.typed)}` })
    parts.push({ text: '  ? help', style: 'gray' })
    return parts
  }

  #key(key: Key): void {
    if (key === 'ctrl-c') return this.#ended()
    if (this.#typed !== undefined) this.#typing(key, this.#typed)
    else this.#command(key)
  }

  #command(key: Key): void {
    const tail = this.#tail
    if (tail === undefined) return
    const level = levels[Number(key) - 1]
    if (key === 'q') return this.#ended()
    if (key === ' ') tail.isPaused = !tail.isPaused
    else if (key === '/') this.#typed = ''
    else if (key === 'c' || key === 'ctrl-l') this.#terminal.output.write(clearScreen)
    else if (key === 'w') this.#isTruncated = !this.#isTruncated
    else if (key === '?') this.#print(help.map((line) => painted([{ text: `  ${line}`, style: 'gray' }], this.#hasColour)).join('\n'))
    else if (/^[1-6]$/.test(key) && level !== undefined) this.#orSay(() => (tail.level = level))
    this.#drawStatus()
  }

  #typing(key: Key, typed: string): void {
    this.#complaint = undefined
    if (key === 'enter') {
      try {
        this.#tail?.filter.type(typed)
        this.#typed = undefined
      } catch (error) {
        if (!(error instanceof SpillwayError)) throw error
        this.#complaint = error.message
      }
    } else if (key === 'escape') this.#typed = undefined
    else if (key === 'backspace') this.#typed = [...typed].slice(0, -1).join('')
    else if ([...key].length === 1 && typed.length < typedCharsMax) this.#typed = typed + key
    this.#drawStatus()
  }

  #orSay(act: () => void): void {
    try {
      act()
    } catch (error) {
      if (!(error instanceof SpillwayError)) throw error
      this.say(error.message, false)
    }
  }

  /** The terminal as it was, the status gone; waits a moment for what is on its way to a slow one. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    const { output } = this.#terminal
    output.write(eraseStatus)
    const until = performance.now() + 200
    while (output.writableLength > 0 && performance.now() < until && !output.destroyed)
      await new Promise((resolve) => setTimeout(resolve, 5))
    this.#terminal.close()
  }
}

/**
 * Reads what was asked of the files, oldest first, and hands it over in pieces of newline-delimited JSON.
 *
 * The newest so many are looked for backwards, in stretches of time each sixteen times as long as the one behind it:
 *
 *   ◄─ … ──┤◄──── 4 h ────┤◄── 16 min ──┤◄ 1 min ┤ now
 *
 * so that the last lines of a busy service cost one look at its newest blocks, and those of a silent one few more.
 *
 * A live tail that goes on where the files end asks before it subscribes, and subscribes when it is told to:
 *
 *   in the files when it asks  │ written until everything is that came before its subscriptions  │ not looked at
 *   given in order of time     │ given with `seam: true`, as it was written                      │ the tail has it
 *
 * What stands in the first part never comes to the tail, what stands in the last must; what stands in the middle may, and
 * is left out there.
 */
import { compileExpression } from '../../wire/expression/expression.ts'
import { compilePatterns } from '../../wire/pattern.ts'
import { parseTextSearch } from '../../wire/text-search.ts'
import { Follow, type FollowStart } from '../query/follow.ts'
import { type LineConditions, LineQuery, type Match } from '../query/line-query.ts'
import { runQuery } from '../query/run-query.ts'
import { cursorText, type HistoryQuestion } from './history-question.ts'

/** The last line of an answer. */
interface HistoryEnd {
  readonly end: true
  /** To be asked with as `before`; null when there is nothing before it. */
  readonly cursor: string | null
  /** Whether there may be older ones, or, when it was asked from a time on, newer ones. */
  readonly more: boolean
  /** What could not be read, and why; a few of them. */
  readonly unreadable: readonly string[]
  /** Records whose condition would have taken too long; they are not among the answer. */
  readonly tooCostly: number
  /** The sink has yet to write records that have been received: they are missing here. */
  readonly behind: boolean
}

export interface HistoryReader {
  /** Takes whole lines. */
  give(text: string): void
  /** Waited for between blocks of the files. */
  pace(): Promise<void> | undefined
  /** The files are known as they are now: a tail may subscribe. */
  begun(): void
  /** Waits until the files hold what had been received, before the tail had its subscriptions if there is one. False when they still do not. */
  written(): Promise<boolean>
}

interface Times {
  readonly sinceMs: number | undefined
  readonly untilMs: number | undefined
}

type HistoryPart = Pick<HistoryEnd, 'cursor' | 'more'>

const firstStretchMs = 60_000
const stretchFactor = 16
/** Seven stretches reach back thirty years. */
const stretches = 7
const pieceChars = 65_536
/** What is kept of the newest so many; with lines of 64 KiB these are fewer. */
const keptCharsMax = 33_554_432
const unreadableShown = 10

export async function readHistory(question: HistoryQuestion, reader: HistoryReader): Promise<void> {
  await new HistoryRun(question, reader).run()
}

class HistoryRun {
  readonly #question: HistoryQuestion
  readonly #reader: HistoryReader
  readonly #unreadable = new Set<string>()
  #tooCostly = 0
  #isBehind = false
  #piece = ''
  /** For a tail that goes on from here. */
  #follow: Follow | undefined
  #start: FollowStart | undefined

  constructor(question: HistoryQuestion, reader: HistoryReader) {
    this.#question = question
    this.#reader = reader
  }

  async run(): Promise<void> {
    const { template, last, isSeamed } = this.#question
    const follow = isSeamed
      ? new Follow({
          template,
          conditions: this.#conditions({ sinceMs: undefined, untilMs: undefined }),
          signal: new AbortController().signal,
        })
      : undefined
    try {
      this.#follow = follow
      this.#start = await follow?.begin()
      if (follow !== undefined) this.#reader.begun()
      else this.#isBehind = !(await this.#reader.written())
      const { cursor, more } = await (last === undefined ? this.#forward() : this.#backward(last))
      if (follow !== undefined) await this.#giveSeam(follow)
      this.#end(cursor, more)
    } finally {
      await follow?.close()
    }
  }

  async #giveSeam(follow: Follow): Promise<void> {
    this.#isBehind = !(await this.#reader.written())
    const isFound = this.#search()
    await follow.catchUp(
      (match) => {
        if (isFound(match)) this.#give(match, true)
      },
      () => this.#reader.pace(),
    )
  }

  async #forward(): Promise<HistoryPart> {
    const { sinceMs, untilMs, limit } = this.#question
    let given = 0
    const abort = new AbortController()
    await this.#query({ sinceMs, untilMs }, abort.signal, (match) => {
      if (given >= limit) {
        abort.abort()
        return
      }
      given += 1
      this.#give(match)
    })
    return { cursor: null, more: given >= limit }
  }

  async #backward(last: number): Promise<HistoryPart> {
    const { sinceMs = Number.NEGATIVE_INFINITY, before, nowMs } = this.#question
    let untilMs = Math.min(
      this.#question.untilMs ?? Number.POSITIVE_INFINITY,
      before === undefined ? Number.POSITIVE_INFINITY : before.timeMs + 1,
    )
    let fromMs = Number.isFinite(untilMs) ? untilMs : nowMs
    let stretchMs = firstStretchMs
    let found: Match[] = []
    let chars = 0
    for (let i = 0; i < stretches && found.length < last && chars < keptCharsMax && fromMs > sinceMs; i += 1) {
      fromMs = Math.max(sinceMs, i === stretches - 1 ? 0 : fromMs - stretchMs)
      stretchMs *= stretchFactor
      const inStretch = new Newest(last - found.length + (i === 0 ? (before?.skip ?? 0) : 0), keptCharsMax - chars)
      await this.#query({ sinceMs: fromMs, untilMs: Number.isFinite(untilMs) ? untilMs : undefined }, undefined, (match) =>
        inStretch.add(match),
      )
      const matches = i === 0 && before !== undefined ? withoutGiven(inStretch.matches, before) : inStretch.matches
      found = [...matches, ...found]
      chars += inStretch.chars
      untilMs = fromMs
    }
    found = found.slice(Math.max(0, found.length - last))
    for (const match of found) {
      this.#give(match)
      await this.#reader.pace()
    }
    const isMore = found.length >= last || chars >= keptCharsMax
    const oldestMs = found[0]?.timeMs
    const cursor = isMore && oldestMs !== undefined ? cursorText({ timeMs: oldestMs, skip: this.#givenAt(found, oldestMs) }) : null
    return { cursor, more: isMore }
  }

  /** How many records of the oldest time have been given, those of earlier pages included. */
  #givenAt(found: readonly Match[], timeMs: number): number {
    const { before } = this.#question
    const earlier = before?.timeMs === timeMs ? before.skip : 0
    return earlier + found.filter((match) => match.timeMs === timeMs).length
  }

  async #query(times: Times, signal: AbortSignal | undefined, use: (match: Match) => void): Promise<void> {
    const isFound = this.#search()
    const report = await runQuery(
      {
        template: this.#question.template,
        isOrdered: true,
        conditions: this.#conditions(times),
        ends: this.#start?.ends,
        compressed: this.#start?.compressed,
        ...(signal === undefined ? {} : { signal }),
      },
      {
        use: (match) => {
          if (isFound(match)) use(match)
        },
        pace: () => this.#reader.pace(),
      },
    )
    await this.#follow?.before(new LineQuery(this.#conditions(times)), report.plain, (match) => {
      if (isFound(match)) use(match)
    })
    for (const what of report.unreadable) this.#unreadable.add(what)
    this.#tooCostly += report.tooCostly
  }

  #conditions({ sinceMs, untilMs }: Times): LineConditions {
    const { topics, rankMin, services, where } = this.#question
    const isEverything = topics.length === 1 && topics[0] === 'log.>'
    return {
      sinceMs,
      untilMs,
      rankMin,
      services: services.length === 0 ? undefined : new Set(services),
      // Every line of a file is of some log topic.
      patterns: isEverything ? undefined : compilePatterns(topics),
      texts: [],
      where: where === undefined ? undefined : compileExpression(where, 'where'),
    }
  }

  #search(): (match: Match) => boolean {
    const searches = this.#question.grep.map((text) => parseTextSearch(text, 'grep'))
    return ({ line }) => searches.length === 0 || searches.some((search) => search.isIn(line))
  }

  #give({ topic, service, level, timeMs, host, line }: Match, isSeam = false): void {
    const told = {
      topic,
      service,
      level,
      time: timeMs ?? 0,
      host: host ?? null,
      origin: null,
      seq: null,
      line,
      ...(isSeam && { seam: true }),
    }
    this.#piece += `${JSON.stringify(told)}\n`
    if (this.#piece.length < pieceChars) return
    this.#reader.give(this.#piece)
    this.#piece = ''
  }

  #end(cursor: string | null, more: boolean): void {
    const unreadable = [...this.#unreadable].slice(0, unreadableShown)
    const end: HistoryEnd = { end: true, cursor, more, unreadable, tooCostly: this.#tooCostly, behind: this.#isBehind }
    this.#reader.give(`${this.#piece}${JSON.stringify(end)}\n`)
    this.#piece = ''
  }
}

/** The newest of those that come oldest first, bounded in number and characters. */
class Newest {
  chars = 0
  readonly #countMax: number
  readonly #charsMax: number
  #kept: Match[] = []
  #from = 0

  constructor(countMax: number, charsMax: number) {
    this.#countMax = countMax
    this.#charsMax = charsMax
  }

  get matches(): readonly Match[] {
    return this.#kept.slice(this.#from)
  }

  add(match: Match): void {
    this.#kept.push(match)
    this.chars += match.line.length
    while (this.#kept.length - this.#from > this.#countMax || (this.chars > this.#charsMax && this.#kept.length - this.#from > 1)) {
      this.chars -= this.#kept[this.#from]?.line.length ?? 0
      this.#from += 1
    }
    if (this.#from < 1_000 || this.#from * 2 < this.#kept.length) return
    this.#kept = this.#kept.slice(this.#from)
    this.#from = 0
  }
}

/** The page before this one gave the newest `skip` of that time. */
function withoutGiven(matches: readonly Match[], { timeMs, skip }: { readonly timeMs: number; readonly skip: number }): readonly Match[] {
  const end = matches.findLastIndex((match) => match.timeMs === timeMs) + 1
  const given = Math.min(skip, matches.filter((match) => match.timeMs === timeMs).length)
  return end === 0 ? matches : matches.filter((_, i) => i < end - given || i >= end)
}

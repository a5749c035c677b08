/**
 * Which lines of a block are wanted. The cheap questions come first: time and level from the head of the line, texts that
 * must stand in it, and only then is it parsed, once, for the condition.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { bytesAsText } from '../../wire/expression/bytes-as-text.ts'
import type { Expression } from '../../wire/expression/expression.ts'
import { escapes } from '../../wire/expression/line-filter.ts'
import { hostIn, type LogRecord, parseFields } from '../../wire/expression/log-record.ts'
import { type Level, levels, type Rank } from '../../wire/level.ts'
import type { CompiledPatterns } from '../../wire/pattern.ts'
import { logTopic } from '../../wire/topic.ts'
import { LineHead, rankOrInfo } from './line-head.ts'
import { type LogBlock, lineBytesMax } from './log-blocks.ts'
import type { LogFileEntry } from './log-folder.ts'
import { type IndexBlock, unknownLevel } from './log-index.ts'

/** What is asked of lines. */
export interface LineConditions {
  /** Unix ms; a line without a time is not wanted when either is given. */
  readonly sinceMs?: number | undefined
  /** Unix ms, not included. */
  readonly untilMs?: number | undefined
  /** Least severe rank wanted. */
  readonly rankMin?: Rank | undefined
  readonly services?: ReadonlySet<string> | undefined
  readonly patterns?: CompiledPatterns | undefined
  /** Each stands somewhere in the line. */
  readonly texts: readonly string[]
  readonly where?: Expression | undefined
}

/** A wanted line, parsed at most once. */
export class Match implements LogRecord {
  /** As it was kept, without its line feed. Its bytes, when they are not UTF-8. */
  readonly line: string
  readonly bytes: Buffer | undefined
  readonly level: Level
  readonly service: string
  readonly timeMs: number | undefined
  #fields: Readonly<Record<string, unknown>> | undefined

  constructor(line: string, bytes: Buffer | undefined, rank: Rank | undefined, timeMs: number, entry: LogFileEntry) {
    this.line = line
    this.bytes = bytes
    this.level = levels[rankOrInfo(rank)]
    this.timeMs = Number.isNaN(timeMs) ? undefined : timeMs
    this.service = entry.service ?? textOf(this.fields, 'service') ?? ''
  }

  get fields(): Readonly<Record<string, unknown>> {
    this.#fields ??= parseFields(this.line) ?? noFields
    return this.#fields
  }

  get isJson(): boolean {
    return this.fields !== noFields
  }

  /** The logger's name. */
  get name(): string | undefined {
    return textOf(this.fields, 'name')
  }

  get topic(): string {
    return logTopic(this.level, this.service, this.name)
  }

  get host(): string | undefined {
    return hostIn(this.fields)
  }
}

const noFields: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null) as Record<string, unknown>)

function textOf(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined
  return typeof value === 'string' ? value : undefined
}

/** What was seen while looking, beside matches. */
export interface ScanCounts {
  /** Looked at, decompressed. */
  bytes: number
  lines: number
  matched: number
  /** Lines that are no JSON object, as far as they were looked at. */
  invalid: number
  /** Over 1 MiB: not looked at. */
  longLines: number
  /** The last line of a file, unfinished. */
  torn: number
}

const lineFeed = 10
const openBrace = 123
const closeBrace = 125

/** Lines that are looked at as one text. */
interface Part {
  readonly text: string
  readonly bytes: Buffer
  readonly entry: LogFileEntry
  readonly use: (match: Match) => void
}

/** Larger texts are no young garbage: they lie there until all of it is collected. */
const partBytes = 98_304

/** Where a part of whole lines ends. */
function partEnd(bytes: Buffer, start: number): number {
  if (bytes.length - start <= partBytes) return bytes.length
  const end = bytes.lastIndexOf(lineFeed, start + partBytes - 1) + 1
  if (end > start) return end
  const next = bytes.indexOf(lineFeed, start + partBytes)
  return next === -1 ? bytes.length : next + 1
}

/** What a block holds, line by line. */
class BlockSummary {
  lines = 0
  #fromMs = Number.POSITIVE_INFINITY
  #toMs = Number.NEGATIVE_INFINITY
  #levels = 0

  add(rank: Rank | undefined, timeMs: number): void {
    this.lines += 1
    this.#levels |= rank === undefined ? unknownLevel : 1 << rank
    // NaN is neither.
    if (timeMs < this.#fromMs) this.#fromMs = timeMs
    if (timeMs > this.#toMs) this.#toMs = timeMs
  }

  of({ offset, bytes }: LogBlock): IndexBlock {
    const hasTimes = this.#fromMs <= this.#toMs
    const times = hasTimes ? { fromMs: this.#fromMs, toMs: this.#toMs } : { fromMs: undefined, toMs: undefined }
    return { offset, bytes, lines: this.lines, ...times, levels: this.#levels }
  }
}

/** The ranks of a block's lines, where a line that says none has that of its path. */
function levelsIn(block: IndexBlock, { level }: LogFileEntry): number {
  if ((block.levels & unknownLevel) === 0) return block.levels
  return (block.levels & ~unknownLevel) | (1 << rankOrInfo(level === undefined ? undefined : (levels.indexOf(level) as Rank)))
}

/** Where the next line that may be wanted is; -1 when there is none. */
type Seek = (text: string, from: number) => number

export class LineQuery {
  readonly #conditions: LineConditions
  /** Alternatives of each text, as bytes: as it is, and as JSON writes it. */
  readonly #texts: readonly (readonly string[])[]
  readonly #levels: number
  readonly #services: ReadonlySet<string> | undefined
  readonly #seek: Seek | undefined
  readonly #head = new LineHead()
  readonly counts: ScanCounts = { bytes: 0, lines: 0, matched: 0, invalid: 0, longLines: 0, torn: 0 }

  constructor(conditions: LineConditions) {
    this.#conditions = conditions
    this.#texts = conditions.texts.map((text) => [...new Set([text, JSON.stringify(text).slice(1, -1)].map(bytesAsText))])
    const { rankMin = 0, where } = conditions
    this.#levels = levels.reduce(
      (all, level, rank) => (rank >= rankMin && (where?.lineFilter.levels?.has(level) ?? true) ? all | (1 << rank) : all),
      0,
    )
    this.#seek = this.#seekOf()
    const asked = [conditions.services, where?.lineFilter.services].filter((set) => set !== undefined)
    this.#services = asked.length === 0 ? undefined : new Set([...(asked[0] ?? [])].filter((name) => asked.every((set) => set.has(name))))
  }

  /** Something every wanted line has, if there is anything to look for. */
  #seekOf(): Seek | undefined {
    const literal = this.#texts.find((alternatives) => alternatives.length === 1)?.[0]
    if (literal !== undefined && literal.length >= 2) return (text, from) => text.indexOf(literal, from)
    const seek = this.#conditions.where?.byteFilter.seek
    return seek === undefined ? undefined : seekOrEscapes(seek)
  }

  /** False when no line of the file can be wanted. */
  mayHoldFile(entry: LogFileEntry): boolean {
    if (entry.service !== undefined && this.#services !== undefined && !this.#services.has(entry.service)) return false
    return this.#levels !== 0
  }

  /** False when no line of the block can be wanted. */
  mayHold(block: IndexBlock, entry: LogFileEntry): boolean {
    const { sinceMs, untilMs } = this.#conditions
    if ((levelsIn(block, entry) & this.#levels) === 0) return false
    if (sinceMs === undefined && untilMs === undefined) return true
    if (block.fromMs === undefined || block.toMs === undefined) return false
    return (sinceMs === undefined || block.toMs >= sinceMs) && (untilMs === undefined || block.fromMs < untilMs)
  }

  /** Whether every line of the block would be wanted, and nothing of it has to be read to count it. */
  wantsAll(block: IndexBlock, entry: LogFileEntry): boolean {
    const { sinceMs, untilMs, patterns, texts, where } = this.#conditions
    if (patterns !== undefined || texts.length > 0 || where !== undefined || (levelsIn(block, entry) & ~this.#levels) !== 0) return false
    if (this.#services !== undefined && entry.service === undefined) return false
    // Lines without a time may be among the others.
    return sinceMs === undefined && untilMs === undefined
  }

  /**
   * Gives every wanted line to `use`, in order, and says what the block holds.
   *
   * @param needsSummary - Whether what is returned will be kept as an index; without it lines may be passed over unseen.
   */
  scan(block: LogBlock, entry: LogFileEntry, needsSummary: boolean, use: (match: Match) => void): IndexBlock | undefined {
    const { lines: bytes } = block
    this.counts.bytes += bytes.length
    const summary = !needsSummary && this.#seek !== undefined ? undefined : new BlockSummary()
    for (let start = 0; start < bytes.length; ) {
      const end = partEnd(bytes, start)
      // One character per byte; decoding costs more, and is done for lines that are wanted.
      const text = bytes.toString('latin1', start, end)
      const part: Part = { text, bytes: bytes.subarray(start, end), entry, use }
      if (summary === undefined && this.#seek !== undefined) this.#scanFor(this.#seek, part)
      else if (summary !== undefined) this.#scanAll(summary, part)
      start = end
    }
    this.counts.lines += summary?.lines ?? 0
    return summary?.of(block)
  }

  #scanAll(summary: BlockSummary, part: Part): void {
    const { text } = part
    for (let start = 0; start < text.length; ) {
      let end = text.indexOf('\n', start)
      if (end === -1) {
        end = text.length
        if (this.#isTorn(part.bytes, start)) return
      }
      const lineRank = this.#readHead(part, start, end)
      if (end > start) summary.add(this.#head.rank, this.#head.timeMs)
      this.#look(part, start, end, lineRank)
      start = end + 1
    }
  }

  /** Only lines in which something stands that a wanted one has to have. */
  #scanFor(seek: Seek, part: Part): void {
    const { text } = part
    for (let at = seek(text, 0); at !== -1; ) {
      const start = text.lastIndexOf('\n', at) + 1
      let end = text.indexOf('\n', at)
      if (end === -1) {
        end = text.length
        if (this.#isTorn(part.bytes, start)) return
      }
      this.#look(part, start, end, this.#readHead(part, start, end))
      at = seek(text, end)
    }
  }

  /** The rank of a line by what it says, or else by its path. */
  #readHead({ text, entry }: Part, start: number, end: number): Rank | undefined {
    this.#head.read(text, start, end)
    return this.#head.rank ?? (entry.level === undefined ? undefined : (levels.indexOf(entry.level) as Rank))
  }

  #look({ text, bytes, entry, use }: Part, start: number, end: number, rank: Rank | undefined): void {
    const { timeMs } = this.#head
    if (end - start > lineBytesMax) {
      this.counts.longLines += 1
      return
    }
    if (text.charCodeAt(start) !== openBrace || text.charCodeAt(end - 1) !== closeBrace) {
      if (start === end) return
      this.counts.invalid += 1
    }
    const { sinceMs, untilMs, where, patterns } = this.#conditions
    // NaN is in no range.
    if (sinceMs !== undefined && !(timeMs >= sinceMs)) return
    if (untilMs !== undefined && !(timeMs < untilMs)) return
    if (((1 << rankOrInfo(rank)) & this.#levels) === 0) return
    if (this.#texts.length > 0 || where !== undefined) {
      const line = text.slice(start, end)
      for (const alternatives of this.#texts) if (!alternatives.some((alternative) => line.includes(alternative))) return
      if (where !== undefined && !where.byteFilter.mayMatch(line)) return
    }
    const own = bytes.subarray(start, end)
    const isPlain = isAscii(own)
    const match = new Match(
      isPlain ? own.toString('latin1') : own.toString('utf8'),
      isPlain || isUtf8(own) ? undefined : Buffer.from(own),
      rank,
      timeMs,
      entry,
    )
    if (this.#services !== undefined && !this.#services.has(match.service)) return
    if (patterns !== undefined && !patterns.matches(match.topic)) return
    if (where !== undefined && !where.matches(match)) return
    this.counts.matched += 1
    use(match)
  }

  /** An unfinished line; one that only lacks its line feed is none. */
  #isTorn(bytes: Buffer, start: number): boolean {
    if (bytes.at(-1) === lineFeed || parseFields(bytes.toString('utf8', start)) !== undefined) return false
    this.counts.torn += 1
    return true
  }
}

/** Also lines in which nothing can be told from the text. What was found is kept: it is asked for from ever further on. */
function seekOrEscapes(seek: Seek): Seek {
  const seeks: readonly Seek[] = [
    seek,
    ...escapes.map(
      (written): Seek =>
        (text, from) =>
          text.indexOf(written, from),
    ),
  ]
  const found = seeks.map(() => -1)
  let last: string | undefined
  return (text, from) => {
    if (text !== last || from === 0) found.fill(-2)
    last = text
    let nearest = -1
    for (const [i, each] of seeks.entries()) {
      let at = found[i] ?? -1
      if (at !== -1 && at < from) {
        at = each(text, from)
        found[i] = at
      }
      if (at !== -1 && (nearest === -1 || at < nearest)) nearest = at
    }
    return nearest
  }
}

/** Level and time of kept lines, read from where pino writes them: `{"level":30,"time":1790000000000,…`. */
import { levelIn, parseFields, timeIn } from '../../wire/expression/log-record.ts'
import { infoRank, levels, type Rank, rankOfName, rankOfNumber } from '../../wire/level.ts'

const levelKey = '{"level":'
const timeKey = ',"time":'

/** One is enough for a reader: it is filled for each line. */
export class LineHead {
  /** Undefined when the line says no level. */
  rank: Rank | undefined
  /** Unix ms; NaN when the line says no time. */
  timeMs: number = Number.NaN

  /** @param text - Lines; one character per byte will do, what is looked at is ASCII. */
  read(text: string, start: number, end: number): void {
    if (!this.#readAsPino(text, start, end)) this.#readParsed(text.slice(start, end))
  }

  /** The first level of a line counts, as for the agent that gave it its topic, also when a field of that name follows. */
  #readAsPino(text: string, start: number, end: number): boolean {
    if (!text.startsWith(levelKey, start)) return false
    let at = start + levelKey.length
    let level = 0
    if (text.charCodeAt(at) === quote) {
      const close = text.indexOf('"', at + 1)
      if (close === -1 || close - at > 24) return false
      const rank = rankOfName(text.slice(at + 1, close))
      if (rank === undefined) return false
      this.rank = rank
      at = close + 1
    } else {
      const from = at
      for (let digit = text.charCodeAt(at) - zero; digit >= 0 && digit <= 9; digit = text.charCodeAt(at) - zero) {
        level = level * 10 + digit
        at += 1
      }
      if (at === from || at - from > 9) return false
      this.rank = rankOfNumber(level)
    }
    if (!text.startsWith(timeKey, at)) return false
    at += timeKey.length
    if (text.charCodeAt(at) === quote) {
      const close = text.indexOf('"', at + 1)
      if (close === -1 || close - at > 41) return false
      this.timeMs = Date.parse(text.slice(at + 1, close))
      return close < end
    }
    const from = at
    let time = 0
    for (let digit = text.charCodeAt(at) - zero; digit >= 0 && digit <= 9; digit = text.charCodeAt(at) - zero) {
      time = time * 10 + digit
      at += 1
    }
    // A fraction, an exponent: not as pino writes it.
    const next = text.charCodeAt(at)
    if (at === from || at - from > 15 || at >= end || (next !== comma && next !== brace)) return false
    this.timeMs = time
    return true
  }

  #readParsed(line: string): void {
    const fields = parseFields(line)
    const level = fields === undefined ? undefined : levelIn(fields)
    this.rank = level === undefined ? undefined : (levels.indexOf(level) as Rank)
    this.timeMs = (fields === undefined ? undefined : timeIn(fields)) ?? Number.NaN
  }
}

const quote = 34
const comma = 44
const zero = 48
const brace = 125

/** A line that says no level counts as info, as for agents. */
export function rankOrInfo(rank: Rank | undefined): Rank {
  return rank ?? infoRank
}

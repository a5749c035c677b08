/** Records of one frame for all live pages: taken apart, parsed and written as JSON once, and only when a page wants them. */
import { hostIn, type LogRecord, parseFields, timeIn } from '../../wire/expression/log-record.ts'
import type { Level } from '../../wire/level.ts'
import { parseTopic, type Topic } from '../../wire/topic.ts'
import { entryText } from '../sinks/points-lines.ts'
import type { Entry } from '../sinks/sink.ts'

export type LiveEntry = Pick<Entry, 'topic' | 'kind' | 'origin' | 'seq' | 'timeMs' | 'lines' | 'count' | 'host'>

interface LiveRecord {
  readonly logRecord: LogRecord
  readonly json: string
}

type Fields = Readonly<Record<string, unknown>>
const noFields: Fields = Object.freeze(Object.create(null) as Fields)

export class LivePart {
  readonly entry: LiveEntry
  readonly service: string
  /** Of log lines; points have none. */
  readonly level: Level | undefined
  #lines: readonly string[] | undefined
  readonly #records: LiveRecord[] = []

  constructor(entry: LiveEntry) {
    this.entry = entry
    const parts = parseTopic(entry.topic)
    this.service = parts?.service ?? ''
    this.level = parts?.kind === 'log' ? parts.level : parts?.kind === 'sys' ? 'warn' : undefined
  }

  get topic(): Topic {
    return this.entry.topic
  }

  get count(): number {
    return this.entry.count
  }

  get bytes(): number {
    return this.entry.lines.length
  }

  line(index: number): string {
    this.#lines ??= entryText(this.entry).toString('utf8').split('\n')
    return this.#lines[index] ?? ''
  }

  logRecord(index: number): LogRecord {
    return this.#record(index).logRecord
  }

  json(index: number): string {
    return this.#record(index).json
  }

  #record(index: number): LiveRecord {
    const known = this.#records[index]
    if (known !== undefined) return known
    const { entry, service, level } = this
    const line = this.line(index)
    const fields = parseFields(line) ?? noFields
    const timeMs = timeIn(fields) ?? entry.timeMs
    const host = entry.host ?? hostIn(fields)
    const logRecord = { fields, topic: entry.topic, level: level ?? 'info', service, host, timeMs }
    const told = {
      topic: entry.topic,
      service,
      level: level ?? null,
      time: timeMs,
      host: host ?? null,
      origin: entry.origin,
      seq: entry.seq + index,
      line,
    }
    const record = { logRecord, json: JSON.stringify(told) }
    this.#records[index] = record
    return record
  }
}

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentOptions, LogDestination } from '../../transports/pino.ts'
import { destination } from '../../transports/pino.ts'

export interface Recorded {
  readonly stream: LogDestination
  /** Exactly what was written to the stream, as a stream in memory would hold it. */
  readonly written: string[]
}

/** A destination that also remembers every chunk pino writes; pino sees the same object, with its metadata, as a user's would. */
export function recorded(options: AgentOptions): Recorded {
  const stream = destination(options)
  const written: string[] = []
  const write = stream.write.bind(stream)
  stream.write = (chunk) => {
    written.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8'))
    return write(chunk)
  }
  return { stream, written }
}

/** Lines with their ends, sorted: batches of different topics arrive in any order, lines of one topic do not. */
export function sortedLines(text: string): string[] {
  return text.split(/(?<=\n)/).sort()
}

/** Everything kept of a service, as the bytes of its files read as UTF-8. */
export function keptText(dir: string, serviceFolder: string): string {
  const folder = join(dir, 'logs', serviceFolder)
  const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'))
  return names.map((name) => readFileSync(join(folder, name), 'utf8')).join('')
}

/** OpenTelemetry's log records, as lines that pino could have written. */
import { hostname } from 'node:os'
import type { LogRecordExporter, ReadableLogRecord } from '@opentelemetry/sdk-logs'
import type { Agent } from '../../agent/agent.ts'
import { ExporterAgent, type ExportStats, type SpillwayExporterOptions } from './exporter-agent.ts'
import { lineOf, rankOfRecord } from './log-line.ts'

export class SpillwayLogRecordExporter implements LogRecordExporter {
  readonly #agent: ExporterAgent
  readonly #process = { pid: process.pid, hostname: hostname() }

  /** @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an option that cannot be meant. */
  constructor(options: SpillwayExporterOptions = {}) {
    this.#agent = new ExporterAgent(options, { name: 'SpillwayLogRecordExporter', knownOptions: [] })
  }

  /** Hands the records to the agent as lines, and calls back at once. */
  export(logs: ReadableLogRecord[], resultCallback: Parameters<LogRecordExporter['export']>[1]): void {
    this.#agent.export(logs[0]?.resource, (agent) => this.#take(agent, logs), resultCallback)
  }

  #take(agent: Agent, logs: readonly ReadableLogRecord[]): void {
    for (const record of logs) {
      const rank = rankOfRecord(record)
      const stream = agent.logStream(rank, record.instrumentationScope.name || undefined)
      // What nobody wants is counted as such, and not written.
      const line = stream.wanted ? this.#lineOf(record) : '\n'
      if (line !== undefined) agent.batcher.append(stream, line)
    }
  }

  #lineOf(record: ReadableLogRecord): string | undefined {
    try {
      const line = lineOf(record, { ...this.#process, resourceAttributes: this.#agent.resourceAttributes })
      this.#agent.exported += 1
      return line
    } catch (error) {
      // Somebody's getter; the records after it have no part in that.
      this.#agent.leftOut += 1
      this.#agent.warnings.say(
        record.instrumentationScope.name,
        `has a log record that cannot be written: ${error instanceof Error ? error.name : typeof error}`,
      )
      return undefined
    }
  }

  /** Waits until everything is acknowledged: two seconds at most, a tenth of one where no collector is. Never rejects. */
  forceFlush(): Promise<void> {
    return this.#agent.flush()
  }

  /** Flushes; later exports fail. The agent stays open: others may share it. */
  shutdown(): Promise<void> {
    return this.#agent.shutdown()
  }

  stats(): ExportStats {
    return this.#agent.stats()
  }
}

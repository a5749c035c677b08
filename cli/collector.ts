import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { type Collector, startCollector } from '../collector/collector.ts'
import { type CollectorConfig, configBytesMax, requireConfig, type SinkConfig } from '../collector/config.ts'
import { influxPlace } from '../collector/sinks/influx/influx-config.ts'
import { drainMaxMs } from '../wire/limits.ts'
import { formatCount } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { version } from '../wire/version.ts'
import type { CollectorFlags } from './flags.ts'
import { youngGarbageCollector } from './young-garbage.ts'

/** Long enough for what is under way when everything else is done. */
const hungEndMs = 1_000

/** Runs a collector until SIGINT or SIGTERM; drains for at most five seconds then. */
export async function runCollector(flags: CollectorFlags): Promise<void> {
  // Whoever reads these may leave; the collector stays.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  const { config: file, ...overrides } = flags
  const config = requireConfig(file === undefined ? undefined : { text: readConfigFile(file), file }, overrides)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const collector = await startCollector({ ...config, freeBuffers: youngGarbageCollector() })
  process.on('SIGHUP', () => collector.reopen())
  printScreen(collector, config)
  if (!stop.signal.aborted) await once(stop.signal, 'abort')
  await collector.close(drainMaxMs)
  words(config).write(`${closingLine(collector)}\n`)
  // A call to a disk that hangs keeps the process for ever, also when it is told to exit; only this ends it.
  setTimeout(() => {
    process.stderr.write('spillway collector: a disk does not answer; ending without it\n', () => process.kill(process.pid, 'SIGKILL'))
  }, hungEndMs).unref()
  // Lines that a stopped reader leaves in the pipe would keep the process for ever.
  if (process.stdout.writableLength > 0 || process.stderr.writableLength > 0) process.exit()
}

/** @throws {@link SpillwayError} `SPW_CONFIG_INVALID` */
export function readConfigFile(file: string): string {
  try {
    const { size } = statSync(file)
    // A file that long is the wrong one; readConfig says so without it being read.
    return size > configBytesMax ? ' '.repeat(configBytesMax + 1) : readFileSync(file, 'utf8')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message
    throw new SpillwayError('SPW_CONFIG_INVALID', `${file}: ${reason}`, { cause: error })
  }
}

/** Records may go to stdout; then the words about them go beside it. */
function words(config: CollectorConfig): NodeJS.WriteStream {
  return Object.values(config.sinks).some((sink) => sink.type === 'stdout') ? process.stderr : process.stdout
}

function printScreen(collector: Collector, config: CollectorConfig): void {
  const { data, control, tail, http } = collector.addresses
  const rows = [
    ['data', `${data}  applications connect here`],
    ['control', control],
    ['tail', `${tail}  \`spillway tail\` connects here`],
    ['http', http === undefined ? 'off' : `http://${http}/status.json`],
    ['receives', config.subscribe.join('  ')],
  ]
  for (const [name, sink] of Object.entries(config.sinks)) {
    rows.push([name, `${placeOf(sink)}  (${sink.topics.join('  ')})`])
  }
  words(config).write(
    `spillway collector ${version}, pid ${process.pid}, ready\n${rows.map(([name = '', value]) => `  ${name.padEnd(9)}${value}`).join('\n')}\n`,
  )
}

function placeOf(sink: SinkConfig): string {
  if (sink.type === 'file') return relativePath(sink.path)
  return sink.type === 'influxdb' ? influxPlace(sink) : 'standard output'
}

function relativePath(path: string): string {
  const near = relative(process.cwd(), resolve(path))
  return near.startsWith('..') ? resolve(path) : near
}

function closingLine(collector: Collector): string {
  const { accepted, delivered, lost, expired, rejected, pending, inFlight } = collector.status().totals
  const lostRecords = Object.values(lost).reduce((sum, records) => sum + records, 0) + expired + rejected
  const parts = [
    `${formatCount(accepted)} accepted`,
    `${formatCount(delivered)} delivered`,
    `${formatCount(lostRecords)} lost`,
    `${formatCount(pending)} waiting in the spool`,
    `${formatCount(inFlight - pending)} still with their applications`,
  ]
  return `spillway collector stopped: ${parts.join(', ')}`
}

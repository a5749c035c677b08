/**
 * The collector's configuration: one schema, from which types, checks and messages come.
 * Nothing is accepted that is not used; every error says where it stands and what was expected.
 */
import { join } from 'node:path'
import { CST, isScalar, Lexer, LineCounter, parseDocument, visit } from 'yaml'
import { z } from 'zod'
import { defaultHttpAddress, defaultPorts, type Endpoint, isIpc, parseEndpoint, siblingEndpoint, splitAddress } from '../wire/endpoint.ts'
import { compileExpression } from '../wire/expression/expression.ts'
import { levels } from '../wire/level.ts'
import {
  authTokenChars,
  instrumentDescriptionCharsMax,
  instrumentUnitCharsMax,
  keptBytesMax,
  keptSeriesMax,
  logMetricsMax,
  rollupIntervalMs,
  rollupLateMs,
  rollupOpenWindowsMax,
  rollupSeriesMax,
  spoolBytesMaxDefault,
  spoolBytesMaxMin,
  spoolSyncEveryMs,
  spoolSyncEveryMsMax,
} from '../wire/limits.ts'
import { nearest } from '../wire/nearest.ts'
import { compilePatterns } from '../wire/pattern.ts'
import { formatDuration, parseBytes, parseDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { logTopic } from '../wire/topic.ts'
import type { KeptConfig } from './kept/kept-metrics.ts'
import type { LogMetricConfig } from './rollup/log-metrics.ts'
import type { RollUpConfig } from './rollup/roll-up.ts'
import { type Compression, compressionFault, compressions } from './sinks/compress-file.ts'
import { type InfluxSinkConfig, influxKeys, influxSinkConfig, influxSubkeys, readInfluxSink } from './sinks/influx/influx-config.ts'
import { LogPath, templateFault } from './sinks/log-path.ts'
import type { Every, Zone } from './sinks/period.ts'

/** Longest file before it is rotated, unless told otherwise. */
const rotateBytesDefault = 104_857_600
const rotateBytesMin = 1_024
const rotateEveryMsMin = 1_000
const dayMs = 86_400_000
const rotateEveryMsMax = 366 * dayMs
export const defaultDir = './spillway-data'
/** Far more than anybody writes by hand. */
export const configBytesMax = 65_536
/** Nested some hundred times, YAML uses up the stack of what reads it, and that can end the process. */
const bracketDepthMax = 64
/** A level of a block takes a column at least. */
const blockColumnMax = 128
/** Who has more to mend begins with these. */
const issuesPrintedMax = 50
/** Names in one list of attributes, and characters in one of them: more than any application has. */
const attributeNamesMax = 256
const attributeNameCharsMax = 1_024
const defaultSubscribe = ['log.>', 'metric.>']
const defaultSinkTopics = ['log.>']

export interface FileSinkConfig {
  readonly type: 'file'
  readonly topics: readonly string[]
  /** Template; see LogPath. */
  readonly path: string
  readonly rotateBytes: number
  /** Takes also what applications log only because a live tail asks for it. */
  readonly onDemand?: boolean | undefined
  /** A new file begins this often; without it, as often as `{date}` or `{hour}` in the path changes. */
  readonly rotateEvery?: Every | undefined
  /** Whose hours and days. @defaultValue utc */
  readonly zone?: Zone | undefined
  /** What becomes of files nothing is written to any more; they stay as they are without it. */
  readonly compress?: Compression | undefined
  readonly keep?: Keep | undefined
}

/** What is removed is always the oldest, and never a file that is written to. Without a bound nothing is. */
export interface Keep {
  /** Nothing was written to it for this long, ms. */
  readonly ageMs?: number | undefined
  /** So many files of a stream, beside the one that is written to. */
  readonly files?: number | undefined
  /** So many bytes of all files of the sink. */
  readonly bytes?: number | undefined
  /** So many bytes of the disk are to stay free. */
  readonly freeBytes?: number | undefined
}

export interface StdoutSinkConfig {
  readonly type: 'stdout'
  readonly topics: readonly string[]
  readonly onDemand?: boolean | undefined
}

/** What is received waits here until every sink has it. */
export interface SpoolConfig {
  readonly dir: string
  /** Full, it gives up the oldest records, counted. */
  readonly bytesMax: number
  /** What is received is on disk, and acknowledged, after at most about this, ms. */
  readonly fsyncMs: number
}

export type SinkConfig = FileSinkConfig | InfluxSinkConfig | StdoutSinkConfig

/** A checked configuration, defaults filled in. */
export interface CollectorConfig {
  /** Holds the lock file and, by default, `logs/` and `spool/`. */
  readonly dir: string
  readonly listen: {
    readonly data: Endpoint
    readonly control: Endpoint
    readonly tail: Endpoint
    readonly http: 'off' | { readonly host: string; readonly port: number }
  }
  readonly subscribe: readonly string[]
  readonly spool: SpoolConfig
  readonly sinks: Readonly<Record<string, SinkConfig>>
  readonly http: {
    /** Names under which the http server may be asked, beside those of loopback. */
    readonly names: readonly string[]
    /** What those who ask have to know; undefined for everybody on this machine. */
    readonly token: string | undefined
  }
  readonly rollUp: RollUpConfig
  readonly keptMetrics: KeptConfig
  /** Metrics made of log lines, by name. */
  readonly logMetrics: Readonly<Record<string, LogMetricConfig>>
  /** Addresses other machines can reach may be bound without keys. */
  readonly insecure: boolean
  /** Told about trouble that goes on, such as a disk that is full: one sentence. */
  readonly onTrouble: (message: string) => void
  /** Called after every few MiB received, when their buffers are no longer in use; may collect garbage. */
  readonly freeBuffers?: (() => void) | undefined
}

/** What the command line says; it wins over the file. */
export interface ConfigOverrides {
  readonly dir?: string | undefined
  /** `HOST:PORT` of the data endpoint; control and tail follow it. */
  readonly listen?: string | undefined
  readonly http?: string | undefined
  readonly subscribe?: readonly string[] | undefined
  readonly insecure?: boolean | undefined
}

/** One thing wrong with a configuration. Line and column count from 1; absent for flags. */
export interface ConfigIssue {
  readonly where: string
  readonly message: string
  readonly line?: number
  readonly column?: number
}

export type ConfigResult =
  | { readonly ok: true; readonly config: CollectorConfig }
  | { readonly ok: false; readonly issues: readonly ConfigIssue[] }

function checked<T>(parse: (text: string) => T) {
  return z.string().transform((text, context): T => {
    try {
      return parse(text)
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
      return z.NEVER
    }
  })
}

const endpoint = checked((text) => parseEndpoint(text, 'endpoint'))
const pattern = checked((text) => {
  compilePatterns([text])
  return text
})
const patterns = z.array(pattern).min(1)
const rotateSize = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseBytes(String(value))
  if (bytes !== undefined && bytes >= rotateBytesMin) return bytes
  context.addIssue({ code: 'custom', message: `expected a size of at least 1KiB, such as 100MiB, got ${JSON.stringify(value)}` })
  return z.NEVER
})
const spoolSize = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseBytes(String(value))
  if (bytes !== undefined && bytes >= spoolBytesMaxMin) return bytes
  context.addIssue({
    code: 'custom',
    message: `expected a size of at least ${spoolBytesMaxMin / 1_048_576}MiB, such as 1GiB, got ${JSON.stringify(value)}`,
  })
  return z.NEVER
})
const keptMetricsSize = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseBytes(String(value))
  if (bytes !== undefined && bytes >= keptBytesMax.min) return bytes
  context.addIssue({
    code: 'custom',
    message: `expected a size of at least ${keptBytesMax.min / 1_048_576}MiB, such as 512MiB, got ${JSON.stringify(value)}`,
  })
  return z.NEVER
})
const syncEvery = z.union([z.string(), z.number()]).transform((value, context) => {
  const ms = parseDuration(String(value))
  if (ms !== undefined && ms >= 1 && ms <= spoolSyncEveryMsMax) return ms
  context.addIssue({
    code: 'custom',
    message: `expected a duration from 1ms to ${spoolSyncEveryMsMax / 1_000}s, such as 200ms, got ${JSON.stringify(value)}`,
  })
  return z.NEVER
})
const rotateEvery = z.union([z.string(), z.number()]).transform((value, context): Every => {
  if (value === 'hour' || value === 'day' || value === 'week') return value
  const ms = parseDuration(String(value))
  if (ms !== undefined && ms >= rotateEveryMsMin && ms <= rotateEveryMsMax) return ms
  context.addIssue({
    code: 'custom',
    message: `expected hour, day, week, or a duration from 1s to 366d, such as 6h, got ${JSON.stringify(value)}`,
  })
  return z.NEVER
})
const compression = z.string().transform((value, context): Compression | undefined => {
  if (value === 'none') return undefined
  const known = compressions.find((name) => name === value)
  const fault = known === undefined ? `expected ${compressions.join(', ')} or none, got ${JSON.stringify(value)}` : compressionFault(known)
  if (fault === undefined) return known
  context.addIssue({ code: 'custom', message: fault })
  return z.NEVER
})
const keptSize = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseBytes(String(value))
  if (bytes !== undefined && bytes >= rotateBytesMin) return bytes
  context.addIssue({ code: 'custom', message: `expected a size of at least 1KiB, such as 10GiB, got ${JSON.stringify(value)}` })
  return z.NEVER
})
const keptAge = z.union([z.string(), z.number()]).transform((value, context) => {
  const ms = parseDuration(String(value))
  if (ms !== undefined && ms >= 1_000) return ms
  context.addIssue({ code: 'custom', message: `expected a duration of at least 1s, such as 12h, got ${JSON.stringify(value)}` })
  return z.NEVER
})
const keptCount = (what: string) =>
  z.unknown().transform((value, context) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 1_000_000) return value
    context.addIssue({ code: 'custom', message: `expected a whole number of ${what}, at least 1, got ${JSON.stringify(value)}` })
    return z.NEVER
  })
const logTemplate = checked((text) => {
  const fault = templateFault(text)
  if (fault !== undefined) throw new Error(fault)
  return text
})

const durationBetween = (min: number, max: number, example: string) =>
  z.union([z.string(), z.number()]).transform((value, context) => {
    const ms = parseDuration(String(value))
    if (ms !== undefined && ms >= min && ms <= max) return ms
    const expected = `expected a duration from ${formatDuration(min)} to ${formatDuration(max)}, such as ${example}`
    context.addIssue({ code: 'custom', message: `${expected}, got ${JSON.stringify(value)}` })
    return z.NEVER
  })
const attributeNames = z.array(z.string().min(1).max(attributeNameCharsMax)).max(attributeNamesMax)
const condition = checked((text) => checkExpression(text, 'condition'))
const valueExpression = checked((text) => checkExpression(text, 'value'))
const metricNameShape = /^[A-Za-z][A-Za-z0-9_./-]{0,254}$/
const logMetric = z.strictObject({
  topics: patterns.optional(),
  where: condition.optional(),
  value: valueExpression.optional(),
  by: z.array(valueExpression).max(attributeNamesMax).optional(),
  unit: z.string().max(instrumentUnitCharsMax).optional(),
  description: z.string().max(instrumentDescriptionCharsMax).optional(),
})
const logMetrics = z
  .record(z.string().regex(metricNameShape, 'expected a name of letters, digits, "_", ".", "-" and "/", such as http.errors'), logMetric)
  .refine((rules) => Object.keys(rules).length <= logMetricsMax, `expected at most ${logMetricsMax} rules`)
const rollUp = z
  .strictObject({
    interval: durationBetween(rollupIntervalMs.min, rollupIntervalMs.max, '10s').optional(),
    late: durationBetween(0, rollupOpenWindowsMax * rollupIntervalMs.max, '30s').optional(),
    keep: attributeNames.optional(),
    drop: attributeNames.optional(),
    seriesMax: z.int().min(1).max(rollupSeriesMax.max).optional(),
  })
  .superRefine(({ interval = rollupIntervalMs.default, late = rollupLateMs }, context) => {
    if (late <= rollupOpenWindowsMax * interval) return
    context.addIssue({ code: 'custom', path: ['late'], message: `expected at most ${rollupOpenWindowsMax} times the interval` })
  })
const influxSink = z.looseObject({ type: z.literal('influxdb') }).transform((value, context) => {
  const read = readInfluxSink(value)
  if (read.ok) return read.config
  for (const issue of read.issues) context.issues.push({ ...issue, input: value } as z.core.$ZodRawIssue)
  return z.NEVER
})

const hostName = z
  .string()
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$/, 'expected a name without scheme and port, such as logs.example.org')
  .transform((name) => name.toLowerCase())
/** Its value is in no message: what is nearly right is a secret too. */
const authToken = z
  .string('expected a text in quotes')
  .regex(
    new RegExp(`^[!-+\\--~]{${authTokenChars.min},${authTokenChars.max}}$`),
    `expected at least ${authTokenChars.min} characters without spaces and commas, such as \${SPILLWAY_TOKEN} with what "openssl rand -hex 16" gives`,
  )
const schema = z.strictObject({
  dir: z.string().min(1).optional(),
  listen: z
    .strictObject({
      data: endpoint.optional(),
      control: endpoint.optional(),
      tail: endpoint.optional(),
      http: checked(parseHttp).optional(),
    })
    .superRefine(checkNeighbours)
    .optional(),
  subscribe: patterns.optional(),
  spool: z.strictObject({ dir: z.string().min(1).optional(), maxBytes: spoolSize.optional(), fsync: syncEvery.optional() }).optional(),
  sinks: z
    .record(
      z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected a name of letters, digits, "-" and "_", such as files'),
      z.discriminatedUnion('type', [
        z.strictObject({
          type: z.literal('file'),
          topics: patterns.optional(),
          path: logTemplate.optional(),
          onDemand: z.boolean().optional(),
          rotate: z
            .strictObject({ size: rotateSize.optional(), every: rotateEvery.optional(), zone: z.enum(['utc', 'local']).optional() })
            .optional(),
          compress: compression.optional(),
          keep: z
            .strictObject({
              days: keptCount('days').optional(),
              age: keptAge.optional(),
              files: keptCount('files').optional(),
              bytes: keptSize.optional(),
              free: keptSize.optional(),
            })
            .superRefine(checkAge)
            .optional(),
        }),
        z.strictObject({ type: z.literal('stdout'), topics: patterns.optional(), onDemand: z.boolean().optional() }),
        influxSink,
      ]),
    )
    .optional(),
  http: z.strictObject({ names: z.array(hostName).max(attributeNamesMax).optional() }).optional(),
  auth: z.strictObject({ token: authToken }).optional(),
  rollup: rollUp.optional(),
  keptMetrics: z
    .strictObject({ seriesMax: z.int().min(0).max(keptSeriesMax.max).optional(), maxBytes: keptMetricsSize.optional() })
    .optional(),
  metrics: logMetrics.optional(),
  insecure: z.boolean().optional(),
})

type FileContents = z.infer<typeof schema>

/** Where control and tail are not given, they follow the data endpoint, which must leave room for them. */
function checkNeighbours(
  listen: { readonly data?: Endpoint | undefined; readonly control?: Endpoint | undefined; readonly tail?: Endpoint | undefined },
  context: z.RefinementCtx,
): void {
  if (listen.data === undefined) return
  try {
    if (listen.control === undefined) neighbour(listen.data, 1, 'control')
    if (listen.tail === undefined) neighbour(listen.data, 2, 'tail')
  } catch (error) {
    context.addIssue({ code: 'custom', path: ['data'], message: error instanceof Error ? error.message : String(error) })
  }
}

/** Two keys for one thing; which one would count? */
function checkAge(keep: { readonly days?: number | undefined; readonly age?: number | undefined }, context: z.RefinementCtx): void {
  if (keep.days === undefined || keep.age === undefined) return
  context.addIssue({ code: 'custom', path: ['age'], message: 'stands beside days; give one of them' })
}

/**
 * Reads a configuration file's text and what the command line says.
 *
 * @param source - The file's text and name, or undefined for none.
 * @returns The configuration, or everything that is wrong with it at once. Never throws for bad input.
 */
export function readConfig(
  source: { readonly text: string; readonly file: string } | undefined,
  overrides: ConfigOverrides = {},
): ConfigResult {
  const issues: ConfigIssue[] = []
  const read: FileText | undefined = source === undefined ? { contents: {}, placeOf: () => ({}) } : readFileText(source.text, issues)
  const flags = readFlags(overrides, issues)
  if (read === undefined || issues.length > 0) return { ok: false, issues }
  const { contents, placeOf } = read
  const dir = overrides.dir ?? contents.dir ?? defaultDir
  const data = flags.data ?? contents.listen?.data ?? (`tcp://127.0.0.1:${defaultPorts.data}` as Endpoint)
  // A data endpoint given by flag takes its neighbours along.
  const listen = flags.data === undefined ? contents.listen : undefined
  const sinks = sinksOf(contents, dir)
  for (const [name, owner] of sharedFiles(sinks)) {
    const path = ['sinks', name, 'path']
    issues.push({ where: path.join('.'), message: `sinks.${owner} writes to the same files`, ...placeOf(path) })
  }
  if (issues.length > 0) return { ok: false, issues }
  const config: CollectorConfig = {
    dir,
    listen: {
      data,
      control: listen?.control ?? neighbour(data, 1, 'control'),
      tail: listen?.tail ?? neighbour(data, 2, 'tail'),
      http: flags.http ?? contents.listen?.http ?? { host: '127.0.0.1', port: defaultPorts.http },
    },
    subscribe: overrides.subscribe ?? contents.subscribe ?? defaultSubscribe,
    spool: {
      dir: contents.spool?.dir ?? join(dir, 'spool'),
      bytesMax: contents.spool?.maxBytes ?? spoolBytesMaxDefault,
      fsyncMs: contents.spool?.fsync ?? spoolSyncEveryMs,
    },
    sinks,
    http: { names: contents.http?.names ?? [], token: contents.auth?.token },
    rollUp: {
      intervalMs: contents.rollup?.interval ?? rollupIntervalMs.default,
      lateMs: contents.rollup?.late ?? rollupLateMs,
      keep: contents.rollup?.keep,
      drop: contents.rollup?.drop ?? [],
      seriesMax: contents.rollup?.seriesMax ?? rollupSeriesMax.default,
    },
    keptMetrics: {
      seriesMax: contents.keptMetrics?.seriesMax ?? keptSeriesMax.default,
      bytesMax: contents.keptMetrics?.maxBytes ?? keptBytesMax.default,
    },
    logMetrics: Object.fromEntries(Object.entries(contents.metrics ?? {}).map(([name, rule]) => [name, withDefaults(rule)])),
    insecure: overrides.insecure ?? contents.insecure ?? false,
    onTrouble: (message) => process.stderr.write(`spillway collector: ${message}\n`),
  }
  return { ok: true, config }
}

/** @throws Where it is wrong, and how, in one line: what follows shows the text, which stands in the file. */
function checkExpression(text: string, of: 'condition' | 'value'): string {
  try {
    return compileExpression(text, 'expression', of).text
  } catch (error) {
    const [message = ''] = (error instanceof Error ? error.message : String(error)).split('\n', 1)
    throw new Error(message.replace(/^expression, /, ''))
  }
}

function withDefaults({ topics, where, value, by, unit, description }: z.infer<typeof logMetric>): LogMetricConfig {
  return { topics: topics ?? defaultSinkTopics, where, value, by: by ?? ['service'], unit: unit ?? '', description: description ?? '' }
}

/** Port 0 asks the system for a free one, for each socket its own. */
function neighbour(data: Endpoint, steps: number, name: 'control' | 'tail'): Endpoint {
  return !isIpc(data) && /:0$/.test(data) ? data : siblingEndpoint(data, steps, name)
}

function sinksOf(contents: FileContents, dir: string): Record<string, SinkConfig> {
  const path = join(dir, 'logs', '{service}', '{date}.ndjson')
  const given = contents.sinks ?? { files: { type: 'file' as const } }
  const sinks: Record<string, SinkConfig> = {}
  for (const [name, sink] of Object.entries(given)) {
    const topics = sink.topics ?? defaultSinkTopics
    const { onDemand } = sink
    if (sink.type === 'file') sinks[name] = fileSink(sink, topics, path)
    else if (sink.type === 'influxdb') sinks[name] = influxSinkConfig(name, sink, dir)
    else sinks[name] = { type: 'stdout', topics, onDemand }
  }
  return sinks
}

type FileSinkContents = Extract<NonNullable<FileContents['sinks']>[string], { readonly type: 'file' }>

function fileSink(sink: FileSinkContents, topics: readonly string[], path: string): FileSinkConfig {
  const { rotate, keep } = sink
  return {
    type: 'file',
    topics,
    path: sink.path ?? path,
    rotateBytes: rotate?.size ?? rotateBytesDefault,
    onDemand: sink.onDemand,
    rotateEvery: rotate?.every,
    zone: rotate?.zone,
    compress: sink.compress,
    keep: keep && {
      ageMs: keep.age ?? (keep.days && keep.days * dayMs),
      files: keep.files,
      bytes: keep.bytes,
      freeBytes: keep.free,
    },
  }
}

/**
 * Two writers of one file would write every line twice, rotate it under each other and remove each other's. Yields the
 * second and the first. Where only names could make paths the same, other names are found; see LogPath.
 */
function* sharedFiles(sinks: Readonly<Record<string, SinkConfig>>): Generator<readonly [name: string, owner: string]> {
  const owners: [name: string, path: LogPath][] = []
  for (const [name, sink] of Object.entries(sinks)) {
    if (sink.type !== 'file') continue
    const path = new LogPath(sink.path)
    const [owner] = owners.find(([, other]) => other.shape === path.shape || areMixed(other, path)) ?? []
    if (owner !== undefined) yield [name, owner]
    owners.push([name, path])
  }
}

/** Whether a level makes a path that the other template has too. One with a name in it would give way. */
function areMixed(one: LogPath, other: LogPath): boolean {
  if (one.hasChosenNames || other.hasChosenNames) return false
  const isOf = (path: LogPath, owner: LogPath) => levels.some((level) => owner.nameOf(path.of(logTopic(level, 's'), 0)) !== undefined)
  return isOf(one, other) || isOf(other, one)
}

function readFlags(overrides: ConfigOverrides, issues: ConfigIssue[]): { data?: Endpoint; http?: CollectorConfig['listen']['http'] } {
  const flags: { data?: Endpoint; http?: CollectorConfig['listen']['http'] } = {}
  collect('--listen', issues, () => {
    if (overrides.listen === undefined) return
    const isEndpoint = overrides.listen.includes('://')
    if (!isEndpoint && !/:\d+$/.test(overrides.listen))
      throw new Error(`expected HOST:PORT, such as 127.0.0.1:7701, got ${JSON.stringify(overrides.listen)}`)
    flags.data = parseEndpoint(isEndpoint ? overrides.listen : `tcp://${overrides.listen}`, '--listen')
    neighbour(flags.data, 1, 'control')
    neighbour(flags.data, 2, 'tail')
  })
  collect('--http', issues, () => {
    if (overrides.http !== undefined) flags.http = parseHttp(overrides.http)
  })
  collect('--subscribe', issues, () => {
    compilePatterns(overrides.subscribe ?? [])
  })
  if (overrides.dir === '') issues.push({ where: '--dir', message: 'expected the path of a folder, got nothing' })
  return flags
}

function collect(where: string, issues: ConfigIssue[], read: () => void): void {
  try {
    read()
  } catch (error) {
    issues.push({ where, message: withoutName(error instanceof Error ? error.message : String(error)) })
  }
}

/** What checks an endpoint names it; here the place does. */
function withoutName(message: string): string {
  return message.replace(/^(?:endpoint|--listen): /, '')
}

function parseHttp(text: string): CollectorConfig['listen']['http'] {
  if (text === 'off') return 'off'
  const address = splitAddress(text)
  if (address === undefined) throw new Error(`expected HOST:PORT, such as ${defaultHttpAddress}, or off; got ${JSON.stringify(text)}`)
  return address
}

// ── the file: YAML with places ──

interface FileText {
  readonly contents: FileContents
  /** Where the value at a path stands, or what is nearest above it. */
  placeOf(path: readonly string[]): { line?: number; column?: number }
}

function readFileText(text: string, issues: ConfigIssue[]): FileText | undefined {
  if (text.length > configBytesMax) {
    issues.push({ where: 'file', message: `expected at most ${configBytesMax / 1_024} KiB`, line: 1, column: 1 })
    return undefined
  }
  if (isTooDeep(text)) {
    issues.push({
      where: 'yaml',
      message: `expected at most ${bracketDepthMax} brackets in each other and ${blockColumnMax} columns of blocks`,
      line: 1,
      column: 1,
    })
    return undefined
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false })
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }
  for (const error of document.errors) issues.push({ where: 'yaml', message: error.message, ...place(error.pos[0]) })
  if (issues.length > 0) return undefined
  visit(document, {
    Map(_key, { items }) {
      // The YAML library compares each key with each other one; a long file would take minutes.
      const seen = new Set<unknown>()
      for (const { key } of items) {
        if (!isScalar(key)) continue
        if (seen.has(key.value)) issues.push({ where: String(key.value), message: 'stands here twice', ...place(key.range?.[0] ?? 0) })
        seen.add(key.value)
      }
    },
    Pair(_key, { key }) {
      // The schema's library passes over this one name in silence.
      if (isScalar(key) && key.value === '__proto__')
        issues.push({ where: '__proto__', message: 'unknown key', ...place(key.range?.[0] ?? 0) })
    },
    Scalar(_key, node) {
      if (typeof node.value !== 'string') return
      node.value = node.value.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_all, name: string) => {
        const value = process.env[name]
        if (value === undefined) issues.push({ where: 'environment', message: `\${${name}} is not set`, ...place(node.range?.[0] ?? 0) })
        return value ?? ''
      })
    },
  })
  if (issues.length > 0) return undefined
  let contents: unknown
  try {
    contents = document.toJS() ?? {}
  } catch (error) {
    // An alias of nothing, or aliases that multiply.
    issues.push({ where: 'yaml', message: error instanceof Error ? error.message : String(error) })
    return undefined
  }
  const parsed = schema.safeParse(contents)
  if (parsed.success) return { contents: parsed.data, placeOf: (path) => place(offsetOf(document, path)) }
  for (const issue of parsed.error.issues) issues.push(...described(issue, document, place))
  return undefined
}

/** Looks at the words of the text only: reading it would be what must not happen. */
function isTooDeep(text: string): boolean {
  let bracketDepth = 0
  let column = 0
  for (const word of new Lexer().lex(text)) {
    const type = CST.tokenType(word)
    // These stand for something in the text and are not in it.
    if (type === 'doc-mode' || type === 'scalar') continue
    if (type === 'flow-error-end') bracketDepth = 0
    else if (type === 'flow-map-start' || type === 'flow-seq-start') bracketDepth += 1
    else if (type === 'flow-map-end' || type === 'flow-seq-end') bracketDepth = Math.max(0, bracketDepth - 1)
    else if (bracketDepth === 0 && blockWords.has(type) && column > blockColumnMax) return true
    if (bracketDepth > bracketDepthMax) return true
    const lineFeed = word.lastIndexOf('\n')
    column = lineFeed === -1 ? column + word.length : word.length - lineFeed - 1
  }
  return false
}

const blockWords: ReadonlySet<unknown> = new Set(['seq-item-ind', 'explicit-key-ind', 'map-value-ind'])

type Document = ReturnType<typeof parseDocument>
type Place = (offset: number) => { line: number; column: number }

function described(issue: z.core.$ZodIssue, document: Document, place: Place): ConfigIssue[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path, document)
    const offsets = keyOffsets(document, path)
    return issue.keys.map((key) => {
      const near = nearest(key, known)
      const hint = near === undefined ? `known here: ${known.join(', ')}` : `did you mean "${near}"?`
      return { where: [...path, key].join('.'), message: `unknown key; ${hint}`, ...place(offsets.get(key) ?? offsetOf(document, path)) }
    })
  }
  const where = path.length === 0 ? 'file' : path.join('.')
  if (issue.code === 'invalid_union' && (path.length === 2 || path.at(-1) === 'type')) {
    const type = document.getIn([...path.filter((part) => part !== 'type'), 'type'])
    const at = offsetOf(document, path)
    return [
      {
        where: path.at(-1) === 'type' ? where : `${where}.type`,
        message: `expected one of file, influxdb, stdout; got ${JSON.stringify(type ?? null)}`,
        ...place(at),
      },
    ]
  }
  if (issue.code === 'invalid_key') {
    const at = keyOffsets(document, path.slice(0, -1)).get(path.at(-1) ?? '') ?? offsetOf(document, path)
    return [{ where, message: issue.issues[0]?.message ?? issue.message, ...place(at) }]
  }
  // Sizes and durations are either.
  const message = issue.code === 'invalid_union' ? 'expected text or a number' : withoutName(issue.message)
  return [{ where, message, ...place(offsetOf(document, path)) }]
}

function knownKeys(path: readonly PropertyKey[], document: Document): string[] {
  const [first, , third] = path
  if (first === 'listen') return ['data', 'control', 'tail', 'http']
  if (first === 'spool') return ['dir', 'maxBytes', 'fsync']
  if (first === 'http') return ['names']
  if (first === 'auth') return ['token']
  if (first === 'keptMetrics') return ['seriesMax', 'maxBytes']
  if (first === 'rollup') return Object.keys(rollUp.shape)
  if (first === 'metrics') return Object.keys(logMetric.shape)
  if (first === 'sinks' && document.getIn([...path.slice(0, 2), 'type']) === 'influxdb')
    return [...(influxSubkeys[String(third)] ?? influxKeys)]
  if (first === 'sinks' && third === 'rotate') return ['size', 'every', 'zone']
  if (first === 'sinks' && third === 'keep') return ['days', 'age', 'files', 'bytes', 'free']
  if (first === 'sinks' && document.getIn([...path, 'type']) === 'stdout') return ['type', 'topics']
  if (first === 'sinks') return ['type', 'topics', 'path', 'rotate', 'compress', 'keep']
  return Object.keys(schema.shape)
}

/** Offset of the value at a path, or of the nearest thing above it that exists. */
function offsetOf(document: Document, path: readonly string[]): number {
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true)
    const range = node !== null && typeof node === 'object' && 'range' in node ? (node.range as readonly number[] | null) : undefined
    if (range?.[0] !== undefined) return range[0]
  }
  return 0
}

/** Where each key of the map at a path stands. */
function keyOffsets(document: Document, path: readonly string[]): Map<string, number> {
  const offsets = new Map<string, number>()
  const parent: unknown = path.length === 0 ? document.contents : document.getIn(path, true)
  const items = parent !== null && typeof parent === 'object' && 'items' in parent && Array.isArray(parent.items) ? parent.items : []
  for (const item of items) if (isScalar(item?.key)) offsets.set(String(item.key.value), item.key.range?.[0] ?? 0)
  return offsets
}

/** Issues as text, one line each: file, line, column, key, what is wrong; at most 50, and how many more there are. */
export function issueLines(issues: readonly ConfigIssue[], file: string | undefined): string[] {
  const lines = issues.slice(0, issuesPrintedMax).map(({ where, message, line, column }) => {
    const text = line === undefined ? `${where}: ${message}` : `${file ?? 'config'}:${line}:${column}: ${where}: ${message}`
    // Keys and values of a file may hold anything; on a terminal they must do nothing.
    return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
  })
  if (issues.length > issuesPrintedMax) lines.push(`and ${issues.length - issuesPrintedMax} more`)
  return lines
}

/** @throws {@link SpillwayError} `SPW_CONFIG_INVALID` with every issue in its message. */
export function requireConfig(
  source: { readonly text: string; readonly file: string } | undefined,
  overrides: ConfigOverrides = {},
): CollectorConfig {
  const result = readConfig(source, overrides)
  if (result.ok) return result.config
  throw new SpillwayError('SPW_CONFIG_INVALID', issueLines(result.issues, source?.file).join('\n'))
}

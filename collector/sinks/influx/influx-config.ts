/** What an InfluxDB sink is told: checked, defaults filled in. */
import { join } from 'node:path'
import { z } from 'zod'
import { compilePatterns } from '../../../wire/pattern.ts'
import { parseBytes, parseDuration } from '../../../wire/quantity.ts'
import { type FieldType, fieldTypes, logFields, logTags } from './log-points.ts'
import { metricTags } from './metric-points.ts'

const influxVersions = ['auto', '1', '2', '3', 'victoriametrics'] as const
type InfluxVersion = (typeof influxVersions)[number]

export interface InfluxTargetConfig {
  readonly url: string
  readonly version: InfluxVersion
  /** Of 2.x; 3.x takes no notice of it. */
  readonly org: string | undefined
  /** Of 2.x; with 3.x, the database. */
  readonly bucket: string | undefined
  /** Of 1.x, 3.x and VictoriaMetrics. */
  readonly database: string | undefined
  readonly retentionPolicy: string | undefined
  readonly token: string | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  readonly gzip: boolean
  /** A request that has no whole answer after this is ended, and its connection with it. */
  readonly timeoutMs: number
}

export interface InfluxSinkConfig extends InfluxTargetConfig {
  readonly type: 'influxdb'
  readonly topics: readonly string[]
  /** Takes what only a live tail made applications log, too. */
  readonly onDemand?: boolean | undefined
  /** Requests at one time. */
  readonly inFlight: number
  readonly batch: { readonly linesMax: number; readonly bytesMax: number; readonly lingerMs: number }
  readonly queue: { readonly linesMax: number; readonly bytesMax: number }
  /** File for lines the server refuses for good. */
  readonly rejects: { readonly path: string; readonly bytesMax: number }
  /** Values one tag may have. */
  readonly tagValuesMax: number
  /** Tags of every point. */
  readonly tags: Readonly<Record<string, string>>
  /** Whether the origin is a tag: without it, two processes of one host can overwrite each other's points. */
  readonly origin: boolean
  readonly logs: {
    readonly measurement: string
    readonly message: string
    readonly tags: readonly string[]
    readonly fields: Readonly<Record<string, FieldType>>
    readonly line: boolean
  }
  readonly metrics: { readonly buckets: boolean }
}

/** Before it is known where the collector keeps its files. */
export type GivenInfluxSink = Omit<InfluxSinkConfig, 'rejects'> & {
  readonly rejects: { readonly path: string | undefined; readonly bytesMax: number }
}

const kibibyte = 1_024
const mebibyte = 1_048_576
const listMax = 100

const defaults = {
  topics: ['log.>', 'metric.>'],
  timeoutMs: 10_000,
  inFlight: 1,
  // What a server takes in some ten milliseconds; InfluxDB's own advice is 5,000 lines.
  batch: { linesMax: 5_000, bytesMax: mebibyte, lingerMs: 1_000 },
  queue: { linesMax: 50_000, bytesMax: 8 * mebibyte },
  rejectsBytesMax: 64 * mebibyte,
  tagValuesMax: 10_000,
} as const

/** Keys in the configuration, for its messages. */
export const influxKeys: readonly string[] = [
  ...['type', 'topics', 'onDemand', 'url', 'version', 'org', 'bucket', 'database', 'retentionPolicy', 'token', 'user', 'password'],
  ...['gzip', 'timeout', 'inFlight', 'batch', 'queue', 'rejects', 'tagValues', 'tags', 'origin', 'logs', 'metrics'],
]
export const influxSubkeys: Readonly<Record<string, readonly string[]>> = {
  batch: ['lines', 'bytes', 'linger'],
  queue: ['lines', 'bytes'],
  rejects: ['path', 'maxBytes'],
  logs: ['measurement', 'message', 'tags', 'fields', 'line'],
  metrics: ['buckets'],
}

function quantity(parse: (text: string) => number | undefined, range: { readonly from: number; readonly to: number }, expected: string) {
  return z.union([z.string(), z.number()]).transform((value, context) => {
    const number = parse(String(value))
    if (number !== undefined && number >= range.from && number <= range.to) return number
    context.addIssue({ code: 'custom', message: `expected ${expected}, got ${JSON.stringify(value)}` })
    return z.NEVER
  })
}

const text = z.string().min(1)
/** Never repeated in a message: these may be secrets, or hold one. */
const secret = z
  .string({ error: 'expected text' })
  .min(1, 'expected text, got nothing')
  .regex(/^[\x21-\x7e]+$/, 'expected printable ASCII without spaces')
const batchBytes = quantity(parseBytes, { from: kibibyte, to: 64 * mebibyte }, 'a size from 1KiB to 64MiB, such as 1MiB')
const queueBytes = quantity(parseBytes, { from: mebibyte, to: kibibyte * mebibyte }, 'a size from 1MiB to 1GiB, such as 8MiB')
const name = z.string().regex(/^[^\p{Cc}]{1,200}$/u, 'expected 1 to 200 characters')
const count = (from: number, to: number) => z.number().int().min(from).max(to)

const version = z.union([z.string(), z.number()]).transform((value, context) => {
  const known = influxVersions.find((name) => name === String(value))
  if (known !== undefined) return known
  context.addIssue({ code: 'custom', message: `expected one of ${influxVersions.join(', ')}; got ${JSON.stringify(value)}` })
  return z.NEVER
})

const pattern = z.string().superRefine((value, context) => {
  try {
    compilePatterns([value])
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) })
  }
})

const url = z.string().transform((value, context) => {
  const problem = urlProblem(value)
  if (problem === undefined) return value.replace(/\/+$/, '')
  // The address may have a password in it.
  context.addIssue({ code: 'custom', message: problem })
  return z.NEVER
})

function urlProblem(value: string): string | undefined {
  if (!URL.canParse(value)) return 'expected an address such as http://127.0.0.1:8086'
  const { protocol, username, password, search, hash, pathname } = new URL(value)
  if (protocol !== 'http:' && protocol !== 'https:') return 'expected an address that begins with http:// or https://'
  if (username !== '' || password !== '') return 'user and password have keys of their own: user, password'
  if (search !== '' || hash !== '') return 'expected an address without ? and #; database, org and bucket have keys of their own'
  if (/\/(?:write|api\/v[0-9].*)$/.test(pathname)) return 'expected the address of the server, without /write or /api/…'
  return undefined
}

const shape = z.strictObject({
  type: z.literal('influxdb'),
  topics: z.array(pattern).min(1).optional(),
  onDemand: z.boolean().optional(),
  url,
  version: version.optional(),
  org: text.optional(),
  bucket: text.optional(),
  database: text.optional(),
  retentionPolicy: text.optional(),
  token: secret.optional(),
  user: text.optional(),
  password: z.string({ error: 'expected text' }).optional(),
  gzip: z.boolean().optional(),
  timeout: quantity(parseDuration, { from: 100, to: 300_000 }, 'a duration from 100ms to 5m, such as 10s').optional(),
  inFlight: count(1, 16).optional(),
  batch: z
    .strictObject({
      lines: count(1, 100_000).optional(),
      bytes: batchBytes.optional(),
      linger: quantity(parseDuration, { from: 1, to: 60_000 }, 'a duration from 1ms to 60s, such as 1s').optional(),
    })
    .optional(),
  queue: z.strictObject({ lines: count(1_000, 10_000_000).optional(), bytes: queueBytes.optional() }).optional(),
  rejects: z.strictObject({ path: text.optional(), maxBytes: queueBytes.optional() }).optional(),
  tagValues: count(1, 1_000_000).optional(),
  tags: z.record(name, name).optional(),
  origin: z.boolean().optional(),
  logs: z
    .strictObject({
      measurement: name.optional(),
      message: name.optional(),
      tags: z.array(name).max(listMax).optional(),
      fields: z.record(name, z.enum(fieldTypes)).optional(),
      line: z.boolean().optional(),
    })
    .optional(),
  metrics: z.strictObject({ buckets: z.boolean().optional() }).optional(),
})

type InfluxInput = z.infer<typeof shape>

const schema = shape.superRefine(checkTarget).superRefine(checkNames)

/** Where it writes, without anything secret. */
export function influxPlace({ url, org, bucket, database, retentionPolicy }: InfluxTargetConfig): string {
  const place = bucket === undefined ? (database ?? '') : org === undefined ? bucket : `${org}/${bucket}`
  const policy = retentionPolicy === undefined ? '' : `.${retentionPolicy}`
  return place === '' ? url : `${url} ${place}${policy}`
}

function checkTarget(sink: InfluxInput, context: z.RefinementCtx): void {
  const say = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
  const { version = 'auto' } = sink
  if (sink.bucket !== undefined && sink.database !== undefined) say('database', 'either bucket or database, not both')
  if (sink.bucket === undefined && sink.database === undefined && version !== 'victoriametrics')
    say('url', 'expected a bucket (2.x) or a database (1.x, 3.x) beside it')
  if (version === '1' && sink.bucket !== undefined) say('bucket', 'version 1 has databases: database: NAME')
  if (version === '2' && (sink.bucket === undefined || sink.org === undefined)) say('version', 'version 2 needs an org and a bucket')
  if (sink.retentionPolicy !== undefined && version !== '1' && version !== 'auto')
    say('retentionPolicy', 'only version 1 has retention policies')
  if (sink.token !== undefined && sink.user !== undefined) say('user', 'either token or user and password, not both')
  if ((sink.user === undefined) !== (sink.password === undefined)) say('user', 'user and password belong together')
  if (sink.retentionPolicy !== undefined && sink.bucket !== undefined) say('retentionPolicy', 'a bucket has its own')
}

/** A tag twice in a line is refused by servers; a field named as a tag cannot be asked for. */
function checkNames(sink: InfluxInput, context: z.RefinementCtx): void {
  const logTagNames = new Map<string, string>([...logTags].map((tag) => [tag, 'every line has it already']))
  const say = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
  for (const tag of Object.keys(sink.tags ?? {})) {
    if (logTagNames.has(tag) || (metricTags as readonly string[]).includes(tag))
      say(['tags', tag], 'every point has a tag of this name already')
    logTagNames.set(tag, 'stands under tags already')
    if (tag === 'time') say(['tags', tag], 'time is what a point has for its moment')
  }
  for (const [i, tag] of (sink.logs?.tags ?? []).entries()) {
    const problem = tag === 'time' ? 'time is what a point has for its moment' : logTagNames.get(tag)
    if (problem !== undefined) say(['logs', 'tags', i], problem)
    logTagNames.set(tag, 'stands here twice')
  }
  for (const field of Object.keys(sink.logs?.fields ?? {})) {
    if (field === 'time' || (logFields as readonly string[]).includes(field))
      say(['logs', 'fields', field], 'a field of this name is there already')
    else if (logTagNames.has(field)) say(['logs', 'fields', field], 'is a tag already')
  }
}

/** Checks what a file says of such a sink. */
export function readInfluxSink(
  value: unknown,
): { readonly ok: true; readonly config: GivenInfluxSink } | { readonly ok: false; readonly issues: readonly z.core.$ZodIssue[] } {
  const parsed = schema.safeParse(value)
  return parsed.success ? { ok: true, config: withDefaults(parsed.data) } : { ok: false, issues: parsed.error.issues }
}

/** @param dir - Of the collector; holds the file for refused lines unless that is said to be elsewhere. */
export function influxSinkConfig(name: string, { rejects, ...given }: GivenInfluxSink, dir: string): InfluxSinkConfig {
  return { ...given, rejects: { path: rejects.path ?? join(dir, 'rejected', `${name}.ndjson`), bytesMax: rejects.bytesMax } }
}

function withDefaults(input: InfluxInput): GivenInfluxSink {
  const { batch, queue, rejects, logs } = input
  return {
    type: 'influxdb',
    topics: input.topics ?? defaults.topics,
    onDemand: input.onDemand,
    url: input.url,
    version: input.version ?? 'auto',
    org: input.org,
    bucket: input.bucket,
    database: input.database,
    retentionPolicy: input.retentionPolicy,
    token: input.token,
    user: input.user,
    password: input.password,
    gzip: input.gzip ?? true,
    timeoutMs: input.timeout ?? defaults.timeoutMs,
    inFlight: input.inFlight ?? defaults.inFlight,
    batch: {
      linesMax: batch?.lines ?? defaults.batch.linesMax,
      bytesMax: batch?.bytes ?? defaults.batch.bytesMax,
      lingerMs: batch?.linger ?? defaults.batch.lingerMs,
    },
    queue: { linesMax: queue?.lines ?? defaults.queue.linesMax, bytesMax: queue?.bytes ?? defaults.queue.bytesMax },
    rejects: {
      path: rejects?.path,
      bytesMax: rejects?.maxBytes ?? defaults.rejectsBytesMax,
    },
    tagValuesMax: input.tagValues ?? defaults.tagValuesMax,
    tags: input.tags ?? {},
    origin: input.origin ?? true,
    logs: {
      measurement: logs?.measurement ?? 'logs',
      message: logs?.message ?? 'msg',
      tags: logs?.tags ?? [],
      fields: logs?.fields ?? {},
      line: logs?.line ?? false,
    },
    metrics: { buckets: input.metrics?.buckets ?? false },
  }
}

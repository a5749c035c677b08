/**
 * What a collector's `/status.json` says, read and checked: it comes from elsewhere. docs/STATUS.md explains the fields.
 * What this version does not know is passed over; what an older collector does not say yet is taken as nothing.
 */
import { z } from 'zod'
import { SpillwayError } from '../wire/spillway-error.ts'
import { version } from '../wire/version.ts'
import { visibleText } from './visible-text.ts'

export interface StatusBooks {
  readonly accepted: number
  readonly delivered: number
  readonly lost: Readonly<Record<string, number>>
  readonly inFlight: number
  readonly received: number
  readonly spooled: number
  readonly notDurable: number
  readonly expired: number
  readonly rejected: number
  readonly pending: number
  readonly filtered: number
  readonly duplicates: number
}

export interface StatusTopic extends StatusBooks {
  readonly late: number
  readonly shedAtOrigin: number
}

export interface StatusOrigin {
  readonly origin: string
  readonly service: string | null
  readonly host: string | null
  readonly pid: number | null
  readonly state: string
  readonly unknownTail: { readonly recordsMax: number; readonly windowMs: number } | null
  readonly topics: Readonly<Record<string, StatusTopic>>
}

export interface StatusSink {
  readonly type: string
  readonly where: string
  readonly written: number
  readonly dropped: number
  readonly expired: number
  readonly rejected: number
  readonly pendingRecords: number
  readonly pendingBytes: number
  readonly lagMs: number
  readonly error?: string | null | undefined
  readonly retries: number
  readonly lastError?: string | null | undefined
  readonly files?: { readonly error?: string | null | undefined } | undefined
}

export interface StatusSpool {
  readonly dir: string
  readonly bytes: number
  readonly bytesMax: number
  readonly segments: number
  readonly pendingBytes: number
  readonly syncs: number
  readonly syncLastMs: number
  readonly syncMaxMs: number
  readonly error?: string | null | undefined
  readonly notDurable: number
}

export interface StatusLoss {
  readonly origin: string | null
  readonly topic: string | null
  readonly reason: string
  readonly records: number
  readonly firstAtMs: number
  readonly lastAtMs: number
}

interface StatusDemand {
  readonly level: string
  readonly service: string | null
  readonly by: readonly string[]
  readonly sinceMs: number
}

export interface StatusDocument {
  readonly version: string
  readonly uptimeMs: number
  readonly timeMs: number
  readonly totals: StatusBooks
  readonly origins: readonly StatusOrigin[]
  readonly topicsNotShown: number
  readonly losses: readonly StatusLoss[]
  readonly sinks: Readonly<Record<string, StatusSink>>
  readonly spool?: StatusSpool | null | undefined
  readonly repairs?:
    | { readonly requests: number; readonly recordsAsked: number; readonly recordsRepaired: number; readonly isBreakerOpen: boolean }
    | undefined
  readonly demand: readonly StatusDemand[]
  readonly ingest: {
    readonly frames: number
    readonly bytes: number
    readonly refused: Readonly<Record<string, number>>
    readonly turnedAway: number
  }
}

export interface ReadStatus {
  readonly status: StatusDocument
  /** Everything that came, also what this version does not know. */
  readonly json: unknown
}

const count = z.int()
const milliseconds = z.number()
const counts = z.record(z.string(), count)
const zero = count.default(0)

const books = {
  accepted: count,
  delivered: count,
  lost: counts,
  inFlight: count,
  received: zero,
  spooled: zero,
  notDurable: zero,
  expired: zero,
  rejected: zero,
  pending: zero,
  filtered: zero,
  duplicates: zero,
}
const topic = z.object({ ...books, late: zero, shedAtOrigin: zero })
const origin = z.object({
  origin: z.string(),
  service: z.string().nullable(),
  host: z.string().nullable(),
  pid: count.nullable(),
  state: z.string(),
  unknownTail: z.object({ recordsMax: count, windowMs: milliseconds }).nullable().default(null),
  topics: z.record(z.string(), topic),
})
const sink = z.object({
  type: z.string(),
  where: z.string(),
  written: count,
  dropped: zero,
  expired: zero,
  rejected: zero,
  pendingRecords: zero,
  pendingBytes: zero,
  lagMs: milliseconds.default(0),
  error: z.string().nullish(),
  retries: zero,
  lastError: z.string().nullish(),
  files: z.object({ error: z.string().nullish() }).optional(),
})
const spool = z.object({
  dir: z.string(),
  bytes: count,
  bytesMax: count,
  segments: count,
  pendingBytes: zero,
  syncs: zero,
  syncLastMs: milliseconds.default(0),
  syncMaxMs: milliseconds.default(0),
  error: z.string().nullish(),
  notDurable: zero,
})
const loss = z.object({
  origin: z.string().nullable(),
  topic: z.string().nullable(),
  reason: z.string(),
  records: count,
  firstAtMs: milliseconds,
  lastAtMs: milliseconds,
})
const demand = z.object({ level: z.string(), service: z.string().nullable(), by: z.array(z.string()), sinceMs: milliseconds })
const schema: z.ZodType<StatusDocument> = z.object({
  version: z.string(),
  uptimeMs: milliseconds,
  timeMs: milliseconds,
  totals: z.object(books),
  origins: z.array(origin),
  topicsNotShown: zero,
  losses: z.array(loss).default([]),
  sinks: z.record(z.string(), sink),
  spool: spool.nullish(),
  repairs: z.object({ requests: count, recordsAsked: count, recordsRepaired: count, isBreakerOpen: z.boolean() }).optional(),
  demand: z.array(demand).default([]),
  ingest: z.object({ frames: count, bytes: count, refused: counts, turnedAway: count }),
})

/**
 * @param text - What the collector answered.
 * @param from - Where it was asked, for the message.
 * @throws {@link SpillwayError} `SPW_STATUS_UNAVAILABLE` when it is no status.
 */
export function readStatus(text: string, from: string): ReadStatus {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new SpillwayError('SPW_STATUS_UNAVAILABLE', `what ${from} answers is no JSON; is it the http address of a collector?`, {
      cause: error,
    })
  }
  const read = schema.safeParse(json)
  if (read.success) return { status: read.data, json }
  const [issue] = read.error.issues
  const place = issue?.path.length ? issue.path.map(String).join('.') : 'the document'
  // Keys on the way to it come from elsewhere too.
  const what = visibleText(`${place.slice(0, 200)}: ${issue?.message ?? 'not as expected'}`)
  throw new SpillwayError(
    'SPW_STATUS_UNAVAILABLE',
    `what ${from} answers is no status this command (version ${version}) understands; ${what}`,
  )
}

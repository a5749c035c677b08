/**
 * What a tail shows before it goes on live: records from the collector's files, over http. The tail subscribes when the
 * answer has begun: from then on what is not in the answer comes to it, and records of the answer that may come as well
 * are marked.
 */
import { get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { Level } from '../wire/level.ts'
import { SpillwayError } from '../wire/spillway-error.ts'
import { refusal, requestHeaders, requireAddress } from './status-request.ts'

export interface TailHistoryOptions {
  /** `HOST:PORT` of the collector's http endpoint. */
  readonly http: string
  /** A time, or how long ago. */
  readonly since?: string | undefined
  /** The newest so many. */
  readonly last?: number | undefined
}

export interface HistoryRecord {
  readonly topic: string
  readonly service: string
  readonly level: Level
  /** Unix ms. */
  readonly time: number
  readonly line: string
  /** It may come live as well. */
  readonly seam?: true
}

interface HistoryEnd {
  readonly end: true
  readonly more: boolean
  readonly unreadable: readonly string[]
  readonly behind: boolean
}

const silenceMaxMs = 30_000

/**
 * Begins the answer: the tail is to subscribe when this resolves, and to read it then.
 *
 * @param tail - The name under which the tail will be known to the collector.
 * @param filter - Topics, level and service, as far as the collector can tell them; more is filtered here.
 * @throws {@link SpillwayError} `SPW_STATUS_UNAVAILABLE` when there is no answer, as reading it does when it is not whole.
 */
export async function openTailHistory(
  { http, since, last }: TailHistoryOptions,
  tail: string,
  filter: URLSearchParams,
  signal: AbortSignal,
): Promise<AsyncGenerator<HistoryRecord>> {
  const query = new URLSearchParams(filter)
  query.set('tail', tail)
  if (since !== undefined) query.set('since', since)
  if (last !== undefined) query.set('last', String(last))
  const response = await answered(http, `/api/v1/records?${query}`, signal)
  if (response.statusCode !== 200) throw unavailable(http, await whyNot(response))
  return recordsOf(response, http, signal)
}

async function* recordsOf(response: IncomingMessage, http: string, signal: AbortSignal): AsyncGenerator<HistoryRecord> {
  let end: HistoryEnd | undefined
  try {
    for await (const text of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
      const told = JSON.parse(text) as HistoryRecord | HistoryEnd
      if ('end' in told) end = told
      else yield told
    }
  } catch (error) {
    if (!signal.aborted) throw unavailable(http, `its answer broke off: ${error instanceof Error ? error.message : error}`)
  } finally {
    response.destroy()
  }
  if (end === undefined && !signal.aborted) throw unavailable(http, 'its answer broke off')
  if (end?.behind)
    throw unavailable(
      http,
      'its files are behind what it has received; `spillway status` says how far. Ask again, or without --since and --last',
    )
  const [unreadable] = end?.unreadable ?? []
  if (unreadable !== undefined) throw unavailable(http, `some of its files could not be read: ${unreadable}`)
}

function answered(http: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = get({ ...requireAddress(http), path, agent: false, headers: requestHeaders(), signal, timeout: silenceMaxMs }, resolve)
    request.once('error', (error: NodeJS.ErrnoException) => reject(unavailable(http, refusal(error, http))))
    request.once('timeout', () => request.destroy(new Error('it says nothing')))
  })
}

async function whyNot(response: IncomingMessage): Promise<string> {
  if (response.statusCode === 401) return 'it wants to know who asks: set SPILLWAY_TOKEN to the token in its configuration'
  let text = ''
  for await (const part of response.setEncoding('utf8')) if (text.length < 65_536) text += part as string
  try {
    const { error } = JSON.parse(text) as { error: { message: string } }
    return error.message
  } catch {
    return `it answers ${response.statusCode}; is it the http address of a collector?`
  }
}

function unavailable(http: string, why: string): SpillwayError {
  return new SpillwayError('SPW_STATUS_UNAVAILABLE', `no history from ${http}: ${why}`)
}

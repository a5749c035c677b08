/**
 * One server and how it is written to: which request its version takes, and what an answer means. Goes through the
 * transport of `@influxdata/influxdb-client`, loaded with the first request, and none of its buffers.
 *
 * An answer is read to 64 KiB at most, a redirect is not followed, and a request that is not over in time is ended
 * together with its connection.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Transport } from '@influxdata/influxdb-client'
import { type InfluxTargetConfig, influxPlace } from './influx-config.ts'
import { readRetryAfter } from './retry-policy.ts'

export type WriteOutcome =
  | { readonly kind: 'written' }
  /** Later may go well: no answer, too busy, an error of the server's own. */
  | { readonly kind: 'unavailable'; readonly message: string; readonly retryAfterMs: number | undefined }
  /** Somebody has to do something: wrong credentials, no such database, a redirect. */
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'tooLarge'; readonly message: string }
  /** Some lines, or all of them, are not to its liking. What is good may have been stored. */
  | { readonly kind: 'badLines'; readonly message: string; readonly dropped: number | undefined }

const answerBytesMax = 65_536
const messageCharsMax = 300
/** Smaller ones take more processor time than they save on the way. */
const gzipAboveBytes = 1_000
const idleSocketMs = 30_000

/** How lines are posted. */
type Dialect = 'v1' | 'v2'

export class InfluxTarget {
  readonly #config: InfluxTargetConfig
  readonly #agent: HttpAgent | HttpsAgent
  #transport: Promise<Transport> | undefined
  #path: string | undefined
  /** What the client's transport does not tell of a request, by its signal. */
  readonly #exchanges = new WeakMap<AbortSignal, Exchange>()
  /** Of requests on connections that were used before. */
  readonly #staleErrors = new WeakSet<Error>()

  constructor(config: InfluxTargetConfig, connectionsMax = 1) {
    this.#config = config
    const options = { keepAlive: true, maxSockets: connectionsMax, timeout: idleSocketMs }
    this.#agent = config.url.startsWith('https:') ? new HttpsAgent(options) : new HttpAgent(options)
  }

  /** Where it writes, without anything secret. */
  get where(): string {
    return influxPlace(this.#config)
  }

  /**
   * Sends lines in one request. Never rejects.
   *
   * @param body - Lines, without an LF behind the last.
   */
  async write(body: string, signal: AbortSignal): Promise<WriteOutcome> {
    try {
      this.#path ??= writePath(this.#config, await this.#dialect(signal))
      await this.#post(this.#path, body, signal)
      return { kind: 'written' }
    } catch (error) {
      return this.#outcomeOf(error)
    }
  }

  /** What is wrong with it, as far as can be told without writing; undefined when it can be written to. Never rejects. */
  async check(signal: AbortSignal): Promise<string | undefined> {
    // A request without lines is checked like any other and stores nothing.
    const outcome = await this.write('', signal)
    return outcome.kind === 'written' || outcome.kind === 'badLines' ? undefined : outcome.message
  }

  close(): void {
    this.#agent.destroy()
  }

  // ── requests ──

  async #dialect(signal: AbortSignal): Promise<Dialect> {
    const { version, bucket } = this.#config
    if (version === '2' || version === '3' || bucket !== undefined) return 'v2'
    if (version !== 'auto') return 'v1'
    // 1.x and VictoriaMetrics take /write; 3.x and 2.x take the other one and say what they are.
    const found = await this.#ping(signal)
    return found !== undefined && /^v?[23]\./.test(found) ? 'v2' : 'v1'
  }

  /** The version a server says it has. */
  async #ping(signal: AbortSignal): Promise<string | undefined> {
    let version: string | undefined
    await this.#request('GET', '/ping', '', signal, (headers) => {
      const value = headers['x-influxdb-version']
      version = typeof value === 'string' ? value : undefined
    })
    return version
  }

  /** A connection that was kept open may have been closed by the other side just now: that is no outage. */
  async #post(path: string, body: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#request('POST', path, body, signal)
    } catch (error) {
      if (!(error instanceof Error) || !this.#staleErrors.has(error)) throw error
      await this.#request('POST', path, body, signal)
    }
  }

  async #request(
    method: 'GET' | 'POST',
    path: string,
    body: string,
    signal: AbortSignal,
    onHeaders?: (headers: Readonly<Record<string, string | string[] | undefined>>) => void,
  ): Promise<unknown> {
    this.#transport ??= this.#load()
    const transport = await this.#transport
    const { timeoutMs, gzip } = this.#config
    const ending = new AbortController()
    const end = () => ending.abort()
    signal.addEventListener('abort', end)
    let timer: NodeJS.Timeout | undefined
    let isLate = false
    const exchange: Exchange = {
      longAnswer: undefined,
      isReused: false,
      // A request that waits for its connection is not late: the one before it may be, and ends.
      began: () => {
        timer = setTimeout(() => {
          isLate = true
          end()
        }, timeoutMs)
      },
    }
    this.#exchanges.set(ending.signal, exchange)
    const options = {
      method,
      headers: method === 'POST' ? { 'content-type': 'text/plain; charset=utf-8' } : {},
      ...(gzip && { gzipThreshold: gzipAboveBytes }),
      signal: ending.signal,
    }
    try {
      return await transport.request(path, body, options, onHeaders)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ECONNRESET' && exchange.isReused) this.#staleErrors.add(error)
      throw exchange.longAnswer ?? (isLate ? new Error(`no whole answer within ${timeoutMs} ms`, { cause: error }) : error)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
    }
  }

  async #load(): Promise<Transport> {
    const { InfluxDB, setLogger } = await import('@influxdata/influxdb-client')
    // It would print to the console.
    setLogger({ error() {}, warn() {} })
    const { url, token, user, password, timeoutMs } = this.#config
    const authorization = user === undefined ? undefined : `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}`
    const bounded = { http: { request: this.#bounded(httpRequest) }, https: { request: this.#bounded(httpsRequest) } }
    return new InfluxDB({
      url,
      // Of silence. Ours is of the whole, and ends the connection.
      timeout: 2 * timeoutMs,
      ...(token !== undefined && { token }),
      headers: { 'user-agent': 'spillway', ...(authorization !== undefined && { authorization }) },
      // The place where another function for requests can be given.
      transportOptions: { agent: this.#agent, 'follow-redirects': bounded },
    }).transport
  }

  /** Ends an answer that is longer than anybody needs, with its connection. The client would tell no more than that it was ended. */
  #bounded(request: typeof httpRequest) {
    return (options: RequestOptions, onAnswer: (answer: IncomingMessage) => void) => {
      const exchange = options.signal === undefined ? undefined : this.#exchanges.get(options.signal)
      const made = request(options, (answer) => {
        let bytes = 0
        let body = ''
        answer.on('data', (part: Buffer) => {
          bytes += part.length
          if (body.length < messageCharsMax) body += part.toString('utf8', 0, messageCharsMax)
          if (bytes <= answerBytesMax) return
          if (exchange !== undefined) exchange.longAnswer = { statusCode: answer.statusCode ?? 0, headers: answer.headers, body }
          answer.destroy()
        })
        onAnswer(answer)
      })
      made.once('socket', () => {
        if (exchange === undefined) return
        exchange.isReused = made.reusedSocket
        exchange.began()
      })
      return made
    }
  }

  // ── answers ──

  #outcomeOf(error: unknown): WriteOutcome {
    const answer = answerOf(error)
    if (answer === undefined) {
      return { kind: 'unavailable', message: this.#plain(failureText(error)), retryAfterMs: undefined }
    }
    const { status, headers } = answer
    const message = this.#plain(`${status} ${answer.text}`.trim())
    if (status === 400 || status === 422) {
      const dropped = /\bdropped=(\d{1,9})\b/.exec(answer.text)?.[1]
      return { kind: 'badLines', message, dropped: dropped === undefined ? undefined : Number(dropped) }
    }
    if (status === 413) return { kind: 'tooLarge', message }
    if (status === 408 || status === 425 || status === 429 || status >= 500) {
      const retryAfter = headers['retry-after']
      return {
        kind: 'unavailable',
        message,
        retryAfterMs: readRetryAfter(typeof retryAfter === 'string' ? retryAfter : undefined, Date.now()),
      }
    }
    if (status < 400)
      return { kind: 'refused', message: `${status}: it answers with a redirect, which is not followed; give the address it leads to` }
    return { kind: 'refused', message }
  }

  /** One line without control characters and without what must not be shown. */
  #plain(text: string): string {
    const { token, user, password } = this.#config
    let plain = text
    for (const secret of [token, password, user === undefined ? undefined : Buffer.from(`${user}:${password ?? ''}`).toString('base64')]) {
      if (secret !== undefined && secret !== '') plain = plain.replaceAll(secret, '***')
    }
    plain = plain.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()
    return plain.length > messageCharsMax ? `${plain.slice(0, messageCharsMax)}…` : plain
  }
}

function writePath(config: InfluxTargetConfig, dialect: Dialect): string {
  const { org, bucket, database, retentionPolicy } = config
  if (dialect === 'v2') {
    const place = new URLSearchParams({ ...(org !== undefined && { org }), bucket: bucket ?? database ?? '', precision: 'ns' })
    return `/api/v2/write?${place}`
  }
  // Without a precision, nanoseconds: its names for them differ between servers.
  const place = new URLSearchParams({
    ...(database !== undefined && { db: database }),
    ...(retentionPolicy !== undefined && { rp: retentionPolicy }),
  })
  return place.size === 0 ? '/write' : `/write?${place}`
}

interface Exchange {
  /** An answer that was ended because of its length. */
  longAnswer: LongAnswer | undefined
  /** Its connection was used before. */
  isReused: boolean
  /** It has a connection. */
  began(): void
}

interface LongAnswer {
  readonly statusCode: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, unknown>>
}

/** What a server said; undefined when it said nothing that counts. */
function answerOf(error: unknown): Answer | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error) || typeof error.statusCode !== 'number') return undefined
  // Cut off while it said yes: nobody knows.
  if (error.statusCode < 300) return undefined
  const body = 'body' in error && typeof error.body === 'string' ? error.body : ''
  const headers = 'headers' in error && typeof error.headers === 'object' && error.headers !== null ? error.headers : {}
  return { status: error.statusCode, text: errorText(body), headers: headers as Readonly<Record<string, unknown>> }
}

/** 1.x says `{"error":…}`, 2.x `{"code":…,"message":…}`, others plain text. */
function errorText(body: string): string {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value === 'object' && value !== null) {
      if ('error' in value && typeof value.error === 'string') return value.error
      if ('message' in value && typeof value.message === 'string') return value.message
    }
  } catch {
    // Plain text.
  }
  return body
}

function failureText(error: unknown): string {
  if (!(error instanceof Error)) return 'the answer had no end'
  if (error.name === 'AbortError') return 'the connection was cut in the middle of an answer'
  // Several addresses of one name: each has failed.
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message
  return error.message === '' ? error.name : error.message
}

/**
 * A record about an HTTP request, in one line: `GET /pay 500 12ms`. As pino-http and Fastify log them, with `req` and
 * `res`, or with method, URL and status beside the message.
 */
import type { Style, StyledText } from './styled-text.ts'
import { fieldAt } from './tail-record.ts'
import { visibleText } from './visible-text.ts'

export interface HttpExchange {
  readonly text: StyledText
  /** Fields of the record that are in it, or are its headers and the like. */
  readonly keys: ReadonlySet<string>
  /** Whether a message says no more than that there was a request. */
  isSaid(message: unknown): boolean
}

const methodShape = /^[A-Z]{3,16}$/
const urlCharsMax = 500
const plainMessages = new Set(['request completed', 'incoming request'])

/** Undefined when the record is not about a request. */
export function httpExchange(fields: Readonly<Record<string, unknown>>): HttpExchange | undefined {
  const keys = new Set<string>()
  const take = (...paths: readonly (readonly string[])[]): unknown => {
    for (const path of paths) {
      const value = fieldAt(fields, path)
      if (value !== undefined && path[0] !== undefined) {
        keys.add(path[0])
        return value
      }
    }
    return undefined
  }
  const method = take(['req', 'method'], ['request', 'method'], ['method'])
  const url = take(['req', 'url'], ['request', 'url'], ['url'])
  const status = take(['res', 'statusCode'], ['response', 'statusCode'], ['statusCode'], ['status'])
  const isRequest = typeof method === 'string' && methodShape.test(method) && typeof url === 'string'
  const isAnswer = typeof status === 'number' && Number.isInteger(status) && status >= 100 && status < 600
  if (!isRequest && !(isAnswer && keys.has('res'))) return undefined
  const id = take(['req', 'id'])
  const took = take(['responseTime'], ['elapsedMs'])
  const parts: { text: string; style?: Style }[] = []
  const add = (text: string, style?: Style) => parts.push({ text: parts.length === 0 ? text : ` ${text}`, ...(style && { style }) })
  if (isRequest) {
    add(method, 'bold')
    add(visibleText(url.length > urlCharsMax ? `${url.slice(0, urlCharsMax)}…` : url))
  }
  if (isAnswer) add(String(status), statusStyle(status))
  if (typeof took === 'number' && Number.isFinite(took)) add(shortDuration(took))
  if (typeof id === 'string' || typeof id === 'number') add(visibleText(`req.id=${String(id).slice(0, urlCharsMax)}`), 'gray')
  return { text: parts, keys, isSaid: (message) => typeof message === 'string' && plainMessages.has(message) }
}

function statusStyle(status: number): Style {
  if (status >= 500) return 'red'
  if (status >= 400) return 'yellow'
  return status >= 300 ? 'cyan' : 'green'
}

/** `0.4ms`, `12ms`, `1.5s`: without a blank, so that it reads as one word. */
function shortDuration(ms: number): string {
  if (ms >= 9_999.5) return `${Math.round(ms / 1_000)}s`
  if (ms >= 999.5) return `${(ms / 1_000).toFixed(1)}s`
  return ms >= 9.95 || Number.isInteger(ms) ? `${Math.round(ms)}ms` : `${ms.toFixed(1)}ms`
}

/** Asks a collector for its status over http: once, within a time, and reads no more than a status can be. */
import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { splitAddress } from '../wire/endpoint.ts'
import { statusBytesMax, statusWaitMs } from '../wire/limits.ts'
import { formatBytes, formatDuration } from '../wire/quantity.ts'
import { SpillwayError } from '../wire/spillway-error.ts'

export interface RequestLimits {
  readonly bytesMax: number
  readonly waitMs: number
  /** @defaultValue `/status.json` */
  readonly path?: string
}

/** With the token of `SPILLWAY_TOKEN`, for a collector that asks for one. */
export function requestHeaders(): Record<string, string> {
  const accept = 'application/json, text/plain'
  const token = process.env['SPILLWAY_TOKEN']
  // A header cannot hold every character; a token has none of the others.
  return token === undefined || !/^[!-~]+$/.test(token) ? { accept } : { accept, authorization: `Bearer ${token}` }
}

/**
 * The text a collector answers, at most 32 MiB, within 10 s.
 *
 * @param address - `HOST:PORT` of its http endpoint.
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID` for an address that is none, `SPW_STATUS_UNAVAILABLE` when there is no answer.
 */
export async function requestStatus(
  address: string,
  { bytesMax, waitMs, path = '/status.json' }: RequestLimits = { bytesMax: statusBytesMax, waitMs: statusWaitMs },
): Promise<string> {
  const target = requireAddress(address)
  return new Promise((resolve, reject) => {
    const end = (message: string, cause?: Error) => {
      clearTimeout(timer)
      reject(new SpillwayError('SPW_STATUS_UNAVAILABLE', message, { cause }))
      request.destroy()
    }
    const request: ClientRequest = get({ ...target, path, agent: false, headers: requestHeaders() })
    const timer = setTimeout(
      () => end(`no whole answer from ${address} within ${formatDuration(waitMs)}; is the collector stopped or overloaded?`),
      waitMs,
    )
    request.on('error', (error: NodeJS.ErrnoException) => end(refusal(error, address), error))
    request.on('response', (response: IncomingMessage) => {
      if (response.statusCode !== 200)
        return end(
          response.statusCode === 401
            ? `${address} wants to know who asks: set SPILLWAY_TOKEN to the token in its configuration`
            : response.statusCode === 403
              ? `${address} refuses to answer: it listens on loopback and wants to be asked by a name of this machine, such as 127.0.0.1`
              : `${address} answers ${response.statusCode} instead of a status; is it the http address of a collector?`,
        )
      const parts: Buffer[] = []
      let bytes = 0
      response.on('data', (part: Buffer) => {
        parts.push(part)
        bytes += part.length
        if (bytes > bytesMax) end(`${address} answers more than ${formatBytes(bytesMax)}; that is no status of a collector`)
      })
      response.on('error', (error) => end(`the answer from ${address} broke off: ${error.message}`, error))
      response.on('end', () => {
        clearTimeout(timer)
        resolve(Buffer.concat(parts).toString('utf8'))
      })
    })
  })
}

/** @throws {@link SpillwayError} `SPW_OPTION_INVALID` */
export function requireAddress(address: string): { readonly host: string; readonly port: number } {
  const target = splitAddress(address)
  if (target !== undefined && target.port !== 0) return target
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `--http: expected HOST:PORT, such as 127.0.0.1:7700, got ${JSON.stringify(address.slice(0, 120))}`,
  )
}

export function refusal(error: NodeJS.ErrnoException, address: string): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return `no collector answers at ${address}; is one running (\`spillway collector\`), and is this its http address (--http HOST:PORT)?`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${address}: there is no such host; is the address right?`
    default:
      if (error.code?.startsWith('HPE_')) return `what listens at ${address} does not speak HTTP; is it the http address of a collector?`
      return `no collector answers at ${address}: ${error.message}; is one running, and is this its http address (--http HOST:PORT)?`
  }
}

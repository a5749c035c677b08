/** ZeroMQ endpoints as people write them: `tcp://host:port` and `ipc://path`. */
import { isIP } from 'node:net'
import { SpillwayError } from './spillway-error.ts'

declare const endpointBrand: unique symbol
/** A checked endpoint that ZeroMQ takes. */
export type Endpoint = string & { readonly [endpointBrand]: true }

/** Default ports, all on loopback. */
export const defaultPorts = { http: 7700, data: 7701, control: 7702, tail: 7703 } as const
export const defaultDataEndpoint: Endpoint = `tcp://127.0.0.1:${defaultPorts.data}` as Endpoint
export const defaultHttpAddress: string = `127.0.0.1:${defaultPorts.http}`
export const defaultTailEndpoint: Endpoint = `tcp://127.0.0.1:${defaultPorts.tail}` as Endpoint

const tcpShape = /^tcp:\/\/(\[[0-9A-Fa-f:.%a-z]+\]|\*|[A-Za-z0-9._-]+):(\d{1,5})$/
/** sun_path holds 108 bytes with its end on Linux. */
const ipcPathBytesMax = 107

/**
 * @param what - What the value is called where the user wrote it, for the message.
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID`
 */
export function parseEndpoint(text: string, what: string): Endpoint {
  const tcp = tcpShape.exec(text)
  if (tcp !== null && Number(tcp[2]) <= 65_535) return text as Endpoint
  const path = text.startsWith('ipc://') ? text.slice(6) : ''
  if (path !== '' && Buffer.byteLength(path) <= ipcPathBytesMax) return text as Endpoint
  const hint = /^[\w.-]+:\d+$/.test(text) ? `; did you mean "tcp://${text}"?` : ''
  throw new SpillwayError(
    'SPW_OPTION_INVALID',
    `${what}: expected tcp://HOST:PORT or ipc://PATH of at most ${ipcPathBytesMax} bytes, got ${JSON.stringify(text.slice(0, 120))}${hint}`,
  )
}

/**
 * The endpoint `steps` behind a data endpoint: the next port, or the path with `.<name>` added.
 *
 * @throws {@link SpillwayError} `SPW_OPTION_INVALID` when there is no such port or the path gets too long.
 */
export function siblingEndpoint(data: Endpoint, steps: number, name: 'control' | 'tail'): Endpoint {
  const tcp = tcpShape.exec(data)
  if (tcp === null) return parseEndpoint(`${data}.${name}`, name)
  return parseEndpoint(`tcp://${tcp[1]}:${Number(tcp[2]) + steps}`, name)
}

export function isIpc(endpoint: Endpoint): boolean {
  return endpoint.startsWith('ipc://')
}

/** Host and port of a TCP endpoint, without brackets; undefined for ipc. */
export function hostAndPort(endpoint: Endpoint): { host: string; port: number } | undefined {
  const tcp = tcpShape.exec(endpoint)
  return tcp === null ? undefined : { host: (tcp[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(tcp[2]) }
}

/** `HOST:PORT`, with IPv6 in brackets, taken apart; undefined when it is none. */
export function splitAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text)
  const port = Number(match?.[2])
  return match === null || port > 65_535 ? undefined : { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port }
}

/** Whether only this machine can reach the address. A name other than `localhost` is not known to be local. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '')
  if (isIP(bare) === 4) return bare.startsWith('127.')
  return bare === '::1' || bare === 'localhost'
}

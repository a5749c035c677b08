/** Binding a ZeroMQ socket where it does no harm, with an error that says what to do. */
import { lstatSync, mkdirSync, type Stats } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import type { Socket } from 'zeromq'
import { type Endpoint, hostAndPort, isIpc, isLoopbackHost } from '../wire/endpoint.ts'
import { allowAddress } from '../wire/socket.ts'
import { SpillwayError } from '../wire/spillway-error.ts'

/**
 * Binds and returns the endpoint bound, with the port the system chose where 0 was asked for.
 *
 * @throws {@link SpillwayError} `SPW_ENDPOINT_IN_USE`, or `SPW_BIND_REFUSED` for an address that cannot be bound.
 */
export async function bindSocket(
  socket: Socket & { readonly lastEndpoint: string | null },
  endpoint: Endpoint,
  what: string,
): Promise<Endpoint> {
  if (isIpc(endpoint)) await preparePath(endpoint.slice('ipc://'.length), what)
  allowAddress(socket, endpoint)
  try {
    await socket.bind(endpoint)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE') throw inUse(endpoint, what)
    throw new SpillwayError(
      'SPW_BIND_REFUSED',
      `${what}: cannot bind ${endpoint}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
  return (socket.lastEndpoint ?? endpoint) as Endpoint
}

/** @throws {@link SpillwayError} `SPW_BIND_REFUSED` when others could reach the address and nobody said that is meant. */
export function checkBindAddress(host: string, what: string, isInsecureMeant: boolean): void {
  if (isInsecureMeant || isLoopbackHost(host)) return
  throw new SpillwayError(
    'SPW_BIND_REFUSED',
    `${what}: ${host} can be reached from other machines, and there are no keys: anybody could read and write records there. Bind 127.0.0.1, or set "insecure: true" in the config file (or --insecure) if the network itself is trusted`,
  )
}

export function checkBindEndpoint(endpoint: Endpoint, what: string, isInsecureMeant: boolean): void {
  const address = hostAndPort(endpoint)
  if (address !== undefined) checkBindAddress(address.host, what, isInsecureMeant)
}

/** ZeroMQ would replace whatever is at the path: a live socket, even a plain file. */
async function preparePath(path: string, what: string): Promise<void> {
  let stat: Stats | undefined
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    stat = lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new SpillwayError('SPW_BIND_REFUSED', `${what}: cannot make a socket at ${path}: ${reason}; choose another path`, {
      cause: error,
    })
  }
  if (stat === undefined) return
  if (!stat.isSocket()) throw new SpillwayError('SPW_BIND_REFUSED', `${what}: ${path} exists and is not a socket; choose another path`)
  if (await answers(path)) throw inUse(`ipc://${path}`, what)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}

export function inUse(endpoint: string, what: string): SpillwayError {
  return new SpillwayError(
    'SPW_ENDPOINT_IN_USE',
    `${what}: ${endpoint} is taken, perhaps by another collector; stop that one, or choose other ports with --listen HOST:PORT (and --http HOST:PORT)`,
  )
}

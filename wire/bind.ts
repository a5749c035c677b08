/** Binding a ZeroMQ socket where it does no harm, with an error that says what to do. */
import { lstatSync, mkdirSync, type Stats } from 'node:fs'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import type { Socket } from 'zeromq'
import { type Endpoint, hostAndPort, isIpc, isLoopbackHost } from './endpoint.ts'
import { allowAddress } from './socket.ts'
import { SpillwayError } from './spillway-error.ts'

/**
 * Binds and returns the endpoint bound, with the port the system chose where 0 was asked for.
 *
 * @throws {@link SpillwayError} `SPW_ENDPOINT_IN_USE`, or `SPW_BIND_REFUSED` for an address that cannot be bound.
 */
export async function bindSocket(
  socket: Socket & { readonly lastEndpoint: string | null },
  endpoint: Endpoint,
  what: string,
  advice: string = collectorAdvice,
): Promise<Endpoint> {
  if (isIpc(endpoint) && (await preparePath(ipcPath(endpoint), what))) throw inUse(endpoint, what, advice)
  allowAddress(socket, endpoint)
  try {
    await socket.bind(endpoint)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE') throw inUse(endpoint, what, advice)
    throw new SpillwayError(
      'SPW_BIND_REFUSED',
      `${what}: cannot bind ${endpoint}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
  return (socket.lastEndpoint ?? endpoint) as Endpoint
}

const collectorAdvice = 'perhaps by another collector; stop that one, or choose other ports with --listen HOST:PORT (and --http HOST:PORT)'
const insecureAdvice = 'set "insecure: true" in the config file (or --insecure)'

/** @throws {@link SpillwayError} `SPW_BIND_REFUSED` when others could reach the address and nobody said that is meant. */
export function checkBindAddress(host: string, what: string, isInsecureMeant: boolean, advice: string = insecureAdvice): void {
  if (isInsecureMeant || isLoopbackHost(host)) return
  throw new SpillwayError(
    'SPW_BIND_REFUSED',
    `${what}: ${host} can be reached from other machines, and there are no keys: anybody could read and write records there. Bind 127.0.0.1, or ${advice} if the network itself is trusted`,
  )
}

export function checkBindEndpoint(endpoint: Endpoint, what: string, isInsecureMeant: boolean, advice?: string): void {
  const address = hostAndPort(endpoint)
  if (address !== undefined) checkBindAddress(address.host, what, isInsecureMeant, advice)
}

function ipcPath(endpoint: Endpoint): string {
  return endpoint.slice('ipc://'.length)
}

/** ZeroMQ would replace whatever is at the path: a live socket, even a plain file. Returns whether somebody answers there. */
async function preparePath(path: string, what: string): Promise<boolean> {
  return checkPath(path, what) && (await answers(path))
}

/**
 * Makes the folder of an `ipc://` endpoint, for its owner only, and looks at what is at its path.
 *
 * @returns Whether a socket is there already.
 * @throws {@link SpillwayError} `SPW_BIND_REFUSED` when no socket can be made there.
 */
export function checkIpcPath(endpoint: Endpoint, what: string): boolean {
  return checkPath(ipcPath(endpoint), what)
}

function checkPath(path: string, what: string): boolean {
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
  if (stat === undefined) return false
  if (!stat.isSocket()) throw new SpillwayError('SPW_BIND_REFUSED', `${what}: ${path} exists and is not a socket; choose another path`)
  return true
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

export function inUse(endpoint: string, what: string, advice: string = collectorAdvice): SpillwayError {
  return new SpillwayError('SPW_ENDPOINT_IN_USE', `${what}: ${endpoint} is taken, ${advice}`)
}

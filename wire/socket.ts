/**
 * ZeroMQ sockets that cannot take the process with them. A constructor that is given a bad option throws and leaves a
 * half-built object behind whose clean-up crashes the process at its end; so sockets are built with nothing but their
 * context, and options are set one by one.
 */
import { Context, type Socket } from 'zeromq'
import type { Endpoint } from './endpoint.ts'
import { handshakeMs, reconnectFirstMs, reconnectMaxMs, tcpKeepAlive, tcpRetransmitMs } from './limits.ts'

type Constructor<S> = new (options: { context: Context }) => S

/** Lets a socket use IPv6 addresses when the endpoint holds one; switched on for all, IPv4 ones would read `::ffff:…`. */
export function allowAddress(socket: Socket, endpoint: Endpoint): void {
  if (endpoint.includes('[')) Reflect.set(socket, 'ipv6', true)
}

/** Never the global context: the application may use ZeroMQ itself, with its own handlers and limits. */
export function privateContext(): Context {
  return new Context()
}

/**
 * Builds a socket and sets its options; closes it and throws when one is refused.
 * Every socket gets TCP's keep-alive, a bounded handshake and no linger: what is not delivered is kept by its sender.
 *
 * Not ZeroMQ's own heartbeats: a PING that waits behind a full receive queue is answered when there is room again; if
 * its connection has broken meanwhile, libzmq 4.3.5 aborts the process (an assertion in stream_engine_base.cpp). A
 * peer that is silent above TCP is noticed by those who miss something: the agent's watchdog, the collector's ledger.
 */
export function openSocket<S extends Socket>(
  context: Context,
  type: Constructor<S>,
  options: Partial<Omit<S, 'context'>> & { maxMessageSize: number },
): S {
  const socket = new type({ context })
  const all: Record<string, unknown> = {
    linger: 0,
    tcpKeepalive: 1,
    tcpKeepaliveIdle: tcpKeepAlive.idleSeconds,
    tcpKeepaliveInterval: tcpKeepAlive.everySeconds,
    tcpKeepaliveCount: tcpKeepAlive.probes,
    tcpMaxRetransmitTimeout: tcpRetransmitMs,
    handshakeInterval: handshakeMs,
    reconnectInterval: reconnectFirstMs,
    reconnectMaxInterval: reconnectMaxMs,
    ...options,
  }
  try {
    for (const [name, value] of Object.entries(all)) {
      if (!(name in socket)) throw new Error(`this socket has no option "${name}"`)
      Reflect.set(socket, name, value)
    }
  } catch (error) {
    socket.close()
    throw error
  }
  return socket
}

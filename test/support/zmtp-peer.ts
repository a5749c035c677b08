/**
 * ZMTP 3 by hand over a plain socket (rfc.zeromq.org/spec/23 and /37): a peer that says what no ZeroMQ library would.
 *
 *   greeting  ff 0*8 7f  major minor  mechanism*20  as-server  0*31
 *   frame     flags (1 more, 2 long, 4 command)  length (1 or 8 bytes)  body
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const flagMore = 1
const flagLong = 2
const flagCommand = 4

export function greeting({
  major = 3,
  minor = 0,
  mechanism = 'NULL',
}: {
  major?: number
  minor?: number
  mechanism?: string
} = {}): Buffer {
  const bytes = Buffer.alloc(64)
  bytes[0] = 0xff
  bytes[9] = 0x7f
  bytes[10] = major
  bytes[11] = minor
  bytes.write(mechanism, 12, 'latin1')
  return bytes
}

export function frame(flags: number, body: Buffer): Buffer {
  return Buffer.concat([body.length > 255 ? longHead(flags, body.length) : Buffer.from([flags, body.length]), body])
}

/** The head of a frame that is said to have so many bytes. */
export function longHead(flags: number, bytes: number | bigint): Buffer {
  const head = Buffer.alloc(9)
  head[0] = flags | flagLong
  head.writeBigUInt64BE(BigInt(bytes), 1)
  return head
}

export function message(...parts: readonly (string | Buffer)[]): Buffer {
  const last = parts.length - 1
  return Buffer.concat(parts.map((part, i) => frame(i < last ? flagMore : 0, Buffer.from(part as string, 'latin1'))))
}

export function command(name: string, body: Buffer = Buffer.alloc(0)): Buffer {
  return frame(flagCommand, Buffer.concat([Buffer.from([name.length]), Buffer.from(name, 'latin1'), body]))
}

/** @param ttl - Tenths of a second. */
export function ping(ttl: number, context = ''): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(ttl)
  return command('PING', Buffer.concat([bytes, Buffer.from(context, 'latin1')]))
}

export function ready(socketType: string): Buffer {
  return command('READY', Buffer.concat([property('Socket-Type', socketType), property('Identity', '')]))
}

function property(name: string, value: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(value.length)
  return Buffer.concat([Buffer.from([name.length]), Buffer.from(name, 'latin1'), length, Buffer.from(value, 'latin1')])
}

/** Where to connect: a port of this machine, or the path of a socket. */
export type Where = number | string

export async function stranger(where: Where): Promise<Socket> {
  const socket = typeof where === 'number' ? connect(where, '127.0.0.1') : connect(where)
  socket.on('error', () => undefined)
  socket.resume()
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve())
    socket.once('close', () => reject(new Error(`nobody listens at ${where}`)))
  })
  return socket
}

/** A peer that has shaken hands as a socket of some type. */
export async function peer(where: Where, socketType: string, minor = 0): Promise<Socket> {
  const socket = await stranger(where)
  const heard: Buffer[] = []
  const hear = (bytes: Buffer) => void heard.push(bytes)
  socket.on('data', hear)
  const bytesHeard = () => heard.reduce((sum, { length }) => sum + length, 0)
  socket.write(greeting({ minor }))
  socket.write(ready(socketType))
  // Its greeting and its READY.
  while (bytesHeard() <= 64 && !socket.closed) await sleep(1)
  socket.off('data', hear)
  socket.resume()
  return socket
}

import { expect, test } from 'vitest'
import { Publisher, Subscriber } from 'zeromq'
import { parseEndpoint } from '../../wire/endpoint.ts'
import { controlBytesMax, frameBytesMax, tcpKeepAlive } from '../../wire/limits.ts'
import { allowAddress, openSocket, privateContext } from '../../wire/socket.ts'

test('every socket has a keep-alive that cannot abort the process, a bounded message and no linger', () => {
  const socket = openSocket(privateContext(), Subscriber, { maxMessageSize: frameBytesMax })
  expect(socket).toMatchObject({
    linger: 0,
    heartbeatInterval: 0,
    tcpKeepaliveIdle: tcpKeepAlive.idleSeconds,
    maxMessageSize: frameBytesMax,
  })
  socket.close()
})

test('a socket speaks IPv6 only when its endpoint does', () => {
  const socket = openSocket(privateContext(), Subscriber, { maxMessageSize: frameBytesMax })
  allowAddress(socket, parseEndpoint('tcp://127.0.0.1:7701', 'collector'))
  expect(socket.ipv6).toBe(false)
  allowAddress(socket, parseEndpoint('tcp://[::1]:7701', 'collector'))
  expect(socket.ipv6).toBe(true)
  socket.close()
})

test('an option the socket does not have, or a value it does not take, is an error and leaves nothing open', () => {
  const context = privateContext()
  const closed: boolean[] = []
  class WatchedPublisher extends Publisher {
    override close(): void {
      super.close()
      closed.push(this.closed)
    }
  }
  const unknown = { maxMessageSize: controlBytesMax, sendHighWatermark: 1 } as { maxMessageSize: number }
  expect(() => openSocket(context, WatchedPublisher, unknown)).toThrow('sendHighWatermark')
  expect(() => openSocket(context, WatchedPublisher, { maxMessageSize: controlBytesMax, sendHighWaterMark: -1 })).toThrow()
  expect(closed).toEqual([true, true])
})

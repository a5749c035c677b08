import { createServer, type Socket } from 'node:net'

export interface OversizeServer extends AsyncDisposable {
  readonly oversizeSent: number
  /** Connections the other side has not closed. */
  readonly openSockets: number
}

/** Speaks ZeroMQ's protocol (ZMTP 3.0, NULL) just far enough to announce a message of 8 GiB, which ends a session for good. */
export async function startOversizeServer(ports: readonly number[]): Promise<OversizeServer> {
  const greeting = Buffer.alloc(64)
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0])
  greeting.write('NULL', 12)
  let oversizeSent = 0
  const sockets = new Set<Socket>()
  const servers = await Promise.all(
    ports.map(async (port, i) => {
      // The agent publishes to the first port and subscribes on the second.
      const property = Buffer.from(`\u0005READY\u000bSocket-Type\0\0\0${i === 0 ? '\u0003SUB' : '\u0003PUB'}`, 'latin1')
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on('error', () => undefined)
        socket.once('close', () => sockets.delete(socket))
        socket.write(greeting)
        let got = 0
        socket.on('data', (bytes) => {
          const before = got
          got += bytes.length
          if (before < 64 && got >= 64) socket.write(Buffer.concat([Buffer.of(4, property.length), property]))
          // Its READY has come: the session is up.
          if (before < 66 && got > 66) {
            socket.write(Buffer.of(2, 0, 0, 0, 2, 0, 0, 0, 0))
            oversizeSent += 1
          }
        })
      })
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
      return server
    }),
  )
  return {
    get oversizeSent() {
      return oversizeSent
    },
    get openSockets() {
      return sockets.size
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
}

/** A TCP proxy whose target can be changed and whose connections can be cut. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy extends AsyncDisposable {
  readonly port: number
  readonly connectionCount: number
  /** Sends further connections elsewhere and cuts those there are. */
  moveTo(port: number): void
}

export async function startTcpProxy(firstTarget: number): Promise<TcpProxy> {
  let target = firstTarget
  let connectionCount = 0
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    connectionCount += 1
    const far = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get connectionCount() {
      return connectionCount
    },
    moveTo(port) {
      target = port
      cut()
    },
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

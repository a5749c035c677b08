import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { requestStatus } from '../../dashboards/status-request.ts'
import { freePorts } from '../support/processes.ts'

interface Answering extends AsyncDisposable {
  readonly address: string
}

async function listening(server: Server): Promise<Answering> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.on('error', () => undefined))
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const answering = (answer: (response: ServerResponse) => void) => listening(createServer((_request, response) => answer(response)))
const speaking = (text: string) => listening(createTcpServer((socket) => socket.end(text)))
const limits = { bytesMax: 10_000, waitMs: 5_000 }

describe('asking for a status', () => {
  test('gives the text as it came', async () => {
    await using server = await answering((response) => response.end('{"ü":"商"}'))
    expect(await requestStatus(server.address)).toBe('{"ü":"商"}')
  })

  test('takes what is as long as may be, and not a byte more', async () => {
    await using full = await answering((response) => response.end('x'.repeat(limits.bytesMax)))
    expect(await requestStatus(full.address, limits)).toHaveLength(limits.bytesMax)
    await using long = await answering((response) => response.end('x'.repeat(limits.bytesMax + 1)))
    await expect(requestStatus(long.address, limits)).rejects.toThrow(/answers more than 9.8 KiB; that is no status/)
  })

  test('ends an answer that has no end', async () => {
    let isOpen = true
    await using server = await answering((response) => {
      response.on('close', () => {
        isOpen = false
      })
      const pour = () => {
        if (isOpen && response.write('y'.repeat(1_000))) setImmediate(pour)
        else if (isOpen) response.once('drain', pour)
      }
      pour()
    })
    await expect(requestStatus(server.address, limits)).rejects.toMatchObject({ code: 'SPW_STATUS_UNAVAILABLE', retryable: true })
  })

  test.each([
    ['says nothing', () => listening(createTcpServer(() => undefined))],
    ['says half of it', () => answering((response) => void response.write('{"version"'))],
    ['says a little now and then', () => answering((response) => void setInterval(() => response.write(' '), 20).unref())],
  ])('waits no longer than it may for a server that %s', async (_what, start) => {
    await using server = await start()
    await expect(requestStatus(server.address, { ...limits, waitMs: 200 })).rejects.toThrow(
      `no whole answer from ${server.address} within 200 ms; is the collector stopped or overloaded?`,
    )
  })

  test('says what to look at when nobody listens', async () => {
    const port = await freePorts()
    await expect(requestStatus(`127.0.0.1:${port}`)).rejects.toThrow(
      `no collector answers at 127.0.0.1:${port}; is one running (\`spillway collector\`), and is this its http address (--http HOST:PORT)?`,
    )
  })

  test.each([
    ['HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{', /broke off: /],
    ['', /no collector answers at .*: socket hang up/],
    ['220 mail.example ESMTP\r\n', /does not speak HTTP/],
    ['\u00ff\0\0\0\0\0\0\0\u0001\u007f', /does not speak HTTP/],
    ['HTTP/1.1 404 Not Found\r\n\r\n', /answers 404 instead of a status/],
    ['HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\n\r\n', /answers 302 instead of a status/],
    ['HTTP/1.1 403 Forbidden\r\n\r\n', /wants to be asked by a name of this machine/],
    [`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`, /does not speak HTTP|no collector answers/],
  ])('a server that says %j is told apart', async (text, message) => {
    await using server = await speaking(text)
    await expect(requestStatus(server.address, limits)).rejects.toThrow(message)
  })

  test.each(['', '7700', '127.0.0.1', 'http://127.0.0.1:7700', '127.0.0.1:70000', '127.0.0.1:0', '::1:7700', 'a b:1', '\u001b[2J:1'])(
    '%j is no address',
    async (address) => {
      await expect(requestStatus(address)).rejects.toMatchObject({ code: 'SPW_OPTION_INVALID' })
    },
  )
})

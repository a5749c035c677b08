/** Peers that speak ZMTP as no ZeroMQ library does, on every port that anybody can connect to. */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { missingAndTwice, settled, startSteady, stopSteady } from '../collector/spooling.ts'
import { appsDir, freePorts, runApp, startCollector, startNode, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { command, frame, greeting, longHead, message, peer, ping, ready, stranger, type Where } from '../support/zmtp-peer.ts'

const rssKib = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

/** Before the handshake is done. */
const halves: readonly Buffer[] = [
  ...[1, 9, 10, 11, 12, 32, 63].map((bytes) => greeting().subarray(0, bytes)),
  greeting({ major: 0 }),
  greeting({ major: 9, minor: 255 }),
  greeting({ mechanism: 'PLAIN' }),
  greeting({ mechanism: 'CURVE' }),
  greeting({ mechanism: 'x'.repeat(20) }),
  Buffer.concat([greeting(), ready('SUB').subarray(0, 12)]),
  Buffer.concat([greeting(), ready('ROUTER')]),
  Buffer.concat([greeting(), command('READY')]),
  Buffer.concat([greeting(), command('READY', Buffer.from('0bff', 'hex'))]),
  Buffer.concat([greeting(), command('READY', Buffer.from('01780fffffff', 'hex'))]),
  Buffer.concat([greeting(), command('READY', Buffer.alloc(60_000, 1))]),
  Buffer.concat([greeting(), command('ERROR', Buffer.from('ff', 'hex'))]),
  Buffer.concat([greeting(), ping(1)]),
  Buffer.concat([greeting(), message('x')]),
  Buffer.concat([greeting(), frame(4, Buffer.alloc(0))]),
  Buffer.concat([greeting(), frame(4, Buffer.from('ff58', 'hex'))]),
  // Version 1 and 2 of the protocol.
  Buffer.from('0100', 'hex'),
  Buffer.from('ff00000000000000017f0101000000', 'hex'),
]

/** After it. */
const words: readonly Buffer[] = [
  ...[0, 1, 2, 0x7fff, 0xffff].flatMap((ttl) => ['', 'x', 'x'.repeat(16), 'x'.repeat(17), 'x'.repeat(200)].map((text) => ping(ttl, text))),
  command('PING'),
  command('PING', Buffer.from([0])),
  command('PONG'),
  command('PONG', Buffer.alloc(300)),
  command('SUBSCRIBE', Buffer.from('log.')),
  command('CANCEL', Buffer.from('never')),
  command('SUBSCRIBE', Buffer.alloc(10_000)),
  command('ERROR', Buffer.from('09whatever')),
  command('UNHEARD-OF', Buffer.alloc(100)),
  command('READY'),
  frame(4, Buffer.alloc(0)),
  frame(4, Buffer.from('ff58', 'hex')),
  frame(0xff, Buffer.from('x')),
  frame(0xf8, Buffer.from('x')),
  longHead(0, 2n ** 63n),
  longHead(0, 2n ** 64n - 1n),
  longHead(1, 2n ** 40n),
  longHead(4, 2n ** 40n),
  message('', ''),
  message('a', 'b', 'c', 'd'),
  message('log.info.shop.', Buffer.alloc(2_000_000)),
  message('\x01', '\x00', '\x01log.', ''),
  Buffer.concat(Array.from({ length: 100 }, () => ping(1, 'x'))),
]

/** As many messages as would fill a queue of ZeroMQ's default length, and what comes behind them. */
const flood = Buffer.concat([...Array.from({ length: 1_500 }, () => message('\x01')), ...Array.from({ length: 20 }, () => ping(0, 'x'))])

async function pester(where: Where, socketType: string): Promise<void> {
  for (const isReset of [false, true]) {
    for (const bytes of halves) {
      const socket = await stranger(where)
      socket.write(bytes)
      await sleep(1)
      end(socket, isReset)
    }
    for (const minor of [0, 1]) {
      for (const bytes of socketType === 'SUB' ? [...words, flood, flood, flood] : words) {
        const socket = await peer(where, socketType, minor)
        socket.write(bytes)
        await sleep(1)
        end(socket, isReset)
      }
    }
  }
}

/** A reset is known to TCP only. */
function end(socket: Socket, isReset: boolean): void {
  if (!isReset) socket.destroySoon()
  else if (socket.remoteFamily === undefined) socket.destroy()
  else socket.resetAndDestroy()
}

test('leave a collector alive, small and of use, whatever they say and wherever they stop', { timeout: 60_000 }, async () => {
  await using collector = await startCollector()
  const before = rssKib(collector.process.pid)
  for (const [port, socketType] of [
    [collector.port, 'PUB'],
    [collector.port + 1, 'SUB'],
    [collector.port + 2, 'SUB'],
  ] as const) {
    await pester(port, socketType)
  }
  expect(collector.process.end).toBeUndefined()
  expect(rssKib(collector.process.pid)).toBeLessThan(before + 65_536)
  await using app = await runApp('count.mjs', { args: ['100'], env: collector.env })
  expect(app.code).toBe(0)
  await until(() => collector.lines('counted').length === 100, { what: 'the lines are kept' })
})

test.each(['tcp', 'ipc'])(
  'leave an application alive that live tails connect to directly, over %s',
  { timeout: 60_000 },
  async (transport) => {
    await using dir = await tempDir()
    const port = await freePorts()
    const path = join(dir.path, 'tail')
    await using app = startNode([join(appsDir, 'bound.mjs'), transport === 'tcp' ? `tcp://127.0.0.1:${port}` : `ipc://${path}`])
    await app.says(/ready/)
    await pester(transport === 'tcp' ? port : path, 'SUB')
    expect(app.end).toBeUndefined()
    app.kill('SIGTERM')
    expect(await app.ended).toEqual({ code: 0, signal: null })
  },
)

/**
 * The one way that is left, and none of ours to close (docs/GUARANTEES.md): the data port has to hold back applications
 * that log more than its disks take, so its queue has an end. Should this fail, libzmq has been mended: say so there.
 */
test('can end a collector through its data port; the next one goes on, with nothing missing', { timeout: 60_000 }, async () => {
  await using dir = await tempDir()
  const first = await startCollector({ dir: dir.path })
  await using app = await startSteady(first, { padBytes: 100 })
  await until(
    async () => {
      if (first.process.end !== undefined) return true
      const socket = await peer(first.port, 'PUB').catch(() => undefined)
      socket?.write(Buffer.concat([...Array.from({ length: 200 }, () => message('x.', 'x')), ...Array.from({ length: 20 }, () => ping(0))]))
      await sleep(1)
      socket?.resetAndDestroy()
      return false
    },
    { what: 'it is aborted', everyMs: 20, timeoutMs: 30_000 },
  )
  expect(await first.process.ended).toMatchObject({ signal: 'SIGABRT' })
  expect(first.process.stderr).toContain('Assertion failed: !_io_error')
  await using second = await startCollector({ dir: dir.path, port: first.port })
  const logged = await stopSteady(app)
  await settled(second, logged)
  expect(missingAndTwice(second.lines('steady'), logged)).toEqual({ missing: '', twice: '' })
})

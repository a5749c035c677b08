/** The proxy is what other tests believe: each thing it does is seen from both ends of a plain connection. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { type ChaosProxy, startChaosProxy, type Weather } from './chaos-proxy.ts'
import { until } from './until.ts'

class End implements AsyncDisposable {
  readonly socket: Socket
  readonly chunks: Buffer[] = []
  byteCount = 0
  state: 'open' | 'finished' | 'reset' = 'open'

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.chunks.push(bytes)
      this.byteCount += bytes.length
    })
    socket.on('end', () => {
      this.state = 'finished'
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') this.state = 'reset'
    })
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy()
  }
}

/** One connection through a proxy, with both of its ends. */
async function connected(weather: Partial<Weather> = {}, seed = 7) {
  const accepted: End[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => accepted.push(new End(socket)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const proxy = await startChaosProxy({ target: (server.address() as AddressInfo).port, seed })
  proxy.set('both', weather)
  const dial = async () => {
    const near = new End(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }))
    await once(near.socket, 'connect')
    const far = await until(() => accepted.shift(), { what: 'the proxy dials on' })
    return { near, far }
  }
  const first = await dial()
  return {
    proxy,
    dial,
    ...first,
    async [Symbol.asyncDispose]() {
      first.near.socket.destroy()
      await proxy[Symbol.asyncDispose]()
      for (const end of [first.far, ...accepted]) end.socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const text = (bytes: number) => Buffer.alloc(bytes, Buffer.from(Array.from({ length: 251 }, (_, i) => i)))
const arrives = (end: End, bytes: number) => until(() => end.byteCount >= bytes, { what: `${bytes} bytes arrive` })

test('in calm weather everything arrives both ways, and the end of one direction leaves the other open', async () => {
  await using way = await connected()
  way.near.socket.end(text(1_000_000))
  await until(() => way.far.state === 'finished', { what: 'the end arrives' })
  expect(way.far.bytes.equals(text(1_000_000))).toBe(true)
  way.far.socket.end(text(500_000))
  await until(() => way.near.state === 'finished', { what: 'the other end arrives' })
  expect(way.near.bytes.equals(text(500_000))).toBe(true)
  await until(() => way.proxy.openConnections === 0, { what: 'the proxy lets go of it' })
  expect(way.proxy.counters).toMatchObject({ connections: 1, resets: 0, cuts: 0, up: { bytes: 1_000_000 }, down: { bytes: 500_000 } })
})

test('a delay with jitter holds bytes back at least as long, and keeps their order', async () => {
  await using way = await connected({ delayMs: 100, jitterMs: 50 })
  const startedAtMs = performance.now()
  for (let i = 0; i < 20; i += 1) {
    way.near.socket.write(Buffer.of(i))
    await new Promise(setImmediate)
  }
  await arrives(way.far, 1)
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(99)
  await arrives(way.far, 20)
  expect(way.far.bytes).toEqual(Buffer.from(Array.from({ length: 20 }, (_, i) => i)))
  expect(way.proxy.counters.up.delayed).toBeGreaterThan(0)
  expect(way.proxy.counters.down.delayed).toBe(0)
})

test('a rate is shared by all connections of a direction, and can be lifted while bytes wait', async () => {
  await using way = await connected()
  const second = await way.dial()
  way.proxy.set('up', { bytesPerSecond: 100_000 })
  const startedAtMs = performance.now()
  for (const { near } of [way, second]) near.socket.write(text(2_000_000))
  await until(() => way.far.byteCount + second.far.byteCount >= 30_000, { what: 'some has come' })
  const passed = way.far.byteCount + second.far.byteCount
  // What is saved up is at most one more burst.
  expect(passed).toBeLessThanOrEqual(100_000 * ((performance.now() - startedAtMs) / 1_000 + 0.05) + 1)
  expect(way.proxy.counters.up.throttled).toBeGreaterThan(0)
  way.proxy.set('up', { bytesPerSecond: Number.POSITIVE_INFINITY })
  for (const { far } of [way, second]) await arrives(far, 2_000_000)
  expect(second.far.bytes.equals(text(2_000_000))).toBe(true)
  second.near.socket.destroy()
})

test('a blackhole swallows one direction, ends included, presses on the sender, and gives everything back afterwards', async () => {
  await using way = await connected()
  way.proxy.set('up', { isBlackhole: true })
  const all = text(20_000_000)
  way.near.socket.end(all)
  way.far.socket.write('down')
  await arrives(way.near, 4)
  await until(() => way.proxy.counters.up.blackholed > 0, { what: 'something is held' })
  await until(() => way.near.socket.writableLength > 0, { what: 'the sender cannot get rid of it' })
  expect(way.far.byteCount).toBe(0)
  way.proxy.set('up', { isBlackhole: false })
  await until(() => way.far.state === 'finished', { what: 'the end arrives' })
  expect(way.far.bytes.equals(all)).toBe(true)
})

test('a blackhole of both directions hides that the peer is gone', async () => {
  await using way = await connected({ isBlackhole: true })
  way.far.socket.resetAndDestroy()
  way.near.socket.write('is anybody there')
  await until(() => way.proxy.counters.up.blackholed > 0, { what: 'something is held' })
  expect(way.near.state).toBe('open')
  way.proxy.set('both', { isBlackhole: false })
  await until(() => way.near.state === 'reset', { what: 'it shows' })
})

test('a reset is a reset on both sides, for every connection there is; the next one goes through', async () => {
  await using way = await connected()
  const second = await way.dial()
  expect(way.proxy.reset()).toBe(2)
  for (const end of [way.near, way.far, second.near, second.far]) await until(() => end.state === 'reset', { what: 'it is reset' })
  await until(() => way.proxy.openConnections === 0, { what: 'the proxy lets go of them' })
  expect(way.proxy.counters).toMatchObject({ connections: 2, resets: 2 })
  const third = await way.dial()
  third.near.socket.write('again')
  await arrives(third.far, 5)
  third.near.socket.destroy()
})

test('a half-close ends one direction and lets the other go on', async () => {
  await using way = await connected()
  way.proxy.halfClose('up')
  await until(() => way.far.state === 'finished', { what: 'the target sees the end' })
  way.near.socket.write('goes nowhere')
  way.far.socket.write('still there')
  await arrives(way.near, 11)
  expect([way.near.state, way.far.byteCount, way.proxy.counters.halfCloses]).toEqual(['open', 0, 1])
})

test('a cut comes after exactly so many bytes, for every connection anew', async () => {
  await using way = await connected({ cutAfterBytes: 70_001 })
  const second = await way.dial()
  for (const { near, far } of [way, second]) {
    near.socket.write(text(200_000))
    await until(() => far.state === 'reset' && near.state === 'reset', { what: 'both ends are reset' })
    expect(far.bytes.equals(text(70_001))).toBe(true)
  }
  expect(way.proxy.counters.cuts).toBe(2)
})

test('slices are small, of sizes that the seed decides, and lose nothing', async () => {
  const sizes = async (seed: number) => {
    await using way = await connected({ sliceBytes: 5 }, seed)
    way.near.socket.write(text(300))
    await arrives(way.far, 300)
    expect(way.far.bytes.equals(text(300))).toBe(true)
    return way.proxy.counters.up.writes
  }
  const writes = await sizes(1)
  expect(writes).toBeGreaterThanOrEqual(300 / 5)
  expect(await sizes(1)).toBe(writes)
})

test('a target that refuses is a connection that ends, and one that has moved is found', async () => {
  await using way = await connected()
  const { port } = way.proxy
  await using other = await connected()
  const move = (proxy: ChaosProxy, to: number) => proxy.moveTo(to)
  move(way.proxy, 1)
  await until(() => way.near.state === 'reset', { what: 'the old connection is cut' })
  const refused = new End(connect(port, '127.0.0.1'))
  await until(() => refused.socket.destroyed, { what: 'it is refused' })
  move(way.proxy, other.proxy.port)
  const moved = new End(connect(port, '127.0.0.1'))
  moved.socket.write('hello')
  await until(() => other.proxy.counters.up.bytes === 5, { what: 'it arrives elsewhere' })
  moved.socket.destroy()
})

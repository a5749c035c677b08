/** Batches on their way to a server that answers as it is told: stored once or rejected, in bounded memory, in bounded time. */
import { afterEach, expect, test } from 'vitest'
import { InfluxTarget } from '../../../collector/sinks/influx/influx-target.ts'
import { type Chunk, InfluxWriter, type InfluxWriterOptions } from '../../../collector/sinks/influx/influx-writer.ts'
import type { Reject } from '../../../collector/sinks/influx/reject-file.ts'
import { type Answer, ScriptedInflux, stored, type TakenRequest } from '../../support/scripted-influx.ts'
import { until } from '../../support/until.ts'

const opened: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

interface NumberedChunk extends Chunk {
  readonly from: number
}

function chunkOf(from: number, count: number, lineOf: (n: number) => string = lineText): NumberedChunk {
  return { from, count, bytes: count * 20, lines: () => Array.from({ length: count }, (_, i) => lineOf(from + i)) }
}

const lineText = (n: number) => `m,host=a n=${n} ${n + 1}`

async function writerTo(more: Partial<InfluxWriterOptions<NumberedChunk>> & { timeoutMs?: number } = {}) {
  const server = await ScriptedInflux.start()
  const target = new InfluxTarget(
    {
      ...{ url: server.url, version: '2', org: 'a', bucket: 'b', database: undefined, retentionPolicy: undefined, gzip: true },
      ...{ token: undefined, user: undefined, password: undefined, timeoutMs: more.timeoutMs ?? 2_000 },
    },
    more.inFlight ?? 1,
  )
  const done: { from: number; lines: number; rejected: number }[] = []
  const rejects: Reject[] = []
  const told: string[] = []
  const writer = new InfluxWriter<NumberedChunk>({
    target,
    where: 'there',
    inFlight: 1,
    batch: { linesMax: 10, bytesMax: 1_000_000, lingerMs: 10 },
    queue: { linesMax: 1_000, bytesMax: 1_000_000 },
    done: ({ from }, lines, rejected) => done.push({ from, lines, rejected }),
    moved() {},
    waiting: () => 1_234,
    reject: async (lines) => void rejects.push(...lines),
    onTrouble: (message) => told.push(message),
    random: () => 0,
    ...more,
  })
  opened.push(server, {
    async [Symbol.asyncDispose]() {
      await writer.close(0)
      target.close()
    },
  })
  return { server, writer, done, rejects, told }
}

/** Answers in order, and then well. */
function inOrder(...answers: readonly Answer[]) {
  return (_request: TakenRequest, number: number) => answers[number] ?? stored
}

const status = (code: number, headers?: Record<string, string>, body = ''): Answer => ({
  kind: 'status',
  status: code,
  body,
  ...(headers && { headers }),
})

test('chunks are put together into batches, and done in order once the server has them', async () => {
  const { server, writer, done } = await writerTo()
  for (let n = 0; n < 40; n += 4) writer.offer(chunkOf(n, 4))
  await until(() => done.length === 10, { what: 'all is done' })
  expect(done.map(({ from }) => from)).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 32, 36])
  expect(server.requests.map(({ lines }) => lines.length)).toEqual([8, 8, 8, 8, 8])
  expect(writer.status()).toMatchObject({ requests: 5, retries: 0, rejected: 0, error: undefined, lastError: undefined })
  expect(writer.status().bytesWritten).toBe(server.requests.reduce((sum, { lines }) => sum + lines.join('\n').length, 0))
})

test('a chunk larger than a batch is one of its own', async () => {
  const { server, writer, done } = await writerTo()
  writer.offer(chunkOf(0, 25))
  writer.offer(chunkOf(25, 1))
  await until(() => done.length === 2, { what: 'all is done' })
  expect(server.requests.map(({ lines }) => lines.length)).toEqual([25, 1])
})

test.each([
  ['500', [status(500)]],
  ['503', [status(503)]],
  ['429 with seconds', [status(429, { 'retry-after': '0' })]],
  ['429 with a date that is past', [status(429, { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' })]],
  ['429 with nonsense', [status(429, { 'retry-after': '-5' })]],
  ['a reset', [{ kind: 'slam' }]],
  ['a reset in the middle of an answer', [{ kind: 'reset', status: 503 }]],
  ['several of them', [{ kind: 'slam' }, status(500), status(503), status(429)]],
  ['401', [status(401)]],
  ['403', [status(403)]],
  ['404', [status(404)]],
  ['a redirect', [status(302, { location: 'http://127.0.0.1:1/' })]],
] as const)('after %s the same lines are sent again, told once when it begins and once when it ends', async (_what, answers) => {
  const { server, writer, done, told } = await writerTo()
  server.answer = inOrder(...(answers as readonly Answer[]))
  writer.offer(chunkOf(0, 10))
  await until(() => done.length === 1, { what: 'it is done' })
  expect(server.requests).toHaveLength(answers.length + 1)
  for (const { lines } of server.requests) expect(lines).toEqual(chunkOf(0, 10).lines())
  expect(done).toEqual([{ from: 0, lines: 10, rejected: 0 }])
  expect(told).toHaveLength(2)
  expect(told[0]).toMatch(/^there(?:: .* it keeps trying| refuses what it is sent: .* Somebody has to look at it)/)
  expect(told[1]).toMatch(/^writing to there again after .*, in which (?:one request|\d requests) failed; 1,234 records waited$/)
  expect(writer.status()).toMatchObject({ retries: answers.length, error: undefined })
  expect(writer.status().lastError?.atMs).toBeLessThanOrEqual(Date.now())
})

test('a server that took the lines and never said so gets them again; they are the same points', async () => {
  const { server, writer, done } = await writerTo({ timeoutMs: 200 })
  server.answer = inOrder({ kind: 'hang', isStored: true }, { kind: 'reset', status: 200, isStored: true })
  writer.offer(chunkOf(0, 10))
  await until(() => done.length === 1, { what: 'it is done' })
  expect(server.requests).toHaveLength(3)
  expect([...server.stored.keys()]).toEqual(chunkOf(0, 10).lines())
})

test('while a server says when to come back, it is not asked before', async () => {
  const { server, writer, done } = await writerTo()
  server.answer = inOrder(status(503, { 'retry-after': '1' }))
  writer.offer(chunkOf(0, 10))
  await until(() => server.requests.length === 1, { what: 'it is asked' })
  const askedAtMs = performance.now()
  await until(() => done.length === 1, { what: 'it is done' })
  expect(performance.now() - askedAtMs).toBeGreaterThan(900)
})

test('413 halves, down to a line that is too long for itself', async () => {
  const { server, writer, done, rejects } = await writerTo()
  server.answer = ({ lines }) => (lines.join('\n').length > 60 ? status(413, {}, 'too large') : stored)
  const long = (n: number) => (n === 3 ? `m,host=a n=${n},s="${'x'.repeat(100)}" ${n}` : lineText(n))
  writer.offer(chunkOf(0, 10, long))
  await until(() => done.length === 1, { what: 'it is done' })
  expect(done).toEqual([{ from: 0, lines: 10, rejected: 1 }])
  expect(rejects).toEqual([{ line: long(3), reason: '413 too large' }])
  expect([...server.stored]).toEqual(
    chunkOf(0, 10)
      .lines()
      .filter((_, n) => n !== 3)
      .map((line) => [line, 1]),
  )
})

test.each([400, 422])('%i bisects to the bad lines; the good ones are stored, the bad ones kept with the reason', async (code) => {
  const { server, writer, done, rejects, told } = await writerTo({ batch: { linesMax: 100, bytesMax: 1_000_000, lingerMs: 10 } })
  const isBad = (line: string) => / n=(?:3|40|41|99) /.test(line)
  // As 1.x does it: what is good of a bad batch is stored all the same.
  server.answer = ({ lines }) => {
    const bad = lines.filter(isBad)
    if (bad.length === 0) return stored
    server.store(lines.filter((line) => !isBad(line)))
    return status(code, {}, `partial write: dropped=${bad.length}`)
  }
  for (let n = 0; n < 100; n += 5) writer.offer(chunkOf(n, 5))
  await until(() => done.length === 20, { what: 'all is done' })
  expect(rejects.map(({ line }) => line)).toEqual([3, 40, 41, 99].map(lineText))
  expect(rejects[0]?.reason).toBe(`${code} partial write: dropped=1`)
  expect(done.filter(({ rejected }) => rejected > 0)).toEqual([
    { from: 0, lines: 5, rejected: 1 },
    { from: 40, lines: 5, rejected: 2 },
    { from: 95, lines: 5, rejected: 1 },
  ])
  expect([...server.stored.keys()].sort()).toEqual(
    chunkOf(0, 100)
      .lines()
      .filter((line) => !isBad(line))
      .sort(),
  )
  expect(writer.status()).toMatchObject({ rejected: 4, retries: 0 })
  expect(told).toEqual([])
})

test('a batch of which the server says that all of it was dropped is not asked about line by line', async () => {
  const { server, writer, done, rejects } = await writerTo()
  server.answer = ({ lines }) => status(400, {}, `points beyond retention policy dropped=${lines.length}`)
  writer.offer(chunkOf(0, 10))
  await until(() => done.length === 1, { what: 'it is done' })
  expect(server.requests).toHaveLength(1)
  expect(rejects).toHaveLength(10)
})

test('an outage in the middle of a bisection ends, and every line has one end', async () => {
  const { server, writer, done, rejects } = await writerTo()
  server.answer = ({ lines }, number) =>
    number % 3 === 2 ? status(503) : lines.some((line) => line.includes(' n=7 ')) ? status(400) : stored
  writer.offer(chunkOf(0, 10))
  await until(() => done.length === 1, { what: 'it is done' })
  expect(rejects.map(({ line }) => line)).toEqual([lineText(7)])
  expect(server.stored.size).toBe(9)
})

test('one request at a time unless told otherwise; while one fails, only it asks', async () => {
  for (const inFlight of [1, 3]) {
    const { server, writer, done } = await writerTo({ inFlight })
    let [open, most] = [0, 0]
    server.answer = async () => {
      open += 1
      most = Math.max(most, open)
      await new Promise((resolve) => setTimeout(resolve, 20))
      open -= 1
      return stored
    }
    for (let n = 0; n < 120; n += 10) writer.offer(chunkOf(n, 10))
    await until(() => done.length === 12, { what: 'all is done' })
    expect(most).toBe(inFlight)
  }
})

test('it is full by lines and by bytes, those on their way included', async () => {
  const { server, writer } = await writerTo({ queue: { linesMax: 100, bytesMax: 1_000_000 } })
  server.answer = () => ({ kind: 'hang' })
  for (let n = 0; n < 90; n += 10) writer.offer(chunkOf(n, 10))
  await until(() => server.requests.length === 1, { what: 'it sends' })
  expect(writer.isFull).toBe(false)
  writer.offer(chunkOf(90, 10))
  expect(writer.isFull).toBe(true)
  expect(writer.pendingBytes).toBe(100 * 20)
  const other = await writerTo({ queue: { linesMax: 10_000, bytesMax: 1_000 } })
  other.server.answer = () => ({ kind: 'hang' })
  for (let n = 0; n < 50; n += 10) other.writer.offer(chunkOf(n, 10))
  expect(other.writer.isFull).toBe(true)
})

test('asked to ask now, it does not wait for the time it was told', async () => {
  const { server, writer, done } = await writerTo()
  server.answer = inOrder(status(503, { 'retry-after': '300' }))
  writer.offer(chunkOf(0, 10))
  await until(() => writer.status().retries === 1, { what: 'it waits' })
  writer.retryNow()
  await until(() => done.length === 1, { what: 'it is done' })
})

test.each([{ kind: 'hang' }, status(503, { 'retry-after': '300' }), status(401)] as const)(
  'closed before a server that answers %j has taken them, lines are not done; the end is in time',
  async (answer) => {
    const { server, writer, done } = await writerTo({ timeoutMs: 60_000 })
    server.answer = () => answer
    writer.offer(chunkOf(0, 10))
    await until(() => server.requests.length > 0, { what: 'it is asked' })
    const atMs = performance.now()
    await writer.close(200)
    expect(performance.now() - atMs).toBeLessThan(2_000)
    await until(() => [...server.sockets].every((socket) => socket.destroyed) || answer.kind !== 'hang', { what: 'no request is left' })
    expect(done).toEqual([])
  },
)

test('closed, it sends what waits to be enough for a batch', async () => {
  const { server, writer, done } = await writerTo({ batch: { linesMax: 1_000, bytesMax: 1_000_000, lingerMs: 60_000 } })
  writer.offer(chunkOf(0, 3))
  await writer.close(2_000)
  expect(server.stored.size).toBe(3)
  expect(done).toEqual([{ from: 0, lines: 3, rejected: 0 }])
})

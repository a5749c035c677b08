/** What docs/WIRE.md says, held against the sources; and its clients, run as they stand there. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { decode } from '@msgpack/msgpack'
import { describe, expect, test } from 'vitest'
import { XSubscriber } from 'zeromq'
import { type DecodedFrame, decodeFrame, frameKinds } from '../../wire/frame.ts'
import * as limits from '../../wire/limits.ts'
import { readManifest } from '../../wire/manifest.ts'
import { openSocket, privateContext } from '../../wire/socket.ts'
import { lossReasons, repairingPolicy, StreamLedger } from '../../wire/stream-ledger.ts'
import { parseTopic } from '../../wire/topic.ts'

const document = readFileSync(new URL('../../docs/WIRE.md', import.meta.url), 'utf8')

function section(title: string): string {
  const [, behind] = document.split(new RegExp(`^#{2,3} ${title}$`, 'm'))
  if (behind === undefined) throw new Error(`docs/WIRE.md has no section "${title}"`)
  return behind.split(/^#{2,3} /m)[0] ?? ''
}

/** Rows of the section's first table, without head, cells as text. */
function rows(title: string): string[][] {
  const lines = section(title)
    .split('\n')
    .filter((line) => line.startsWith('|'))
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

function exampleIn(title: string, language: string): string {
  const code = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(section(title))?.[1]
  if (code === undefined) throw new Error(`no ${language} example under "${title}"`)
  return code
}

interface Received {
  readonly topic: string
  readonly frame: DecodedFrame
  readonly raw: Buffer
}

/** Runs a client against a bound receiver that wants logs, until its final manifest has come; then waits for its end. */
async function runClient(
  command: string,
  args: readonly string[],
): Promise<{ received: Received[]; exitCode: number | null; stderr: string }> {
  const receiver = openSocket(privateContext(), XSubscriber, { maxMessageSize: limits.frameBytesMax, receiveTimeout: 20_000 })
  for (const prefix of ['log.', 'sys.', 'sys.run.test.']) await receiver.send(Buffer.from(`\u0001${prefix}`, 'latin1'))
  await receiver.bind('tcp://127.0.0.1:*')
  const child = spawn(command, args, {
    cwd: new URL('../..', import.meta.url),
    env: { ...process.env, SPILLWAY_COLLECTOR: receiver.lastEndpoint ?? '' },
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const exit = once(child, 'exit')
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const received: Received[] = []
  try {
    for (let isFinal = false; !isFinal; ) {
      const [topic, raw, ...rest] = await receiver.receive()
      if (topic === undefined || raw === undefined || rest.length > 0) throw new Error('expected two parts')
      const decoded = decodeFrame(raw)
      if (!decoded.ok) throw new Error(`the client's frame was refused: ${decoded.fault}`)
      received.push({ topic: topic.toString('latin1'), frame: decoded.frame, raw })
      isFinal = decoded.frame.kind === frameKinds.manifest && readManifest(decoded.frame.body)?.final === true
    }
    const [exitCode] = (await exit) as [number | null]
    return { received, exitCode, stderr }
  } catch (error) {
    throw new Error(`the client said: ${stderr}`, { cause: error })
  } finally {
    receiver.close()
    child.kill('SIGKILL')
  }
}

async function checkClient(command: string, args: readonly string[]): Promise<void> {
  const { received, exitCode, stderr } = await runClient(command, args)
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  expect(received.map(({ topic }) => parseTopic(topic)?.kind)).toEqual(['log', 'log', 'sys'])
  const [first, second, last] = received
  expect(`${first?.frame.body}${second?.frame.body}`.split('\n').map((line) => line && JSON.parse(line).msg)).toEqual([
    'first',
    'second',
    'third',
    '',
  ])
  // Another decoder sees the same heads.
  for (const { frame, raw } of received) {
    expect((decode(raw) as unknown[]).slice(0, 6)).toEqual([1, frame.origin, frame.seq, frame.count, frame.time, frame.kind])
    expect(frame.origin).toBe(first?.frame.origin)
  }
  // Its books close: all it accepted has been received.
  const manifest = readManifest(last?.frame.body ?? Buffer.alloc(0))
  const [numbers] = manifest?.topics.values() ?? []
  if (numbers === undefined) throw new Error('the manifest names no topic')
  expect([...(manifest?.topics.keys() ?? [])]).toEqual([first?.topic])
  expect(manifest?.who?.pid).toBeGreaterThan(0)
  const ledger = new StreamLedger(numbers.resume, repairingPolicy)
  for (const { frame } of received.slice(0, 2)) ledger.receive(frame.seq, frame.count, 0)
  ledger.announce(numbers, 0)
  expect(ledger).toMatchObject({ accepted: 3, received: 3, duplicates: 0, hasHoles: false, frontier: 3 })
}

describe('the clients', () => {
  test('in Node: sends frames that are read, and ends by itself', async () => {
    await checkClient(process.execPath, ['--input-type=module', '--eval', exampleIn('A client in Node', 'js')])
  })

  test('take about 30 lines', () => {
    for (const code of [exampleIn('A client in Node', 'js')]) {
      const written = code.split('\n').filter((line) => line.trim() !== '' && !/^\s*(?:\/\/|#)/.test(line))
      expect(written.length).toBeLessThanOrEqual(32)
    }
  })
})

describe('the numbers and lists', () => {
  test('limits are those of the sources', () => {
    const table = rows('Limits')
    expect(table.length).toBeGreaterThan(10)
    for (const [name = '', value = ''] of table) {
      expect({ name, value: (limits as Record<string, unknown>)[name] }).toEqual({ name, value: Number(value.replaceAll(',', '')) })
    }
  })

  test('reasons for loss are those of the sources, in their order', () => {
    expect(rows('Why records are lost').map(([reason]) => reason)).toEqual([...lossReasons])
  })

  test('faults are those the vectors and the decoder know', () => {
    const badFrames = JSON.parse(readFileSync(new URL('vectors/bad-frames.json', import.meta.url), 'utf8')) as { fault: string }[]
    expect(new Set(rows('Faults').map(([fault]) => fault))).toEqual(new Set([...badFrames.map(({ fault }) => fault), 'points', 'too_long']))
  })

  test('kinds are those of the sources', () => {
    const kinds = section('Frames').match(/^\| (\d) (\w+) \|/gm) ?? []
    expect(kinds.map((row) => row.replaceAll('|', '').trim())).toEqual(
      Object.entries(frameKinds).map(([name, number]) => `${number} ${name}`),
    )
  })

  test('times are those of the sources', () => {
    const text = document.replaceAll('\n', ' ')
    expect(text).toContain(`in **grace** for ${limits.holeGraceMs} ms`)
    expect(text).toContain(`waits ${2 * limits.holeGraceMs} ms`)
    expect(text).toContain(`waiting ${limits.repairTimeoutMs} ms after the first request`)
    expect(text).toContain(`within ${limits.repairLingerMs} ms is not sent twice`)
    expect(text).toContain(`every ${limits.fullManifestEveryMs / 1_000} s`)
    expect(limits.manifestDelaysMs).toEqual([50, 200, 1_000, 2_000])
    expect(limits.repairAttemptsMax).toBe(5)
  })
})

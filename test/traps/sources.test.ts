/** Traps that a source can be seen to avoid, held against the sources as they are. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../support/processes.ts'

const folders = ['wire', 'agent', 'transports', 'collector', 'dashboards', 'cli']
const sources = new Map(
  folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name): [string, string] => [join(folder, name), withoutComments(readFileSync(join(root, folder, name), 'utf8'))]),
  ),
)

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
}

/** Files in which a pattern is found, with what was found. */
function found(pattern: RegExp, within: ReadonlyMap<string, string> = sources): [string, string[]][] {
  return [...within]
    .map(([file, source]): [string, string[]] => [file, source.match(pattern) ?? []])
    .filter(([, matches]) => matches.length > 0)
}

const inAgent = new Map([...sources].filter(([file]) => file.startsWith('agent')))
const socketTypes = 'Publisher|Subscriber|XPublisher|XSubscriber|Push|Pull|Pair|Dealer|Router|Request|Reply|Stream'

test('every socket is built by openSocket, which sets a keep-alive and a bound for messages', () => {
  expect(found(new RegExp(`new (?:${socketTypes})\\b`, 'g'))).toEqual([])
  expect(found(/new type\(/g).map(([file]) => file)).toEqual(['wire/socket.ts'])
  const calls = found(/openSocket\([^;]*?\)\n/g).flatMap(([file, matches]) => matches.map((call) => ({ file, call })))
  // Two of the agent's links, and one for each of the collector's channels.
  expect(calls.filter(({ file }) => file === 'agent/link-sockets.ts')).toHaveLength(2)
  expect(calls.filter(({ file }) => file.startsWith('collector/')).length).toBeGreaterThanOrEqual(3)
  for (const { file, call } of calls) expect(`${file}: ${call}`).toContain('maxMessageSize:')
  expect(found(/\bopenSocket\(/g).reduce((total, [, matches]) => total + matches.length, 0)).toBe(calls.length)
})

test('the global context is never used: there is one private one for each agent, collector and tail', () => {
  expect(found(/new Context\b/g).map(([file]) => file)).toEqual(['wire/socket.ts'])
  expect(found(/import \{[^}]*\bcontext\b[^}]*\} from 'zeromq'/g)).toEqual([])
  expect(found(/privateContext\(\)/g).map(([file]) => file)).toEqual(
    expect.arrayContaining(['agent/link-sockets.ts', 'collector/collector.ts']),
  )
})

test('the native proxy, which blocks both sockets, is not used', () => {
  expect(found(/import \{[^}]*\bProxy\b[^}]*\} from 'zeromq'/g)).toEqual([])
})

test('in the agent no receive is ever pending: each comes after a look at `readable`, no observer, nothing awaited', () => {
  const lines = [...inAgent].flatMap(([file, source]) =>
    source.split('\n').map((line, i, all) => ({ file, line, context: `${all[i - 1] ?? ''}\n${line}` })),
  )
  const receives = lines.filter(({ line }) => /\.receive\(\)/.test(line))
  expect(receives.length).toBeGreaterThanOrEqual(4)
  expect(receives.filter(({ context }) => !context.includes('readable'))).toEqual([])
  expect(found(/await [^\n]*\.(?:receive|send)\(/g, inAgent)).toEqual([])
  expect(found(/for await/g, inAgent)).toEqual([])
  expect(found(/\.events\b/g, inAgent)).toEqual([])
  // And were one to find nothing, it would not wait.
  expect(found(/openSocket\([^;]*?receiveTimeout: 0[^;]*?\)\n/g, inAgent).flatMap(([, matches]) => matches)).toHaveLength(3)
})

test('data goes out in one place, at once or not at all, to one peer that refuses instead of dropping; to live tails in another', () => {
  expect(found(/\.send\(/g, inAgent).map(([file, matches]) => [file, matches.length])).toEqual([
    ['agent/bound-publisher.ts', 1],
    ['agent/link-sockets.ts', 1],
    ['agent/link.ts', 1],
    ['agent/tail-socket.ts', 1],
  ])
  const [, [data = ''] = []] = found(/openSocket\([^;]*?XPublisher[^;]*?\)\n/g, inAgent)[0] ?? []
  for (const option of ['sendTimeout: 0', 'noDrop: true', 'immediate: true', 'sendHighWaterMark:']) expect(data).toContain(option)
  const [tails = ''] = new Map(found(/openSocket\([^;]*?XPublisher[^;]*?\)\n/g, inAgent)).get('agent/tail-socket.ts') ?? []
  // With several tails a refusal would be that of the slowest.
  for (const option of ['sendTimeout: 0', 'sendHighWaterMark:']) expect(tails).toContain(option)
  expect(tails).not.toContain('noDrop')
})

test('every timer of the agent lets the process end, but for the one that flush and close wait with', () => {
  const timers = [...inAgent].flatMap(([file, source]) =>
    [...source.matchAll(/(?:(this\.#\w+|const (\w+)) = )?set(?:Timeout|Interval|Immediate)\(/g)].map((match) => ({
      file,
      source,
      at: match.index,
      name: match[2] ?? match[1],
    })),
  )
  expect(timers.length).toBeGreaterThanOrEqual(5)
  const kept = timers.filter(({ source, at, name }) => {
    const behind = source.slice(at, at + 250)
    if (/^[^\n]*\.unref\(\)/.test(behind)) return false
    return name === undefined || !source.includes(`${name}.unref()`)
  })
  // The end of a turn comes by itself; a promise that is awaited keeps the process for its short time.
  expect(
    kept
      .map(({ file, source, at }) => `${file}: ${source.slice(at, at + 60).split('\n')[0]}`)
      .filter((text) => !text.includes('setImmediate(')),
  ).toEqual([expect.stringContaining('setTimeout(resolve, ms)')])
})

test('the agent asks its runtime for time, timers and randomness, so that it can be driven step by step', () => {
  // The wait at the process's end, printing in the last resort, and measuring the process are the runtime's own.
  const atTheEdge = ['agent/exit.ts', 'agent/metrics/process-metrics.ts', 'agent/print-lines.ts', 'agent/process-runtime.ts']
  const sockets = ['agent/link-sockets.ts', 'agent/tail-socket.ts']
  const driven = new Map([...inAgent].filter(([file]) => !atTheEdge.includes(file) && !sockets.includes(file)))
  expect(driven.size).toBeGreaterThan(20)
  expect(
    found(
      /\b(?:performance\.now|Date\.now|new Date\(\)|set(?:Timeout|Interval|Immediate)|queueMicrotask|Math\.random|randomBytes)\b/g,
      driven,
    ),
  ).toEqual([])
  expect(found(/from 'zeromq'/g, inAgent).map(([file]) => file)).toEqual(sockets)
  expect(found(/\bprocessRing\b/g, driven).map(([file]) => file)).toEqual(['agent/ring.ts', 'agent/shared.ts'])
})

/**
 * `npm run demo [-- --for 10s]`
 *
 *   customers ──HTTP──► shop.mjs ──log lines──► spillway collector ──► files
 *   (autocannon)           │                            └────────────► spillway tail
 *                          └─ its own count ─► the books at the end
 *
 * Two parts: a few customers, so that the live tail can be read, then as many as the machine serves. At the end the
 * shop's own count of lines, the collector's, and that of the files have to be the same; if not, the exit code is 1.
 */
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdirSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
// @ts-expect-error: autocannon brings no types.
import autocannon from 'autocannon'

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/** @typedef {{ accepted: number, delivered: number, lost: number }} Books */

const calmPart = 0.4
const calmSecondsMax = 4
const calmLoad = { connections: 2, overallRate: 12 }
const rushLoad = { connections: 40 }
const requests = [
  { method: 'GET', path: '/' },
  { method: 'GET', path: '/items/kettle' },
  { method: 'POST', path: '/orders', body: '{"item":"kettle","count":1}' },
  { method: 'POST', path: '/orders', body: '{"item":"cup","count":6}' },
]

const spillway = fileURLToPath(new URL('../dist/cli/spillway.cjs', import.meta.url))
const shopFile = fileURLToPath(new URL('shop.mjs', import.meta.url))

/** Aborted by Ctrl-C and by a child that fails; whatever is being waited for then ends. */
const stop = new AbortController()
/** @type {ChildProcess[]} */
const children = []

process.on('SIGINT', () => stop.abort(new Error('stopped by Ctrl-C')))
process.on('SIGTERM', () => stop.abort(new Error('stopped by SIGTERM')))

try {
  const isSound = await demo(readSeconds())
  process.exitCode = isSound ? 0 : 1
} catch (error) {
  const cause = stop.signal.aborted ? stop.signal.reason : error
  process.stderr.write(`demo: ${cause instanceof Error ? cause.message : cause}\n`)
  process.exitCode ??= 1
} finally {
  // The shop before the collector it logs to.
  for (const child of children.toReversed()) await end(child)
}

/** @param {number} seconds @returns {Promise<boolean>} Whether the books add up. */
async function demo(seconds) {
  const folder = join('spillway-data', 'demo', new Date().toISOString().replaceAll(':', '.'))
  mkdirSync(folder, { recursive: true })

  say('The collector')
  const collector = run('collector', ['--dir', folder, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'], 'pipe')
  const { data, control, tail, http } = await readAddresses(collector)

  const shop = watch('shop', fork(shopFile, { env: { ...process.env, SPILLWAY_COLLECTOR: data, SPILLWAY_CONTROL: control } }))
  const { url } = await nextMessage(shop)

  const calmSeconds = Math.min(Math.ceil(calmPart * seconds), calmSecondsMax)
  say(`A few customers in the shop at ${url}, and \`spillway tail\` for ${calmSeconds} s`)
  const tailing = once(run('tail', ['--connect', tail, '--pretty', '--for', `${calmSeconds}s`], 'inherit'), 'exit')
  const calm = await visit(url, calmSeconds, calmLoad)
  await tailing

  say(`A rush of customers for ${seconds - calmSeconds} s`)
  const rush = await visit(url, seconds - calmSeconds, rushLoad)
  console.log(`${count(rush.answered)} requests answered`)

  say('The end')
  shop.kill('SIGTERM')
  const { stats } = await nextMessage(shop)
  const written = Object.entries(/** @type {import('spillway').AgentStats} */ (stats).topics)
    .filter(isOfLines)
    .reduce((sum, [, { accepted }]) => sum + accepted, 0)
  await once(shop, 'exit', { signal: stop.signal })
  const books = await readBooks(http)
  collector.kill('SIGTERM')
  await once(collector, 'exit', { signal: stop.signal })
  const files = await countLines(join(folder, 'logs'))

  const isSound = written > 0 && books.lost === 0 && [books.accepted, books.delivered, files.lines].every((n) => n === written)
  say(isSound ? 'The books add up' : 'The books do NOT add up')
  table([
    ['requests answered by the shop', calm.answered + rush.answered],
    ['log lines the shop wrote, by its own count', written],
    ['  accepted by the collector', books.accepted],
    ['  delivered', books.delivered],
    ['  lost', books.lost],
    ['  in the files, counted by reading them', files.lines],
  ])
  console.log(
    `\nThe files (${count(Math.ceil(files.bytes / 1_000))} kB; delete them as you like):\n${files.paths.map((path) => `  ${path}`).join('\n')}`,
  )
  return isSound
}

function readSeconds() {
  const { values } = parseArgs({ options: { for: { type: 'string', default: '10s' } } })
  const match = /^(\d{1,4})(s|m)$/.exec(values.for)
  const seconds = Number(match?.[1]) * (match?.[2] === 'm' ? 60 : 1)
  if (seconds >= 2) return seconds
  process.exitCode = 2
  throw new Error(`--for: expected a duration from 2s, such as 10s or 5m; got ${JSON.stringify(values.for)}`)
}

// ── children ──

/** @param {string} command @param {string[]} args @param {'pipe' | 'inherit'} stdout */
function run(command, args, stdout) {
  return watch(command, spawn(process.execPath, [spillway, command, ...args], { stdio: ['ignore', stdout, 'inherit'] }))
}

/** @param {string} name @param {ChildProcess} child */
function watch(name, child) {
  children.push(child)
  child.on('exit', (code, signal) => {
    if (code !== 0) stop.abort(new Error(`${name} ended with ${signal ?? `exit code ${code}`}`))
  })
  return child
}

/** @param {ChildProcess} child */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 8_000)
  await once(child, 'exit')
  clearTimeout(timer)
}

/** The shop speaks twice: where it is, and at its end what it logged. @param {ChildProcess} shop */
async function nextMessage(shop) {
  const [message] = await once(shop, 'message', { signal: stop.signal })
  return message
}

/** Shows what the collector prints and reads its addresses from it: it took free ports. @param {ChildProcess} collector */
async function readAddresses(collector) {
  let screen = ''
  collector.stdout?.setEncoding('utf8').on('data', (text) => {
    screen += text
    process.stdout.write(text)
  })
  const address = (/** @type {string} */ name) => new RegExp(`^  ${name} +(\\S+)`, 'm').exec(screen)?.[1]
  while (address('http') === undefined) await sleep(20, undefined, { signal: stop.signal })
  const addresses = { data: address('data'), control: address('control'), tail: address('tail'), http: address('http') }
  return /** @type {Record<keyof typeof addresses, string>} */ (addresses)
}

// ── load ──

/** @param {string} url @param {number} seconds @param {object} load */
async function visit(url, seconds, load) {
  stop.signal.throwIfAborted()
  const visitors = autocannon({ url, duration: seconds, headers: { 'content-type': 'application/json' }, requests, ...load })
  stop.signal.addEventListener('abort', () => visitors.stop())
  const result = await visitors
  stop.signal.throwIfAborted()
  if (result.errors > 0) throw new Error(`${result.errors} requests had no answer`)
  return { answered: result.requests.total }
}

// ── books ──

/** @param {string} http @returns {Promise<Books>} */
async function readBooks(http) {
  const { origins } = /** @type {import('spillway/collector').CollectorStatus} */ (await (await fetch(http)).json())
  const topics = origins.flatMap((origin) =>
    Object.entries(origin.topics)
      .filter(isOfLines)
      .map(([, books]) => books),
  )
  return {
    accepted: topics.reduce((sum, { accepted }) => sum + accepted, 0),
    delivered: topics.reduce((sum, { delivered }) => sum + delivered, 0),
    lost: topics.flatMap(({ lost }) => Object.values(lost)).reduce((sum, records) => sum + records, 0),
  }
}

/** Books of log lines; the shop's metrics have topics of their own. @param {readonly [string, unknown]} entry */
function isOfLines([topic]) {
  return topic.startsWith('log.')
}

/** @param {string} folder */
async function countLines(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const paths = names.filter((name) => name.endsWith('.ndjson')).map((name) => join(folder, name))
  let [lines, bytes] = [0, 0]
  for (const path of paths) {
    for await (const chunk of createReadStream(path)) {
      bytes += chunk.length
      for (let at = chunk.indexOf('\n'); at !== -1; at = chunk.indexOf('\n', at + 1)) lines += 1
    }
  }
  return { lines, bytes, paths: paths.map((path) => relative('.', path)) }
}

// ── what is shown ──

/** @param {string} title */
function say(title) {
  console.log(`\n── ${title} ──\n`)
}

/** @param {[string, number][]} rows */
function table(rows) {
  for (const [what, records] of rows) console.log(`${what.padEnd(44)}${count(records).padStart(12)}`)
}

/** @param {number} records */
function count(records) {
  return records.toLocaleString('en')
}

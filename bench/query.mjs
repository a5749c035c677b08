// How long does a search over a week of kept lines take, and how long with zcat, grep and jq?
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, renameSync, statSync, utimesSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { median, paired, printTable, root, spread, usageOf } from './support.mjs'

const cli = join(root, 'dist/cli/main.js')
const services = ['checkout', 'cart', 'search', 'users', 'stock', 'mail', 'gateway', 'images']
const days = 7
const firstDay = Date.UTC(2026, 4, 25)
const dayMs = 86_400_000
const blockBytes = 1_048_576
const hourFrom = '2026-05-28T14:00:00Z'
const hourTo = '2026-05-28T15:00:00Z'
const condition = 'res.statusCode >= 500 && responseTime > 900'
const jqCondition = 'select(.res.statusCode >= 500 and .responseTime > 900)'

/** @param {{ rounds: number, queryLines?: number }} options */
export async function run({ rounds, queryLines = 4_194_304 }) {
  if (spawnSync('jq', ['--version']).error !== undefined) {
    console.log('\nbench query: jq is not installed; on Debian: apt-get install jq')
    return
  }
  const dir = keptWeek(queryLines)
  const files = services.flatMap((service) => readdirSync(join(dir, service)).map((name) => join(dir, service, name)))
  const bytes = files.reduce((sum, path) => sum + statSync(path).size, 0)
  console.log(
    `\n${queryLines.toLocaleString('en')} lines of 256 bytes in ${files.length} files, ${Math.round(bytes / 2 ** 20)} MiB as gzip`,
  )
  const query = (/** @type {readonly string[]} */ ...args) => ({
    name: `spillway query ${args.join(' ')}`,
    argv: [process.execPath, cli, 'query', '--dir', dir, ...args],
  })
  const shell = (/** @type {string} */ text) => ({ name: text.replaceAll(dir, 'logs'), argv: ['sh', '-c', `${text}; times >&2`] })
  const first = await measured(query('--count', '--where', 'nothing == 1').argv)
  console.log(
    `first query over all of it, which makes the indexes: ${(first.ms / 1000).toFixed(1)} s, peak ${Math.round(first.peakMiB)} MiB`,
  )
  const [since, until] = [Date.parse(hourFrom), Date.parse(hourTo)]
  const inHour = `select(.time >= ${since} and .time < ${until})`
  const sameDay = join(dir, 'checkout', '2026-05-28.ndjson.gz')
  const hour = [
    query('--service', 'checkout', '--since', hourFrom, '--until', hourTo),
    shell(`zcat ${dir}/*/*.gz | grep '"service":"checkout"' | jq -c '${inHour}'`),
    shell(`zcat ${sameDay} | jq -c '${inHour}'`),
  ]
  const scan = [query('--where', condition), shell(`zcat ${dir}/*/*.gz | jq -c '${jqCondition}'`)]
  const others = [
    query('--grep', 'declined-7777'),
    query('--stats', 'responseTime', '--by', 'service'),
    query('--every', '1h', '--csv'),
    query('--count', '--level', 'error'),
  ]
  const results = await paired([...hour, ...scan, ...others], rounds, (variant) => measured(variant.argv))
  const seconds = (/** @type {{argv: readonly string[]}} */ variant) =>
    (results.get(/** @type {any} */ (variant)) ?? []).map(({ ms }) => ms / 1000)
  const table = (/** @type {string} */ title, /** @type {typeof hour} */ variants) =>
    printTable(
      title,
      ['variant', 'seconds', '×', 'CPU seconds', 'peak MiB', 'lines out'],
      variants.map((variant) => [
        variant.name,
        spread(seconds(variant)),
        (median(seconds(variant)) / median(seconds(/** @type {any} */ (variants[0])))).toFixed(1),
        spread((results.get(variant) ?? []).map((result) => result.cpuSeconds)),
        Math.max(...(results.get(variant) ?? []).map(({ peakMiB }) => peakMiB)).toFixed(0),
        [...new Set((results.get(variant) ?? []).map(({ lines }) => lines))].join(' '),
      ]),
    )
  table('One service in one hour', hour)
  table('Every line against a condition', scan)
  table('Others', others)
}

/** A week of lines, made once. @param {number} lines */
function keptWeek(lines) {
  const dir = join(tmpdir(), `spillway-bench-query-${lines}`)
  if (existsSync(dir)) return dir
  const making = `${dir}.making-${process.pid}`
  const perFile = Math.floor(lines / services.length / days)
  let seed = 1
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return seed / 0x7fffffff
  }
  for (const service of services) {
    mkdirSync(join(making, service), { recursive: true })
    for (let day = 0; day < days; day += 1) {
      const path = join(making, service, `${new Date(firstDay + day * dayMs).toISOString().slice(0, 10)}.ndjson.gz`)
      const file = openSync(path, 'wx')
      let text = ''
      for (let i = 0; i < perFile; i += 1) {
        const time = firstDay + day * dayMs + Math.floor((i / perFile) * dayMs)
        const statusCode = random() < 0.01 ? 503 : random() < 0.1 ? 404 : 200
        const line = {
          level: statusCode === 503 ? 50 : random() < 0.02 ? 40 : 30,
          time,
          pid: 4711,
          hostname: 'web-1',
          service,
          reqId: Math.floor(random() * 2 ** 31).toString(36),
          req: { method: 'POST', url: `/${service}/${Math.floor(random() * 100_000)}` },
          res: { statusCode },
          responseTime: Math.round(random() ** 4 * 100_000) / 100,
          msg: `request ${random() < 0.001 ? 'declined' : 'completed'}-${Math.floor(random() * 10_000)}`,
        }
        const json = JSON.stringify(line)
        text += `${json.slice(0, -1)},"pad":"${reproducible(random, Math.max(1, 256 - json.length - 9))}"}\n`
        if (text.length < blockBytes - 300 && i < perFile - 1) continue
        // As the file sink does: every MiB a member of its own.
        writeSync(file, gzipSync(text))
        text = ''
      }
      closeSync(file)
      utimesSync(path, new Date(), new Date(Date.now() - 3_600_000))
    }
    process.stderr.write('.')
  }
  process.stderr.write('\n')
  renameSync(making, dir)
  return dir
}

/** @param {() => number} random @param {number} length */
function reproducible(random, length) {
  let text = ''
  while (text.length < length) text += Math.floor(random() * 2 ** 30).toString(36)
  return text.slice(0, length)
}

/** Time, processor time, memory and lines of a process. @param {readonly string[]} argv @returns {Promise<{ms: number, cpuSeconds: number, peakMiB: number, lines: number}>} */
async function measured([command = '', ...args]) {
  const started = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let lines = 0
  let words = ''
  let usage = { cpuSeconds: 0, peakMiB: 0 }
  const look = () => {
    try {
      const now = usageOf(child.pid)
      if (now.peakMiB > 0) usage = { cpuSeconds: now.cpuSeconds, peakMiB: Math.max(now.peakMiB, usage.peakMiB) }
    } catch {
      // It has ended.
    }
  }
  const timer = setInterval(look, 10)
  child.stderr.on('data', (/** @type {Buffer} */ chunk) => {
    words += chunk
  })
  child.stdout.on('data', (/** @type {Buffer} */ chunk) => {
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines += 1
  })
  await once(child, 'close')
  clearInterval(timer)
  // What the shell says of its children.
  const times = [...words.matchAll(/(\d+)m([\d.]+)s/g)].slice(-2)
  const cpuSeconds =
    command === 'sh' ? times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0) : usage.cpuSeconds
  return { ms: performance.now() - started, ...usage, cpuSeconds, lines }
}

// How fast do lines and points get into a database, and in how much memory while it is slow: Spillway's writer against the client's own WriteApi.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts, median, paired, printTable, root, runApp, spread, withTempDir } from './support.mjs'

/** @type {readonly Variant[]} */
const variants = [
  // Sends each batch as soon as it is full, however many are under way.
  { name: 'client', by: 'client', inFlight: 0 },
  { name: 'spillway', by: 'spillway', inFlight: 1 },
  { name: 'spillway, inFlight: 4', by: 'spillway', inFlight: 4 },
]
const seconds = 10

/** @param {{ rounds: number, lines: number }} options */
export async function run({ rounds, lines }) {
  const influxd = existsSync(join(root, 'test/.tools/influxd')) ? join(root, 'test/.tools/influxd') : 'influxd'
  for (const what of ['lines', 'points']) {
    const results = await paired(variants, rounds, (variant) =>
      withInfluxd(influxd, (url) => measureThroughput(url, { ...variant, what, count: lines })),
    )
    const rates = [...results.values()].map((found) => median(found.map(({ rate }) => rate)))
    printTable(
      `InfluxDB 1.x, ${lines.toLocaleString('en')} ${what === 'lines' ? 'raw lines' : 'points'}, gzip, batches of 5,000, ${rounds} rounds: median (min–max)`,
      ['writer', 'thousand a second', '× client', 'CPU s', 'peak RSS MiB', 'missing'],
      [...results].map(([{ name }, found], i) => [
        name,
        spread(
          found.map(({ rate }) => rate / 1e3),
          0,
        ),
        ((rates[i] ?? 0) / (rates[0] ?? 1)).toFixed(2),
        spread(found.map(({ cpu }) => cpu)),
        spread(
          found.map(({ peakMiB }) => peakMiB),
          0,
        ),
        String(Math.max(...found.map(({ missing }) => missing))),
      ]),
    )
  }
  const slow = await paired(variants, rounds, (variant) =>
    withSlowServer((url) => runApp('influx-writer.mjs', { ...variant, what: 'lines', url, count: 0, seconds })),
  )
  const peaks = [...slow].map(([{ name }, found]) => ({ name, peak: found.map(({ peakMiB }) => peakMiB) }))
  printTable(
    `A server that takes a second for each request, lines offered as fast as they are taken for ${seconds} s, ${rounds} rounds: median (min–max)`,
    ['writer', 'peak RSS MiB', '× client'],
    peaks.map(({ name, peak }) => [name, spread(peak, 0), (median(peak) / median(peaks[0]?.peak ?? [])).toFixed(2)]),
  )
}

/** @typedef {{ name: string, by: string, inFlight: number }} Variant */

/** @param {string} url @param {Variant & { what: string, count: number }} load */
async function measureThroughput(url, load) {
  const { startedAt, peakMiB, cpuSeconds } = await runApp('influx-writer.mjs', { ...load, url, seconds: 0 })
  // Both are timed to the moment at which their process has ended, all answered.
  const seconds = (Date.now() - startedAt) / 1_000
  await sleep(100)
  const query = new URLSearchParams({ db: 'bench', q: 'select count(value) from requests' })
  const answer = /** @type {any} */ (await (await fetch(`${url}/query?${query}`)).json())
  const stored = answer.results[0].series?.[0].values[0][1] ?? 0
  return { rate: load.count / seconds, cpu: cpuSeconds, peakMiB, missing: load.count - stored }
}

/** @template T @param {string} influxd @param {(url: string) => Promise<T>} use @returns {Promise<T>} */
function withInfluxd(influxd, use) {
  return withTempDir(async (dir) => {
    const port = await freePorts()
    const config = join(dir, 'influx.conf')
    mkdirSync(join(dir, 'meta'))
    writeFileSync(
      config,
      `reporting-disabled = true\nbind-address = "127.0.0.1:${port + 1}"\n[meta]\ndir = "${dir}/meta"\n[data]\ndir = "${dir}/data"\nwal-dir = "${dir}/wal"\n[monitor]\nstore-enabled = false\n[http]\nbind-address = "127.0.0.1:${port}"\nlog-enabled = false\n`,
    )
    const server = spawn(influxd, ['-config', config], { stdio: 'ignore' })
    const url = `http://127.0.0.1:${port}`
    try {
      for (let tries = 0; ; tries += 1) {
        const answer = await fetch(`${url}/query`, { method: 'POST', body: new URLSearchParams({ q: 'CREATE DATABASE bench' }) }).catch(
          () => undefined,
        )
        if (answer?.ok) break
        if (tries > 200) throw new Error(`${influxd} does not answer; the tests take it out of Debian's package influxdb`)
        await sleep(50)
      }
      return await use(url)
    } finally {
      server.kill('SIGKILL')
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
    }
  })
}

/** @template T @param {(url: string) => Promise<T>} use @returns {Promise<T>} */
async function withSlowServer(use) {
  const server = createServer((request, response) => {
    request.resume()
    setTimeout(() => response.writeHead(204).end(), 1_000)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  try {
    return await use(`http://127.0.0.1:${port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

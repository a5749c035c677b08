// What every bench needs: fresh processes, medians, a table, and the machine's name.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
const cli = join(root, 'dist/cli/spillway.cjs')

export const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; ${process.platform} ${process.arch}; Node ${process.version}`

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** `median (min–max)` with so many decimals. @param {readonly number[]} values @param {number} decimals */
export function spread(values, decimals = 2) {
  const text = (/** @type {number} */ value) => value.toFixed(decimals)
  return `${text(median(values))} (${text(Math.min(...values))}–${text(Math.max(...values))})`
}

/** @param {string} title @param {readonly string[]} columns @param {readonly (readonly string[])[]} rows */
export function printTable(title, columns, rows) {
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map((row) => (row[i] ?? '').length)))
  const line = (/** @type {readonly string[]} */ cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  console.log(`\n### ${title}\n`)
  console.log(line(columns))
  console.log(`|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`)
  for (const row of rows) console.log(line(row))
}

/** A folder that is gone when the callback is done. @template T @param {(dir: string) => Promise<T>} use @returns {Promise<T>} */
export async function withTempDir(use) {
  const dir = mkdtempSync(join(tmpdir(), 'spillway-bench-'))
  try {
    return await use(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Runs one of bench/apps in a process of its own; its last line of output is its result, as JSON.
 * @param {string} app @param {Record<string, unknown>} options @param {(child: import('node:child_process').ChildProcess) => void} [watch] */
export async function runApp(app, options, watch) {
  const child = spawn(process.execPath, [join(root, 'bench/apps', app), JSON.stringify(options)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  let output = ''
  let complaints = ''
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    complaints = (complaints + text).slice(-2_000)
  })
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  watch?.(child)
  const [code, signal] = await once(child, 'close')
  const last = output.trim().split('\n').at(-1) ?? ''
  if (code !== 0) throw new Error(`${app} ${JSON.stringify(options)} ended with ${code ?? signal}: ${output}${complaints}`)
  return JSON.parse(last)
}

/** A collector in a process of its own. @param {string} dir @param {readonly string[]} [args] */
export async function startCollector(dir, args = []) {
  const port = await freePorts()
  const child = spawn(
    process.execPath,
    [cli, 'collector', '--dir', dir, '--listen', `127.0.0.1:${port}`, '--http', '127.0.0.1:0', ...args],
    {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  child.once('exit', () => process.off('exit', killAtExit))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  while (!/status\.json/.test(output))
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => Promise.reject(new Error(output)))])
  const http = /http:\/\/([\d.]+:\d+)/.exec(output)?.[1]
  return {
    child,
    data: `tcp://127.0.0.1:${port}`,
    tail: `tcp://127.0.0.1:${port + 2}`,
    http,
    totals: async () => {
      const response = await fetch(`http://${http}/status.json`)
      return /** @type {import('../collector/status.ts').CollectorStatus} */ (await response.json()).totals
    },
    stop: async () => {
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

/** CPU seconds and peak resident MiB of a running process, from the kernel. @param {number | undefined} pid */
export function usageOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const ticksPerSecond = 100
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond, peakMiB: Number(peak) / 1024 }
}

/** A port such that it and the two behind it are free. */
export async function freePorts() {
  for (;;) {
    const port = 21_000 + Math.floor(Math.random() * 10_000)
    const free = await Promise.all([port, port + 1, port + 2].map(isFree))
    if (free.every(Boolean)) return port
  }
}

/** @param {number} port @returns {Promise<boolean>} */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** A listener that takes connections and never says a word. @returns {Promise<{port: number, close: () => void}>} */
export async function startHalfOpen() {
  const sockets = new Set()
  const port = await freePorts()
  const servers = [port, port + 1].map((each) =>
    createServer((socket) => sockets.add(socket.on('error', () => {}).pause())).listen(each, '127.0.0.1'),
  )
  await Promise.all(servers.map((server) => once(server, 'listening')))
  return {
    port,
    close: () => {
      for (const server of servers) server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Every variant in each round, in turn forwards and backwards, so that a slow minute hits all alike.
 * @template V, R @param {readonly V[]} variants @param {number} rounds @param {(variant: V) => Promise<R>} measure @returns {Promise<Map<V, R[]>>} */
export async function paired(variants, rounds, measure) {
  /** @type {Map<V, R[]>} */
  const results = new Map(variants.map((variant) => [variant, []]))
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? variants : [...variants].reverse()
    for (const variant of order) {
      results.get(variant)?.push(await measure(variant))
      process.stderr.write('.')
    }
  }
  process.stderr.write('\n')
  return results
}

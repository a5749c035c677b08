/** Real processes for tests: started, watched and ended; what is still running at the end of a scope is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import type { CollectorStatus } from '../../collector/status.ts'
import { until } from './until.ts'

export const root: string = fileURLToPath(new URL('../..', import.meta.url))
export const cli: string = join(root, 'dist/cli/spillway.cjs')
export const appsDir: string = join(root, 'test/apps')

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class RunningProcess {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly ended: Promise<Ended>
  end: Ended | undefined

  constructor(child: ChildProcess) {
    this.child = child
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.end = { code, signal }
        resolve(this.end)
      })
    })
  }

  get pid(): number {
    return this.child.pid ?? -1
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Waits until stdout or stderr matches; fails at once when the process ends without. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return until(
      () => {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
        if (match === null && this.end !== undefined)
          throw new Error(`process ended (${JSON.stringify(this.end)}) without saying ${pattern}:\n${this.stdout}\n${this.stderr}`)
        return match
      },
      { what: `process ${this.pid} says ${pattern}` },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.end === undefined) {
      this.child.kill('SIGCONT')
      this.child.kill('SIGKILL')
    }
    await this.ended
  }
}

/** Starts `node args…`; stdin is closed, stdout and stderr are collected. */
export function startNode(
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly cwd?: string } = {},
): RunningProcess {
  const env = { ...process.env, ...options.env }
  // What the test runner sets must not change how an application behaves.
  for (const name of ['NODE_OPTIONS', 'VITEST', 'NODE_ENV']) if (options.env?.[name] === undefined) delete env[name]
  return new RunningProcess(spawn(process.execPath, [...args], { env, cwd: options.cwd ?? root, stdio: ['ignore', 'pipe', 'pipe'] }))
}

/** Starts one of test/apps. */
export function startApp(
  app: string,
  options: { readonly args?: readonly string[]; readonly nodeArgs?: readonly string[]; readonly env?: Record<string, string> } = {},
): RunningProcess {
  return startNode([...(options.nodeArgs ?? []), join(appsDir, app), ...(options.args ?? [])], options)
}

/** Runs one of test/apps to its end. */
export async function runApp(
  app: string,
  options: { readonly args?: readonly string[]; readonly env?: Record<string, string> } = {},
): Promise<RunningProcess & Ended> {
  const running = startNode([join(appsDir, app), ...(options.args ?? [])], options)
  return Object.assign(running, await running.ended)
}

export interface TempDir extends AsyncDisposable {
  readonly path: string
}

export async function tempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), 'spillway-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** A port such that it and the two behind it are free: data, control, tail. */
export async function freePorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const free = await Promise.all([port, port + 1, port + 2].map(isFree))
    if (free.every(Boolean)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

export interface TestCollector extends AsyncDisposable {
  readonly process: RunningProcess
  readonly dir: string
  readonly port: number
  /** Endpoint for `SPILLWAY_COLLECTOR`. */
  readonly data: string
  readonly control: string
  readonly tail: string
  readonly http: string
  /** What an application needs in its environment. */
  readonly env: { readonly SPILLWAY_COLLECTOR: string }
  status(): Promise<CollectorStatus>
  /** Kept lines of a service, oldest file first, each without its LF. */
  lines(service: string): string[]
  /** The same, once there are `count` of them: what is acknowledged is in the spool, and in the files soon after. */
  kept(service: string, count: number): Promise<string[]>
}

/** A collector of its own folder and ports. Give `dir` and `port` to start one anew in the place of another. */
export async function startCollector(
  options: {
    readonly dir?: string
    readonly port?: number
    readonly args?: readonly string[]
    readonly nodeArgs?: readonly string[]
    readonly env?: Record<string, string>
  } = {},
): Promise<TestCollector> {
  const temp = options.dir === undefined ? await tempDir() : undefined
  const dir = options.dir ?? temp?.path ?? ''
  const port = options.port ?? (await freePorts())
  const where = ['--dir', dir, '--listen', `127.0.0.1:${port}`, '--http', '127.0.0.1:0']
  const collector = startNode([...(options.nodeArgs ?? []), cli, 'collector', ...where, ...(options.args ?? [])], {
    env: options.env ?? {},
  })
  const http = (await collector.says(/http:\/\/([\d.]+:\d+)\/status\.json/))[1] ?? ''
  const data = `tcp://127.0.0.1:${port}`
  return {
    process: collector,
    dir,
    port,
    data,
    control: `tcp://127.0.0.1:${port + 1}`,
    tail: `tcp://127.0.0.1:${port + 2}`,
    http,
    env: { SPILLWAY_COLLECTOR: data },
    status: async () => (await (await fetch(`http://${http}/status.json`)).json()) as CollectorStatus,
    lines: (service) => keptLines(join(dir, 'logs', service)),
    kept: (service, count) => linesWhenKept(join(dir, 'logs', service), count),
    async [Symbol.asyncDispose]() {
      await collector[Symbol.asyncDispose]()
      await temp?.[Symbol.asyncDispose]()
    },
  }
}

/** Lines of all files of a folder once there are at least `count`. */
export async function linesWhenKept(folder: string, count: number): Promise<string[]> {
  let lines: string[] = []
  await until(
    () => {
      lines = keptLines(folder)
      return lines.length >= count
    },
    { what: `${folder} has ${count} lines` },
  )
  return lines
}

/** Lines of all files of a folder, compressed ones too, in the order they were written: `D.1`, `D.2`, …, then `D`. */
export function keptLines(folder: string): string[] {
  return keptFiles(folder).flatMap((name) => textOf(join(folder, name)).split('\n').slice(0, -1))
}

/** Names of the log files of a folder, in the order they were written. One that is there in two forms is named in its first. */
export function keptFiles(folder: string): string[] {
  let all: string[]
  try {
    all = readdirSync(folder)
  } catch {
    return []
  }
  const names = all.filter((name) => /\.ndjson(?:\.gz)?$/.test(name) && !(name.endsWith('.gz') && all.includes(name.slice(0, -3))))
  const place = (name: string) => Number(/\.(\d+)\.ndjson(?:\.gz)?$/.exec(name)?.[1] ?? Number.POSITIVE_INFINITY)
  const day = (name: string) => name.slice(0, 10)
  return names.sort((a, b) => (day(a) === day(b) ? place(a) - place(b) : day(a) < day(b) ? -1 : 1))
}

/** What a file holds, compressed or not, or compressed since its name was read. */
export function textOf(path: string): string {
  try {
    const bytes = readFileSync(path)
    return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
  } catch (error) {
    if (path.endsWith('.gz') || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return textOf(`${path}.gz`)
  }
}

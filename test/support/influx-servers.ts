/** Real databases for tests: started on free ports in folders of their own, killed and started anew, read back. */
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findDebianTool } from './debian-tool.ts'
import { freePorts, RunningProcess, tempDir } from './processes.ts'
import { until } from './until.ts'

export async function findInfluxd(): Promise<string> {
  return (await findDebianTool({ name: 'influxd', packages: ['influxdb'], versionArgs: ['version'] })).path
}

export async function findVictoria(): Promise<string> {
  return (await findDebianTool({ name: 'victoria-metrics', packages: ['victoria-metrics'], versionArgs: ['-version'] })).path
}

interface InfluxServer extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  kill(signal: NodeJS.Signals): Promise<void>
  /** Signals it and goes on at once. */
  signal(signal: NodeJS.Signals): void
  start(): Promise<void>
}

export interface InfluxOne extends InfluxServer {
  /** Rows of an InfluxQL query, each a list of values in the order of the columns; of all series. */
  query(q: string): Promise<readonly (readonly unknown[])[]>
}

export interface Victoria extends InfluxServer {
  /** Samples of a series selector, as they are stored: of each series its labels, values and times. */
  export(match: string): Promise<readonly VictoriaSeries[]>
}

interface VictoriaSeries {
  readonly metric: Record<string, string>
  readonly values: number[]
  readonly timestamps: number[]
}

/** InfluxDB 1.6 with a database `telemetry`, and with a user when a password is given. */
export async function startInfluxOne(
  influxd: string,
  options: { readonly user?: string; readonly password?: string; readonly database?: string } = {},
): Promise<InfluxOne> {
  const dir = await tempDir()
  const port = await freePorts()
  const url = `http://127.0.0.1:${port}`
  const config = join(dir.path, 'influx.conf')
  const { user, password } = options
  await writeFile(
    config,
    `reporting-disabled = true
bind-address = "127.0.0.1:${port + 1}"
[meta]
dir = "${dir.path}/meta"
logging-enabled = false
[data]
dir = "${dir.path}/data"
wal-dir = "${dir.path}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:${port}"
log-enabled = false
auth-enabled = ${user !== undefined}
`,
  )
  const headers: Record<string, string> =
    user === undefined ? {} : { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
  const server = serverOf(url, () => spawn(influxd, ['-config', config], { stdio: ['ignore', 'pipe', 'pipe'] }), '/ping', dir)
  const query = async (q: string): Promise<readonly (readonly unknown[])[]> => {
    const answer = await fetch(`${url}/query`, { method: 'POST', headers, body: new URLSearchParams({ db: 'telemetry', q }) })
    const { results = [], error } = (await answer.json()) as {
      results?: { error?: string; series?: { values?: unknown[][] }[] }[]
      error?: string
    }
    const problem = error ?? results[0]?.error
    if (problem !== undefined) throw new Error(`${q}: ${problem}`)
    return results[0]?.series?.flatMap(({ values = [] }) => values) ?? []
  }
  await server.start()
  if (user !== undefined) await query(`CREATE USER "${user}" WITH PASSWORD '${password}' WITH ALL PRIVILEGES`)
  const database = options.database ?? 'telemetry'
  if (database !== '') await query(`CREATE DATABASE "${database}"`)
  return Object.assign(server, { query })
}

export async function startVictoria(victoria: string): Promise<Victoria> {
  const dir = await tempDir()
  const port = await freePorts()
  const url = `http://127.0.0.1:${port}`
  const args = [
    `-httpListenAddr=127.0.0.1:${port}`,
    `-storageDataPath=${dir.path}/vm`,
    '-retentionPeriod=100y',
    '-search.latencyOffset=1ms',
  ]
  await mkdir(join(dir.path, 'vm'))
  const server = serverOf(url, () => spawn(victoria, args, { stdio: ['ignore', 'pipe', 'pipe'] }), '/health', dir)
  await server.start()
  return Object.assign(server, {
    async export(match: string) {
      await fetch(`${url}/internal/force_flush`)
      const text = await (await fetch(`${url}/api/v1/export?${new URLSearchParams({ 'match[]': match })}`)).text()
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as VictoriaSeries)
    },
  })
}

function serverOf(url: string, spawnServer: () => ReturnType<typeof spawn>, health: string, dir: AsyncDisposable): InfluxServer {
  let running: RunningProcess | undefined
  return {
    url,
    get pid() {
      return running?.pid ?? -1
    },
    async start() {
      running = new RunningProcess(spawnServer())
      const answers = () =>
        fetch(`${url}${health}`).then(
          ({ ok }) => ok,
          () => {
            if (running?.end !== undefined) throw new Error(`the server ended: ${running.stderr}`)
            return false
          },
        )
      await until(answers, { what: `${url} answers`, everyMs: 20 })
    },
    async kill(signal) {
      running?.kill(signal)
      await running?.ended
    },
    signal(signal) {
      running?.kill(signal)
    },
    async [Symbol.asyncDispose]() {
      await running?.[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

/** A real Prometheus that scrapes one address every second, in a process of its own. */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findDebianTool } from './debian-tool.ts'
import { freePorts, RunningProcess, tempDir } from './processes.ts'
import { until } from './until.ts'

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface TestPrometheus extends AsyncDisposable {
  readonly url: string
  /** What an expression is now. */
  query(expression: string): Promise<Sample[]>
  /** Why the last scrape failed; empty when it did not. */
  lastError(): Promise<string>
}

/** Path of a Prometheus that runs. */
export async function findPrometheus(): Promise<string> {
  return (await findDebianTool({ name: 'prometheus', packages: ['prometheus'] })).path
}

/** @param target - `host:port` whose `/metrics` is scraped. */
export async function startPrometheus(target: string, { nativeHistograms = false } = {}): Promise<TestPrometheus> {
  const program = await findPrometheus()
  const dir = await tempDir()
  const port = await freePorts()
  const config = join(dir.path, 'prometheus.yml')
  writeFileSync(
    config,
    `global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs: [{ job_name: spillway, static_configs: [{ targets: ['${target}'] }] }]\n`,
  )
  mkdirSync(join(dir.path, 'data'))
  const running = new RunningProcess(
    spawn(
      program,
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(dir.path, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        ...(nativeHistograms ? ['--enable-feature=native-histograms'] : []),
      ],
      { cwd: dir.path, stdio: ['ignore', 'pipe', 'pipe'] },
    ),
  )
  const get = async (path: string): Promise<unknown> => (await (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json()) as unknown
  await until(
    () =>
      fetch(`http://127.0.0.1:${port}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      ),
    {
      what: `Prometheus is ready: ${running.stderr}`,
    },
  )
  return {
    url: `http://127.0.0.1:${port}`,
    async query(expression) {
      const answer = (await get(`query?query=${encodeURIComponent(expression)}`)) as {
        readonly data?: {
          readonly result: readonly { readonly metric: Record<string, string>; readonly value?: readonly [number, string] }[]
        }
      }
      return (answer.data?.result ?? []).map(({ metric, value }) => ({ labels: metric, value: Number(value?.[1]) }))
    },
    async lastError() {
      const answer = (await get('targets')) as { readonly data?: { readonly activeTargets: readonly { readonly lastError: string }[] } }
      return answer.data?.activeTargets[0]?.lastError ?? ''
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

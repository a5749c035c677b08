/**
 * Every query of every dashboard, asked of the real servers while the demo's shop is visited:
 *
 *   shop.mjs ──► collector ──► influxd 1.6      InfluxQL
 *                    └──────── Prometheus       PromQL
 *
 * Debian has no server that knows Flux. Its queries are held against InfluxData's own analyser, which knows the types and the
 * library, and what they name against what is in InfluxDB.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { Flux } from '@influxdata/flux-lsp-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { configFor } from '../../collector/spooling.ts'
import { findInfluxd, type InfluxOne, startInfluxOne } from '../../support/influx-servers.ts'
import { appsDir, freePorts, root, startCollector, startNode, tempDir } from '../../support/processes.ts'
import { findPrometheus, startPrometheus, type TestPrometheus } from '../../support/prometheus.ts'
import { until } from '../../support/until.ts'
import { type Choice, inFlux, inInfluxql, inPromql, type Shown, type Target, targetsOf } from './as-grafana.ts'

interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly columns: readonly string[]
  readonly rows: readonly (readonly unknown[])[]
}

const opened: AsyncDisposable[] = []
function use<T extends AsyncDisposable>(it: T): T {
  opened.unshift(it)
  return it
}

let influx: InfluxOne
let prometheus: TestPrometheus

// Downloading the servers takes a while where they are not installed.
beforeAll(async () => {
  const [influxd] = await Promise.all([findInfluxd(), findPrometheus()])
  influx = use(await startInfluxOne(influxd))
  const dir = use(await tempDir())
  const files = `files: { type: file, path: '${dir.path}/logs/{service}/{date}.ndjson' }`
  const sinks = `${files}, influx: { type: influxdb, url: '${influx.url}', database: telemetry, batch: { linger: 100ms } }`
  const collector = use(await startCollector({ dir: dir.path, args: configFor(dir.path, { sinks }) }))
  prometheus = use(await startPrometheus(collector.http))
  const port = await freePorts()
  const args = ['--import', join(appsDir, 'every-second.mjs'), join(root, 'examples/shop.mjs')]
  use(startNode(args, { env: { ...collector.env, PORT: String(port) } }))
  use(visiting(`http://127.0.0.1:${port}`))
}, 300_000)

afterAll(async () => {
  for (const each of opened) await each[Symbol.asyncDispose]()
})

/** A customer who orders and looks, until disposed of. */
function visiting(url: string): AsyncDisposable {
  const end = new AbortController()
  const body = JSON.stringify({ item: 'teapot', count: 2 })
  const visit = async () => {
    while (!end.signal.aborted) {
      const order = fetch(`${url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      await Promise.allSettled([order, fetch(`${url}/items/cup`)])
      await sleep(20)
    }
  }
  const visited = visit()
  return {
    async [Symbol.asyncDispose]() {
      end.abort()
      await visited
    },
  }
}

const read = (path: string): Dashboard => JSON.parse(readFileSync(join(root, 'dashboards/grafana', path), 'utf8')) as Dashboard
const shown = (): Shown => ({ fromMs: Date.now() - 300_000, toMs: Date.now(), intervalMs: 10_000 })
const everything: Choice = { service: 'all', level: 'all', search: [''], instance: 'all' }
const theShop: Choice = { service: ['shop'], level: ['info', 'warn', 'error'], search: [''], instance: 'all' }

async function askInflux(query: string): Promise<Series[]> {
  const answer = await fetch(`${influx.url}/query?${new URLSearchParams({ db: 'telemetry', epoch: 'ms', q: query })}`)
  const { results = [], error } = (await answer.json()) as {
    readonly error?: string
    readonly results?: readonly {
      readonly error?: string
      readonly series?: readonly { tags?: Record<string, string>; columns: string[]; values: unknown[][] }[]
    }[]
  }
  const problem = error ?? results[0]?.error
  if (problem !== undefined) throw new Error(`${query}: ${problem}`)
  return (results[0]?.series ?? []).map(({ tags = {}, columns, values }) => ({ labels: tags, columns, rows: values }))
}

async function askPrometheus(path: string, query: Record<string, string>): Promise<unknown> {
  const answer = await fetch(`${prometheus.url}/api/v1/${path}?${new URLSearchParams(query)}`)
  const { data, error } = (await answer.json()) as { readonly data?: unknown; readonly error?: string }
  if (error !== undefined) throw new Error(`${JSON.stringify(query)}: ${error}`)
  return data
}

async function inPrometheus({ query, isInstant }: Target, choice: Choice): Promise<Series[]> {
  const now = shown()
  const expression = inPromql(query, choice, now)
  const [start, end, step] = [now.fromMs, now.toMs, now.intervalMs].map((ms) => String(ms / 1_000))
  const asked = isInstant
    ? askPrometheus('query', { query: expression, time: end ?? '' })
    : askPrometheus('query_range', { query: expression, start: start ?? '', end: end ?? '', step: step ?? '' })
  const { result } = (await asked) as { result: { metric: Record<string, string>; value?: unknown[]; values?: unknown[][] }[] }
  return result.map(({ metric, value, values }) => ({ labels: metric, columns: ['time', 'value'], rows: values ?? [value ?? []] }))
}

/** Whether something but the time is there: Prometheus says `NaN` for what cannot be computed. */
function hasValue({ columns, rows }: Series): boolean {
  return rows.some((row) => row.some((value, i) => columns[i] !== 'time' && value !== null && value !== undefined && value !== 'NaN'))
}

const answered = (target: Target, ask: () => Promise<Series[]>): Promise<Series[]> =>
  until(
    async () => {
      const series = (await ask()).filter(hasValue)
      return series.length > 0 && series
    },
    { what: `"${target.panel}" ${target.refId} has an answer: ${target.query}`, timeoutMs: 40_000, everyMs: 500 },
  )

/** What a query groups by is said by some series: a name that does not exist would make one series without it. */
function toldApart(series: readonly Series[], groups = ''): void {
  const names = groups.split(', ').map((name) => name.replaceAll('"', ''))
  for (const name of names.filter((each) => each !== '' && !each.startsWith('time('))) {
    expect(series.map(({ labels }) => labels[name])).toEqual(expect.arrayContaining([expect.stringMatching(/./)]))
  }
}

const targets = (folder: string, names: readonly string[]) =>
  names.flatMap((name) => targetsOf(read(`${folder}/${name}.json`)).map((target) => [name, target.panel, target.refId, target] as const))
const applicationNames = ['service-overview', 'node-runtime', 'logs']

describe('InfluxDB 1.6 answers', () => {
  test.each(targets('influxql', applicationNames))('%s, "%s" %s', async (_name, _panel, _refId, target) => {
    for (const choice of [everything, theShop]) {
      const series = await answered(target, () => askInflux(inInfluxql(target.query, choice, shown())))
      if (target.format !== 'logs') toldApart(series, /.*GROUP BY (.*?)(?: fill|$)/.exec(target.query)?.[1])
    }
  })

  test('the values of the variable service', async () => {
    const [variable] = read('influxql/logs.json').templating.list?.filter(({ name }) => name === 'service') ?? []
    const series = await until(async () => (await askInflux(String(variable?.query))).length > 0 && askInflux(String(variable?.query)), {
      what: 'there are services',
    })
    expect(new Set(series.flatMap(({ rows }) => rows.map(([, service]) => service)))).toEqual(new Set(['shop']))
  })

  test('with nothing for a service that is not there, and with the lines that hold the text', async () => {
    const [lines] = targetsOf(read('influxql/logs.json')).filter(({ format }) => format === 'logs')
    const query = String(lines?.query)
    expect(await askInflux(inInfluxql(query, { ...everything, service: ['sho'] }, shown()))).toEqual([])
    const choice = { ...everything, level: ['warn'], search: ['Was slow'] }
    const [found] = await until(
      async () => {
        const series = await askInflux(inInfluxql(query, choice, shown()))
        return series.length > 0 && series
      },
      { what: 'a payment was slow', timeoutMs: 40_000 },
    )
    expect(new Set(found?.rows.map(([, message, level]) => `${level}: ${message}`))).toEqual(new Set(['warn: payment was slow']))
  })
})

describe('Prometheus answers', () => {
  test.each(targets('prometheus', [...applicationNames, 'collector']))('%s, "%s" %s', async (_name, _panel, _refId, target) => {
    for (const choice of [everything, theShop]) {
      const series = await answered(target, () => inPrometheus(target, choice))
      toldApart(series, /^\w+ by \((.*?)\)/.exec(target.query)?.[1])
    }
  })

  test.each([
    ['logs', 'service', ['shop']],
    ['collector', 'instance', undefined],
  ])('%s: the values of the variable %s', async (dashboard, name, values) => {
    const [variable] = read(`prometheus/${dashboard}.json`).templating.list?.filter((each) => each.name === name) ?? []
    const query = (variable?.query ?? {}) as { readonly query?: string }
    const [, match = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(String(query.query)) ?? []
    const found = await until(
      async () => {
        const there = (await askPrometheus(`label/${label}/values`, { 'match[]': match })) as string[]
        return there.length > 0 && there
      },
      { what: `${label} has values` },
    )
    if (values === undefined) expect(found).toHaveLength(1)
    else expect(found).toEqual(values)
  })

  test('with nothing for a service that is not there', async () => {
    const [lines] = targetsOf(read('prometheus/logs.json'))
    expect(lines && (await inPrometheus(lines, { ...everything, service: ['sho'] }))).toEqual([])
  })
})

describe('Flux', () => {
  const isValid = (script: string) => new Flux(script).is_valid()

  test.each(targets('flux', applicationNames))('is sound: %s, "%s" %s', async (_name, _panel, _refId, target) => {
    for (const choice of [everything, theShop]) {
      const script = inFlux(target.query, choice, shown())
      expect(script).not.toMatch(/\$[\w{]|\bv\.\w/)
      expect([script, isValid(script)]).toEqual([script, true])
    }
    // What it names is there, under these names.
    const { measurement, field, tags } = namedIn(target.query)
    const keys = async (what: string) =>
      (await askInflux(`SHOW ${what} KEYS FROM "${measurement}"`)).flatMap(({ rows }) => rows.map(([key]) => key))
    await until(async () => (await keys('FIELD')).includes(field), { what: `${measurement} has ${field}`, timeoutMs: 40_000 })
    expect(await keys('TAG')).toEqual(expect.arrayContaining(tags))
  })

  test('is sound: the values of the variable service', () => {
    const [variable] = read('flux/logs.json').templating.list?.filter(({ name }) => name === 'service') ?? []
    expect(isValid(inFlux(String(variable?.query), everything, shown()))).toBe(true)
  })

  test('would be found wrong', () => {
    const [target] = targetsOf(read('flux/service-overview.json'))
    const script = inFlux(String(target?.query), everything, shown())
    for (const [right, wrong] of [
      ['aggregateWindow', 'agregateWindow'],
      ['fn: count', 'function: count'],
      ['every: 10s', 'every: "10s"'],
      ['1000000000.0', '1000000000'],
      ['r._field', 'r._field ='],
    ] as const) {
      expect(script).toContain(right)
      expect([wrong, isValid(script.replace(right, wrong))]).toEqual([wrong, false])
    }
  })
})

/** Measurement, field and tags a script asks for; not what is only at some points of a measurement, as a logger is. */
function namedIn(script: string): { readonly measurement: string; readonly field: string; readonly tags: string[] } {
  const [, measurement = ''] = /_measurement == "([^"]+)"/.exec(script) ?? []
  const [, field = ''] = /_field == "([^"]+)"/.exec(script) ?? []
  const grouped = [...script.matchAll(/group\(columns: \[(.*?)\]\)/g)].flatMap(([, names = '']) => names.split(', '))
  const compared = [...script.matchAll(/r\["(.*?)"\]|r\.(\w+) =~/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  const tags = [...grouped.map((name) => name.replaceAll('"', '')), ...compared]
  return { measurement, field, tags: tags.filter((name) => name !== '' && !name.startsWith('_')) }
}

/**
 * The dashboards against Grafana's published schema, which are types: the JSON is written into a source as literals of those
 * types, down to the options of each panel, and the compiler reads it. A field that is unknown, missing or of another type is
 * an error. The schema has no queries of InfluxDB's.
 */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { expect, test } from 'vitest'
import { grafanaFiles } from '../../../dashboards/grafana/files.ts'
import { root } from '../../support/processes.ts'
import { panelsOf } from './as-grafana.ts'

const run = promisify(execFile)
const folder = join(root, 'dashboards/grafana')
const files = [...grafanaFiles().keys()].filter((path) => path.endsWith('.json'))

const head = `
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import type * as logs from '@grafana/grafana-foundation-sdk/logs'
import type * as prometheus from '@grafana/grafana-foundation-sdk/prometheus'
import type * as stat from '@grafana/grafana-foundation-sdk/stat'
import type * as table from '@grafana/grafana-foundation-sdk/table'
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'

type Json<T> = 0 extends 1 & T ? T
  : T extends string ? \`\${T}\`
  : T extends number | boolean | null | undefined ? T
  : T extends readonly (infer E)[] ? Json<E>[]
  : { [K in keyof T as K extends \`_implements\${string}\` ? never : K]: Json<T[K]> }
`

/** What the compiler has to say; empty when there is nothing. */
async function complaints(dashboards: readonly Dashboard[]): Promise<string> {
  const parent = join(root, 'test/.tools')
  await mkdir(parent, { recursive: true })
  // Inside of the project, where the compiler finds the schema.
  const dir = await mkdtemp(join(parent, 'grafana-schema-'))
  try {
    const file = join(dir, 'dashboards.ts')
    await writeFile(file, head + dashboards.map(literalsOf).join(''))
    const options = [
      '--noEmit',
      '--ignoreConfig',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--types',
      'node',
    ]
    return await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, file]).then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    )
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** The dashboard without the queries, whose type depends on the source; and what is untyped in it, by the kind of its panel. */
function literalsOf(dashboard: Dashboard): string {
  const panels = panelsOf(dashboard)
  const rows = (dashboard.panels ?? []).map((panel) => ({ ...panel, targets: undefined }))
  const declared = [`export const d: Json<Dashboard> = ${JSON.stringify({ ...dashboard, panels: rows })}`]
  for (const { type, options, fieldConfig, targets = [] } of panels) {
    declared.push(`export const o: Json<${type}.Options> = ${JSON.stringify(options ?? {})}`)
    if (type === 'timeseries')
      declared.push(`export const f: Json<timeseries.FieldConfig> = ${JSON.stringify(fieldConfig?.defaults.custom)}`)
    for (const target of targets)
      if ('expr' in target) declared.push(`export const q: Json<prometheus.Dataquery> = ${JSON.stringify(target)}`)
  }
  return declared.map((line) => `{\n${line.replace('export ', '')}\n}\n`).join('')
}

const read = async (path: string): Promise<Dashboard> => JSON.parse(await readFile(join(folder, path), 'utf8')) as Dashboard

test('every dashboard is as the schema says', async () => {
  expect(files).toHaveLength(10)
  expect(await complaints(await Promise.all(files.map(read)))).toBe('')
})

test('a dashboard that is not would be found', async () => {
  const right = await read('prometheus/collector.json')
  const wrong = structuredClone(right) as unknown as { refresh: unknown; panels: { type: string; options: Record<string, unknown> }[] }
  wrong.refresh = 10
  for (const panel of wrong.panels.filter(({ type }) => type === 'stat')) panel.options['colorMode'] = 'colourful'
  const said = await complaints([wrong as unknown as Dashboard])
  expect(said).toContain("Type 'number' is not assignable to type 'string'")
  expect(said).toContain('colourful')
})

test('no two dashboards have one uid, no two panels of one an id or a place', async () => {
  const dashboards = await Promise.all(files.map(read))
  expect(new Set(dashboards.map(({ uid }) => uid)).size).toBe(files.length)
  for (const { uid = '', panels = [] } of dashboards) {
    expect(uid.length).toBeLessThanOrEqual(40)
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos }) => {
      const { x = 0, y = 0, w = 0, h = 0 } = gridPos ?? {}
      expect(x + w).toBeLessThanOrEqual(24)
      return Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`)
    })
    expect(new Set(cells).size).toBe(cells.length)
  }
})

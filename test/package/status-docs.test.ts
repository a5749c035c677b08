/** docs/STATUS.md, held against what a collector says. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { prometheusText } from '../../collector/exposition/text-format.ts'
import { collectorFamilies } from '../../collector/metrics.ts'
import { ServiceCounters } from '../../collector/service-counters.ts'
import { fullBooks, fullGauges, fullStatus } from '../collector/full-status.ts'
import { root } from '../support/processes.ts'

const page = readFileSync(join(root, 'docs/STATUS.md'), 'utf8')
const [statusPart = '', metricsPart = ''] = page.split(/^## `\/metrics`$/m)

/** Names in backticks in the first cell of a table's rows, and what stands in the other cells. */
function rowsOf(part: string): { names: string[]; rest: string }[] {
  return [...part.matchAll(/^\| (`[^|]+`) \| (.*) \|$/gm)].map(([, first = '', rest = '']) => ({
    names: [...first.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    rest,
  }))
}

/** Keys of a value and of all below; of maps by name, the values' keys. */
function keysOf(value: unknown, isMap: (key: string) => boolean): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keysOf(item, isMap))
  if (value === null || typeof value !== 'object') return []
  return Object.entries(value).flatMap(([key, below]) => {
    if (!isMap(key)) return [key, ...keysOf(below, isMap)]
    return [key, ...Object.values(below as object).flatMap((item) => keysOf(item, isMap))]
  })
}

describe('docs/STATUS.md', () => {
  test('has a row for every field of the status, and for none that is not there', () => {
    const fields = new Set(keysOf(fullStatus, (key) => ['lost', 'refused', 'removed', 'topics', 'sinks'].includes(key)))
    const documented = new Set(rowsOf(statusPart).flatMap(({ names }) => names.map((name) => name.replace(/^.*\./, ''))))
    expect(fields.size).toBeGreaterThan(50)
    expect([...fields].filter((field) => !documented.has(field))).toEqual([])
    expect([...documented].filter((name) => !fields.has(name))).toEqual([])
  })

  test('has a row for every metric, with its type and labels, and for none that is not there', () => {
    const text = prometheusText(collectorFamilies(fullStatus, new ServiceCounters().rows([['log.info.s.', fullBooks]]), fullGauges()))
    const bare = (name: string) => name.replace(/^spillway_collector_/, '')
    const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [bare(name), type]))
    const rows = new Map(rowsOf(metricsPart).flatMap(({ names, rest }) => names.map((name) => [name, rest])))
    expect([...rows.keys()].sort()).toEqual([...types.keys()].sort())
    for (const [name, type] of types) {
      const [, labels = ''] = new RegExp(`^(?:spillway_collector_)?${name}(?:_bucket)?\\{(.*)\\} `, 'm').exec(text) ?? []
      const labelNames = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label).join(', ')
      expect(rows.get(name), name).toMatch(new RegExp(`^${type} \\| ?${labelNames} ?\\| \\S`))
    }
  })
})

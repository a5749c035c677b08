/** Whether what is answered is what is described: every path, every field, and nothing more. */

import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createAgent } from '../../../agent/shared.ts'
import { openapi } from '../../../collector/http/openapi.ts'
import { startCollector } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { configFile } from './config-file.ts'
import { EventStreamReader } from './event-stream-reader.ts'
import { faults } from './json-schema.ts'

type Schema = Readonly<Record<string, unknown>>
const { schemas } = openapi.components

function described(path: string, type = 'application/json'): Schema {
  const at = openapi.paths[path] as { get: { responses: { 200: { content: Record<string, { schema: Schema }> } } } }
  const schema = at.get.responses[200].content[type]?.schema
  if (schema === undefined) throw new Error(`${path} is not described`)
  return schema
}

test('answers are as they are described, with records, metrics, loss and an error in them', async () => {
  await using file = await configFile('rollup: { interval: 1s, late: 0s }\n')
  await using collector = await startCollector({ args: ['-c', file.path] })
  const agent = createAgent({ service: 'shop', collector: collector.data, metrics: { interval: 200 } })
  const log = pino({ base: null }, agent.destination())
  const took = agent.createHistogram('took', { unit: 's' })
  const api = `http://${collector.http}/api/v1`
  await using eventStream = await EventStreamReader.open(`${api}/events`)
  await using live = await EventStreamReader.open(`${api}/live?topic=log.>&topic=metric.>`)
  const timer = setInterval(() => {
    log.info({ route: '/pay' }, 'paid')
    log.error('declined')
    took.record(0.1, { route: '/pay' })
  }, 10)
  try {
    await until(
      async () => {
        const { metrics } = (await (await fetch(`${api}/metrics`)).json()) as { metrics: { name: string }[] }
        return metrics.some(({ name }) => name === 'took')
      },
      { what: 'the metric is known', everyMs: 200 },
    )
    await eventStream.next<{ services: { rates: { error?: number } }[] }>('overview', ({ services }) => (services[0]?.rates.error ?? 0) > 0)
    await live.next('counts')
    for (const path of Object.keys(openapi.paths)) {
      const { get } = openapi.paths[path] as { get?: Schema }
      const [type = ''] = Object.keys((get?.['responses'] as Record<string, { content: object }> | undefined)?.['200']?.content ?? {})
      if (type !== 'application/json') continue
      const search = /series|heatmap/.test(path) ? '?metric=took' : ''
      const response = await fetch(`http://${collector.http}${path}${search}`)
      expect(response.status, path).toBe(200)
      const answer: unknown = await response.json()
      expect(faults(answer, described(path), schemas), path).toEqual([])
    }
    for (const [path, stream] of [
      ['/api/v1/events', eventStream],
      ['/api/v1/live', live],
    ] as const) {
      const names = described(path, 'text/event-stream')['x-events'] as Record<string, Schema>
      expect(new Set(stream.events.map(({ name }) => name))).toEqual(new Set(Object.keys(names)))
      expect(stream.events[0]?.name).toBe('hello')
      for (const { name, data } of stream.events) expect(faults(data, names[name] ?? {}, schemas), `${path} ${name}`).toEqual([])
    }
    const records = live.all<{ level: string | null }[]>('records').flat()
    expect(new Set(records.map(({ level }) => level))).toEqual(new Set(['info', 'error', null]))
    const refused = await fetch(`${api}/live?where=(`)
    expect(faults(await refused.json(), schemas['Error'] ?? {}, schemas)).toEqual([])
    const nowhere = await fetch(`${api}/nowhere`)
    expect(faults(await nowhere.json(), schemas['Error'] ?? {}, schemas)).toEqual([])
  } finally {
    clearInterval(timer)
    await agent.close()
  }
})

test('every path that is answered is described, and the other way round', async () => {
  await using collector = await startCollector()
  const served: unknown = await (await fetch(`http://${collector.http}/api/v1/openapi.json`)).json()
  expect(served).toEqual(JSON.parse(JSON.stringify(openapi)))
  for (const path of Object.keys(openapi.paths)) {
    const methods = Object.keys(openapi.paths[path] ?? {}).map((method) => method.toUpperCase())
    const wrong = await fetch(`http://${collector.http}${path}`, { method: methods.includes('GET') ? 'POST' : 'GET' })
    expect([path, wrong.status]).toEqual([path, 405])
    expect(await wrong.json()).toMatchObject({ error: { message: `only ${methods.join(' and ')} is answered here` } })
  }
  const guessed = await fetch(`http://${collector.http}/api/v1/`)
  const said = ((await guessed.json()) as { error: { message: string } }).error.message
  for (const path of said.match(/\/api\/v1\/[\w.]+/g) ?? []) expect(Object.keys(openapi.paths)).toContain(path)
  expect(said.match(/\/api\/v1\/[\w.]+/g)).toHaveLength(Object.keys(openapi.paths).length)
})

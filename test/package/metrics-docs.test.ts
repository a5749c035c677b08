/** The examples of docs/METRICS.md, run as they stand there. */
import { readFileSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { decodePoints, type InstrumentPoints } from '../../wire/points.ts'
import { freePorts, root, startNode, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { BareReceiver } from '../traps/bare-receiver.ts'

const page = readFileSync(join(root, 'docs/METRICS.md'), 'utf8')
const examples = new Map([...page.matchAll(/```js\n\/\/ (\w+\.mjs)\n(.*?)```/gs)].map(([, name = '', code = '']) => [name, code]))

test('docs/METRICS.md has examples, each with a name', () => {
  expect([...examples.keys()]).toEqual(['shop.mjs', 'options.mjs', 'prom.mjs', 'otel.mjs'])
  expect([...page.matchAll(/```js\n/g)]).toHaveLength(examples.size)
})

test.each([...examples])('%s runs, and what it counts arrives', async (name, code) => {
  const port = await freePorts()
  await using bare = new BareReceiver()
  await bare.bind(`tcp://127.0.0.1:${port}`)
  await bare.subscribe('metric.', 'sys.')
  bare.read()
  await using dir = await tempDir()
  await mkdir(join(dir.path, 'node_modules'))
  await symlink(root, join(dir.path, 'node_modules', 'spillway'))
  for (const name of ['prom-client', '@opentelemetry'])
    await symlink(join(root, 'node_modules', name), join(dir.path, 'node_modules', name))
  await writeFile(join(dir.path, name), code)
  await using app = startNode([name], { cwd: dir.path, env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${port}` } })
  expect(await app.ended).toEqual({ code: 0, signal: null })
  const instruments = (): Map<string, InstrumentPoints> =>
    new Map(
      bare.frames
        .flatMap(({ frame }) => decodePoints(frame.body, frame.count)?.instruments ?? [])
        .map((instrument) => [instrument.name, instrument]),
    )
  if (name === 'options.mjs') return
  if (name === 'prom.mjs') {
    await until(() => instruments().size > 20, { what: 'the default metrics have come' })
    expect(instruments().get('orders_total')?.points).toEqual([{ attributes: '{"item":"teapot"}', value: 1 }])
    return
  }
  if (name === 'otel.mjs') {
    await until(() => instruments().size === 2, { what: 'both instruments have come' })
    const scope = '"otel.scope.name":"shop"'
    expect(instruments().get('orders')?.points).toEqual([{ attributes: `{"item":"teapot",${scope}}`, value: 1 }])
    expect(instruments().get('order.size')?.points).toMatchObject([{ attributes: `{${scope}}`, sum: 3 }])
    return
  }
  await until(() => instruments().size === 5, { what: 'all instruments have come' })
  expect(instruments().get('payments')).toMatchObject({
    unit: '1',
    description: 'payments taken',
    points: [
      { attributes: '{"card":true,"route":"/pay"}', value: 1 },
      { attributes: '{"card":false,"route":"/pay"}', value: 3 },
    ],
  })
  expect(instruments().get('shop.carts')?.points).toEqual([{ attributes: '{}', value: 1 }])
  expect(instruments().get('shop.stock')?.points).toEqual([{ attributes: '{"item":"teapot"}', last: 12, min: 12, max: 12 }])
  expect(
    instruments()
      .get('http.server.request.duration')
      ?.points.map(({ attributes }) => attributes),
  ).toEqual(['{"route":"/pay"}', '{"route":"/items","status":200}'])
  expect(instruments().get('shop.uptime')?.type).toBe('gauge')
})

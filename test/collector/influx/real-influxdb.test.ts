/** The real InfluxDB 1.6: everything once, whatever is killed meanwhile. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findInfluxd, startInfluxOne } from '../../support/influx-servers.ts'
import { root, startCollector, startNode, tempDir } from '../../support/processes.ts'
import { configFor, settled } from '../spooling.ts'

const influxd = await findInfluxd()
const app = join(root, 'test/collector/apps/counted.mjs')
const isLong = process.env['SPILLWAY_LONG'] !== undefined
const lines = isLong ? 1_000_000 : 60_000

/** YAML of a sink that writes there. */
function influxSink(url: string, more = ''): string {
  return `influx: { type: influxdb, url: '${url}', database: telemetry, batch: { linger: 100ms }, logs: { fields: { n: integer, res.statusCode: integer, ms: float } }${more} }`
}

test.skipIf(influxd === undefined)(
  'log lines of two processes at once are all there, each once',
  async () => {
    await using server = await startInfluxOne(influxd ?? '')
    await using dir = await tempDir()
    await using collector = await startCollector({
      dir: dir.path,
      args: configFor(dir.path, { maxBytes: '1GiB', sinks: influxSink(server.url) }),
    })
    const apps = ['a', 'b'].map(() => startNode([app, 'shop', String(lines / 2)], { env: collector.env }))
    for (const each of apps) expect(await each.ended).toEqual({ code: 0, signal: null })
    const status = await settled(collector, lines)
    expect(status.totals).toMatchObject({ delivered: lines, rejected: 0, expired: 0 })
    const [row] = await server.query('select count(message), count(n), sum(n), min(n), max(n) from logs')
    const half = lines / 2
    expect(row?.slice(1)).toEqual([lines, lines, half * (half - 1), 0, half - 1])
  },
  300_000,
)

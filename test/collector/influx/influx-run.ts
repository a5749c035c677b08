/** What tests with a real database have in common. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningProcess, root, startNode } from '../../support/processes.ts'

/** Minutes in place of seconds, a million records in place of some ten thousand: `npm run test:influx-long`. */
export const isLong: boolean = process.env['SPILLWAY_LONG'] === '1'
export const longMs = 1_200_000

/** YAML of a sink that writes to an InfluxDB 1.x or a VictoriaMetrics, quick to send what little there is. */
export function influxSink(url: string, more = ''): string {
  const batch = 'batch: { linger: 100ms }'
  const fields = 'logs: { fields: { n: integer, res.statusCode: integer, ms: float } }'
  return `influx: { type: influxdb, url: '${url}', database: telemetry, ${batch}, ${fields}${more} }`
}

/** Logs so many numbered lines as fast as they are taken, and ends. */
export function startCounted(collector: { readonly env: Record<string, string> }, count: number, service = 'shop'): RunningProcess {
  return startNode([join(root, 'test/collector/apps/counted.mjs'), service, String(count)], { env: collector.env })
}

export function residentBytes(pid: number): number {
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

/** The sum of 0 to `count - 1`. */
export const sumBelow = (count: number): number => (count * (count - 1)) / 2

// Sends lines or points to a database, by Spillway's writer or by the client's own WriteApi, and says how fast and in how much memory.
import { Agent } from 'node:http'
import { InfluxDB, Point, setLogger } from '@influxdata/influxdb-client'
import { InfluxTarget } from '../../dist/collector/sinks/influx/influx-target.js'
import { InfluxWriter } from '../../dist/collector/sinks/influx/influx-writer.js'
import { MetricPoints } from '../../dist/collector/sinks/influx/metric-points.js'
import { TagGuard } from '../../dist/collector/sinks/influx/tag-guard.js'
import { encodePoints, frameKinds, metricTopic } from '../../dist/wire/index.js'
import { usageOf } from '../support.mjs'

/** @type {{ by: 'spillway' | 'client', what: 'lines' | 'points', url: string, count: number, seconds: number, inFlight?: number }} */
const { by, what, url, count, seconds, inFlight = 1 } = JSON.parse(process.argv[2] ?? '{}')
const batchLines = 5_000
const frameRecords = 500
const database = 'bench'
const startNs = 1_700_000_000_000_000_000n
const endMs = 1_700_000_000_000

/** The same line whoever sends it. @param {number} n */
function lineOf(n) {
  return `requests,service=shop,host=web1,origin=origin-000000001,route=/r${n % 50} value=${n} ${startNs + BigInt(n)}`
}

/** @param {number} n */
function attributesOf(n) {
  return `{"route":"/r${n % 50}"}`
}

/** How many more are to be sent: so many in all, or for so long. */
let sent = 0
const startedAtMs = performance.now()
const isOver = () => (seconds > 0 ? performance.now() - startedAtMs > seconds * 1_000 : sent >= count)
const turn = () => new Promise((resolve) => setImmediate(resolve))

async function spillway() {
  const config = { url, version: /** @type {const} */ ('1'), database, gzip: true, timeoutMs: 10_000 }
  const none = { org: undefined, bucket: undefined, retentionPolicy: undefined, token: undefined, user: undefined, password: undefined }
  const target = new InfluxTarget({ ...config, ...none }, inFlight)
  const metrics = new MetricPoints({ buckets: false, origin: true, constant: {} }, new TagGuard(10_000, () => undefined))
  // A frame as the collector gets it: what reads it is measured too.
  const points = Array.from({ length: frameRecords }, (_, i) => ({ attributes: attributesOf(i), value: i }))
  const instruments = [{ name: 'requests', type: /** @type {const} */ ('counter'), unit: '', description: '', points }]
  const body = encodePoints({ startMs: endMs - 1, endMs, instruments })
  const topic = metricTopic('shop', 'requests')
  let done = 0
  let room = () => {}
  const writer = new InfluxWriter({
    target,
    where: url,
    inFlight,
    batch: { linesMax: batchLines, bytesMax: 1_048_576, lingerMs: 1_000 },
    queue: { linesMax: 50_000, bytesMax: 8_388_608 },
    done: (_chunk, lines) => {
      done += lines
    },
    moved: () => room(),
    waiting: () => 0,
    reject: async (lines) => Promise.reject(new Error(lines[0]?.reason)),
    onTrouble: (message) => process.stderr.write(`${message}\n`),
    random: Math.random,
  })
  while (!isOver()) {
    const from = sent
    sent += frameRecords
    if (what === 'lines') {
      const lines = Array.from({ length: frameRecords }, (_, i) => lineOf(from + i))
      writer.offer({ count: frameRecords, bytes: 100 * frameRecords, lines: () => lines })
    } else {
      const head = { position: 0, end: 0, topic, kind: frameKinds.points, origin: 'origin-000000001', seq: from, timeMs: endMs }
      const entry = { ...head, lines: body, count: frameRecords, receivedAtMs: 0, isSpooled: true }
      writer.offer({ count: frameRecords, bytes: body.length, lines: () => metrics.lines(entry, 'web1') ?? [] })
    }
    // What is not taken waits in the spool.
    if (writer.isFull) {
      await new Promise((resolve) => {
        room = () => resolve(undefined)
        if (seconds > 0) setTimeout(resolve, 1_000)
      })
    }
  }
  if (seconds === 0) while (done < count) await writer.flush()
  return { retries: writer.status().retries }
}

async function client() {
  setLogger({ error() {}, warn() {} })
  const agent = new Agent({ keepAlive: true })
  const api = new InfluxDB({ url, transportOptions: { agent } }).getWriteApi('', '', 'ns', {
    batchSize: batchLines,
    flushInterval: 1_000,
    maxRetries: 5,
  })
  api.path = `/write?${new URLSearchParams({ db: database })}`
  while (!isOver()) {
    const from = sent
    sent += frameRecords
    if (what === 'lines') api.writeRecords(Array.from({ length: frameRecords }, (_, i) => lineOf(from + i)))
    else {
      for (let n = from; n < sent; n += 1) {
        const point = new Point('requests')
          .tag('service', 'shop')
          .tag('host', 'web1')
          .tag('origin', 'origin-000000001')
          .tag('route', `/r${n % 50}`)
        api.writePoint(point.floatField('value', n % frameRecords).timestamp(String(startNs + BigInt(n))))
      }
    }
    // As an application would: the event loop goes round.
    await turn()
  }
  // What is under way when it is closed is not waited for; whoever reads the database knows.
  if (seconds === 0) await api.close()
  return { retries: 0 }
}

const { retries } = await (by === 'spillway' ? spillway() : client())
const { peakMiB, cpuSeconds } = usageOf(process.pid)
process.stdout.write(`${JSON.stringify({ startedAt: performance.timeOrigin + startedAtMs, peakMiB, cpuSeconds, retries, sent })}\n`, () => {
  if (seconds > 0) process.exit(0)
})
if (seconds === 0 && by === 'spillway') process.exitCode = 0

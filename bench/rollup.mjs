// How many points a second does the collector merge, from encoded frames to rolled-up series, and what do a series and a scrape cost?
import { paired, printTable, runApp, spread } from './support.mjs'

/** Shares of the types. A web service sends mostly counters, some gauges, and a histogram for every route. */
const mixes = {
  counters: { counter: 1 },
  gauges: { gauge: 1 },
  histograms: { histogram: 1 },
  mixed: { counter: 0.5, gauge: 0.3, histogram: 0.2 },
}

const errors = { where: 'res.statusCode >= 500' }
const rules = [
  { name: 'none: lines per level only', matching: 0 },
  { name: 'a level that cannot be', rule: { where: 'level >= "error"' }, matching: 0 },
  { name: 'a field no line has', rule: { where: 'err.code == "ECONNRESET"' }, matching: 0 },
  { name: 'a field every line has, no line matches', rule: errors, matching: 0 },
  { name: 'the same, one line in ten matches', rule: errors, matching: 0.1 },
  { name: 'every line is measured', rule: { value: 'responseTime' }, matching: 0 },
]

/** @param {{rounds: number, quick?: boolean}} options */
export async function run({ rounds }) {
  const results = await paired(Object.entries(mixes), rounds, ([, mix]) => runApp('roller.mjs', { mix }))
  const rows = [...results].map(([[name], each]) => [
    name,
    spread(each.map(({ pointsPerSecond }) => pointsPerSecond / 1e6)),
    spread(each.map(({ pointsPerCpuSecond }) => pointsPerCpuSecond / 1e6)),
    spread(
      each.map(({ decodeShare }) => 100 * decodeShare),
      0,
    ),
    spread(
      each.map(({ bytesPerPoint }) => bytesPerPoint),
      0,
    ),
  ])
  printTable(
    'Points merged, 20 processes × 500 series in frames of 64 KiB; a histogram point has 30 buckets',
    ['mix', 'million points/s', 'per CPU second', 'of it reading the frame, %', 'bytes/point on the wire'],
    rows,
  )
  const scrapes = await paired(Object.entries(mixes), rounds, ([, mix]) => runApp('scraped.mjs', { mix }))
  printTable(
    '10,000 series of 4 processes with 4 open windows: memory and a scrape',
    ['mix', 'KiB/series', 'text: ms', 'MiB', 'protobuf: ms', 'MiB'],
    [...scrapes].map(([[name], each]) => [
      name,
      spread(
        each.map(({ bytesPerSeries }) => bytesPerSeries / 1_024),
        1,
      ),
      spread(
        each.map(({ text }) => text.ms),
        0,
      ),
      spread(
        each.map(({ text }) => text.bytes / 2 ** 20),
        1,
      ),
      spread(
        each.map(({ protobuf }) => protobuf.ms),
        0,
      ),
      spread(
        each.map(({ protobuf }) => protobuf.bytes / 2 ** 20),
        1,
      ),
    ]),
  )
  const ruled = await paired(rules, rounds, (options) => runApp('log-ruler.mjs', options))
  printTable(
    'Metrics from log lines of 150 bytes, 300 to a frame',
    ['rule', 'CPU ns/line'],
    [...ruled].map(([{ name }, each]) => [
      name,
      spread(
        each.map(({ nsPerLine }) => nsPerLine),
        1,
      ),
    ]),
  )
}

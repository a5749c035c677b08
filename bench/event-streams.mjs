// What do open pages cost the collector: none, one and fifty, of what happens once a second, and of records as they come?
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { paired, printTable, runApp, spread, startCollector, usageOf, withTempDir } from './support.mjs'

const ratePerSecond = 5_000
const startMs = 3_000
const variants = [
  { name: 'no page', path: '', pages: 0 },
  { name: '1 × /events', path: '/api/v1/events', pages: 1 },
  { name: '50 × /events', path: '/api/v1/events', pages: 50 },
  { name: '1 × /live, all records', path: '/api/v1/live', pages: 1 },
  { name: '50 × /live, all records', path: '/api/v1/live', pages: 50 },
  { name: '50 × /live?level=error', path: '/api/v1/live?level=error', pages: 50 },
]

/** @param {{ rounds: number, seconds: number }} options */
export async function run({ rounds, seconds }) {
  const results = await paired(
    variants.map(({ name }) => name),
    rounds,
    (name) => measure(variants.find((variant) => variant.name === name) ?? { path: '', pages: 0 }, seconds),
  )
  printTable(
    `A collector of ${ratePerSecond.toLocaleString('en')} lines/s from one application, for ${seconds} s, ${rounds} rounds: median (min–max)`,
    ['open pages', '% of a core', 'peak RSS MiB', 'KB/s to all pages', 'records shown to a page, 1/s', 'skipped', 'lost'],
    variants.map(({ name, pages }) => {
      const all = results.get(name) ?? []
      return [
        name,
        spread(
          all.map(({ cpuShare }) => 100 * cpuShare),
          1,
        ),
        spread(
          all.map(({ peakMiB }) => peakMiB),
          0,
        ),
        spread(
          all.map(({ bytesPerSecond }) => bytesPerSecond / 1_000),
          0,
        ),
        pages === 0
          ? ''
          : spread(
              all.map(({ shownPerSecond }) => shownPerSecond),
              0,
            ),
        String(Math.max(...all.map(({ skipped }) => skipped))),
        String(Math.max(...all.map(({ lost }) => lost))),
      ]
    }),
  )
}

/** @param {{ path: string, pages: number }} variant @param {number} seconds */
function measure({ path, pages }, seconds) {
  return withTempDir(async (dir) => {
    const collector = await startCollector(dir)
    const streams = Array.from({ length: pages }, () => openPage(`http://${collector.http}${path}`))
    const startsAtMs = Date.now() + startMs
    const logging = runApp('mixed.mjs', {
      collector: collector.data,
      service: 'shop',
      ratePerSecond,
      seconds: seconds + 4,
      errorEvery: 50,
      startsAtMs,
    })
    // From the second second to the last but one: beginnings and ends are not what is asked for.
    await sleep(startMs + 2_000)
    const before = usageOf(collector.child.pid)
    const [bytesBefore, shownBefore, atMs] = [bytesOf(streams), shownOf(streams[0]), performance.now()]
    await sleep(1_000 * seconds)
    const { cpuSeconds, peakMiB } = usageOf(collector.child.pid)
    const took = (performance.now() - atMs) / 1_000
    const [bytes, shown] = [bytesOf(streams) - bytesBefore, shownOf(streams[0]) - shownBefore]
    await logging
    const { lost } = await collector.totals()
    for (const stream of streams) stream.close()
    await collector.stop()
    return {
      cpuShare: (cpuSeconds - before.cpuSeconds) / took,
      peakMiB,
      bytesPerSecond: bytes / took,
      shownPerSecond: shown / took,
      skipped: Math.max(0, ...streams.map(({ counts }) => counts()?.skipped ?? 0)),
      lost: Object.values(lost).reduce((sum, records) => sum + records, 0),
    }
  })
}

/** @typedef {ReturnType<typeof openPage>} Page */

/** @param {readonly Page[]} pages */
function bytesOf(pages) {
  return pages.reduce((sum, page) => sum + page.bytes(), 0)
}

/** As the page was told last. @param {Page | undefined} page */
function shownOf(page) {
  return page?.counts()?.shown ?? 0
}

/** Reads everything and looks at the counts only. @param {string} url */
function openPage(url) {
  let bytes = 0
  /** @type {{ shown: number, skipped: number } | undefined} */
  let counts
  const asked = request(url, { agent: false }, (response) => {
    response.setEncoding('latin1').on('data', (part) => {
      bytes += part.length
      const at = part.lastIndexOf('event: counts\n')
      const data = at === -1 ? undefined : /^event: counts\ndata: (.*)\n/.exec(part.slice(at))?.[1]
      if (data !== undefined) counts = JSON.parse(data)
    })
  })
  asked.on('error', () => {})
  asked.end()
  return { bytes: () => bytes, counts: () => counts, close: () => asked.destroy() }
}

/** `spillway query` as a command: over real files, beside a running collector, with readers that leave. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { keep, linesOf, padding, startMs, textOf } from '../collector/query/kept-files.ts'
import { cli, runApp, startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { runCli, startCli } from './run-cli.ts'

async function shop(): Promise<Awaited<ReturnType<typeof tempDir>>> {
  const dir = await tempDir()
  const lines = linesOf(600, (n) => ({
    hostname: 'web-1',
    res: { statusCode: n % 10 === 0 ? 503 : 200 },
    responseTime: n % 100,
    msg: `request "${n}", done`,
  }))
  keep(dir.path, 'logs/checkout/2026-05-31.ndjson', textOf(lines.slice(300)))
  keep(dir.path, 'logs/checkout/2026-05-31.1.ndjson.gz', textOf(lines.slice(0, 300)))
  keep(dir.path, 'logs/cart/2026-05-31.ndjson', textOf(linesOf(50)))
  return dir
}

const query = (dir: string, ...args: readonly string[]) => runCli(['query', '--dir', dir, ...args])
const rows = (text: string) => text.split('\n').slice(0, -1)

describe('spillway query', () => {
  test('finds by condition, service, level, text and topic, in the order of time', async () => {
    await using dir = await shop()
    for (const args of [
      ['res.statusCode >= 500'],
      ['--where', 'res.statusCode >= 500'],
      ['--level', 'error', '--service', 'checkout'],
      ['log.error.checkout.>'],
      ['--grep', '"statusCode":503'],
      ['--where', 'level == "error"', 'log.*.checkout.>', '--where', 'host == "web-1" // a comment'],
    ]) {
      await using run = await query(dir.path, ...args)
      expect([run.code, run.stderr]).toEqual([0, ''])
      const found = rows(run.stdout).map((line) => (JSON.parse(line) as { n: number }).n)
      expect([args, found]).toEqual([args, Array.from({ length: 60 }, (_, i) => i * 10)])
    }
  })

  test('takes times as durations and as dates, and says what it cannot take', async () => {
    await using dir = await shop()
    await using run = await query(
      dir.path,
      '--service',
      'checkout',
      '--since',
      '2026-05-31T12:01:00Z',
      '--until',
      '2026-05-31T12:02:00Z',
      '--count',
    )
    expect(run.stdout).toBe('60\n')
    await using ago = await query(dir.path, '--since', `${Date.now() - startMs - 540_000}ms`, '--count')
    expect(Number(ago.stdout)).toBeGreaterThan(40)
    expect(Number(ago.stdout)).toBeLessThanOrEqual(60)
  })

  test.each([
    [['--since', 'yesterday'], '--since: expected a duration'],
    [['--since', '1h', '--until', '2h'], '--until: expected a time after'],
    [['--level', 'loud'], '--level: expected one of'],
    [['res.statusCode = 500'], 'condition, column 16: unexpected "="; write =='],
    [['--where', 'ok', '--where', 'a ~ b'], '--where, column 3'],
    [['log.>.x'], 'pattern'],
    [['--json', '--csv'], 'give one of them'],
    [['--count', '--follow'], 'give one of them'],
    [['--follow', '--until', '1m'], 'no --until'],
    [['--every', 'often'], '--every: expected a duration'],
    [['--fields', 'a,,b'], '--fields: expected names'],
    [['--dir', '.', '-c', 'x.yaml'], 'give one of them'],
    [['--sql', 'select 1'], 'npm install @duckdb/node-api'],
  ])('%j is wrong usage', async (args, words) => {
    await using dir = await shop()
    await using run = await runCli(['query', ...(args.includes('--dir') ? [] : ['--dir', dir.path]), ...args])
    expect([run.code, run.stdout]).toEqual([2, ''])
    expect(run.stderr).toContain(words)
  })

  test('a folder that is not there is said, with what to do', async () => {
    await using dir = await tempDir()
    await using run = await runCli(['query'], { cwd: dir.path })
    expect([run.code, run.stdout]).toEqual([1, ''])
    expect(run.stderr).toMatch(/spillway-data\/logs: there is no such folder; --dir says where/)
  })

  test('counts, groups, describes and draws', async () => {
    await using dir = await shop()
    const answer = async (...args: string[]) => {
      await using run = await query(dir.path, ...args)
      expect([run.code, run.stderr]).toEqual([0, ''])
      return rows(run.stdout)
    }
    expect(await answer('--count')).toEqual(['650'])
    expect(await answer('--count', '--json')).toEqual(['{"count":650}'])
    expect(await answer('--by', 'service')).toEqual(['{"service":"checkout","count":600}', '{"service":"cart","count":50}'])
    expect(await answer('--by', 'res.statusCode', '--csv')).toEqual(['res.statusCode,count', '200,540', '503,60', '(none),50'])
    expect(await answer('--stats', 'responseTime', '--service', 'checkout')).toEqual([
      '{"count":600,"values":600,"min":0,"p50":49,"p95":94,"p99":98,"max":99,"mean":49.5}',
    ])
    expect(await answer('--every', '5m')).toEqual([
      '{"time":"2026-05-31T12:00:00.000Z","count":350}',
      '{"time":"2026-05-31T12:05:00.000Z","count":300}',
    ])
    const drawn = await answer('--every', '5m', '--pretty')
    expect(drawn).toHaveLength(2)
    const bar = (line = '') => line.replaceAll(/[^█]/g, '').length
    expect(bar(drawn[0])).toBeGreaterThan(bar(drawn[1]))
    expect(bar(drawn[1])).toBeGreaterThan(10)
    expect(await answer('--stats', 'nothing', '--by', 'level', '--pretty')).toEqual(
      expect.arrayContaining([expect.stringMatching(/^info +585 +0 +– +–/)]),
    )
  })

  test('prints fields as JSON and CSV, and lines for people with their date', async () => {
    await using dir = await shop()
    await using json = await query(dir.path, '--fields', 'n,res.statusCode,nothing', '--limit', '1', '--service', 'checkout')
    expect(json.stdout).toBe('{"n":0,"res.statusCode":503}\n')
    await using csv = await query(dir.path, '--csv', '--limit', '1', '--service', 'checkout')
    expect(csv.stdout).toBe('time,level,service,msg\n2026-05-31T12:00:00.000Z,error,checkout,"request ""0"", done"\n')
    await using pretty = await query(dir.path, '--pretty', '--limit', '2', '--service', 'checkout')
    expect(rows(pretty.stdout)).toEqual([
      expect.stringMatching(/^── \d{4}-\d\d-\d\d ──$/),
      expect.stringMatching(/ ERROR checkout 503 0ms request "0", done /),
      expect.stringMatching(/ INFO {2}checkout 200 1ms request "1", done /),
    ])
  })

  test('gives lines byte for byte, also those that are not UTF-8', async () => {
    await using dir = await tempDir()
    const bytes = Buffer.concat([
      Buffer.from('{"level":30,"msg":"ä😀 '),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}\n{"level":30,"msg":"\u001b[31mä"}\n'),
    ])
    keep(dir.path, 'a/2026-05-31.ndjson', bytes)
    const child = spawn(process.execPath, [cli, 'query', '--dir', dir.path])
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(child, 'close')
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
  })

  test('says what it could not use, and fails when a file could not be read whole', async () => {
    await using dir = await shop()
    writeFileSync(join(dir.path, 'logs/cart/2026-06-01.ndjson.gz'), 'no gzip at all')
    appendFileSync(join(dir.path, 'logs/cart/2026-05-31.ndjson'), 'no json\n')
    await using run = await query(dir.path, '--limit', '1000')
    expect([run.code, rows(run.stdout).length]).toEqual([1, 651])
    expect(run.stderr).toMatch(/could not read .*2026-06-01\.ndjson\.gz: incorrect header check/)
    expect(run.stderr).toMatch(/1 line is no JSON object/)
  })

  test('finds files by the configuration of a collector', async () => {
    await using dir = await tempDir()
    keep(dir.path, 'kept/error-shop.2026-05-31.ndjson', textOf([{ time: startMs, n: 1 }]))
    writeFileSync(
      join(dir.path, 'spillway.yaml'),
      `sinks:\n  f: { type: file, path: '${join(dir.path, 'kept')}/{level}-{service}.{date}.ndjson' }\n`,
    )
    await using run = await runCli(['query', '-c', join(dir.path, 'spillway.yaml'), 'service == "shop" && level == "error"'])
    expect([run.stderr, run.stdout]).toEqual(['', `{"time":${startMs},"n":1}\n`])
  })

  test('reads what a running collector has written', async () => {
    await using collector = await startCollector()
    await using app = await runApp('count.mjs', { args: ['1000', 'fall-off'], env: collector.env })
    expect(app.code).toBe(0)
    await collector.kept('counted', 1_000)
    await using run = await query(collector.dir, '--service', 'counted', '--since', '10m', '--count')
    expect([run.stderr, run.stdout]).toEqual(['', '1000\n'])
  })
})

describe('an end', () => {
  async function large(): Promise<Awaited<ReturnType<typeof tempDir>>> {
    const dir = await tempDir()
    keep(dir.path, 'a/2026-05-31.ndjson', textOf(linesOf(40_000, () => ({ pad: padding }))))
    return dir
  }

  test('of the reader is a clean one', async () => {
    await using dir = await large()
    const child = spawn('sh', ['-c', '"$0" "$1" query --dir "$2" | head -n 2', process.execPath, cli, dir.path])
    let out = ''
    let words = ''
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      words += chunk
    })
    await once(child, 'close')
    expect([rows(out).length, words]).toEqual([2, ''])
  })

  test('by Ctrl-C, also with a reader that has stopped, is said', async () => {
    await using dir = await large()
    const child = spawn(process.execPath, [cli, 'query', '--dir', dir.path], { stdio: ['ignore', 'pipe', 'pipe'] })
    let words = ''
    child.stderr.on('data', (chunk) => {
      words += chunk
    })
    await once(child.stdout, 'readable')
    child.kill('SIGINT')
    const [code] = await once(child, 'exit')
    expect(code).toBe(130)
    expect(words).toContain('interrupted; there may be more')
    child.stdout.destroy()
  })
})

describe('spillway query --follow', () => {
  test('goes on with what is written, over a rotation and a new file, with no line missing and none twice', async () => {
    await using dir = await tempDir()
    const path = keep(dir.path, 'a/2026-05-31.ndjson', textOf(linesOf(10)), { isActive: true })
    await using run = startCli(['query', '--dir', dir.path, '--follow', '--where', 'n >= 5'])
    const found = () => rows(run.stdout).map((line) => (JSON.parse(line) as { n: number }).n)
    const upTo = (n: number) => Array.from({ length: n - 5 }, (_, i) => i + 5)
    const append = (from: number, to: number) => appendFileSync(path, textOf(linesOf(to).slice(from)))
    await until(() => found().length === 5, { what: 'what was there' })
    append(10, 20)
    appendFileSync(path, '{"level":30,"n":2')
    await until(() => found().length === 15, { what: 'what was written' })
    appendFileSync(path, '0}\n')
    await until(() => found().length === 16, { what: 'the line that was finished' })
    append(21, 30)
    renameSync(path, join(dir.path, 'a/2026-05-31.1.ndjson'))
    append(30, 40)
    keep(dir.path, 'b/2026-05-31.ndjson', textOf(linesOf(41).slice(40)), { isActive: true })
    await until(() => found().length >= 36, { what: 'what came after the rotation' })
    run.kill('SIGINT')
    const { code } = await run.ended
    expect(found().sort((a, b) => a - b)).toEqual(upTo(41))
    expect([code, run.stderr]).toEqual([0, ''])
  })

  test('ends at its limit', async () => {
    await using dir = await tempDir()
    const path = keep(dir.path, 'a/2026-05-31.ndjson', textOf(linesOf(3)), { isActive: true })
    await using run = startCli(['query', '--dir', dir.path, '--follow', '--limit', '5'])
    await until(() => rows(run.stdout).length === 3, { what: 'what was there' })
    appendFileSync(path, textOf(linesOf(9).slice(3)))
    expect((await run.ended).code).toBe(0)
    expect(rows(run.stdout)).toHaveLength(5)
  })
})

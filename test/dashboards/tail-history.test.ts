/** `spillway tail --since` and `--last`: records of the files first, then those that come; none missing, none twice. */
import { expect, test } from 'vitest'
import { runCli, startCli } from '../cli/run-cli.ts'
import { configFor, startSteady, stopSteady } from '../collector/spooling.ts'
import { freePorts, type RunningProcess, startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

const numbersIn = (text: string): number[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { n: number }).n)

/** Each number once, from the first to the last, whatever the order. */
function expectWhole(numbers: readonly number[], { from, to }: { readonly from: number; readonly to: number }): void {
  const sorted = [...numbers].sort((a, b) => a - b)
  const twice = sorted.filter((n, i) => i > 0 && n === sorted[i - 1])
  const there = new Set(sorted)
  const missing = Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((n) => !there.has(n))
  expect({ twice: twice.slice(0, 10), missing: missing.slice(0, 10), first: sorted[0], last: sorted.at(-1) }).toEqual({
    twice: [],
    missing: [],
    first: from,
    last: to,
  })
}

const tailAt = (collector: TestCollector, args: readonly string[]): RunningProcess =>
  startCli(['tail', '--connect', collector.tail, '--http', collector.http.replace('http://', ''), '--json', ...args])

async function logged(collector: TestCollector, more: number): Promise<void> {
  const { accepted } = (await collector.status()).totals
  await until(async () => (await collector.status()).totals.accepted >= accepted + more, { what: `${more} more lines` })
}

test.each([1, 2, 3])('tails that begin while an application logs as fast as it can: nothing missing, nothing twice (%d)', async () => {
  await using dir = await tempDir()
  // Files are rotated several times a second.
  await using collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { upkeep: 'compress: gzip' }) })
  await using app = await startSteady(collector, { perTick: 30, padBytes: 100 })
  await logged(collector, 3_000)
  const tails = [tailAt(collector, ['--since', '1h']), tailAt(collector, ['--since', '1h', '--service', 'steady', '--where', 'n >= 0'])]
  await logged(collector, 15_000)
  const count = await stopSteady(app)
  await until(() => tails.every((tail) => tail.stdout.includes(`"n":${count - 1},`) || tail.stdout.includes(`"n":${count - 1}}`)), {
    what: 'the last line is shown by all',
    timeoutMs: 15_000,
  }).catch((error: unknown) => {
    const told = tails.map(({ stdout, stderr }) => ({ lines: numbersIn(stdout).length, last: numbersIn(stdout).at(-1), stderr }))
    throw new Error(`${count} lines were logged; ${JSON.stringify(told)}`, { cause: error })
  })
  for (const tail of tails) {
    tail.kill('SIGTERM')
    await tail.ended
    expect(tail.stderr).not.toMatch(/missed|dropped/)
    expectWhole(numbersIn(tail.stdout), { from: 0, to: count - 1 })
  }
})

test('--last: the newest so many, and what comes', async () => {
  await using dir = await tempDir()
  await using collector = await startCollector({ dir: dir.path })
  await using app = await startSteady(collector, { perTick: 30, padBytes: 100 })
  await logged(collector, 2_000)
  const count = await stopSteady(app)
  await using tail = tailAt(collector, ['--last', '50', '--limit', '50'])
  expect(await tail.ended).toMatchObject({ code: 0 })
  expectWhole(numbersIn(tail.stdout), { from: count - 50, to: count - 1 })
})

test('a time that is none, and a collector that answers nothing, are told, with exit code 1 or 2', async () => {
  await using collector = await startCollector()
  await using wrong = tailAt(collector, ['--since', 'yesterday'])
  expect(await wrong.ended).toMatchObject({ code: 1 })
  expect(wrong.stderr).toMatch(/since: expected .*how long ago.*"yesterday"/)
  const port = await freePorts()
  await using deaf = startCli(['tail', '--connect', collector.tail, '--http', `127.0.0.1:${port}`, '--last', '5'])
  expect(await deaf.ended).toMatchObject({ code: 1 })
  expect(deaf.stderr).toMatch(new RegExp(`no history from 127.0.0.1:${port}: no collector answers`))
  expect(await runCli(['tail', '--http', '127.0.0.1:7700', '--connect', collector.tail])).toMatchObject({ code: 2 })
})

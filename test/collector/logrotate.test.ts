/** Debian's logrotate beside a collector that is written to all the time, in both of its ways. */
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { findLogrotate, type Logrotate } from '../support/logrotate.ts'
import { startCollector, type TestCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { configFor, missingAndTwice, numbersOf, settled, startSteady, stopSteady } from './spooling.ts'

const logrotate: Logrotate = await findLogrotate()
const rounds = 8

interface Rotating extends AsyncDisposable {
  readonly collector: TestCollector
  readonly folder: string
  /** Has logrotate do its work once there is something to rotate. */
  rotate(): Promise<void>
  /** Text of all files, oldest first. */
  texts(): string[]
}

/** @param way - What stands in logrotate's configuration for these files. */
async function rotating(way: (collector: TestCollector) => string): Promise<Rotating> {
  const dir = await tempDir()
  const sinks = `files: { type: file, path: '${dir.path}/logs/{service}/app.ndjson', rotate: { size: 1GiB } }`
  const collector = await startCollector({ dir: dir.path, args: configFor(dir.path, { sinks }) })
  const folder = join(dir.path, 'logs', 'steady')
  const config = join(dir.path, 'logrotate.conf')
  writeFileSync(config, `${folder}/app.ndjson {\n  rotate 100\n  missingok\n  notifempty\n  ${way(collector)}\n}\n`)
  // It trusts no configuration that others can write to.
  chmodSync(config, 0o644)
  const current = join(folder, 'app.ndjson')
  return {
    collector,
    folder,
    async rotate() {
      await until(() => existsSync(current) && statSync(current).size > 20_000, { what: 'there is something to rotate' })
      await logrotate.force(config, join(dir.path, 'logrotate.state'))
    },
    texts() {
      const number = (name: string) => Number(name.split('.')[2] ?? 0)
      const names = readdirSync(folder).sort((a, b) => number(b) - number(a))
      return names.map((name) => readFileSync(join(folder, name), 'utf8'))
    },
    async [Symbol.asyncDispose]() {
      await collector[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

const linesOf = (texts: readonly string[]) => texts.flatMap((text) => text.split('\n').slice(0, -1))

test.each(['create', 'nocreate'])('renaming (%s) and SIGHUP, under load: no line is lost, split or doubled', async (create) => {
  await using it = await rotating(
    ({ process: { pid } }) => `${create === 'create' ? 'create 0640' : 'nocreate'}\n  postrotate\n    kill -HUP ${pid}\n  endscript`,
  )
  await using app = await startSteady(it.collector, { padBytes: 200 })
  for (let round = 0; round < rounds; round += 1) await it.rotate()
  const logged = await stopSteady(app)
  await settled(it.collector, logged)
  const texts = it.texts()
  expect(texts.length).toBe(rounds + 1)
  for (const text of texts) expect(text === '' || text.endsWith('\n')).toBe(true)
  expect(missingAndTwice(linesOf(texts), logged)).toEqual({ missing: '', twice: '' })
})

test('copying and truncating, under load: no hole, no line in two pieces or twice; what is lost came while it copied', async () => {
  await using it = await rotating(() => 'copytruncate')
  await using app = await startSteady(it.collector, { padBytes: 200 })
  for (let round = 0; round < rounds; round += 1) await it.rotate()
  const logged = await stopSteady(app)
  await settled(it.collector, logged)
  const texts = it.texts()
  expect(texts.length).toBe(rounds + 1)
  // A writer that kept its offset would leave a hole in front, which reads as NUL.
  for (const text of texts) expect(text).not.toContain('\0')
  for (const name of readdirSync(it.folder)) {
    const { blocks, size } = statSync(join(it.folder, name))
    expect(blocks * 512).toBeGreaterThanOrEqual(size)
  }
  // The copy may end in the middle of a line whose end was cut away; nothing else is torn.
  const whole = texts.flatMap((text) => linesOf([text.slice(0, text.lastIndexOf('\n') + 1)]))
  const numbers = numbersOf(whole)
  expect(new Set(numbers).size).toBe(numbers.length)
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
  // Each time at most one stretch is missing: it stands between the end of a copy and the beginning of what follows.
  const gaps = numbers.filter((n, i) => i > 0 && n !== (numbers[i - 1] ?? 0) + 1)
  expect(gaps.length).toBeLessThanOrEqual(rounds)
})

test('copied and truncated, and killed at once: nothing that was copied is written again', async () => {
  await using it = await rotating(() => 'copytruncate')
  await using app = await startSteady(it.collector, { padBytes: 200 })
  await it.rotate()
  const { written = 0 } = (await it.collector.status()).sinks['files'] ?? {}
  await until(async () => ((await it.collector.status()).sinks['files']?.written ?? 0) > written + 50, { what: 'it goes on' })
  it.collector.process.kill('SIGKILL')
  await it.collector.process.ended
  await using second = await startCollector({
    dir: it.collector.dir,
    args: ['-c', join(it.collector.dir, 'spillway.yaml')],
    port: it.collector.port,
  })
  const logged = await stopSteady(app)
  await settled(second, logged)
  const numbers = numbersOf(linesOf(it.texts().map((text) => text.slice(0, text.lastIndexOf('\n') + 1))))
  expect(new Set(numbers).size).toBe(numbers.length)
})

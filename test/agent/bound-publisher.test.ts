/** An application that binds, and live tails that connect to it without a collector. */
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createAgent } from '../../agent/shared.ts'
import { startCli } from '../cli/run-cli.ts'
import { type RunningProcess, startApp, startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

const startTail = (endpoint: string, ...args: string[]) => startCli(['tail', '--connect', endpoint, ...args])
const linesOf = (tail: RunningProcess) => tail.stdout.split('\n').slice(0, -1)
const numbersOf = (tail: RunningProcess) =>
  linesOf(tail).flatMap((line) => {
    const { n } = JSON.parse(line) as { n?: number }
    return n === undefined ? [] : [n]
  })
const missedBy = (tail: RunningProcess) =>
  [...tail.stderr.matchAll(/([\d,]+) records missed/g)].reduce((sum, [, count = '']) => sum + Number(count.replaceAll(',', '')), 0)

test('sends to several tails what each asks for, and to nobody what none does; goodbye comes with the last line', async () => {
  await using dir = await tempDir()
  const bind = `ipc://${join(dir.path, 'made/tail.sock')}`
  const agent = createAgent({ service: 'bound', bind })
  const log = pino({ base: null }, agent.destination())
  await until(() => agent.stats().bind?.state === 'listening', { what: 'it listens' })
  expect(statSync(join(dir.path, 'made')).mode & 0o777).toBe(0o700)
  for (let n = 0; n < 100; n += 1) log.info('nobody there')
  agent.closeBatches()
  expect(agent.stats()).toMatchObject({ accepted: 0, filtered: 100, links: [] })

  await using all = startTail(bind, 'log.info.bound.>', 'log.error.>')
  await using errors = startTail(bind, 'log.error.>')
  await until(
    () => {
      log.info('probe')
      log.error('probe')
      return all.stdout.includes('"level":30') && all.stdout.includes('"level":50') && errors.stdout.includes('probe')
    },
    { what: 'both tails are there' },
  )
  for (let n = 0; n < 5_000; n += 1) {
    log.info({ n }, 'line')
    if (n % 100 === 0) await agent.flush()
  }
  log.error({ n: 5_000 }, 'the end')
  await agent.close()
  for (const tail of [all, errors]) await tail.says(/the end/)
  expect(numbersOf(all).sort((a, b) => a - b)).toEqual(Array.from({ length: 5_001 }, (_, n) => n))
  expect(numbersOf(errors)).toEqual([5_000])
  expect(all.stderr + errors.stderr).not.toContain('missed')
})

test('a tail that has stopped misses records, counts exactly those, and holds up neither the application nor another tail', async () => {
  await using dir = await tempDir()
  const bind = `ipc://${join(dir.path, 'tail.sock')}`
  const agent = createAgent({ service: 'lossy', bind })
  const log = pino({ base: null }, agent.destination())
  await using reading = startTail(bind)
  await using stopped = startTail(bind)
  await until(
    () => {
      log.info('probe')
      return reading.stdout.includes('probe') && stopped.stdout.includes('probe')
    },
    { what: 'both tails are there' },
  )
  const text = 'x'.repeat(4_000)
  const shown = () => numbersOf(reading).length
  stopped.kill('SIGSTOP')
  let n = 0
  // More than the sockets and the queue hold.
  while (n < 10_000) {
    for (let i = 0; i < 100; i += 1, n += 1) log.info({ n, text })
    await until(() => shown() === n, { what: 'the other one has it' })
  }
  stopped.kill('SIGCONT')
  await until(() => missedBy(stopped) > 0 && numbersOf(stopped).length + missedBy(stopped) === n, { what: 'all is shown or counted' })
  expect(numbersOf(reading)).toEqual(Array.from({ length: n }, (_, i) => i))
  expect(reading.stderr).not.toContain('missed')
  await agent.close()
})

test('a tail asks an application directly, and is believed for as long as it gives signs of life', async () => {
  await using dir = await tempDir()
  const bind = `ipc://${join(dir.path, 'tail.sock')}`
  await using app = startApp('debugs.mjs', { args: ['direct', '20', JSON.stringify({ bind })] })
  await using tail = startTail(bind, 'log.debug.direct.>')
  await tail.says(/lateOwn/)
  await app.says(new RegExp(`logging debug of direct on demand of .+ \\(pid ${tail.pid}\\)`))
  tail.kill('SIGSTOP')
  await app.says(/no longer logging on demand/)
  expect(JSON.parse(app.stdout.split('\n').at(-2) ?? '')).toMatchObject({ enabled: ['info:false', 'info:false', 'warn:false'] })
})

test('never takes the place of a socket that answers, and takes its own when that is free', async () => {
  await using dir = await tempDir()
  const bind = `ipc://${join(dir.path, 'tail.sock')}`
  const options = JSON.stringify({ bind })
  await using first = startApp('debugs.mjs', { args: ['twice', '20', options] })
  await using tail = startTail(bind, 'log.info.twice.>')
  await tail.says(new RegExp(`"pid":${first.pid}`))
  await using second = startApp('debugs.mjs', { args: ['twice', '20', options] })
  await second.says(/spillway: bind: ipc:.+ is taken, perhaps by another process of the same application/)
  const shown = linesOf(tail).length
  await until(() => linesOf(tail).length > shown + 50, { what: 'the first is still heard' })
  expect(tail.stdout).not.toContain(`"pid":${second.pid}`)
  // Killed, it leaves its socket behind.
  first.kill('SIGKILL')
  await tail.says(new RegExp(`"pid":${second.pid}`))
})

test('refuses what cannot be meant: a file at its path, an address others can reach', async () => {
  await using dir = await tempDir()
  const path = join(dir.path, 'plain')
  writeFileSync(path, 'kept')
  expect(() => createAgent({ service: 'refused', bind: `ipc://${path}` })).toThrow(/is not a socket; choose another path/)
  expect(statSync(path).size).toBe(4)
  expect(() => createAgent({ service: 'refused', bind: 'tcp://0.0.0.0:7799' })).toThrow(
    /can be reached from other machines.+pass insecure: true/,
  )
  expect(() => createAgent({ service: 'refused', bind: 'nowhere' })).toThrow(/bind: expected tcp/)
})

test('with a collector as well: each line goes both ways', async () => {
  await using collector = await startCollector()
  await using dir = await tempDir()
  const bind = `ipc://${join(dir.path, 'tail.sock')}`
  const agent = createAgent({ service: 'both', bind, collector: collector.data })
  const log = pino({ base: null }, agent.destination())
  await using tail = startTail(bind, 'log.info.both.>')
  let probes = 0
  await until(
    () => {
      log.info('probe')
      probes += 1
      return tail.stdout.includes('probe')
    },
    { what: 'the tail is there' },
  )
  for (let n = 0; n < 2_000; n += 1) log.info({ n, text: 'x'.repeat(200) })
  log.info('the end')
  await tail.says(/the end/)
  expect(numbersOf(tail)).toEqual(Array.from({ length: 2_000 }, (_, n) => n))
  expect(await agent.close()).toEqual({ left: 0 })
  expect(await collector.kept('both', 2_001 + probes)).toHaveLength(2_001 + probes)
})

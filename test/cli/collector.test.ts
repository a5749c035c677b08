import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { drainMaxMs } from '../../wire/limits.ts'
import { logTopic } from '../../wire/topic.ts'
import { HandMadeAgent } from '../collector/hand-made-agent.ts'
import { freePorts, keptLines, runApp, startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { runCli, startCli } from './run-cli.ts'

const topic = logTopic('info', 'hand')

async function squatter(port: number): Promise<AsyncDisposable> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) }
}

test('says on one screen where it listens, what it receives and where it keeps it', async () => {
  await using collector = await startCollector()
  const screen = collector.process.stdout.split('\n')
  expect(screen.length).toBeLessThan(24)
  for (const line of screen) expect(line.length).toBeLessThan(120)
  for (const endpoint of [collector.data, collector.control, collector.tail, `http://${collector.http}/status.json`]) {
    expect(collector.process.stdout).toContain(endpoint)
  }
  expect(collector.process.stdout).toContain('log.>  metric.>')
  expect(collector.process.stdout).toContain(join(collector.dir, 'logs', '{service}', '{date}.ndjson'))
  expect(collector.process.stdout).toContain(`pid ${collector.process.pid}`)
  expect(collector.process.stderr).toBe('')
})

test.each(['SIGINT', 'SIGTERM'] as const)('%s: writes everything it has taken, frees folder and ports, exits with 0', async (signal) => {
  await using collector = await startCollector()
  await using agent = await HandMadeAgent.connect(collector)
  const lines = Array.from({ length: 20_000 }, (_, n) => JSON.stringify({ n }))
  for (let at = 0; at < lines.length; at += 500) await agent.lines(topic, at, lines.slice(at, at + 500))
  // Taken, and most of it not yet written.
  await until(async () => (await collector.status()).totals.accepted === lines.length, { what: 'everything is taken' })
  const startedAtMs = performance.now()
  collector.process.kill(signal)
  expect(await collector.process.ended).toEqual({ code: 0, signal: null })
  expect(performance.now() - startedAtMs).toBeLessThan(drainMaxMs)
  expect(collector.lines('hand')).toEqual(lines)
  expect(collector.process.stdout).toMatch(/stopped: 20,000 accepted, 20,000 delivered, 0 lost, 0 waiting in the spool, 0 still with/)
  expect(existsSync(join(collector.dir, 'collector.lock'))).toBe(false)
  await using _again = await startCollector({ dir: collector.dir, port: collector.port })
})

test('ends within its time when a file cannot be written, and says that its records are in the spool; the next one writes them', async () => {
  await using dir = await tempDir()
  writeFileSync(join(dir.path, 'logs'), 'a file where the folder should be')
  await using collector = await startCollector({ dir: dir.path })
  await using agent = await HandMadeAgent.connect(collector)
  await agent.lines(topic, 0, ['kept later'])
  await until(async () => (await collector.status()).sinks['files']?.error, { what: 'the sink fails' })
  await agent.manifest({ topics: { [topic]: { lead: 3, sent: 1 } } })
  await until(async () => (await collector.status()).totals.accepted === 3, { what: 'more is known to come' })
  const startedAtMs = performance.now()
  collector.process.kill('SIGTERM')
  expect((await collector.process.ended).code).toBe(0)
  expect(performance.now() - startedAtMs).toBeLessThan(drainMaxMs + 1_500)
  expect(collector.process.stdout).toMatch(/3 accepted, 0 delivered, 0 lost, 1 waiting in the spool, 2 still with their applications/)
  rmSync(join(dir.path, 'logs'))
  await using next = await startCollector({ dir: dir.path })
  expect(await next.kept('hand', 1)).toEqual(['kept later'])
})

describe('wrong usage: exit 2, and what to change', () => {
  test.each([
    [['--listen', '7701'], /--listen: expected HOST:PORT, such as 127\.0\.0\.1:7701/],
    [['--listen', '127.0.0.1:99999'], /--listen: expected tcp:\/\/HOST:PORT/],
    [['--http', 'yes'], /--http: expected HOST:PORT, such as 127\.0\.0\.1:7700, or off/],
    [['--subscribe', 'log..>'], /--subscribe: pattern "log\.\.>": expected tokens/],
    [['--no-such-flag'], /unknown option '--no-such-flag'/],
    [['--lisen', 'x'], /unknown option '--lisen'\s+\(Did you mean --listen\?\)/],
    [['--dir'], /option '--dir <dir>' argument missing/],
    [['surplus'], /too many arguments/],
    [['-c', '/no/such/file.yaml'], /\/no\/such\/file\.yaml: there is no such file/],
    [
      ['--listen', '0.0.0.0:7701', '--http', 'off'],
      /listen\.data: 0\.0\.0\.0 can be reached from other machines.*Bind 127\.0\.0\.1, or set "insecure: true"/,
    ],
    [['--listen', '127.0.0.1:0', '--http', '0.0.0.0:0'], /listen\.http: 0\.0\.0\.0 can be reached from other machines/],
    [['--listen', '*:0', '--http', 'off'], /listen\.data: \* can be reached/],
    [['--listen', '[::]:0', '--http', 'off'], /listen\.data: :: can be reached/],
    [['--listen', 'ipc:///dev/null/data', '--http', 'off'], /cannot make a socket at \/dev\/null\/data[.a-z]*: .*choose another path/],
  ])('%j', async (args, message) => {
    await using dir = await tempDir()
    await using run = await runCli(['collector', ...(args[0] === '--dir' ? [] : ['--dir', join(dir.path, 'd')]), ...args])
    expect(run.code).toBe(2)
    expect(run.stderr).toMatch(message)
    expect(run.stderr).not.toMatch(/^\s+at /m)
    expect(run.stdout).toBe('')
  })

  test('a configuration: every error with file, line and column', async () => {
    await using dir = await tempDir()
    const file = join(dir.path, 'bad.yaml')
    writeFileSync(file, 'listen:\n  dta: x\nsubscribe: [log..]\n')
    await using run = await runCli(['collector', '-c', file])
    expect(run.code).toBe(2)
    expect(run.stderr).toContain(`${file}:2:3: listen.dta: unknown key; did you mean "data"?`)
    expect(run.stderr).toContain(`${file}:3:13: subscribe.0: pattern "log.."`)
  })
})

describe('what is in the way: exit 1, a plain message, no lock left behind', () => {
  test.each([
    ['data', 0],
    ['control', 1],
    ['tail', 2],
  ])('the %s port is taken', async (what, offset) => {
    await using dir = await tempDir()
    const port = await freePorts()
    await using _squatter = await squatter(port + offset)
    await using run = await runCli(['collector', '--dir', dir.path, '--listen', `127.0.0.1:${port}`, '--http', 'off'])
    expect(run.code).toBe(1)
    expect(run.stderr).toBe(
      `spillway: ${what}: tcp://127.0.0.1:${port + offset} is taken, perhaps by another collector; stop that one, or choose other ports with --listen HOST:PORT (and --http HOST:PORT)\n`,
    )
    expect(readdirSync(dir.path)).toEqual(['spool'])
  })

  test('the http port is taken', async () => {
    await using dir = await tempDir()
    const port = await freePorts()
    await using _squatter = await squatter(port)
    await using run = await runCli(['collector', '--dir', dir.path, '--listen', '127.0.0.1:0', '--http', `127.0.0.1:${port}`])
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(new RegExp(`^spillway: http: 127\\.0\\.0\\.1:${port} is taken.*\\n$`))
    expect(readdirSync(dir.path)).toEqual(['spool'])
  })

  test('another collector holds the folder, and goes on undisturbed', async () => {
    await using collector = await startCollector()
    await using run = await runCli(['collector', '--dir', collector.dir, '--listen', '127.0.0.1:0', '--http', 'off'])
    expect(run.code).toBe(1)
    expect(run.stderr).toBe(
      `spillway: ${collector.dir} is in use by the collector with pid ${collector.process.pid}; stop it, or choose another folder with --dir\n`,
    )
    expect(existsSync(join(collector.dir, 'collector.lock'))).toBe(true)
    await collector.status()
  })

  test('the folder cannot be made', async () => {
    await using dir = await tempDir()
    const blocker = join(dir.path, 'file')
    writeFileSync(blocker, '')
    await using run = await runCli(['collector', '--dir', join(blocker, 'data'), '--listen', '127.0.0.1:0', '--http', 'off'])
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(/^spillway: cannot keep files in .*choose another folder with --dir\n$/)
  })
})

describe('a lock file that does not count', () => {
  test('of a collector that was killed', async () => {
    await using killed = await startCollector()
    killed.process.kill('SIGKILL')
    await killed.process.ended
    expect(existsSync(join(killed.dir, 'collector.lock'))).toBe(true)
    await using _again = await startCollector({ dir: killed.dir, port: killed.port })
  })

  test.each([
    ['whose number another process has now', `${process.pid} 1\n`],
    ['of a process that is gone', '4194303 12345\n'],
    ['that is empty', ''],
    ['that holds anything', '\0\0\0 not a lock -1'],
    ['that names no process', '0 0\n'],
  ])('%s', async (_what, text) => {
    await using dir = await tempDir()
    writeFileSync(join(dir.path, 'collector.lock'), text)
    await using collector = await startCollector({ dir: dir.path })
    expect(readFileSync(join(dir.path, 'collector.lock'), 'utf8')).toMatch(new RegExp(`^${collector.process.pid} `))
  })
})

describe('flags', () => {
  test('--http off: no http at all', async () => {
    await using dir = await tempDir()
    await using collector = startCli(['collector', '--dir', dir.path, '--listen', '127.0.0.1:0', '--http', 'off'])
    await collector.says(/ready\n[\s\S]*http +off\n/)
    collector.kill('SIGTERM')
    expect((await collector.ended).code).toBe(0)
  })

  test('port 0: any free ports, and it says which; applications reach it there', async () => {
    await using dir = await tempDir()
    await using collector = startCli(['collector', '--dir', dir.path, '--listen', '127.0.0.1:0', '--http', '127.0.0.1:0'])
    await collector.says(/http:\/\//)
    const [data = '', control = '', tail = ''] = [...collector.stdout.matchAll(/tcp:\/\/127\.0\.0\.1:\d+/g)].map(String)
    expect(new Set([data, control, tail]).size).toBe(3)
    await using app = await runApp('count.mjs', { args: ['10'], env: { SPILLWAY_COLLECTOR: data, SPILLWAY_CONTROL: control } })
    expect(app.code).toBe(0)
    await until(() => keptLines(join(dir.path, 'logs', 'counted')).length === 10, { what: 'the lines are kept' })
  })

  test('--subscribe, twice: both are received, nothing else is asked for', async () => {
    await using collector = await startCollector({ args: ['--subscribe', 'log.error.>', '--subscribe', 'log.*.other.>'] })
    expect(collector.process.stdout).toContain('receives log.error.>  log.*.other.>')
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(logTopic('info', 'hand'), 0, ['not asked for'])
    await agent.lines(logTopic('info', 'other'), 0, ['info of other'])
    await agent.lines(logTopic('error', 'hand'), 0, ['error of hand'])
    await until(() => collector.lines('hand').length > 0, { what: 'the error is kept' })
    expect(collector.lines('other')).toEqual(['info of other'])
    expect(collector.lines('hand')).toEqual(['error of hand'])
  })

  test('--insecure allows what is refused without', async () => {
    await using dir = await tempDir()
    await using collector = startCli(['collector', '--dir', dir.path, '--listen', '0.0.0.0:0', '--http', 'off', '--insecure'])
    await collector.says(/tcp:\/\/0\.0\.0\.0:\d+/)
  })

  test('--dir: made when it is not there, for its owner and group only', async () => {
    await using dir = await tempDir()
    await using collector = await startCollector({ dir: join(dir.path, 'new', 'data') })
    await using agent = await HandMadeAgent.connect(collector)
    await agent.lines(topic, 0, ['line'])
    await until(() => collector.lines('hand').length === 1, { what: 'the line is kept' })
    const folder = join(collector.dir, 'logs', 'hand')
    const [file = ''] = readdirSync(folder)
    expect(statSync(folder).mode & 0o027).toBe(0)
    expect(statSync(join(folder, file)).mode & 0o137).toBe(0)
    expect(file).toBe(`${new Date().toISOString().slice(0, 10)}.ndjson`)
  })
})

describe('-c', () => {
  test('a file with every documented key: endpoints, subscriptions, a file sink and a stdout sink', async () => {
    await using dir = await tempDir()
    const port = await freePorts()
    writeFileSync(
      join(dir.path, 'spillway.yaml'),
      `dir: ${dir.path}/data
listen: { data: tcp://127.0.0.1:${port}, control: tcp://127.0.0.1:${port + 2}, tail: tcp://127.0.0.1:${port + 1}, http: 127.0.0.1:0 }
subscribe: ['log.>', 'metric.>']
sinks:
  files:  { type: file, topics: ['log.>'], path: '${dir.path}/kept/{service}/{level}.{date}.ndjson', rotate: { size: 1KiB, every: day } }
  screen: { type: stdout, topics: ['log.error.>'] }
`,
    )
    await using collector = startCli(['collector', '-c', join(dir.path, 'spillway.yaml')])
    await collector.says(/ready/)
    // Lines go to stdout; so the words do not.
    expect(collector.stdout).toBe('')
    await using agent = await HandMadeAgent.connect({ data: `tcp://127.0.0.1:${port}`, control: `tcp://127.0.0.1:${port + 2}` })
    const info = Array.from({ length: 40 }, (_, n) => `{"n":${n},"pad":"${'x'.repeat(40)}"}`)
    await agent.lines(logTopic('info', 'hand'), 0, info)
    await agent.lines(logTopic('error', 'hand'), 0, ['{"msg":"ü"}', '{"msg":"second"}'])
    await until(() => collector.stdout.length > 0, { what: 'errors are shown' })
    const folder = join(dir.path, 'kept', 'hand')
    const date = new Date().toISOString().slice(0, 10)
    await until(() => existsSync(join(folder, `error.${date}.ndjson`)) && existsSync(join(folder, `info.${date}.ndjson`)), {
      what: 'files are kept',
    })
    await until(
      () =>
        readdirSync(folder)
          .filter((name) => name.startsWith('info'))
          .map((name) => readFileSync(join(folder, name), 'utf8'))
          .join('')
          .split('\n').length === 41,
      { what: 'all lines are kept' },
    )
    expect(readFileSync(join(folder, `error.${date}.ndjson`), 'utf8')).toBe('{"msg":"ü"}\n{"msg":"second"}\n')
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(1_024)
    expect(readdirSync(folder)).toContain(`info.${date}.1.ndjson`)
    collector.kill('SIGTERM')
    expect((await collector.ended).code).toBe(0)
    expect(collector.stdout).toBe('{"msg":"ü"}\n{"msg":"second"}\n')
    expect(collector.stderr).toMatch(/42 accepted, 42 delivered/)
  })

  test('ipc endpoints, also where a killed collector left its sockets behind', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'sockets', 'data')
    const file = join(dir.path, 'spillway.yaml')
    writeFileSync(file, `dir: ${dir.path}/data\nlisten: { data: 'ipc://${path}', http: off }\n`)
    for (const round of ['first', 'second']) {
      await using collector = startCli(['collector', '-c', file])
      await collector.says(/ready/)
      expect(collector.stdout).toContain(`ipc://${path}.control`)
      expect(statSync(join(dir.path, 'sockets')).mode & 0o077).toBe(0)
      await using app = await runApp('count.mjs', { args: ['5'], env: { SPILLWAY_COLLECTOR: `ipc://${path}` } })
      expect(app.code).toBe(0)
      await until(() => keptLines(join(dir.path, 'data', 'logs', 'counted')).length === (round === 'first' ? 5 : 10), {
        what: 'the lines are kept',
      })
    }
  })

  test('an ipc path where something else is: a plain file stays, a live socket is not taken over', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'data')
    writeFileSync(path, 'precious')
    const args = (own: string) => ['collector', '--dir', join(dir.path, own), '--listen', `ipc://${path}`, '--http', 'off']
    {
      await using run = await runCli(args('a'))
      expect(run.code).toBe(2)
      expect(run.stderr).toMatch(/exists and is not a socket; choose another path/)
      expect(readFileSync(path, 'utf8')).toBe('precious')
    }
    mkdirSync(join(dir.path, 'live'))
    const live = (own: string) => args(own).map((arg) => (arg.startsWith('ipc:') ? `ipc://${dir.path}/live/data` : arg))
    await using first = startCli(live('b'))
    await first.says(/ready/)
    await using second = await runCli(live('c'))
    expect(second.code).toBe(1)
    expect(second.stderr).toMatch(/is taken, perhaps by another collector/)
    await using app = await runApp('count.mjs', { args: ['5'], env: { SPILLWAY_COLLECTOR: `ipc://${dir.path}/live/data` } })
    expect(app.code).toBe(0)
    await until(() => keptLines(join(dir.path, 'b', 'logs', 'counted')).length === 5, { what: 'the first one still receives' })
  })

  test('flags win over the file', async () => {
    await using dir = await tempDir()
    const file = join(dir.path, 'spillway.yaml')
    writeFileSync(file, `dir: /proc/nowhere\nlisten: { data: tcp://0.0.0.0:1, http: 127.0.0.1:1 }\nsubscribe: [metric.>]\n`)
    await using collector = await startCollector({ dir: dir.path, args: ['-c', file, '--subscribe', 'log.warn.>'] })
    expect(collector.process.stdout).toContain('receives log.warn.>')
  })
})

test('whoever reads its words may leave; it stays', async () => {
  await using dir = await tempDir()
  writeFileSync(join(dir.path, 'logs'), 'in the way')
  await using collector = await startCollector({ dir: dir.path })
  collector.process.child.stdout?.destroy()
  collector.process.child.stderr?.destroy()
  await using agent = await HandMadeAgent.connect(collector)
  // Trouble is told, to nobody.
  await agent.lines(topic, 0, ['line'])
  await until(async () => (await collector.status()).sinks['files']?.error, { what: 'the sink fails' })
  expect((await collector.status()).totals.accepted).toBe(1)
  rmSync(join(dir.path, 'logs'))
  await until(() => collector.lines('hand').length === 1, { what: 'the line is kept' })
  collector.process.kill('SIGTERM')
  const startedAtMs = performance.now()
  await until(() => collector.process.child.exitCode !== null || collector.process.child.signalCode !== null, { what: 'it has ended' })
  expect(performance.now() - startedAtMs).toBeLessThan(drainMaxMs)
  expect(collector.process.child.exitCode).toBe(0)
})

import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Publisher, XSubscriber } from 'zeromq'
import { privateContext } from '../../wire/socket.ts'
import { version } from '../../wire/version.ts'
import { runCli } from '../cli/run-cli.ts'
import { HandMadeAgent } from '../collector/hand-made-agent.ts'
import { freePorts, startCollector, tempDir } from '../support/processes.ts'
import { until } from '../support/until.ts'

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

const at = (port: number) => `tcp://127.0.0.1:${port}`

test('a collector with an application: every step is good, the application is named, exit 0', async () => {
  await using collector = await startCollector()
  await using agent = await HandMadeAgent.connect(collector, { service: 'shop' })
  await agent.manifest()
  await until(async () => (await collector.status()).origins.length === 1, { what: 'the application is known' })
  await using doctor = await runCli(['doctor'], { env: collector.env })
  expect(doctor.code).toBe(0)
  expect(doctor.stdout.split('\n')).toEqual([
    collector.data,
    '  ok   it listens and speaks ZMTP 3',
    '  ok   it is a Spillway collector and asks for log.> metric.>',
    `  ok   control ${collector.control} answers: collector ${version}`,
    '  ok   1 application known to it',
    '  ok     shop on test-host, pid 4242, live',
    '',
  ])
  expect(doctor.stderr).toBe('')
})

test('a collector nobody has connected to is good too, also over ipc', async () => {
  await using dir = await tempDir()
  await using collector = await startCollector({ args: ['--listen', `ipc://${dir.path}/data`] })
  await using doctor = await runCli(['doctor', '--connect', `ipc://${dir.path}/data`])
  expect(doctor.code).toBe(0)
  expect(doctor.stdout).toMatch(/0 applications known to it/)
  expect(collector.process.end).toBeUndefined()
})

test('nothing listens: says so, with what to do, exit 1', async () => {
  const port = await freePorts()
  await using doctor = await runCli(['doctor', '--connect', at(port)])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toBe(`${at(port)}\n  bad  nothing listens at ${at(port)}; start a collector with \`spillway collector\`\n`)
})

test('no such socket file: the same', async () => {
  await using dir = await tempDir()
  await using doctor = await runCli(['doctor', '--connect', `ipc://${join(dir.path, 'none')}`])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(/bad {2}nothing listens at ipc:/)
})

test('an HTTP server: not ZeroMQ, exit 1', async () => {
  await using server = await listening(createHttpServer())
  await using doctor = await runCli(['doctor', '--connect', at(server.port), '--timeout', '300ms'])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(/bad {2}(?:what listens there does not speak ZeroMQ|the connection opens, but nothing is said)/)
})

test('a server with a greeting of its own: not ZeroMQ, exit 1', async () => {
  await using server = await listening(
    createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('220 mail.example ESMTP\r\n'),
    ),
  )
  await using doctor = await runCli(['doctor', '--connect', at(server.port)])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(/bad {2}what listens there does not speak ZeroMQ; is it the data port\?/)
})

test('a server that hangs up: exit 1', async () => {
  await using server = await listening(createServer((socket) => socket.destroy()))
  await using doctor = await runCli(['doctor', '--connect', at(server.port)])
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(/bad {2}(?:the connection was closed at once|cannot connect)/)
})

test('a silent server: exit 1 after the time it was given, or after the three seconds the help promises', async () => {
  const silent = () => createServer((socket) => socket.on('error', () => undefined).resume())
  await using server = await listening(silent())
  const timed = async (args: readonly string[]) => {
    const startedAtMs = performance.now()
    await using doctor = await runCli(['doctor', '--connect', at(server.port), ...args])
    expect(doctor.code).toBe(1)
    expect(doctor.stdout).toMatch(
      /bad {2}the connection opens, but nothing is said; something else listens there, or the collector is stopped/,
    )
    return performance.now() - startedAtMs
  }
  const [short, long] = await Promise.all([timed(['--timeout', '200ms']), timed([])])
  expect(short).toBeGreaterThan(200)
  expect(short).toBeLessThan(2_500)
  expect(long).toBeGreaterThan(3_000)
  expect(long).toBeLessThan(6_000)
})

test('a collector that is stopped: exit 1', async () => {
  await using collector = await startCollector()
  collector.process.kill('SIGSTOP')
  await using doctor = await runCli(['doctor', '--connect', collector.data, '--timeout', '300ms'])
  expect(doctor.code).toBe(1)
  // ZeroMQ's own thread is stopped with it.
  expect(doctor.stdout).toMatch(/bad {2}(?:the connection opens, but nothing is said|it asks for no records)/)
})

test('another ZeroMQ program: not a collector, exit 1', async () => {
  const publisher = new Publisher({ context: privateContext(), linger: 0 })
  const subscriber = new XSubscriber({ context: privateContext(), linger: 0 })
  try {
    await publisher.bind('tcp://127.0.0.1:0')
    await using silent = await runCli(['doctor', '--connect', publisher.lastEndpoint ?? '', '--timeout', '300ms'])
    expect(silent.code).toBe(1)
    expect(silent.stdout).toMatch(/ok {3}it listens and speaks ZMTP 3[\s\S]*bad {2}it asks for no records: not a collector/)
    await subscriber.send(Buffer.from('\x01weather.\u001b[31m', 'latin1'))
    await subscriber.bind('tcp://127.0.0.1:0')
    // One that is not read does not even send its subscriptions.
    subscriber.receive().catch(() => undefined)
    await using other = await runCli(['doctor', '--connect', subscriber.lastEndpoint ?? '', '--timeout', '300ms'])
    expect(other.code).toBe(1)
    expect(other.stdout).toMatch(/bad {2}it subscribes to weather\.\\u001b\[31m> but is not a Spillway collector/)
  } finally {
    publisher.close()
    subscriber.close()
  }
})

test('data answers and control does not: says what that means, exit 1', async () => {
  await using collector = await startCollector()
  const nowhere = at(await freePorts())
  await using missing = await runCli(['doctor'], { env: { ...collector.env, SPILLWAY_CONTROL: nowhere } })
  expect(missing.code).toBe(1)
  expect(missing.stdout).toMatch(
    /ok {3}it is a Spillway collector[\s\S]*bad {2}control tcp:.*: nothing listens at .*; records arrive, but acknowledgements and repair do not/,
  )
  // The tail port speaks ZeroMQ, and never this.
  await using wrong = await runCli(['doctor', '--timeout', '500ms'], { env: { ...collector.env, SPILLWAY_CONTROL: collector.tail } })
  expect(wrong.code).toBe(1)
  expect(wrong.stdout).toMatch(/bad {2}control .*: connected, but no word within 500 ms; is it the control port of the same collector\?/)
})

test('several endpoints, one of them dead: both are examined, exit 1', async () => {
  await using collector = await startCollector()
  const dead = at(await freePorts())
  await using doctor = await runCli(['doctor'], { env: { SPILLWAY_COLLECTOR: `${dead}, ${collector.data}` } })
  expect(doctor.code).toBe(1)
  expect(doctor.stdout).toMatch(new RegExp(`${dead}\n {2}bad {2}nothing listens.*\n${collector.data}\n {2}ok`))
})

test('an endpoint that is none: exit 2, by the name of where it stands', async () => {
  await using flag = await runCli(['doctor', '--connect', 'localhost:7701'])
  expect(flag.code).toBe(2)
  expect(flag.stderr).toMatch(/--connect: expected tcp:\/\/HOST:PORT.*did you mean "tcp:\/\/localhost:7701"/)
  await using environment = await runCli(['doctor'], { env: { SPILLWAY_COLLECTOR: 'nonsense' } })
  expect(environment.code).toBe(2)
  expect(environment.stderr).toMatch(/SPILLWAY_COLLECTOR: expected tcp:\/\/HOST:PORT/)
})

test('what applications take from the environment, it takes the same way', async () => {
  await using collector = await startCollector()
  const nowhere = at(await freePorts())
  // The control endpoint there belongs to the collector there, not to the one that was named.
  await using named = await runCli(['doctor', '--connect', collector.data], {
    env: { SPILLWAY_COLLECTOR: nowhere, SPILLWAY_CONTROL: nowhere },
  })
  expect(named.stdout).toContain(`control ${collector.control} answers`)
  expect(named.code).toBe(0)
  // An empty variable is none: the default endpoint is examined, whatever is there.
  await using empty = await runCli(['doctor', '--timeout', '200ms'], { env: { SPILLWAY_COLLECTOR: '' } })
  expect(empty.stdout).toMatch(/^tcp:\/\/127\.0\.0\.1:7701\n/)
  await using uneven = await runCli(['doctor'], { env: { SPILLWAY_COLLECTOR: `${nowhere},${collector.data}`, SPILLWAY_CONTROL: nowhere } })
  expect(uneven.code).toBe(2)
  expect(uneven.stderr).toMatch(/control: expected as many endpoints as collectors/)
})

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { drainMaxMs } from '../../../wire/limits.ts'
import { logTopic } from '../../../wire/topic.ts'
import { startCli } from '../../cli/run-cli.ts'
import { freePorts, keptLines, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { HandMadeAgent } from '../hand-made-agent.ts'

const topic = logTopic('info', 'hand')

/** A collector with a file sink and a stdout sink, started so that its stdout is in the test's hands. */
async function startBoth() {
  const dir = await tempDir()
  const port = await freePorts()
  const file = join(dir.path, 'spillway.yaml')
  writeFileSync(
    file,
    `dir: ${dir.path}\nlisten: { data: 'tcp://127.0.0.1:${port}', http: '127.0.0.1:0' }\nsinks: { files: { type: file }, screen: { type: stdout, topics: [log.>] } }\n`,
  )
  const collector = startCli(['collector', '-c', file])
  const http = (await collector.says(/http:\/\/\S+/))[0]
  const agent = await HandMadeAgent.connect({ data: `tcp://127.0.0.1:${port}`, control: `tcp://127.0.0.1:${port + 1}` })
  return {
    collector,
    agent,
    kept: () => keptLines(join(dir.path, 'logs', 'hand')),
    status: async () =>
      (await (await fetch(http)).json()) as {
        sinks: Record<string, { written: number; dropped: number; pendingBytes: number; error?: string }>
      },
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]()
      await collector[Symbol.asyncDispose]()
      await dir[Symbol.asyncDispose]()
    },
  }
}

test('lines go to stdout, byte for byte, words to stderr', async () => {
  await using both = await startBoth()
  const lines = ['{"msg":"grüße"}', '{"msg":"two"}']
  await both.agent.lines(topic, 0, lines)
  await until(() => both.collector.stdout.split('\n').length === 3, { what: 'the lines are shown' })
  both.collector.kill('SIGTERM')
  expect((await both.collector.ended).code).toBe(0)
  expect(both.collector.stdout).toBe(lines.map((line) => `${line}\n`).join(''))
  expect(both.collector.stderr).toMatch(/^spillway collector .* ready\n[\s\S]*standard output[\s\S]*stopped: 2 accepted, 2 delivered/)
})

test('a reader that leaves does not stop the collector; what it misses is counted', async () => {
  await using both = await startBoth()
  await both.agent.lines(topic, 0, ['seen'])
  await until(() => both.collector.stdout === 'seen\n', { what: 'the line is shown' })
  both.collector.child.stdout?.destroy()
  let sent = 1
  await until(
    async () => {
      await both.agent.lines(topic, sent, ['unseen'])
      sent += 1
      return (await both.status()).sinks['screen']?.error
    },
    { what: 'the closed pipe is noticed' },
  )
  await until(() => both.kept().length === sent, { what: 'the files have every line' })
  const { sinks } = await both.status()
  expect(sinks['screen']?.error).toMatch(/EPIPE/)
  expect((sinks['screen']?.written ?? 0) + (sinks['screen']?.dropped ?? 0)).toBe(sent)
  expect(sinks['files']).toMatchObject({ written: sent })
})

test('a reader that has stopped holds up neither the files nor the end; what does not fit is counted', async () => {
  await using both = await startBoth()
  both.collector.child.stdout?.pause()
  const frames = 150
  const perFrame = 10
  const line = 'x'.repeat(6_000)
  for (let frame = 0; frame < frames; frame += 1) await both.agent.lines(topic, frame * perFrame, Array<string>(perFrame).fill(line))
  await until(() => both.kept().length === frames * perFrame, { what: 'the files have every line' })
  const screen = (await both.status()).sinks['screen']
  expect(screen?.dropped).toBeGreaterThan(0)
  // 4 MiB and what the pipe holds.
  expect(screen?.pendingBytes).toBeLessThanOrEqual(4_194_304)
  const startedAtMs = performance.now()
  both.collector.kill('SIGTERM')
  await until(() => both.collector.child.exitCode !== null || both.collector.child.signalCode !== null, {
    what: 'it has ended',
    timeoutMs: 15_000,
  })
  expect(both.collector.child.exitCode).toBe(0)
  expect(performance.now() - startedAtMs).toBeLessThan(drainMaxMs + 2_000)
})

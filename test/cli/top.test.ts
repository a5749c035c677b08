/** `spillway top`: once, into a pipe, and on a real terminal. */
import { describe, expect, test } from 'vitest'
import { logTopic } from '../../wire/topic.ts'
import { HandMadeAgent } from '../collector/hand-made-agent.ts'
import { cli, runApp, startCollector, type TestCollector } from '../support/processes.ts'
import { Pane } from '../support/tmux.ts'
import { until } from '../support/until.ts'
import { runCli, startCli } from './run-cli.ts'

/** Logs until the callback is done. */
async function whileLogging(collector: TestCollector, act: () => Promise<void>): Promise<void> {
  await using agent = await HandMadeAgent.connect(collector)
  const topic = logTopic('error', 'hand')
  let isDone = false
  let sent = 0
  const logging = (async () => {
    while (!isDone) {
      await agent.lines(topic, sent, ['{"msg":"m"}'])
      sent += 1
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  try {
    await until(async () => (await collector.status()).totals.accepted > 0, { what: 'records come' })
    await act()
  } finally {
    isDone = true
    await logging
  }
}

describe('once', () => {
  test('--json: the rates as one document', async () => {
    await using collector = await startCollector()
    await whileLogging(collector, async () => {
      await using top = await runCli(['top', '--http', collector.http, '--once', '--json', '--every', '500ms'])
      expect(top.code).toBe(0)
      const [line = '', ...more] = top.stdout.trimEnd().split('\n')
      expect(more).toEqual([])
      const document = JSON.parse(line)
      const [service] = document.services
      expect(service.rates.error).toBeGreaterThan(0)
      expect(document.topics[0]).toMatchObject({ topic: 'log.error.hand.', service: 'hand' })
      expect(document.overMs).toBeGreaterThan(400)
      expect(document.sinks.files).toMatchObject({ error: null })
    })
  })

  test('a table, also without being told, where there is no terminal', async () => {
    await using collector = await startCollector()
    await runApp('count.mjs', { args: ['5'], env: collector.env })
    for (const args of [['--once'], []]) {
      await using top = await runCli(['top', '--http', collector.http, '--every', '100ms', ...args])
      expect(top.code).toBe(0)
      expect(top.stdout).toMatch(/^spillway top {2}127\.0\.0\.1:\d+/)
      expect(top.stdout).toMatch(/^SERVICE +ORIG/m)
      expect(top.stdout).toMatch(/^counted +/m)
      expect(top.stdout).not.toContain('\u001b')
    }
  })

  test('--json alone: a document each time, until the reader leaves or a signal comes', async () => {
    await using collector = await startCollector()
    await using top = startCli(['top', '--http', collector.http, '--json', '--every', '100ms'])
    await until(() => top.stdout.split('\n').length > 3, { what: 'three have come' })
    top.kill('SIGTERM')
    expect(await top.ended).toEqual({ code: 0, signal: null })
    for (const line of top.stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('services')
  })

  test('where nobody answers: exit 1, and what to do', async () => {
    await using top = await runCli(['top', '--http', '127.0.0.1:1', '--once'])
    expect(top.code).toBe(1)
    expect(top.stderr).toMatch(/no collector answers at 127\.0\.0\.1:1/)
  })

  test.each([
    [['--sort', 'colour'], /Allowed choices are rate, errors, lost, name/],
    [['--filter', '/(/'], /--filter: .*no regular expression/],
    [['--every', 'often'], /Expected a duration/],
  ])('%j is wrong usage: exit 2', async (args, message) => {
    await using top = await runCli(['top', ...args])
    expect(top.code).toBe(2)
    expect(top.stderr).toMatch(message)
  })
})

describe('on a terminal of 80 × 24', () => {
  test('a live table; keys sort, turn over, filter, help and end it, and the screen is as it was', async () => {
    await using collector = await startCollector()
    await whileLogging(collector, async () => {
      await using pane = await Pane.open({ columns: 80, rows: 24 })
      await pane.run(`clear; echo before; node ${cli} top --http ${collector.http} --every 200ms; echo "exit $?"`)
      const screen = await pane.shows(/^hand .* \d+ .*\n[\s\S]*BUSIEST TOPICS[\s\S]*log\.error\.hand\./m)
      expect(screen.split('\n')).toHaveLength(24)
      expect(screen).toMatch(/LOST {3}LOOP\n/)
      expect((await pane.settings()).isFullScreen).toBe(true)
      await pane.keys('s')
      await pane.shows(/services by errors/)
      await pane.keys('r')
      await pane.shows(/by errors, reversed/)
      await pane.keys('v')
      await pane.shows(/^ORIGIN .*\nhand /m)
      await pane.keys('Tab')
      await pane.shows(/^TOPIC .*\nlog\.error\.hand\./m)
      await pane.keys('/')
      await pane.type('nothing like it')
      await pane.keys('Enter')
      await pane.shows(/filter nothing like it/)
      await until(async () => !(await pane.screen()).includes('log.error.hand.'), { what: 'it is filtered' })
      await pane.keys('/', 'Enter')
      await pane.shows(/log\.error\.hand\./)
      await pane.keys('?')
      await pane.shows(/event-loop delay, p99/)
      await pane.keys('?', 'Space')
      await pane.shows(/paused/)
      await pane.resize(60, 12)
      await until(async () => (await pane.screen()).split('\n').length === 12, { what: 'it is drawn to the new size' })
      await pane.keys('q')
      expect(await pane.shows(/exit 0/)).toMatch(/before\nexit 0/)
      expect(await pane.settings()).toMatchObject({ isCursorShown: true, isFullScreen: false })
    })
  })

  test('a collector that goes is said, and found again; Ctrl-C ends it while none answers', async () => {
    await using pane = await Pane.open({ columns: 80, rows: 24 })
    await pane.run(`clear; node ${cli} top --http 127.0.0.1:1 --every 200ms; echo "exit $?"`)
    await pane.shows(/no collector answers/)
    await pane.keys('C-c')
    await pane.shows(/exit 0/)
    expect(await pane.settings()).toMatchObject({ isCursorShown: true, isFullScreen: false })
  })
})

/** `spillway status` against real collectors, and against servers that are none. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { textWidth } from '../../dashboards/text-width.ts'
import { formatCount } from '../../wire/quantity.ts'
import { logTopic } from '../../wire/topic.ts'
import { HandMadeAgent } from '../collector/hand-made-agent.ts'
import { runApp, startApp, startCollector, type TestCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { runCli, startCli } from './run-cli.ts'

const statusOf = (collector: TestCollector, ...args: readonly string[]) => runCli(['status', '--http', collector.http, ...args])

/** The numbers of a row, by its name. */
function row(table: string, name: string): number[] {
  const line = table.split('\n').find((text) => text.trimStart().startsWith(`${name} `))
  if (line === undefined) throw new Error(`no row ${name} in\n${table}`)
  return [
    ...line
      .trimStart()
      .slice(name.length)
      .matchAll(/[\d,]+/g),
  ].map(([text]) => Number(text.replaceAll(',', '')))
}

/** A collector and an agent that has lost three of ten records. */
async function lossy(collector: TestCollector): Promise<HandMadeAgent> {
  const agent = await HandMadeAgent.connect(collector)
  const topic = logTopic('info', 'hand')
  await agent.manifest({ topics: { [topic]: { lead: 0 } } })
  await agent.lines(topic, 0, ['0', '1', '2', '3', '4'])
  await agent.lines(topic, 8, ['8', '9'])
  await agent.manifest({ topics: { [topic]: { lead: 10 } }, gone: [{ topic, from: 5, to: 8 }] })
  await until(async () => (await collector.status()).totals.inFlight === 0 && collector.lines('hand').length === 7, {
    what: 'the loss is booked, the rest is kept',
  })
  return agent
}

describe('spillway status', () => {
  test('prints what the files hold', async () => {
    await using collector = await startCollector()
    const lines = 12_345
    await using app = await runApp('count.mjs', { args: [String(lines), 'fall-off'], env: collector.env })
    expect(app.code).toBe(0)
    await until(() => collector.lines('counted').length === lines, { what: 'all is kept' })
    await until(async () => (await collector.status()).totals.delivered === lines, { what: 'and booked' })
    await using run = await statusOf(collector)
    expect([run.code, run.stderr]).toEqual([0, ''])
    for (const line of run.stdout.split('\n')) expect(textWidth(line)).toBeLessThanOrEqual(100)
    expect(row(run.stdout, 'all')).toEqual([lines, lines, 0, 0])
    expect(row(run.stdout, logTopic('info', 'counted'))).toEqual([lines, lines, 0, 0])
    expect(row(run.stdout, 'files (file)')[0]).toBe(lines)
    expect(run.stdout).toMatch(new RegExp(`^counted on \\S+, pid ${app.pid}: finished$`, 'm'))
    expect(run.stdout).toContain(`received  ${formatCount(lines)} = ${formatCount(lines)} spooled + 0 not durable; 0 of them pending`)
    expect(run.stdout).toMatch(/\nNothing was lost since the books began\.\n$/)
  })

  test('answers also while an application is stopped', async () => {
    await using collector = await startCollector()
    await using app = startApp('count.mjs', { args: ['5', 'after-signal'], env: collector.env })
    await app.says(/ready/)
    app.kill('SIGSTOP')
    await using run = await statusOf(collector)
    expect(run.code).toBe(0)
    expect(row(run.stdout, logTopic('info', 'counted'))).toEqual([1, 1, 0, 0])
  })

  test('names every loss with its reason and its time, and fails', async () => {
    await using collector = await startCollector()
    await using _agent = await lossy(collector)
    await using run = await statusOf(collector)
    expect([run.code, run.stderr]).toEqual([1, ''])
    expect(row(run.stdout, 'all')).toEqual([10, 7, 3, 0])
    expect(run.stdout).toMatch(/^ {4}lost {2}ring_evicted 3 \(\d\d:\d\d:\d\d\)$/m)
    expect(run.stdout).toMatch(/\n3 records were lost since the books began\.\n$/)
  })

  test('--since looks at what was lost since then', async () => {
    await using collector = await startCollector()
    await using _agent = await lossy(collector)
    const before = new Date(Date.now() - 3_600_000).toISOString()
    for (const since of ['10m', before]) {
      await using run = await statusOf(collector, '--since', since)
      expect(run.code).toBe(1)
      expect(run.stdout).toMatch(/\n3 records were lost since (?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\n$/)
    }
    const { losses } = await collector.status()
    const after = new Date((losses[0]?.lastAtMs ?? 0) + 1).toISOString()
    await using run = await statusOf(collector, '--since', after)
    expect(run.code).toBe(0)
    // The books show it all the same.
    expect(row(run.stdout, 'all')).toEqual([10, 7, 3, 0])
    expect(run.stdout).toMatch(/\nNothing was lost since \d\d:\d\d:\d\d\.\n$/)
  })

  test('--json prints the document as it came, one line, and ends with the same exit code', async () => {
    await using collector = await startCollector()
    await using _agent = await lossy(collector)
    await using run = await statusOf(collector, '--json')
    expect([run.code, run.stderr]).toEqual([1, ''])
    expect(run.stdout.trimEnd()).not.toContain('\n')
    const document = JSON.parse(run.stdout)
    // The clock and the disk went on meanwhile.
    const { uptimeMs: _uptime, timeMs: _time, spool: _spool, ...status } = await collector.status()
    expect(document).toMatchObject(JSON.parse(JSON.stringify(status)))
    await using clean = await statusOf(collector, '--json', '--since', new Date(document.timeMs).toISOString())
    expect(clean.code).toBe(0)
  })

  test('shows names that would do something on a terminal, without doing it', async () => {
    await using collector = await startCollector()
    const service = 'evil\u001b]8;;http://evil\u0007\u202e'
    await using agent = await HandMadeAgent.connect(collector, { service })
    await agent.manifest({ topics: { [logTopic('info', service)]: { lead: 1 } } })
    await until(async () => (await collector.status()).origins.length > 0, { what: 'the agent is known' })
    for (const args of [[], ['--json']]) {
      await using run = await statusOf(collector, ...args)
      expect(run.stdout).toContain('evil\\u001b]8;;')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      expect(run.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    }
  })

  test('a reader that leaves is no failure', async () => {
    await using collector = await startCollector()
    await using run = startCli(['status', '--http', collector.http])
    run.child.stdout?.destroy()
    expect([(await run.ended).code, run.stderr]).toEqual([0, ''])
  })
})

describe('without a collector', () => {
  test('it says which address it asked and what to check, and fails', async () => {
    await using run = await runCli(['status', '--http', '127.0.0.1:1'])
    expect([run.code, run.stdout]).toEqual([1, ''])
    expect(run.stderr).toBe(
      'spillway: no collector answers at 127.0.0.1:1; is one running (`spillway collector`), and is this its http address (--http HOST:PORT)?\n',
    )
  })

  test('but with something else that answers, it says so and prints nothing of it', async () => {
    const server = createServer((_request, response) => response.end('{"hello":"\\u001b[2J"}'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    await using run = await runCli(['status', '--json', '--http', `127.0.0.1:${(server.address() as AddressInfo).port}`])
    server.close()
    server.closeAllConnections()
    expect([run.code, run.stdout]).toEqual([1, ''])
    expect(run.stderr).toMatch(/^spillway: what 127\.0\.0\.1:\d+ answers is no status this command \(version .*\) understands; version: /)
  })

  test.each([
    ['--since', 'yesterday', /--since: expected a duration such as 10m, or a time/],
    ['--http', '7700', /--http: expected HOST:PORT/],
    ['--nonsense', 'x', /unknown option/],
  ])('%s %s is wrong usage', async (flag, value, message) => {
    await using run = await runCli(['status', flag, value])
    expect([run.code, run.stdout]).toEqual([2, ''])
    expect(run.stderr).toMatch(message)
  })
})

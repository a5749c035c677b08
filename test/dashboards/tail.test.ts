/** `spillway tail` as a process: at a real collector, and at one made by hand that does what a real one hardly would. */
import { spawn } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { levels } from '../../wire/level.ts'
import { logTopic, type Topic } from '../../wire/topic.ts'
import { runCli, startCli } from '../cli/run-cli.ts'
import { HandMadeAgent } from '../collector/hand-made-agent.ts'
import { cli, freePorts, RunningProcess, runApp, startCollector } from '../support/processes.ts'
import { until } from '../support/until.ts'
import { HandMadeCollector } from './hand-made-collector.ts'

const topic = logTopic('info', 'hand')
const linesOf = (text: string) => text.split('\n').slice(0, -1)

async function startTail(at: { readonly tail: string }, args: readonly string[] = []): Promise<RunningProcess> {
  const tail = startCli(['tail', '--connect', at.tail, ...args])
  await tail.says(/connected to/)
  return tail
}

/** Sends one line until the tail shows it: only then do its subscriptions count. */
async function ready(agent: HandMadeAgent, tail: RunningProcess, probe: Topic = logTopic('fatal', 'hand')): Promise<void> {
  let sent = 0
  await until(
    async () => {
      await agent.lines(probe, sent, [`{"probe":${sent}}`])
      sent += 1
      return tail.stdout.includes('probe')
    },
    { what: 'the tail shows the probe' },
  )
}

const withoutProbes = (text: string) => linesOf(text).filter((line) => !line.includes('probe'))

describe('what is shown', () => {
  test.each([
    ['everything logged, without being told', [], ['log.info.hand.', 'log.debug.other.', 'log.fatal.hand.web.']],
    ['--level warn: warn and above', ['--level', 'warn'], ['log.warn.hand.', 'log.error.other.', 'log.fatal.hand.web.']],
    ['--service: that one, with all its loggers', ['--service', 'hand'], ['log.info.hand.', 'log.warn.hand.', 'log.fatal.hand.web.']],
    ['--level and --service together', ['--level', 'error', '--service', 'hand'], ['log.fatal.hand.web.']],
    ['a pattern with >', ['log.error.>', 'log.fatal.>'], ['log.error.other.', 'log.fatal.hand.web.']],
    ['a pattern with *', ['log.*.hand.>'], ['log.info.hand.', 'log.warn.hand.', 'log.fatal.hand.web.']],
    ['a pattern with * for the service', ['log.*.*.web.'], ['log.fatal.hand.web.']],
    ['patterns and --level', ['log.*.other.>', '--level', 'error'], ['log.error.other.']],
  ])('%s', async (_what, args, expected) => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await using tail = await startTail(collector, args)
    const probe = (expected.at(-1) ?? '') as Topic
    await ready(agent, tail, probe)
    const sent = ['log.info.hand.', 'log.warn.hand.', 'log.debug.other.', 'log.error.other.', 'log.info.handy.'] as Topic[]
    const shown = expected.filter((name) => sent.includes(name as Topic))
    for (const name of sent.filter((other) => other !== probe)) await agent.lines(name, 0, [name])
    // Behind all the others.
    await agent.lines(probe, 1_000_000, ['the end'])
    await tail.says(/the end/)
    const wanted = [
      ...shown.filter((name) => name !== probe),
      ...(args.length === 0 ? ['log.warn.hand.', 'log.error.other.', 'log.info.handy.'] : []),
    ]
    expect(
      withoutProbes(tail.stdout)
        .filter((line) => line !== 'the end')
        .sort(),
    ).toEqual(wanted.sort())
  })

  test('into a pipe, and with --json: the lines as they were logged, byte for byte', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await using piped = await startTail(collector)
    await using json = await startTail(collector, ['--json', '--pretty'])
    await ready(agent, piped)
    await ready(agent, json)
    const lines = [
      '{"level":30,"msg":"grüße, 世界 🎉"}',
      `{"msg":"${'x'.repeat(60_000)}"}`,
      '{"msg":"\\u001b[31m"}',
      '{"family":"👩‍👩‍👧"}',
      'not JSON',
      '',
    ]
    await agent.lines(topic, 0, lines)
    await agent.lines(logTopic('error', 'hand'), 0, ['the end'])
    for (const tail of [piped, json]) {
      await tail.says(/the end/)
      expect(withoutProbes(tail.stdout)).toEqual([...lines, 'the end'])
    }
  })

  test('with --pretty, also into a pipe: time, level, service, message, the rest, and stacks below', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail, '--pretty'], { env: { TZ: 'UTC' } })
    await collector.subscribed()
    const error = { type: 'Error', message: 'boom', stack: 'Error: boom\n    at first (file.js:1:2)\n    at second (file.js:3:4)' }
    await collector.lines(logTopic('error', 'check.out', 'pay'), 0, [
      JSON.stringify({
        level: 50,
        time: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
        pid: 1,
        hostname: 'h',
        name: 'pay',
        orderId: 7,
        note: 'two words',
        err: error,
        msg: 'it failed',
      }),
    ])
    await collector.lines(topic, 0, ['no JSON at all', '{"level":30}', '[1]'], Date.UTC(2026, 0, 2, 3, 4, 5, 7))
    await until(() => linesOf(tail.stdout).length >= 7, { what: 'all is shown' })
    expect(linesOf(tail.stdout)).toEqual([
      '03:04:05.006 ERROR check.out/pay it failed orderId=7 note="two words" err={"type":"Error","message":"boom"}',
      '    Error: boom',
      '        at first (file.js:1:2)',
      '        at second (file.js:3:4)',
      '03:04:05.007 INFO  hand no JSON at all',
      '03:04:05.007 INFO  hand',
      '03:04:05.007 INFO  hand [1]',
    ])
  })

  test('what a real application logs', async () => {
    await using collector = await startCollector()
    await using tail = await startTail(collector, ['--pretty', '--limit', '50'])
    await until(
      async () =>
        tail.end !== undefined || ((await runApp('count.mjs', { args: ['20'], env: collector.env })).code === 0 && tail.end !== undefined),
      { what: 'fifty are shown' },
    )
    expect(tail.end).toEqual({ code: 0, signal: null })
    expect(linesOf(tail.stdout)).toHaveLength(50)
    for (const line of linesOf(tail.stdout)) expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}counted line n=\d+$/)
  })
})

describe('when it ends', () => {
  test('--limit: after exactly that many records, however they come, with 0', async () => {
    await using collector = await HandMadeCollector.open()
    for (const args of [[], ['--pretty']]) {
      await using tail = startCli(['tail', '--connect', collector.tail, '--limit', '7', ...args])
      await collector.subscribed()
      await collector.lines(topic, 0, ['1', '2', '3'])
      await collector.lines(topic, 3, ['4', '5', '6', '7', '8', '9'])
      await collector.lines(topic, 9, ['10'])
      expect(await tail.ended).toEqual({ code: 0, signal: null })
      expect(linesOf(tail.stdout).map((line) => line.split(' ').at(-1))).toEqual(['1', '2', '3', '4', '5', '6', '7'])
      await until(() => collector.prefixes.size === 0, { what: 'its subscriptions are gone' })
    }
  })

  test.each([[[]], [['--connect', 'tcp://127.0.0.1:1']]])(
    '--for: after that long, with 0, whether records come or not (%j)',
    async (args) => {
      await using collector = await startCollector()
      const startedAtMs = performance.now()
      await using tail = await runCli(['tail', '--for', '300ms', '--connect', collector.tail, ...args])
      expect(tail.code).toBe(0)
      expect(performance.now() - startedAtMs).toBeGreaterThan(300)
      expect(performance.now() - startedAtMs).toBeLessThan(5_000)
      expect(tail.stdout).toBe('')
    },
  )

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s: at once, with 0', async (signal) => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail])
    await collector.subscribed()
    tail.kill(signal)
    expect(await tail.ended).toEqual({ code: 0, signal: null })
  })

  test('a reader that leaves: quietly, with 0', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = new RunningProcess(
      spawn(
        'bash',
        ['-c', 'set -o pipefail; "$0" "$@" | head -1; echo "tail: $?"', process.execPath, cli, 'tail', '--connect', collector.tail],
        { stdio: ['ignore', 'pipe', 'pipe'] },
      ),
    )
    await collector.subscribed()
    let sent = 0
    await until(
      async () => {
        await collector.lines(topic, sent, [`line ${sent}`])
        sent += 1
        return tail.end
      },
      { what: 'the pipe has ended' },
    )
    expect(tail.stdout).toBe('line 0\ntail: 0\n')
    expect(tail.stderr).toBe(`spillway tail: connected to ${collector.tail}\n`)
  })

  test('a reader that has stopped reading: SIGTERM still ends it', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail])
    await collector.subscribed()
    tail.child.stdout?.pause()
    for (let frame = 0; frame < 100; frame += 1) await collector.lines(topic, frame * 10, Array<string>(10).fill('x'.repeat(6_000)))
    await until(() => (tail.child.stdout?.readableLength ?? 0) > 0, { what: 'the pipe is full' })
    tail.kill('SIGTERM')
    await until(() => tail.child.exitCode !== null || tail.child.signalCode !== null, { what: 'it has ended', timeoutMs: 5_000 })
    expect(tail.child.exitCode).toBe(0)
  })

  test.each([
    [['--level', 'loud'], /--level: expected one of trace, debug, info, warn, error, fatal; got "loud"/],
    [['--limit', '0'], /'--limit <n>' argument '0' is invalid\. Expected a whole number from 1/],
    [['--limit', 'many'], /Expected a whole number from 1/],
    [['--for', '10'], /Expected a duration such as 500ms, 10s or 5m/],
    [['--for', '-1s'], /./],
    [['--connect', '127.0.0.1:7703'], /--connect: expected tcp:\/\/HOST:PORT.*did you mean "tcp:\/\/127\.0\.0\.1:7703"/],
    [['log..x'], /pattern "log\.\.x": expected tokens/],
    [['log.>.x'], /pattern "log\.>\.x"/],
    [['metric.>', '--level', 'warn'], /nothing can match metric\.> with --level warn/],
    [['--no-such'], /unknown option '--no-such'/],
  ])('%j is wrong usage: exit 2, and what was expected', async (args, message) => {
    await using tail = await runCli(['tail', ...args])
    expect(tail.code).toBe(2)
    expect(tail.stderr).toMatch(message)
    expect(tail.stderr).not.toMatch(/^\s+at /m)
    expect(tail.stdout).toBe('')
  })
})

describe('the connection', () => {
  test('started before the collector, it shows records once there is one', async () => {
    const port = await freePorts()
    await using tail = startCli(['tail', '--connect', `tcp://127.0.0.1:${port + 2}`])
    await using collector = await startCollector({ port })
    await using agent = await HandMadeAgent.connect(collector)
    await ready(agent, tail)
    expect(tail.stderr).toBe(`spillway tail: connected to ${collector.tail}\n`)
  })

  test('lost and found: it says so, shows what comes then, and shows nothing twice', async () => {
    await using first = await startCollector()
    await using tail = await startTail(first)
    await using agent = await HandMadeAgent.connect(first)
    await ready(agent, tail)
    await agent.lines(topic, 0, ['before'])
    await tail.says(/before/)
    first.process.kill('SIGKILL')
    await first.process.ended
    await tail.says(/lost the collector at .*; trying again/)
    await using second = await startCollector({ dir: first.dir, port: first.port })
    await until(() => tail.stderr.match(/connected to/g)?.length === 2, { what: 'it is connected again' })
    await using again = await HandMadeAgent.connect(second, { origin: agent.origin })
    let seq = 1
    await until(
      async () => {
        await again.lines(topic, 0, ['before'])
        await again.lines(topic, seq, ['after'])
        seq += 1
        return tail.stdout.includes('after')
      },
      { what: 'the tail shows what comes after' },
    )
    expect(withoutProbes(tail.stdout).filter((line) => line === 'before')).toHaveLength(1)
  })
})

describe('what is missed is said, with the number', () => {
  test('in the stream for people, beside it for programs', async () => {
    for (const args of [['--pretty'], []]) {
      await using collector = await HandMadeCollector.open()
      await using tail = startCli(['tail', '--connect', collector.tail, ...args])
      await collector.subscribed()
      await collector.lines(topic, 0, ['first'])
      await collector.lines(topic, 1_235, ['second'])
      await tail.says(/1,234 records missed here/)
      const [where, other] = args.length > 0 ? [tail.stdout, tail.stderr] : [tail.stderr, tail.stdout]
      expect(where).toContain('… 1,234 records missed here')
      expect(other).not.toContain('missed')
      expect(linesOf(tail.stdout).filter((line) => /first|second/.test(line))).toHaveLength(2)
    }
  })

  test('at the end of a burst too, when only a manifest tells of it', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail])
    await collector.subscribed()
    await collector.lines(topic, 0, ['first'])
    await collector.manifest(topic, 11)
    await tail.says(/10 records missed here/)
  })

  test('not for frames that come in another order, twice, or that nobody asked for', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', 'log.info.hand.', '--connect', collector.tail])
    await collector.subscribed()
    await collector.lines(topic, 0, ['0'])
    await collector.lines(topic, 2, ['2'])
    await collector.lines(topic, 1, ['1'])
    await collector.lines(topic, 1, ['1'])
    await collector.lines(topic, 1, ['1', '2', '3'])
    // A prefix that ZeroMQ lets through and the pattern does not.
    await collector.lines(logTopic('info', 'hand', 'other'), 0, ['other'])
    await collector.lines(logTopic('info', 'hand', 'other'), 500, ['other'])
    await collector.raw(topic, 'no frame')
    await collector.raw(topic)
    await collector.raw(topic, 'a', 'b')
    await collector.lines(topic, 104, ['end'])
    await tail.says(/100 records missed here/)
    expect(linesOf(tail.stdout)).toEqual(['0', '2', '1', '3', 'end'])
    expect(tail.stderr.match(/missed/g)).toHaveLength(1)
  })

  test('to a reader that is too slow, together with what was dropped for it: all are accounted for', async () => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail])
    await collector.subscribed()
    tail.child.stdout?.pause()
    const frames = 200
    for (let frame = 0; frame < frames; frame += 1) await collector.lines(topic, frame * 10, Array<string>(10).fill('x'.repeat(6_000)))
    await collector.lines(logTopic('warn', 'hand'), 0, ['w'])
    let sent = 1
    // The stopped reader comes back once more than enough has come to be dropped.
    await until(() => (tail.child.stdout?.readableLength ?? 0) > 0, { what: 'the pipe is full' })
    tail.child.stdout?.resume()
    await until(
      async () => {
        await collector.lines(logTopic('warn', 'hand'), sent, ['w'])
        sent += 1
        return /records dropped here \(slow reader\)/.test(tail.stderr)
      },
      { what: 'it says what it dropped' },
    )
    await collector.lines(logTopic('error', 'hand'), 0, ['the end'])
    await tail.says(/the end/)
    // Where it was dropped is said each time, and there may be more than one.
    const dropped = () =>
      [...tail.stderr.matchAll(/([\d,]+) records dropped here/g)].reduce((all, match) => all + Number(match[1]?.replaceAll(',', '')), 0)
    await until(() => linesOf(tail.stdout).length - 1 + dropped() === frames * 10 + sent, { what: 'shown and dropped add up' })
    expect(dropped()).toBeGreaterThan(0)
  })

  test('to a tail that was stopped and has more waiting than a collector keeps for it', async () => {
    await using collector = await startCollector()
    await using agent = await HandMadeAgent.connect(collector)
    await using tail = await startTail(collector)
    await ready(agent, tail)
    const probes = withoutProbes(tail.stdout).length
    expect(probes).toBe(0)
    tail.kill('SIGSTOP')
    const frames = 6_000
    const perFrame = 4
    // Large enough that what the system buffers is not enough for them all.
    const line = 'x'.repeat(2_500)
    await agent.manifest({ topics: { [topic]: { lead: 0 } } })
    for (let frame = 0; frame < frames; frame += 1) await agent.lines(topic, frame * perFrame, Array<string>(perFrame).fill(line))
    await until(async () => (await collector.status()).totals.delivered >= frames * perFrame, { what: 'the collector has everything' })
    tail.kill('SIGCONT')
    const missed = () =>
      [...tail.stderr.matchAll(/([\d,]+) records (?:missed|dropped) here/g)].reduce(
        (all, match) => all + Number(match[1]?.replaceAll(',', '')),
        0,
      )
    const shown = () => linesOf(tail.stdout).filter((text) => text === line).length
    await until(
      async () => {
        // What an agent says every two seconds.
        await agent.manifest({ topics: { [topic]: { lead: frames * perFrame, resume: frames * perFrame } } })
        return shown() + missed() === frames * perFrame
      },
      { what: 'shown and missed add up' },
    )
    expect(missed()).toBeGreaterThan(0)
    expect((await collector.status()).totals).toMatchObject({ lost: {}, inFlight: 0 })
  })
})

describe('text made to do something to a terminal', () => {
  const evil =
    '\u001b[2J\u001b]0;title\u0007\u001b]52;c;aGk=\u0007\u001b]8;;http://x\u001b\\\u009b31m\u0090q\u009c\r\u0008\u0000\u007f\u202e\u2066\u200b\u2060\ufeff\u2028\u2029\u061c\u00ad\u{e0041}'
  /** Tab and line feed are ours; anything else must be something one can see. */
  const allowed = /^[\n\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u2026\ufffd]*$/u

  test.each([[['--pretty']], [[]]])('is shown as escapes, in message, key, value, stack, service and logger (%j)', async (args) => {
    await using collector = await HandMadeCollector.open()
    await using tail = startCli(['tail', '--connect', collector.tail, ...args])
    await collector.subscribed()
    const fields = {
      level: 30,
      msg: evil,
      [evil]: evil,
      plain: 1,
      nested: { [evil]: [evil] },
      err: { message: evil, stack: `Error: x\n    at ${evil}` },
    }
    // As JSON.stringify writes it, and as a hostile sender may: with the characters themselves.
    const raw = `{"msg":"${evil}","time":"${evil}"}`
    await collector.lines(logTopic('info', `sv${evil}`, `lg${evil}`), 0, [JSON.stringify(fields), raw, evil.replaceAll('\n', '')])
    await collector.lines(topic, 0, ['the end'])
    await tail.says(/the end/)
    expect(tail.stdout).toMatch(allowed)
    expect(tail.stderr).toMatch(allowed)
    expect(tail.stdout).toContain('\\u001b')
    expect(tail.stdout).toContain('\\u202e')
    expect(tail.stdout).toContain('\\u200b')
    if (args.length > 0) expect(tail.stdout).toContain('sv\\u001b[2J')
    // Not one line more than was logged, but for the stack's own.
    expect(linesOf(tail.stdout)).toHaveLength(args.length > 0 ? 3 + 2 + 1 : 3 + 1)
    // What was JSON still is, and still says the same.
    if (args.length === 0) expect(JSON.parse(linesOf(tail.stdout)[0] ?? '')).toEqual(fields)
  })
})

test('every level has its name in the stream', async () => {
  await using collector = await HandMadeCollector.open()
  await using tail = startCli(['tail', '--connect', collector.tail, '--pretty', '--limit', String(levels.length)])
  await collector.subscribed()
  for (const level of levels) await collector.lines(logTopic(level, 'hand'), 0, ['{"msg":"m"}'])
  expect((await tail.ended).code).toBe(0)
  expect(linesOf(tail.stdout).map((line) => line.split(' ')[1])).toEqual(levels.map((level) => level.toUpperCase()))
  // Colour is for terminals.
  expect(tail.stdout).not.toContain('\u001b')
})

/** `spillway tail` on a real terminal, with keys: a pane of tmux, seen as a person sees it. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { logTopic } from '../../wire/topic.ts'
import { cli } from '../support/processes.ts'
import { Pane, type PaneOptions } from '../support/tmux.ts'
import { until } from '../support/until.ts'
import { HandMadeCollector } from './hand-made-collector.ts'

const run = promisify(execFile)
const topic = logTopic('info', 'hand')
const introducer = '\u001b'

interface Watched extends AsyncDisposable {
  readonly pane: Pane
  readonly collector: HandMadeCollector
  /** Sends lines of level info, numbered on. */
  info(...lines: readonly string[]): Promise<void>
}

/** A tail in a terminal, connected. */
async function watch(args = '', options: PaneOptions = {}, redirect = ''): Promise<Watched> {
  const collector = await HandMadeCollector.open()
  const pane = await Pane.open(options)
  await pane.run(`clear; node ${cli} tail --connect ${collector.tail} ${args} ${redirect}; echo "exit $?"`)
  await collector.subscribed()
  let sent = 0
  return {
    pane,
    collector,
    info: async (...lines) => {
      await collector.lines(topic, sent, lines)
      sent += lines.length
    },
    async [Symbol.asyncDispose]() {
      await pane[Symbol.asyncDispose]()
      await collector[Symbol.asyncDispose]()
    },
  }
}

const message = (msg: string, more: object = {}) => JSON.stringify({ level: 30, msg, ...more })

describe('what one sees', () => {
  test('records, and below them how it goes', async () => {
    await using tail = await watch()
    await tail.info(message('first'), message('second', { a: 1 }))
    const screen = await tail.pane.shows(/shown 2/)
    expect(screen).toMatch(
      /08:53:20\.000 INFO {2}hand first\n08:53:20\.000 INFO {2}hand second a=1\n +\d+\/s +shown 2 {2}filtered 0 {2}missed 0 {2}\? help$/,
    )
    expect(screen).toContain('connected to')
  })

  test('a request in one line, errors with their causes below, and values of several lines folded', async () => {
    await using tail = await watch()
    const cause = { type: 'Error', message: 'no money', stack: 'Error: no money\n    at bank (b.js:1:1)' }
    await tail.info(
      message('request completed', {
        req: { id: 7, method: 'GET', url: '/pay', headers: { cookie: 'c' } },
        res: { statusCode: 500 },
        responseTime: 12,
      }),
      message('it failed', { err: { type: 'Error', message: 'refused', stack: 'Error: refused\n    at pay (p.js:1:1)', cause } }),
      message('slow', { sql: 'select *\nfrom a\nwhere b' }),
    )
    const screen = await tail.pane.shows(/shown 3/)
    expect(screen).toMatch(/INFO {2}hand GET \/pay 500 12ms req\.id=7\n/)
    expect(screen).toContain('    Error: refused\n        at pay (p.js:1:1)\n    caused by: Error: no money\n        at bank (b.js:1:1)\n')
    expect(screen).toContain('hand slow sql="select *" … 2 more lines\n')
  })

  test('long lines go on in the next row, or are cut at the edge with --truncate', async () => {
    const long = `begin ${'x'.repeat(150)} end`
    await using wrapped = await watch('', { columns: 80 })
    await wrapped.info(message(long))
    expect((await wrapped.pane.shows(/shown 1/)).replaceAll('\n', '')).toContain(long)
    await using cut = await watch('--truncate', { columns: 80 })
    await cut.info(message(long), message('after'))
    const screen = await cut.pane.shows(/shown 2/)
    expect(screen).toMatch(/hand begin x+…\n\S+ INFO {2}hand after\n/)
    expect(screen).not.toContain(' end')
    // The other way round, from now on.
    await cut.pane.keys('w')
    await until(
      async () => {
        await cut.info(message(long))
        return (await cut.pane.screen()).replaceAll('\n', '').includes(long)
      },
      { what: 'a line is whole', everyMs: 100 },
    )
  })

  test('text made to do something to a terminal is seen, and does nothing', async () => {
    await using tail = await watch()
    const evil = `${introducer}[2J${introducer}]0;owned\u0007${introducer}[31m\u202egnp\u0000`
    await tail.info(message('before'), message(evil, { [evil]: evil }), evil, message('after'))
    const screen = await tail.pane.shows(/shown 4/)
    expect(screen).toContain('hand before')
    expect(screen).toContain('hand \\u001b[2J\\u001b]0;owned\\u0007\\u001b[31m\\u202egnp\\u0000')
    expect(screen).toContain('hand after')
  })
})

describe('colours', () => {
  test.each<[string, string, Record<string, string>, string, boolean]>([
    ['on a terminal', '', {}, '', true],
    ['not with --no-color', '--no-color', {}, '', false],
    ['not with NO_COLOR', '', { NO_COLOR: '1' }, '', false],
    ['with an empty NO_COLOR', '', { NO_COLOR: '' }, '', true],
    ['with FORCE_COLOR, which is stronger', '', { NO_COLOR: '1', FORCE_COLOR: '1' }, '', true],
    ['not with FORCE_COLOR and --no-color', '--no-color', { FORCE_COLOR: '1' }, '', false],
    ['not in a pipe', '--pretty', {}, '| cat', false],
    ['in a pipe with FORCE_COLOR', '--pretty', { FORCE_COLOR: '1' }, '| cat', true],
    ['not in lines for programs', '--json', { FORCE_COLOR: '1' }, '| cat', false],
  ])('%s', async (_what, args, env, redirect, isColoured) => {
    await using tail = await watch(args, { env }, redirect)
    await tail.info(message('seen'))
    await tail.pane.shows(/seen/)
    const row = (await tail.pane.colours()).split('\n').find((line) => line.includes('seen')) ?? ''
    expect(row.includes(`${introducer}[32m`)).toBe(isColoured)
  })

  test('a service has the same one always, and not that of its neighbour', async () => {
    await using tail = await watch()
    for (const [i, service] of ['checkout', 'shop', 'checkout', 'shop'].entries()) {
      await tail.collector.lines(logTopic('info', service), i, [message(`m${i}`)])
    }
    await tail.pane.shows(/shown 4/)
    const text = await tail.pane.colours()
    const colours = (service: string) => [...text.matchAll(new RegExp(`${introducer}\\[(\\d+)m${service}`, 'g'))].map((match) => match[1])
    expect(colours('checkout')).toHaveLength(2)
    expect(new Set(colours('checkout')).size).toBe(1)
    expect(new Set(colours('shop')).size).toBe(1)
    expect(colours('shop')[0]).not.toBe(colours('checkout')[0])
  })

  test('what --highlight names stands out', async () => {
    await using tail = await watch("--highlight '/gold|silver/' --highlight ld")
    await tail.info(message('a golden cold'))
    await tail.pane.shows(/shown 1/)
    const row = (await tail.pane.colours()).split('\n').find((line) => line.includes('gold')) ?? ''
    const inverse = [...row.matchAll(new RegExp(`${introducer}\\[(?:\\d+;)*7m([a-z]+)`, 'g'))].map((match) => match[1])
    expect(inverse).toEqual(['gold', 'ld'])
  })
})

describe('keys', () => {
  test('space pauses: what comes meanwhile waits, is counted, and is shown when it goes on', async () => {
    await using tail = await watch()
    await tail.info(message('one'))
    await tail.pane.shows(/shown 1/)
    await tail.pane.keys('Space')
    await tail.pane.shows(/paused: 0 wait/)
    await tail.info(...Array.from({ length: 1_204 }, (_, i) => message(`waits ${i}`)))
    expect(await tail.pane.shows(/paused: 1,204 wait/)).not.toContain('waits 0')
    await tail.pane.keys('Space')
    const screen = await tail.pane.shows(/shown 1,205/)
    expect(screen).toContain('waits 1203')
    expect(screen).not.toContain('paused')
  })

  test('a pause is bounded: the oldest is shed, and that is said while it lasts and where it is missing', async () => {
    await using tail = await watch()
    await tail.pane.keys('Space')
    await tail.pane.shows(/paused/)
    const frames = 80
    const perFrame = 100
    for (let frame = 0; frame < frames; frame += 1) await tail.info(...Array<string>(perFrame).fill(message('y'.repeat(5_000))))
    const [, waiting = '', shed = ''] = /paused: ([\d,]+) wait, ([\d,]+) shed/.exec(await tail.pane.shows(/ shed /)) ?? []
    const number = (text: string) => Number(text.replaceAll(',', ''))
    await until(
      async () => {
        const [, waits = '', gone = ''] = /paused: ([\d,]+) wait, ([\d,]+) shed/.exec(await tail.pane.screen()) ?? []
        return number(waits) + number(gone) === frames * perFrame
      },
      { what: 'waiting and shed add up' },
    )
    expect(number(waiting)).toBeGreaterThan(1_000)
    expect(number(shed)).toBeGreaterThan(0)
    await tail.pane.keys('Space')
    const screen = await tail.pane.shows(/ dropped [\d,]+ /, 40_000)
    await tail.pane.keys('q')
    expect(screen).toMatch(/dropped/)
    await tail.pane.shows(/exit 0/)
  })

  test('/ shows only what holds a text or an expression, says what is wrong with one, and empty shows all again', async () => {
    await using tail = await watch()
    await tail.pane.keys('/')
    await tail.pane.shows(/filter: +▏/)
    await tail.pane.type('/(pay/')
    await tail.pane.keys('Enter')
    await tail.pane.shows(/no regular expression/)
    await tail.pane.keys(...Array<string>(6).fill('BSpace'))
    await tail.pane.type('/pay(ment)?/')
    await tail.pane.keys('Enter')
    await tail.pane.shows(/filter \/pay\(ment\)\?\//)
    await tail.info(message('payment taken'), message('hello'), message('to pay'))
    const screen = await tail.pane.shows(/shown 2 {2}filtered 1/)
    expect(screen).not.toContain('hello')
    // Escape leaves it as it was.
    await tail.pane.keys('/', 'x', 'Escape')
    await tail.pane.shows(/filter \/pay\(ment\)\?\//)
    await tail.pane.keys('/', 'Enter')
    await until(async () => !(await tail.pane.screen()).includes('/pay(ment)'), { what: 'the filter is gone' })
    await tail.info(message('hello again'))
    await tail.pane.shows(/hello again/)
  })

  test('1 to 6 ask for a level and above, at the source', async () => {
    await using tail = await watch('--level warn')
    const prefixes = () => [...tail.collector.prefixes].filter((prefix) => prefix.startsWith('log.')).sort()
    expect(prefixes()).toEqual(['log.error.', 'log.fatal.', 'log.warn.'])
    await tail.pane.keys('5')
    await tail.pane.shows(/≥ error/)
    await until(() => prefixes().length === 2, { what: 'it asks for less' })
    await tail.pane.keys('3')
    await tail.pane.shows(/≥ info/)
    await until(() => prefixes().length === 4, { what: 'it asks for more' })
    expect(prefixes()).toEqual(['log.error.', 'log.fatal.', 'log.info.', 'log.warn.'])
    // What was sent while nobody asked was not missed.
    await tail.collector.lines(topic, 10_000, [message('now')])
    await tail.pane.shows(/hand now\n.*shown 1 {2}filtered 0 {2}missed 0/)
  })

  test('c clears, ? helps, and a key that means nothing does nothing', async () => {
    await using tail = await watch()
    await tail.info(message('old'))
    await tail.pane.shows(/old/)
    await tail.pane.keys('c')
    await until(async () => !(await tail.pane.screen()).includes('old'), { what: 'the screen is clear' })
    await tail.pane.keys('?')
    const screen = await tail.pane.shows(/\? {7}this help/)
    for (const key of ['space', '/', '1 … 6', 'c', 'q']) expect(screen).toMatch(new RegExp(`^ +${key.replace('/', '\\/')} {2}`, 'm'))
    await tail.pane.keys('z', 'F5', 'Up', '9')
    await tail.info(message('new'))
    await tail.pane.shows(/hand new\n.*shown 2/)
  })
})

describe('it leaves the terminal as it was', () => {
  const endings: [string, (tail: Watched) => Promise<void>, number][] = [
    ['q', (tail) => tail.pane.keys('q'), 0],
    ['Ctrl-C', (tail) => tail.pane.keys('C-c'), 0],
    ['Ctrl-C while paused', (tail) => tail.pane.keys('Space', 'C-c'), 0],
    ['Ctrl-C while a filter is typed', (tail) => tail.pane.keys('/', 'a', 'C-c'), 0],
    ['SIGTERM', (tail) => signal(tail, 'TERM'), 0],
    ['SIGINT', (tail) => signal(tail, 'INT'), 0],
    ['SIGHUP', (tail) => signal(tail, 'HUP'), 0],
    ['an error nobody expected', (tail) => signal(tail, 'USR2'), 1],
  ]
  test.each(endings)('%s', async (what, end, code) => {
    await using tail = await watch('', {
      env: what.startsWith('an error') ? { NODE_OPTIONS: '--import=./test/apps/throws-at-signal.mjs' } : {},
    })
    await tail.info(message('seen'))
    await tail.pane.shows(/shown 1/)
    const during = await tail.pane.settings()
    expect(during.stty).toContain('-icanon')
    expect(during.isCursorShown).toBe(false)
    await end(tail)
    const screen = await tail.pane.shows(/exit \d+\n\$$/)
    expect(screen).toContain(`exit ${code}`)
    expect(screen).toContain('hand seen')
    expect(screen).not.toMatch(/\d+\/s +shown/)
    await isAsBefore(tail.pane)
    expect((await tail.pane.settings()).isCursorShown).toBe(true)
  })

  test('--limit, at its own end', async () => {
    await using tail = await watch('--limit 2')
    await tail.info(message('1'), message('2'), message('3'))
    const screen = await tail.pane.shows(/exit 0\n\$$/)
    expect(screen).toMatch(/hand 1\n.*hand 2\nexit 0/)
    expect((await tail.pane.settings()).isCursorShown).toBe(true)
  })

  test('options that cannot be meant: nothing of it is touched', async () => {
    await using pane = await Pane.open()
    await pane.run(`clear; node ${cli} tail --grep '/(/'; echo "exit $?"`)
    expect(await pane.shows(/exit 2\n\$$/)).toMatch(/spillway: --grep: \/\(\/ is no regular expression here/)
  })

  test("Ctrl-Z: suspended it is the shell's, and back it goes on", async () => {
    await using tail = await watch()
    await tail.pane.keys('C-z')
    await tail.pane.shows(/Stopped/)
    expect((await tail.pane.settings()).isCursorShown).toBe(true)
    await tail.pane.run('fg')
    await tail.info(message('back'))
    await tail.pane.shows(/hand back\n.*shown 1/)
    expect((await tail.pane.settings()).isCursorShown).toBe(false)
    await tail.pane.keys('q')
  })
})

describe('it stays responsive', () => {
  test('through a resize, with the status in the last row and nothing left of the old one', async () => {
    await using tail = await watch('', { columns: 120, rows: 30 })
    await tail.info(message('one'))
    await tail.pane.shows(/shown 1/)
    for (const [columns, rows] of [
      [40, 10],
      [30, 8],
      [100, 24],
    ] as const) {
      await tail.pane.resize(columns, rows)
      await tail.info(message(`at ${columns}`))
      await tail.pane.shows(new RegExp(`at ${columns}\\n.*\\/s`))
    }
    expect((await tail.pane.screen()).match(/\/s /g)).toHaveLength(1)
  })

  test('with a terminal that takes nothing: what it is not given is counted, and a signal still ends it', async () => {
    await using tail = await watch('--truncate')
    await tail.info(message('before'))
    await tail.pane.shows(/shown 1/)
    const pid = await pidOf(tail)
    await tail.pane.stop('SIGSTOP')
    // More than what may wait.
    const [frames, perFrame] = [90, 100]
    for (let frame = 0; frame < frames; frame += 1) await tail.info(...Array<string>(perFrame).fill(message('z'.repeat(5_000))))
    await tail.pane.stop('SIGCONT')
    const number = (text = '') => Number(text.replaceAll(',', ''))
    await until(
      async () => {
        const [, shown, missed, dropped] = /shown ([\d,]+) .* missed ([\d,]+)(?: {2}dropped ([\d,]+))?/.exec(await tail.pane.screen()) ?? []
        return number(shown) + number(missed) + number(dropped) === 1 + frames * perFrame && number(dropped) > 0
      },
      { what: 'shown, missed and dropped add up', timeoutMs: 40_000 },
    )
    expect(/… [\d,]+ records dropped here \(slow terminal\)/.test(await tail.pane.history())).toBe(true)
    await tail.pane.stop('SIGSTOP')
    for (let frame = 0; frame < 10; frame += 1) await tail.info(...Array<string>(perFrame).fill(message('z'.repeat(5_000))))
    process.kill(pid, 'SIGTERM')
    await until(() => !isRunning(pid), { what: 'it has ended' })
    await tail.pane.stop('SIGCONT')
    await tail.pane.shows(/exit 0\n\$$/)
    await isAsBefore(tail.pane)
  })

  test('with a hundred thousand lines at once: keys are heard meanwhile, and every line is shown, filtered or counted', async () => {
    await using tail = await watch()
    const [frames, perFrame] = [200, 500]
    const sending = (async () => {
      for (let frame = 0; frame < frames; frame += 1)
        await tail.info(...Array.from({ length: perFrame }, (_, i) => message(`line ${i}`, { frame })))
    })()
    await tail.pane.keys('/')
    await tail.pane.type('frame":199')
    await tail.pane.shows(/filter: +frame":199▏/)
    await tail.pane.keys('Enter')
    await sending
    const number = (text = '') => Number(text.replaceAll(',', ''))
    await until(
      async () => {
        const [, ...counts] =
          /shown ([\d,]+) {2}filtered ([\d,]+) {2}missed ([\d,]+)(?: {2}dropped ([\d,]+))?/.exec(await tail.pane.screen()) ?? []
        return counts.reduce((sum, text) => sum + number(text), 0) === frames * perFrame
      },
      { what: 'all are accounted for', timeoutMs: 40_000 },
    )
  })

  test('with a record far over 64 KiB', async () => {
    await using tail = await watch()
    await tail.info(message('a'.repeat(900_000)), message('after'))
    const screen = await tail.pane.shows(/shown 2/)
    expect(screen).toContain('… 892,000 more characters')
    expect(screen).toContain('hand after')
  })
})

test('a closed pipe, seen from a terminal: quietly', async () => {
  await using tail = await watch('--pretty', {}, '| head -1')
  await until(
    async () => {
      await tail.info(message('line'))
      return (await tail.pane.screen()).includes('exit')
    },
    { what: 'it has ended' },
  )
  const screen = await tail.pane.screen()
  expect(screen.match(/hand line/g)).toHaveLength(1)
  expect(screen).toContain('exit 0')
  expect(screen).not.toMatch(/EPIPE|Error/)
})

/** The shell sets its terminal up for itself; how it was left is what a program started by it finds. */
async function isAsBefore(pane: Pane): Promise<void> {
  await pane.run('stty -a; echo asked')
  const after = await pane.shows(/asked\n\$$/)
  expect(after).toMatch(/ icanon/)
  expect(after).toMatch(/ echo /)
}

async function signal(tail: Watched, name: string): Promise<void> {
  process.kill(await pidOf(tail), `SIG${name}` as NodeJS.Signals)
}

/** The tail is the one process that has this endpoint among its arguments. */
async function pidOf(tail: Watched): Promise<number> {
  const { stdout } = await run('pgrep', ['-f', `tail --connect ${tail.collector.tail}`])
  const pids = stdout.trim().split('\n')
  expect(pids).toHaveLength(1)
  return Number(pids[0])
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

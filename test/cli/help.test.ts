import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { requireConfig } from '../../collector/config.ts'
import { tailPatterns } from '../../dashboards/tail-patterns.ts'
import { defaultDataEndpoint, defaultTailEndpoint, hostAndPort, siblingEndpoint } from '../../wire/endpoint.ts'
import { levels } from '../../wire/level.ts'
import { version } from '../../wire/version.ts'
import { tempDir } from '../support/processes.ts'
import { runCli } from './run-cli.ts'

const commands = ['collector', 'tail', 'query', 'status', 'top', 'validate', 'doctor', 'completion', 'man']

async function helpOf(...args: readonly string[]): Promise<string> {
  await using run = await runCli([...args, '--help'])
  expect(run.code).toBe(0)
  expect(run.stderr).toBe('')
  // One line per flag, however narrow the terminal.
  return run.stdout.replaceAll(/\n {6,}(?=\S)/g, ' ')
}

/** What the help says of a flag. */
function flagText(help: string, flag: string): string {
  const line = help.split('\n').find((text) => new RegExp(`^ +(?:-\\w, )?${flag}(?: |$)`).test(text))
  if (line === undefined) throw new Error(`the help does not mention ${flag}`)
  return line
}

const defaultIn = (text: string) => /\(default: (.*)\)/.exec(text)?.[1]

test('spillway --help: purpose, every command, where to start, exit codes', async () => {
  const help = await helpOf()
  expect(help).toMatch(/^Usage: spillway /)
  expect(help).toMatch(/without\s+ever\s+making\s+the\s+application\s+wait/)
  for (const command of commands) expect(help).toMatch(new RegExp(`^ {2}${command} .*\\S`, 'm'))
  expect(help).toMatch(/\$ spillway collector/)
  expect(help).toMatch(/Exit codes: 0 done, 1 failed, 2 wrong usage/)
})

test.each(commands)(
  'spillway %s --help: purpose, every flag with a word about it, an example that is one of this command',
  async (command) => {
    const help = await helpOf(command)
    expect(help).toMatch(new RegExp(`^Usage: spillway ${command}`))
    const [, purpose = ''] = help.split('\n\n')
    expect(purpose).toMatch(/^[A-Z].*\.$/s)
    const options = /Options:\n([\s\S]*?)\n\n/.exec(`${help}\n\n`)?.[1]?.split('\n') ?? []
    expect(options.length).toBeGreaterThan(0)
    for (const option of options) expect(option).toMatch(/^ {2}(?:-\w, )?--[a-z][a-z-]*(?: <[^>]+>)? {2,}\S.{10,}$/)
    const examples = [...help.matchAll(/^ {2}\$ (spillway .*)$/gm)].map((match) => match[1] ?? '')
    expect(examples.length).toBeGreaterThan(0)
    for (const example of examples) {
      expect(example).toMatch(new RegExp(`^spillway ${command}\\b`))
      // Each flag of an example is one of the command's.
      for (const [flag] of example.matchAll(/(?<= )--?[a-z]+/g)) expect(help).toMatch(new RegExp(`^ +(?:-\\w, )?${flag}|^ +${flag}, `, 'm'))
    }
  },
)

describe('what the help says is true', () => {
  const defaults = requireConfig(undefined)

  test('the defaults of spillway collector', async () => {
    const help = await helpOf('collector')
    expect(defaultIn(flagText(help, '--dir'))).toBe(defaults.dir)
    expect(`tcp://${defaultIn(flagText(help, '--listen'))}`).toBe(defaults.listen.data)
    expect(defaults.listen.data).toBe(defaultDataEndpoint)
    const { http } = defaults.listen
    expect(defaultIn(flagText(help, '--http'))).toBe(http === 'off' ? 'off' : `${http.host}:${http.port}`)
    expect(defaultIn(flagText(help, '--subscribe'))).toBe(defaults.subscribe.join(' and '))
    expect(flagText(help, '--listen')).toMatch(/control is the next port, tail the one after/)
    expect([defaults.listen.control, defaults.listen.tail]).toEqual([
      siblingEndpoint(defaultDataEndpoint, 1, 'control'),
      siblingEndpoint(defaultDataEndpoint, 2, 'tail'),
    ])
  })

  test('the defaults and choices of spillway tail', async () => {
    const help = await helpOf('tail')
    expect(defaultIn(flagText(help, '--connect'))).toBe(defaultTailEndpoint)
    expect(defaultTailEndpoint).toBe(defaults.listen.tail)
    expect(defaultIn(flagText(help, 'patterns'))).toBe(tailPatterns({ patterns: [] }).join(' '))
    expect(flagText(help, '--level')).toContain(levels.join(', '))
    // Every unit it names is taken.
    for (const [duration] of flagText(help, '--for').matchAll(/\d+(?:ms|s|m)\b/g)) {
      await using run = await runCli(['tail', '--for', duration, '--limit', '0'])
      expect(run.stderr).not.toContain('--for')
      expect(run.stderr).toContain('--limit')
    }
  })

  test('the default of spillway status, and every form of --since it names', async () => {
    const help = await helpOf('status')
    const { http } = defaults.listen
    expect(defaultIn(flagText(help, '--http'))).toBe(`SPILLWAY_HTTP, else ${http === 'off' ? 'off' : `${http.host}:${http.port}`}`)
    const forms = [...flagText(help, '--since').matchAll(/\b(?:\d+m|\d{4}-\d\d-\d\dT\d\d:\d\d)\b/g)].map(([form]) => form)
    expect(forms).toHaveLength(2)
    for (const form of forms) {
      await using run = await runCli(['status', '--since', form, '--http', '127.0.0.1:1'])
      expect(run.stderr).toContain('127.0.0.1:1')
      expect(run.stderr).not.toContain('--since')
    }
  })

  test('the defaults of spillway doctor', async () => {
    const help = await helpOf('doctor')
    expect(defaultIn(flagText(help, '--connect'))).toBe(`SPILLWAY_COLLECTOR, else ${defaultDataEndpoint}`)
    // That it is three seconds for real is seen where it meets a silent server.
    expect(defaultIn(flagText(help, '--timeout'))).toBe('3s')
  })

  test('the documented ports', () => {
    const port = (endpoint: Parameters<typeof hostAndPort>[0]) => hostAndPort(endpoint)?.port
    expect([port(defaults.listen.data), port(defaults.listen.control), port(defaults.listen.tail)]).toEqual([7701, 7702, 7703])
    expect(defaults.listen.http).toEqual({ host: '127.0.0.1', port: 7700 })
  })
})

describe('the command', () => {
  test('says its version', async () => {
    await using run = await runCli(['--version'])
    expect([run.code, run.stdout]).toEqual([0, `${version}\n`])
  })

  test.each([[[]], [['no-such-command']], [['help']], [['--no-such-flag']]])('%j is wrong usage: exit 2, words on stderr', async (args) => {
    await using run = await runCli(args)
    expect(run.code).toBe(2)
    expect(run.stdout).toBe('')
    expect(run.stderr).toMatch(/spillway|--help/)
  })

  test('a mistyped command is told the nearest one', async () => {
    await using run = await runCli(['colector'])
    expect(run.code).toBe(2)
    expect(run.stderr).toMatch(/unknown command 'colector'\n\(Did you mean collector\?\)/)
  })

  test('a bad flag loads nothing and leaves nothing behind', async () => {
    await using dir = await tempDir()
    await using run = await runCli(['collector', '--http', 'nonsense'], { cwd: dir.path })
    expect(run.code).toBe(2)
    expect(readdirSync(dir.path)).toEqual([])
  })
})

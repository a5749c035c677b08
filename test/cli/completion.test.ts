/** Completion in the shells themselves, each in a terminal, and the manual page as groff reads it. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { levels } from '../../wire/level.ts'
import { type DebianTool, findDebianTool } from '../support/debian-tool.ts'
import { cli, runApp, startCollector, tempDir } from '../support/processes.ts'
import { Pane } from '../support/tmux.ts'
import { runCli } from './run-cli.ts'

const run = promisify(execFile)

const shellsHere: Readonly<Record<'bash' | 'zsh' | 'fish', () => Promise<{ readonly start: string; readonly load: string }>>> = {
  bash: async () => ({
    start: 'bash --norc --noprofile',
    load: 'source <(spillway completion bash); bind "set bell-style none"; bind "set show-all-if-ambiguous on"',
  }),
  zsh: async () => {
    const { path, env } = await findDebianTool({ name: 'zsh', file: 'bin/zsh', packages: ['zsh', 'zsh-common'] })
    const root = path.replace(/\/?bin\/zsh$/, '')
    const own =
      Object.keys(env).length === 0 ? '' : `module_path=(${root}/usr/lib/*/zsh/*(/)); fpath=(${root}/usr/share/zsh/functions/**/*(/)); `
    const libraries = Object.entries(env)
      .map(([key, value]) => `${key}=${value} `)
      .join('')
    return {
      start: `${libraries}${path} -f`,
      load: `${own}autoload -Uz compinit && compinit -u -D && source <(spillway completion zsh); PS1="$ "`,
    }
  },
  fish: async () => {
    const { path, env } = await findDebianTool({ name: 'fish', packages: ['fish', 'fish-common'] })
    const own = Object.keys(env).length === 0 ? '' : `set -g fish_function_path ${path.replace(/bin\/fish$/, 'share/fish/functions')}; `
    const libraries = Object.entries(env)
      .map(([key, value]) => `${key}=${value} `)
      .join('')
    return {
      start: `${libraries}${path} --no-config --private`,
      load: `${own}function fish_prompt; echo '$ '; end; spillway completion fish | source; clear`,
    }
  },
}

interface Shell extends AsyncDisposable {
  readonly pane: Pane
  /** Types a beginning, presses Tab, and waits for what becomes of it. */
  completes(typed: string, to: RegExp): Promise<string>
}

async function openShell(name: keyof typeof shellsHere, env: Readonly<Record<string, string>> = {}): Promise<Shell> {
  const dir = await tempDir()
  const command = join(dir.path, 'spillway')
  await writeFile(command, `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`)
  await chmod(command, 0o755)
  const { start, load } = await shellsHere[name]()
  const pane = await Pane.open({ columns: 120, env: { PATH: `${dir.path}:${process.env['PATH']}`, HOME: dir.path, ...env } })
  await pane.run(`cd ${dir.path}; ${start}`)
  await pane.run(load)
  await pane.run('echo rea""dy')
  await pane.shows(/^ready/m)
  return {
    pane,
    completes: async (typed, to) => {
      // An empty line, and nothing else on the screen.
      await pane.keys('C-u')
      await pane.shows(/\$$/)
      await pane.run('clear')
      await pane.shows(/^\$$/)
      await pane.type(typed)
      await pane.shows(typed.trim())
      await pane.keys('Tab')
      return pane.shows(to)
    },
    async [Symbol.asyncDispose]() {
      await pane[Symbol.asyncDispose]()
      // A shell that ends writes its history.
      await rm(dir.path, { recursive: true, force: true, maxRetries: 20 })
      await dir[Symbol.asyncDispose]()
    },
  }
}

describe.each(['bash', 'zsh', 'fish'] as const)('in %s', (name) => {
  test('commands, flags, levels, choices, and the services that run now', async () => {
    await using collector = await startCollector()
    await runApp('count.mjs', { args: ['1'], env: { ...collector.env, SPILLWAY_SERVICE: 'check-out' } })
    await collector.status()
    await using shell = await openShell(name, { SPILLWAY_HTTP: collector.http })
    await shell.completes('spillway ta', /spillway tail$/m)
    await shell.completes('spillway tail --exit', /spillway tail --exit-status$/m)
    await shell.completes('spillway tail --level wa', /--level warn$/m)
    await shell.completes('spillway tail --time rel', /--time relative$/m)
    await shell.completes('spillway top --sort e', /--sort errors$/m)
    await shell.completes('spillway tail --service co', /--service counted$/m)
    await shell.completes('spillway completion fi', /completion fish$/m)
    const all = await shell.completes('spillway tail --level ', /fatal/)
    for (const level of levels) expect(all).toContain(level)
  })

  test('files, where one is wanted', async () => {
    await using shell = await openShell(name)
    await shell.pane.run('echo > some-config.yaml')
    await shell.completes('spillway validate some', /spillway validate some-config\.yaml/)
    await shell.completes('spillway collector -c some', /collector -c some-config\.yaml/)
  })
})

test('a service whose name would be run by a shell is not offered', async () => {
  const names = [
    'good',
    'good',
    '$(touch owned)',
    '`touch owned`',
    'a;b',
    '-rf',
    'a b',
    'a\nb',
    'a\tb',
    '\u001b[2J',
    ':files',
    'x'.repeat(200),
    '',
  ]
  await using server = await answering(JSON.stringify({ origins: names.map((service) => ({ service })) }))
  await using found = await runCli(['__complete', 'bash', 'tail', '--service', ''], { env: { SPILLWAY_HTTP: server.address } })
  expect(found.stdout).toBe('good\trunning\n')
})

test.each([
  ['nobody there', undefined],
  ['no answer in time', null],
  ['no status', '[1]'],
  ['no JSON', 'hello'],
  ['more than a status is', 'x'.repeat(8_000_000)],
])('a collector with %s costs a moment and the names, nothing else', async (_what, body) => {
  await using server = body === undefined ? undefined : await answering(body)
  const env = { SPILLWAY_HTTP: server?.address ?? '127.0.0.1:1' }
  const startedAtMs = performance.now()
  await using found = await runCli(['__complete', 'bash', 'tail', '--service', ''], { env })
  expect([found.code, found.stdout, found.stderr]).toEqual([0, '', ''])
  expect(performance.now() - startedAtMs).toBeLessThan(10_000)
})

test.each([
  [['tail', '--level='], 'trace'],
  [['tail', '--level', '=', 'tr'], 'trace'],
  [['tail', '--http', '127.0.0.1', ':', '1', '--level', ''], 'trace'],
  [['tail', '--help', '--version', '--level', ''], 'trace'],
  [['no-such-command', ''], undefined],
  [['tail', '--no-such', '--lev'], '--level'],
  [[], 'collector'],
])('the words %j of bash are understood', async (words, first) => {
  await using found = await runCli(['__complete', 'bash', ...words])
  expect([found.code, found.stderr]).toEqual([0, ''])
  expect(found.stdout.split('\t')[0] || undefined).toBe(first)
})

test('the manual page holds every command and flag, and groff has nothing to say against it', async () => {
  await using page = await runCli(['man'])
  await using dir = await tempDir()
  const file = join(dir.path, 'spillway.1')
  await writeFile(file, page.stdout)
  const groff = await findGroff()
  const env = { ...process.env, ...groff.env }
  const { stdout, stderr } = await run(groff.path, ['-man', '-Tascii', '-ww', '-P-cbou', file], { env, maxBuffer: 10_000_000 })
  expect(stderr).toBe('')
  for (const command of ['collector', 'tail', 'status', 'top', 'validate', 'doctor', 'completion', 'man']) {
    await using help = await runCli([command, '--help'])
    for (const [, flag = ''] of help.stdout.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)) if (flag !== '--help') expect(stdout).toContain(flag)
    expect(stdout).toContain(`spillway ${command}`)
  }
  // What the package carries is the same.
  expect(existsSync(join(cli, '../../spillway.1'))).toBe(true)
})

async function findGroff(): Promise<DebianTool> {
  const { path, env } = await findDebianTool({ name: 'groff', packages: ['groff-base'] })
  if (Object.keys(env).length === 0) return { path, env }
  const root = path.replace(/usr\/bin\/groff$/, '')
  const share = (await run('sh', ['-c', 'ls -d "$0"usr/share/groff/[0-9]*', root])).stdout.trim()
  const own = { GROFF_BIN_PATH: join(root, 'usr/bin'), GROFF_FONT_PATH: join(share, 'font'), GROFF_TMAC_PATH: join(share, 'tmac') }
  return { path, env: { ...env, ...own } }
}

/** An http server that answers everything with this; null for never. */
async function answering(body: string | null): Promise<AsyncDisposable & { readonly address: string }> {
  const server = createServer((_request, response) => {
    if (body !== null) response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

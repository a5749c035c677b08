/**
 * A real terminal for tests: a program in a pane of tmux, driven by keys and looked at as a person would see it.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type DebianTool, findDebianTool } from './debian-tool.ts'
import { root, type TempDir, tempDir } from './processes.ts'
import { until } from './until.ts'

const run = promisify(execFile)

let found: Promise<DebianTool> | undefined

/** The tmux to use. */
function findTmux(): Promise<DebianTool> {
  found ??= findDebianTool({ name: 'tmux', packages: ['tmux'], versionArgs: ['-V'] })
  return found
}

export interface PaneOptions {
  readonly columns?: number
  readonly rows?: number
  /** On top of a bare environment. */
  readonly env?: Readonly<Record<string, string>>
}

export class Pane implements AsyncDisposable {
  readonly #tmux: DebianTool
  readonly #dir: TempDir
  #server: number | undefined

  private constructor(tmux: DebianTool, dir: TempDir) {
    this.#tmux = tmux
    this.#dir = dir
  }

  /** A pane with a bare shell in it, whose prompt is `$ `. */
  static async open(options: PaneOptions = {}): Promise<Pane> {
    const pane = new Pane(await findTmux(), await tempDir())
    const { columns = 100, rows = 24, env = {} } = options
    const variables = Object.entries({ PS1: '$ ', TZ: 'UTC', ...env }).map(([name, value]) => `${name}=${value}`)
    await pane.#command('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(rows), 'sh', '-c', 'cat')
    for (const [name, value] of [
      ['remain-on-exit', 'on'],
      ['default-terminal', 'tmux-256color'],
      ['history-limit', '20000'],
    ] as const)
      await pane.#command('set-option', '-g', name, value)
    await pane.#command('set-option', '-s', 'escape-time', '0')
    const bare = [
      'env',
      '-u',
      'NO_COLOR',
      '-u',
      'FORCE_COLOR',
      '-u',
      'CI',
      '-u',
      'LD_LIBRARY_PATH',
      ...variables,
      'bash',
      '--norc',
      '--noprofile',
    ]
    // A new window, because the options above are those of new ones.
    await pane.#command('new-window', '-k', '-t', ':0', '-c', root, ...bare)
    await until(async () => (await pane.screen()).startsWith('$'), { what: 'the shell has come up' })
    return pane
  }

  /** What is on the screen, without blanks at the ends of rows. */
  async screen(): Promise<string> {
    return (await this.#command('capture-pane', '-p')).trimEnd()
  }

  /** The same with colours, as escape sequences. */
  async colours(): Promise<string> {
    return this.#command('capture-pane', '-p', '-e')
  }

  /** Everything that has scrolled by, and the screen. */
  async history(): Promise<string> {
    return this.#command('capture-pane', '-p', '-J', '-S', '-')
  }

  /** Types a line and Enter. */
  async run(line: string): Promise<void> {
    await this.type(line)
    await this.keys('Enter')
  }

  /** Text as it stands. */
  async type(text: string): Promise<void> {
    await this.#command('send-keys', '-l', text)
  }

  /** Keys by tmux's names: `Enter`, `Escape`, `C-c`, `Tab`. */
  async keys(...keys: readonly string[]): Promise<void> {
    await this.#command('send-keys', ...keys)
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#command('resize-window', '-x', String(columns), '-y', String(rows))
  }

  /** The terminal's settings as `stty` prints them, and whether its cursor is shown. */
  async settings(): Promise<{ readonly stty: string; readonly isCursorShown: boolean; readonly isFullScreen: boolean }> {
    const told = await this.#command('display-message', '-p', '#{pane_tty} #{cursor_flag} #{alternate_on}')
    const [tty = '', cursor, alternate] = told.trim().split(' ')
    const { stdout } = await run('stty', ['-a', '-F', tty])
    return { stty: stdout, isCursorShown: cursor === '1', isFullScreen: alternate === '1' }
  }

  /** A terminal that takes nothing more, until it is let go on. */
  async stop(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    this.#server ??= Number(await this.#command('display-message', '-p', '#{pid}'))
    process.kill(this.#server, signal)
  }

  /** Waits until the screen is as it should be; the error shows what it was. */
  async shows(what: RegExp | string, timeoutMs = 20_000): Promise<string> {
    let screen = ''
    try {
      return await until(
        async () => {
          screen = await this.screen()
          return (typeof what === 'string' ? screen.includes(what) : what.test(screen)) && screen
        },
        { what: `the terminal shows ${what}`, everyMs: 20, timeoutMs },
      )
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}; it shows:\n${screen}`)
    }
  }

  async #command(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, ...this.#tmux.env }
    const { stdout } = await run(this.#tmux.path, ['-u', '-S', join(this.#dir.path, 'socket'), ...args], { env, maxBuffer: 67_108_864 })
    return stdout
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server !== undefined) await this.stop('SIGCONT')
    if (existsSync(join(this.#dir.path, 'socket'))) await this.#command('kill-server').catch(() => undefined)
    await rm(this.#dir.path, { recursive: true, force: true })
  }
}

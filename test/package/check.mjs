/**
 * The package as its users get it: packed, installed into an empty folder, and used there in every way the README
 * names. Run by `npm run check`; needs an npm registry for the dependencies. Prints a line per step and a total.
 */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const work = mkdtempSync(join(tmpdir(), 'spillway-check-'))
const home = join(work, 'newcomer')
const installed = join(home, 'node_modules/spillway')
const spillway = join(home, 'node_modules/.bin/spillway')

/** The largest file is the page's script; half as much again is an accident. */
const fileBytesMax = 160_000
const packageBytesMax = 3_000_000
/** A script that logs a few lines and finds no collector: Node's own start and at most 150 ms more. */
const endsPromptlyMs = 3_000

/** @type {{ passed: number, failed: number }} */
const tally = { passed: 0, failed: 0 }

try {
  await checkAll()
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed === 0 ? 0 : 1

async function checkAll() {
  const tarball = await step('npm pack, which builds by itself', pack)
  if (tarball === undefined) return
  await step('the tarball holds what is used and nothing else', () => checkContents(tarball))
  await step('publint finds nothing', () => run('npx', ['--no-install', 'publint', 'run', tarball, '--strict'], { cwd: root }))
  await step('attw finds the types right for ES modules', () =>
    // CommonJS gets them too, by Node's require of ES modules, which attw does not know; that is tried below.
    run('npx', ['--no-install', 'attw', tarball, '--profile', 'esm-only'], { cwd: root }),
  )
  const isInstalled = await step('npm install of the tarball and pino into an empty folder', () => install(tarball))
  if (isInstalled === undefined) return
  for (const entry of entries()) {
    await step(`import '${entry}'`, () => run(process.execPath, ['--input-type=module', '-e', `await import('${entry}')`]))
    await step(`require('${entry}')`, () => run(process.execPath, ['-e', `require('${entry}')`]))
  }
  await step('npm install of the libraries there are adapters for', () => run('npm', ['install', ...peers()]))
  for (const module of ['NodeNext', 'bundler']) await step(`types, strict, ${module}`, () => checkTypes(module))
  for (const command of [[], ...(await commands())]) {
    await step(`${['spillway', ...command].join(' ')} --help`, async () => {
      const { stdout } = await run(spillway, [...command, '--help'])
      expect(stdout.startsWith('Usage: spillway'), stdout)
    })
  }
  await step('spillway --version says the version of the package', async () => {
    const { stdout } = await run(spillway, ['--version'])
    expect(stdout.trim() === readPackage(installed).version, stdout)
  })
  await step('spillway validate accepts the example configuration', async () => {
    const { stdout } = await run(spillway, ['validate', join(root, 'examples/spillway.yaml')])
    expect(stdout.trim().endsWith('ok'), stdout)
  })
  await withCollector(async (env, lines) => {
    for (const [form, file] of Object.entries(writeApps())) {
      await step(`${form}: its lines are in the file, with nothing on stdout or stderr`, async () => {
        const before = lines('checkout').length
        const { stdout, stderr } = await run(process.execPath, [file], { env })
        expect(stdout === '' && stderr === '', `${stdout}${stderr}`)
        const fresh = lines('checkout').slice(before)
        expect(fresh.length === 3 && fresh.every((line) => JSON.parse(line).pid > 0), `${fresh.length} lines:\n${fresh.join('\n')}`)
      })
    }
  })
  await step('the same without a collector: ends promptly, exit code 0, and says so', async () => {
    const startedAtMs = performance.now()
    const { stderr } = await run(process.execPath, ['app.mjs'], { env: { SPILLWAY_COLLECTOR: `tcp://127.0.0.1:${await freePort()}` } })
    const ms = performance.now() - startedAtMs
    expect(ms < endsPromptlyMs, `took ${Math.round(ms)} ms`)
    expect(/^spillway: .*3 not delivered: no collector at tcp:/.test(stderr), stderr)
  })
  await step('the same with a wrong endpoint: says what was expected', async () => {
    const failure = await run(process.execPath, ['app.mjs'], { env: { SPILLWAY_COLLECTOR: 'localhost:7701' } }).catch((error) => error)
    expect(/SPILLWAY_COLLECTOR: expected tcp:\/\/HOST:PORT .* did you mean "tcp:\/\/localhost:7701"\?/.test(failure.message), failure)
  })
}

async function pack() {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', work], { cwd: root })
  // The build's own output stands before it.
  const [{ filename }] = JSON.parse(stdout.slice(stdout.search(/^\[/m)))
  return join(work, filename)
}

/** @param {string} tarball */
async function checkContents(tarball) {
  const folder = join(work, 'contents')
  mkdirSync(folder)
  await run('tar', ['-xzf', tarball, '-C', folder], { cwd: work })
  const names = readdirSync(join(folder, 'package'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, 'package/').length))
  for (const name of [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'docs/ERRORS.md',
    'docs/WIRE.md',
    'dist/cli/spillway.cjs',
    'dist/cli/main.js',
  ]) {
    expect(names.includes(name), `${name} is missing`)
  }
  let bytes = 0
  for (const name of names) {
    const size = readFileSync(join(folder, 'package', name)).byteLength
    bytes += size
    expect(/^(dist|docs|dashboards\/grafana)\//.test(name) || /^[^/]+$/.test(name), `${name} does not belong there`)
    expect(!/test|bench\/|(?<!\.d)\.ts$|\.tsbuildinfo$/.test(name.replace(/^docs\//, '')), `${name} does not belong there`)
    expect(size <= fileBytesMax, `${name} has ${size} bytes`)
  }
  expect(bytes <= packageBytesMax, `${bytes} bytes in all`)
}

/** @param {string} tarball */
async function install(tarball) {
  mkdirSync(home)
  await run('npm', ['init', '--yes'])
  await run('npm', ['install', tarball, 'pino'])
  return true
}

/** Libraries there are adapters for, in the versions they are tested with. */
function peers() {
  const { peerDependencies, devDependencies } = readPackage(root)
  return Object.keys(peerDependencies).map((name) => `${name}@${devDependencies[name]}`)
}

/** Every export of the package but its package.json, as users write it. */
function entries() {
  return Object.keys(readPackage(installed).exports)
    .filter((key) => !key.endsWith('.json'))
    .map((key) => key.replace('.', 'spillway'))
}

/** Every command, read from the help text. */
async function commands() {
  const { stdout } = await run(spillway, ['--help'])
  const listed = stdout.slice(stdout.indexOf('\nCommands:'))
  const names = [...listed.matchAll(/^ {2}([a-z]+) /gm)].map((match) => [match[1] ?? ''])
  expect(names.length >= 4, stdout)
  return names
}

/** @param {string} module */
async function checkTypes(module) {
  const source = `import pino from 'pino'
import { type AgentStats, createAgent, type FlushResult, SpillwayError } from 'spillway'
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { register } from 'prom-client'
import { type CollectorStatus, readConfig, startCollector } from 'spillway/collector'
import { SpillwayLogRecordExporter, SpillwayMetricExporter } from 'spillway/otel'
import transport, { destination } from 'spillway/pino'
import { type PublishedRegistry, publishRegistry } from 'spillway/prom-client'
import { compilePatterns, type Level, levels } from 'spillway/wire'

export const log = pino({ level: 'info' }, destination({ service: 'typed', ringBytes: 65_536 }))
export const alone = pino(destination())
// @ts-expect-error: there is no such option.
destination({ servce: 'typed' })
const agent = createAgent({ service: 'typed', collector: ['tcp://127.0.0.1:7701', 'ipc:///run/spillway.sock'] })
export const composed = pino(agent.pinoOptions({ level: 'debug', customLevels: { notice: 35 } }), agent.destination())
composed.notice('custom levels keep their type')
agent.attach(log)
export const stats: AgentStats = agent.stats()
export const result: FlushResult = await agent.close(100)
export const published: PublishedRegistry = publishRegistry(register, { agent })
const exporter = new SpillwayMetricExporter({ agent, histograms: 'explicit' })
export const meters = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] })
export const loggers = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: new SpillwayLogRecordExporter() })] })
export const last: Level | undefined = levels.at(-1)
export const isMatch: boolean = compilePatterns(['log.>']).matches('log.info.typed.')
export const stream: NodeJS.WritableStream = transport({ service: 'typed' })
export async function collect(): Promise<CollectorStatus> {
  const config = readConfig(undefined, { listen: '127.0.0.1:0', http: 'off' })
  if (!config.ok) throw new SpillwayError('SPW_CONFIG_INVALID', config.issues.map((issue) => issue.message).join())
  const collector = await startCollector(config.config)
  await collector.close()
  return collector.status()
}
`
  const folder = join(home, `types-${module}`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'app.mts'), source)
  // CommonJS: Node requires ES modules, so TypeScript lets them be imported there.
  if (module === 'NodeNext')
    writeFileSync(join(folder, 'app.cts'), source.replace('await agent.close(100)', '{ left: agent.stats().ringRecords }'))
  const compilerOptions = {
    target: 'ES2023',
    module: module === 'bundler' ? 'ESNext' : module,
    moduleResolution: module,
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    // Users have these two; they are taken from here to save their installation.
    typeRoots: [join(root, 'node_modules/@types')],
    types: ['node'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['app.*'] }))
  await run('npx', ['--no-install', 'tsc', '-p', folder], { cwd: root })
}

/** The README's example as it stands there, and the same three lines in the other forms. File names by form. */
function writeApps() {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? ''
  const log = `log.info('one')\nlog.child({ name: 'payments' }).warn('two')\nlog.error(new Error('three'))\n`
  const target = `pino({ transport: { target: 'spillway/pino', options: { service: 'checkout' } } })`
  /** @type {Record<string, [string, string]>} */
  const apps = {
    "the README's example": ['app.mjs', example],
    CommonJS: [
      'app.cjs',
      `const pino = require('pino')\nconst { destination } = require('spillway/pino')\nconst log = pino(destination({ service: 'checkout' }))\n${log}`,
    ],
    'pino transport': ['transport.mjs', `import pino from 'pino'\nconst log = ${target}\n${log}`],
    'pino transport in CommonJS': ['transport.cjs', `const pino = require('pino')\nconst log = ${target}\n${log}`],
  }
  for (const [file, text] of Object.values(apps)) writeFileSync(join(home, file), text)
  return Object.fromEntries(Object.entries(apps).map(([form, [file]]) => [form, file]))
}

/**
 * @param {(env: Record<string, string>, lines: (service: string) => string[]) => Promise<void>} use
 */
async function withCollector(use) {
  const child = spawn(spillway, ['collector', '--listen', '127.0.0.1:0', '--http', 'off'], {
    cwd: home,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
  let screen = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    screen += text
  })
  const address = (/** @type {string} */ name) => new RegExp(`^  ${name} +(\\S+)`, 'm').exec(screen)?.[1]
  const isReady = await step('spillway collector starts', async () => {
    for (const untilMs = performance.now() + 10_000; address('files') === undefined; ) {
      expect(performance.now() < untilMs && child.exitCode === null, `it says:\n${screen}`)
      await sleep(20)
    }
    return true
  })
  const env = { SPILLWAY_COLLECTOR: address('data') ?? '', SPILLWAY_CONTROL: address('control') ?? '' }
  const folder = join(home, 'spillway-data/logs')
  if (isReady) {
    await use(env, (service) => {
      if (!existsSync(folder)) return []
      const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
        (name) => name.startsWith(`${service}/`) && name.endsWith('.ndjson'),
      )
      return names.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1))
    }).catch((error) => step('the collector', () => Promise.reject(error)))
  }
  await step('spillway collector stops on SIGTERM and says its totals', async () => {
    child.kill('SIGTERM')
    expect((await ended) === 0 && /stopped: .* 0 lost/.test(screen), screen)
  })
}

/** @template T @param {string} name @param {() => T | Promise<T>} check @returns {Promise<T | undefined>} */
async function step(name, check) {
  try {
    const result = await check()
    tally.passed += 1
    console.log(`ok    ${name}`)
    return result
  } catch (error) {
    tally.failed += 1
    console.log(`FAIL  ${name}\n${String(error instanceof Error ? error.message : error).replaceAll(/^/gm, '      ')}`)
    return undefined
  }
}

/** @param {unknown} fact @param {unknown} otherwise */
function expect(fact, otherwise) {
  if (!fact) throw new Error(`not so: ${otherwise instanceof Error ? otherwise.message : otherwise}`)
}

/**
 * Runs a program in the newcomer's folder; fails with its output when it fails.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string> }} [options]
 * @returns {Promise<{ stdout: string, stderr: string }>}
 */
function run(program, args, { cwd = home, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout: 180_000, maxBuffer: 16_777_216 }
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr })
      else reject(new Error(`${program} ${args.join(' ')}: ${error.code ?? error.signal}\n${stdout}${stderr}`))
    })
  })
}

/** @param {string} folder */
function readPackage(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

/** A port nobody listens on. */
async function freePort() {
  const { createServer } = await import('node:net')
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined))
    })
  })
}

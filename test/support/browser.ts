/**
 * A real browser for tests of the page: Debian's Chromium, installed by the first test that needs it where that is
 * allowed. Everything a page complains about is kept.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

const run = promisify(execFile)
const names = ['chromium', 'chromium-browser', 'google-chrome']
/** Nothing but the page that is tested: no calls home, no graphics card. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: await findBrowser(), args: flags })
}

async function findBrowser(): Promise<string> {
  const found = await installed()
  if (found !== undefined) return found
  try {
    await install()
  } catch (error) {
    throw new Error('these tests need Chromium, which is not installed and cannot be: apt-get install chromium', { cause: error })
  }
  const now = await installed()
  if (now === undefined) throw new Error('Chromium was installed and does not run')
  return now
}

async function installed(): Promise<string | undefined> {
  for (const name of names) {
    const path = await run('sh', ['-c', 'command -v "$0"', name]).then(
      ({ stdout }) => stdout.trim(),
      () => undefined,
    )
    if (path !== undefined) return path
  }
  return undefined
}

/** @throws What apt-get says. */
async function install(): Promise<void> {
  const args = ['install', '-y', '--no-install-recommends', 'chromium', 'fonts-dejavu-core']
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (...command: string[]) =>
    run('apt-get', command, { env }).catch(() => run('sudo', ['-n', 'apt-get', ...command], { env, maxBuffer: 16_777_216 }))
  // A new machine has no lists of packages yet.
  await apt(...args).catch(async () => {
    await apt('update')
    await apt(...args)
  })
}

export interface WatchedPage extends AsyncDisposable {
  readonly page: Page
  /** What the page complained about: uncaught errors, words on the console, what its own policy forbade. */
  readonly complaints: string[]
}

/** @param expected - Complaints that are meant, such as those about a collector that is not there. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  expected?: RegExp,
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1_200, height: 800 }, ...options })
  const page = await context.newPage()
  const complaints: string[] = []
  const complain = (text: string) => {
    if (expected?.test(text) !== true) complaints.push(text)
  }
  page.on('pageerror', (error) => complain(`error: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning')
      complain(`${message.type()}: ${message.text()} ${message.location().url}`)
  })
  await page.addInitScript({
    content: `document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      console.error('policy: ' + violatedDirective + ' ' + blockedURI)
    })`,
  })
  await page.goto(url)
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() }
}

/** The page in a real browser, at a real collector that real applications log to. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import axe from 'axe-core'
import { pino } from 'pino'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAgent } from '../../../agent/shared.ts'
import { openPage, startBrowser } from '../../support/browser.ts'
import { root, startCollector, type TestCollector, tempDir } from '../../support/processes.ts'
import { until } from '../../support/until.ts'
import { attacks } from './attacks.ts'

const views = ['overview', 'live', 'metrics', 'flow', 'health'] as const

let browser: Browser
let collector: TestCollector
let app: App
let url: string

interface App {
  readonly log: pino.Logger
  stop(): Promise<void>
}

/** Logs some lines of every kind many times a second, and measures. */
function startShop(at: { readonly data: string }): App {
  const agent = createAgent({ service: 'shop', collector: at.data, metrics: { interval: 500 } })
  const log = pino(agent.pinoOptions({}), agent.destination())
  const took = agent.createHistogram('http.server.request.duration', { unit: 's', description: 'How long requests took.' })
  const orders = agent.createCounter('orders.total')
  let n = 0
  const timer = setInterval(() => {
    n += 1
    log.info({ n, res: { statusCode: 200 } }, 'order paid')
    orders.add(1, { kind: n % 3 === 0 ? 'gift' : 'own' })
    took.record(0.01 * (1 + (n % 20)), { route: '/pay' })
    if (n % 5 === 0) log.warn({ n }, 'slow bank')
    if (n % 7 === 0) log.error({ n, err: new Error('card refused') }, 'payment failed')
  }, 20)
  return {
    log,
    async stop() {
      clearInterval(timer)
      await agent.close(2_000)
    },
  }
}

beforeAll(async () => {
  browser = await startBrowser()
  collector = await startCollector()
  app = startShop(collector)
  url = `http://${collector.http}`
}, 180_000)

afterAll(async () => {
  await app?.stop()
  await collector?.[Symbol.asyncDispose]()
  await browser?.close()
})

const at = (view: string, query = '') => `${url}/#/${view}${query === '' ? '' : `?${query}`}`
const rowsOf = (page: Page) => page.locator('[role="option"]')

interface AxeResults {
  readonly violations: readonly { readonly id: string; readonly impact: string; readonly nodes: readonly { readonly html: string }[] }[]
}

/** What the live view says of itself. */
async function countsOf(page: Page): Promise<{ listed: number; waiting?: number; rate?: number; skipped?: number }> {
  const text = await page.locator('[data-counts]').getAttribute('data-counts')
  return JSON.parse(text ?? '{}') as { listed: number }
}

const shows = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor({ timeout: 10_000 })

describe('every page', () => {
  test('is small: all of it under 80 kB when it is packed', () => {
    const dir = join(root, 'dist/web')
    const files = [join(dir, 'index.html'), ...readdirSync(join(dir, 'assets')).map((name) => join(dir, 'assets', name))]
    expect(files.reduce((sum, file) => sum + gzipSync(readFileSync(file)).length, 0)).toBeLessThan(80_000)
  })

  test.each(views)('%s: shows what there is, in light and dark, on a phone too, for everybody, without a complaint', async (view) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using opened = await openPage(browser, at(view), { colorScheme })
      const { page } = opened
      await page.locator('[data-state="open"]').waitFor()
      const there = {
        overview: '[data-service="shop"]',
        live: '[role="option"]',
        metrics: '[data-panel]',
        flow: '[data-app="shop"]',
        health: '[data-sink]',
      }
      await page.locator(there[view]).first().waitFor({ timeout: 15_000 })
      await page.evaluate(axe.source)
      const { violations } = await page.evaluate<AxeResults>('axe.run()')
      const found = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
      expect(found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([])
      const ground = await page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor')
      expect(ground).toBe(colorScheme === 'dark' ? 'rgb(20, 24, 29)' : 'rgb(255, 255, 255)')
      await page.setViewportSize({ width: 400, height: 800 })
      await page.waitForFunction('document.documentElement.clientWidth === 400')
      expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(400)
      expect(opened.complaints).toEqual([])
    }
  })
})

describe('overview', () => {
  test('tells of a service what it does now, and goes on telling', async () => {
    await using opened = await openPage(browser, at('overview'))
    const card = opened.page.locator('[data-service="shop"]')
    await until(async () => /[1-9]\d*\/s/.test((await card.locator('header').textContent()) ?? ''), { what: 'there is a rate' })
    const before = await card.innerHTML()
    await until(async () => (await card.innerHTML()) !== before, { what: 'it changes' })
    expect(opened.complaints).toEqual([])
  })

  test('says how to begin while nothing has come', async () => {
    await using empty = await startCollector()
    await using opened = await openPage(browser, `http://${empty.http}/`)
    await opened.page.locator('[data-empty]').waitFor()
    expect(await opened.page.locator('[data-empty] pre').textContent()).toContain("destination({ service: 'checkout' })")
    expect(opened.complaints).toEqual([])
  })
})

describe('live', () => {
  test('filters by level, service, text and condition; what is asked stands in the link', async () => {
    await using opened = await openPage(browser, at('live'))
    const { page } = opened
    await rowsOf(page).first().waitFor()
    await page.locator('select[name="level"]').selectOption('error')
    await page.locator('input[name="where"]').fill('n % 2 == 0')
    await page.locator('input[name="where"]').press('Enter')
    const isAsked = (text: string) => /payment failed.*card refused/.test(text) && Number(/n=(\d+)/.exec(text)?.[1]) % 2 === 0
    // What was there before the filter was changed goes with it.
    const onlyAsked = async () => {
      const texts = await rowsOf(page).allTextContents()
      return texts.length > 2 && texts.every(isAsked)
    }
    await until(onlyAsked, { what: 'only these are shown' })
    const { listed } = await countsOf(page)
    await until(async () => (await countsOf(page)).listed > listed, { what: 'more come' })
    expect(await onlyAsked()).toBe(true)
    expect(page.url()).toContain('level=error')
    await using second = await openPage(browser, page.url())
    expect(await second.page.locator('select[name="level"]').inputValue()).toBe('error')
    expect(await second.page.locator('input[name="where"]').inputValue()).toBe('n % 2 == 0')
    expect(opened.complaints).toEqual([])
  })

  test('says where an expression is wrong, and goes on when it is mended', async () => {
    await using opened = await openPage(browser, at('live', 'where=n+%3D%3D'), {}, /400/)
    const { page } = opened
    await shows(page, /where, column \d+/)
    await page.locator('input[name="where"]').fill('n >= 0')
    await page.locator('input[name="where"]').press('Enter')
    await rowsOf(page).first().waitFor()
    expect(opened.complaints).toEqual([])
  })

  test('leaves alone what is being typed, however often it is drawn anew', async () => {
    await using opened = await openPage(browser, at('live'))
    const { page } = opened
    await rowsOf(page).first().waitFor()
    await page.locator('input[name="where"]').fill('n >')
    const { listed } = await countsOf(page)
    await until(async () => (await countsOf(page)).listed > listed + 50, { what: 'it is drawn anew' })
    expect(await page.locator('input[name="where"]').inputValue()).toBe('n >')
    expect(page.url()).not.toContain('where')
  })

  test('pauses, says how many wait, and goes on', async () => {
    await using opened = await openPage(browser, at('live'))
    const { page } = opened
    await rowsOf(page).first().waitFor()
    await page.locator('main').press(' ')
    await shows(page, 'Go on')
    const { listed } = await countsOf(page)
    await until(async () => ((await countsOf(page)).waiting ?? 0) > 20, { what: 'more have come' })
    expect((await countsOf(page)).listed).toBe(listed)
    await page.getByRole('button', { name: 'Go on' }).click()
    await until(async () => (await countsOf(page)).listed > listed, { what: 'they are shown' })
  })

  test('a record opens to a tree, with the keyboard alone, and closes', async () => {
    await using opened = await openPage(browser, at('live', 'level=error'))
    const { page } = opened
    await rowsOf(page).first().waitFor()
    await page.getByRole('listbox').focus()
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('Enter')
    const record = page.locator('.record')
    await record.waitFor()
    expect(await record.textContent()).toMatch(/err.*message.*card refused/s)
    await page.keyboard.press('Escape')
    await record.waitFor({ state: 'detached' })
    // Every view is reached by its key.
    for (const [i, view] of views.entries()) {
      await page.keyboard.press(String(i + 1))
      await page.waitForFunction(`location.hash.startsWith('#/${view}')`)
    }
    expect(opened.complaints).toEqual([])
  })

  test('a stretch of time is brushed with the pointer and with keys, and shown alone', async () => {
    await using opened = await openPage(browser, at('live'))
    const { page } = opened
    await until(async () => (await countsOf(page)).listed > 100, { what: 'there is something to brush' })
    await page.getByRole('button', { name: 'Pause' }).click()
    const { listed } = await countsOf(page)
    const box = await page.locator('.time-histogram').boundingBox()
    if (box === null) throw new Error('there is no histogram')
    await page.mouse.move(box.x + box.width * 0.25, box.y + 20)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.5, box.y + 20, { steps: 4 })
    await page.mouse.up()
    await page.locator('.brush').waitFor()
    await until(async () => (await countsOf(page)).listed < listed * 0.6, { what: 'fewer are shown' })
    expect(page.url()).toMatch(/from=\d+&to=\d+/)
    await page.locator('.time-histogram').focus()
    await page.keyboard.press('Escape')
    await until(async () => (await countsOf(page)).listed >= listed, { what: 'all are shown again' })
    await page.locator('.time-histogram').focus()
    await page.keyboard.press('Shift+ArrowLeft')
    await page.locator('.brush').waitFor()
    expect(opened.complaints).toEqual([])
  })

  test('scrolled up, it goes on into the files, and stays where it is while more comes', async () => {
    await until(async () => (await collector.status()).totals.delivered > 1_500, { what: 'there is some history', timeoutMs: 50_000 })
    await using opened = await openPage(browser, at('live'))
    const { page } = opened
    await until(async () => (await countsOf(page)).listed > 500, { what: 'the last ones are there' })
    await page.getByRole('listbox').focus()
    await page.keyboard.press('Home')
    await until(async () => (await countsOf(page)).listed > 1_000, { what: 'older ones are fetched' })
    const chosen = await page.locator('[aria-selected="true"]').textContent()
    const { listed } = await countsOf(page)
    await until(async () => (await countsOf(page)).listed > listed + 50, { what: 'more come' })
    expect(await page.locator('[aria-selected="true"]').textContent()).toBe(chosen)
    expect(opened.complaints).toEqual([])
  })

  test('what attacks would be is text, in the list and in the record', async () => {
    for (const [name, fields] of Object.entries(attacks)) app.log.fatal({ attack: name, ...fields }, `attack ${name}`)
    await using opened = await openPage(browser, at('live', 'level=fatal'))
    const { page } = opened
    for (const name of Object.keys(attacks)) {
      const row = rowsOf(page)
        .filter({ hasText: `attack ${name}` })
        .first()
      await row.waitFor({ timeout: 10_000 })
      await row.click()
      await page.locator('.record').getByText(name).first().waitFor()
      // Bidirectional controls and escapes are shown, never in effect.
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
      expect(await page.locator('.rows').textContent()).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202a-\u202e\u2066-\u2069]/)
      expect(await page.evaluate('window.attacked')).toBeUndefined()
      expect(await page.locator('.record script, .record svg, .record img, .record iframe, .rows img').count()).toBe(0)
    }
    expect(await page.evaluate('({}).polluted')).toBeUndefined()
    expect(opened.complaints).toEqual([])
  })
})

describe('metrics', () => {
  test('draws a metric by attribute and as a heat map; panels stand in the link', async () => {
    await using opened = await openPage(browser, at('metrics'))
    const { page } = opened
    await page.locator('[data-panel]').first().waitFor({ timeout: 25_000 })
    const panels = JSON.stringify([
      { metric: 'orders.total', show: 'rate', by: 'kind' },
      { metric: 'http.server.request.duration', show: 'p99' },
      { metric: 'http.server.request.duration', show: 'heatmap' },
    ])
    await using linked = await openPage(browser, at('metrics', new URLSearchParams({ panels, range: '5m' }).toString()))
    await linked.page.locator('canvas').first().waitFor()
    await until(
      async () =>
        /kind=gift.*kind=own|kind=own.*kind=gift/s.test(
          (await linked.page.locator('[data-panel="orders.total"] [role="img"]').getAttribute('aria-label')) ?? '',
        ),
      {
        what: 'both kinds are drawn',
        timeoutMs: 30_000,
      },
    )
    await until(async () => /[1-9]\d* values/.test((await linked.page.locator('.heat-map').getAttribute('aria-label')) ?? ''), {
      what: 'the heat map has values',
      timeoutMs: 30_000,
    })
    await linked.page.getByLabel('Show').first().selectOption('sum')
    await linked.page.waitForFunction(`decodeURIComponent(location.hash).includes('"show":"sum"')`)
    expect([...opened.complaints, ...linked.complaints]).toEqual([])
  })
})

describe('flow', () => {
  test('an arrow says what flows, and opens its books', async () => {
    await using opened = await openPage(browser, at('flow'))
    const { page } = opened
    const arrow = page.getByRole('button', { name: /^collector to files/ })
    await arrow.click()
    await page.locator('[data-books="collector → files"]').waitFor()
    expect(await arrow.getAttribute('aria-expanded')).toBe('true')
    expect(page.url()).toContain('open=sink')
    expect(opened.complaints).toEqual([])
  })
})

describe('a collector', () => {
  test('that is lost shows as lost, and comes back by itself', async () => {
    await using dir = await tempDir()
    const first = await startCollector({ dir: dir.path })
    await using opened = await openPage(
      browser,
      `http://${first.http}/`,
      {},
      /ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|ERR_CONNECTION_RESET/,
    )
    const { page } = opened
    await page.locator('[data-state="open"]').waitFor()
    const [, port = ''] = first.http.split(':')
    await first[Symbol.asyncDispose]()
    await page.locator('[data-state="lost"]').waitFor({ timeout: 15_000 })
    await page.getByRole('alert').waitFor()
    await using _second = await startCollector({ dir: dir.path, args: ['--http', `127.0.0.1:${port}`] })
    await page.locator('[data-state="open"]').waitFor({ timeout: 20_000 })
    expect(opened.complaints).toEqual([])
  })

  test('that asks for a token lets in who brings it in the link, and keeps it out of the address', async () => {
    await using dir = await tempDir()
    const token = 'a-token-nobody-guesses'
    writeFileSync(join(dir.path, 'c.yaml'), `auth: { token: ${token} }\n`)
    await using guarded = await startCollector({ dir: dir.path, args: ['-c', join(dir.path, 'c.yaml')] })
    await using stranger = await openPage(browser, `http://${guarded.http}/`, {}, /401/)
    await shows(stranger.page, 'This collector asks for a token')
    await stranger.page.getByLabel('Token').fill(token)
    await stranger.page.getByRole('button', { name: 'Sign in' }).click()
    await stranger.page.locator('[data-state="open"]').waitFor()
    await using friend = await openPage(browser, `http://${guarded.http}/#token=${token}`)
    await friend.page.locator('[data-state="open"]').waitFor()
    expect(friend.page.url()).not.toContain(token)
    const [cookie] = await friend.page.context().cookies()
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' })
    expect(friend.complaints).toEqual([])
  })
})

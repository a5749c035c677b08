// Makes the pictures of docs/: a collector, three services that log, and the commands in a terminal (tmux), as SVG.
//   npm run build && node examples/pictures.mjs
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const cli = join(root, 'dist/cli/main.js')
const pictures = join(root, 'docs/pictures')
const port = 7801
// Text, with or without the sequence that gives it its style.
const introducer = '\u001b'
const styled = new RegExp(`(?:${introducer}\\[([\\d;]*)m)?([^${introducer}]*)`, 'g')

const service = `
import pino from 'pino'
import { destination } from 'spillway/pino'
const [name, perSecond] = process.argv.slice(1)
const log = pino(destination({ service: name, collector: 'tcp://127.0.0.1:${port}' }))
const urls = ['/', '/basket', '/pay', '/search?q=lamp']
let n = 0
setInterval(() => {
  n += 1
  const url = urls[n % urls.length]
  const statusCode = n % 11 === 0 ? 500 : n % 7 === 0 ? 404 : 200
  log.info({ req: { id: n, method: url === '/pay' ? 'POST' : 'GET', url }, res: { statusCode }, responseTime: (n * 37) % 90 }, 'request completed')
  if (n % 9 === 0) log.warn({ sql: 'select *\\nfrom orders\\nwhere paid', tookMs: 1204 }, 'slow query')
  if (n % 13 === 0) {
    const error = new Error('card refused', { cause: new Error('no money') })
    error.stack = 'Error: card refused\\n    at charge (payments.js:42:9)'
    error.cause.stack = 'Error: no money\\n    at bank (bank.js:7:3)'
    log.error({ order: n, err: error }, 'payment failed')
  }
}, 1000 / Number(perSecond))
`

const dir = mkdtempSync(join(tmpdir(), 'spillway-pictures-'))
/** @type {import('node:child_process').ChildProcess[]} */
const children = []
/** @param {readonly string[]} args @param {'ignore' | 'pipe'} output */
const start = (args, output = 'ignore') => {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', output, 'inherit'] })
  children.push(child)
  return child
}
/** @param {readonly string[]} args */
const tmux = (...args) => execFileSync('tmux', ['-u', '-S', join(dir, 'socket'), ...args], { encoding: 'utf8' })

try {
  mkdirSync(pictures, { recursive: true })
  const collector = start([cli, 'collector', '--dir', dir, '--listen', `127.0.0.1:${port}`, '--http', '127.0.0.1:7800'], 'pipe')
  if (collector.stdout !== null) await once(collector.stdout, 'data')
  for (const [name, rate] of [
    ['shop', '9'],
    ['checkout', '6'],
    ['search', '40'],
  ])
    start(['--input-type=module', '-e', service, String(name), String(rate)])
  await picture('tail', `tail --connect tcp://127.0.0.1:${port + 2} --truncate --highlight refused`, { columns: 96, rows: 20, ms: 7_000 })
  await picture('top', 'top --http 127.0.0.1:7800', { columns: 80, rows: 24, ms: 4_000 })
} finally {
  for (const child of children.reverse()) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  rmSync(dir, { recursive: true, force: true, maxRetries: 20 })
}

/** @param {string} name @param {string} args @param {{ columns: number, rows: number, ms: number }} size */
async function picture(name, args, { columns, rows, ms }) {
  tmux(
    '-f',
    '/dev/null',
    'new-session',
    '-d',
    '-x',
    String(columns),
    '-y',
    String(rows),
    `TERM=tmux-256color ${process.execPath} ${cli} ${args}`,
  )
  await sleep(ms)
  const text = tmux('capture-pane', '-p', '-e')
  tmux('kill-server')
  // The server takes its time to go, and a new one would find its socket.
  await sleep(500)
  writeFileSync(join(pictures, `${name}.svg`), svg(`spillway ${name}`, text.replace(/\n$/, '').split('\n'), columns, rows))
  console.log(`docs/pictures/${name}.svg`)
}

/** Rows with SGR sequences as a picture. @param {string} title @param {readonly string[]} lines @param {number} columns @param {number} rows */
function svg(title, lines, columns, rows) {
  const [cellWidth, cellHeight, margin] = [8, 17, 10]
  const colours = ['#1d2021', '#fb4934', '#8ec07c', '#fabd2f', '#83a598', '#d3869b', '#7fd1c7', '#d5c4a1']
  const bright = ['#928374', '#ff7a68', '#b8e0a5', '#ffd968', '#a5c7ff', '#f0a8c8', '#a8ece4', '#fbf1c7']
  /** @type {string[]} */
  const parts = []
  // A style holds until there is another, also in the next row.
  let style = { colour: '', back: '', isBold: false, isInverse: false }
  for (const [row, line] of lines.entries()) {
    let column = 0
    for (const [, codes, text = ''] of line.matchAll(styled)) {
      for (const code of codes === undefined ? [] : codes.split(';').map(Number)) {
        if (code === 0) style = { colour: '', back: '', isBold: false, isInverse: false }
        else if (code === 1) style = { ...style, isBold: true }
        else if (code === 7) style = { ...style, isInverse: true }
        else if (code === 22) style = { ...style, isBold: false }
        else if (code === 27) style = { ...style, isInverse: false }
        else if (code >= 30 && code <= 37) style = { ...style, colour: colours[code - 30] ?? '' }
        else if (code >= 90 && code <= 97) style = { ...style, colour: bright[code - 90] ?? '' }
        else if (code === 39) style = { ...style, colour: '' }
        else if (code >= 40 && code <= 47) style = { ...style, back: colours[code - 40] ?? '' }
        else if (code === 49) style = { ...style, back: '' }
      }
      const length = [...text].length
      if (length === 0) continue
      const [x, y, width] = [margin + column * cellWidth, margin + row * cellHeight, length * cellWidth]
      const ink = style.colour || '#ebdbb2'
      const back = style.isInverse ? ink : style.back
      if (back !== '') parts.push(`<rect x="${x}" y="${y}" width="${width}" height="${cellHeight}" fill="${back}"/>`)
      const word = text.trim()
      if (word !== '') {
        const at = x + (length - [...text.trimStart()].length) * cellWidth
        const escaped = word.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
        const weight = style.isBold ? ' font-weight="bold"' : ''
        parts.push(
          `<text x="${at}" y="${y + 13}" textLength="${[...word].length * cellWidth}" fill="${style.isInverse ? '#1d2021' : ink}"${weight}>${escaped}</text>`,
        )
      }
      column += length
    }
  }
  const [width, height] = [columns * cellWidth + 2 * margin, rows * cellHeight + 2 * margin]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title>${title}</title>
<rect width="${width}" height="${height}" rx="6" fill="#282828"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" xml:space="preserve">
${parts.join('\n')}
</g>
</svg>
`
}

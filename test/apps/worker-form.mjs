// Logs N lines through pino's worker form and prints the same lines to stdout: node worker-form.mjs SERVICE N target|targets how
import pino from 'pino'

const [service = 'worker', records = '1', form = 'target', how = 'fall-off'] = process.argv.slice(2)
const spillway = { target: 'spillway/pino', options: { service } }
const transport = form === 'targets' ? { targets: [spillway, { target: 'pino/file', options: { destination: 1 } }] } : spillway
const timestamp = () => ',"time":1700000000000'
const log = pino({ name: 'worker', timestamp, transport })
/** @type {string[]} */
const copies = []
const copy = form === 'targets' ? undefined : pino({ name: 'worker', timestamp }, { write: (line) => void copies.push(line) })
for (let n = 0; n < Number(records); n += 1) {
  for (const logger of [log, copy]) {
    if (n % 3 === 0) logger?.error({ n, odd: '€😀\ud800' }, 'line')
    else logger?.info({ n, odd: '€😀\ud800' }, 'line')
  }
}
if (copies.length > 0) await new Promise((resolve) => process.stdout.write(copies.join(''), resolve))
if (how === 'exit') process.exit(0)

// Keeps metrics as fast as the disk takes them, and says how many slots it has given away, until it is killed.
import { KeptMetrics } from '../../../dist/collector/kept/kept-metrics.js'

const [dir = '', begunAt = '0', first = '0'] = process.argv.slice(2)
const kept = new KeptMetrics({ dir, seriesMax: 100, bytesMax: 2 ** 30, intervalMs: 10_000, onTrouble: (message) => console.error(message) })
await kept.open()
const instrument = { service: 'shop', name: 'paid', type: /** @type {const} */ ('counter'), unit: '1', description: '' }
for (let slot = Number(first); ; slot += 1) {
  const startMs = Number(begunAt) + slot * 10_000
  for (let i = 0; i < 50; i += 1)
    kept.take({ instrument, attributes: `{"i":${i}}`, startMs, value: { kind: 'counter', delta: slot + i / 100 } })
  kept.seal(startMs + 10_000, startMs)
  process.stdout.write(`${slot}\n`)
  // As much as is on its way is bounded; the disk is to be writing whenever the kill comes.
  if (slot % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
}

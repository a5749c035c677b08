// pino's worker form, whose worker is terminated while it polls.
import pino from 'pino'

const transport = pino.transport({ target: 'spillway/pino', options: { service: 'worker' } })
transport.on('error', () => undefined)
const log = pino({ base: null }, transport)
await new Promise((resolve) => transport.once('ready', resolve))
for (let n = 0; n < 1_000; n += 1) log.info({ n }, 'line')
// Long enough for many looks at the sockets.
await new Promise((resolve) => setTimeout(resolve, 300))
// @ts-expect-error pino's types do not show it.
await transport.worker.terminate()
process.stdout.write('main ended well\n')
process.exit(0)

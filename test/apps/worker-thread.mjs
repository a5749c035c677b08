// A user's own worker thread logs N lines and ends as it is told: node worker-thread.mjs N how
import { Worker } from 'node:worker_threads'
import pino from 'pino'
import { destination } from 'spillway/pino'

const [records = '1', how = 'terminate'] = process.argv.slice(2)
const code = `
  const { parentPort, workerData } = require('node:worker_threads')
  const pino = require('pino')
  const { destination } = require('spillway/pino')
  const stream = destination({ service: 'in-worker' })
  const log = pino({ base: null }, stream)
  for (let n = 0; n < workerData.records; n += 1) log.info({ n }, 'line')
  const end = {
    terminate: () => stream.flush(() => { log.info({ n: workerData.records }, 'in an open batch'); parentPort.postMessage('kept') }),
    exit: () => process.exit(0),
    'fall-off': () => undefined,
    throw: () => { throw new Error('thrown in the worker') },
  }
  if (workerData.how === 'terminate') setInterval(() => log.debug('alive'), 5)
  end[workerData.how]()
`
const worker = new Worker(code, { eval: true, workerData: { records: Number(records), how } })
worker.on('error', (error) => process.stdout.write(`worker failed: ${error.message}\n`))
worker.on('message', () => void worker.terminate())
await new Promise((resolve) => worker.once('exit', resolve))
// The process lives on, and its own logger works.
const stream = destination({ service: 'main' })
pino({ base: null }, stream).info('still here')
await stream.close()
process.stdout.write('main ended well\n')

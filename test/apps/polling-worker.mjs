// Worker threads whose agents poll are ended again and again, at no moment in particular.
import { Worker } from 'node:worker_threads'

const code = `
  const { parentPort } = require('node:worker_threads')
  const { destination } = require('spillway/pino')
  const stream = destination({ service: 'polls' })
  stream.write('{"level":30,"msg":"in a worker"}\\n')
  setInterval(() => undefined, 1_000)
  stream.flush(() => parentPort.postMessage('polling'))
`
for (let n = 0; n < 5; n += 1) {
  const worker = new Worker(code, { eval: true })
  await new Promise((resolve) => worker.once('message', resolve))
  await new Promise((resolve) => setTimeout(resolve, 13 * n))
  await worker.terminate()
}
process.stdout.write('ended well\n')

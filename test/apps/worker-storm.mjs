// Workers that log as fast as they can and are told to end in the middle of it.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import pino from 'pino'
import { createAgent } from '../../dist/agent/index.js'

const workers = 5

async function main() {
  for (let n = 0; n < workers; n += 1) {
    const worker = new Worker(new URL(import.meta.url))
    await once(worker, 'message')
    worker.postMessage('end')
    await once(worker, 'exit')
  }
  process.stdout.write('main ended well\n')
}

function storm() {
  const agent = createAgent({ service: 'storm' })
  const log = pino({ base: null }, agent.destination())
  parentPort?.on('message', () => process.exit())
  const burst = () => {
    for (let n = 0; n < 3_000; n += 1) log.info({ n, pad: 'x'.repeat(200) }, 'line')
    if (agent.stats().sent > 20_000) parentPort?.postMessage('storming')
    setTimeout(burst, 1)
  }
  burst()
}

if (isMainThread) await main()
else storm()

// What the agent must not do: a worker thread that ends while a receive is pending.
import { Worker } from 'node:worker_threads'

const worker = new Worker(
  `const { Subscriber } = require('zeromq')
   const socket = new Subscriber()
   socket.connect('tcp://127.0.0.1:1')
   socket.subscribe()
   socket.receive().catch(() => undefined)
   require('node:worker_threads').parentPort.postMessage('pending')`,
  { eval: true },
)
worker.once('message', () => worker.terminate())
await new Promise((resolve) => worker.once('exit', resolve))

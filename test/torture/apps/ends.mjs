/**
 * An application that logs steadily for a while and then ends as it is told, with lines in its open batch:
 * node ends.mjs HOW PLAN, with PLAN as JSON. It counts every log call in a file before it is made.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import { destination } from 'spillway/pino'
import { levelOf, madeFields } from '../made-line.mjs'

/** @typedef {{ readonly app: string, readonly service: string, readonly making: import('../made-line.mjs').Making, readonly countFile: string }} EndsPlan */

const turns = 60
const linesPerTurn = 25

const how = process.argv[2] ?? ''
/** @type {EndsPlan} */
const plan = JSON.parse(process.argv[3] ?? '{}')
const countFd = openSync(plan.countFile, 'w')
const countBytes = Buffer.alloc(8)

const transport = how === 'worker-terminated' ? pino.transport({ target: 'spillway/pino', options: { service: plan.service } }) : undefined
transport?.on('error', () => undefined)
if (transport !== undefined) await new Promise((resolve) => transport.once('ready', resolve))
const log = pino(
  { base: null, timestamp: false, level: 'trace' },
  transport ?? destination({ service: plan.service, metrics: { runtime: false } }),
)

let made = 0
function logSome() {
  for (let i = 0; i < linesPerTurn; i += 1) {
    countBytes.writeBigUInt64LE(BigInt(made + 1))
    writeSync(countFd, countBytes, 0, 8, 0)
    log[levelOf(plan.making.mix, made)](madeFields(plan.making, plan.app, made))
    made += 1
  }
}
const stayAlive = () => setInterval(() => undefined, 1_000)

for (let turn = 0; turn < turns; turn += 1) {
  logSome()
  await sleep(5)
}
logSome()
if (how === 'exit') process.exit(0)
if (how === 'exception')
  setTimeout(() => {
    throw new Error('thrown on purpose')
  }, 0)
if (how === 'rejection') void Promise.reject(new Error('rejected on purpose'))
if (how === 'sigterm-handled') {
  process.once('SIGTERM', () => {
    logSome()
    process.exit(0)
  })
  stayAlive()
  process.kill(process.pid, 'SIGTERM')
}
if (how === 'sigterm') {
  stayAlive()
  process.kill(process.pid, 'SIGTERM')
}
if (how === 'worker-terminated') {
  // Long enough for the worker to read what was logged, shorter than a batch stays open.
  await sleep(10)
  // @ts-expect-error pino's types do not show it.
  await transport?.worker.terminate()
  process.exit(0)
}

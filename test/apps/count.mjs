// Logs N numbered lines and ends as it is told: node count.mjs N how
import { writeSync } from 'node:fs'
import pino from 'pino'
import { destination } from 'spillway/pino'

const [records = '1', how = 'fall-off'] = process.argv.slice(2)
const startedExit = { atMs: 0 }
process.on('exit', () => {
  startedExit.atMs = performance.now()
})
const stream = destination({ service: 'counted' })
const log = pino({ base: null }, stream)
const logAll = () => {
  for (let n = 0; n < Number(records); n += 1) log.info({ n }, 'line')
}
const stayAlive = () => setInterval(() => undefined, 1_000)

if (!how.startsWith('after-')) logAll()
if (how === 'exit') process.exit(0)
if (how === 'throw')
  setTimeout(() => {
    throw new Error('thrown on purpose')
  }, 0)
if (how === 'reject') void Promise.reject(new Error('rejected on purpose'))
if (how === 'fatal') {
  // What pino recommends in place of `pino.final`.
  process.on('uncaughtException', (error) => {
    log.fatal({ n: Number(records), err: error }, 'fatal')
    process.exit(1)
  })
  setTimeout(() => {
    throw new Error('thrown on purpose')
  }, 0)
}
if (how === 'sigterm-handler') {
  process.on('SIGTERM', () => {
    log.info({ n: Number(records) }, 'stopping')
    process.exit(0)
  })
  stayAlive()
  writeSync(1, 'ready\n')
}
if (how === 'sigterm') {
  // No handler. What was logged longer ago than a batch may stay open has left; the rest is logged in the last turn.
  await stream.agent.flush()
  logAll()
  await new Promise((resolve) => setTimeout(resolve, 60))
  logAll()
  process.kill(process.pid, 'SIGTERM')
  stayAlive()
}
if (how === 'after-signal') {
  // Connected first; the lines come when the test says so.
  log.info({ n: -1 }, 'first')
  await stream.agent.flush()
  const alive = stayAlive()
  process.once('SIGUSR2', () => {
    logAll()
    clearInterval(alive)
  })
  writeSync(1, 'ready\n')
}
// Behind Spillway's own listener: how long the exit was held up.
process.on('exit', () => writeSync(1, `held up ${(performance.now() - startedExit.atMs).toFixed(1)} ms\n`))
if (how === 'exit-timed') process.exit(0)

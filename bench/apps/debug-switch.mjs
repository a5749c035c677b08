// An application whose debug is asked for. Says when it goes on and off, and how long changing its loggers took.
import { performance } from 'node:perf_hooks'
import pino from 'pino'
import { createAgent } from 'spillway'

const { collector, loggers } = JSON.parse(process.argv[2] ?? '{}')
const agent = createAgent({ service: 'debug-switch', collector, metrics: { runtime: false } })
const log = pino(agent.pinoOptions({ level: 'info' }), agent.destination())
const children = Array.from({ length: loggers }, (_, n) => log.child({ n }, { level: 'warn' }))
const last = children.at(-1) ?? log
let isOn = false
let worstMs = 0
let beforeMs = performance.now()
setInterval(() => {
  const nowMs = performance.now()
  worstMs = Math.max(worstMs, nowMs - beforeMs)
  beforeMs = nowMs
  last.debug('asked for')
  if (last.isLevelEnabled('debug') === isOn) return
  isOn = !isOn
  process.send?.({ isOn, atMs: Date.now(), worstMs })
  worstMs = 0
}, 1)
process.send?.({ isReady: true })

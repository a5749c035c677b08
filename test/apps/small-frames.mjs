// Thousands of frames of one short line each in a small ring, no collector; prints what they cost.
import pino from 'pino'
import { createAgent } from 'spillway'

const ringBytes = 524_288
const agent = createAgent({ service: 'small-frames', ringBytes })
// pino calls flushSync on fatal: each line is a frame.
const log = pino({ base: null }, agent.destination())
for (let n = 0; n < 100; n += 1) log.fatal({ n }, 'warm')
global.gc?.()
const before = process.memoryUsage()
for (let n = 0; n < 20_000; n += 1) log.fatal({ n }, 'a short line')
global.gc?.()
const after = process.memoryUsage()
const { ringBytes: held, ringRecords } = agent.stats()
process.stdout.write(JSON.stringify({ ringBytes, held, ringRecords, arrayBuffers: after.arrayBuffers, rssGrown: after.rss - before.rss }))
process.exit(0)

// Parent and children each log under their own origin: node children.mjs fork|cluster N
import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import pino from 'pino'
import { destination } from 'spillway/pino'

const [how = 'fork', records = '1'] = process.argv.slice(2)
const log = pino({ base: null }, destination({ service: 'family' }))
const isChild = cluster.isWorker || process.send !== undefined
for (let n = 0; n < Number(records); n += 1) log.info({ pid: process.pid, n }, 'line')

if (isChild) process.exit(0)
const start = () => (how === 'cluster' ? cluster.fork() : fork(fileURLToPath(import.meta.url), process.argv.slice(2)))
const codes = await Promise.all([start(), start(), start()].map((child) => new Promise((resolve) => child.once('exit', resolve))))
process.stdout.write(JSON.stringify(codes))

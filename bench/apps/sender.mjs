// Sends lines in ready-made frames as fast as the receiver takes them: the load for a receiver's bench.

import { randomBytes } from 'node:crypto'
import { encodeFrame, frameKinds } from 'spillway/wire'
import { Context, XPublisher } from 'zeromq'

// Varied lines are as hard to compress as those of a web application: to about a quarter.
const { endpoint, frames, linesPerFrame, lineBytes, isVaried = false } = JSON.parse(process.argv[2] ?? '{}')
const head = '{"level":30,"time":1700000000000,"pid":4242,"hostname":"bench","reqId":"req-7f3a9c","msg":"'
const lineWith = (/** @type {string} */ text) => `${(head + text).padEnd(lineBytes - 3, 'x')}"}\n`
const lines = Array.from({ length: linesPerFrame }, () => lineWith(isVaried ? randomBytes(48).toString('hex') : ''))
const body = Buffer.from(lines.join(''))
const topic = Buffer.from('log.info.bench.')
const origin = 'benchbenchbench0'

const socket = new XPublisher({ context: new Context() })
socket.noDrop = true
// About a megabyte in either shape.
socket.sendHighWaterMark = linesPerFrame > 1 ? 16 : 4_000
socket.sendTimeout = 0
socket.linger = 30_000
socket.connect(endpoint)
await socket.receive()
const startedAt = Date.now()
for (let i = 0; i < frames; i += 1) {
  const fields = { origin, seq: i * linesPerFrame, count: linesPerFrame, time: startedAt, kind: frameKinds.lines, onDemand: false }
  const frame = encodeFrame(fields, body)
  // A full pipe refuses; a millisecond later there is room.
  while (!(await isTaken(frame))) await new Promise((resolve) => setTimeout(resolve, 1))
}
/** @param {Buffer} frame */
async function isTaken(frame) {
  try {
    await socket.send([topic, frame])
    return true
  } catch {
    return false
  }
}

console.log(JSON.stringify({ startedAt, bodyBytes: body.length }))

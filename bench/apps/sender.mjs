// Sends lines in ready-made frames as fast as the receiver takes them: the load for a receiver's bench.

import { encodeFrame, frameKinds } from 'spillway/wire'
import { Context, XPublisher } from 'zeromq'

const { endpoint, frames, linesPerFrame, lineBytes } = JSON.parse(process.argv[2] ?? '{}')
const line = `${'{"level":30,"time":1700000000000,"pid":4242,"hostname":"bench","reqId":"req-7f3a9c","msg":"'.padEnd(lineBytes - 3, 'x')}"}\n`
const body = Buffer.from(line.repeat(linesPerFrame))
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
  const head = { origin, seq: i * linesPerFrame, count: linesPerFrame, time: startedAt, kind: frameKinds.lines, onDemand: false }
  const frame = encodeFrame(head, body)
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

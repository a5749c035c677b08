// The least that can be done: receive frames, write their bodies to a file. What a collector is held against.
import { open } from 'node:fs/promises'
import { Context, XSubscriber } from 'zeromq'

const { endpoint, file, headBytes } = JSON.parse(process.argv[2] ?? '{}')
const out = await open(file, 'a')
const socket = new XSubscriber({ context: new Context() })
socket.receiveHighWaterMark = 256
await socket.send(Buffer.from('\x01log.'))
await socket.bind(endpoint)
process.send?.('ready')
/** @type {Buffer[]} */
let waiting = []
let waitingBytes = 0
/** @type {Promise<unknown> | undefined} */
let writing

for await (const [, frame] of socket) {
  if (frame === undefined) continue
  waiting.push(frame.subarray(headBytes))
  waitingBytes += frame.length
  if (waitingBytes < 262_144) continue
  await writing
  writing = out.writev(waiting)
  waiting = []
  waitingBytes = 0
}

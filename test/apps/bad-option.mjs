// Gives a socket an option it does not take and goes on: node bad-option.mjs ours|theirs
import { Context, Publisher } from 'zeromq'
import { openSocket } from '../../dist/wire/socket.js'

const context = new Context()
/** @type {Record<string, (options: object) => unknown>} */
const attempts = {
  ours: (options) => openSocket(context, Publisher, { maxMessageSize: 1_024, ...options }),
  theirs: (options) => new Publisher({ context, ...options }),
}
for (const options of [{ sendHighWaterMark: -1 }, { curveServerKey: 'too short' }, { noSuchOption: 1 }]) {
  try {
    attempts[process.argv[2] ?? '']?.(options)
    process.stdout.write('taken\n')
  } catch {
    process.stdout.write('refused\n')
  }
}

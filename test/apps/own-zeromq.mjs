// A program that uses ZeroMQ itself and has left its global context unable to talk to anybody.
import pino from 'pino'
import { createAgent } from 'spillway'
import { context, Publisher } from 'zeromq'

context.ioThreads = 0
context.maxSockets = 1
const own = new Publisher()
const agent = createAgent({ service: 'own-zeromq' })
pino({ base: null }, agent.destination()).info('all the same')
const { left } = await agent.close()
own.close()
process.stdout.write(`left ${left}\n`)

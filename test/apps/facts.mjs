// Logs one line and prints what the process has open for it: threads, sockets, the agent's books.
import { readdirSync, readlinkSync } from 'node:fs'
import pino from 'pino'
import { createAgent } from 'spillway'

const agent = createAgent({ service: 'facts' })
const stream = agent.destination()
pino(stream).info('one line')
stream.flushSync()
await agent.flush()
const sockets = readdirSync('/proc/self/fd').filter((fd) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:') && Number(fd) > 2
  } catch {
    return false
  }
})
const threads = readdirSync('/proc/self/task').length
const stats = agent.stats()
const { left } = await agent.close()
process.stdout.write(JSON.stringify({ threads, sockets: sockets.length, stats, left }))

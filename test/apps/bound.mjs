// Binds for live tails, and runs until it is told to end.
import { createAgent } from '../../dist/agent/index.js'

const agent = createAgent({ service: 'bound', bind: process.argv[2] })
const timer = setInterval(() => {
  if (agent.stats().bind?.state === 'listening') console.log('ready')
}, 20)
process.on('SIGTERM', () => {
  clearInterval(timer)
  void agent.close()
})

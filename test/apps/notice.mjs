// Overflows a small ring, so that Spillway has something to say, and ends: node notice.mjs how [stdout]
// Without pino, which looks at process.stderr and so makes it non-blocking before anybody could be held by it.
import { createAgent } from 'spillway'

const [how = 'fall-off', fallback] = process.argv.slice(2)
const agent = createAgent({ service: 'notice', ringBytes: 65_536, ...(fallback === 'stdout' ? { fallback } : {}) })
const stream = agent.destination()
for (let n = 0; n < 20_000; n += 1) stream.write(`{"level":30,"n":${n},"msg":"more than the ring holds"}\n`)
await new Promise((resolve) => setTimeout(resolve, 100))
if (how === 'exit') process.exit(0)

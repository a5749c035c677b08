// Loses records again and again for 95 s by a clock that is put forward 5 s at a time; no collector.
import { createAgent } from 'spillway'

const now = performance.now.bind(performance)
let aheadMs = 0
performance.now = () => now() + aheadMs
const agent = createAgent({ service: 'notices', ringBytes: 65_536 })
const stream = agent.destination()
for (; aheadMs <= 95_000; aheadMs += 5_000) {
  for (let n = 0; n < 2_000; n += 1) stream.write('{"level":30,"msg":"more than the ring holds, again and again"}\n')
  // Past the regular look, which is when it speaks.
  await new Promise((resolve) => setTimeout(resolve, 60))
}

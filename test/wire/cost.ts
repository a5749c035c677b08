/** What a call costs, measured so that one slow moment of the machine does not fail a test. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** No bytes from the network may hold the event loop longer than this. */
export const hostileBytesMaxMs = 50

/** Median of five runs, ms. */
export function medianMs(run: () => void): number {
  const runsMs = Array.from({ length: 5 }, () => {
    const startedAtMs = performance.now()
    run()
    return performance.now() - startedAtMs
  })
  return runsMs.sort((a, b) => a - b)[2] ?? 0
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes still held after `run`, garbage aside; heap and buffers together. */
export function keptBytes(run: () => void): number {
  collectGarbage()
  const before = process.memoryUsage()
  run()
  collectGarbage()
  const after = process.memoryUsage()
  return after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
}

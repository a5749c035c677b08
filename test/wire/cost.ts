/** What a call costs, measured so that one slow moment of the machine does not fail a test. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** No bytes from the network may hold the event loop longer than this. */
export const hostileBytesMaxMs = 50

/**
 * The least that up to 20 runs cost, ms: what the call costs by itself, without what else the machine did meanwhile.
 * Stops at the first run that costs less than {@link hostileBytesMaxMs}, so the usual case is one run.
 */
export function leastMs(run: () => void): number {
  let least = Number.POSITIVE_INFINITY
  for (let runs = 0; runs < 20 && least >= hostileBytesMaxMs; runs += 1) {
    const startedAtMs = performance.now()
    run()
    least = Math.min(least, performance.now() - startedAtMs)
  }
  return least
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

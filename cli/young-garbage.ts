/**
 * Collects young garbage when told to, for a process that receives large buffers and makes little else.
 *
 * V8 does not count a received frame's memory as young: it would lie there until the next full collection, and those
 * came 18 times a second at 480 MB/s: twice the CPU, and memory that had left the processor's cache. A collection of
 * the young generation frees the same buffers in under a millisecond. For the collector's own process only: it sets a
 * flag of V8's for the whole process.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A function that collects young garbage, or does nothing where V8 offers none. */
export function youngGarbageCollector(): () => void {
  const collect = collector()
  return () => collect({ type: 'minor' })
}

/** The same for all garbage. With a small heap it takes some ten milliseconds. */
export function garbageCollector(): () => void {
  const collect = collector()
  return () => collect()
}

function collector(): (options?: { readonly type: 'minor' }) => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('typeof gc === "function" ? gc : undefined')
  if (typeof collect !== 'function') return () => undefined
  return (options) => collect(options)
}

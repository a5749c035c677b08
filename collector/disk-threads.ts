/**
 * Node's threads for files, in a pool that the whole process shares. A call on a disk that hangs keeps its thread, so
 * sinks are independent as long as there are threads for all calls that may hang at once.
 */

/** Of one file sink: two files are written, one is synced, one that was rotated is closed, two are looked at. */
const callsPerSinkMax = 6
/** Of the spool, and of whatever else the process does. */
const callsBesides = 4
/** What libuv begins without being told. */
const threadsByDefault = 4

/** What there is to say about a pool too small for so many file sinks; undefined when it is large enough, or nothing depends on it. */
export function threadsTrouble(fileSinks: number, poolSize: string | undefined): string | undefined {
  const threads = Number(poolSize ?? threadsByDefault)
  const needed = callsBesides + callsPerSinkMax * fileSinks
  if (fileSinks < 2 || threads >= needed) return undefined
  return `Node has ${threads} threads for files, and ${fileSinks} file sinks whose disks hang may take ${needed - callsBesides}; start it with UV_THREADPOOL_SIZE=${needed}`
}

/**
 * Memory for full batches, used again. At a million lines a second fresh 64 KiB buffers are most of the garbage and
 * of the page faults; and what the garbage collector has not seen yet counts as the application's memory.
 *
 * ZeroMQ sends from these buffers without copying. A slab may come back only when no socket can hold it any more:
 * it was never sent, or each time it was sent has been acknowledged from the other end.
 */
import { batchBytesMax } from '../wire/limits.ts'

/** A full batch of ASCII lines and the frame's head. */
const slabBytes = batchBytesMax + 64
/** Smaller frames are made to measure: kept by the thousand, a slab each would pin far more than the ring counts. */
const slabFromBytes = slabBytes / 2
const slabsMax = 32

const slabs: ArrayBuffer[] = []

/** A buffer of exactly `bytes`; where it came from is told by its size alone. */
export function allocateFrame(bytes: number): Buffer {
  if (bytes < slabFromBytes || bytes > slabBytes) return Buffer.allocUnsafeSlow(bytes)
  return Buffer.from(slabs.pop() ?? (Buffer.allocUnsafeSlow(slabBytes).buffer as ArrayBuffer), 0, bytes)
}

/** Gives a frame's memory back. Only for frames nobody reads any more. */
export function freeFrame(frame: Buffer): void {
  const memory = frame.buffer
  if (memory.byteLength === slabBytes && memory instanceof ArrayBuffer && slabs.length < slabsMax) slabs.push(memory)
}

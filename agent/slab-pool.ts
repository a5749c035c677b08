/**
 * Memory for full batches, used again. At a million lines a second fresh 64 KiB buffers are most of the garbage and
 * of the page faults; and what the garbage collector has not seen yet counts as the application's memory.
 *
 * ZeroMQ sends from these buffers without copying. A slab may come back only when no socket can hold it any more:
 * it was never sent, or each time it was sent has been acknowledged from the other end.
 */
import { linesHeadBytesMax, onDemandTailBytes } from '../wire/frame.ts'
import { batchBytesMax, ringBytesMax } from '../wire/limits.ts'

/** A full batch, the frame's head in front of it, and what says that it was made on demand behind it. */
export const slabBytes: number = linesHeadBytesMax + batchBytesMax + onDemandTailBytes
/** As many as a full ring holds: slabs are free or in the ring, so both together stay near its 8 MiB. */
const slabsMax = Math.ceil(ringBytesMax / slabBytes)

const slabs: Buffer[] = []

export function takeSlab(): Buffer {
  return slabs.pop() ?? Buffer.allocUnsafeSlow(slabBytes)
}

/** Gives a frame's memory back, if it is a slab's. Only for frames nobody reads any more. */
export function freeFrame(frame: Buffer): void {
  const memory = frame.buffer
  if (memory.byteLength !== slabBytes || !(memory instanceof ArrayBuffer) || slabs.length >= slabsMax) return
  slabs.push(Buffer.from(memory))
}

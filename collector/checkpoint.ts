/**
 * How far the sinks are is written down, and those segments of the spool go that nobody needs any more, or for which
 * there is no room.
 */
import type { Intake } from './intake.ts'
import type { SinkRunner } from './sink-runner.ts'
import { crashPoints } from './spool/crash-points.ts'
import type { Spool } from './spool/spool.ts'

export interface CheckpointParts {
  readonly spool: Spool
  readonly runners: readonly SinkRunner[]
  readonly intake: Intake
  /** Done segments are given up when there are more bytes of them than this. */
  readonly releaseBytes: number
  /** The spool's oldest records expire when it has more bytes than this. */
  readonly bytesMax: number
}

export async function checkpoint({ spool, runners, intake, releaseBytes, bytesMax }: CheckpointParts): Promise<void> {
  crashPoints.reached('before-checkpoint')
  for (const runner of runners) if (runner.hasMoved) await runner.checkpoint()
  const lowest = Math.min(spool.durable, ...runners.map((runner) => runner.lowest))
  const isDone = spool.sealed.some(({ end }) => end <= lowest)
  const isOver = spool.bytes > bytesMax
  // Before lines leave the spool their files must be on the disk.
  if (isDone && (isOver || spool.sealedBytes > releaseBytes) && (await areSynced(runners))) {
    for (const runner of runners) await runner.checkpoint()
    if (!(await spool.sync())) return
    await spool.dropBefore(lowest)
  }
  const surplus = surplusOf(spool, bytesMax)
  if (surplus.length === 0 && !runners.some((runner) => runner.areBooksBehind)) return
  // A spool that fails grows no more, and the books that would have to say what has expired cannot be written.
  if (spool.isFailing) return
  // What they have done they have for good, as far as their disks go along.
  if (surplus.length > 0) await areSynced(runners)
  for (const segment of surplus) for (const runner of runners) await runner.expire(segment)
  for (const runner of runners) if (runner.hasMoved) await runner.checkpoint()
  // What has expired is on the disk before the records are gone: a collector that is killed in between knows it.
  if (!(await intake.writeBooks())) return
  const last = surplus.at(-1)
  if (last !== undefined) await spool.dropBefore(last.end)
}

/** Segments that have to go for the others to have room, oldest first. */
function surplusOf(spool: Spool, bytesMax: number): readonly { readonly position: number; readonly end: number }[] {
  let surplusBytes = spool.bytes - bytesMax
  return spool.sealed.filter(({ position, end }) => {
    const isSurplus = surplusBytes > 0
    surplusBytes -= end - position
    return isSurplus
  })
}

/** False when not all of them have their files on the disk. */
async function areSynced(runners: readonly SinkRunner[]): Promise<boolean> {
  const areSynced = await Promise.all(runners.map((runner) => runner.sync()))
  return areSynced.every((isSynced) => isSynced)
}

/** Which files have to go: a pure decision. The oldest first, and never one that is written to. */
import type { Keep } from '../config.ts'
import type { RemovalReason } from './sink.ts'

export interface RetainedFile {
  readonly path: string
  /** What it belongs to: files of one name. */
  readonly stream: string
  readonly bytes: number
  /** When it was last written to, Unix ms. */
  readonly writtenAtMs: number
  /** Nothing is written to it any more. */
  readonly isClosed: boolean
}

export interface Removal<File extends RetainedFile> {
  readonly file: File
  readonly reason: RemovalReason
}

/**
 * @param freeBytes - What is free on their disk; undefined when that is not known.
 * @returns Removals, oldest first.
 */
export function removals<File extends RetainedFile>(
  files: readonly File[],
  keep: Keep,
  { nowMs, freeBytes }: { readonly nowMs: number; readonly freeBytes: number | undefined },
): Removal<File>[] {
  const closed = files.filter(({ isClosed }) => isClosed).sort((a, b) => a.writtenAtMs - b.writtenAtMs || (a.path < b.path ? -1 : 1))
  const surplus = surplusFiles(closed, keep.files)
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  let free = freeBytes ?? Number.POSITIVE_INFINITY
  const removed: Removal<File>[] = []
  for (const file of closed) {
    const reason = reasonFor(file)
    if (reason === undefined) continue
    bytes -= file.bytes
    free += file.bytes
    removed.push({ file, reason })
  }
  return removed

  function reasonFor(file: File): RemovalReason | undefined {
    if (keep.ageMs !== undefined && nowMs - file.writtenAtMs > keep.ageMs) return 'age'
    if (surplus.has(file)) return 'files'
    if (keep.bytes !== undefined && bytes > keep.bytes) return 'bytes'
    return keep.freeBytes !== undefined && free < keep.freeBytes ? 'free' : undefined
  }
}

/** The oldest of each stream that has more than so many. */
function surplusFiles<File extends RetainedFile>(closed: readonly File[], filesMax: number | undefined): ReadonlySet<File> {
  if (filesMax === undefined) return new Set()
  const streams = new Map<string, File[]>()
  for (const file of closed) {
    const known = streams.get(file.stream)
    if (known === undefined) streams.set(file.stream, [file])
    else known.push(file)
  }
  return new Set([...streams.values()].flatMap((files) => files.slice(0, Math.max(0, files.length - filesMax))))
}

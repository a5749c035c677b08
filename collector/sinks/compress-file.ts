/**
 * Compresses one file into another, block by block: each block is a gzip member, or a Zstandard frame, of its own. Every
 * tool reads them one behind the other as one; who knows where a block begins can begin there.
 *
 * Synchronous, and so for a worker thread: Node's streams would do it on the threads that write the spool.
 */
import { closeSync, constants, fstatSync, fsyncSync, futimesSync, openSync, readSync, writeSync } from 'node:fs'
import zlib from 'node:zlib'

export const compressions = ['gzip', 'zstd'] as const
export type Compression = (typeof compressions)[number]

export const compressedSuffix: Readonly<Record<Compression, '.gz' | '.zst'>> = { gzip: '.gz', zstd: '.zst' }

/** A hundredth larger than in one piece, and a quarter of a second to read. */
const blockBytes = 1_048_576
const lineFeed = 10

type CompressBlock = (block: Buffer) => Buffer

/** Why files cannot be compressed like this here; undefined when they can. */
export function compressionFault(compression: Compression): string | undefined {
  if (compression === 'gzip' || zstdCompress() !== undefined) return undefined
  return `zstd needs Node 22.15, 23.8 or later, this is ${process.versions.node}; use gzip, or another Node`
}

/** What newer versions have. */
function zstdCompress(): CompressBlock | undefined {
  const { zstdCompressSync } = zlib as { readonly zstdCompressSync?: CompressBlock }
  return zstdCompressSync
}

/**
 * Makes `target`, which must not be there yet, and has it on the disk when it returns. Its mode and its times are those
 * of `source`, which is left as it is.
 *
 * @throws When one of them cannot be opened, read or written, or `source` grows meanwhile; `target` may be there then, in part.
 */
export function compressFile(source: string, target: string, compression: Compression): void {
  const compressBlock = compression === 'gzip' ? zlib.gzipSync : zstdCompress()
  if (compressBlock === undefined) throw new Error(compressionFault(compression))
  const from = openSync(source, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size, mode, atime, mtime } = fstatSync(from)
    const into = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode & 0o777)
    try {
      // An empty file is an empty member, not nothing.
      if (size === 0) writeAll(into, compressBlock(Buffer.alloc(0)))
      for (const block of blocksOf(from)) writeAll(into, compressBlock(block))
      if (fstatSync(from).size !== size) throw new Error(`${source} changed while it was compressed`)
      futimesSync(into, atime, mtime)
      fsyncSync(into)
    } finally {
      closeSync(into)
    }
  } finally {
    closeSync(from)
  }
}

/** Whole lines, about so many bytes; a line that is longer stands in several. Each is only good until the next. */
function* blocksOf(file: number): Generator<Buffer> {
  const buffer = Buffer.allocUnsafe(blockBytes)
  let kept = 0
  for (;;) {
    const read = readSync(file, buffer, kept, blockBytes - kept, null)
    const filled = kept + read
    if (filled === 0) return
    const isLast = read === 0
    const whole = isLast ? filled : filled < blockBytes ? 0 : buffer.lastIndexOf(lineFeed) + 1 || filled
    if (whole > 0) yield buffer.subarray(0, whole)
    buffer.copyWithin(0, whole, filled)
    kept = filled - whole
  }
}

function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
}

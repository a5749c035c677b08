/**
 * The lines of one kept file, block by block, whole lines only, whatever it was compressed with.
 *
 *   plain     pieces of 1 MiB, cut behind their last line
 *   .gz       one piece per gzip member; the file sink makes one of each MiB of lines, so any can be read alone
 *   .zst      one piece per frame, the same; where Node knows Zstandard
 *   foreign   a .gz of one large member is read as a stream, from its beginning
 *
 * Members are found by the ten bytes they begin with. Those may also stand by chance in the middle of one: then the piece
 * before does not decompress, and is tried again together with the next. Decompression runs on Node's own threads, some pieces
 * ahead, while this one looks at lines. Nothing here is trusted: what decompresses to much more than it should, lines without end, files
 * that end early.
 */
import { constants, createReadStream, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { SpillwayError } from '../../wire/spillway-error.ts'

export type Encoding = 'plain' | 'gzip' | 'zstd'

/** A longer line is not looked at, and counted. The collector keeps none over 64 KiB. */
export const lineBytesMax = 1_048_576
const pieceBytes = 1_048_576
/** What one piece may be, compressed and not; beyond it a file is read as a stream. */
const compressedBytesMax = 4_194_304
const outputBytesMax = 8_388_608
/** Pieces being read and decompressed ahead. */
const piecesAhead = 2
const lineFeed = 10

/** Whole lines of a file. */
export interface LogBlock {
  /** Where it begins in the file, compressed or not, and how much of the file it is. */
  readonly offset: number
  readonly bytes: number
  /** Ends with a line feed, but at a torn end of the file. Only good until the next block is asked for. */
  readonly lines: Buffer
  /** Whether reading can begin here. */
  readonly isStart: boolean
}

export interface Extent {
  readonly offset: number
  readonly bytes: number
}

/** What was found beside lines. */
export interface ReadTrouble {
  /** Lines over {@link lineBytesMax}. */
  longLines: number
  /** Why the rest of the file could not be read. */
  damage: string | undefined
}

type Decompress = (bytes: Buffer, options: { maxOutputLength: number; chunkSize: number }) => Promise<Buffer>

const gunzip: Decompress = promisify(zlib.gunzip)
const zstd = (zlib as { readonly zstdDecompress?: typeof zlib.gunzip }).zstdDecompress
const zstdDecompress: Decompress | undefined = zstd === undefined ? undefined : promisify(zstd)

export function encodingOf(name: string): Encoding | undefined {
  if (name.endsWith('.ndjson')) return 'plain'
  if (name.endsWith('.ndjson.gz')) return 'gzip'
  return name.endsWith('.ndjson.zst') ? 'zstd' : undefined
}

/** An open file, as it was when it was opened: what is written to it afterwards is not read. */
export class LogFile {
  readonly path: string
  readonly encoding: Encoding
  /** What is read of it. */
  readonly size: number
  /** Whether that is all of it. */
  readonly isWhole: boolean
  readonly mtimeMs: number
  readonly inode: string
  readonly owner: number
  readonly #handle: FileHandle

  private constructor(path: string, encoding: Encoding, handle: FileHandle, stat: Stats, end: number) {
    this.path = path
    this.encoding = encoding
    this.size = Math.min(stat.size, end)
    this.isWhole = this.size === stat.size
    this.mtimeMs = stat.mtimeMs
    this.inode = `${stat.dev}:${stat.ino}`
    this.owner = stat.uid
    this.#handle = handle
  }

  /**
   * @param endOf - Where to stop in a file, by its inode; all of it is read without.
   * @throws What the system says, and when it is no regular file; symbolic links are not followed.
   */
  static async open(path: string, encoding: Encoding, endOf?: (inode: string) => number): Promise<LogFile> {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw new SpillwayError('SPW_DIR_UNUSABLE', `${path}: not a regular file`)
      return new LogFile(path, encoding, handle, stat, endOf?.(`${stat.dev}:${stat.ino}`) ?? Number.POSITIVE_INFINITY)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Its first bytes, as they are in the file. */
  async head(bytes: number): Promise<Buffer> {
    return await this.#read(0, Math.min(bytes, this.size))
  }

  /** Blocks that begin at known places, in this order. */
  async *blocksAt(extents: readonly Extent[], trouble: ReadTrouble): AsyncGenerator<LogBlock> {
    try {
      for await (const { extent, output } of this.#ahead(extents)) {
        if (typeof output === 'string') {
          trouble.damage = output
          return
        }
        yield { offset: extent.offset, bytes: extent.bytes, lines: output, isStart: true }
      }
    } catch (error) {
      trouble.damage = reasonOf(error)
    }
  }

  /** All blocks, from `offset` on, where a line begins. */
  async *blocks(trouble: ReadTrouble, offset = 0): AsyncGenerator<LogBlock> {
    const lines = new LineAssembler(trouble, this.encoding === 'plain')
    try {
      for await (const { extent, output } of this.#pieces(offset)) yield* lines.add(extent, output)
    } catch (error) {
      trouble.damage = reasonOf(error)
    }
    yield* lines.end()
  }

  #pieces(offset: number): AsyncIterable<{ extent: Extent; output: Buffer }> {
    if (this.encoding === 'plain') return this.#plainPieces(offset)
    if (this.encoding === 'zstd' && zstdDecompress === undefined)
      throw new Error(`Zstandard needs Node 22.15, 23.8 or later, this is ${process.versions.node}`)
    return this.#compressedPieces(offset)
  }

  async *#plainPieces(from: number): AsyncGenerator<{ extent: Extent; output: Buffer }> {
    const extents: Extent[] = []
    for (let offset = from; offset < this.size; offset += pieceBytes)
      extents.push({ offset, bytes: Math.min(pieceBytes, this.size - offset) })
    for await (const { extent, output } of this.#ahead(extents)) {
      if (typeof output === 'string') throw new Error(output)
      yield { extent, output }
    }
  }

  async *#compressedPieces(from: number): AsyncGenerator<{ extent: Extent; output: Buffer }> {
    let joined: Extent | undefined
    for await (const { extent, output } of this.#ahead(this.encoding === 'gzip' ? this.#gzipMembers(from) : this.#zstdFrames(from))) {
      const whole: Extent = joined === undefined ? extent : { offset: joined.offset, bytes: joined.bytes + extent.bytes }
      const result: Buffer | string = joined === undefined ? output : await this.#decoded(whole)
      if (typeof result !== 'string') {
        joined = undefined
        yield { extent: whole, output: result }
      } else if (result === isCutOff && whole.bytes < compressedBytesMax && whole.offset + whole.bytes < this.size) joined = whole
      else if (result === isTooLarge || result === isCutOff) return yield* this.#streamed(whole.offset)
      else throw new Error(result)
    }
    if (joined !== undefined) yield* this.#streamed(joined.offset)
  }

  /** From here to the end of the file, however many members or frames it is. */
  async *#streamed(offset: number): AsyncGenerator<{ extent: Extent; output: Buffer }> {
    const zstdStream = (zlib as { readonly createZstdDecompress?: typeof zlib.createGunzip }).createZstdDecompress
    const decoder = (this.encoding === 'zstd' ? (zstdStream ?? zlib.createGunzip) : zlib.createGunzip)({ chunkSize: 262_144 })
    const source = createReadStream('', { fd: this.#handle, start: offset, end: this.size - 1, autoClose: false, highWaterMark: 262_144 })
    source.on('error', (error) => decoder.destroy(error))
    source.pipe(decoder)
    try {
      // One extent for all of it: nothing in it can be read alone.
      for await (const output of decoder) yield { extent: { offset, bytes: this.size - offset }, output: output as Buffer }
    } finally {
      source.destroy()
      decoder.destroy()
    }
  }

  /** Where gzip members seem to begin. */
  async *#gzipMembers(from: number): AsyncGenerator<Extent> {
    let start = from
    let position = from
    let window: Buffer = Buffer.alloc(0)
    while (position < this.size) {
      const more = await this.#read(position, Math.min(pieceBytes, this.size - position))
      // A head may lie across two windows.
      const kept = window.subarray(Math.max(0, window.length - gzipHead.length + 1))
      const base = position - kept.length
      window = Buffer.concat([kept, more])
      position += more.length
      for (let at = window.indexOf(gzipHead); at !== -1; at = window.indexOf(gzipHead, at + 1)) {
        if (base + at <= start) continue
        yield { offset: start, bytes: base + at - start }
        start = base + at
      }
      if (position - start > compressedBytesMax) break
    }
    if (start < this.size) yield { offset: start, bytes: this.size - start }
  }

  /** Where Zstandard frames begin and end, by their block headers (RFC 8878, 3.1.1). */
  async *#zstdFrames(from: number): AsyncGenerator<Extent> {
    for (let start = from; start < this.size; ) {
      const head = await this.#read(start, Math.min(18, this.size - start))
      const end = head.length >= 9 ? await this.#zstdFrameEnd(start, head) : undefined
      if (end === undefined || end > this.size) {
        yield { offset: start, bytes: this.size - start }
        return
      }
      yield { offset: start, bytes: end - start }
      start = end
    }
  }

  async #zstdFrameEnd(start: number, head: Buffer): Promise<number | undefined> {
    const magic = head.readUInt32LE(0)
    if (magic >>> 4 === 0x184d2a5) return start + 8 + head.readUInt32LE(4)
    if (magic !== 0xfd2fb528) return undefined
    const descriptor = head[4] ?? 0
    const isSingle = (descriptor & 0x20) !== 0
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
    const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
    let at = start + 5 + (isSingle ? 0 : 1) + dictionaryBytes + sizeBytes
    for (;;) {
      const header = await this.#read(at, 3)
      if (header.length < 3) return undefined
      const value = header.readUIntLE(0, 3)
      const isRle = ((value >> 1) & 3) === 1
      at += 3 + (isRle ? 1 : value >> 3)
      if (at - start > compressedBytesMax) return undefined
      if ((value & 1) === 1) return at + ((descriptor & 4) === 0 ? 0 : 4)
    }
  }

  /** The pieces in order, with some being read ahead; what cannot be decompressed is a reason. */
  async *#ahead(extents: Iterable<Extent> | AsyncIterable<Extent>): AsyncGenerator<{ extent: Extent; output: Buffer | string }> {
    const waiting: { extent: Extent; output: Promise<Buffer | string> }[] = []
    for await (const extent of extents) {
      waiting.push({ extent, output: this.#decoded(extent) })
      const first = waiting.length > piecesAhead ? waiting.shift() : undefined
      if (first !== undefined) yield { extent: first.extent, output: await first.output }
    }
    for (const { extent, output } of waiting) yield { extent, output: await output }
  }

  /** Never rejects: it is awaited later than it fails. */
  async #decoded(extent: Extent): Promise<Buffer | string> {
    try {
      if (this.encoding !== 'plain' && extent.bytes > compressedBytesMax) return isTooLarge
      const bytes = await this.#read(extent.offset, extent.bytes)
      if (this.encoding === 'plain') return bytes
      const decompress = this.encoding === 'gzip' ? gunzip : zstdDecompress
      if (decompress === undefined) return 'no Zstandard here'
      return await decompress(bytes, { maxOutputLength: outputBytesMax, chunkSize: pieceBytes })
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ERR_BUFFER_TOO_LARGE') return isTooLarge
      if (code === 'Z_BUF_ERROR' || code === 'ZSTD_error_srcSize_wrong') return isCutOff
      return reasonOf(error)
    }
  }

  async #read(offset: number, bytes: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(bytes)
    let filled = 0
    while (filled < bytes) {
      const { bytesRead } = await this.#handle.read(buffer, filled, bytes - filled, offset + filled)
      // It was cut while it was read.
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return buffer.subarray(0, filled)
  }
}

const gzipHead = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
const isTooLarge = 'too large in one piece'
const isCutOff = 'ends early'

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Pieces that end anywhere become blocks of whole lines. */
class LineAssembler {
  readonly #trouble: ReadTrouble
  readonly #isPlain: boolean
  /** The beginning of a line, and the extent of all that the next block is made of. */
  #kept: Buffer = Buffer.alloc(0)
  #start: number | undefined
  /** Whether a block that begins at `#start` begins with a line. */
  #isStart = true
  #end = 0
  #isSkipping = false

  constructor(trouble: ReadTrouble, isPlain: boolean) {
    this.#trouble = trouble
    this.#isPlain = isPlain
  }

  *add(extent: Extent, piece: Buffer): Generator<LogBlock> {
    let output = piece
    let skipped = 0
    if (this.#isSkipping) {
      const end = output.indexOf(lineFeed)
      if (end === -1) return
      skipped = end + 1
      output = output.subarray(skipped)
      this.#isSkipping = false
    }
    const begin = this.#isPlain ? extent.offset + skipped - this.#kept.length : (this.#start ?? extent.offset)
    const isStart = this.#isPlain || (this.#isStart && skipped === 0)
    const last = output.lastIndexOf(lineFeed)
    this.#end = extent.offset + extent.bytes
    if (last === -1) {
      this.#start = begin
      this.#isStart = isStart
      this.#keep(output)
      return
    }
    const lines = this.#kept.length === 0 ? output.subarray(0, last + 1) : Buffer.concat([this.#kept, output.subarray(0, last + 1)])
    const rest = output.subarray(last + 1)
    this.#kept = Buffer.alloc(0)
    yield { offset: begin, bytes: this.#isPlain ? lines.length : this.#end - begin, lines, isStart }
    // What follows a block that ended within a line begins in the middle of one.
    this.#start = rest.length === 0 ? undefined : extent.offset
    this.#isStart = rest.length === 0
    this.#keep(rest)
  }

  #keep(bytes: Buffer): void {
    if (this.#kept.length + bytes.length <= lineBytesMax) {
      this.#kept = this.#kept.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#kept, bytes])
      return
    }
    this.#trouble.longLines += 1
    this.#kept = Buffer.alloc(0)
    this.#start = undefined
    this.#isStart = false
    this.#isSkipping = true
  }

  /** What is left without a line feed. */
  *end(): Generator<LogBlock> {
    if (this.#kept.length === 0) return
    const offset = this.#isPlain ? this.#end - this.#kept.length : (this.#start ?? 0)
    yield { offset, bytes: this.#end - offset, lines: this.#kept, isStart: this.#isPlain }
    this.#kept = Buffer.alloc(0)
  }
}

/**
 * A sidecar beside a file that is not written to any more: which times and levels each of its blocks holds, so that a
 * query reads only what it must. `.NAME.index`, two lines: JSON, and its CRC-32 in hex.
 *
 *   {"version":1,"size":…,"mtimeMs":…,"inode":"…","isSeekable":true,"blocks":[[offset,bytes,lines,fromMs,toMs,levels],…]}
 *
 * `levels` has bit N set when a line of rank N is there, bit 6 for lines that say no level; `fromMs` and `toMs` are null when no line says its time. A file of which
 * nothing can be read alone (a .gz of one member, lines over 1 MiB) has one block and is not seekable.
 *
 * Nothing needs it. It is used only when it is of the file as it is now (size, modification time, inode), belongs to who
 * owns the file or to who asks, cannot be written to by others, and covers the file without a gap; else it is made anew.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Extent, LogFile } from './log-blocks.ts'

/** What is known of one block. */
export interface IndexBlock extends Extent {
  readonly lines: number
  /** Unix ms of the earliest and the latest line; undefined when none says its time. */
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
  /** Bit N: there is a line of rank N; {@link unknownLevel}: one that says no level. */
  readonly levels: number
}

export interface LogIndex {
  /** Whether blocks can be read alone. */
  readonly isSeekable: boolean
  /** In the order of the file, without gaps. */
  readonly blocks: readonly IndexBlock[]
}

export const unknownLevel = 64

const version = 1
const suffix = '.index'
/** Of a file of 100 GiB. Larger is no index of ours. */
const indexBytesMax = 16_777_216
const groupOrOthersWrite = 0o022

export function indexPath(path: string): string {
  return join(dirname(path), `.${basename(path)}${suffix}`)
}

/** Collects what an index says, block by block. */
export class IndexBuilder {
  readonly #blocks: IndexBlock[] = []
  #isSeekable = true
  #end = 0

  add(block: IndexBlock, isStart: boolean): void {
    if (!isStart || block.offset !== this.#end) this.#isSeekable = false
    this.#end = block.offset + block.bytes
    this.#blocks.push(block)
  }

  /** @param size - Of the file. */
  finish(size: number): LogIndex {
    if (this.#isSeekable && this.#end === size) return { isSeekable: true, blocks: this.#blocks }
    const times = this.#blocks.flatMap(({ fromMs, toMs }) => (fromMs === undefined || toMs === undefined ? [] : [[fromMs, toMs] as const]))
    const whole: IndexBlock = {
      offset: 0,
      bytes: size,
      lines: this.#blocks.reduce((sum, block) => sum + block.lines, 0),
      fromMs: times.length === 0 ? undefined : times.reduce((least, [from]) => Math.min(least, from), Number.POSITIVE_INFINITY),
      toMs: times.length === 0 ? undefined : times.reduce((most, [, to]) => Math.max(most, to), Number.NEGATIVE_INFINITY),
      levels: this.#blocks.reduce((all, block) => all | block.levels, 0),
    }
    return { isSeekable: false, blocks: [whole] }
  }
}

/** The index of a file as it is now; undefined when there is none that can be trusted. Never throws. */
export async function readIndex(file: LogFile): Promise<LogIndex | undefined> {
  if (!file.isWhole) return undefined
  let handle: FileHandle
  try {
    handle = await open(indexPath(file.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
  try {
    const stat = await handle.stat()
    const isOurs = stat.uid === file.owner || stat.uid === process.getuid?.()
    if (!stat.isFile() || stat.size > indexBytesMax || !isOurs || (stat.mode & groupOrOthersWrite) !== 0) return undefined
    return parseIndex(await handle.readFile('utf8'), file)
  } catch {
    return undefined
  } finally {
    await handle.close().catch(() => undefined)
  }
}

function parseIndex(text: string, file: LogFile): LogIndex | undefined {
  const end = text.indexOf('\n')
  const json = text.slice(0, end)
  if (end === -1 || text.slice(end + 1).trimEnd() !== checksum(json)) return undefined
  const parsed: unknown = JSON.parse(json)
  if (parsed === null || typeof parsed !== 'object') return undefined
  const { version: found, size, mtimeMs, inode, isSeekable, blocks } = parsed as Readonly<Record<string, unknown>>
  if (found !== version || size !== file.size || mtimeMs !== file.mtimeMs || inode !== file.inode) return undefined
  if (typeof isSeekable !== 'boolean' || !Array.isArray(blocks)) return undefined
  const read: IndexBlock[] = []
  let covered = 0
  for (const block of blocks as unknown[]) {
    const next = readBlock(block)
    if (next === undefined || next.offset !== covered) return undefined
    covered += next.bytes
    read.push(next)
  }
  return covered === file.size && (isSeekable || read.length === 1) ? { isSeekable, blocks: read } : undefined
}

function readBlock(block: unknown): IndexBlock | undefined {
  if (!Array.isArray(block) || block.length !== 6) return undefined
  const [offset, bytes, lines, fromMs, toMs, levels] = block as unknown[]
  if (!isCount(offset) || !isCount(bytes) || !isCount(lines) || !isCount(levels) || bytes === 0 || levels > 127) return undefined
  if (fromMs === null && toMs === null) return { offset, bytes, lines, fromMs: undefined, toMs: undefined, levels }
  if (typeof fromMs !== 'number' || typeof toMs !== 'number' || fromMs > toMs) return undefined
  return { offset, bytes, lines, fromMs, toMs, levels }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Writes the index beside its file, whole or not at all. What goes wrong is no error: the next query makes it again. */
export async function writeIndex(file: LogFile, index: LogIndex): Promise<boolean> {
  const path = indexPath(file.path)
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`
  try {
    const handle = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    try {
      await handle.writeFile(indexText(file, index))
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
    return true
  } catch {
    await unlink(temporary).catch(() => undefined)
    return false
  }
}

function indexText(file: LogFile, { isSeekable, blocks }: LogIndex): string {
  const rows = blocks.map(({ offset, bytes, lines, fromMs, toMs, levels }) => [offset, bytes, lines, fromMs ?? null, toMs ?? null, levels])
  const json = JSON.stringify({ version, size: file.size, mtimeMs: file.mtimeMs, inode: file.inode, isSeekable, blocks: rows })
  return `${json}\n${checksum(json)}\n`
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0')
}

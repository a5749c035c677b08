/** Which files of a folder hold lines, and what their paths say about these. Symbolic links are not followed. */
import { opendir } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { type Level, levels } from '../../wire/level.ts'
import { SpillwayError } from '../../wire/spillway-error.ts'
import { type Encoding, encodingOf } from './log-blocks.ts'

export interface LogFileEntry {
  readonly path: string
  readonly encoding: Encoding
  /** From the path, if its template has them. */
  readonly service: string | undefined
  readonly level: Level | undefined
}

/** More files than a collector that rotates every hour makes in ten years for ten services. */
const filesMax = 1_000_000
const depthMax = 12

export interface FolderListing {
  readonly files: readonly LogFileEntry[]
  /** Files that are none of ours. */
  readonly foreign: number
  /** Folders that could not be read, and why. */
  readonly unreadable: readonly string[]
}

/**
 * @param template - Where the file sink keeps lines, such as `./spillway-data/logs/{service}/{date}.ndjson`.
 * @throws {@link SpillwayError} `SPW_DIR_UNUSABLE` when the folder itself cannot be read
 */
export async function listLogFiles(template: string): Promise<FolderListing> {
  const root = rootOf(template)
  const shape = shapeOf(template)
  const files: LogFileEntry[] = []
  const unreadable: string[] = []
  let foreign = 0
  const visit = async (dir: string, depth: number): Promise<void> => {
    for await (const entry of await opendir(dir)) {
      const path = join(dir, entry.name)
      if (entry.name.startsWith('.')) continue
      if (entry.isDirectory() && depth < depthMax)
        await visit(path, depth + 1).catch((error: unknown) => unreadable.push(`${path}: ${reasonOf(error)}`))
      else if (!entry.isFile()) continue
      else {
        const encoding = encodingOf(entry.name)
        if (encoding === undefined) foreign += 1
        else if (files.length < filesMax) files.push({ path, encoding, ...namesIn(relative(root, path), shape) })
      }
    }
  }
  try {
    await visit(root, 0)
  } catch (error) {
    throw new SpillwayError('SPW_DIR_UNUSABLE', `${root}: ${reasonOf(error)}; --dir says where the files are`, { cause: error })
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1))
  // A collector that died amid compressing one has left both: the same lines.
  const paths = new Set(files.map(({ path }) => path))
  const once = files.filter(({ path, encoding }) => encoding === 'plain' || !paths.has(path.replace(/\.(?:gz|zst)$/, '')))
  return { files: once, foreign, unreadable }
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such folder'
  if (code === 'ENOTDIR') return 'not a folder'
  return code === 'EACCES' ? 'permission denied' : error instanceof Error ? error.message : String(error)
}

/** The folder above the first placeholder. */
function rootOf(template: string): string {
  const fixed = resolve(template).split('{')[0] ?? ''
  return fixed.slice(0, fixed.lastIndexOf(sep)) || sep
}

interface PathShape {
  readonly pattern: RegExp
  readonly names: readonly string[]
}

/** The part of a template below its root, as an expression for paths: `{service}/{date}.ndjson`. */
function shapeOf(template: string): PathShape {
  const names: string[] = []
  const below = relative(rootOf(template), resolve(template)).replace(/\.ndjson$/, '')
  const source = below.replaceAll(/\{(\w+)\}|[^{}]/gs, (text, name: string | undefined) => {
    if (name === undefined) return text.replaceAll(/[\\^$.*+?()[\]|]/g, '\\$&')
    names.push(name)
    return name === 'date' ? '(\\d{4}-\\d\\d-\\d\\d)' : name === 'hour' ? '(\\d\\d)' : '([^/]+?)'
  })
  // Rotated and compressed files have more behind it.
  return { pattern: new RegExp(`^${source}(?:\\.\\d+)?\\.ndjson(?:\\.gz|\\.zst)?$`), names }
}

function namesIn(path: string, { pattern, names }: PathShape): { service: string | undefined; level: Level | undefined } {
  const match = pattern.exec(path.split(sep).join('/'))
  const of = (name: string) => (match === null ? undefined : match[names.indexOf(name) + 1])
  const service = names.includes('service') ? of('service') : undefined
  const level = names.includes('level') ? of('level') : undefined
  return {
    service: service === undefined ? undefined : decodeSegment(service),
    level: levels.find((name) => name === level),
  }
}

/** Undoes what a file sink does to a name; one that was cut stays as it is. Undefined for the file that many share. */
function decodeSegment(text: string): string | undefined {
  if (text === '%_other') return undefined
  // In front of a name whose path would have been another sink's.
  const segment = text.replace(/^%_\d+/, '')
  if (segment === '%') return ''
  if (!segment.includes('%')) return segment
  const bytes = segment.replaceAll(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

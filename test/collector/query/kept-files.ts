/** Folders of kept lines for tests, as the file sink and other tools leave them. */
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

export const startMs: number = Date.UTC(2026, 4, 31, 12)

export interface KeptLine {
  readonly level: number
  readonly time: number
  readonly n: number
  readonly [field: string]: unknown
}

/** Lines a second apart, with padding so that some thousand are several blocks. */
export function linesOf(count: number, fields: (n: number) => Record<string, unknown> = () => ({}), fromMs: number = startMs): KeptLine[] {
  return Array.from({ length: count }, (_, n) => ({ level: n % 10 === 0 ? 50 : 30, time: fromMs + n * 1_000, n, ...fields(n) }))
}

export const padding: string = 'x'.repeat(1_000)

export function textOf(lines: readonly unknown[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** Writes a file; an hour old, so that nobody expects more of it. `members` gzips each so many lines alone. */
export function keep(
  dir: string,
  name: string,
  text: string | Buffer,
  options: { readonly linesPerMember?: number; readonly isActive?: boolean } = {},
): string {
  const path = join(dir, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, name.endsWith('.gz') && typeof text === 'string' ? gzipped(text, options.linesPerMember) : text)
  if (options.isActive !== true) utimesSync(path, new Date(Date.now() - 3_600_000), new Date(Date.now() - 3_600_000))
  return path
}

function gzipped(text: string, linesPerMember: number | undefined): Buffer {
  if (linesPerMember === undefined) return gzipSync(text)
  const lines = text.split('\n').slice(0, -1)
  const members: Buffer[] = []
  for (let at = 0; at < lines.length; at += linesPerMember) members.push(gzipSync(`${lines.slice(at, at + linesPerMember).join('\n')}\n`))
  return Buffer.concat(members)
}

export function indexesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.index'))
}

/**
 * An independent count of what a collector has kept: every line of every file is read, checked to the byte against what
 * its application made, and ticked off by (application, number).
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { type Level, levelOf, type Making, madeLine } from './made-line.mjs'

const readBytes = 1_048_576

export class KeptLines {
  lines = 0
  /** Lines that are no JSON, or the rest of a file behind its last LF. */
  torn = 0
  /** Lines that are whole and that nobody made. */
  foreign = 0
  /** Lines above one per number. */
  twice = 0
  readonly apps: Map<string, KeptApp> = new Map()

  /** Reads all files of all services below a collector's folder. */
  static read(dir: string, making: Making): KeptLines {
    const kept = new KeptLines()
    const logs = join(dir, 'logs')
    for (const path of readdirSync(logs, { recursive: true, withFileTypes: true })) {
      if (path.isFile()) kept.#readFile(join(path.parentPath, path.name), making)
    }
    return kept
  }

  app(app: string): KeptApp {
    let kept = this.apps.get(app)
    if (kept === undefined) {
      kept = new KeptApp()
      this.apps.set(app, kept)
    }
    return kept
  }

  #readFile(path: string, making: Making): void {
    if (!path.endsWith('.ndjson')) throw new Error(`${path}: a file of an unknown kind among the logs`)
    const fd = openSync(path, 'r')
    const buffer = Buffer.alloc(readBytes)
    let rest = ''
    for (;;) {
      const bytes = readSync(fd, buffer)
      if (bytes === 0) break
      const texts = (rest + buffer.toString('latin1', 0, bytes)).split('\n')
      rest = texts.pop() ?? ''
      for (const text of texts) this.take(text, making)
    }
    closeSync(fd)
    if (rest !== '') this.torn += 1
  }

  /** Counts one line, without its LF. Returns whose it is, if it is one that was made. */
  take(text: string, making: Making): { readonly app: string; readonly n: number } | undefined {
    this.lines += 1
    const line = parsed(text)
    if (line === undefined) this.torn += 1
    else if (!isNumbered(line) || madeLine(making, line.app, line.n) !== text) this.foreign += 1
    else {
      if (!this.app(line.app).take(line.n, levelOf(making.mix, line.n))) this.twice += 1
      return line
    }
    return undefined
  }
}

class KeptApp {
  /** Different numbers. */
  lines = 0
  readonly byLevel: Partial<Record<Level, number>> = {}
  #seen = new Uint8Array(4_096)
  /** Behind the highest number. */
  end = 0

  /** False when the number was there already. */
  take(n: number, level: Level): boolean {
    if (n >= this.#seen.length) {
      const longer = new Uint8Array(2 * n)
      longer.set(this.#seen)
      this.#seen = longer
    }
    if (this.#seen[n] === 1) return false
    this.#seen[n] = 1
    this.lines += 1
    this.end = Math.max(this.end, n + 1)
    this.byLevel[level] = (this.byLevel[level] ?? 0) + 1
    return true
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isNumbered(line: unknown): line is { readonly app: string; readonly n: number } {
  return (
    typeof line === 'object' &&
    line !== null &&
    'app' in line &&
    typeof line.app === 'string' &&
    'n' in line &&
    typeof line.n === 'number' &&
    Number.isSafeInteger(line.n) &&
    line.n >= 0
  )
}

/**
 * Where a line is kept: a template with `{service}`, `{level}` and `{date}`. What comes from outside becomes one path
 * segment that can mean nothing to a file system, so no name leads out of the template's own folder.
 */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { parseTopic, type Topic } from '../../wire/topic.ts'

const placeholders = ['service', 'level', 'date'] as const
const segmentBytesMax = 100
const cachedPathsMax = 10_000

/** Placeholders in a template that are none; for the configuration's error. */
export function unknownPlaceholders(template: string): string[] {
  return [...template.matchAll(/\{([^}]*)\}/g)]
    .map((match) => match[1] ?? '')
    .filter((name) => !(placeholders as readonly string[]).includes(name))
}

export class LogPath {
  readonly template: string
  readonly #day = new UtcDay()
  #date = ''
  /** Paths of the day, by topic. */
  readonly #paths = new Map<Topic, string>()

  constructor(template: string) {
    this.template = resolve(template)
  }

  /** Absolute path of the file for a topic's lines received now. */
  of(topic: Topic, nowMs: number): string {
    const date = this.#day.of(nowMs)
    // Hostile names come without end; the cache starts over.
    if (date !== this.#date || this.#paths.size >= cachedPathsMax) this.#paths.clear()
    this.#date = date
    let path = this.#paths.get(topic)
    if (path === undefined) {
      path = this.#path(topic, date)
      this.#paths.set(topic, path)
    }
    return path
  }

  #path(topic: Topic, date: string): string {
    const parts = parseTopic(topic)
    const service = parts === undefined ? 'unknown' : parts.service
    const level = parts?.kind === 'log' ? parts.level : 'none'
    return this.template.replaceAll('{service}', safeSegment(service)).replaceAll('{level}', level).replaceAll('{date}', date)
  }
}

/** `[A-Za-z0-9_-]` and single dots inside stay; every other byte becomes `%XX`; long ones end in a hash. Injective. */
export function safeSegment(name: string): string {
  let segment = ''
  const bytes = Buffer.from(name, 'utf8')
  for (const [i, byte] of bytes.entries()) {
    const char = String.fromCharCode(byte)
    const isInnerDot = char === '.' && i > 0 && i < bytes.length - 1 && bytes[i - 1] !== byte
    segment += /[A-Za-z0-9_-]/.test(char) || isInnerDot ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    if (segment.length > segmentBytesMax) {
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
      // `%-` stands in no other segment, so a short name that looks like a cut one is still another.
      return `${segment.slice(0, segmentBytesMax - 18).replace(/%.?$/, '')}%-${hash}`
    }
  }
  return segment === '' ? '%' : segment
}

/** The date of a moment, UTC, computed once a day. */
class UtcDay {
  #endsAtMs = 0
  #startsAtMs = 0
  #text = ''

  of(nowMs: number): string {
    if (nowMs >= this.#endsAtMs || nowMs < this.#startsAtMs) {
      this.#startsAtMs = nowMs - (nowMs % 86_400_000)
      this.#endsAtMs = this.#startsAtMs + 86_400_000
      this.#text = new Date(nowMs).toISOString().slice(0, 10)
    }
    return this.#text
  }
}

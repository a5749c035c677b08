/**
 * Where a line is kept: a template with `{service}`, `{level}`, `{host}`, `{topic}`, `{date}` and `{hour}`. What comes
 * from outside becomes part of one path segment and can mean nothing to a file system, so no name leads out of the
 * template's own folder, and no two names share a file, nor one a file that another was rotated to.
 *
 *   /var/log/{service}/{date}.ndjson      root /var/log, one folder per service, in it the link `current`
 *   /var/log/{date}/{service}.ndjson      root /var/log, one folder per day, beside them links `current-<service>`
 */
import { createHash } from 'node:crypto'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { levels } from '../../wire/level.ts'
import { distinctFilesMax } from '../../wire/limits.ts'
import { parseTopic, type Topic } from '../../wire/topic.ts'
import { type Every, Periods, type Zone } from './period.ts'
import { nameParts, rotatedName } from './rotated-name.ts'

const placeholders = ['service', 'level', 'host', 'topic', 'date', 'hour'] as const
type Placeholder = (typeof placeholders)[number]
/** What whoever logs can choose. */
const chosen: ReadonlySet<string> = new Set<Placeholder>(['service', 'host', 'topic'])
const timed: ReadonlySet<string> = new Set<Placeholder>(['date', 'hour'])

const nameBytesMax = 100
/** Several names in one segment share this much: with the rest of it, and what is put behind it, file systems take 255 bytes. */
const namesBytesMax = 200
const cachedPathsMax = 10_000
/** Periods whose files are counted: this one, and late lines of those before. */
const countedPeriodsMax = 4
const noLevel = 'none'
const noHost = 'unknown'
/** Stands at the beginning of no name. Behind it follows which of several templates it is, or what all of them have. */
const escapeMark = '%_'
const otherSegment = `${escapeMark}other`

export interface LogPathOptions {
  /** How often a new file begins; by default as often as `{hour}` or `{date}` changes, and never without them. */
  readonly every?: Every | undefined
  /** Whose hours and days they are. @defaultValue utc */
  readonly zone?: Zone | undefined
  /** Templates that have the first right to a path; a name whose path would be one of theirs is written in another way. */
  readonly before?: readonly LogPath[] | undefined
}

/** Where the lines of a topic received at some time belong. */
export interface LogPlace {
  /** Absolute. */
  readonly path: string
  /** Lines of a later period do not follow in the same file. Unix ms; minus infinity where time does not matter. */
  readonly startsAtMs: number
  /** Absolute path of the link to the newest of these files; undefined where they all have the same path. */
  readonly link: string | undefined
}

/** A file that is, or was, one of a template's. */
export interface LogFileName {
  /** The path it was written under. */
  readonly plain: string
  /** The N of `plain.N`, once it was rotated. */
  readonly number: number | undefined
  readonly compression: 'gz' | 'zst' | undefined
}

interface Part {
  readonly literal: string
  /** Follows the literal. */
  readonly placeholder: Placeholder | undefined
  /** Of the placeholder, in the template's pattern. */
  readonly group: string
}

/** What stands for a placeholder. */
type TextOf = (part: Part) => string
type Values = Readonly<Record<Placeholder, string>>

/** What is wrong with a template, for the configuration's error; undefined when nothing is. */
export function templateFault(template: string): string | undefined {
  const unknown = [...template.matchAll(/\{([^}]*)\}/g)].map((match) => match[1] ?? '').find((name) => !isPlaceholder(name))
  if (unknown !== undefined) {
    const known = placeholders.map((name) => `{${name}}`)
    return `{${unknown}} is not known here; there are ${known.slice(0, -1).join(', ')} and ${known.at(-1)}`
  }
  if (template.endsWith('/')) return 'expected the path of a file, not of a folder'
  const segments = parsed(resolve(template))
  for (const parts of segments) {
    for (const [i, { placeholder }] of parts.entries()) {
      const next = parts[i + 1]
      if (!chosen.has(placeholder ?? '') || next === undefined || !chosen.has(next.placeholder ?? '')) continue
      if (!/[-_.]/.test(next.literal))
        return `expected "-", "_" or "." between {${placeholder}} and {${next.placeholder}}: names could not be told apart`
    }
  }
  const last = segments.at(-1) ?? []
  if (last.some(({ literal }) => literal.includes('.')) && !last.at(-1)?.literal.includes('.')) {
    return 'expected the name of the file to end in a suffix, such as .ndjson'
  }
  return undefined
}

export class LogPath {
  readonly template: string
  /** Everything is below this folder. */
  readonly root: string
  readonly #segments: readonly (readonly Part[])[]
  readonly #used: ReadonlySet<Placeholder>
  readonly #periods: Periods | undefined
  readonly #before: readonly LogPath[]
  readonly #pattern: RegExp
  /** The higher, the better its right to a path: one without names cannot give way, and the more letters are its own the better. */
  readonly rank: number
  #startsAtMs = Number.NaN
  /** Places of the period, by topic and host. */
  readonly #places = new Map<string, LogPlace>()
  /** Files of the last periods, by the period's own file for what is too many. */
  readonly #files = new Map<string, Set<string>>()

  constructor(template: string, { every, zone = 'utc', before = [] }: LogPathOptions = {}) {
    this.template = resolve(template)
    this.#segments = parsed(this.template)
    const literals = this.#segments.findIndex((parts) => parts.some(({ placeholder }) => placeholder !== undefined))
    this.root = literals === -1 ? dirname(this.template) : join(sep, ...this.template.split(sep).slice(0, literals))
    this.#used = new Set(this.#segments.flatMap((parts) => parts.flatMap(({ placeholder }) => placeholder ?? [])))
    const rule = every ?? (this.#used.has('hour') ? 'hour' : this.#used.has('date') ? 'day' : undefined)
    this.#periods = rule === undefined ? undefined : new Periods(rule, zone)
    this.#before = before
    this.#pattern = this.#plainPattern()
    const letters = this.#segments.flat().reduce((sum, { literal }) => sum + literal.length, 0)
    this.rank = this.hasChosenNames ? letters : Number.POSITIVE_INFINITY
  }

  /** Templates of the same shape write to the same files. */
  get shape(): string {
    return this.#segments.map((parts) => parts.map(({ literal, placeholder }) => literal + shapeOf(placeholder)).join('')).join(sep)
  }

  /** Whether names that senders choose stand in it. */
  get hasChosenNames(): boolean {
    return [...this.#used].some((name) => chosen.has(name))
  }

  /** Whether a line's path depends on its host. */
  get usesHost(): boolean {
    return this.#used.has('host')
  }

  /** Beginning of the period of a moment, Unix ms; minus infinity where time does not matter. */
  startOf(ms: number): number {
    return this.#periods?.of(ms).startsAtMs ?? Number.NEGATIVE_INFINITY
  }

  /** Absolute path of the file for a topic's lines received now. */
  of(topic: Topic, nowMs: number, host?: string): string {
    return this.placeOf(topic, nowMs, host).path
  }

  placeOf(topic: Topic, nowMs: number, host?: string): LogPlace {
    const startsAtMs = this.startOf(nowMs)
    // Hostile names come without end; the cache starts over.
    if (startsAtMs !== this.#startsAtMs || this.#places.size >= cachedPathsMax) this.#places.clear()
    this.#startsAtMs = startsAtMs
    const key = this.usesHost ? `${topic}${host ?? ''}` : topic
    let place = this.#places.get(key)
    if (place === undefined) {
      place = this.#place(topic, host, nowMs)
      this.#places.set(key, place)
    }
    return place
  }

  #place(topic: Topic, host: string | undefined, nowMs: number): LogPlace {
    const period = this.#periods?.of(nowMs)
    const parts = parseTopic(topic)
    const values = {
      service: parts === undefined ? 'unknown' : parts.service,
      level: parts?.kind === 'log' ? parts.level : noLevel,
      host: host ?? noHost,
      topic: topic.slice(0, -1),
      date: period?.date ?? '',
      hour: period?.hour ?? '',
    }
    const textOf: TextOf = (part) => this.#textOf(part, values)
    let path = this.#filled(textOf)
    if (this.#before.some((other) => other.nameOf(path) !== undefined)) {
      path = this.#filled((part) => (isChosen(part) ? this.#escape : '') + textOf(part))
    }
    const otherPath = this.#otherPath(values)
    if (!this.#admit(path, otherPath)) path = otherPath
    return { path, startsAtMs: period?.startsAtMs ?? Number.NEGATIVE_INFINITY, link: this.linkOf(path) }
  }

  /** In front of names that have given way. */
  get #escape(): string {
    return escapeMark + this.#before.length
  }

  #textOf(part: Part, values: Values): string {
    const { placeholder } = part
    if (placeholder === undefined) return ''
    if (!isChosen(part)) return values[placeholder]
    return safeSegment(values[placeholder], this.#rulesOf(part))
  }

  #rulesOf(part: Part): Required<SegmentRules> {
    const parts = this.#segments.find((segment) => segment.includes(part)) ?? []
    const names = parts.filter(isChosen).length
    const hasSuffix = parts.at(-1)?.literal.includes('.') === true
    return {
      bytesMax: Math.min(nameBytesMax, Math.floor(namesBytesMax / Math.max(1, names))),
      // Two names in one segment hold nothing that could be taken for what is between them.
      isBare: names > 1,
      dots: parts !== this.#segments.at(-1) ? 'kept' : hasSuffix ? 'none before a number' : 'none',
    }
  }

  /** Where everything of a period goes whose file would be one too many. */
  #otherPath({ date, hour }: Pick<Values, 'date' | 'hour'>): string {
    const values = { service: '', level: noLevel, host: '', topic: '', date, hour }
    return this.#filled((part) => (isChosen(part) ? otherSegment : this.#textOf(part, values)))
  }

  /** Whether there may be such a file beside those there are in its period. */
  #admit(path: string, otherPath: string): boolean {
    if (!this.hasChosenNames) return true
    const files = this.#filesBeside(otherPath)
    if (files.has(path)) return true
    // Once some have been turned away, whoever was among them stays so, also after a restart.
    if (files.size >= distinctFilesMax || files.has(otherPath)) {
      files.add(otherPath)
      return false
    }
    files.add(path)
    return true
  }

  #filesBeside(otherPath: string): Set<string> {
    let files = this.#files.get(otherPath)
    if (files === undefined) {
      files = new Set()
      this.#files.set(otherPath, files)
      const [oldest] = this.#files.keys()
      if (this.#files.size > countedPeriodsMax && oldest !== undefined) this.#files.delete(oldest)
    }
    return files
  }

  /** Takes up files an earlier run has written to: each keeps its name, and counts. */
  remember(plain: string): void {
    const match = this.#pattern.exec(plain)
    if (match === null) return
    const { date = '', hour = '' } = match.groups ?? {}
    this.#filesBeside(this.#otherPath({ date, hour })).add(plain)
  }

  #filled(textOf: TextOf): string {
    return this.#segments.map((parts) => parts.map((part) => part.literal + textOf(part)).join('')).join(sep)
  }

  /** In the folder in front of what changes with time, a name made of everything behind that does not. */
  #link(textOf: TextOf): string | undefined {
    const first = this.#segments.findIndex((parts) => parts.some(isTimed))
    if (first === -1) return undefined
    const folder = this.#segments.slice(0, first).map((parts) => parts.map((part) => part.literal + textOf(part)).join(''))
    const names = this.#segments.slice(first).flatMap((parts) =>
      parts.flatMap((part, i) => {
        const isSuffix = parts === this.#segments.at(-1) && i === parts.length - 1
        const literal = (isSuffix ? part.literal.replace(/\.[^.]*$/, '') : part.literal).replace(/^[-_.T]+|[-_.T]+$/g, '')
        return [literal, isTimed(part) ? '' : textOf(part)].filter((text) => text !== '')
      }),
    )
    return [...folder, ['current', ...names].join('-')].join(sep)
  }

  // ── the other way round: which files are these? ──

  /** What a path is of this template's; undefined when it is none of its files. */
  nameOf(path: string): LogFileName | undefined {
    if (this.#before.some((other) => other.nameOf(path) !== undefined)) return undefined
    const compression = /\.(gz|zst)$/.exec(path)?.[1] as LogFileName['compression']
    const bare = compression === undefined ? path : path.slice(0, -1 - compression.length)
    if (compression === undefined && this.#pattern.test(bare)) return { plain: bare, number: undefined, compression }
    const [, stem = '', number = 0, suffix = ''] = /^(.*)\.(\d{1,9})(\.[^./]*)?$/.exec(bare) ?? []
    const plain = stem + suffix
    const isRotated = this.#pattern.test(plain) && basename(bare) === rotatedName(nameParts(plain), Number(number))
    return isRotated ? { plain, number: Number(number), compression } : undefined
  }

  /** The path that lines of the same names received at `nowMs` have. */
  pathNow(plain: string, nowMs: number): string {
    const match = this.#pattern.exec(plain)
    const period = this.#periods?.of(nowMs)
    if (match === null || period === undefined) return plain
    return this.#filled((part) =>
      part.placeholder === 'date' || part.placeholder === 'hour' ? period[part.placeholder] : textIn(match, part),
    )
  }

  /** The link that names the newest of the files of a path. */
  linkOf(plain: string): string | undefined {
    const match = this.#pattern.exec(plain)
    return match === null ? undefined : this.#link((part) => textIn(match, part))
  }

  /** What one segment of a path, the `depth`-th below the root, must look like for there to be files of this template in it. */
  folderPattern(depth: number): RegExp | undefined {
    const rootSegments = this.root === sep ? 1 : this.root.split(sep).length
    const parts = this.#segments[rootSegments + depth]
    if (parts === undefined || rootSegments + depth === this.#segments.length - 1) return undefined
    return new RegExp(`^${parts.map((part) => this.#patternOf(part, '')).join('')}$`)
  }

  #plainPattern(): RegExp {
    const segments = this.#segments.map((parts) => parts.map((part) => this.#patternOf(part, part.group)).join(''))
    return new RegExp(`^${segments.join(sep === '/' ? '/' : '\\\\')}$`)
  }

  #patternOf(part: Part, group: string): string {
    const { literal, placeholder } = part
    const text = literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    if (placeholder === undefined) return text
    const { dots } = this.#rulesOf(part)
    const dot = { kept: '|\\.', 'none before a number': '|\\.(?!\\d+(?:\\.|$))', none: '' }[dots]
    // No name begins with a dot, which other files that are none of ours may.
    const name = `${otherSegment}|(?:${this.#escape})?(?!${escapeMark}|\\.)(?:[A-Za-z0-9_%-]${dot}){1,110}`
    const shape = {
      service: name,
      host: name,
      topic: name,
      level: [...levels, noLevel].join('|'),
      date: '\\d{4}-\\d\\d-\\d\\d',
      hour: '\\d\\d',
    }
    return `${text}(${group === '' ? '?:' : `?<${group}>`}${shape[placeholder]})`
  }
}

function isChosen({ placeholder }: Part): boolean {
  return chosen.has(placeholder ?? '')
}

function isTimed({ placeholder }: Part): boolean {
  return timed.has(placeholder ?? '')
}

/** What stood in a path for a placeholder. */
function textIn(match: RegExpExecArray, { placeholder, group }: Part): string {
  return placeholder === undefined ? '' : (match.groups?.[group] ?? '')
}

function isPlaceholder(name: string): name is Placeholder {
  return (placeholders as readonly string[]).includes(name)
}

/** The parts of each segment of a template. */
function parsed(template: string): Part[][] {
  const groups = new Set<string>()
  return template.split(sep).map((segment) => partsOf(segment, groups))
}

function partsOf(segment: string, groups: Set<string>): Part[] {
  const parts: Part[] = []
  let from = 0
  for (const match of segment.matchAll(/\{([^}]*)\}/g)) {
    const [text, name = ''] = match
    if (!isPlaceholder(name)) continue
    // The first date and the first hour are looked for by their names.
    const group = timed.has(name) && !groups.has(name) ? name : `p${groups.size}`
    groups.add(group)
    parts.push({ literal: segment.slice(from, match.index), placeholder: name, group })
    from = match.index + text.length
  }
  if (from < segment.length || parts.length === 0) parts.push({ literal: segment.slice(from), placeholder: undefined, group: '' })
  return parts
}

function shapeOf(placeholder: Placeholder | undefined): string {
  if (placeholder === undefined) return ''
  return timed.has(placeholder) ? `{${placeholder}}` : '{}'
}

export interface SegmentRules {
  readonly bytesMax?: number
  /** Nothing but letters, digits and `%XX`. */
  readonly isBare?: boolean
  readonly dots?: 'kept' | 'none before a number' | 'none'
}

/** `[A-Za-z0-9_-]` and single dots inside stay; every other byte becomes `%XX`; long ones end in a hash. Injective. */
export function safeSegment(name: string, { bytesMax = nameBytesMax, isBare = false, dots = 'kept' }: SegmentRules = {}): string {
  let segment = ''
  const bytes = Buffer.from(name, 'utf8')
  const plain = isBare ? /[A-Za-z0-9]/ : /[A-Za-z0-9_-]/
  for (const [i, byte] of bytes.entries()) {
    const char = String.fromCharCode(byte)
    const isInnerDot = char === '.' && i > 0 && i < bytes.length - 1 && bytes[i - 1] !== byte
    const isKeptDot = isInnerDot && !isBare && dots !== 'none' && (dots === 'kept' || !startsNumber(bytes, i + 1))
    segment += plain.test(char) || isKeptDot ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
    if (segment.length > bytesMax) {
      const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
      // `%-` stands in no other segment, so a short name that looks like a cut one is still another.
      return `${segment.slice(0, bytesMax - 18).replace(/%.?$/, '')}%-${hash}`
    }
  }
  return segment === '' ? '%' : segment
}

/** Whether nothing but digits stands from `from` on up to a dot or the end, as where a file was rotated. */
function startsNumber(bytes: Buffer, from: number): boolean {
  let at = from
  while (at < bytes.length && at - from < nameBytesMax && (bytes[at] ?? 0) >= 0x30 && (bytes[at] ?? 0) <= 0x39) at += 1
  return at > from && (at === bytes.length || bytes[at] === 0x2e)
}

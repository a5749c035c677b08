/**
 * Topics: what the first part of a message holds, and nothing else.
 *
 * Tokens of `[A-Za-z0-9_-]`, each ended by `.`. Any other byte of a name's UTF-8 form becomes `~XX` (two upper-case
 * hex digits), so that a name can be read back; the empty name is `~`. A topic has at most 200 bytes; a name that does
 * not fit is cut and ends in `~` and ten letters g to v (a hash), which no escape looks like.
 * Every token ends in `.` so that ZeroMQ's byte-prefix match never takes `checkout2` for `checkout`.
 */
import { createHash } from 'node:crypto'
import { type Level, levels } from './level.ts'
import { topicBytesMax } from './limits.ts'
import { SpillwayError } from './spillway-error.ts'

declare const topicBrand: unique symbol
/** A checked topic: ASCII, ended by `.`, at most 200 bytes. */
export type Topic = string & { readonly [topicBrand]: true }

/** What a topic says about the records under it. Names are decoded. */
export type TopicParts =
  | { readonly kind: 'log'; readonly level: Level; readonly service: string; readonly name: string | undefined }
  | { readonly kind: 'metric'; readonly service: string; readonly group: string }
  | { readonly kind: 'sys'; readonly service: string; readonly subject: 'manifest' | 'loss' }

const plainName = /^[A-Za-z0-9_-]+$/
const tokenShape = /^(?:(?:[A-Za-z0-9_-]|~[0-9A-F]{2})*(?:~[g-v]{10})?|~|~other)$/
const otherToken = '~other'
/** What is left of 200 bytes must hold the kind, the level and a logger's name. */
const serviceTokenBytesMax = 100
const cutHashLetters = 10

/** Whether `text` can stand in a message's first part. */
export function isTopic(text: string): text is Topic {
  if (text.length > topicBytesMax || !text.endsWith('.')) return false
  return text
    .slice(0, -1)
    .split('.')
    .every((token) => token !== '' && tokenShape.test(token))
}

/** `name` as one token of at most `bytesMax` bytes. {@link decodeToken} undoes it unless it had to be cut. */
export function encodeToken(name: string, bytesMax: number = serviceTokenBytesMax): string {
  if (name === '') return '~'
  if (plainName.test(name) && name.length <= bytesMax) return name
  let token = ''
  for (const byte of Buffer.from(name, 'utf8')) {
    const char = String.fromCharCode(byte)
    token += plainName.test(char) ? char : `~${byte.toString(16).toUpperCase().padStart(2, '0')}`
    // A name can be megabytes long; what lies behind the cut is only hashed.
    if (token.length > bytesMax) return cutToken(token, name, bytesMax)
  }
  return token
}

function cutToken(token: string, name: string, bytesMax: number): string {
  const digest = createHash('sha256').update(name, 'utf8').digest()
  let letters = ''
  for (let i = 0; i < cutHashLetters; i += 1) letters += String.fromCharCode(103 + ((digest[i] ?? 0) & 15))
  const kept = token.slice(0, bytesMax - cutHashLetters - 1).replace(/~[0-9A-F]?$/, '')
  return `${kept}~${letters}`
}

/** Whether a token is a cut name, which cannot be read back. */
export function isCutToken(token: string): boolean {
  return /~[g-v]{10}$/.test(token)
}

/** The name a token stands for. A cut name gives what was kept of it, with its hash. */
export function decodeToken(token: string): string {
  if (token === '~') return ''
  if (!token.includes('~')) return token
  const bytes: number[] = []
  for (let i = 0; i < token.length; i += 1) {
    const digits = token[i] === '~' ? token.slice(i + 1, i + 3) : ''
    if (/^[0-9A-F]{2}$/.test(digits)) {
      bytes.push(Number.parseInt(digits, 16))
      i += 2
    } else bytes.push(token.charCodeAt(i))
  }
  return Buffer.from(bytes).toString('utf8')
}

/** `log.<level>.<service>.` or, with a logger's name, `log.<level>.<service>.<name>.` */
export function logTopic(level: Level, service: string, name?: string): Topic {
  const head = `log.${level}.${encodeToken(service)}.`
  return (name === undefined ? head : `${head}${encodeToken(name, topicBytesMax - head.length - 1)}.`) as Topic
}

/** `metric.<service>.<group>.` */
export function metricTopic(service: string, group: string): Topic {
  const head = `metric.${encodeToken(service)}.`
  return `${head}${encodeToken(group, topicBytesMax - head.length - 1)}.` as Topic
}

/** `sys.<service>.manifest.` or `sys.<service>.loss.` */
export function sysTopic(service: string, subject: 'manifest' | 'loss'): Topic {
  return `sys.${encodeToken(service)}.${subject}.` as Topic
}

/** Where the records of a topic go once an origin has its 256: the last name becomes `~other`. */
export function otherTopic(topic: Topic): Topic {
  const tokens = topic.slice(0, -1).split('.')
  const headTokens = tokens[0] === 'metric' ? 2 : 3
  return `${tokens.slice(0, headTokens).join('.')}.${otherToken}.` as Topic
}

export function isOtherTopic(topic: Topic): boolean {
  return topic.endsWith(`.${otherToken}.`)
}

/** Reads a topic that carries records or manifests; undefined for any other text. Never throws. */
export function parseTopic(text: string): TopicParts | undefined {
  if (!isTopic(text)) return undefined
  const [kind, second = '', third, fourth, ...rest] = text.slice(0, -1).split('.')
  if (rest.length > 0) return undefined
  if (kind === 'log' && third !== undefined && (levels as readonly string[]).includes(second)) {
    return {
      kind,
      level: second as Level,
      service: decodeToken(third),
      name: fourth === undefined ? undefined : decodeToken(fourth),
    }
  }
  if (fourth !== undefined || third === undefined) return undefined
  if (kind === 'metric') return { kind, service: decodeToken(second), group: decodeToken(third) }
  if (kind === 'sys' && (third === 'manifest' || third === 'loss')) {
    return { kind, service: decodeToken(second), subject: third }
  }
  return undefined
}

/** @throws {@link SpillwayError} `SPW_TOPIC_INVALID` when `text` is not a topic. */
export function checkTopic(text: string): Topic {
  if (isTopic(text)) return text
  throw new SpillwayError(
    'SPW_TOPIC_INVALID',
    `topic: expected tokens of [A-Za-z0-9_-] or ~XX, each ended by ".", at most ${topicBytesMax} bytes; got ${JSON.stringify(text.slice(0, 80))}`,
  )
}

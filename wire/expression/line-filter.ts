/**
 * What must stand in a line's text for a condition to be met, found before the line is parsed: parsing costs ten times
 * as much as a search. A filter may let a line through that does not match, never the other way round.
 *
 *   level == "error" && res.statusCode >= 500     levels: error; "statusCode" with a number of at least 500 behind it
 *   msg.contains("refused")                       "msg" and refused
 */
import { type Level, levels, rankOfName } from '../level.ts'
import type { Node } from './syntax.ts'

export interface LineFilter {
  /** Levels that can match; undefined when the condition does not say. */
  readonly levels: ReadonlySet<Level> | undefined
  /** Services that can match; undefined when the condition does not say. */
  readonly services: ReadonlySet<string> | undefined
  /** A text of which every line that matches has at least one; undefined when there is none. Only for texts in which {@link hasEscapes} is false. */
  readonly needle: string | undefined
  /**
   * Where in a text of many lines, from a place on, something stands that a line has to have to match; -1 when nowhere. Undefined
   * when there is nothing to look for. Lines with {@link escapes} may match without it.
   */
  readonly seek: ((text: string, from: number) => number) | undefined
  /** False when the line cannot match. Looks at its own fields only, not at `levels` and `services`. */
  mayMatch(line: string): boolean
}

/** One of these is in the line. */
interface TextTest {
  readonly kind: 'text'
  readonly anyOf: readonly string[]
  /** Values tell lines apart better than names of fields do. */
  readonly isValue: boolean
}

/** Behind the field's name, wherever it is, stands such a number, or no number at all. */
interface NumberTest {
  readonly kind: 'number'
  readonly key: string
  readonly op: '==' | '<' | '<=' | '>' | '>='
  readonly bound: number
}

interface LevelTest {
  readonly kind: 'levels'
  readonly levels: ReadonlySet<Level>
}

interface ServiceTest {
  readonly kind: 'services'
  readonly services: ReadonlySet<string>
}

type Test = TextTest | NumberTest | LevelTest | ServiceTest

const builtinNames = new Set(['topic', 'level', 'service', 'host', 'time', 'record'])
const testsMax = 32

/** JSON may write any character as `\uXXXX` and a slash as `\/`: in such a line a search proves nothing. */
export const escapes = ['\\u', '\\/'] as const

export function hasEscapes(text: string): boolean {
  return escapes.some((written) => text.includes(written))
}

/** @param encode - How texts are written in what will be looked at; see {@link Expression.byteFilter}. */
export function lineFilterOf(tree: Node, encode: (text: string) => string = (text) => text): LineFilter {
  const tests = whenTrue(tree, []).slice(0, testsMax)
  const onLine = distinct(tests.filter((test): test is TextTest | NumberTest => test.kind === 'text' || test.kind === 'number')).map(
    (test): TextTest | NumberTest =>
      test.kind === 'text' ? { ...test, anyOf: test.anyOf.map(encode) } : { ...test, key: encode(test.key) },
  )
  // What fails most often goes first.
  const rank = (test: TextTest | NumberTest) => (test.kind === 'number' ? 1 : test.isValue ? 0 : 2)
  onLine.sort((a, b) => rank(a) - rank(b))
  return {
    levels: common(tests.flatMap((test) => (test.kind === 'levels' ? [test.levels] : []))),
    services: common(tests.flatMap((test) => (test.kind === 'services' ? [test.services] : []))),
    needle: onLine.flatMap((test) => (test.kind === 'number' ? [`"${test.key}"`] : test.anyOf.length === 1 ? test.anyOf : []))[0],
    seek: seekOf(onLine),
    mayMatch: (line) => {
      for (const test of onLine) if (!(test.kind === 'text' ? holdsText(line, test) : holdsNumber(line, test))) return hasEscapes(line)
      return true
    },
  }
}

/** Each once; a field's name is not looked for where its number is. */
function distinct(tests: readonly (TextTest | NumberTest)[]): (TextTest | NumberTest)[] {
  const numberNames = new Set(tests.flatMap((test) => (test.kind === 'number' ? [JSON.stringify(test.key)] : [])))
  const seen = new Set<string>()
  return tests.filter((test) => {
    const id = JSON.stringify(test)
    if (seen.has(id) || (test.kind === 'text' && test.anyOf.length === 1 && numberNames.has(test.anyOf[0] ?? ''))) return false
    seen.add(id)
    return true
  })
}

function common<T>(sets: readonly ReadonlySet<T>[]): ReadonlySet<T> | undefined {
  const [first, ...rest] = sets
  if (first === undefined) return undefined
  return new Set([...first].filter((item) => rest.every((set) => set.has(item))))
}

function holdsText(line: string, test: TextTest): boolean {
  for (const text of test.anyOf) if (indexOfText(line, text, 0) !== -1) return true
  return false
}

/** A quote stands every ten characters in a line of JSON: looking for what follows it is three times as fast. */
function indexOfText(text: string, wanted: string, from: number): number {
  if (wanted.charCodeAt(0) !== quote || wanted.length < 3) return text.indexOf(wanted, from)
  const rest = wanted.slice(1)
  for (let at = text.indexOf(rest, from + 1); at !== -1; at = text.indexOf(rest, at + 1))
    if (text.charCodeAt(at - 1) === quote) return at - 1
  return -1
}

function holdsNumber(line: string, test: NumberTest): boolean {
  return seekNumber(line, 0, `${test.key}"`, test) !== -1
}

/** The next name behind which such a number stands, or no number. */
function seekNumber(text: string, from: number, name: string, test: NumberTest): number {
  for (let at = text.indexOf(name, from); at !== -1; at = text.indexOf(name, at + 1)) {
    if (text.charCodeAt(at - 1) !== quote) continue
    let i = skipSpace(text, at + name.length)
    // A text that looks like the name proves nothing either way.
    if (text.charCodeAt(i) !== colon) continue
    i = skipSpace(text, i + 1)
    const start = i
    let value = 0
    for (let digit = text.charCodeAt(i) - zero; digit >= 0 && digit <= 9; digit = text.charCodeAt(i) - zero) {
      value = value * 10 + digit
      i += 1
    }
    const next = text.charCodeAt(i)
    // Whole and not long, as most are.
    if (i > start && i - start < 16 && (next === comma || next === closeBrace)) {
      if (compared(value, test)) return at
      continue
    }
    numberShape.lastIndex = start
    const number = numberShape.exec(text)
    if (number === null || compared(Number(number[0]), test)) return at
  }
  return -1
}

const quote = 34
const comma = 44
const zero = 48
const colon = 58
const closeBrace = 125
const numberShape = /-?\d[\d.eE+-]*/y

/** By the test that lets the least through. */
function seekOf(tests: readonly (TextTest | NumberTest)[]): LineFilter['seek'] {
  for (const test of tests) {
    if (test.kind === 'number') {
      const name = `${test.key}"`
      return (text, from) => seekNumber(text, from, name, test)
    }
    const [only] = test.anyOf
    if (test.anyOf.length === 1 && only !== undefined) return (text, from) => indexOfText(text, only, from)
  }
  return undefined
}

function skipSpace(line: string, from: number): number {
  let i = from
  while (i < line.length && line.charCodeAt(i) <= 32) i += 1
  return i
}

function compared(value: number, { op, bound }: NumberTest): boolean {
  switch (op) {
    case '==':
      return value === bound
    case '<':
      return value < bound
    case '<=':
      return value <= bound
    case '>':
      return value > bound
    case '>=':
      return value >= bound
  }
}

/** What holds for a line's text if the condition is true. */
function whenTrue(node: Node, variables: readonly string[]): Test[] {
  switch (node.op) {
    case '&&':
      return [...whenTrue(node.args[0], variables), ...whenTrue(node.args[1], variables)]
    case '||':
      return either(whenTrue(node.args[0], variables), whenTrue(node.args[1], variables))
    case '!_':
      return whenKnown(node.args, variables)
    case '==':
      return [...equalTests(node, variables), ...operandsKnown(node, variables)]
    case '<':
    case '<=':
    case '>':
    case '>=':
      return [...orderTests(node, variables), ...operandsKnown(node, variables)]
    case 'in':
      return [...memberTests(node, variables), ...operandsKnown(node, variables)]
    case 'call':
      return node.args[0] === 'has' ? node.args[1].flatMap((arg) => whenKnown(arg, variables)) : whenKnown(node, variables)
    case 'rcall':
      return [...methodTests(node, variables), ...whenKnown(node, variables)]
    default:
      return whenKnown(node, variables)
  }
}

/** What holds for a line's text if the value can be computed: its fields are there. */
function whenKnown(node: Node, variables: readonly string[]): Test[] {
  switch (node.op) {
    case 'id':
      return variables.includes(node.args) || builtinNames.has(node.args) ? [] : textTest(JSON.stringify(node.args), false)
    case '.':
      return [...whenKnown(node.args[0], variables), ...(isOfLine(node, variables) ? textTest(JSON.stringify(node.args[1]), false) : [])]
    case '[]':
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
    case 'in':
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return operandsKnown(node, variables)
    case '!_':
    case '-_':
      return whenKnown(node.args, variables)
    case '?:':
      return whenKnown(node.args[0], variables)
    case 'call':
      return node.args[0] === 'has' ? [] : node.args[1].flatMap((arg) => whenKnown(arg, variables))
    case 'rcall': {
      const [name, receiver, args] = node.args
      const isMacro = ['all', 'exists', 'exists_one', 'map', 'filter'].includes(name)
      return [...whenKnown(receiver, variables), ...(isMacro ? [] : args.flatMap((arg) => whenKnown(arg, variables)))]
    }
    default:
      return []
  }
}

function operandsKnown(node: Node & { readonly args: readonly [Node, Node] }, variables: readonly string[]): Test[] {
  return [...whenKnown(node.args[0], variables), ...whenKnown(node.args[1], variables)]
}

/** One side holds: of several tests of a side any will do, so the best of each is taken. */
function either(left: readonly Test[], right: readonly Test[]): Test[] {
  const found: Test[] = []
  const texts = [best(left), best(right)]
  if (texts[0] !== undefined && texts[1] !== undefined)
    found.push({ kind: 'text', anyOf: [...texts[0].anyOf, ...texts[1].anyOf], isValue: texts[0].isValue && texts[1].isValue })
  const levelSets = [left, right].map((tests) => common(tests.flatMap((test) => (test.kind === 'levels' ? [test.levels] : []))))
  if (levelSets[0] !== undefined && levelSets[1] !== undefined)
    found.push({ kind: 'levels', levels: new Set([...levelSets[0], ...levelSets[1]]) })
  const serviceSets = [left, right].map((tests) => common(tests.flatMap((test) => (test.kind === 'services' ? [test.services] : []))))
  if (serviceSets[0] !== undefined && serviceSets[1] !== undefined)
    found.push({ kind: 'services', services: new Set([...serviceSets[0], ...serviceSets[1]]) })
  return found
}

function best(tests: readonly Test[]): TextTest | undefined {
  const texts = tests.filter((test): test is TextTest => test.kind === 'text' && test.anyOf.length <= 8)
  return texts.find((test) => test.isValue) ?? texts[0]
}

/** A text as it stands in JSON; none when it has characters that can be written in several ways, or is too short to find anything. */
function textTest(json: string, isValue: boolean): TextTest[] {
  const inner = json.slice(1, -1)
  if (inner.length === 0 || inner.includes('\\') || /[\ud800-\udfff]/.test(inner)) return []
  return [{ kind: 'text', anyOf: [json], isValue }]
}

/** A part of a text: without the quotes. */
function partTest(text: string): TextTest[] {
  const json = JSON.stringify(text)
  return text.length < 2 ? [] : textTest(json, true).map((test) => ({ ...test, anyOf: [text] }))
}

function isName(node: Node, name: string, variables: readonly string[]): boolean {
  return node.op === 'id' && node.args === name && !variables.includes(name)
}

/** A value of the line itself: what it is equal to stands in the text. */
function isOfLine(node: Node, variables: readonly string[]): boolean {
  if (node.op === 'id') return variables.includes(node.args) || !builtinNames.has(node.args)
  return (node.op === '.' || node.op === '[]') && (isOfLine(node.args[0], variables) || isName(node.args[0], 'record', variables))
}

function literalOf(node: Node): string | number | undefined {
  if (node.op === '-_') {
    const inner = literalOf(node.args)
    return typeof inner === 'number' ? -inner : undefined
  }
  if (node.op !== 'value') return undefined
  if (typeof node.args === 'string' || typeof node.args === 'number') return node.args
  return typeof node.args === 'bigint' ? Number(node.args) : undefined
}

function equalTests(node: Extract<Node, { op: '==' }>, variables: readonly string[]): Test[] {
  const [left, right] = node.args
  return [...equalTest(left, right, variables), ...equalTest(right, left, variables)]
}

function equalTest(value: Node, other: Node, variables: readonly string[]): Test[] {
  const literal = literalOf(other)
  if (typeof literal === 'number') return numberTest(value, '==', literal, variables)
  if (typeof literal !== 'string') return []
  if (isName(value, 'level', variables)) return levelTest((level) => level === literal)
  if (isName(value, 'service', variables)) return [{ kind: 'services', services: new Set([literal]) }]
  return isOfLine(value, variables) ? textTest(JSON.stringify(literal), true) : []
}

const mirrored = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' } as const

function orderTests(node: Extract<Node, { op: '<' | '<=' | '>' | '>=' }>, variables: readonly string[]): Test[] {
  const [left, right] = node.args
  return [...orderTest(left, node.op, right, variables), ...orderTest(right, mirrored[node.op], left, variables)]
}

function orderTest(value: Node, op: '<' | '<=' | '>' | '>=', other: Node, variables: readonly string[]): Test[] {
  const literal = literalOf(other)
  if (typeof literal === 'number') return numberTest(value, op, literal, variables)
  if (literal === undefined || !isName(value, 'level', variables)) return []
  const bound = rankOfName(literal)
  return bound === undefined ? [] : levelTest((_, rank) => compared(rank, { kind: 'number', key: '', op, bound }))
}

function numberTest(value: Node, op: NumberTest['op'], bound: number, variables: readonly string[]): Test[] {
  const key =
    value.op === '.' && isOfLine(value, variables)
      ? value.args[1]
      : value.op === 'id' && !variables.includes(value.args) && isOfLine(value, variables)
        ? value.args
        : undefined
  if (key === undefined || JSON.stringify(key) !== `"${key}"`) return []
  return [{ kind: 'number', key, op, bound }]
}

function levelTest(isWanted: (level: Level, rank: number) => boolean): Test[] {
  return [{ kind: 'levels', levels: new Set(levels.filter(isWanted)) }]
}

function memberTests(node: Extract<Node, { op: 'in' }>, variables: readonly string[]): Test[] {
  const [value, list] = node.args
  if (list.op !== 'list') {
    // `"slow" in tags`: an element of a list or a key of a map stands there in quotes.
    const literal = literalOf(value)
    return typeof literal === 'string' && isOfLine(list, variables) ? textTest(JSON.stringify(literal), true) : []
  }
  const texts = list.args.map(literalOf)
  if (texts.length === 0 || texts.length > 16 || !texts.every((text) => typeof text === 'string')) return []
  if (isName(value, 'level', variables)) return levelTest((level) => texts.includes(level))
  if (isName(value, 'service', variables)) return [{ kind: 'services', services: new Set(texts) }]
  const tests = texts.map((text) => textTest(JSON.stringify(text), true)[0])
  if (!isOfLine(value, variables) || !tests.every((test) => test !== undefined)) return []
  return [{ kind: 'text', anyOf: tests.flatMap((test) => test.anyOf), isValue: true }]
}

function methodTests(node: Extract<Node, { op: 'rcall' }>, variables: readonly string[]): Test[] {
  const [name, receiver, args] = node.args
  const [first, second] = args
  if (name === 'exists' && first?.op === 'id' && second !== undefined && isOfLine(receiver, variables))
    // Some element meets it; tests of names and levels in there hold for the whole line too.
    return whenTrue(second, [...variables, first.args])
  if (first === undefined || !['contains', 'startsWith', 'endsWith'].includes(name) || !isOfLine(receiver, variables)) return []
  const literal = literalOf(first)
  return typeof literal === 'string' ? partTest(literal) : []
}

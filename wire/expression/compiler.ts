/**
 * Tree to closures: each node becomes a function from the record at hand to a value. A node whose value cannot be known
 * gives `failed`, as the language's errors do: `&&` and `||` are decided by their other side where they can be, everything
 * else becomes `failed` too. Kinds that can be known before there is a record (texts, the result of `size()`) are checked here.
 */
import { RE2JS, RE2JSException } from 're2js'
import { levels, rankOfName } from '../level.ts'
import { expressionDepthMax, expressionTextCharsMax, regularExpressionSizeMax } from '../limits.ts'
import { nearest } from '../nearest.ts'
import type { LogRecord } from './log-record.ts'
import { type Callable, functions, methods, type Type } from './methods.ts'
import type { Complaints, Node } from './syntax.ts'
import {
  areEqual,
  type Budget,
  Duration,
  elementOf,
  failed,
  fieldOf,
  isElementOf,
  isMap,
  order,
  spend,
  Timestamp,
  type Value,
} from './values.ts'

/** What the closures work on. */
export interface Scope extends Budget {
  record: LogRecord
  /** Variables of `exists()` and its kind, by their place. */
  readonly variables: Value[]
}

export type Run = (scope: Scope) => Value

interface Code {
  readonly run: Run
  readonly type: Type
}

/** Names that are always there; every other name is a field of the line. */
const builtins: ReadonlyMap<string, { readonly type: Type; readonly run: Run }> = new Map<string, { type: Type; run: Run }>([
  ['topic', { type: 'string', run: (scope) => scope.record.topic }],
  ['level', { type: 'string', run: (scope) => scope.record.level }],
  ['service', { type: 'string', run: (scope) => scope.record.service }],
  ['host', { type: 'string', run: (scope) => scope.record.host ?? failed }],
  ['time', { type: 'timestamp', run: (scope) => (scope.record.timeMs === undefined ? failed : new Timestamp(scope.record.timeMs)) }],
  ['record', { type: 'map', run: (scope) => scope.record.fields }],
])

const macros = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])
const regularExpressionsMax = 20
const charsPerRegularExpressionStep = 64

const typeWords: Readonly<Record<Type, string>> = {
  any: 'anything',
  bool: 'true or false',
  number: 'a number',
  string: 'a text',
  list: 'a list',
  map: 'a map',
  null: 'null',
  timestamp: 'a time',
  duration: 'a duration',
}

export class Compiler {
  readonly #complaints: Complaints
  /** Names of macro variables, innermost last; the place is the index in a scope's variables. */
  readonly #variables: string[] = []
  #regularExpressions = 0
  #regularExpressionSize = 0
  #depth = 0

  constructor(complaints: Complaints) {
    this.#complaints = complaints
  }

  /** @throws {@link SpillwayError} `SPW_EXPRESSION_INVALID` */
  condition(node: Node): Run {
    return this.#typed(node, ['bool'], 'a condition').run
  }

  /** Of any type. @throws {@link SpillwayError} `SPW_EXPRESSION_INVALID` */
  value(node: Node): Run {
    return this.#code(node).run
  }

  #code(node: Node): Code {
    this.#depth += 1
    if (this.#depth > expressionDepthMax) throw this.#complaints.at(node, 'nested too deeply')
    const code = this.#codeOf(node)
    this.#depth -= 1
    return code
  }

  #codeOf(node: Node): Code {
    switch (node.op) {
      case 'value':
        return this.#literal(node)
      case 'id':
        return this.#name(node.args)
      case '.':
        return this.#field(node)
      case '[]':
        return this.#element(node)
      case '&&':
      case '||':
        return this.#logical(node)
      case '!_': {
        const { run } = this.#typed(node.args, ['bool'], 'the operand of !')
        return { type: 'bool', run: (scope) => negated(run(scope)) }
      }
      case '-_': {
        const { run, type } = this.#typed(node.args, ['number', 'duration'], 'the operand of -')
        return { type, run: (scope) => minus(run(scope)) }
      }
      case '==':
      case '!=':
        return this.#equality(node)
      case '<':
      case '<=':
      case '>':
      case '>=':
        return this.#ordering(node)
      case 'in':
        return this.#membership(node)
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
        return this.#arithmetic(node)
      case '?:': {
        const { run: test } = this.#typed(node.args[0], ['bool'], 'the condition before ?')
        const yes = this.#code(node.args[1])
        const no = this.#code(node.args[2])
        const type = yes.type === no.type ? yes.type : 'any'
        return { type, run: (scope) => chosen(test(scope), yes.run, no.run, scope) }
      }
      case 'list': {
        const items = node.args.map((item) => this.#code(item).run)
        return { type: 'list', run: (scope) => whole(items.map((item) => item(scope))) }
      }
      case 'map':
        return this.#map(node)
      case 'call':
        return this.#call(node)
      case 'rcall':
        return this.#method(node)
      default:
        throw this.#complaints.at(node, `${node.op} is not supported`)
    }
  }

  /** The code of a node whose kind must be one of `types`, as far as that is known by now. */
  #typed(node: Node, types: readonly Type[], what: string): Code {
    const code = this.#code(node)
    if (code.type !== 'any' && !types.includes('any') && !types.includes(code.type)) {
      const expected = types.map((type) => typeWords[type]).join(' or ')
      throw this.#complaints.at(node, `expected ${expected} as ${what}, got ${typeWords[code.type]}`)
    }
    return code
  }

  #literal(node: Extract<Node, { op: 'value' }>): Code {
    const literal = node.args
    if (typeof literal === 'string') return constant('string', literal)
    if (typeof literal === 'boolean') return constant('bool', literal)
    if (literal === null) return constant('null', null)
    if (literal instanceof Uint8Array) throw this.#complaints.at(node, 'bytes are not supported; a JSON line holds none')
    // JSON knows one kind of number.
    return constant('number', Number(literal.valueOf()))
  }

  #name(name: string): Code {
    const place = this.#variables.lastIndexOf(name)
    if (place !== -1) return { type: 'any', run: (scope) => scope.variables[place] }
    const builtin = builtins.get(name)
    if (builtin !== undefined) return builtin
    return { type: 'any', run: (scope) => fieldOf(scope.record.fields, name) }
  }

  #field(node: Extract<Node, { op: '.' }>): Code {
    const [of, name] = node.args
    const { run } = this.#typed(of, ['map'], 'what has fields')
    return { type: 'any', run: (scope) => fieldOf(run(scope), name) }
  }

  #element(node: Extract<Node, { op: '[]' }>): Code {
    const { run: of } = this.#typed(node.args[0], ['list', 'map'], 'what stands before [')
    const { run: index } = this.#typed(node.args[1], ['number', 'string'], 'an index')
    return { type: 'any', run: (scope) => elementOf(of(scope), index(scope)) }
  }

  /** A chain of `&&` or of `||` is one node, however long. */
  #logical(node: Extract<Node, { op: '&&' | '||' }>): Code {
    const decides = node.op === '||'
    const operands: Node[] = []
    let rest: Node = node
    while (rest.op === node.op) {
      operands.unshift(rest.args[1])
      rest = rest.args[0]
    }
    operands.unshift(rest)
    const runs = operands.map((operand) => this.#typed(operand, ['bool'], `an operand of ${node.op}`).run)
    const [first, second] = runs
    if (runs.length === 2 && first !== undefined && second !== undefined) {
      return {
        type: 'bool',
        run: (scope) => {
          const a = first(scope)
          if (a === decides) return decides
          const b = second(scope)
          return b === decides ? decides : a === !decides && b === !decides ? !decides : failed
        },
      }
    }
    return {
      type: 'bool',
      run: (scope) => {
        let result: Value = !decides
        for (const run of runs) {
          const value = run(scope)
          if (value === decides) return decides
          if (value !== !decides) result = failed
        }
        return result
      },
    }
  }

  #equality(node: Extract<Node, { op: '==' | '!=' }>): Code {
    const [left, right] = node.args
    this.#checkLevels(left, [right])
    this.#checkLevels(right, [left])
    const a = this.#code(left)
    const b = this.#code(right)
    if (a.type !== b.type && ![a.type, b.type].some((type) => type === 'any' || type === 'null'))
      throw this.#complaints.at(node, `${typeWords[a.type]} is never ${typeWords[b.type]}${this.#levelHint(left, right)}`)
    const equals = node.op === '=='
    return {
      type: 'bool',
      run: (scope) => {
        const equal = areEqual(a.run(scope), b.run(scope), scope)
        return equal === failed ? failed : equal === equals
      },
    }
  }

  #ordering(node: Extract<Node, { op: '<' | '<=' | '>' | '>=' }>): Code {
    const [left, right] = node.args
    const ranks = this.#ranks(left, right)
    const a = ranks?.[0] ?? this.#code(left)
    const b = ranks?.[1] ?? this.#code(right)
    for (const [side, code] of [
      [left, a],
      [right, b],
    ] as const) {
      if (['list', 'map', 'null'].includes(code.type)) throw this.#complaints.at(side, `${typeWords[code.type]} has no order`)
    }
    if (a.type !== b.type && a.type !== 'any' && b.type !== 'any')
      throw this.#complaints.at(
        node,
        `${typeWords[a.type]} cannot be compared with ${typeWords[b.type]}${this.#levelHint(left, right)}${timeHint(a.type, b.type)}`,
      )
    const test = orderTests[node.op]
    return {
      type: 'bool',
      run: (scope) => {
        const result = order(a.run(scope), b.run(scope))
        return result === failed ? failed : test(result)
      },
    }
  }

  /** `level >= "warn"` compares how severe, not the alphabet. */
  #ranks(left: Node, right: Node): readonly [Code, Code] | undefined {
    if (this.#isLevel(left)) this.#checkLevels(left, [right])
    if (this.#isLevel(right)) this.#checkLevels(right, [left])
    const rank = (node: Node): Code | undefined => {
      if (this.#isLevel(node)) return { type: 'number', run: (scope) => rankOfName(scope.record.level) }
      return node.op === 'value' && typeof node.args === 'string' ? constant('number', rankOfName(node.args)) : undefined
    }
    if (!this.#isLevel(left) && !this.#isLevel(right)) return undefined
    const a = rank(left)
    const b = rank(right)
    return a === undefined || b === undefined ? undefined : [a, b]
  }

  #isLevel(node: Node): boolean {
    return node.op === 'id' && node.args === 'level' && !this.#variables.includes('level')
  }

  /** A level that is none would never match, and nobody would know. */
  #checkLevels(node: Node, others: readonly Node[]): void {
    if (!this.#isLevel(node)) return
    for (const other of others) {
      const name = other.op === 'value' || other.op === 'id' ? other.args : undefined
      if (typeof name !== 'string') continue
      if (other.op === 'id') {
        if (rankOfName(name) !== undefined) throw this.#complaints.at(other, `write the level in quotes: "${name}"`)
      } else if (!(levels as readonly string[]).includes(name)) {
        const near = nearest(name, levels)
        const hint = near === undefined ? '' : `; did you mean "${near}"?`
        throw this.#complaints.at(other, `expected a level, one of ${levels.join(', ')}; got ${JSON.stringify(name.slice(0, 40))}${hint}`)
      }
    }
  }

  #levelHint(...sides: readonly Node[]): string {
    return sides.some((side) => this.#isLevel(side)) ? '; level is a name such as "error", the number is record.level' : ''
  }

  #membership(node: Extract<Node, { op: 'in' }>): Code {
    const [left, right] = node.args
    if (right.op === 'list') this.#checkLevels(left, right.args)
    const value = this.#code(left)
    const container = this.#typed(right, ['list', 'map'], 'what stands after in')
    // A list that is written out is built once.
    const texts = right.op === 'list' ? right.args.map((item) => (item.op === 'value' ? item.args : undefined)) : []
    if (texts.length > 0 && texts.every((item) => typeof item === 'string')) {
      const set = new Set<Value>(texts)
      return { type: 'bool', run: (scope) => present(value.run(scope), (found) => set.has(found)) }
    }
    return { type: 'bool', run: (scope) => isElementOf(value.run(scope), container.run(scope), scope) }
  }

  #arithmetic(node: Extract<Node, { op: '+' | '-' | '*' | '/' | '%' }>): Code {
    const isPlus = node.op === '+'
    const types: readonly Type[] = isPlus
      ? ['number', 'string', 'list', 'timestamp', 'duration']
      : node.op === '-'
        ? ['number', 'timestamp', 'duration']
        : ['number']
    const a = this.#typed(node.args[0], types, `an operand of ${node.op}`)
    const b = this.#typed(node.args[1], types, `an operand of ${node.op}`)
    const ofTime = (type: Type) => type === 'timestamp' || type === 'duration'
    if (a.type !== 'any' && b.type !== 'any' && a.type !== b.type && !(ofTime(a.type) && ofTime(b.type)))
      throw this.#complaints.at(node, `${typeWords[a.type]} ${node.op} ${typeWords[b.type]} is nothing; string(…) makes a text of a number`)
    const operate = operators[node.op]
    const type = a.type === 'any' || ofTime(a.type) ? 'any' : a.type
    return {
      type: types.length === 1 ? 'number' : type,
      run: (scope) => {
        const left = a.run(scope)
        const right = b.run(scope)
        return left === failed || right === failed ? failed : operate(left, right, scope)
      },
    }
  }

  #map(node: Extract<Node, { op: 'map' }>): Code {
    const entries = node.args.map(([key, value]) => [this.#typed(key, ['string'], 'a key').run, this.#code(value).run] as const)
    return {
      type: 'map',
      run: (scope) => {
        const map = Object.create(null) as Record<string, Value>
        for (const [keyRun, valueRun] of entries) {
          const key = keyRun(scope)
          const value = valueRun(scope)
          if (typeof key !== 'string' || value === failed) return failed
          map[key] = value
        }
        return map
      },
    }
  }

  #call(node: Extract<Node, { op: 'call' }>): Code {
    const [name, args] = node.args
    if (name === 'has') return this.#has(node, args)
    const callable = functions.get(name)
    if (callable !== undefined) return this.#called(node, callable, args, name)
    const asMethod = methods.has(name) || macros.has(name) || name === 'matches' ? `; write field.${name}(…)` : ''
    throw this.#complaints.at(
      node,
      `unknown function ${name}()${asMethod === '' ? suggestion(name, [...functions.keys(), 'has']) : asMethod}`,
    )
  }

  /** Whether a field is there; on the way to it anything may be missing. */
  #has(node: Node, args: readonly Node[]): Code {
    const [arg] = args
    const isField = arg !== undefined && (arg.op === '.' || arg.op === 'id' || arg.op === '[]')
    if (!isField || args.length !== 1) throw this.#complaints.at(arg ?? node, 'expected one field, as in has(res.statusCode)')
    const { run } = this.#code(arg)
    return { type: 'bool', run: (scope) => run(scope) !== failed }
  }

  #called(node: Node, callable: Callable, args: readonly Node[], name: string): Code {
    const { takes, optional = 0, gives } = callable
    if (args.length > takes.length || args.length < takes.length - optional)
      throw this.#complaints.at(
        node,
        `${name}() takes ${takes.length === 0 ? 'nothing' : `${takes.length} value${takes.length === 1 ? '' : 's'}`}, got ${args.length}`,
      )
    const runs = args.map((arg, i) => this.#typed(arg, takes[i] ?? [], `a value for ${name}()`).run)
    return {
      type: gives,
      run: (scope) => {
        const values = runs.map((run) => run(scope))
        return values.includes(failed) || !spend(scope, 1) ? failed : callable.run(values, scope)
      },
    }
  }

  #method(node: Extract<Node, { op: 'rcall' }>): Code {
    const [name, receiver, args] = node.args
    if (macros.has(name)) return this.#macro(node, name, receiver, args)
    if (name === 'matches') return this.#matches(node, receiver, args)
    const callable = methods.get(name)
    if (callable === undefined)
      throw this.#complaints.at(
        { start: this.#nameStart(node, name) },
        `unknown function ${name}()${suggestion(name, [...methods.keys(), ...macros, 'matches'])}`,
      )
    const { takes, optional = 0 } = callable
    if (args.length > takes.length - 1 || args.length < takes.length - 1 - optional)
      throw this.#complaints.at(
        node,
        `${name}() takes ${takes.length === 1 ? 'nothing' : takes.length - 1} between its brackets, got ${args.length}`,
      )
    return this.#called(node, callable, [receiver, ...args], name)
  }

  #nameStart(node: Extract<Node, { op: 'rcall' }>, name: string): number {
    const after = node.args[1].end
    const found = node.input.indexOf(name, after)
    return found === -1 ? node.start : found
  }

  #matches(node: Node, receiver: Node, args: readonly Node[]): Code {
    const [pattern] = args
    if (pattern === undefined || args.length !== 1 || pattern.op !== 'value' || typeof pattern.args !== 'string')
      throw this.#complaints.at(pattern ?? node, 'matches() takes one regular expression, written out in quotes')
    const { run } = this.#typed(receiver, ['string'], 'what stands before .matches()')
    this.#regularExpressions += 1
    if (this.#regularExpressions > regularExpressionsMax)
      throw this.#complaints.at(node, `at most ${regularExpressionsMax} regular expressions`)
    const expression = this.#regularExpression(pattern, pattern.args)
    const stepsPerChar = expression.programSize() / charsPerRegularExpressionStep
    return {
      type: 'bool',
      run: (scope) => {
        const value = run(scope)
        return typeof value === 'string' && spend(scope, 1 + value.length * stepsPerChar) ? expression.test(value) : failed
      },
    }
  }

  #regularExpression(node: Node, pattern: string): RE2JS {
    let expression: RE2JS
    try {
      expression = RE2JS.compile(pattern)
    } catch (error) {
      if (!(error instanceof RE2JSException || error instanceof RangeError)) throw error
      const why = error instanceof RE2JSException ? error.message.replace(/^error parsing regexp: /, '') : 'nested too deeply'
      throw this.#complaints.at(node, `no regular expression of this language (RE2): ${why.slice(0, 200)}`)
    }
    this.#regularExpressionSize += expression.programSize()
    if (this.#regularExpressionSize > regularExpressionSizeMax)
      throw this.#complaints.at(node, 'this regular expression is too large; repeat less, {0,1000} writes a thousand copies')
    return expression
  }

  #macro(node: Node, name: string, receiver: Node, args: readonly Node[]): Code {
    const { run: container } = this.#typed(receiver, ['list', 'map'], `what stands before .${name}()`)
    const [variable, ...bodies] = args
    if (variable?.op !== 'id' || bodies.length === 0 || bodies.length > (name === 'map' ? 2 : 1))
      throw this.#complaints.at(variable ?? node, `expected ${name}(name, condition), as in tags.exists(tag, tag == "slow")`)
    const place = this.#variables.push(variable.args) - 1
    const isMapping = name === 'map'
    const [first, second] = bodies.map((body, i) =>
      isMapping && i === bodies.length - 1 ? this.#code(body).run : this.#typed(body, ['bool'], `the condition of ${name}()`).run,
    )
    this.#variables.pop()
    if (first === undefined) throw this.#complaints.at(node, `${name}() takes a condition`)
    const each = (scope: Scope, visit: (value: Value, element: Value) => boolean): boolean => {
      const elements = elementsOf(container(scope))
      if (elements === undefined) return false
      for (const element of elements) {
        if (!spend(scope, 1)) return false
        scope.variables[place] = element
        if (visit(first(scope), element)) break
      }
      return scope.steps >= 0
    }
    if (name === 'all' || name === 'exists') return { type: 'bool', run: quantified(each, name === 'exists') }
    if (name === 'exists_one') {
      return {
        type: 'bool',
        run: (scope) => {
          let count = 0
          let hasFailed = false
          const isDone = each(scope, (value) => {
            if (value === true) count += 1
            else if (value !== false) hasFailed = true
            return hasFailed
          })
          return isDone && !hasFailed ? count === 1 : failed
        },
      }
    }
    const transform = isMapping ? second : undefined
    return {
      type: 'list',
      run: (scope) => {
        const list: Value[] = []
        let hasFailed = false
        const isDone = each(scope, (value, element) => {
          const isTest = !isMapping || transform !== undefined
          const made = !isTest
            ? value
            : value !== true
              ? value === false
                ? undefined
                : failed
              : transform === undefined
                ? element
                : transform(scope)
          if (made === failed) hasFailed = true
          else if (!isTest || value === true) list.push(made)
          return hasFailed
        })
        return isDone && !hasFailed ? list : failed
      },
    }
  }
}

const orderTests: Readonly<Record<'<' | '<=' | '>' | '>=', (result: number) => boolean>> = {
  '<': (result) => result < 0,
  '<=': (result) => result <= 0,
  '>': (result) => result > 0,
  '>=': (result) => result >= 0,
}

type Operate = (left: Value, right: Value, scope: Scope) => Value

function ofNumbers(operate: (a: number, b: number) => number): Operate {
  return (left, right) => (typeof left === 'number' && typeof right === 'number' ? operate(left, right) : failed)
}

const operators: Readonly<Record<'+' | '-' | '*' | '/' | '%', Operate>> = {
  '+': (left, right, scope) => {
    if (typeof left === 'number' && typeof right === 'number') return left + right
    if (typeof left === 'string' && typeof right === 'string') {
      const chars = left.length + right.length
      return chars <= expressionTextCharsMax && spend(scope, 1 + chars / 8) ? left + right : failed
    }
    if (Array.isArray(left) && Array.isArray(right)) return spend(scope, left.length + right.length) ? [...left, ...right] : failed
    if (left instanceof Timestamp && right instanceof Duration) return new Timestamp(left.ms + right.ms)
    if (left instanceof Duration && right instanceof Timestamp) return new Timestamp(left.ms + right.ms)
    return left instanceof Duration && right instanceof Duration ? new Duration(left.ms + right.ms) : failed
  },
  '-': (left, right) => {
    if (typeof left === 'number' && typeof right === 'number') return left - right
    if (left instanceof Timestamp && right instanceof Timestamp) return new Duration(left.ms - right.ms)
    if (left instanceof Timestamp && right instanceof Duration) return new Timestamp(left.ms - right.ms)
    return left instanceof Duration && right instanceof Duration ? new Duration(left.ms - right.ms) : failed
  },
  '*': ofNumbers((a, b) => a * b),
  '/': ofNumbers((a, b) => a / b),
  '%': ofNumbers((a, b) => a % b),
}

function constant(type: Type, value: Value): Code {
  return { type, run: () => value }
}

function negated(value: Value): Value {
  return typeof value === 'boolean' ? !value : failed
}

function minus(value: Value): Value {
  if (typeof value === 'number') return -value
  return value instanceof Duration ? new Duration(-value.ms) : failed
}

function chosen(test: Value, yes: Run, no: Run, scope: Scope): Value {
  if (test === true) return yes(scope)
  return test === false ? no(scope) : failed
}

function whole(items: readonly Value[]): Value {
  return items.includes(failed) ? failed : items
}

function present(value: Value, use: (value: Value) => Value): Value {
  return value === failed ? failed : use(value)
}

/** The elements of a list, the keys of a map. */
function elementsOf(value: Value): readonly Value[] | undefined {
  if (Array.isArray(value)) return value
  return isMap(value) ? Object.keys(value) : undefined
}

/** `exists` and `all`: decided by one element that is `decides`, else failed if any of them was. */
function quantified(each: (scope: Scope, visit: (value: Value) => boolean) => boolean, decides: boolean): Run {
  return (scope) => {
    let result: Value = !decides
    const isDone = each(scope, (value) => {
      if (value === decides) result = decides
      else if (value !== !decides) result = failed
      return value === decides
    })
    return isDone ? result : failed
  }
}

function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  return near === undefined ? `; there are ${known.join(', ')}` : `; did you mean ${near}()?`
}

function timeHint(a: Type, b: Type): string {
  return a === 'timestamp' || b === 'timestamp' ? '; write timestamp("2026-05-31T18:00:00Z")' : ''
}

/** Random conditions on random lines: against the language's other evaluator, against the filter on text, and texts that are none. */
import { Environment } from '@marcbachmann/cel-js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileExpression, type Expression } from '../../../wire/expression/expression.ts'
import { levelIn, recordOf } from '../../../wire/expression/log-record.ts'
import { SpillwayError } from '../../../wire/spillway-error.ts'

const texts = ['a', 'ab', 'b/c', 'ä', 'x"y', 'error', 'statusCode', '', '5']
const numbers = [0, 1, 2.5, 499, 500, 503, -1]
const keys = ['a', 'b', 'status', 'x-y', 'tags'] as const

const leaf = fc.oneof(fc.constantFrom(...texts), fc.constantFrom(...numbers), fc.boolean(), fc.constant(null))
const { value: jsonValue } = fc.letrec<{ value: unknown; object: Record<string, unknown> }>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, fc.array(tie('value'), { maxLength: 3 }), tie('object')),
  object: fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 4 }),
}))
const lineObject = fc.record(
  {
    level: fc.constantFrom(10, 20, 30, 40, 50, 60, 35),
    a: jsonValue,
    b: jsonValue,
    status: fc.constantFrom<unknown>(...numbers, 'x'),
    tags: fc.array(leaf, { maxLength: 4 }),
    msg: fc.constantFrom(...texts),
  },
  { requiredKeys: ['level'] },
)

const quoted = (text: string) => JSON.stringify(text)
const field = fc.constantFrom(
  'a',
  'b',
  'status',
  'tags',
  'msg',
  'a.b',
  'a.a',
  'a["x-y"]',
  'b.status',
  'tags[0]',
  'a[1]',
  'missing',
  'b.tags',
)
const literal = fc.oneof(
  fc.constantFrom(...texts).map(quoted),
  fc.constantFrom('0', '1', '2.5', '500', '503.0', '-1'),
  fc.constantFrom('true', 'false', 'null'),
)
/** Conditions that mean the same in the language as it is written down. */
const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.tuple(field, fc.constantFrom('==', '!='), literal).map(([a, op, b]) => `${a} ${op} ${b}`),
    fc.tuple(literal, fc.constantFrom('==', '!='), field).map(([a, op, b]) => `${a} ${op} ${b}`),
    fc
      .tuple(field, fc.constantFrom('<', '<=', '>', '>='), fc.constantFrom('500', '1', '2.5', '"b"'))
      .map(([a, op, b]) => `${a} ${op} ${b}`),
    fc.tuple(fc.constantFrom('1', '500'), fc.constantFrom('<', '<=', '>', '>='), field).map(([a, op, b]) => `${a} ${op} ${b}`),
    fc.tuple(field, field).map(([a, b]) => `${a} == ${b}`),
    fc
      .tuple(field, fc.constantFrom('contains', 'startsWith', 'endsWith'), fc.constantFrom(...texts))
      .map(([a, name, text]) => `${a}.${name}(${quoted(text)})`),
    fc
      .tuple(field, fc.array(fc.constantFrom(...texts).map(quoted), { minLength: 1, maxLength: 3 }))
      .map(([a, list]) => `${a} in [${list.join(', ')}]`),
    fc.tuple(fc.constantFrom(...texts), field).map(([text, a]) => `${quoted(text)} in ${a}`),
    fc.constantFrom('has(record.a)', 'has(record.status)', 'has(record.missing)'),
    fc
      .tuple(fc.constantFrom('exists', 'all', 'exists_one'), fc.constantFrom(...texts))
      .map(([name, text]) => `tags.${name}(t, t == ${quoted(text)})`),
    fc.constantFrom(...texts).map((text) => `[${quoted(text)}, "b"].exists(t, t == "a")`),
    fc.constant('{"a": 1}.a == 1'),
    tie('condition').map((a) => `!(${a})`),
    fc.tuple(tie('condition'), fc.constantFrom('&&', '||'), tie('condition')).map(([a, op, b]) => `(${a}) ${op} (${b})`),
    fc.tuple(tie('condition'), tie('condition'), tie('condition')).map(([a, b, c]) => `(${a}) ? (${b}) : (${c})`),
  ),
}))

function compiled(text: string): Expression | undefined {
  try {
    return compileExpression(text)
  } catch (error) {
    expect(error).toBeInstanceOf(SpillwayError)
    return undefined
  }
}

/** The same JSON, written in another way that means the same. */
function escapedEverywhere(json: string): string {
  return json.replaceAll(/[a-z/]/g, (char, at: number) =>
    isInText(json, at) ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : char,
  )
}

function isInText(json: string, at: number): boolean {
  let isInside = false
  for (let i = 0; i < at; i += 1) {
    if (json[i] === '\\') {
      i += 1
      if (i === at) return false
    } else if (json[i] === '"') isInside = !isInside
  }
  return isInside
}

describe('random conditions', () => {
  test('mean what the language says', () => {
    const environment = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false })
    let met = 0
    fc.assert(
      fc.property(condition, lineObject, (text, fields) => {
        let evaluate: (context: Record<string, unknown>) => unknown
        try {
          evaluate = environment.parse(text)
        } catch {
          return
        }
        let expected: unknown
        try {
          expected = evaluate({ ...fields, record: fields })
        } catch {
          expected = undefined
        }
        if (typeof expected !== 'boolean') expected = undefined
        const expression = compiled(text)
        const record = recordOf(JSON.stringify(fields), { topic: '', service: '', level: 'info' })
        if (expected === true) met += 1
        expect([text, expression?.evaluate(record)]).toEqual([text, expected])
      }),
      { numRuns: 5_000 },
    )
    expect(met).toBeGreaterThan(500)
  })

  test('are never met by a line that the filter on its text keeps out, however its JSON is written', () => {
    const withBuiltins = fc.oneof(
      condition,
      fc
        .tuple(
          condition,
          fc.constantFrom('&&', '||'),
          fc.constantFrom(
            'level == "error"',
            'level >= "warn"',
            'level in ["info", "fatal"]',
            'service == "shop"',
            'service in ["shop", "cart"]',
          ),
        )
        .map((parts) => parts.join(' ')),
    )
    let keptOut = 0
    let met = 0
    fc.assert(
      fc.property(withBuiltins, lineObject, fc.constantFrom('shop', 'cart', 'other'), (text, fields, service) => {
        const expression = compiled(text)
        if (expression === undefined) return
        const { lineFilter } = expression
        for (const line of [JSON.stringify(fields), JSON.stringify(fields, null, 1), escapedEverywhere(JSON.stringify(fields))]) {
          const level = levelIn(fields) ?? 'info'
          const isMet = expression.matches(recordOf(line, { topic: '', service, level }))
          const isLetThrough =
            lineFilter.mayMatch(line) && (lineFilter.levels?.has(level) ?? true) && (lineFilter.services?.has(service) ?? true)
          if (isMet) met += 1
          if (!isLetThrough) keptOut += 1
          if (isMet && lineFilter.seek !== undefined && !/\\u|\\\//.test(line)) {
            // Also among other lines, and from its own beginning on.
            expect(lineFilter.seek(line, 0)).toBeGreaterThanOrEqual(0)
            expect(lineFilter.seek(`{"a":1}\n${line}`, 8)).toBeGreaterThanOrEqual(8)
          }
          if (isMet) expect([text, line, isLetThrough]).toEqual([text, line, true])
        }
      }),
      { numRuns: 5_000 },
    )
    expect(met).toBeGreaterThan(500)
    expect(keptOut).toBeGreaterThan(500)
  })
})

describe('random texts', () => {
  const words = [
    'level',
    '==',
    '"error"',
    '(',
    ')',
    '&&',
    '||',
    '!',
    'has',
    '.',
    'a',
    '[',
    ']',
    '1',
    ',',
    '?',
    ':',
    '-',
    '+',
    'exists',
    'x',
    '{',
    '}',
    'matches',
    '"("',
    'in',
    "'",
    '"""',
    'r"',
    '//',
    '\n',
    '💥',
    '\\u',
    '1e999',
    '0x',
    '.5',
    'u',
  ]
  test.each([
    ['of any characters', fc.string({ unit: 'binary', maxLength: 200 })],
    ['of words of the language', fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((all) => all.join(' '))],
    ['of words without spaces', fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((all) => all.join(''))],
    [
      'as regular expressions',
      fc
        .array(fc.constantFrom('(', ')', '*', '+', '?', '{2,9}', '{1000}', '|', '.', 'a', '[', ']', '^', '$', '\\d', '(?i)', '(?P<n>'), {
          maxLength: 30,
        })
        .map((all) => `msg.matches(r'${all.join('')}')`),
    ],
  ])('%s are a condition or an error, and run on anything', (_, text) => {
    const odd = recordOf('{"a":[1,{"b":null}],"msg":"aaa","x":{"a":1},"in":2}', { topic: 't.', service: 's', level: 'error' })
    fc.assert(
      fc.property(text, (source) => {
        const expression = compiled(source)
        if (expression !== undefined) expect([true, false]).toContain(expression.matches(odd))
      }),
      { numRuns: 3_000 },
    )
  })
})

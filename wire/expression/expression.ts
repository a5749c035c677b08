/**
 * Conditions on log lines, in the Common Expression Language (https://cel.dev): what `--where` takes everywhere.
 *
 *   text ──parse──► tree ──compile──► closures, run once per record
 *                     └────────────► a filter that looks at the line's text, before it is parsed
 *
 * The parser is `@marcbachmann/cel-js`'s. What it makes is run by our own closures: a field that is missing costs nothing
 * here, where there it is an exception with its stack, and every step is counted, so that no record takes long.
 * Different from the language, because lines are JSON and people type these: all numbers are doubles, so `/` does not
 * cut; `has()` takes any path and is false when any of it is missing; `level >= "warn"` compares severity.
 */
import { expressionStepsMax } from '../limits.ts'
import { bytesAsText } from './bytes-as-text.ts'
import { Compiler, type Scope } from './compiler.ts'
import { type LineFilter, lineFilterOf } from './line-filter.ts'
import type { LogRecord } from './log-record.ts'
import { Complaints, parseExpression } from './syntax.ts'
import { failed } from './values.ts'

export interface Expression {
  readonly text: string
  /** What can be told from a line's text alone. */
  readonly lineFilter: LineFilter
  /** The same for a text with one character per byte of UTF-8, as `buffer.latin1Slice()` gives it without decoding. */
  readonly byteFilter: LineFilter
  /** Records that took more steps than one may, and did not match for that reason. */
  readonly tooCostly: number
  /** Whether a record meets the condition. What cannot be computed is not met: a missing field, a text where a number is needed. Never throws. */
  matches(record: LogRecord): boolean
  /** The value for a record; undefined when it cannot be computed. Never throws. */
  evaluate(record: LogRecord): unknown
}

/**
 * @param name - What the text is, for errors: `--where`, `sinks.files.where`.
 * @param of - What it is for: a condition is true or false, a value may be anything.
 * @throws {@link SpillwayError} `SPW_EXPRESSION_INVALID`, with the column and what to write instead
 */
export function compileExpression(text: string, name = 'expression', of: 'condition' | 'value' = 'condition'): Expression {
  const complaints = new Complaints(text, name)
  const tree = parseExpression(text, complaints)
  const compiler = new Compiler(complaints)
  const run = of === 'condition' ? compiler.condition(tree) : compiler.value(tree)
  const lineFilter = lineFilterOf(tree)
  let scope: Scope | undefined
  let tooCostly = 0
  const evaluate = (record: LogRecord): unknown => {
    scope ??= { record, steps: 0, variables: [] }
    scope.record = record
    scope.steps = expressionStepsMax
    const value = run(scope)
    if (scope.steps >= 0) return value
    tooCostly += 1
    return failed
  }
  return {
    text,
    lineFilter,
    byteFilter: lineFilterOf(tree, bytesAsText),
    get tooCostly() {
      return tooCostly
    },
    matches: (record) => evaluate(record) === true,
    evaluate: (record) => {
      const value = evaluate(record)
      return value === failed ? undefined : value
    },
  }
}

/** Errors below the line they were logged with: stacks, causes and the parts of an aggregate, bounded. */
import type { StyledText } from './styled-text.ts'
import { visibleText } from './visible-text.ts'

const depthMax = 6
const partsMax = 10
const rowsMax = 60
const rowCharsMax = 1_000
const shownBelow = new Set(['stack', 'cause', 'aggregateErrors', 'errors'])

/** Whether a field's value is an error as pino writes them: it has a stack. */
export function isError(value: unknown): value is { readonly stack: string } {
  return value !== null && typeof value === 'object' && 'stack' in value && typeof value.stack === 'string'
}

/** An error without what {@link errorRows} shows of it. */
export function withoutStacks(error: object): unknown {
  return Object.fromEntries(Object.entries(error).filter(([key, value]) => !(shownBelow.has(key) && isShown(key, value))))
}

function isShown(key: string, value: unknown): boolean {
  if (key === 'stack') return true
  return Array.isArray(value) ? value.length > 0 && value.every(isError) : isError(value)
}

/** One row per line of the stacks, indented; an error's own words stand out, the places in the code do not. */
export function errorRows(error: { readonly stack: string }): StyledText[] {
  const rows: StyledText[] = []
  addRows(rows, error, '', 0)
  if (rows.length <= rowsMax) return rows
  return [...rows.slice(0, rowsMax), [{ text: `    … ${rows.length - rowsMax} more lines`, style: 'gray' }]]
}

function addRows(rows: StyledText[], error: { readonly stack: string }, label: string, depth: number): void {
  // A stack is at most as long as its record; rows beyond the bound are only counted.
  for (const [i, line] of error.stack.split('\n').entries()) {
    const text = visibleText(line.length > rowCharsMax ? `${line.slice(0, rowCharsMax)}…` : line)
    const isPlace = /^\s*at /.test(line)
    rows.push([
      {
        text: `    ${i === 0 ? label : ''}${text}`,
        style: isPlace ? 'gray' : i === 0 || line.startsWith('caused by: ') ? 'red' : undefined,
      },
    ])
  }
  if (depth >= depthMax) return
  const { cause, aggregateErrors, errors } = error as {
    readonly cause?: unknown
    readonly aggregateErrors?: unknown
    readonly errors?: unknown
  }
  if (isError(cause)) addRows(rows, cause, 'caused by: ', depth + 1)
  const parts = [aggregateErrors, errors].find((value) => Array.isArray(value) && value.length > 0 && value.every(isError))
  if (!Array.isArray(parts)) return
  for (const [i, part] of parts.slice(0, partsMax).entries()) addRows(rows, part, `${i + 1} of ${parts.length}: `, depth + 1)
  if (parts.length > partsMax) rows.push([{ text: `    … ${parts.length - partsMax} more errors`, style: 'gray' }])
}

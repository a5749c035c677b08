/** The values of expressions, and what the operators make of them. Whatever cannot be computed is {@link failed}; nothing throws. */

/** A moment, Unix ms. */
export class Timestamp {
  readonly ms: number
  constructor(ms: number) {
    this.ms = ms
  }
}

/** A span of time, ms. */
export class Duration {
  readonly ms: number
  constructor(ms: number) {
    this.ms = ms
  }
}

/** A missing field, a text compared with a number, too many steps: the value is not known. */
export const failed: unique symbol = Symbol('failed')

/** A JSON value, a {@link Timestamp}, a {@link Duration}, or {@link failed}. */
export type Value = unknown

/** Steps left for the record at hand. */
export interface Budget {
  steps: number
}

/** Takes steps; false when there are none left. */
export function spend(budget: Budget, steps: number): boolean {
  budget.steps -= steps
  return budget.steps >= 0
}

export function isMap(value: Value): value is Readonly<Record<string, Value>> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Timestamp) && !(value instanceof Duration)
  )
}

/** A field of a map's own; nothing is inherited. */
export function fieldOf(value: Value, name: string): Value {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return failed
  if (value instanceof Timestamp || value instanceof Duration) return failed
  return Object.hasOwn(value, name) ? (value as Readonly<Record<string, Value>>)[name] : failed
}

export function elementOf(value: Value, index: Value): Value {
  if (typeof index === 'string') return fieldOf(value, index)
  if (!Array.isArray(value) || typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= value.length) return failed
  return value[index]
}

/** Values of different kinds are not equal. */
export function areEqual(a: Value, b: Value, budget: Budget): boolean | typeof failed {
  if (a === failed || b === failed) return failed
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (a instanceof Timestamp || a instanceof Duration) return a.constructor === b.constructor && a.ms === (b as Timestamp | Duration).ms
  return areEqualDeep(a, b, budget)
}

function areEqualDeep(a: object, b: object, budget: Budget): boolean | typeof failed {
  const isList = Array.isArray(a)
  if (isList !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (!spend(budget, keys.length)) return failed
  if (keys.length !== Object.keys(b).length) return false
  for (const key of keys) {
    if (!Object.hasOwn(b, key)) return false
    const equal = areEqual((a as Record<string, Value>)[key], (b as Record<string, Value>)[key], budget)
    if (equal !== true) return equal
  }
  return true
}

export function isElementOf(value: Value, container: Value, budget: Budget): boolean | typeof failed {
  if (value === failed || container === failed) return failed
  if (isMap(container)) return typeof value === 'string' ? Object.hasOwn(container, value) : failed
  if (!Array.isArray(container) || !spend(budget, container.length)) return failed
  for (const element of container) {
    const equal = areEqual(value, element, budget)
    if (equal !== false) return equal
  }
  return false
}

/** Negative, zero or positive, as for sorting; NaN is in no order with anything, and so are values of different kinds. */
export function order(a: Value, b: Value): number | typeof failed {
  if (typeof a === 'number' && typeof b === 'number') return a - b || (a === b ? 0 : Number.isNaN(a - b) ? failed : 0)
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b)
  if (a instanceof Timestamp && b instanceof Timestamp) return a.ms - b.ms
  if (a instanceof Duration && b instanceof Duration) return a.ms - b.ms
  return failed
}

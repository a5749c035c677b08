/** The part of JSON Schema that the API's description uses. */
type Schema = Readonly<Record<string, unknown>>

/** Everything in a value that its schema does not say, one sentence each. */
export function faults(value: unknown, schema: Schema, schemas: Readonly<Record<string, Schema>>, at = '$'): string[] {
  const reference = schema['$ref']
  if (typeof reference === 'string') {
    const named = schemas[reference.replace('#/components/schemas/', '')]
    return named === undefined ? [`${at}: no schema ${reference}`] : faults(value, named, schemas, at)
  }
  const anyOf = schema['anyOf'] as readonly Schema[] | undefined
  if (anyOf !== undefined) {
    const each = anyOf.map((one) => faults(value, one, schemas, at))
    return each.some((found) => found.length === 0) ? [] : (each[0] ?? [])
  }
  const type = schema['type']
  const isType =
    type === 'integer'
      ? Number.isInteger(value)
      : type === 'array'
        ? Array.isArray(value)
        : type === 'null'
          ? value === null
          : typeof value === type
  if (!isType) return [`${at}: expected ${String(type)}, got ${JSON.stringify(value)?.slice(0, 80)}`]
  if (typeof value === 'number' && typeof schema['minimum'] === 'number' && value < schema['minimum']) return [`${at}: ${value} is too low`]
  const values = schema['enum'] as readonly unknown[] | undefined
  if (values !== undefined && !values.includes(value)) return [`${at}: ${JSON.stringify(value)} is none of ${values.join(', ')}`]
  if (Array.isArray(value)) return value.flatMap((item, i) => faults(item, (schema['items'] ?? {}) as Schema, schemas, `${at}[${i}]`))
  if (value === null || typeof value !== 'object') return []
  return objectFaults(value as Record<string, unknown>, schema, schemas, at)
}

function objectFaults(value: Record<string, unknown>, schema: Schema, schemas: Readonly<Record<string, Schema>>, at: string): string[] {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, Schema>>
  const required = (schema['required'] ?? []) as readonly string[]
  const others = schema['additionalProperties']
  const missing = required.filter((name) => !Object.hasOwn(value, name)).map((name) => `${at}.${name}: missing`)
  const wrong = Object.entries(value).flatMap(([name, inner]) => {
    const own = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (own !== undefined) return faults(inner, own, schemas, `${at}.${name}`)
    if (others === false) return [`${at}.${name}: not described`]
    return others === undefined ? [] : faults(inner, others as Schema, schemas, `${at}.${name}`)
  })
  return [...missing, ...wrong]
}

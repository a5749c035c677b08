/**
 * A logger's `name`, read from the text of its bindings. pino keeps them serialised (`,"pid":1,"name":"db"`), which is
 * what a line costs nothing to look at; `logger.bindings()` would parse it for every line.
 */

const nameKey = ',"name":"'

/** The last top-level `name` in a bindings text, as JSON would read it; undefined when there is none. */
export function nameInBindings(bindings: string): string | undefined {
  let at = bindings.lastIndexOf(nameKey)
  while (at !== -1) {
    if (isTopLevel(bindings, at)) return readString(bindings, at + nameKey.length)
    if (at === 0) return undefined
    at = bindings.lastIndexOf(nameKey, at - 1)
  }
  return undefined
}

function isTopLevel(text: string, end: number): boolean {
  let depth = 0
  let isInString = false
  for (let i = 0; i < end; i += 1) {
    const char = text[i]
    if (isInString) {
      if (char === '\\') i += 1
      else if (char === '"') isInString = false
    } else if (char === '"') isInString = true
    else if (char === '{' || char === '[') depth += 1
    else if (char === '}' || char === ']') depth -= 1
  }
  return depth === 0 && !isInString
}

function readString(text: string, quoteAt: number): string | undefined {
  let end = quoteAt
  while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1
  try {
    const name: unknown = JSON.parse(`"${text.slice(quoteAt, end)}"`)
    return typeof name === 'string' ? name : undefined
  } catch {
    return undefined
  }
}

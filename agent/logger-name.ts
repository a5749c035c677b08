/**
 * A logger's `name`, read from the text of its bindings. pino keeps them serialised (`,"pid":1,"name":"db"`), which is
 * what a line costs nothing to look at; `logger.bindings()` would parse it for every line.
 */

const nameKey = ',"name":"'
/** How much of the bindings is looked at: a child logger may carry a whole document. */
const scannedCharsMax = 4_096

/** The last top-level `name` near the start of a bindings text, as JSON would read it; undefined when there is none. */
export function nameInBindings(bindings: string): string | undefined {
  if (!bindings.includes(nameKey)) return undefined
  const text = bindings.slice(0, scannedCharsMax)
  let nameAt: number | undefined
  let depth = 0
  let isInString = false
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i]
    if (isInString) {
      if (char === '\\') i += 1
      else if (char === '"') isInString = false
    } else if (char === '"') isInString = true
    else if (char === '{' || char === '[') depth += 1
    else if (char === '}' || char === ']') depth -= 1
    else if (char === ',' && depth === 0 && text.startsWith(nameKey, i)) nameAt = i + nameKey.length
  }
  return nameAt === undefined ? undefined : readString(text, nameAt)
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

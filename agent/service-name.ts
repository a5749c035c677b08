import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The nearest package.json's name, from the program's own file upwards, then from the working directory; else `app`. */
export function defaultServiceName(): string {
  const starts = process.argv[1] === undefined ? [process.cwd()] : [dirname(process.argv[1]), process.cwd()]
  for (const start of starts) {
    const name = nearestPackageName(start)
    if (name !== undefined) return name
  }
  return 'app'
}

function nearestPackageName(start: string): string | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      const name = parsed !== null && typeof parsed === 'object' && 'name' in parsed ? parsed.name : undefined
      if (typeof name === 'string' && name !== '') return name
    } catch {
      // No package.json here, or one that cannot be read: look further up.
    }
    if (dirname(folder) === folder) return undefined
  }
}

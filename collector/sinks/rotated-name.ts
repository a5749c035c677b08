/** What a file is called once it was rotated: `name.ndjson` is `name.N.ndjson`, and `name.N.ndjson.gz` when it is compressed. */
import { basename } from 'node:path'

export interface NameParts {
  readonly stem: string
  readonly suffix: string
}

export function nameParts(path: string): NameParts {
  const file = basename(path)
  const dot = file.lastIndexOf('.')
  return dot > 0 ? { stem: file.slice(0, dot), suffix: file.slice(dot) } : { stem: file, suffix: '' }
}

/** The N of `name.N.ndjson`, compressed or not. */
export function rotationOf(name: string, { stem, suffix }: NameParts): number | undefined {
  const bare = name.replace(/\.(?:gz|zst)(?:\.tmp)?$/, '')
  if (!bare.startsWith(`${stem}.`) || !bare.endsWith(suffix)) return undefined
  const number = bare.slice(stem.length + 1, bare.length - suffix.length)
  return /^\d{1,9}$/.test(number) ? Number(number) : undefined
}

export function rotatedName({ stem, suffix }: NameParts, number: number): string {
  return `${stem}.${number}${suffix}`
}

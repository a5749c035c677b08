/**
 * Which folder may import which, held against the sources as they are:
 *
 *   wire ◄── agent ◄── transports
 *    ▲ ▲
 *    │ └──── dashboards          cli imports all of them; nothing imports cli
 *    └────── collector
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

/** Folder to the folders it may import from beside itself. */
const allowedImports: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  agent: ['wire'],
  transports: ['agent', 'wire'],
  collector: ['wire'],
  dashboards: ['wire'],
  cli: ['wire', 'agent', 'transports', 'collector', 'dashboards'],
}

const forbiddenNames = new Set(['utils.ts', 'util.ts', 'helpers.ts', 'helper.ts'])

/** File, by its path from the root with `/`, to what it imports: such paths, or a package's name. */
type ImportGraph = ReadonlyMap<string, readonly string[]>

/** Everything wrong with a set of sources, one sentence each. */
function violations(graph: ImportGraph): string[] {
  return [...nameViolations(graph), ...arrowViolations(graph), ...cycles(graph)]
}

function nameViolations(graph: ImportGraph): string[] {
  return [...graph.keys()]
    .filter((file) => forbiddenNames.has(posix.basename(file)))
    .map((file) => `${file} says nothing about what it holds`)
}

function arrowViolations(graph: ImportGraph): string[] {
  const found: string[] = []
  for (const [file, imports] of graph) {
    const folder = folderOf(file)
    for (const imported of imports) {
      // The package's own name leads back into it past every other check.
      if (imported === 'spillway' || imported.startsWith('spillway/')) found.push(`${file} imports ${imported}, its own package`)
      if (!imported.endsWith('.ts') || folder === undefined) continue
      const target = folderOf(imported)
      if (target === folder || (target !== undefined && allowedImports[folder]?.includes(target))) continue
      found.push(`${file} imports ${imported}; ${folder}/ may import ${allowedImports[folder]?.join(', ') || 'no other folder'}`)
    }
  }
  return found
}

function folderOf(file: string): string | undefined {
  const folder = file.split('/')[0] ?? ''
  return Object.hasOwn(allowedImports, folder) ? folder : undefined
}

/** Every cycle that a walk along the imports runs into, each told once. */
function cycles(graph: ImportGraph): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const start = path.indexOf(file)
    if (start !== -1) found.push(`import cycle: ${[...path.slice(start), file].join(' → ')}`)
    if (start !== -1 || done.has(file)) return
    path.push(file)
    for (const imported of graph.get(file) ?? []) if (graph.has(imported)) visit(imported)
    path.pop()
    done.add(file)
  }
  for (const file of graph.keys()) visit(file)
  return found
}

const commentLine = /^\s*(?:\*|\/\/|\/\*)/
const importForms = [
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*(['"])(.+?)\1/gm,
  /^\s*import\s*(['"])(.+?)\1/gm,
  // Also types: `import('./x.ts').X`.
  /\b(?:import|require)\s*\(\s*(['"])(.+?)\1/g,
]

/** What a source imports, types included, as written. */
function specifiersIn(source: string): string[] {
  const code = source
    .split('\n')
    .filter((line) => !commentLine.test(line))
    .join('\n')
  return importForms.flatMap((form) => [...code.matchAll(form)].map((match) => match[2] ?? ''))
}

function resolved(file: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.normalize(posix.join(posix.dirname(file), specifier)) : specifier
}

function readGraph(): ImportGraph {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const graph = new Map<string, string[]>()
  for (const folder of Object.keys(allowedImports)) {
    for (const path of sourcesIn(root, folder)) {
      graph.set(
        path,
        specifiersIn(readFileSync(posix.join(root, path), 'utf8')).map((specifier) => resolved(path, specifier)),
      )
    }
  }
  return graph
}

function sourcesIn(root: string, folder: string): string[] {
  if (!existsSync(posix.join(root, folder))) return []
  return readdirSync(posix.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => posix.join(folder, ...name.split(/[\\/]/)))
}

describe('the sources', () => {
  const graph = readGraph()

  test('import one way, without cycles, under names that say what they hold', () => {
    expect(violations(graph)).toEqual([])
  })

  test('are all seen by this check, with their imports', () => {
    expect(graph.get('wire/frame.ts')).toContain('wire/limits.ts')
    expect(graph.get('wire/control.ts')).toContain('wire/topic.ts')
    expect(graph.get('wire/socket.ts')).toContain('zeromq')
    expect([...graph.keys()].filter((file) => folderOf(file) === 'wire').length).toBeGreaterThan(10)
  })
})

describe('the check', () => {
  const sound: [string, string[]][] = [
    ['wire/a.ts', ['node:fs', 'zeromq', 'wire/b.ts']],
    ['wire/b.ts', []],
    ['agent/a.ts', ['wire/a.ts', 'wire/b.ts']],
    ['transports/a.ts', ['agent/a.ts', 'wire/b.ts']],
    ['collector/sinks/a.ts', ['collector/a.ts']],
    ['collector/a.ts', ['wire/a.ts']],
    ['dashboards/a.ts', ['wire/a.ts']],
    ['cli/a.ts', ['wire/a.ts', 'agent/a.ts', 'transports/a.ts', 'collector/a.ts', 'dashboards/a.ts']],
  ]

  test('finds nothing wrong with sound sources', () => {
    expect(violations(new Map(sound))).toEqual([])
  })

  test.each([
    ['wire/c.ts', 'agent/a.ts'],
    ['wire/c.ts', 'cli/a.ts'],
    ['agent/c.ts', 'collector/a.ts'],
    ['agent/c.ts', 'transports/a.ts'],
    ['agent/c.ts', 'cli/a.ts'],
    ['transports/c.ts', 'collector/a.ts'],
    ['collector/c.ts', 'agent/a.ts'],
    ['collector/c.ts', 'dashboards/a.ts'],
    ['dashboards/c.ts', 'collector/a.ts'],
    ['dashboards/c.ts', 'cli/a.ts'],
    ['wire/c.ts', 'test/wire/frame.test.ts'],
    ['cli/c.ts', 'examples/shop.ts'],
    ['agent/c.ts', 'spillway/wire'],
  ])('sees that %s must not import %s', (file, imported) => {
    const found = violations(new Map([...sound, [file, [imported]]]))
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(new RegExp(`^${file} imports ${imported}[;,] `))
  })

  test.each(['wire/utils.ts', 'collector/sinks/helpers.ts'])('sees the name %s', (file) => {
    expect(violations(new Map([...sound, [file, []]]))).toEqual([`${file} says nothing about what it holds`])
  })

  test('sees a cycle, however long, once', () => {
    const graph = new Map([
      ['wire/a.ts', ['wire/b.ts']],
      ['wire/b.ts', ['wire/c.ts', 'wire/d.ts']],
      ['wire/c.ts', ['wire/a.ts']],
      ['wire/d.ts', ['wire/e.ts']],
      ['wire/e.ts', []],
    ])
    expect(violations(graph)).toEqual(['import cycle: wire/a.ts → wire/b.ts → wire/c.ts → wire/a.ts'])
    expect(violations(new Map([['wire/self.ts', ['wire/self.ts']]]))).toEqual(['import cycle: wire/self.ts → wire/self.ts'])
  })

  test('reads imports in every form, and none from comments', () => {
    const source = `
import { a } from './a.ts'
import type { B } from "../wire/b.ts"
import {
  c,
  type D,
} from './c.ts'
import './side-effect.ts'
export { e } from './e.ts'
export * from './f.ts'
export type { G } from './g.ts'
type H = import('./h.ts').H
const lazy = () => Promise.all([import('./i.ts'), import('./k.ts')])
const old = require('./j.ts')
/**
 * import { no } from './no.ts'
 * await import('./no.ts')
 */
// import { no } from './no.ts'
export const text = 'from'
export function f() {
  return Array.from('x')
}
`
    expect(specifiersIn(source).sort()).toEqual(
      ['./a.ts', '../wire/b.ts', './c.ts', './side-effect.ts', './e.ts', './f.ts', './g.ts', './h.ts', './i.ts', './j.ts', './k.ts'].sort(),
    )
    expect(resolved('collector/sinks/file.ts', '../../wire/frame.ts')).toBe('wire/frame.ts')
    expect(resolved('wire/a.ts', 'node:fs')).toBe('node:fs')
  })
})

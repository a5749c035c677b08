import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root } from '../support/processes.ts'

const source = readFileSync(join(root, 'wire/spillway-error.ts'), 'utf8')
const page = readFileSync(join(root, 'docs/ERRORS.md'), 'utf8')

/** Every code of the sources, with whether it is retryable. */
const codes = [...source.matchAll(/^ {2}(SPW_[A-Z_]+): \{ retryable: (true|false) \},$/gm)].map(([, code = '', retryable]) => ({
  code,
  retryable: retryable === 'true' ? 'yes' : 'no',
}))

/** Entries of the page by their heading. */
const entries = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((entry) => [entry.split('\n', 1)[0] ?? '', entry]),
)

describe('docs/ERRORS.md', () => {
  test('has an entry for every code, and none for others', () => {
    expect(codes.length).toBeGreaterThan(5)
    expect([...entries.keys()].sort()).toEqual(codes.map(({ code }) => code).sort())
  })

  test.each(codes)('says of $code why it happens, what to do, and whether to try again', ({ code, retryable }) => {
    const entry = entries.get(code)
    expect(entry).toContain(`Retryable: ${retryable}.`)
    expect(entry).toMatch(/^- Cause: \S/m)
    expect(entry).toMatch(/^- Do: \S/m)
  })
})

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tempDir } from '../support/processes.ts'
import { runCli } from './run-cli.ts'

async function validate(text: string, env: Record<string, string> = {}) {
  await using dir = await tempDir()
  const file = join(dir.path, 'spillway.yaml')
  writeFileSync(file, text)
  const run = await runCli(['validate', file], { env })
  return { code: run.code, out: run.stdout.replaceAll(file, 'FILE'), err: run.stderr.replaceAll(file, 'FILE') }
}

test('a good file: says so, exit 0', async () => {
  expect(await validate(`dir: \${SPILL_DIR}\nlisten: { http: off }\n`, { SPILL_DIR: 'x' })).toEqual({ code: 0, out: 'FILE: ok\n', err: '' })
})

test('a bad one: every error at once, on stderr, exit 2', async () => {
  const { code, out, err } = await validate(
    'lisen: {}\nsubscribe: [log..]\nsinks:\n  a: { type: file, rotat: { size: 1 } }\n  b: { type: file, rotate: { size: 1 } }\n',
  )
  expect(code).toBe(2)
  expect(out).toBe('')
  expect(err.split('\n')).toEqual([
    expect.stringContaining('FILE:2:13: subscribe.0: pattern "log.."'),
    expect.stringContaining('FILE:4:20: sinks.a.rotat: unknown key; did you mean "rotate"?'),
    expect.stringContaining('FILE:5:36: sinks.b.rotate.size: expected a size of at least 1KiB'),
    expect.stringContaining('FILE:1:1: lisen: unknown key; did you mean "listen"?'),
    '',
  ])
})

test.each([
  ['a word that is not set', `dir: \${SPILL_NOT_SET}`, /FILE:1:6: environment: \$\{SPILL_NOT_SET\} is not set/],
  ['a key that stands twice', 'dir: a\ndir: b', /FILE:2:1: dir: stands here twice/],
  ['no YAML', 'a: [', /FILE:\d+:\d+: yaml: /],
  [
    'aliases that multiply',
    `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghi'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`).join()}]`).join('\n')}`,
    /yaml: Excessive alias count/,
  ],
  ['a megabyte', `dir: ${'x'.repeat(1_048_576)}`, /^FILE:1:1: file: expected at most 64 KiB$/m],
  [
    'an interval that is none',
    'sinks: { a: { type: file, rotate: { every: fortnight } } }',
    /sinks\.a\.rotate\.every: expected hour, day, week, or a duration/,
  ],
])('%s: exit 2, and no stack trace', async (_what, text, message) => {
  const { code, err } = await validate(text)
  expect(code).toBe(2)
  expect(err).toMatch(message)
  expect(err).not.toMatch(/^\s+at /m)
})

test('no such file, a folder, no argument: exit 2', async () => {
  await using dir = await tempDir()
  mkdirSync(join(dir.path, 'folder'))
  await using none = await runCli(['validate', join(dir.path, 'none.yaml')])
  expect([none.code, none.stderr]).toEqual([2, `spillway: ${dir.path}/none.yaml: there is no such file\n`])
  await using folder = await runCli(['validate', join(dir.path, 'folder')])
  expect(folder.code).toBe(2)
  expect(folder.stderr).toMatch(/folder: EISDIR/)
  await using nothing = await runCli(['validate'])
  expect(nothing.code).toBe(2)
  expect(nothing.stderr).toMatch(/missing required argument 'file'/)
})

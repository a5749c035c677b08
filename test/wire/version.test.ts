import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { version } from '../../wire/version.ts'

test('the version sources know is the one the package is published with', () => {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(manifest).toMatchObject({ name: 'spillway', version })
})
